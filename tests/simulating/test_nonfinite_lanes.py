"""Kind: a run that is judged by its losses alone. A simulated run that ends well has finite parameters, too."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.lanes import simulated
from support.reference_loop import follow

import jasgd

BAD = {0: 23, 2: 0}  # tickets whose gradients are not finite, by seed; of seed 1 all are
PARAMS = {"other": jnp.ones(3), "root": jnp.full(5, 4.0)}
TX = optax.sgd(0.01)


def root_of_zero(params, batch):
    """A loss that is always finite; where the batch is 0, the gradient of ``root`` is NaN, and so is ``root`` then."""
    product = params["root"] * batch
    return jnp.sum(jnp.where(product > 0, jnp.sqrt(product), 0.0)) + jnp.sum(params["other"] ** 2)


def batches(seed):
    return lambda ticket: np.float32(ticket != BAD.get(seed))


@pytest.mark.parametrize(("lanes", "on_nonfinite"), [("threads", "stop"), ("vmap", "pass")])
def test_the_commit_and_the_leaf_are_named_and_what_is_given_back_is_finite(lanes, on_nonfinite):
    seen = []

    def evaluate(params):
        seen.append(all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)))
        return 0.0

    runs = simulated(
        TX, (PARAMS, root_of_zero, jasgd.by_seed(batches)), seeds=[0, 1, 2], lanes=lanes, steps=300,
        on_nonfinite=on_nonfinite, evaluate=evaluate, evaluate_every_steps=11,
    )  # fmt: skip
    assert all(seen)
    assert [run.outcome for run in runs] == ["diverged", "finished", "diverged"]
    for seed, ticket in BAD.items():
        run = runs[seed]
        (commit,) = run.execution.version[run.execution.ticket == ticket]
        assert f"commit {commit} made params['root'] not finite (ticket {ticket}, worker" in run.message
        assert run.execution.metadata["divergence"]["commit"] == commit
        assert run.execution.commits == commit + 1  # the commit is a part of the record, and the last one
        good = run.execution.metadata["params_version"]
        assert good <= commit
        versions = follow(root_of_zero, PARAMS, TX, batches(seed), run.execution).params
        assert np.isfinite(versions[commit]["root"]).all()
        assert not np.isfinite(versions[commit + 1]["root"]).any()
        np.testing.assert_allclose(run.params["root"], versions[good]["root"], rtol=1e-5)
        again = jasgd.replay(run, root_of_zero, TX, batches(seed))
        assert again.compared == ("params", "opt_state")


def test_a_loss_that_parameters_made_not_finite_is_told_from_its_cause():
    """The loss is not finite at a later version: which commit made it so is said."""

    def loss_fn(params, batch):
        return params["other"].sum() * batch

    params = {"other": jnp.zeros(1), "unused": jnp.zeros(2)}
    (run,) = simulated(optax.sgd(2e38), (params, loss_fn, lambda ticket: np.float32(1)))
    assert run.outcome == "diverged"
    assert run.message.startswith("commit 1 made params['other'] not finite")
    assert np.isfinite(run.params["other"]).all()


def test_initial_parameters_of_any_seed_must_be_finite():
    params = jasgd.by_seed(lambda seed: PARAMS | {"root": jnp.full(5, np.nan if seed else 1.0)})
    with pytest.raises(ValueError, match=r"params\['root'\] must be finite, got nan at \[0\]"):
        simulated(TX, (params, root_of_zero, jasgd.by_seed(batches)), seeds=[0, 1])

"""Kind: a run that is judged by its losses alone. What ends well has finite parameters, whatever the losses were."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, ids

import jasgd
import jasgd.training.run

BAD = 20  # the ticket whose gradient is not finite
MANY = 20_000


def root_of_zero(params, batch):
    """A loss that is always finite; where the batch is 0, the gradient of ``root`` is NaN, and so is ``root`` then."""
    product = params["layer"]["root"] * batch
    return jnp.sum(jnp.where(product > 0, jnp.sqrt(product), 0.0)) + jnp.sum(params["layer"]["other"] ** 2)


def start():
    return {"layer": {"other": jnp.ones((2, 3)), "root": jnp.full(5, 4.0)}}


def batches(ticket):
    return np.float32(ticket != BAD)


def one(ticket):
    return np.float32(1)


def trained(scheme, tx=None, loss_fn=root_of_zero, params=None, draw=batches, **options):
    workers = 1 if scheme == "sequential" else 2
    # So many that the worker with the bad ticket comes to its commit, however long it has no processor.
    steps = MANY if draw is batches else 60
    options = {"scheme": EVERY.get(scheme, scheme), "workers": workers, "steps": steps, "throw": False} | options
    return jasgd.train(loss_fn, start() if params is None else params, tx or optax.sgd(0.01), draw, **options)


def all_finite(tree):
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("on_nonfinite", ["stop", "pass"])
@pytest.mark.parametrize("scheme", ids(EVERY))
def test_a_gradient_that_is_not_finite_with_a_finite_loss_ends_the_run_as_diverged(scheme, on_nonfinite):
    result = trained(scheme, on_nonfinite=on_nonfinite)
    assert result.outcome == "diverged"
    ex = result.execution
    assert np.isfinite(ex.loss).all()
    (commit,) = ex.version[ex.ticket == BAD]
    divergence = ex.metadata["divergence"]
    assert divergence["leaf"] == "params['layer']['root']"
    if scheme.startswith("hogwild") or scheme == "locked":  # what is changed in place is not kept until it is looked at
        assert f"commit {divergence['commit']}" in result.message
        assert divergence["exact"] == ("or one before it" not in result.message)
        assert divergence["commit"] >= commit
    else:
        assert divergence["commit"] == commit
        assert f"commit {commit} made params['layer']['root'] not finite" in result.message
        assert "synchronous" in scheme or f"(ticket {BAD}, worker" in result.message
        assert ex.metadata["params_version"] <= commit
    assert all_finite(result.params)
    assert ex.commits < MANY


@pytest.mark.parametrize("scheme", ids(EVERY))
def test_the_last_step_is_looked_at_as_well(scheme):
    """Nothing is computed on what it has made."""
    workers = 1 if scheme == "sequential" else 2
    steps = (BAD + workers) // workers if "synchronous" in scheme else None
    draw = batches if steps else lambda ticket: np.float32(ticket < BAD)
    result = trained(scheme, draw=draw, steps=steps or BAD + 1)
    assert result.outcome == "diverged"
    assert "made params['layer']['root'] not finite" in result.message
    assert all_finite(result.params)


@pytest.mark.parametrize("scheme", ids(["sequential", "hogwild", "hogwild, native", "leashed, native"]))
def test_an_update_that_is_too_large_is_found_though_no_gradient_was_at_fault(scheme):
    """Every gradient is 1, and two such steps are too much for float32."""
    result = trained(scheme, optax.sgd(2e38), lambda w, batch: w.sum() * batch, jnp.zeros(1), one)
    assert result.outcome == "diverged"
    assert "made params not finite" in result.message
    assert all_finite(result.params)


def test_what_is_given_back_of_a_diverged_run_replays_to_the_same_bits():
    result = trained("leashed")
    again = jasgd.replay(result, root_of_zero, optax.sgd(0.01), batches)
    assert again.exact, again.difference
    assert again.compared == ("params", "opt_state")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("scheme", ids(["leashed", "locked, native"]))
def test_every_precision_is_looked_at(scheme, dtype):
    """One number of one leaf, and the others of another precision."""

    def loss_fn(params, batch):
        root = params["b"][1, 3].astype(jnp.float32) * batch
        return jnp.sum(params["a"]) + jnp.where(root > 0, jnp.sqrt(root), 0.0)

    x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    with x64(True):
        params = {"a": jnp.ones(3, jnp.float32), "b": jnp.full((3, 5), 4, dtype)}
        result = trained(scheme, loss_fn=loss_fn, params=params, workers=1)
    assert result.outcome == "diverged"
    assert "params['b'] not finite" in result.message
    assert all_finite(jax.tree.map(lambda leaf: leaf.astype(jnp.float32), result.params))


def test_apply_if_finite_keeps_the_parameters_finite_and_the_run_goes_on():
    result = trained("leashed", optax.apply_if_finite(optax.sgd(0.01), 5), on_nonfinite="pass", workers=1, steps=60)
    assert result.outcome == "finished"
    assert int(result.opt_state.total_notfinite) == 1
    assert all_finite(result.params)


class Own(jasgd.schemes.Scheme):
    """A scheme of a user's, which looks at nothing."""

    def __init__(self, setup):
        super().__init__(setup)
        self._current = jasgd.schemes.Snapshot(0, setup.params, setup.state)

    def read(self, worker):
        self._ledger.note_read(worker, self._current.version)
        return jasgd.schemes.View(self._current.version, self._current.params)

    def commit(self, gradient):
        base = self._current
        self._ledger.require_open(base.version)
        tau = self._ledger.staleness_between(gradient.view.version, base.version)
        self._current, factor = self.successor(base, gradient, tau)
        return self._ledger.record_applied(gradient, base.version, tau, factor)

    def snapshot(self):
        return self._current


@pytest.mark.parametrize("steps", [60, BAD + 1])
def test_a_scheme_of_one_s_own_needs_to_look_at_nothing(steps):
    """Workers look at what they read, and the run at its end."""
    result = trained(Own, workers=1, steps=steps)
    assert result.outcome == "diverged"
    assert f"commit {BAD} made params['layer']['root'] not finite" in result.message
    assert all_finite(result.params)
    assert result.execution.metadata["params_version"] == BAD
    assert result.execution.commits == BAD + 1


def test_parameters_with_a_finite_loss_are_not_given_back_where_they_are_not_finite_themselves():
    """The newest view with a finite loss may be one that a bad commit has made: a worker may be that fast."""
    run = jasgd.training.run.Run
    seen = []

    class Late(Own):
        """Two workers; the second reads what the first has made before the first has come to look at it."""

        checks_commits = True

        def commit(self, gradient):
            done = super().commit(gradient)
            if gradient.ticket == BAD:
                view = self.read(0)
                seen.append(view)
                self._run.note_good(view)
                self._ledger.check_made(gradient, done.version, view.params, gradient.view)
            return done

    original = run.__init__

    def noted(self, scheme, *rest, **options):
        original(self, scheme, *rest, **options)
        scheme._run = self

    run.__init__ = noted
    try:
        result = trained(Late, workers=1)
    finally:
        run.__init__ = original
    assert not all_finite(seen[0].params)
    assert result.outcome == "diverged"
    assert all_finite(result.params)
    assert result.execution.metadata["params_version"] == BAD


@pytest.mark.parametrize("scheme", ids(EVERY))
def test_parameters_that_are_not_finite_are_refused_at_the_door(scheme):
    params = start()
    params["layer"]["root"] = params["layer"]["root"].at[2].set(jnp.inf)
    with pytest.raises(ValueError, match=r"params\['layer'\]\['root'\] must be finite, got inf at \[2\]"):
        trained(scheme, params=params)


def test_an_evaluation_that_is_not_finite_is_said_at_the_end():
    result = trained("leashed", draw=one, evaluate=lambda params: {"loss": jnp.nan, "accuracy": 0.5})
    assert result.outcome == "finished"
    assert "evaluate gave loss nan at version 60" in result.message


def test_a_loss_of_minus_infinity_is_no_target_that_was_reached():
    values = iter([1.0, -np.inf])
    result = trained("leashed", draw=one, target_loss=0.5, evaluate=lambda params: next(values))
    assert result.outcome == "finished"

"""A simulated run carries its model state as a trained one does: along the same execution both come to the same."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import EVERY
from support.model_states import DECAY, normalized, plain, transformation

import jasgd


def both(scheme, **options):
    params, model_state, loss_fn, batches = normalized()
    options |= {"has_aux": True, "model_state": model_state}
    trained = jasgd.train(loss_fn, params, transformation(), batches, scheme=EVERY[scheme],
                          workers=1 if scheme == "sequential" else 3, steps=40, **options)  # fmt: skip
    simulated = jasgd.simulate(loss_fn, params, transformation(), batches, execution=trained.execution, **options)
    return trained, simulated[0]


@pytest.mark.parametrize("merge", [None, jasgd.moving_averages(DECAY)], ids=["by default", "moving averages"])
@pytest.mark.parametrize("scheme", ["sequential", "synchronous", "leashed"])
def test_along_a_recorded_execution_it_is_that_of_the_run(scheme, merge):
    trained, simulated = both(scheme, merge=merge)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4),
                 plain(simulated.model_state), plain(trained.model_state))  # fmt: skip
    assert simulated.model_state["count"].dtype == jnp.uint32
    assert int(simulated.model_state["count"]) == 3 + len(trained.execution)
    assert simulated.execution.metadata["merge"] == trained.execution.metadata["merge"]
    same = simulated.execution.metadata["initial_model_state"], simulated.execution.metadata["dtypes"]["model_state"]
    of_run = trained.execution.metadata["initial_model_state"], trained.execution.metadata["dtypes"]["model_state"]
    assert same == of_run


@pytest.mark.parametrize("lanes", ["threads", "vmap"])
def test_each_seed_may_begin_with_a_state_of_its_own(lanes):
    def loss_fn(w, batch, model_state):
        return jnp.sum(w**2), {"count": model_state["count"] + 1, "inf": model_state["inf"]}

    beginning = lambda count: {"count": count, "inf": jnp.asarray(jnp.inf)}  # noqa: E731
    runs = jasgd.simulate(loss_fn, jnp.ones(2), optax.sgd(0.1), np.float32, cluster=jasgd.Cluster(compute_s=1.0),
                          workers=2, steps=10, seeds=[5, 6], lanes=lanes,
                          model_state=jasgd.by_seed(lambda seed: beginning(jnp.int32(seed))),
                          evaluate=lambda w, model_state: model_state["count"].astype(float))  # fmt: skip
    assert [int(run.model_state["count"]) for run in runs] == [15, 16]
    assert [run.evaluations[-1]["loss"] for run in runs] == [15, 16]
    assert [int(run.initial_model_state["count"]) for run in runs] == [5, 6]
    assert {str(run.outcome) for run in runs} == {"finished"}
    with pytest.raises(ValueError, match="model_state must have the same structure, shapes and dtypes for every seed"):
        jasgd.simulate(loss_fn, jnp.ones(2), optax.sgd(0.1), np.float32, cluster=jasgd.Cluster(compute_s=1.0),
                       workers=2, steps=10, seeds=[1, 2],
                       model_state=jasgd.by_seed(lambda seed: beginning(jnp.ones(seed))))  # fmt: skip


class Problem:
    name, params, model_state = "normalizing", jnp.zeros(3), {"mean": jnp.zeros(())}

    @staticmethod
    def batches(ticket):
        return np.float32(1 + ticket % 3)

    @staticmethod
    def loss_fn(w, batch, model_state):
        return jnp.mean((w - batch) ** 2), {"mean": 0.9 * model_state["mean"] + 0.1 * batch}

    @staticmethod
    def evaluate(w, model_state):
        return {"loss": jnp.mean((w - 2) ** 2), "mean": model_state["mean"]}


def test_comparisons_and_sweeps_take_it_from_their_problem():
    compared = jasgd.compare(lambda seed: Problem, ["constant"], [0], workers=2, learning_rate=0.1, steps=60)
    run = compared.runs["constant"][0]
    assert run.evaluations[-1]["mean"] == float(run.model_state["mean"]) > 1
    swept = jasgd.sweep(lambda seed: Problem, ["constant"], [0], workers=[2], learning_rates=[0.1], steps=60,
                        clusters={"even": jasgd.Cluster(compute_s=1.0)})  # fmt: skip
    assert "1 finished" in repr(swept)

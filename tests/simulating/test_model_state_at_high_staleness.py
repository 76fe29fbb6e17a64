"""Moving averages of momentum 0.9 at the staleness of 32 and of 256 workers are stable, and forget what is stated."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd

DECAY, COMMITS, MEAN, DEVIATION = 0.9, 3000, 4.0, 2.0
STATE = {"mean": jnp.zeros(()), "var": jnp.ones(()), "count": jnp.int32(0)}
DATA = np.random.default_rng(0).normal(MEAN, DEVIATION, (COMMITS, 64)).astype(np.float32)


def loss_fn(w, batch, model_state):
    mean, var = batch.mean(), batch.var()
    new = {
        "mean": DECAY * model_state["mean"] + (1 - DECAY) * mean,
        "var": DECAY * model_state["var"] + (1 - DECAY) * var,
        "count": model_state["count"] + 1,
    }
    return jnp.mean((w - batch) ** 2), new


def simulated(tau, **options):
    """A run in which every gradient but the first ones has the same staleness, as workers that take turns have."""
    lowest = []

    def evaluate(w, model_state):
        lowest.append(float(model_state["var"]))
        return {"loss": 0.0, "mean": model_state["mean"]}

    cluster = jasgd.Cluster(compute_s=1.0)
    (run,) = jasgd.simulate(loss_fn, jnp.zeros(()), optax.sgd(0.001), lambda ticket: DATA[ticket % COMMITS],
                            cluster=cluster, scheme="leashed", workers=tau + 1, steps=COMMITS, model_state=STATE,
                            evaluate=evaluate, evaluate_every_steps=50, **options)  # fmt: skip
    assert np.median(run.execution.staleness) == tau
    assert min(lowest) > 0
    assert int(run.model_state["count"]) == COMMITS
    return run


@pytest.mark.parametrize("tau", [31, 255])
def test_by_default_a_stale_average_is_stable_and_still_has_its_beginning_as_stated(tau):
    state = simulated(tau).model_state
    begins = DECAY ** (COMMITS / (tau + 1))  # 0.9^94 = 0.00005 of it is left, and 0.9^11.7 = 0.29
    assert float(state["mean"]) == pytest.approx((1 - begins) * MEAN, rel=0.1)
    assert float(state["var"]) == pytest.approx((1 - begins) * DEVIATION**2 + begins, rel=0.25)


def test_at_a_staleness_of_31_nothing_of_the_beginning_is_left():
    assert float(simulated(31).model_state["mean"]) == pytest.approx(MEAN, rel=0.1)


@pytest.mark.parametrize("tau", [31, 255])
def test_moving_averages_forget_nothing_at_any_staleness(tau):
    state = simulated(tau, merge=jasgd.moving_averages(DECAY)).model_state
    assert float(state["mean"]) == pytest.approx(MEAN, rel=0.1)
    assert float(state["var"]) == pytest.approx(DEVIATION**2, rel=0.25)


def test_adding_changes_would_not_be_stable():
    """Why they are not added: what the library would do without is far off, so the tests above can tell."""
    merge = lambda published, new, read: {k: published[k] + (new[k] - read[k]) for k in new}  # noqa: E731
    cluster = jasgd.Cluster(compute_s=1.0)
    (run,) = jasgd.simulate(loss_fn, jnp.zeros(()), optax.sgd(0.001), lambda ticket: DATA[ticket % COMMITS],
                            cluster=cluster, workers=32, steps=COMMITS, model_state=STATE, merge=merge)  # fmt: skip
    assert not 0 < float(run.model_state["var"]) < 100

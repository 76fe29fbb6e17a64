"""A law of each worker's own, and steps by a worker's share of the commits: each worker's share is what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd import cluster, rules
from jasgd.adaptive import per_worker, worker_rescaled

SPEEDS = [1.0, 1.0, 1.0, 6.0]  # the last is the fast one
EXECUTION = cluster.generate(
    cluster.Cluster(compute_s=cluster.gamma(1.0, 8), speeds=SPEEDS), workers=4, steps=900, seed=3
)


def factors_of(tx, execution=EXECUTION):
    """C of each commit of an execution, in a scan."""

    def step(state, row):
        tau, worker = row
        scaled, state = tx.update(jnp.ones(()), state, staleness=tau, worker=worker)
        return state, scaled

    rows = jnp.asarray(execution.staleness, jnp.int32), jnp.asarray(execution.worker, jnp.int32)
    return np.asarray(jax.jit(lambda s: jax.lax.scan(step, s, rows))(tx.init(jnp.zeros(())))[1])


def mean_by_worker(factors):
    return np.array([factors[EXECUTION.worker == worker].mean() for worker in range(4)])


def test_tail_of_one_law_shifts_shares_and_of_a_law_per_worker_keeps_them():
    one = mean_by_worker(factors_of(jasgd.staleness_adaptive("tail")))
    own = mean_by_worker(factors_of(per_worker("tail", 4)))
    assert one[3] - one[:3].max() > 0.3
    np.testing.assert_allclose(own, 1.0, atol=0.05)


def test_each_law_is_that_of_its_worker_alone():
    tx = per_worker(rules.tail(), 4, "window:length=64")
    factors = factors_of(tx)
    for worker in (0, 3):
        rows = EXECUTION.worker == worker
        alone, state = jasgd.staleness_adaptive(rules.tail(), "window:length=64"), None
        state = alone.init(jnp.zeros(()))
        update = jax.jit(lambda s, tau, tx=alone: tx.update(jnp.ones(()), s, staleness=tau))
        expected = []
        for tau in EXECUTION.staleness[rows][:40]:
            step, state = update(state, np.int32(tau))
            expected.append(float(step))
        np.testing.assert_allclose(factors[rows][:40], expected, atol=1e-6)


def test_rescaled_steps_give_each_worker_the_same_sum_and_the_mean_1():
    factors = factors_of(worker_rescaled(4))[100:]
    worker = EXECUTION.worker[100:]
    sums = np.array([factors[worker == one].sum() for one in range(4)])
    np.testing.assert_allclose(sums / sums.mean(), 1.0, atol=0.1)
    assert factors.mean() == pytest.approx(1, abs=0.05)
    time_s = 1 / np.asarray(SPEEDS)
    means = np.array([factors[worker == one].mean() for one in range(4)])
    np.testing.assert_allclose(means / means.mean(), time_s / time_s.mean(), rtol=0.1)


def test_with_a_half_life_it_follows_speeds_and_leaves_out_a_worker_that_is_gone():
    tx = worker_rescaled(3, half_life=5.0)
    update = jax.jit(lambda s, w: tx.update(jnp.ones(()), s, worker=w))
    state = tx.init(jnp.zeros(()))
    for worker in [0, 1, 2] * 10 + [0, 1] * 60:
        step, state = update(state, np.int32(worker))
    assert float(step) == pytest.approx(1.0, abs=0.1)  # of two workers, and not of three
    for _ in range(60):
        step, state = update(state, np.int32(0))
    assert float(step) == pytest.approx(1.0, abs=0.01)
    fresh, _ = update(state, np.int32(2))  # one that comes back
    assert float(fresh) > 2


def test_counts_go_on_beyond_what_float32_counts():
    tx = worker_rescaled(2)
    state = tx.init(jnp.zeros(()))._replace(counts=jnp.array([2.0**23 - 1, 2.0**22]))
    for worker in (0, 1, 0):
        step, state = tx.update(jnp.ones(()), state, worker=worker)
    assert float(step) == pytest.approx(0.75, abs=1e-4)
    assert float(state.counts.max()) < 2.0**23


@pytest.mark.parametrize("make", [lambda: per_worker("tail", 2), lambda: worker_rescaled(2)])
def test_a_worker_beyond_the_number_is_a_nan_and_the_mean_of_several_counts_for_no_worker(make):
    tx = make()
    state = tx.init(jnp.zeros(()))
    step, after = tx.update(jnp.ones(()), state, staleness=0, worker=-1)
    assert float(step) == 1.0
    step, _ = tx.update(jnp.ones(()), after, staleness=3, worker=1)
    assert float(step) == 1.0  # the first of worker 1
    step, state = tx.update(jnp.ones(()), state, staleness=0, worker=2)
    assert np.isnan(float(step))
    assert np.isnan(float(state.adaptive.factor))


def loss_fn(w, batch):
    return jnp.sum((w - batch) ** 2)


def of_worker(ticket, worker):
    return np.float32(worker + 0.1 * (ticket % 3))


@pytest.mark.parametrize("make", [lambda: per_worker("tail", 3), lambda: worker_rescaled(3)])
def test_it_trains_with_threads_replays_to_the_bit_and_is_refused_by_native_rounds_by_name(make):
    tx = optax.chain(make(), optax.sgd(0.05))
    result = jasgd.train(loss_fn, jnp.zeros(2), tx, of_worker, scheme="leashed", workers=3, steps=60)
    assert result.outcome is jasgd.Outcome.FINISHED
    assert np.isfinite(result.execution.factor).all()
    assert jasgd.replay(result, loss_fn, tx, of_worker).exact
    assert float(result.opt_state[0].adaptive.factor) == result.execution.factor[-1]
    with pytest.raises(ValueError, match="native must be False, as tx asks for the worker"):
        jasgd.train(loss_fn, jnp.zeros(2), tx, of_worker, scheme="locked:native=true", workers=3, steps=6)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: per_worker("tail", 0), ValueError, "workers must be an integer ≥ 1, got 0"),
        (lambda: per_worker(rules.tail_published(2), 2), ValueError, "rule must be one without a law of its own"),
        (lambda: per_worker(3.0, 2), TypeError, "rule must be a function of"),
        (lambda: per_worker("tail", 2, 7), TypeError, "law must be a StalenessHistogram"),
        (lambda: worker_rescaled(0), ValueError, "workers must be an integer ≥ 1, got 0"),
        (lambda: worker_rescaled(2, half_life=-1), ValueError, "half_life must be > 0 commits, got -1"),
    ],
)
def test_bad_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()

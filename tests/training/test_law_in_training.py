"""The law that is measured while workers train: it follows them, and keeps the mean step size."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, ids
from support.problems import network
from support.training_runs import ASYNCHRONOUS, adaptive

import jasgd
from jasgd import rules


def test_the_law_follows_workers_that_join_and_training_goes_on():
    """8 of 12 workers wait in their batches until 4 workers have taken 600 updates; then all take part."""
    updates, joined, window = [0], threading.Event(), 200

    def batches(ticket):
        name = threading.current_thread().name
        if name.startswith("jasgd-worker") and int(name.rsplit("-", 1)[1]) >= 4:
            joined.wait(60)
        return big(ticket)

    def big(ticket):
        return np.ones(200_000, np.float32)

    def on_commit(gradient_version):
        updates[0] = gradient_version
        if gradient_version >= 600:
            joined.set()

    class Noted(jasgd.schemes.Leashed):
        def commit(self, gradient):
            done = super().commit(gradient)
            on_commit(done.version)
            return done

    tx = optax.chain(jasgd.staleness_adaptive(rules.tail(), jasgd.StalenessHistogram.window(window)), optax.sgd(1e-3))
    result = jasgd.train(
        lambda w, b: 0.5 * jnp.mean((w - b) ** 2), jnp.zeros(200_000), tx, batches, scheme=Noted, workers=12, steps=2000
    )
    execution = result.execution
    assert set(execution.worker[:600].tolist()) <= set(range(4))
    assert len(set(execution.worker[1000:].tolist())) == 12
    before, after = execution.staleness[300:600].mean(), execution.staleness[1200:].mean()
    assert after > 1.5 * before
    # The law at the end is exactly that of the last window, so nothing of the 4 workers is left in it.
    law = result.opt_state[0].law
    np.testing.assert_array_equal(np.sort(law.values), np.sort(execution.staleness[-window:]))
    assert float(execution.factor[1200:].mean()) == pytest.approx(1, abs=0.1)


def test_a_law_sampled_once_lets_the_step_size_vanish_when_workers_join_and_a_window_does_not():
    rng = np.random.default_rng(0)
    tau = np.concatenate([rng.poisson(3, 1000), rng.poisson(11, 1000)]).astype(np.int32)

    def mean_factor(law):
        tx = jasgd.staleness_adaptive(rules.tail(), law)

        def step(state, t):
            _, state = tx.update(jnp.zeros(()), state, staleness=t)
            return state, state.factor

        return float(jax.lax.scan(step, tx.init(jnp.zeros(())), jnp.asarray(tau))[1][1300:].mean())

    assert mean_factor(jasgd.StalenessHistogram.one_shot(100, 600)) < 0.1
    assert mean_factor(jasgd.StalenessHistogram.window(200)) == pytest.approx(1, abs=0.05)
    assert mean_factor(jasgd.StalenessHistogram.decay(100)) == pytest.approx(1, abs=0.05)


def autocorrelated_standard_error(x, batches=40):
    """Standard error of a mean by batch means, which allows for autocorrelation within a batch."""
    means = x[: len(x) // batches * batches].reshape(batches, -1).mean(axis=1)
    return means.std(ddof=1) / batches**0.5


@pytest.mark.parametrize("scheme", ids(ASYNCHRONOUS))
def test_over_a_stationary_execution_the_mean_factor_is_one_and_strict_exceeds_it(scheme):
    params, loss_fn, batches = network()
    tau = jasgd.train(
        loss_fn, params, adaptive(0.01), batches, scheme=EVERY[scheme], workers=6, steps=8000
    ).execution.staleness[1000:]  # fmt: skip
    # In another order these are as many updates of a stationary run, whatever else the machine did meanwhile.
    tau = np.random.default_rng(0).permutation(tau)

    def realised(kind):
        tx = jasgd.staleness_adaptive(rules.tail(cdf=kind), jasgd.StalenessHistogram.window(1024))

        def step(state, t):
            _, state = tx.update(jnp.zeros(()), state, staleness=t)
            return state, (state.factor, state.law.sum_p2())

        _, (factor, s2) = jax.lax.scan(step, tx.init(jnp.zeros(())), jnp.asarray(tau, jnp.int32))
        return np.asarray(factor, np.float64)[1024:], np.asarray(s2)[1024:]

    mid, s2 = realised("mid")
    strict, _ = realised("strict")
    assert abs(mid.mean() - 1) <= 4 * autocorrelated_standard_error(mid)
    excess = strict.mean() - mid.mean()
    # With a window of N that contains the value itself, strict exceeds mid by the mean of p(τ): A·Σp².
    assert excess == pytest.approx(s2.mean(), rel=0.1)
    assert excess > 0.01

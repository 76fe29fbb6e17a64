"""The best line with an estimated L: that of the rule with c = 2Lη, in threads, native rounds and simulations."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd import StalenessHistogram, rules
from jasgd.adaptive import best_line_adaptive, probes, secants

CURVATURE, RATE = 4.0, 0.05


def loss_fn(w, batch):
    return 0.5 * CURVATURE * jnp.sum((w - batch) ** 2)


def batches(ticket):
    return np.asarray(np.random.default_rng(ticket).normal(size=3), np.float32)


ESTIMATORS = {
    "probes": lambda: probes(loss_fn, jnp.zeros(3), every=5),
    "secants": lambda: secants(half_life=200.0),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_its_factor_is_that_of_the_rule_with_c_from_the_estimate_before(name):
    tx, window = best_line_adaptive(RATE, ESTIMATORS[name](), "window:length=64"), StalenessHistogram.window(64)
    rng, w = np.random.default_rng(0), jnp.zeros(3)
    state, law = tx.init(w), window
    update = jax.jit(lambda g, s, w, tau, read: tx.update(g, s, w, staleness=tau, read_params=read))
    factor = jax.jit(lambda c, tau, law: jasgd.rules.lines.best_line(law, c)(tau))
    values = []
    for ticket in range(40):
        tau, read = np.int32(rng.geometric(0.2)), jnp.asarray(rng.normal(size=3), jnp.float32)
        law, c = law.count(tau), 2 * RATE * float(state.smoothness.value)
        _, state = update(jax.grad(loss_fn)(read, batches(ticket)), state, w, tau, read)
        assert float(state.adaptive.factor) == pytest.approx(float(factor(c, tau, law)), rel=1e-4)
        values.append(float(state.adaptive.factor))
    assert values[0] == 1.0
    assert np.std(values) > 0.05
    assert float(state.smoothness.value) == pytest.approx(CURVATURE, rel=1e-3 if name == "probes" else 0.6)
    with pytest.raises(ValueError, match="best_line_adaptive needs the current parameters"):
        tx.update(w, state, staleness=0, read_params=w)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("scheme", ["leashed:native=false", "locked:native=true"])
def test_it_trains_and_replays_to_the_bit_in_native_rounds_too(name, scheme):
    tx = optax.chain(best_line_adaptive(RATE, ESTIMATORS[name]()), optax.sgd(RATE))
    result = jasgd.train(loss_fn, jnp.ones(3), tx, batches, scheme=scheme, workers=3, steps=80)
    assert np.isfinite(result.execution.factor).all()
    assert float(result.opt_state[0].adaptive.factor) == result.execution.factor[-1]
    assert jasgd.replay(result, loss_fn, tx, batches).exact


def test_the_law_is_checked_and_the_estimator():
    with pytest.raises(TypeError, match="law must be a StalenessHistogram"):
        best_line_adaptive(RATE, secants(), 7)
    with pytest.raises(
        TypeError, match=r"smoothness must be a SmoothnessEstimator, got float 1.0: call jasgd.adaptive"
    ):
        best_line_adaptive(RATE, 1.0)
    with pytest.raises(ValueError, match="learning_rate must be > 0 per update, got 0"):
        best_line_adaptive(0, secants())


def test_without_staleness_it_is_the_constant_step():
    tx = best_line_adaptive(RATE, secants())
    w = jnp.ones(3)
    state = tx.init(w)
    for ticket in range(5):
        _, state = tx.update(jax.grad(loss_fn)(w, batches(ticket)), state, w, staleness=0, read_params=w)
        assert float(state.adaptive.factor) == 1.0
    assert rules.best_linear(0.0)(3, state.adaptive.law) == 1.0

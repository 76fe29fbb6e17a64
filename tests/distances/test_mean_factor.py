"""The mean of C is 1: over a window whatever the distances, and with steady=True over a run as they change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jasgd
from jasgd import rules
from jasgd.distances import measured_parabola, parabola
from jasgd.distances.law import DistanceLaw

LENGTH = 16


def bent(bend):
    return lambda distance, law: measured_parabola()(distance, law, jnp.float32(bend))


RULES = {
    "tail": rules.tail(), "power": rules.rank_power(3.0), "exponential": rules.rank_exponential(20.0),
    "share": rules.freshest_share(0.3), "linear": rules.linear(1.05), "parabola": parabola(0.3),
    "narrow parabola": parabola(4.0), "straight": bent(0.0), "bent": bent(1.0), "much bent": bent(1000.0),
}  # fmt: skip


def laws():
    """Windows full and not, of equal, nearly equal, repeated, zero and very different distances, at every scale."""
    rng, updates, values = np.random.default_rng(4), [], []
    shapes = [
        lambda n: rng.gamma(1, 1, n), lambda n: rng.integers(0, 3, n), lambda n: np.ones(n), lambda n: np.zeros(n),
        lambda n: rng.lognormal(0, 3, n), lambda n: 1 + 1e-6 * rng.normal(size=n),
    ]  # fmt: skip
    for shape in shapes:
        for number in (1, 2, 3, 9, LENGTH):
            for scale in (1e-30, 1.0, 1e30):
                window = np.full(LENGTH, -1, np.float32)
                window[:number] = shape(number) * scale
                updates.append(number)
                values.append(window)
    return DistanceLaw(jnp.int32(updates), jnp.stack(values))


@pytest.mark.parametrize("name", RULES)
def test_it_is_1_over_the_window_and_no_factor_is_below_0(name):
    def factors(law):
        return jax.vmap(lambda distance: jnp.asarray(RULES[name](distance, law), jnp.float32))(law.support)

    every = laws()
    found, held = np.asarray(jax.jit(jax.vmap(factors))(every), np.float64), np.asarray(every.values) >= 0
    assert np.isfinite(found).all()
    assert found[held].min() >= 0
    np.testing.assert_allclose((found * held).sum(axis=1) / held.sum(axis=1), 1, atol=1e-6)


def factors_of(distances, **options):
    tx = jasgd.distance_adaptive("tail", **options)

    def step(state, distance):
        _, state = tx.update(jnp.ones(1), state, jnp.zeros(1), read_params=distance[None])
        return state, state.factor

    state, factors = jax.lax.scan(step, tx.init(jnp.zeros(1)), jnp.asarray(distances, jnp.float32))
    return np.asarray(factors, np.float64), state


@pytest.mark.parametrize("growth", [-0.007, 0.007])
def test_held_steady_it_is_1_over_a_run_whose_distances_shrink_or_grow(growth):
    distances = np.random.default_rng(2).gamma(9.0, 1.0, 640) * np.exp(growth * np.arange(640))
    drifting, _ = factors_of(distances, window=64)
    held, state = factors_of(distances, window=64, steady=True)
    assert abs(drifting.mean() - 1) > 0.15
    assert held.mean() == pytest.approx(1, abs=64 / 640)
    assert held.mean() == pytest.approx(1 - float(state.debt) / 640, abs=1e-4)
    assert 0 <= held.min() <= held.max() <= 4


def test_held_steady_the_factor_looks_at_the_past_alone():
    plain, _ = factors_of([1.0, 3.0, 2.0, 0.5], steady=False, window=8)
    held, _ = factors_of([1.0, 3.0, 2.0, 0.5], steady=True, window=8)
    debt = 0.0
    for factor, kept in zip(plain, held, strict=True):
        assert kept == pytest.approx(factor * (1 + debt / 8), rel=1e-6)
        debt += 1 - kept


def test_a_distance_that_is_not_finite_is_no_debt():
    held, state = factors_of([1.0, 3.0, np.nan, np.inf, 2.0], steady=True, window=8)
    assert np.isnan(held[2:4]).all()
    assert np.isfinite([held[4], float(state.debt)]).all()
    with pytest.raises(ValueError, match="steady must be True or False, got 1"):
        jasgd.distance_adaptive("tail", steady=1)
    with pytest.raises(ValueError, match="steady must be True or False, got 'maybe'"):
        jasgd.distance_adaptive("tail:steady=maybe")

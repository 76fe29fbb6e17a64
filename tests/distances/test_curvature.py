"""The curvature that a run measures without a gradient of its own, and the parabola that it bends."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd.cluster import Cluster, gamma
from jasgd.distances import measured_parabola
from jasgd.distances.curvature import Curvature
from jasgd.distances.law import DistanceLaw

SIZE, CURVATURE = 40, 2.0


def quadratic(w, batch):
    """Curved alike in all directions; the batch moves the gradient, and the loss by noise of mean 0."""
    return CURVATURE / 2 * jnp.sum(w * w) + w @ batch


def noise(ticket):
    return np.random.default_rng(ticket).normal(0, 1, SIZE).astype(np.float32)


def simulated(rate, workers, rule="measured_parabola", steps=600):
    tx = optax.chain(jasgd.distance_adaptive(rule), optax.sgd(rate))
    (run,) = jasgd.simulate(
        quadratic, jnp.ones(SIZE), tx, noise, cluster=Cluster(compute_s=gamma(1.0, 4.0)), scheme="leashed",
        workers=workers, steps=steps,
    )  # fmt: skip
    return run


def curvature_of(state):
    """E[δᵀHδ] / E[D²], from what the state of a run has kept; the loss has come to rest."""
    inner, _, _, _, distance = np.asarray(state.curvature.ring, np.float64)
    return -2 * inner.mean() / np.mean(distance**2)


def test_the_inner_products_of_a_run_at_rest_show_its_curvature():
    for workers, rate in ((4, 0.02), (16, 0.01)):
        run = simulated(rate, workers, "measured_parabola:window=2000", steps=9000)
        assert curvature_of(run.opt_state[0]) == pytest.approx(CURVATURE, rel=0.2)


def test_the_bend_grows_with_the_staleness_and_with_the_step_and_is_0_without_it():
    bends = {
        (workers, rate): float(
            simulated(rate, workers, "measured_parabola:window=1000", steps=5000).opt_state[0].curvature.bend
        )
        for workers, rate in ((1, 0.02), (4, 0.005), (4, 0.02), (16, 0.02))
    }
    assert bends[1, 0.02] == 0
    assert 0 <= bends[4, 0.005] < bends[4, 0.02] < bends[16, 0.02]
    # Where steps are a random walk it is L η E[τ], with all the curvature along the way for L.
    assert bends[4, 0.02] == pytest.approx(CURVATURE * 0.02 * 3, rel=0.4)


def counted(rows, window=64):
    curvature, count = Curvature.window(window), jax.jit(Curvature.count)
    for row in np.asarray(rows, np.float32):
        curvature = count(curvature, *row)
    return curvature


def test_a_slope_without_curvature_bends_nothing():
    """Down a slope without noise the inner products are those of the descent, and the trend of the loss says so."""
    rate, tau = 0.1, 5  # gradients of norm 1, which move by rate · tau and come down by as much
    straight = [(-rate * tau, 1.0, tau, 3 - rate * k, rate * tau) for k in range(64)]
    assert float(counted(straight).bend) == pytest.approx(0, abs=1e-4)
    level = [(inner, norm, tau, 3.0, distance) for inner, norm, tau, _, distance in straight]
    assert float(counted(level).bend) == pytest.approx(2 * np.sqrt(tau), rel=1e-5)


def test_a_young_run_bends_by_its_staleness_and_what_is_not_finite_is_left_out():
    rows = [(-1.0, 1.0, 2, 1.0, 1.0)] * 31
    assert float(counted(rows).bend) == pytest.approx(0.05 * 2)
    assert float(counted([*rows, rows[0]]).bend) == pytest.approx(2 * np.sqrt(2), rel=1e-5)
    odd = counted([*rows, (np.nan, 1.0, 2, 1.0, 1.0), (-1.0, np.inf, 2, 1.0, 1.0)])
    assert float(odd.bend) == pytest.approx(0.05 * 2)
    assert int(odd.updates) == 31
    assert float(counted([(0.0, 0.0, 0, 1.0, 0.0)] * 40).bend) == 0


@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
def test_the_bend_has_no_unit(scale):
    rows = [(-1.0 * scale, 1.0 * scale, 2, 0.0, 1.0)] * 40
    assert float(counted(rows).bend) == pytest.approx(2 * np.sqrt(2), rel=1e-5)


@pytest.mark.parametrize("bend", [0.0, 0.05, 0.8, 3.0, 40.0])
def test_the_measured_parabola_is_the_one_of_the_bend_with_mean_one(bend):
    law, distances = DistanceLaw.window(64), np.random.default_rng(5).gamma(2.0, 1.0, 64).astype(np.float32)
    for distance in distances:
        law = law.count(distance)
    factor = jax.jit(measured_parabola())
    found = np.array([float(factor(distance, law, np.float32(bend))) for distance in distances])
    squares = distances.astype(np.float64) ** 2 / np.mean(distances.astype(np.float64) ** 2)
    low, high = 0.0, 1 + bend * squares.max()
    for _ in range(100):  # the level by bisection
        level = (low + high) / 2
        low, high = (level, high) if np.maximum(level - bend * squares, 0).mean() < 1 else (low, level)
    np.testing.assert_allclose(found, np.maximum(level - bend * squares, 0), atol=5e-3 * (1 + bend))
    assert found.mean() == pytest.approx(1, abs=1e-5)


def test_it_needs_the_gradient_the_distance_and_the_loss():
    with pytest.raises(ValueError, match=r"measure must be 'distance' for measured_parabola\(\).*got 'path'"):
        jasgd.distance_adaptive("measured_parabola:measure=path")
    tx, w = jasgd.distance_adaptive("measured_parabola"), jnp.ones(2)
    with pytest.raises(TypeError, match="value"):
        tx.update(w, tx.init(w), w, read_params=w, staleness=0)
    with pytest.raises(ValueError, match="needs the current parameters"):
        tx.update(w, tx.init(w), read_params=w, staleness=0, value=1.0)

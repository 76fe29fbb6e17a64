"""Estimates of L: right on quadratics, without noise and with it, and finite whatever the run does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jasgd.adaptive.smoothness import inner, norm, probes, secants

CURVATURES = jnp.array([0.5, 2.0, 5.0])


def loss_fn(params, batch):
    return 0.5 * jnp.sum(CURVATURES * params["w"] ** 2) + jnp.sum(batch * params["w"]) + params["b"] ** 2


def point(*values, b=0.0):
    return {"w": jnp.array(values), "b": jnp.float32(b)}


def gradient(params, batch):
    return jax.grad(loss_fn)(params, batch)


def walk(estimator, commits, *, noise=0.0, tau=1, seed=0):
    """Points drawn anew, gradients with noise of their own; the last state."""
    rng, state = np.random.default_rng(seed), estimator.init(point(0.0, 0.0, 0.0))
    update = jax.jit(estimator.update)
    for _ in range(commits):
        read = point(*rng.normal(size=3), b=rng.normal())
        grads = gradient(read, jnp.asarray(noise * rng.normal(size=3), jnp.float32))
        state = update(state, grads, point(*rng.normal(size=3), b=0.0), read, jnp.int32(tau))
    return state


def test_a_probe_is_the_curvature_along_the_step_whatever_the_batch():
    estimator = probes(loss_fn, jnp.array([3.0, -7.0, 1.0]), every=1)
    for axis, curvature in enumerate(CURVATURES):
        read = point(*np.eye(3)[axis])
        state = estimator.update(estimator.init(read), None, point(0.0, 0.0, 0.0), read, 1)
        assert float(state.value) == pytest.approx(float(curvature), rel=1e-5)


def test_probes_come_every_so_many_commits_and_wait_for_a_stale_gradient():
    estimator = probes(loss_fn, jnp.zeros(3), every=3, keep=0.5)
    origin, along = point(0.0, 0.0, 0.0), [point(*row) for row in np.eye(3)]
    state, values = estimator.init(origin), []
    for read in (origin, along[0], along[2], along[2], along[2], origin, along[1]):
        state = estimator.update(state, None, origin, read, 1)
        values.append(float(state.value))
    assert values == [0.0, 0.5, 0.5, 0.5, 2.75, 2.75, 2.75]


def test_secants_without_noise_lie_among_the_curvatures():
    value = float(walk(secants(), 50).value)
    assert 1.0 < value < 5.0


def test_the_noise_of_the_batches_is_averaged_away_and_not_counted_as_curvature():
    quiet, noisy = float(walk(secants(half_life=2000.0), 2000).value), walk(secants(half_life=2000.0), 2000, noise=10.0)
    assert float(noisy.value) == pytest.approx(quiet, abs=1.0)  # the norms' quotient would be about 14 / 2


def test_fresh_gradients_are_passed_over():
    assert float(walk(secants(), 20, tau=0).value) == 0.0


def test_a_gradient_that_is_not_finite_does_not_stay_in_the_estimate():
    estimator, state = secants(), walk(secants(), 20)
    read = point(1.0, 1.0, 1.0)
    broken = estimator.update(state, point(jnp.nan, 0.0, 0.0), None, read, 1)
    for x in (2.0, 3.0, 4.0):
        broken = estimator.update(broken, gradient(point(x, x, x), jnp.zeros(3)), None, point(x, x, x), 1)
    assert 0 < float(broken.value) < 5.0


def test_low_precision_is_summed_in_float32():
    tree = {"a": jnp.full(4096, 1 / 64, jnp.bfloat16)}
    assert float(norm(tree)) == 1.0
    assert inner(tree, tree).dtype == jnp.float32


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: probes(None, 0.0), TypeError, r"loss_fn must be a function of \(params, batch\), got None"),
        (lambda: probes(loss_fn, 0.0, every=0), ValueError, "every must be an integer ≥ 1, got 0"),
        (lambda: probes(loss_fn, 0.0, keep=1.0), ValueError, r"keep must lie in \[0, 1\), got 1.0"),
        (lambda: secants(half_life=0.0), ValueError, "half_life must be > 0 commits, got 0.0"),
    ],
)
def test_bad_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("where", [np.nan, np.inf, 3e38])
def test_a_probe_that_is_not_finite_does_not_stay_in_the_estimate(where):
    estimator = probes(lambda w, batch: 1.5 * w**2, batch=None, every=1)
    state = estimator.init(jnp.float32(0))
    for w, value in ((1.0, 3.0), (where, 3.0), (2.0, 3.0)):
        state = estimator.update(state, None, jnp.float32(w), jnp.float32(-1.0), 1)
        assert float(state.value) == value

"""Theorem F in numbers: random laws and distortions, in floats, and the examples of docs/distortions.md."""

import numpy as np
import pytest

LAWS, POINTS = 20_000, 12
CONCAVE = {
    "quadratic": lambda u: u + 0.7 * u * (1 - u),
    "freshest": lambda u: np.minimum(u / 0.3, 1),
    "power": lambda u: 1 - (1 - u) ** 2.5,
    "exponential": lambda u: np.expm1(-3 * u) / np.expm1(-3.0),
    "root": np.sqrt,
}
OTHERS = {"square": np.square, "waves": lambda u: u + 0.1 * np.sin(2 * np.pi * u)}


@pytest.fixture(scope="module")
def laws():
    """Masses of random laws of up to 12 points, among them very uneven ones, and increasing staleness values."""
    rng = np.random.default_rng(0)
    weights = rng.exponential(size=(LAWS, POINTS)) ** rng.choice([0.5, 1, 4], size=(LAWS, 1))
    weights *= np.arange(POINTS) < rng.integers(1, POINTS + 1, size=(LAWS, 1))  # those without mass come last
    masses = weights / weights.sum(axis=1, keepdims=True)
    staleness = np.cumsum(rng.integers(1, 9, size=(LAWS, POINTS)), axis=1) - 1
    ends = np.concatenate([np.zeros((LAWS, 1)), np.minimum(np.cumsum(masses, axis=1), 1)], axis=1)
    return masses, staleness, ends


def factors(distortion, masses, ends):
    gains = np.diff(distortion(ends), axis=1)
    return np.divide(gains, masses, out=np.ones_like(gains), where=masses > 0), gains


@pytest.mark.parametrize("name", [*CONCAVE, *OTHERS])
def test_every_distortion_preserves_the_mean_step_and_has_the_mean_of_its_tails(laws, name):
    masses, staleness, ends = laws
    distortion = (CONCAVE | OTHERS)[name]
    factor, gains = factors(distortion, masses, ends)
    assert np.abs((masses * factor).sum(axis=1) - 1).max() < 5e-15
    # Σ_t (1 - g(F(t))): 1 before the first point, then constant between neighbouring points
    tails = staleness[:, 0] + (np.diff(staleness, axis=1) * (1 - distortion(ends[:, 1:-1]))).sum(axis=1)
    mean = (staleness * gains).sum(axis=1)
    assert np.abs(mean - tails).max() < 2e-13
    if name in CONCAVE:
        assert (mean <= (staleness * masses).sum(axis=1) + 1e-12).all()
        steep = masses > 1e-6  # beside rounding
        both = steep[:, 1:] & steep[:, :-1]
        assert (np.diff(factor, axis=1)[both] <= 1e-8).all()


def test_mean_squares_are_at_most_the_integral_of_the_squared_slope(laws):
    masses, _, ends = laws
    integrals = {"quadratic": 1 + 0.7**2 / 3, "freshest": 1 / 0.3, "power": 2.5**2 / 4}
    for name, integral in integrals.items():
        factor, gains = factors(CONCAVE[name], masses, ends)
        assert ((factor * gains).sum(axis=1) <= integral + 1e-9).all()


def test_rules_of_the_shares_that_are_no_distortion_do_not_preserve_it(laws):
    masses, _, ends = laws
    low, high = ends[:, :-1], ends[:, 1:]
    for rule in (2 - 2 * low, 1 + (1 - low - high) ** 3, 1.5 - (high**2 + low**2) / 2):
        assert np.abs((masses * rule).sum(axis=1) - 1).max() > 0.01

"""Theorem H: its numbers by hand, and that it holds where delays and step sizes look at the past."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from theory.convergence.theorems.distances import distance_bound, distance_condition
from theory.decisions.verdict import Verdict

STEPS, REPLICATIONS, WINDOW = 150, 200, 64


@dataclasses.dataclass(frozen=True)
class Simulated:
    """Replications of SGD on Σλx²/2 with delays; arrays of shape [steps (+ 1), replications]."""

    eigenvalues: np.ndarray
    sigma: float
    path: np.ndarray  # [steps + 1, replications, dimensions]
    alphas: np.ndarray
    distances: np.ndarray

    def values(self):
        return self.path**2 @ self.eigenvalues / 2

    def squared_gradients(self):
        return self.path**2 @ self.eigenvalues**2


def fixed(k, path, drawn):
    return np.minimum(drawn, k)


def adversarial(k, path, drawn):
    """The read, at most as old as the one that was drawn, from which the parameters moved farthest."""
    reach = min(k, int(drawn.max()))
    moved = np.linalg.norm(path[k - reach : k + 1] - path[k], axis=2)
    return np.minimum(reach - moved.argmax(axis=0), np.minimum(drawn, k))


def constant(k, distances):
    return np.ones(distances.shape[1])


def tail_by_distance(k, distances):
    """1 + (1 - 2F) with the mid distribution function F of the last distances, its own among them."""
    window = distances[max(0, k - WINDOW + 1) : k + 1]
    below, same = (window < distances[k]).sum(axis=0), (window == distances[k]).sum(axis=0)
    return 1 + (1 - (2 * below + same) / len(window))


def freshest(k, distances):
    """Twice the step where the parameters moved no more than the median of the last distances, else none."""
    median = np.median(distances[max(0, k - WINDOW + 1) : k + 1], axis=0)
    return np.where(distances[k] <= median, 2.0, 0.0)


DELAYS = {
    "constant": lambda random: np.full((STEPS, REPLICATIONS), 6),
    "geometric": lambda random: np.minimum(random.geometric(0.2, (STEPS, REPLICATIONS)) - 1, 24),
    "two points": lambda random: 16 * random.integers(2, size=(STEPS, REPLICATIONS)),
}
READS = {"as drawn": fixed, "the farthest": adversarial}
FACTORS = {"constant": constant, "tail by distance": tail_by_distance, "freshest": freshest}


def simulated(eigenvalues, sigma, step, delays, reads, factors, seed, start=2.0):
    random = np.random.default_rng(seed)
    eigenvalues = np.asarray(eigenvalues)
    drawn = delays(random)
    path = np.full((len(drawn) + 1, drawn.shape[1], len(eigenvalues)), start)
    noise = random.choice([-1.0, 1.0], size=(*drawn.shape, len(eigenvalues))) * sigma / math.sqrt(len(eigenvalues))
    alphas, distances = np.zeros(drawn.shape), np.zeros(drawn.shape)
    for k in range(len(drawn)):
        view = path[k - reads(k, path, drawn[k]), np.arange(drawn.shape[1])]
        distances[k] = np.linalg.norm(path[k] - view, axis=1)
        alphas[k] = step * factors(k, distances)
        path[k + 1] = path[k] - alphas[k][:, None] * (eigenvalues * view + noise[k])
    return Simulated(eigenvalues, sigma, path, alphas, distances)


def sides(done, form, *, noise=None, distance=1.0):
    """Left and right side of a form of the theorem in each replication, not divided by anything."""
    L, sigma = done.eigenvalues.max(), done.sigma if noise is None else noise
    known = {"smoothness": L, "noise": sigma}
    if form == "convex":
        known |= {"distance": float(np.linalg.norm(done.path[0, 0]))}
    else:
        known |= {"gap": float(done.values()[0, 0])}
    mu = done.eigenvalues.min() if form == "pl" else None
    bounds = [
        distance_bound(alpha, moved * distance, mu=mu, **known).value
        for alpha, moved in zip(done.alphas.T, done.distances.T, strict=True)
    ]
    if form == "pl":
        scale = np.prod(1 / (1 - mu * done.alphas), axis=0)
        return scale * done.values()[-1], scale * np.array(bounds)
    of = done.values() if form == "convex" else done.squared_gradients()
    return (done.alphas * of[:-1]).sum(axis=0), done.alphas.sum(axis=0) * np.array(bounds)


def exceeds(left, right):
    """Whether the mean of the left side is above that of the right by more than three standard errors."""
    apart = left - right
    return apart.mean() - 3 * apart.std(ddof=1) / math.sqrt(len(apart)) > 1e-9 * right.mean()


@pytest.mark.parametrize("form", ["non-convex", "convex", "pl"])
def test_it_holds_where_delays_and_step_sizes_look_at_the_past(form):
    random = np.random.default_rng(7)
    for case, (delays, reads, factors) in enumerate(
        (d, r, f) for d in DELAYS.values() for r in READS.values() for f in FACTORS.values()
    ):
        eigenvalues, sigma = random.uniform(0.05, 1, 3), float(random.choice([0.0, 0.3, 2.0]))
        step = random.choice([0.1, 0.45, 0.499]) / eigenvalues.max()  # C ≤ 2, so Lα < 1
        done = simulated(eigenvalues, sigma, step, delays, reads, factors, seed=case)
        condition = distance_condition(done.alphas.ravel(), smoothness=float(eigenvalues.max()))
        assert condition.verdict is Verdict.PROVED
        assert not exceeds(*sides(done, form)), (form, case)


def rotating(sigma=0.0, step=1.0, steps=150):
    """x ← x - x_{k-1} comes back to where it was after six commits: every step of the proof is an equality."""
    delays = lambda random: np.ones((steps, REPLICATIONS), int)  # noqa: E731
    return simulated([1.0], sigma, step, delays, fixed, constant, seed=0)


@pytest.mark.parametrize("form", ["non-convex", "convex"])
def test_a_wrong_constant_of_the_distances_is_caught(form):
    done = rotating()
    assert not exceeds(*sides(done, form))
    left, right = sides(done, form)
    assert left.mean() > 0.95 * right.mean()
    assert exceeds(*sides(done, form, distance=0.9))


@pytest.mark.parametrize("form", ["non-convex", "convex", "pl"])
def test_a_wrong_constant_of_the_noise_is_caught(form):
    delays = lambda random: np.zeros((STEPS, REPLICATIONS), int)  # noqa: E731
    done = simulated([1.0], 1.0, 0.9 if form == "pl" else 1.0, delays, fixed, constant, seed=0, start=0.0)
    assert not exceeds(*sides(done, form))
    assert exceeds(*sides(done, form, noise=0.9))


def test_beyond_its_step_condition_it_is_false():
    done = simulated([1.0], 1.0, 1.5, lambda random: np.zeros((STEPS, REPLICATIONS), int), fixed, constant, seed=0)
    assert exceeds(*sides(done, "non-convex"))


def test_a_multiplier_that_looks_at_its_own_gradient_is_outside():
    """The theorem needs α_k to be known before the noise of g_k; one that follows its sign leaves the bound."""
    random = np.random.default_rng(0)
    noise = random.choice([-1.0, 1.0], size=(STEPS, REPLICATIONS))
    x, left, squares = np.zeros(REPLICATIONS), np.zeros(REPLICATIONS), np.zeros(REPLICATIONS)
    for k in range(STEPS):
        alpha = np.where(noise[k] > 0, 1.0, 0.0)  # Lα ≤ 1; only steps to one side are taken
        left += alpha * x**2
        squares += alpha**2
        x = x - alpha * (x + noise[k])
    assert exceeds(left, 0.9 * squares)
    assert not exceeds(left, 1.1 * squares)


def test_the_numbers_are_those_of_a_calculation_by_hand():
    alpha, moved = np.array([0.5, 0.25]), np.array([0.0, 2.0])
    known = {"smoothness": 2.0, "noise": 3.0}
    nonconvex = distance_bound(alpha, moved, gap=1.0, **known)
    # (2 + 4·0.25·4 + 2·9·(0.25 + 0.0625)) / 0.75
    assert nonconvex.value == pytest.approx((2 + 4 + 5.625) / 0.75)
    assert (nonconvex.start, nonconvex.distance, nonconvex.noise) == pytest.approx((2 / 0.75, 4 / 0.75, 5.625 / 0.75))
    convex = distance_bound(alpha, moved, distance=2.0, **known)
    assert convex.value == pytest.approx((4 + 2 * 0.25 * 4 + 9 * 0.3125) / 1.5)
    # P = 1, 1/2, 1/2·3/4; ½(0.75·2·9·0.25 + 1·(4·0.25·4 + 2·9·0.0625))
    pl = distance_bound(alpha, moved, gap=1.0, mu=1.0, **known)
    assert pl.value == pytest.approx(0.375 + 0.5 * (0.75 * 4.5 + 4 + 1.125))


def test_the_step_condition_is_decided_exactly():
    third = 1 / 3  # a double below 1/3
    assert distance_condition(np.array([third]), smoothness=3.0).verdict is Verdict.PROVED
    above = distance_condition(np.array([0.1, np.nextafter(third, 1)]), smoothness=3.0)
    assert (above.verdict, above.violated.tolist()) == (Verdict.REFUTED, [1])


@pytest.mark.parametrize(
    ("alpha", "moved", "numbers", "message"),
    [
        ([], [], {"gap": 1.0}, "at least one"),
        ([-1.0], [0.0], {"gap": 1.0}, "step sizes must be finite and ≥ 0"),
        ([math.inf], [0.0], {"gap": 1.0}, "step sizes must be finite and ≥ 0"),
        ([0.5], [math.nan], {"gap": 1.0}, "distances must be finite and ≥ 0"),
        ([0.5], [0.0, 0.0], {"gap": 1.0}, "one for each step size"),
        ([0.0], [0.0], {"gap": 1.0}, "every step size is 0"),
        ([0.5], [0.0], {"gap": 1.0, "mu": 2.0}, "mu must be > 0 and below 1 over"),
        ([0.5], [0.0], {}, "give gap, or distance, or gap and mu"),
        ([0.5], [0.0], {"gap": 1.0, "smoothness": math.inf}, "smoothness must be finite"),
    ],
)
def test_what_makes_no_sense_is_refused(alpha, moved, numbers, message):
    with pytest.raises(ValueError, match=message):
        distance_bound(np.array(alpha), np.array(moved), **{"smoothness": 1.0, "noise": 1.0} | numbers)

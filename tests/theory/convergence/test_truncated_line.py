"""Theorem G: no function of the staleness has less noise than the best truncated line."""

import random
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, fmpq
from scipy.optimize import minimize

from theory.convergence.amplitude import best_amplitude, noise_factor, shape
from theory.convergence.truncated_line import best_truncated_line
from theory.laws import FiniteLaw
from theory.laws.parsing import parse_law
from theory.numbers.balls import ball, precision

TWO_MINIMA = [
    ({10: "0.2558", 20: "0.0073", 50: "0.7369"}, "0.3461"),
    ({0: "0.1", 1: "0.1", 20: "0.8"}, "10"),
]


def law_of(masses):
    return FiniteLaw({tau: Fraction(mass) for tau, mass in masses.items()}, ["counts", "of a test"])


def random_law(rng):
    support = sorted(rng.sample(range(40), rng.randint(1, 7)))
    counts = [rng.choice((1, 3, 10, 100)) * rng.randint(1, 9) for _ in support]
    return {tau: Fraction(count, sum(counts)) for tau, count in zip(support, counts, strict=True)}


def value_on(masses, threshold, weight):
    """V of the truncated line at a threshold, in floats."""
    tau, p = np.array(list(masses), float), np.array([float(m) for m in masses.values()])
    line = np.clip(1 - tau / threshold, 0, None)
    line /= p @ line
    return (p @ line**2) * (1 + weight * (p @ (tau * line)))


def least_by_optimiser(masses, weight, starts):
    tau, p = np.array(list(masses), float), np.array([float(m) for m in masses.values()])

    def noise(c):
        return (p @ c**2) * (1 + weight * (p @ (tau * c)))

    def slope(c):
        return 2 * p * c * (1 + weight * (p @ (tau * c))) + (p @ c**2) * weight * p * tau

    sum_to_one = {"type": "eq", "fun": lambda c: p @ c - 1, "jac": lambda c: p}
    best = np.inf
    for start in starts:
        options = {"ftol": 1e-14, "maxiter": 400}
        found = minimize(
            noise, start, jac=slope, bounds=[(0, None)] * len(p), constraints=[sum_to_one], method="SLSQP",
            options=options,
        )  # fmt: skip
        if abs(p @ found.x - 1) < 1e-9 and found.x.min() >= 0:
            best = min(best, noise(found.x / (p @ found.x)))
    return best


def test_a_general_optimiser_finds_nothing_better_and_comes_as_low():
    rng = random.Random(1)
    for _ in range(40):
        masses, weight = random_law(rng), Fraction(rng.randint(1, 400), 100)
        line = best_truncated_line(law_of(masses), fmpq(weight.numerator, weight.denominator))
        least = float(ball(line.value).mid())
        p = np.array([float(m) for m in masses.values()])
        of_first = np.eye(len(p))[0] / p[0]
        starts = [np.ones(len(p)), of_first, (np.ones(len(p)) + of_first) / 2]
        found = least_by_optimiser(masses, float(weight), starts)
        assert found >= least * (1 - 1e-8)
        assert found <= least * (1 + 1e-5)


def test_no_threshold_of_a_fine_grid_is_better():
    rng = random.Random(2)
    for masses, weight in [*TWO_MINIMA, *((random_law(rng), "3/10") for _ in range(30))]:
        weight = Fraction(weight)
        line = best_truncated_line(law_of(masses), fmpq(weight.numerator, weight.denominator))
        least, first, last = float(ball(line.value).mid()), min(masses), max(masses)
        grid = first + np.geomspace(0.05, 50 * (last - first + 1), 3000)
        values = [value_on(masses, threshold, float(weight)) for threshold in grid]
        assert min(values) >= least * (1 - 1e-12)
        threshold = 1e9 if line.threshold is None else float(ball(line.threshold).mid())
        if len(masses) > 1 and threshold > first:
            assert value_on(masses, threshold, float(weight)) == pytest.approx(least, rel=1e-7)


@pytest.mark.parametrize(("masses", "weight"), TWO_MINIMA)
def test_laws_with_two_minima_get_the_lower_one(masses, weight):
    points, weight = sorted(masses), float(weight)
    grid = np.concatenate([np.linspace(points[1], 3 * points[-1], 20_001), [1e9]])
    values = np.array([value_on(masses, threshold, weight) for threshold in grid])
    inside = values[1:-1]
    minima = inside[(inside < values[:-2]) & (inside < values[2:])].tolist()
    minima += [values[0]] * bool(values[0] < values[1])
    assert len(minima) == 2
    exact = Fraction(str(weight))
    line = best_truncated_line(law_of(masses), fmpq(exact.numerator, exact.denominator))
    assert float(ball(line.value).mid()) == pytest.approx(min(minima), rel=1e-6)


def test_it_is_never_worse_than_constant_or_tail_at_its_best_amplitude():
    rng = random.Random(3)
    for _ in range(60):
        masses = random_law(rng)
        weight = fmpq(rng.randint(0, 60), 20)
        spread, gini, mean = shape(masses)
        value = ball(best_truncated_line(law_of(masses), weight).value)
        assert not value > ball(1 + weight * mean)
        tail = noise_factor(best_amplitude(spread, gini, weight * mean), spread, gini, weight * mean)
        assert not value > ball(tail)


@pytest.mark.parametrize("spec", ["poisson:8", "geometric:1/8", "poisson:2000", "cmp:9:2", "negative_binomial:1/2:1/9"])
@pytest.mark.parametrize("weight", [fmpq(1, 20), fmpq(3)])
def test_a_law_without_end_has_the_value_of_its_window(spec, weight):
    law = parse_law(spec)
    with precision(128):
        line = best_truncated_line(law, weight)
        start, stop = law.window()
        masses = {tau: float(ball(law.mass(tau)).mid()) for tau in range(start, stop + 1)}
        assert ball(line.value).rel_accuracy_bits() > 40
    threshold = 1e12 if line.threshold is None else float(ball(line.threshold).mid())
    if threshold > law.first + 1:
        assert value_on(masses, threshold, float(weight.p) / float(weight.q)) == pytest.approx(
            float(ball(line.value).mid()), rel=1e-9
        )


def test_lone_points_zero_weights_and_exact_values():
    assert best_truncated_line(parse_law("constant:3"), fmpq(1, 2)).value == fmpq(5, 2)
    assert best_truncated_line(parse_law("constant:0"), fmpq(7)).threshold is None
    assert best_truncated_line(parse_law("uniform:0:9"), fmpq(0)).value == 1
    exact = best_truncated_line(law_of({0: "1/2", 2: "1/2"}), fmpq(1))
    assert (exact.threshold, exact.value, exact.mean) == (4, fmpq(50, 27), fmpq(3, 4))
    first_alone = best_truncated_line(law_of({0: "1/2", 2: "1/2"}), fmpq(50))
    assert (first_alone.threshold, first_alone.value) == (2, 2)
    with pytest.raises(ValueError, match="c must be ≥ 0"):
        best_truncated_line(parse_law("constant:3"), arb(-1))

"""The bounds on quadratics, where second moments follow a linear recursion: no sampling, so no error to allow for."""

import dataclasses
import random
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, fmpq

from theory.convergence.moments import Moments
from theory.convergence.theorem import Case, evaluate
from theory.convergence.theorems import THEOREMS
from theory.decisions.verdict import Verdict
from theory.numbers.rationals import as_fmpq

STEPS = 120


def second_moments(curvature, law, factors, step, sigma, start, steps=STEPS):
    """E x_k² for k = 0..K of x_{k+1} = x_k - ηC(τ_k)(λx_{k-min(τ_k,k)} + ξ_k), exactly but for rounding.

    The state is (x_k, …, x_{k-R}), with x_0 in the place of what lies before it, which is what clipped reads see.
    """
    last = max(law)
    mass = np.array([float(law.get(t, 0)) for t in range(last + 1)])
    first = mass * np.array([float(factors[t]) for t in range(last + 1)])
    second = mass * np.array([float(factors[t]) ** 2 for t in range(last + 1)])
    moments = np.full((last + 1, last + 1), start**2, float)
    path = [start**2]
    for _ in range(steps):
        crossed = moments[0] - step * curvature * first @ moments  # E[x_{k+1} x_{k-i}]
        fresh = moments[0, 0] - 2 * step * curvature * first @ moments[0]
        fresh += step**2 * (curvature**2 * second @ np.diag(moments) + second.sum() * sigma**2)
        moments = np.block([[np.array([[fresh]]), crossed[None, :-1]], [crossed[:-1, None], moments[:-1, :-1]]])
        path.append(fresh)
    return np.array(path)


MEASURES = {
    "nonconvex": lambda path, curvature: curvature**2 * path[:-1].mean(),
    "nonconvex-sharp": lambda path, curvature: curvature**2 * path[:-1].mean(),
    "convex": lambda path, curvature: curvature / 2 * path[:-1].mean(),
    "pl": lambda path, curvature: curvature / 2 * path[-1],
    "strongly-convex": lambda path, curvature: path[-1],
}


def random_setting(seed):
    """A law, factors (falling, rising or neither; not normalised), and a quadratic."""
    draw = random.Random(seed)
    last = draw.choice([0, 1, 2, 4, 8, 16])
    counts = [draw.choice([0, 1, 1, 9]) for _ in range(last)] + [draw.choice([1, 9])]
    law = {t: Fraction(n, sum(counts)) for t, n in enumerate(counts) if n}
    values = [Fraction(draw.randint(0, 30), 10) for _ in range(last + 1)]
    values = {0: sorted(values, reverse=True), 1: sorted(values), 2: values, 3: [Fraction(1)] * (last + 1)}[seed % 4]
    factors = dict(enumerate(values))
    if not any(mass * factors[t] for t, mass in law.items()):
        factors[last] = Fraction(1)
    curvature = draw.choice([Fraction(1), Fraction(1), Fraction(1, 2), Fraction(1, 20)])
    return law, factors, curvature


def numbers(curvature, sigma, start, steps=STEPS):
    exact = {
        "L": Fraction(1), "mu": curvature, "sigma": Fraction(sigma), "delta": curvature * start**2 / 2,
        "distance": Fraction(start), "steps": Fraction(steps),
    }  # fmt: skip
    return {name: as_fmpq(value) for name, value in exact.items()}


def upper(value):
    return float(arb(value).upper()) if isinstance(value, fmpq) else float(value.upper())


def ratio(theorem, seed, sigma, start, share):
    law, factors, curvature = random_setting(seed)
    case = Case(Moments.of_pmf(law, factors), numbers(curvature, sigma, start))
    outcome = evaluate(theorem, case, share * evaluate(theorem, case).step)
    assert outcome.verdict is Verdict.PROVED
    step = float(Fraction(str(outcome.step)))
    path = second_moments(float(curvature), law, factors, step, sigma, start)
    measured, bound = MEASURES[theorem.key](path, float(curvature)), upper(outcome.value)
    return measured / bound if bound else float(measured > 0)  # without noise one step can reach the minimiser


@pytest.mark.parametrize("key", MEASURES)
def test_no_quadratic_is_above_a_bound(key):
    largest = 0.0
    for seed in range(80):
        for sigma, start in ((0, 1), (1, 0), (1, 2)):
            share = fmpq(1) if seed % 3 else fmpq(1, 3)
            largest = max(largest, ratio(THEOREMS[key], seed, sigma, start, share))
    assert largest <= 1 + 1e-9
    assert largest > 0.6  # the settings are near what the bounds allow


def without_staleness(moments):
    """The moments as if no gradient were stale, in the noise factor only."""
    return dataclasses.replace(moments, staleness_mean=fmpq(0))


@pytest.mark.parametrize(("key", "delay"), [("nonconvex", 4), ("convex", 4), ("nonconvex-sharp", 1)])
def test_a_bound_that_forgets_staleness_is_caught(key, delay):
    law, factors = {delay: Fraction(1)}, dict.fromkeys(range(delay + 1), Fraction(1))
    case = Case(Moments.of_pmf(law, factors), numbers(Fraction(1), 1, 0, steps=800))
    step = evaluate(THEOREMS[key], case).step
    path = second_moments(1.0, law, factors, float(Fraction(str(step))), 1, 0, steps=800)
    broken = dataclasses.replace(case, moments=without_staleness(case.moments))
    measured = MEASURES[key](path, 1.0)
    assert measured <= upper(THEOREMS[key].bound(case, step))
    assert measured > upper(THEOREMS[key].bound(broken, step))

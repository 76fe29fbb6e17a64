"""The bounds with bounded gradients, the number of commits and the time away hold where delayed SGD is simulated."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq
from support.theory_simulation import (
    AMPLITUDES,
    FRESH,
    LAWS,
    PROBLEMS,
    case_of,
    exceeds,
    geometric,
    halved,
    last_value,
    mean_square_gradient,
    run,
    upper,
    with_bounds_along,
)

from theory.convergence.theorem import evaluate
from theory.convergence.theorems import THEOREMS
from theory.decisions.verdict import Verdict
from theory.numbers.rationals import as_fmpq


@pytest.mark.parametrize("name", ["logcosh", "huber", "cosine"])
def test_with_bounded_gradients_every_step_size_is_admissible(name):
    problem = PROBLEMS[name]
    for law in LAWS.values():
        for amplitude in AMPLITUDES:
            for step in (Fraction(1, 50), Fraction(1, 4), Fraction(2)):
                done = run(problem, law, amplitude, step)
                case = with_bounds_along(done, case_of(problem, law, amplitude))
                outcome = evaluate(THEOREMS["bounded-gradients"], case, as_fmpq(step))
                assert outcome.verdict is Verdict.PROVED
                assert not exceeds(mean_square_gradient(done), upper(outcome.value))


@pytest.mark.parametrize("name", ["quadratic", "wave", "ridge"])
def test_bounded_gradients_along_the_run_give_a_linear_rate(name):
    problem = PROBLEMS[name]
    for law in LAWS.values():
        for amplitude in AMPLITUDES:
            step = 1 / (10 * problem.L)
            done = run(problem, law, amplitude, step, sigma=0.5)
            case = with_bounds_along(done, case_of(problem, law, amplitude, sigma=Fraction(1, 2)))
            outcome = evaluate(THEOREMS["bounded-gradients-pl"], case, as_fmpq(step))
            assert outcome.verdict is Verdict.PROVED
            assert not exceeds(last_value(done), upper(outcome.value))


def test_wrong_constants_of_the_bounded_gradient_theorems_are_caught():
    # Δ: for a small step size Σ η|f'|² is nearly all of Δ.
    problem, theorem = PROBLEMS["huber"], THEOREMS["bounded-gradients"]
    done = run(problem, FRESH, Fraction(0), Fraction(1, 50), sigma=0.0, steps=400, replications=2)
    case = with_bounds_along(done, case_of(problem, FRESH, Fraction(0), sigma=0, steps=400))
    assert not exceeds(mean_square_gradient(done), upper(evaluate(theorem, case, fmpq(1, 50)).value))
    assert exceeds(mean_square_gradient(done), upper(evaluate(halved(theorem, "delta"), case, fmpq(1, 50)).value))
    # M: one step of η = 1/2 on x²/2 is an equality.
    problem, theorem = PROBLEMS["quadratic"], THEOREMS["bounded-gradients-pl"]
    done = run(problem, FRESH, Fraction(0), Fraction(1, 2), sigma=0.0, steps=1, replications=2)
    case = with_bounds_along(done, case_of(problem, FRESH, Fraction(0), sigma=0, steps=1))
    assert not exceeds(last_value(done), upper(evaluate(theorem, case, fmpq(1, 2)).value))
    assert exceeds(last_value(done), upper(evaluate(halved(theorem, "M"), case, fmpq(1, 2)).value))


@pytest.mark.parametrize("name", ["quadratic", "wave", "cosine"])
def test_so_many_commits_suffice(name):
    problem, theorem = PROBLEMS[name], THEOREMS["threshold-count"]
    start = 1.0
    for law in LAWS.values():
        for eps in (Fraction(1), Fraction(1, 2), Fraction(1, 5)):
            case = case_of(
                problem, law, Fraction(0), sigma=Fraction(1, 4), start=start, eps=eps * problem.L, steps=10**9
            )
            outcome = evaluate(theorem, case)
            assert outcome.verdict is Verdict.PROVED
            steps = math.ceil(upper(outcome.value))
            done = run(
                problem,
                law,
                Fraction(0),
                Fraction(str(outcome.step)),
                sigma=0.25,
                start=start,
                steps=steps,
                replications=200,
            )
            assert not exceeds(mean_square_gradient(done), float(eps * problem.L))


def test_half_of_the_commits_do_not_suffice():
    problem, theorem = PROBLEMS["quadratic"], THEOREMS["threshold-count"]
    case = case_of(problem, FRESH, Fraction(0), sigma=0, eps=Fraction(1, 5), steps=10**9)
    outcome = evaluate(theorem, case)
    steps = math.ceil(upper(outcome.value))
    for share, fails in ((1, False), (2, True)):
        done = run(
            problem, FRESH, Fraction(0), Fraction(str(outcome.step)), sigma=0.0, steps=steps // share, replications=2
        )
        assert bool(exceeds(mean_square_gradient(done), 0.2)) is fails


def time_away(path, eps):
    """The largest T for which E|x_t|² ≥ ε is certain for all t < T."""
    squares = path**2
    low = squares.mean(axis=1) - 3 * squares.std(axis=1, ddof=1) / math.sqrt(path.shape[1])
    near = np.flatnonzero(low < eps)
    return int(near[0]) if len(near) else len(path)


@pytest.mark.parametrize("name", ["quadratic", "ridge", "logistic"])
def test_a_run_does_not_stay_away_longer(name):
    problem, theorem = PROBLEMS[name], THEOREMS["mindthestep"]
    for law in (
        {2: Fraction(1)},
        {0: Fraction(1, 2), 1: Fraction(1, 4), 3: Fraction(1, 4)},
        geometric(Fraction(1, 2), 6),
    ):
        for amplitude in AMPLITUDES:
            # M along the run from a first run at a step size that is larger than the one it leads to.
            eps, sigma = Fraction(4), Fraction(1, 4)
            first = run(problem, law, amplitude, Fraction(1, 20), sigma=0.25, replications=200)
            case = case_of(problem, law, amplitude, sigma=sigma, eps=eps)
            case = with_bounds_along(first, case)
            outcome = evaluate(theorem, case)
            assert outcome.verdict is Verdict.PROVED
            steps = min(math.ceil(upper(outcome.value)) + 2, 1500)
            done = run(problem, law, amplitude, Fraction(str(outcome.step)), sigma=0.25, steps=steps, replications=200)
            assert with_bounds_along(done, case)["M"] <= case["M"]
            assert time_away(done.path, float(eps)) <= upper(outcome.value)


def test_the_printed_mindthestep_bound_is_caught():
    # Without the 1: with ε = D₀ a run is away at t = 0, so T = 1, and the printed bound says T ≤ 0.
    problem, theorem = PROBLEMS["quadratic"], THEOREMS["mindthestep"]
    case = case_of(problem, FRESH, Fraction(0), sigma=0, eps=Fraction(9), M=Fraction(3))
    outcome = evaluate(theorem, case)
    done = run(problem, FRESH, Fraction(0), Fraction(str(outcome.step)), sigma=0.0, replications=2)
    assert time_away(done.path, 9.0) == 1 <= upper(outcome.value)
    assert time_away(done.path, 9.0) > upper(outcome.value) - 1

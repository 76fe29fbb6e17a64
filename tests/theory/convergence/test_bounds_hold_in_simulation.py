"""The bounds hold where delayed SGD is simulated: three problems, laws and amplitudes each; broken ones are caught."""

from fractions import Fraction

import pytest
from flint import fmpq
from support.theory_simulation import (
    AMPLITUDES,
    FRESH,
    LAWS,
    PROBLEMS,
    STEADY,
    case_of,
    exceeds,
    geometric,
    halved,
    numbers,
    run,
    upper,
)

from theory.candidates.loading import loads
from theory.convergence.candidate_moments import moments_of
from theory.convergence.theorem import Case, evaluate
from theory.convergence.theorems import THEOREMS
from theory.decisions.verdict import Verdict
from theory.laws.parsing import parse_law


@pytest.mark.parametrize(("key", "name"), [(key, name) for key, (names, _) in STEADY.items() for name in names])
def test_a_bound_holds_at_the_largest_admissible_step_size(key, name):
    problem, measure = PROBLEMS[name], STEADY[key][1]
    for law in LAWS.values():
        for amplitude in AMPLITUDES:
            outcome = evaluate(THEOREMS[key], case_of(problem, law, amplitude))
            assert outcome.verdict is Verdict.PROVED
            done = run(problem, law, amplitude, Fraction(str(outcome.step)))
            assert not exceeds(measure(done), upper(outcome.value))


@pytest.mark.parametrize("key", ["nonconvex", "convex", "pl", "strongly-convex"])
def test_a_bound_holds_under_a_law_without_a_largest_staleness(key):
    names, measure = STEADY[key]
    nearly = geometric(Fraction(1, 5), 100)  # what is left out has mass 2e-10
    for amplitude in AMPLITUDES:
        candidate = loads(f"import sympy\ndef step_size(tau, F): return 1 + sympy.Rational('{amplitude}')*(1 - 2*F)")
        for name in names:
            problem = PROBLEMS[name]
            case = Case(moments_of(candidate, parse_law("geometric:1/5")), numbers(problem))
            outcome = evaluate(THEOREMS[key], case)
            assert case.moments.largest_staleness is None
            assert outcome.verdict is Verdict.PROVED
            done = run(problem, nearly, amplitude, Fraction(str(outcome.step)))
            assert not exceeds(measure(done), upper(outcome.value))


@pytest.mark.parametrize(
    ("key", "step"),
    [("nonconvex", 1), ("nonconvex-sharp", Fraction(1, 20)), ("convex", 1), ("pl", 1), ("strongly-convex", 1)],
)
def test_a_wrong_noise_constant_is_caught(key, step):
    problem, measure = PROBLEMS["quadratic"], STEADY[key][1]
    case = case_of(problem, FRESH, Fraction(0), start=0)
    done = run(problem, FRESH, Fraction(0), step, start=0.0, replications=2048)
    right, wrong = (
        evaluate(t, case, fmpq(step)) if step == 1 else evaluate(t, case, fmpq(1, 20))
        for t in (THEOREMS[key], halved(THEOREMS[key], "sigma"))
    )
    assert right.verdict is Verdict.PROVED
    assert not exceeds(measure(done), upper(right.value))
    assert exceeds(measure(done), upper(wrong.value))


@pytest.mark.parametrize("key", ["nonconvex", "nonconvex-sharp", "convex"])
def test_a_wrong_constant_of_the_start_is_caught(key):
    # Without noise the start is all there is: at η = 1/L one step reaches the minimiser of a quadratic.
    problem, measure = PROBLEMS["quadratic"], STEADY[key][1]
    step, name = (fmpq(1, 2) if key == "nonconvex-sharp" else fmpq(1)), "distance" if key == "convex" else "delta"
    case = case_of(problem, FRESH, Fraction(0), sigma=0)
    done = run(problem, FRESH, Fraction(0), Fraction(str(step)), sigma=0.0, replications=2)
    assert not exceeds(measure(done), upper(evaluate(THEOREMS[key], case, step).value))
    assert exceeds(measure(done), upper(evaluate(halved(THEOREMS[key], name), case, step).value))


@pytest.mark.parametrize("key", STEADY)
def test_far_above_the_largest_step_size_the_conclusion_fails_and_the_condition_says_so(key):
    problem, measure, law = PROBLEMS["quadratic"], STEADY[key][1], {16: Fraction(1)}
    case = case_of(problem, law, Fraction(0), steps=400)
    step = fmpq(5, 2) * evaluate(THEOREMS["nonconvex"], case).step
    outcome = evaluate(THEOREMS[key], case, step)
    assert outcome.verdict is Verdict.REFUTED
    if key != "nonconvex-sharp":  # no θ ≥ 0 there
        done = run(problem, law, Fraction(0), Fraction(str(step)), steps=400)
        assert exceeds(measure(done), upper(outcome.value))


@pytest.mark.parametrize(("key", "scale"), [("nonconvex", 2), ("convex", 1)])
def test_the_term_for_a_runs_first_commits_covers_them(key, scale):
    names, measure = STEADY[key]
    for name in names:
        problem = PROBLEMS[name]
        for law in LAWS.values():
            case = case_of(problem, law, Fraction(1), steps=40)
            step = evaluate(THEOREMS["nonconvex-sharp"], case).step
            outcome = evaluate(THEOREMS[key], case, step)
            largest, (eta, last) = upper(case.moments.largest_factor), (upper(step), max(law))
            extra = scale * (float(problem.L) if key == "nonconvex" else 1) * eta * largest**2 * last / 40
            assert "min(τ_k, k)" in outcome.notes[0]
            done = run(problem, law, Fraction(1), Fraction(str(step)), steps=40, clipped=True)
            assert not exceeds(measure(done), upper(outcome.value) + extra)

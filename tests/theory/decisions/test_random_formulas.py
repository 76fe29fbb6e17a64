"""Random formulas: no verdict contradicts values that are computed another way, and few are left open.

Each formula is built twice, in SymPy for the checker, and as a function of an integer in mpmath with 60 digits, which
knows nothing of SymPy, of balls, or of the checker's formulas.
"""

import math
import random

import mpmath
import pytest
import sympy

from theory.candidates.candidate import Candidate
from theory.certificates import independent
from theory.decisions.decision import decide
from theory.formulas.from_sympy import tau, translated
from theory.formulas.writing import to_json
from theory.laws.parsing import from_json, parse_law

DIGITS = 60
POINTS = [*range(130), 199, 200, 999, 1000, 1001, 4095, 4096, 99998, 99999, 100000, 100001, 10**6, 10**6 + 1]
LAWS = [parse_law("poisson:3"), parse_law("geometric:1/3"), from_json(["counts", [3, 0, 5, 2]])]


def leaf(rng):
    n, d = rng.randint(-6, 30), rng.randint(1, 7)
    return rng.choice(
        [
            (tau, lambda t: mpmath.mpf(t)),
            (tau, lambda t: mpmath.mpf(t)),
            (tau + 1, lambda t: mpmath.mpf(t + 1)),
            (sympy.Rational(n, d), lambda t: mpmath.mpf(n) / d),
            (tau + sympy.Rational(2 * n + 13, 2), lambda t: t + mpmath.mpf(2 * n + 13) / 2),
        ]
    )


def formula(rng, depth):
    """An expression, and the same as a function of an integer."""
    if depth == 0 or rng.random() < 0.15:
        return leaf(rng)
    (a, f), (b, g) = formula(rng, depth - 1), formula(rng, depth - 1)
    kind, n, d = rng.randint(0, 17), rng.randint(1, 4), rng.randint(5, 9)
    if kind <= 2:
        return a + b, lambda t: f(t) + g(t)
    if kind <= 5:
        return a * b, lambda t: f(t) * g(t)
    if kind == 6:
        return a / b, lambda t: f(t) / g(t)
    if kind == 7:
        return sympy.exp(-a * sympy.Rational(n, 8)), lambda t: mpmath.exp(-f(t) * n / 8)
    if kind == 8:
        return sympy.log(1 + sympy.Abs(a)), lambda t: mpmath.log(1 + abs(f(t)))
    if kind == 9:
        return sympy.sqrt(sympy.Abs(a)), lambda t: mpmath.sqrt(abs(f(t)))
    if kind == 10:  # of integers alone, so that rounding cannot decide
        return sympy.floor((tau + n) / d), lambda t: mpmath.mpf((t + n) // d)
    if kind == 11:
        return sympy.Max(a, b), lambda t: max(f(t), g(t))
    if kind == 12:
        return sympy.Min(a, b), lambda t: min(f(t), g(t))
    if kind == 13:
        cut = rng.choice([1, 3, 7, 50, 1000])
        return sympy.Piecewise((a, tau < cut), (b, True)), lambda t: f(t) if t < cut else g(t)
    if kind == 14:
        power = rng.choice([-2, -1, 2, 3])
        return a**power, lambda t: f(t) ** power
    if kind == 15:
        return (-1) ** tau * a, lambda t: -f(t) if t % 2 else f(t)
    if kind == 16:
        return sympy.Mod(tau, n + 1) + a, lambda t: t % (n + 1) + f(t)
    return sympy.Rational(n, d) ** tau * a, lambda t: (mpmath.mpf(n) / d) ** t * f(t)


def values(function):
    with mpmath.workdps(DIGITS):
        values = {}
        for t in POINTS:
            try:
                value = function(t)
            except (ZeroDivisionError, ValueError):
                value = None
            values[t] = value if value is not None and mpmath.isfinite(value) else None
        return values


def candidates(first, count):
    for seed in range(first, first + count):
        rng = random.Random(seed)
        expression, function = formula(rng, rng.choice([2, 3, 3, 4]))
        if isinstance(expression, sympy.Expr) and not expression.has(sympy.zoo, sympy.nan, sympy.oo):
            yield expression, function


def contradictions(verdicts, value):
    """Conditions that are PROVED although some value denies them; 40 digits are beyond all rounding here."""
    slack = mpmath.mpf(10) ** -40
    known = {t: v for t, v in value.items() if v is not None}
    denied = {
        "defined": [t for t, v in value.items() if v is None],
        "positive": [t for t, v in known.items() if v < -slack * (1 + abs(v))],
        "decreasing": [t for t, v in known.items() if t + 1 in known and known[t + 1] - v > slack * (1 + abs(v))],
        "amplitude": [t for t, v in known.items() if abs(v - 1) > 1 + slack],
    }
    return {name: staleness[:3] for name, staleness in denied.items() if staleness and verdicts[name] == "PROVED"}


@pytest.mark.parametrize("first", range(1000, 1120, 40))
def test_the_second_checker_confirms_nothing_that_values_deny(monkeypatch, first):
    monkeypatch.setattr(independent, "probe", lambda *_: None)  # its arguments alone have to be sound
    confirmed = 0
    for expression, function in candidates(first, 40):
        data = {"formula": to_json(translated(expression)), "cdf": "mid", "domain": [0, None], "amplitude": "1"}
        question = independent.Question({**data, "parameters": {}, "law": None})
        said = {}
        for name in ("defined", "positive", "decreasing", "amplitude"):
            claim = {"condition": name, "verdict": "PROVED", "evidence": {}}
            said[name] = "PROVED" if independent.judge(question, claim)[0] == independent.CONFIRMED else "UNKNOWN"
        confirmed += list(said.values()).count("PROVED")
        value = values(function)
        for t in [t for t, v in value.items() if v is None]:
            if is_finite(expression, t):
                del value[t]
        assert not contradictions(said, value), expression
    assert confirmed > 40


@pytest.mark.parametrize("first", range(0, 120, 20))
def test_no_verdict_contradicts_values_computed_another_way(first):
    open_cells = cells = 0
    for expression, function in candidates(first, 20):
        value = values(function)
        report = decide(Candidate("random", "", translated(expression)), [], limit_s=5)
        verdicts = {decision.condition: decision.verdict.value for decision in report.decisions}
        for t in [t for t, v in value.items() if v is None]:
            if is_finite(expression, t):  # SymPy has cancelled what is undefined, as τ/τ
                del value[t]
        assert not contradictions(verdicts, value), expression
        for name in ("defined", "positive", "decreasing", "amplitude"):
            cells += 1
            open_cells += verdicts[name] == "UNKNOWN"
            if verdicts[name] == "REFUTED":
                counterexample = report[name].findings[0][1].evidence["counterexample"]
                assert is_counterexample(name, counterexample, function), (name, expression, counterexample)
    assert open_cells <= 0.1 * cells


def is_finite(expression, t):
    try:
        return expression.subs(tau, t).is_finite
    except ValueError:  # SymPy's word for a maximum with what is undefined
        return False


def is_counterexample(condition, counterexample, function):
    with mpmath.workdps(DIGITS):
        value, after = (value_of(function, counterexample["tau"] + step) for step in (0, 1))
    if condition == "defined" or counterexample.get("undefined"):
        return value is None
    if value is None or (condition == "decreasing" and after is None):
        return True  # SymPy has cancelled what is undefined, as τ/τ; the value was exact
    if condition == "positive":
        return value < mpmath.mpf(10) ** -40
    return after > value if condition == "decreasing" else abs(value - 1) > 1


def value_of(function, t):
    try:
        return function(t)
    except (ZeroDivisionError, ValueError):
        return None


@pytest.mark.parametrize("first", range(1000, 1060, 20))
def test_moments_contain_sums_computed_another_way(first):
    checked = 0
    for expression, function in candidates(first, 20):
        report = decide(Candidate("random", "", translated(expression)), LAWS, limit_s=5)
        for law, finding in report["moments"].findings:
            if "mean" not in finding.evidence:
                continue
            with mpmath.workdps(DIGITS):
                terms = [(mass(law, t), value_of(function, t), t) for t in range(400) if law.has_mass(t)]
                if any(value is None for _, value, _ in terms):
                    continue  # SymPy has cancelled what is undefined, as τ/τ
                sums = [
                    mpmath.fsum(p * v for p, v, _ in terms),
                    mpmath.fsum(p * v * v for p, v, _ in terms),
                    mpmath.fsum(p * v * t for p, v, t in terms),
                ]
                for name, expected in zip(("mean", "mean_square", "staleness_mean"), sums, strict=True):
                    low, high = (
                        mpmath.mpf(sympy.Rational(end).p) / sympy.Rational(end).q for end in finding.evidence[name]
                    )
                    rest = mpmath.mpf(10) ** -25 * (1 + abs(expected))  # what lies beyond 400 terms
                    assert low - rest <= expected <= high + rest, (expression, str(law), name)
                    checked += 1
    assert checked >= 60


def mass(law, t):
    if str(law) == "poisson:3":
        return mpmath.exp(-3) * mpmath.mpf(3) ** t / math.factorial(t)
    if str(law) == "geometric:1/3":
        return (mpmath.mpf(2) / 3) ** t / 3
    return mpmath.mpf([3, 0, 5, 2][t]) / 10

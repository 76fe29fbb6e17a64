"""Verdicts on distortions, and that every refutation holds by direct computation from the definition of C."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import sympy
from flint import fmpq
from support.distortions import CONVEX_FIRST, EVERY_LAW, KINKED, NAMES, candidate_of, report_on

from theory.candidates.candidate import CandidateError
from theory.candidates.loading import loads, with_parameters
from theory.decisions.decision import decide
from theory.laws.parsing import from_json, parse_law
from theory.numbers.ranges import Range


def value_of(expression, parameters):
    """The function that is written, at exact numbers, from SymPy and not from the checker."""
    u = sympy.Symbol("u", nonnegative=True)
    names = {"sympy": sympy, "P": sympy.Piecewise, "R": sympy.Rational, "u": u}
    symbols = {name: sympy.Symbol(name) for name in parameters}
    written = eval(expression, names | symbols)
    fixed = sympy.sympify(written).subs({symbols[name]: sympy.Rational(text) for name, text in parameters.items()})
    return lambda share: fixed.subs(u, sympy.Rational(share.numerator, share.denominator))


def violated(name, expression, counterexample, law, amplitude=1):
    """Whether the law violates the condition, by direct computation from the definition of C."""
    g = value_of(expression, counterexample.get("parameters", {}))
    masses = [(tau, Fraction(int(law.mass(tau).p), int(law.mass(tau).q))) for tau in law.support()]
    ends = [Fraction(0)]
    for _, mass in masses:
        ends.append(ends[-1] + mass)
    gains = [g(after) - g(before) for before, after in itertools.pairwise(ends)]
    if name == "magnitude":
        return sympy.simplify(sum(gains) - 1) != 0
    factors = {tau: gain / sympy.Rational(m.numerator, m.denominator) for (tau, m), gain in zip(masses, gains, strict=True)}  # fmt: skip # noqa: E501
    value = factors[counterexample["tau"]]
    if "undefined" in counterexample:
        return not value.is_finite
    if name == "positive":
        return bool(value <= 0)
    if name == "amplitude":
        return bool(abs(value - 1) > amplitude)
    return bool(value < min((tau, factors[tau]) for tau in factors if tau > counterexample["tau"])[1])


@pytest.mark.parametrize(("expression", "ranges", "verdicts"), [one for one in EVERY_LAW if one[2]])
def test_verdicts_under_every_law_and_witnesses_of_at_most_four_points(expression, ranges, verdicts):
    report = report_on(expression, ranges)
    assert "".join(report[name].verdict.value[0] for name in NAMES) == verdicts
    for name in NAMES:
        counterexample = report[name].findings[0][1].evidence.get("counterexample")
        if counterexample is None or name == "moments" or "jump" in counterexample:
            continue
        law = from_json(counterexample["law"])
        assert len(law.support()) <= (4 if name == "decreasing" else 3)
        assert violated(name, expression, counterexample, law)


def test_a_rise_of_the_slope_that_three_points_cannot_show_takes_four():
    counterexample = report_on(KINKED)["decreasing"].findings[0][1].evidence["counterexample"]
    assert len(from_json(counterexample["law"]).support()) == 4
    g = value_of(KINKED, {})
    grid = np.array([float(g(Fraction(k, 100))) for k in range(101)])
    for b in range(1, 100):  # no law of three points, on a grid that has all kinks
        for c in range(b + 1, 100):
            slopes = grid[b] / b, (grid[c] - grid[b]) / (c - b), (1 - grid[c]) / (100 - c)
            assert slopes[0] >= slopes[1] - 1e-12
            assert slopes[1] >= slopes[2] - 1e-12


@pytest.mark.parametrize(
    ("expression", "law", "verdicts"),
    [
        ("u**2", "uniform:0:3", "PPRPPP"),
        ("sympy.Min(2*u, 1)", "constant:4", "PPPPPP"),
        ("sympy.Min(2*u, 1)", "uniform:0:1", "PRPPPP"),
        ("1 - sympy.sqrt(1 - u)", "uniform:0:3", "PPRPPP"),
        ("sympy.floor(2*u)/2", "uniform:0:1", "PPPPPP"),
        ("u/(2*u - 1)", "constant:1", "PPPPPP"),
        ("2*u", "geometric:1/8", "PPPRPP"),
        ("P((u/2, u < 1), (1, True))", "uniform:0:3", "PPRPRP"),
        ("P((u/2, u < 1), (1, True))", "geometric:1/2", "PPURUU"),
        # Convex before 1/16 alone, which the first step of geometric:1/8 takes as a whole.
        (CONVEX_FIRST, "geometric:1/8", "PPPPRP"),
        (CONVEX_FIRST, "poisson:8", "PPRPRP"),
        ("u + A*u*(1 - u)", "poisson:8", "PPPPPP"),
        ("u + 3*A*u*(1 - u)", "uniform:0:3", "PRPPRP"),  # by the last point alone
    ],
)
def test_verdicts_under_one_law(expression, law, verdicts):
    parsed = parse_law(law)
    report = report_on(expression, "A=0,1" if "A*" in expression else "", law)
    assert "".join(report[name].verdict.value[0] for name in NAMES) == verdicts
    for name in NAMES:
        counterexample = report[name].findings[0][1].evidence.get("counterexample")
        if counterexample is not None and parsed.last is not None:
            assert violated(name, expression, counterexample, parsed)


def test_other_ranges_and_amplitudes_change_the_verdicts():
    candidate = candidate_of("u + A*u*(1 - u)", "A=0,3")
    half = with_parameters(candidate, {"A": Range(fmpq(1, 2), fmpq(1, 2))})
    assert {decide(half)[name].verdict.value for name in NAMES} == {"PROVED"}
    wide = loads("amplitude = 2\nparameters = {'k': (1/2, 2)}\nimport sympy\n"
                 "def distortion(u, k): return (1 - sympy.exp(-k*u))/(1 - sympy.exp(-k))")  # fmt: skip
    assert decide(wide)["amplitude"].verdict.value == "PROVED"
    narrow = loads("amplitude = '1/3'\ndef distortion(u): return u + u*(1 - u)/2")
    assert decide(narrow)["amplitude"].verdict.value == "REFUTED"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("C = 1\ndef distortion(u): return u", "give C or distortion, not both"),
        ("cdf = 'mid'\ndef distortion(u): return u", "c.py:1: cdf is none of a distortion's"),
        ("domain = (0, 9)\ndef distortion(u): return u", "c.py:1: domain is none of a distortion's"),
        ("parameters = {'u': 1}\ndef distortion(u): return u", "u is the argument of a distortion"),
        ("distortion = 3", "distortion must be a function distortion"),
        ("def distortion(u, k): return u", "distortion must be distortion.u., and parameters by their names; got"),
        ("def distortion(*u): return u", "distortion must be"),
        ("def distortion(u): return 'u'", "c.py:1: distortion.u. must be a SymPy expression of u, got str"),
        ("from theory import tau\ndef distortion(u): return u*tau", "the symbol tau is neither the argument u nor"),
        ("def distortion(u): return 1/0", "c.py:1: ZeroDivisionError"),
        ("def distorsion(u): return u", "distortion is one"),
    ],
)
def test_what_is_no_distortion_is_refused_with_its_line(source, message):
    with pytest.raises(CandidateError, match=message):
        loads(source, "c.py")


def test_a_file_that_says_something_else_at_numbers_decides_nothing():
    source = "import sympy\ndef distortion(u): return u if isinstance(u, sympy.Symbol) else u**2"
    report = decide(loads(source))
    assert {report[name].verdict.value for name in NAMES} == {"UNKNOWN"}
    assert "read twice, the candidate differs: the file says g(1/2) = 1/4" in report["defined"].because

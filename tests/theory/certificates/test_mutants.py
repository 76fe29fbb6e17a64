"""Faults put into the prover, each of which makes it prove or refute something false: the second checker notices.

A row has what is broken, a candidate, its law (None: every law), the condition, and the wrong verdict. The verdict is
that of the condition alone, before the prover's own second look.
"""

import dataclasses
from fractions import Fraction

import pytest
from flint import arb, fmpq

from theory.analysis import bounds_over, dominance, equality, expectation, monotonicity, pointwise, tails
from theory.candidates.loading import loads
from theory.certificates.independent import CONTRADICTED, Question, judge
from theory.certificates.rejection import Rejected
from theory.certificates.witnesses import witness_of
from theory.decisions import conditions
from theory.decisions.decision import question_about
from theory.decisions.verdict import Verdict
from theory.formulas.formula import add, number, substitute, subtract
from theory.laws.law import Law
from theory.laws.parsing import parse_law
from theory.laws.unbounded import NegativeBinomial, Poisson, UnboundedLaw
from theory.numbers import range_functions, ranges
from theory.numbers.balls import PRECISIONS, precision
from theory.numbers.ranges import Range

HEAD = "from sympy import *\nfrom theory import tau\n"
PIECES = "C = Piecewise({}, (1, True))"
Points = pointwise.PointValues


def put(owner, name, new):
    """The fault that an attribute of a module or class, or an entry of a table, is another."""
    set_it = "setitem" if isinstance(owner, dict) else "setattr"
    return lambda monkeypatch: getattr(monkeypatch, set_it)(owner, name, new)


def both(*faults):
    return lambda monkeypatch: [fault(monkeypatch) for fault in faults]


def opened(of):
    """An operation whose lower end is never taken."""

    def broken(*arguments):
        known = of(*arguments)
        return Range(known.low, known.high, True, known.high_open)

    return broken


def product_of_positive(self, other):
    ends = [None if None in pair else pair[0] * pair[1] for pair in ((self.low, other.low), (self.high, other.high))]
    return Range(*ends)


def falls_where_any_part_does(directions):
    return next((one for one in directions if one == "falling"), directions[0])


def product_of_any_sign(parts, setting, first):
    if any(bounds_over.range_of(part, setting, first, None).is_nonpositive() for part in parts):
        return PRODUCT(parts, setting, first)
    return monotonicity._agreeing([monotonicity.trend(part, setting, first) for part in parts])


def power_of_any_sign(base, exponent, setting, first):
    return monotonicity.trend(base, setting, first)


def ratio_that_may_grow(term, leading, setting, first):
    rate = arb(0) if term.rate == leading.rate else dominance._rate(term, setting) - dominance._rate(leading, setting)
    return (rate * first).exp() * arb(first) ** int(term.power - leading.power)


def even_class_alone(formula, setting, tail, *, least):
    inner = dominance.in_class(formula, tail.period, 0)
    return tail.start >= tail.period and dominance.sign_from(inner, setting, tail.start // tail.period) >= least


def last_one_left_out(holds):
    cut = CUT(holds)
    return None if cut is None else (cut[0], (cut[1][0] - (holds[0] == "at_most"), cut[1][0] + (holds[0] == "less")))


CUT = bounds_over._cut


def divisor_without_zero(value):
    return Range(fmpq(0), None, True, True)


def far_from_zero(value):
    return Range(min(abs(value.low), abs(value.high or value.low)), None)


def other_sign(self, tau, other, other_tau=None):
    return -COMPARE(self, tau, other, other_tau)


def half_of_any_kind(formula, setting):
    constant, slope = equality.affine(formula)
    return constant + slope * equality.algebra.rational(Fraction(1, 2))


PRODUCT = monotonicity._product_trend
ALWAYS_FALLING = {"constant": "constant", "falling": "falling", "rising": "falling"}
COMPARE, SCALED, MOMENTS, GEOMETRIC = Points.compare, expectation.scaled, expectation.moments, NegativeBinomial.ratio

MUTANTS = [
    ("a closed end at 0 is positive", put(Range, "is_positive", lambda r: r.low is not None and r.low >= 0),
     "C = tau", None, "positive", "PROVED"),
    ("a sum never takes its lower end", put(Range, "__add__", opened(Range.__add__)),
     "C = tau + tau**2", None, "positive", "PROVED"),
    ("a maximum never takes its lower end", put(ranges, "greatest", opened(ranges.greatest)),
     "C = Max(0, 1 - tau / 20)", None, "positive", "PROVED"),
    ("products as of positive numbers", put(Range, "__mul__", product_of_positive),
     "C = 1 - tau", None, "positive", "PROVED"),
    ("what contains two ranges is the first", put(ranges, "hull", lambda left, right: left),
     "C = Piecewise((1, Mod(tau, 2) < 1), (-1, True))", None, "positive", "PROVED"),
    ("|x| stays away from 0", put(bounds_over._FUNCTIONS, "abs", far_from_zero),
     "C = Abs(tau - 5)", None, "positive", "PROVED"),
    ("a divisor is never 0", put(range_functions, "inverse", divisor_without_zero),
     "C = 1 / (tau - 3)", None, "defined", "PROVED"),
    ("e^x ≥ 1", put(bounds_over._FUNCTIONS, "exp", lambda value: Range(fmpq(1), None)),
     "C = exp(-tau) - Rational(1, 2)", None, "positive", "PROVED"),
    ("log x ≥ 0", put(bounds_over._FUNCTIONS, "log", lambda value: Range(fmpq(0), None)),
     "C = log(tau + Rational(1, 2)) + Rational(1, 2)", None, "positive", "PROVED"),
    ("a remainder by 7 is at most 5", put(bounds_over, "_remainder", lambda parts, of: Range(fmpq(0), fmpq(5))),
     "C = 6 - Mod(tau, 7)", None, "positive", "PROVED"),
    ("τ ≤ 8 ends at 7", put(bounds_over, "_cut", last_one_left_out),
     PIECES.format("(1, tau < 8), (-1, tau <= 8)"), None, "positive", "PROVED"),
    ("a constant does not hold a sum back", put(monotonicity, "_least_share", lambda *_: fmpq(1)),
     "C = sqrt(tau) / (100 + tau) * (1 + 50 * 9**(-tau))\ndomain = (1, None)", None, "decreasing", "PROVED"),
    ("a ratio that may still grow", put(dominance, "_falling_ratio", ratio_that_may_grow),
     "C = exp(tau / 10) - tau**4 / 10**4", None, "positive", "PROVED"),
    ("a step of two", put(tails, "difference", lambda g: subtract(g, substitute(g, add(number(2), ("tau",))))),
     "C = 1 / (1 + tau) + (-1)**tau / 10**4", None, "decreasing", "PROVED"),
    ("the odd τ are not looked at", put(tails, "_classes", even_class_alone),
     "C = 2 + (-1)**tau - tau * (1 - (-1)**tau) / 1000", None, "positive", "PROVED"),
    ("an argument that needs a first value, without it", put(tails, "_rises_from", lambda *_, **__: True),
     "C = 1 + 3 / (1 + tau)", None, "amplitude", "PROVED"),
    ("the sign of a difference is the other", put(Points, "compare", other_sign),
     "C = log(2 + tau) / (1 + tau)", None, "decreasing", "REFUTED"),
    ("E[F] = 1/2 of every kind", put(equality, "_affine_mean", half_of_any_kind),
     "cdf = 'strict'\ndef step_size(tau, F): return 2 - 2 * F", None, "magnitude", "PROVED"),
    ("every mean is 1", put(equality, "is_one", lambda value: True),
     "def step_size(tau, F): return 3 - 2 * F", None, "magnitude", "PROVED"),
    ("what is left out of a sum is nothing", both(put(UnboundedLaw, "window", lambda self: (0, 8)),
     put(expectation, "_left_above", lambda bounds, law, stop: (stop, [arb(0) for _ in bounds]))),
     "C = 1 / (1 + tau)", "poisson:8", "moments", "PROVED"),
    ("a ratio of Poisson's law off by one", put(Poisson, "ratio", lambda self, tau: arb(self._rate) / (tau + 2)),
     "C = 1 / (1 + tau)", "poisson:8", "moments", "PROVED"),
    ("what falls, turned round, falls", put(monotonicity, "_OPPOSITE", ALWAYS_FALLING),
     "C = 1 - exp(-Max(0, tau - 3))", None, "decreasing", "PROVED"),
    ("one part that falls is enough", put(monotonicity, "_agreeing", falls_where_any_part_does),
     "C = Max(0, tau - 3) + exp(-tau)", None, "decreasing", "PROVED"),
    ("factors of either sign", put(monotonicity, "_product_trend", product_of_any_sign),
     "C = (3 - tau) * 2**(-tau)", None, "decreasing", "PROVED"),
    ("squares of either sign", put(monotonicity, "_power_trend", power_of_any_sign),
     "C = (5 - exp(tau / 5))**2", None, "decreasing", "PROVED"),
    ("the dominant term is positive", put(dominance, "_sum_dominance", lambda *_: (1, arb(0))),
     "C = 3 - tau", None, "positive", "PROVED"),
    ("what is equal is larger", put(Points, "compare", lambda *compared: COMPARE(*compared) or 1),
     PIECES.format("(0, tau < 1)"), None, "positive", "PROVED"),
    ("what is smaller is larger", put(Points, "compare", lambda *compared: abs(COMPARE(*compared))),
     "C = Piecewise((1, tau < 1), (2, True))", None, "decreasing", "PROVED"),
    ("nothing is rounded down", put(bounds_over._FUNCTIONS, "floor", lambda value: value),
     "C = floor(tau / 2 - Rational(1, 4)) + Rational(1, 2)", None, "positive", "PROVED"),
    ("a sine is never negative", put(ranges, "UNIT", Range(fmpq(0), fmpq(1))),
     "C = sin(tau) + Rational(1, 10)", None, "positive", "PROVED"),
    ("E[C²] of a multiple grows as E[C]", put(expectation, "scaled", lambda known, factor: dataclasses.replace(
     SCALED(known, factor), mean_square=known.mean_square * factor)),
     "C = 3 / (1 + tau)", "poisson:8", "moments", "PROVED"),
    ("E[τC] is taken for E[C]", put(expectation, "moments", lambda formula, within: dataclasses.replace(
     MOMENTS(formula, within), staleness_mean=MOMENTS(formula, within).mean)),
     "C = 1 / (1 + tau)", "poisson:8", "moments", "PROVED"),
    ("a ratio of the geometric law that is halved", put(NegativeBinomial, "ratio",
     lambda self, tau: GEOMETRIC(self, tau) / 2),
     "C = 1 / (1 + tau)", "geometric:1/8", "moments", "PROVED"),
    ("F_mid is the strict one", put(Law, "distribution", lambda self, tau, kind: self._before(tau)),
     "def step_size(tau, F): return 2 - 2 * F", "poisson:8", "moments", "PROVED"),
    ("a mean that refutes, of another law", put(Poisson, "ratio", lambda self, tau: arb(self._rate) / (tau + 2)),
     "C = 1 / (1 + tau)", "poisson:8", "magnitude", "REFUTED"),
]  # fmt: skip


def claim_of(source, law, condition):
    """What the condition alone says, as a claim about the question."""
    question = question_about(loads(HEAD + source), None if law is None else parse_law(law))
    with precision(PRECISIONS[0]):
        finding = conditions.CONDITIONS[condition](question)
        try:
            evidence = {} if finding.verdict is Verdict.UNKNOWN else witness_of(question, condition, finding)
        except Rejected:  # where the fault is not in what writes witnesses
            evidence = finding.evidence.get("counterexample", {})
    return question.to_json(), {"condition": condition, "verdict": finding.verdict.value, "evidence": evidence}


@pytest.mark.parametrize(
    ("fault", "source", "law", "condition", "said"), [m[1:] for m in MUTANTS], ids=[m[0] for m in MUTANTS]
)
def test_a_fault_of_the_prover_is_noticed(monkeypatch, fault, source, law, condition, said):
    question, right = claim_of(source, law, condition)
    with monkeypatch.context() as patched:
        fault(patched)
        _, wrong = claim_of(source, law, condition)
    assert wrong["verdict"] == said
    assert wrong != right
    assert judge(Question(question), right)[0] != CONTRADICTED
    assert judge(Question(question), wrong)[0] == CONTRADICTED

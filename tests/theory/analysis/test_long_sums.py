"""Sums over many staleness values by blocks agree with those made one by one, and with closed forms."""

import time

import pytest
import sympy
from flint import arb, fmpq

from theory.analysis import expectation, long_sums
from theory.analysis.expectation import UnderLaw, moments
from theory.analysis.long_sums import long_sum
from theory.formulas.formula import F, multiply, number, subtract
from theory.formulas.from_sympy import tau, translated
from theory.laws.parsing import parse_law
from theory.numbers.balls import NotFinite, precision

FORMULAS = [
    "1 / (1 + tau)",
    "sqrt(tau)",
    "exp(-tau / 1000)",
    "log(2 + tau) / (1 + tau)",
    "(1 + tau)**Rational(-1, 3)",
    "cos(tau / 100)**2",
    "Piecewise((1, tau < 5000), (1 / (tau - 4998), True))",
    "Max(0, 1 - tau / 7000)",
    "Abs(tau - 777)",
    "(1 + tau)**(-tau)",
    "gamma(tau + Rational(1, 2)) / gamma(tau + 1)",
    "1 + (-1)**tau / 2",
    "Mod(tau, 7) + floor(tau / 3)",
    "atan(tau / 50) * sin(tau)",
]
TERMS = [lambda value, at: value, lambda value, at: value * value, lambda value, at: value * at]


def formula_of(source):
    return translated(eval(source, {**vars(sympy), "tau": tau}))


@pytest.mark.parametrize("source", FORMULAS)
def test_blocks_agree_with_one_by_one(source, monkeypatch):
    formula, support = formula_of(source), range(3, 9_004)
    with precision(96):
        by_blocks = long_sum(formula, UnderLaw(), support, TERMS)
        monkeypatch.setattr(long_sums, "_MOST_BLOCKS", 0)
        one_by_one = long_sum(formula, UnderLaw(), support, TERMS)
    for left, right in zip(by_blocks, one_by_one, strict=True):
        assert left.overlaps(right)
        assert left.rel_accuracy_bits() > 40


@pytest.mark.parametrize("cdf", ["mid", "strict", "inclusive"])
def test_a_function_of_f_is_summed_as_a_line_on_the_support(cdf):
    law = parse_law("uniform:1000:1000000")
    gap = {"mid": 0, "strict": 1, "inclusive": -1}[cdf] * fmpq(1, law.last - law.first + 1)  # times Σp²
    with precision(96):
        known = moments(subtract(number(2), multiply(number(2), F)), UnderLaw(law=law, cdf=cdf))
        assert (known.mean - 1 - gap).contains(0)
    assert known.mean.rel_accuracy_bits() > 60


def test_a_million_values_take_no_time():
    started = time.process_time()
    with precision(96):
        known = moments(formula_of("1 / (1 + tau)"), UnderLaw(law=parse_law("uniform:0:999999")))
    assert time.process_time() - started < 2  # one by one it takes ten
    assert (known.mean * 10**6).overlaps((arb(10**6) + 1).digamma() + arb.const_euler())


def test_an_undefined_value_inside_is_found():
    with pytest.raises(NotFinite):
        long_sum(formula_of("1 / (tau - 8000)"), UnderLaw(), range(10_000), TERMS)


def test_short_sums_are_not_made_by_blocks(monkeypatch):
    monkeypatch.setattr(expectation, "long_sum", None)
    moments(formula_of("1 / (1 + tau)"), UnderLaw(law=parse_law("uniform:0:30")))

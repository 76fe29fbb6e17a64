"""The values of a formula at single staleness values, compiled once and enclosed each time."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

from flint import arb, fmpq

from theory.formulas.formula import TAU, Formula
from theory.numbers.balls import FUNCTIONS, NotFinite, Number, greatest, integer_power, least, modulo, power, sign
from theory.numbers.rationals import as_fmpq


def compiled(formula: Formula, setting: Any) -> Callable[[int], Number]:
    """A function of the staleness that encloses the formula at it.

    Args:
      formula: the formula.
      setting: what F, parameters and means are: ``distribution(tau)``, ``parameter(name)`` and ``mean(formula)``.

    Returns:
      ``value(tau)``, a rational or a ball; it raises ``NotFinite`` and ``Undecided``.
    """
    name, *parts = formula
    if name == "number":
        constant = as_fmpq(parts[0])
        return lambda tau: constant
    if name == "pi":
        return lambda tau: arb.pi()
    if name == "tau":
        return lambda tau: fmpq(tau)
    if name == "F":
        return setting.distribution
    if name == "parameter":
        return lambda tau: setting.parameter(parts[0])
    if name == "mean":
        once = functools.cache(lambda: setting.mean(parts[0]))  # a look-up by formula at every τ would cost more
        return lambda tau: once()
    if name in ("infinite", "undefined"):
        return _nowhere
    if name == "where":
        return _cases(formula, setting)
    inner = [compiled(part, setting) for part in parts]
    if name == "modulo":
        left, right = inner
        return lambda tau: modulo(left(tau), right(tau))
    if name in ("sum", "product", "min", "max"):
        return _folded(inner, {"sum": operator.add, "product": operator.mul, "min": least, "max": greatest}[name])
    if name == "power":
        base, exponent = inner
        if parts[1][0] == "number" and parts[1][1].denominator == 1:
            whole = int(parts[1][1])
            return lambda tau: integer_power(base(tau), whole)
        return lambda tau: power(base(tau), exponent(tau))
    function, (only,) = FUNCTIONS[name], inner
    return lambda tau: function(only(tau))


def _cases(formula: Formula, setting: Any) -> Callable[[int], Number]:
    """The first case that holds; a table's are looked through one after the other, not one inside the other."""
    cases = []
    while formula[0] == "where":
        cases.append((condition(formula[1], setting), compiled(formula[2], setting)))
        formula = formula[3]
    otherwise = compiled(formula, setting)

    def value(tau: int) -> Number:
        for holds, of in cases:
            if holds(tau):
                return of(tau)
        return otherwise(tau)

    return value


def condition(formula: Formula, setting: Any) -> Callable[[int], bool]:
    """A function of the staleness that decides whether a comparison holds at it; it raises ``Undecided``."""
    name, *parts = formula
    if name == "not":
        inner = condition(parts[0], setting)
        return lambda tau: not inner(tau)
    if name in ("and", "or"):
        several = [condition(part, setting) for part in parts]
        every = all if name == "and" else any
        return lambda tau: every(one(tau) for one in several)
    if parts[0] == TAU and parts[1][0] == "number":  # as in tables
        whole = parts[1][1].numerator // parts[1][1].denominator
        fraction = parts[1][1].denominator != 1
        if name == "equal":
            return lambda tau: tau == whole and not fraction
        return (lambda tau: tau < whole) if name == "less" and not fraction else (lambda tau: tau <= whole)
    left, right = (compiled(part, setting) for part in parts)
    if name == "equal":
        return lambda tau: sign(left(tau) - right(tau)) == 0
    least = 1 if name == "less" else 0
    return lambda tau: sign(right(tau) - left(tau)) >= least


def _folded(inner: list[Callable[[int], Number]], combine: Callable[[Number, Number], Number]) -> Callable:
    first, *rest = inner

    def value(tau: int) -> Number:
        total = first(tau)
        for one in rest:
            total = combine(total, one(tau))
        return total

    return value


def _nowhere(tau: int) -> Number:
    raise NotFinite("no value is given there")

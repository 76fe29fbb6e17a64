"""Means that are not 1: as an exact rational where algebra has one, else enclosed finely enough to tell them from 1."""

from __future__ import annotations

from fractions import Fraction

from flint import fmpq

from theory.analysis import equality
from theory.analysis.expectation import Diverges, UnderLaw
from theory.formulas.algebra import Quotient
from theory.formulas.formula import Formula
from theory.formulas.monomials import ONE
from theory.numbers.balls import PRECISIONS, Number, ball, precision
from theory.numbers.rationals import as_fmpq

_MOST_POINTS = 20_000  # of a sum that is made again with more bits
_SHORT = 4_000  # bits up to which a rational is given as one


def mean_apart_from_one(formula: Formula, setting: UnderLaw) -> Number | None:
    """E[C] under the law of a setting, as a number that is certainly not 1.

    Args:
      formula: C.
      setting: with a law, and with one number for each parameter.

    Returns:
      The exact rational where algebra has one that is short, else a ball with as many bits as it takes; None where it
      cannot be told from 1.

    Raises:
      Diverges: where E[C] is infinite.
      Undecided: where no enclosure is found.
    """
    law = setting.one_law
    support = law.support()
    mean = None if support is not None and len(support) > _MOST_POINTS else exact_rational(formula, setting)
    if mean is not None:
        return None if mean == 1 else mean
    mean = setting.mean(formula)
    if _differs(mean):
        return mean
    if isinstance(mean, fmpq):
        return None
    if support is not None and len(support) > _MOST_POINTS:
        mean = exact_rational(formula, setting)
        return None if mean == 1 else mean
    first, last = law.window()
    for bits in PRECISIONS[1:] if last - first <= _MOST_POINTS else ():
        with precision(bits):
            mean = setting.under(law.finer(bits)).mean(formula)
            if _differs(mean):
                return mean
    return None


def _differs(mean: Number) -> bool:
    return mean != 1 if isinstance(mean, fmpq) else not mean.contains(1)


def exact_rational(formula: Formula, setting: UnderLaw) -> fmpq | None:
    """E[C] where it is a rational that is known exactly, and short enough to be written.

    Example:
      >>> from theory.formulas.formula import TAU
      >>> from theory.laws.parsing import parse_law
      >>> exact_rational(TAU, UnderLaw(law=parse_law("geometric:1/9")))
      8
    """
    try:
        argument, value = equality.exact_mean(formula, setting)
        exact = rational_value(value)
        if exact is None or max(exact.p.bit_length(), exact.q.bit_length()) > _SHORT:
            return None
        if argument == "generating function" or argument == "over its own mean":
            # The algebra has a value also where the sum has none: the sum has to be enclosed as well.
            return exact if ball(setting.mean(formula)).contains(exact) else None
        return exact
    except Diverges:
        raise
    except (ArithmeticError, RecursionError):
        return None


def rational_value(value: Quotient) -> fmpq | None:
    """The rational that a value of the algebra is, where its monomials cancel to one."""
    above, below = value.above, value.below
    if equality.is_one(value):
        return fmpq(1)
    if set(below) == {ONE} and set(above) <= {ONE}:
        return as_fmpq(above.get(ONE, Fraction(0)) / below[ONE])
    return None

"""Bounds of a formula over a stretch of staleness values, from the ranges of its parts."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from flint import arb, fmpq

from theory.analysis.setting import Setting
from theory.formulas.formula import TAU, Formula, add, is_whole, multiply, number
from theory.numbers import range_functions, ranges
from theory.numbers.balls import Undecided
from theory.numbers.ranges import ZERO, Range


def range_of(formula: Formula, setting: Setting, first: int, last: int | None) -> Range:
    """Bounds of a formula over all real τ between two staleness values (parity terms: all integers).

    Args:
      formula: the formula.
      setting: what it is decided in.
      first: ≥ 0.
      last: the last staleness; None for every one from ``first`` on.

    Returns:
      A range that contains every value.

    Raises:
      Undecided: where no range is found, as for a divisor that may be 0.
      NotFinite: where some value is certainly no finite number.
    """

    def of(part: Formula) -> Range:
        return range_of(part, setting, first, last)

    name, *parts = formula
    if name == "number":
        return ranges.number(parts[0])
    if name == "pi":
        return ranges.around(arb.pi())
    if name == "tau":
        return Range(fmpq(first), None if last is None else fmpq(last), False, last is None)
    if name == "F":
        return setting.distribution_range(first, last)
    if name == "parameter":
        return setting.parameters[parts[0]]
    if name == "mean":
        return _mean_range(parts[0], setting)
    if name in ("infinite", "undefined"):
        raise Undecided("no value is given somewhere")
    if name == "where":
        return _where(parts, setting, first, last)
    if name == "power":
        base, exponent = parts
        if not _is_number(exponent) and _is_number(base) and base[1] < 0:
            if not is_whole(exponent):
                raise Undecided("a power of a negative number that may not be whole")
            size = range_functions.power(ranges.number(-base[1]), of(exponent))  # a parity term: either sign
            return ranges.hull(size, -size)
        return range_functions.power(of(base), of(exponent))
    if name == "modulo":
        return _remainder(parts, of)
    if name in ("sum", "product", "min", "max"):
        parts = with_shares(parts) if name == "product" else parts
        total = of(parts[0])
        for part in parts[1:]:
            other = of(part)
            if name == "sum":
                total = total + other
            elif name == "product":
                total = total * other
            else:
                total = (ranges.least if name == "min" else ranges.greatest)(total, other)
        return total
    inner = of(parts[0])
    if name in ("sin", "cos"):
        if inner == ranges.ZERO:
            return ranges.point(0 if name == "sin" else 1)
        return ranges.UNIT
    return _FUNCTIONS[name](inner)


def with_shares(factors: list[Formula]) -> list[Formula]:
    """The factors of a product with τ/(s + aτ) written (1 - s/(s + aτ))/a, for numbers s, a > 0.

    So τ occurs once, and bounds and monotonicity of the parts are those of the whole.
    """
    for place, factor in enumerate(factors):
        line = _line(factor[1]) if factor[0] == "power" and factor[2] == number(-1) else None
        if line is not None and TAU in factors:
            constant, slope = line
            share = add(number(1 / slope), multiply(number(-constant / slope), factor))
            others = [*factors[:place], *factors[place + 1 :]]
            others.remove(TAU)
            return [*others, share]
    return factors


def _line(formula: Formula) -> tuple[Fraction, Fraction] | None:
    """The numbers s and a of a formula s + aτ, where both are > 0."""
    if formula[0] != "sum" or len(formula) != 3 or formula[1][0] != "number":
        return None
    constant, moving = formula[1][1], formula[2]
    slope = Fraction(1)
    if moving[0] == "product" and len(moving) == 3 and moving[1][0] == "number":
        slope, moving = moving[1][1], moving[2]
    return (constant, slope) if moving == TAU and constant > 0 and slope > 0 else None


def _remainder(parts: list[Formula], of: Callable[[Formula], Range]) -> Range:
    """Bounds of a remainder: between 0 and the divisor; of whole numbers at most one less than it."""
    divisor, left = of(parts[1]), of(parts[0])
    if not divisor.is_positive() or divisor.high is None:
        raise Undecided("a remainder by what may not be positive")
    if left.exact is not None and divisor.exact is not None:
        return ranges.point(left.exact - divisor.exact * (left.exact / divisor.exact).floor())
    if is_whole(parts[0]) and is_whole(parts[1]):
        return Range(fmpq(0), divisor.high - 1)
    return Range(fmpq(0), divisor.high, False, True)


def _where(parts: list[Formula], setting: Setting, first: int, last: int | None) -> Range:
    holds, yes, no = parts
    cut = _cut(holds)
    if cut is not None:
        below, (lower, upper) = cut
        branches = []
        for branch, (start, stop) in ((yes if below else no, (first, lower)), (no if below else yes, (upper, last))):
            start = max(start, first)
            stop = stop if last is None else last if stop is None else min(stop, last)
            if stop is None or start <= stop:
                branches.append(range_of(branch, setting, start, stop))
        return branches[0] if len(branches) == 1 else ranges.hull(branches[0], branches[1])
    holds_throughout = compare(holds, lambda part: range_of(part, setting, first, last))
    if holds_throughout is None:
        return ranges.hull(range_of(yes, setting, first, last), range_of(no, setting, first, last))
    return range_of(yes if holds_throughout else no, setting, first, last)


def _cut(holds: Formula) -> tuple[bool, tuple[int, int]] | None:
    """Whether a comparison of τ with a number holds below or above, and the integers beside the cut."""
    if holds[0] == "not":
        cut = _cut(holds[1])
        return None if cut is None else (not cut[0], cut[1])
    if holds[0] not in ("less", "at_most"):
        return None
    left, right = holds[1:]
    strict = holds[0] == "less"
    if left == TAU and _is_number(right):  # τ < c: the integers up to ⌈c⌉-1; τ ≤ c: up to ⌊c⌋
        c = right[1]
        lower = -((-c.numerator) // c.denominator) - 1 if strict else c.numerator // c.denominator
        return True, (lower, lower + 1)
    if right == TAU and _is_number(left):  # c < τ: the integers from ⌊c⌋+1; c ≤ τ: from ⌈c⌉
        c = left[1]
        upper = c.numerator // c.denominator + 1 if strict else -((-c.numerator) // c.denominator)
        return False, (upper - 1, upper)
    return None


def _is_number(formula: Formula) -> bool:
    return formula[0] == "number"


def _mean_range(formula: Formula, setting: Setting) -> Range:
    if setting.law is not None:
        return ranges.around(setting.mean(formula))
    # Every law: a mean lies where the values lie, and is finite under each law only where they are bounded.
    values = range_of(formula, setting, 0, None)
    if not values.is_bounded():
        raise Undecided("a mean that is infinite under some law")
    return values


_FUNCTIONS = {
    "exp": range_functions.exp,
    "log": range_functions.log,
    "abs": ranges.absolute,
    "floor": range_functions.floor,
    "atan": range_functions.atan,
    "factorial": range_functions.factorial,
    "harmonic": range_functions.harmonic,
}


def compare(formula: Formula, range_of: Callable[[Formula], Range]) -> bool | None:
    """Whether a comparison of formulas holds everywhere (True), nowhere (False), or neither is sure (None)."""
    name, *parts = formula
    if name == "not":
        inner = compare(parts[0], range_of)
        return None if inner is None else not inner
    if name in ("and", "or"):
        verdicts = [compare(part, range_of) for part in parts]
        decisive = name == "or"
        if decisive in verdicts:
            return decisive
        return None if None in verdicts else not decisive
    difference = range_of(parts[1]) - range_of(parts[0])  # of ranges: sound, if loose where both share τ
    if name == "equal":
        if difference == ZERO:
            return True
        return False if difference.is_zero_free() else None
    if name == "less":
        return True if difference.is_positive() else False if difference.is_nonpositive() else None
    return True if difference.is_nonnegative() else False if difference.is_negative() else None

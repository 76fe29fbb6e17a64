r"""Facts about every staleness from some N on, each by a named argument.

An inequality g(τ) ≥ 0 holds on a tail by *bounds* of g over it, by its *dominant term*, or because it is *monotone*: it
holds at the first staleness, and g never falls from there. That C never increases,
by its *composition*, its *elasticity*, or the dominant term of :math:`C(\tau) - C(\tau+1)`. Parity terms are constant
on a class of τ modulo a period, and each class is decided on its own. What is left below N is checked point by point.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from theory.analysis import monotonicity
from theory.analysis.bounds_over import range_of
from theory.analysis.dominance import difference, in_class, is_unbounded, sign_from
from theory.analysis.expansions.signs import expanded_sign, falls_by_ratios, falls_by_steps
from theory.analysis.pointwise import PointValues
from theory.analysis.setting import Setting
from theory.formulas.formula import Formula, add, is_constant, multiply, nodes, number
from theory.numbers.balls import NotFinite, Undecided

#: Where a tail may begin: the first that works is taken.
STARTS = (0, *(2**k for k in range(18)))
INEQUALITIES = ("bounds", "dominant term", "monotone", "expansion")
UP_TO = "bounds up to"  #: bounds over a domain with an end
FALLING = ("composition", "elasticity", "dominant term", "steps", "ratios")
#: Those that need no period.
FALLING_BY_FORM = ("composition", "elasticity", "steps", "ratios")
_EXPANDED = ("expansion", "steps", "ratios")
_LATEST_EXPANSION = 4_096  # where an expansion begins at the latest: one that decides does so soon
_LONGEST_PERIOD = 64


class Tail(NamedTuple):
    """An argument for every τ ≥ ``start``, or for those up to ``last``."""

    argument: str
    period: int
    start: int
    last: int | None = None


def periods(formula: Formula) -> list[int]:
    """The periods to try: 1, and one after which parity terms and roundings repeat, where there are such."""
    period = 1
    for node in nodes(formula):
        if node[0] == "power" and node[1][0] == "number" and node[1][1] < 0 and node[2][0] != "number":
            period = math.lcm(period, 2)
        if node[0] == "modulo" and node[2][0] == "number" and 0 < node[2][1] <= _LONGEST_PERIOD:
            period = math.lcm(period, node[2][1].numerator)
        if node[0] in ("floor", "sin", "cos", "modulo"):
            for inner in nodes(node[1]):
                if inner[0] == "number" and inner[1].denominator <= _LONGEST_PERIOD:
                    period = math.lcm(period, inner[1].denominator * (2 if node[0] in ("sin", "cos") else 1))
    return [1] if period == 1 or period > _LONGEST_PERIOD else [1, period]


def inequality(formula: Formula, setting: Setting, tail: Tail, *, strict: bool) -> bool:
    """Whether the argument shows formula ≥ 0, or > 0 where strict, for every integer τ ≥ ``tail.start``."""
    try:
        if tail.argument in ("bounds", UP_TO):
            bounds = range_of(formula, setting, tail.start, tail.last)
            return bounds.is_positive() if strict else bounds.is_nonnegative()
        if tail.argument == "dominant term":
            return _classes(formula, setting, tail, least=1 if strict else 0)
        if tail.argument == "monotone":
            return _rises_from(formula, setting, tail.start, strict=strict)
        if tail.argument == "expansion":
            return expanded_sign(formula, setting, tail.start) >= (1 if strict else 0)
    except (ArithmeticError, RecursionError):
        return False
    raise ValueError(f"argument must be one of {', '.join(INEQUALITIES)}, got {tail.argument!r}")


def falling(formula: Formula, setting: Setting, tail: Tail) -> bool:
    """Whether the argument shows that the formula never increases over the integers τ ≥ ``tail.start``."""
    try:
        if tail.argument == "composition":
            return monotonicity.falls_by_composition(formula, setting, tail.start)
        if tail.argument == "elasticity":
            return monotonicity.falls_by_elasticity(formula, setting, tail.start)
        if tail.argument == "dominant term":
            return _classes(difference(formula), setting, tail, least=0)
        if tail.argument == "steps":
            return falls_by_steps(formula, setting, tail.start)
        if tail.argument == "ratios":
            return falls_by_ratios(formula, setting, tail.start)
    except (ArithmeticError, RecursionError):
        return False
    raise ValueError(f"argument must be one of {', '.join(FALLING)}, got {tail.argument!r}")


def _rises_from(formula: Formula, setting: Setting, first: int, *, strict: bool) -> bool:
    """Whether g = c - D with a D that never increases, and g is ≥ 0, or > 0, at the first staleness already."""
    falls = rising_by(formula, setting, first) is not None
    return falls and PointValues(formula, setting).is_at_least(first, Fraction(0), strict=strict)


def rising_by(formula: Formula, setting: Setting, first: int) -> str | None:
    """The argument by which D of a formula c - D never increases over the integers τ ≥ ``first``; None without one."""
    moving = subtracted(formula)
    if moving is None:
        return None
    return next((one for one in FALLING_BY_FORM if falling(moving, setting, Tail(one, 1, first))), None)


def subtracted(formula: Formula) -> Formula | None:
    """D of a formula c - D, with all that depends on τ or F in it; None where nothing does."""
    parts = formula[1:] if formula[0] == "sum" else (formula,)
    moving = [multiply(number(-1), part) for part in parts if not is_constant(part)]
    return add(*moving) if moving else None


def _classes(formula: Formula, setting: Setting, tail: Tail, *, least: int) -> bool:
    """Whether the dominant term decides every class of τ modulo the period, from the start on.

    The start is a multiple of the period and ≥ 1.
    """
    if tail.start < tail.period or tail.start % tail.period:
        return False
    return all(
        sign_from(in_class(formula, tail.period, remainder), setting, tail.start // tail.period) >= least
        for remainder in range(tail.period)
    )


def starts_from(first: int, most: int) -> list[int]:
    """Where a tail may begin on a domain from ``first`` on: there, or at a power of two, of far domains after it."""
    later = STARTS if first <= STARTS[-1] else [first + start for start in STARTS]
    return [first, *(start for start in later if first < start <= most)]


def candidates(
    arguments: tuple[str, ...], formula: Formula, first: int, most: int, last: int | None = None
) -> Iterator[Tail]:
    """The tails to try, in order: by start, then by argument, then by period."""
    starts = starts_from(first, most)
    for start in starts:
        for argument in arguments:
            if argument == "bounds" and last is not None and start <= last:
                yield Tail(UP_TO, 1, start, last)
            if argument in _EXPANDED and start - first > _LATEST_EXPANSION:
                continue
            for period in periods(formula) if argument == "dominant term" else [1]:
                far = first > STARTS[-1]
                multiple = -(-start // period) * period if far else start * period
                yield Tail(argument, period, multiple if argument == "dominant term" else start)


def find_inequality(
    formula: Formula, setting: Setting, first: int, most: int, *, strict: bool, last: int | None = None
) -> Tail | None:
    """The first tail that shows formula ≥ 0, or > 0, starting at ``most`` or before; of a domain up to ``last``."""
    for tail in candidates(INEQUALITIES, formula, first, most, last):
        if tail.start <= most and inequality(formula, setting, tail, strict=strict):
            return tail
    return None


def find_falling(formula: Formula, setting: Setting, first: int, most: int) -> Tail | None:
    """The first tail that shows the formula non-increasing, starting at ``most`` or before."""
    for tail in candidates(FALLING, formula, first, most):
        if tail.start <= most and falling(formula, setting, tail):
            return tail
    return None


def is_defined(formula: Formula, setting: Setting, first: int) -> bool:
    """Whether the formula is shown to be a real, finite number for every integer τ ≥ ``first``."""
    try:
        range_of(formula, setting, first, None)
        return True
    except (ArithmeticError, RecursionError):
        pass
    try:
        return _defined(formula, setting, first)
    except (ArithmeticError, RecursionError):
        return False


def _defined(formula: Formula, setting: Setting, first: int) -> bool:
    """Whether each part that is not defined everywhere has an argument that is shown to be allowed."""
    name, *parts = formula
    if name in ("infinite", "undefined"):
        return False
    if name in ("number", "parameter"):
        return True
    if name == "mean":
        return setting.law is not None and setting.mean(parts[0]) is not None
    if not all(_defined(part, setting, first) for part in parts):
        return False
    if name == "log":
        return _sign(parts[0], setting, first) > 0
    if name in ("factorial", "harmonic"):
        return _sign(parts[0], setting, first) >= 0
    if name == "modulo":
        return _sign(parts[1], setting, first) != 0
    if name == "power":
        base, exponent = parts
        to = range_of(exponent, setting, first, None)
        if to.whole is not None and to.whole >= 0:
            return True
        of = _sign(base, setting, first)
        return of > 0 or (to.whole is not None and of != 0) or (of == 0 and to.is_nonnegative())
    return True


def _sign(formula: Formula, setting: Setting, first: int) -> int:
    try:
        bounds = range_of(formula, setting, first, None)
        if bounds.is_positive() or bounds.is_negative():
            return 1 if bounds.is_positive() else -1
    except (Undecided, NotFinite):
        pass
    signs = {
        sign_from(in_class(formula, period, remainder), setting, max(1, first // period))
        for period in periods(formula)[-1:]
        for remainder in range(period)
        if first >= period
    }
    if len(signs) != 1:
        raise Undecided("a sign that is not shown to stay")
    return signs.pop()


def growing(formula: Formula, setting: Setting, first: int) -> bool:
    """Whether the formula is shown to be unbounded over the integers τ ≥ ``first``."""
    period = periods(formula)[-1]
    return any(is_unbounded(in_class(formula, period, remainder), setting, first) for remainder in range(period))

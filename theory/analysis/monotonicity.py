r"""Monotonicity on a tail: whether a formula never increases over the integers τ ≥ N, by how it is put together.

Two arguments. *Composition*: sums, products of one sign, powers, exponentials and floors of what never increases
never increase. *Elasticity*: where f > 0 is differentiable, :math:`\tau f'/f` has bounds by the same calculus
(products add theirs, sums of positive terms lie between theirs), and a bound ≤ 0 makes f non-increasing.
"""

from __future__ import annotations

from typing import Literal

from flint import fmpq

from theory.analysis.bounds_over import compare, range_of, with_shares
from theory.analysis.setting import Setting
from theory.formulas.formula import Formula, is_constant
from theory.numbers import range_functions, ranges
from theory.numbers.balls import NotFinite, Undecided
from theory.numbers.ranges import Range

Trend = Literal["constant", "falling", "rising"]
_OPPOSITE: dict[Trend, Trend] = {"constant": "constant", "falling": "rising", "rising": "falling"}


def trend(formula: Formula, setting: Setting, first: int) -> Trend:
    """How a formula moves over the integers τ ≥ ``first``: falling is non-increasing, rising non-decreasing.

    Raises:
      Undecided: where its composition does not decide.
      NotFinite: where some value is no finite number.
    """

    def of(part: Formula) -> Trend:
        return trend(part, setting, first)

    def bounds(part: Formula) -> Range:
        return range_of(part, setting, first, None)

    name, *parts = formula
    if is_constant(formula):
        return "constant"
    if name in ("tau", "F"):
        return "rising"
    if name == "sum" or name in ("min", "max"):
        return _agreeing([of(part) for part in parts])
    if name == "product":
        return _product_trend(parts, setting, first)
    if name in ("exp", "log", "floor", "atan"):
        if name == "log" and not bounds(parts[0]).is_positive():
            raise Undecided("the logarithm of what may not be positive")
        return of(parts[0])
    if name == "factorial":
        inner = bounds(parts[0])
        if inner.low is None or not (inner.low >= 1 or (inner.low >= 0 and parts[0] == ("tau",))):
            raise Undecided("a factorial below 1")
        return of(parts[0])
    if name == "harmonic" and bounds(parts[0]).is_nonnegative():
        return of(parts[0])
    if name == "abs":
        inner = bounds(parts[0])
        if inner.is_nonnegative():
            return of(parts[0])
        if inner.is_nonpositive():
            return _OPPOSITE[of(parts[0])]
    if name == "power":
        return _power_trend(parts[0], parts[1], setting, first)
    if name == "where":
        holds = compare(parts[0], bounds)
        if holds is not None:
            return of(parts[1] if holds else parts[2])
    raise Undecided(f"{name} neither falls nor rises by its composition")


def _agreeing(directions: list[Trend]) -> Trend:
    moving = {one for one in directions if one != "constant"}
    if len(moving) > 1:
        raise Undecided("a part that falls and a part that rises")
    return moving.pop() if moving else "constant"


def _product_trend(parts: list[Formula], setting: Setting, first: int) -> Trend:
    """How a product moves: constants times one factor of any sign, or times several that each keep theirs.

    Factors that are never positive are turned round, two by two.
    """
    turned, directions, parts = False, [], with_shares(parts)
    moving = [part for part in parts if not is_constant(part)]
    for part in parts:
        one = trend(part, setting, first)
        if len(moving) == 1 and part is moving[0]:
            directions.append(one)
            continue
        bounds = range_of(part, setting, first, None)
        if bounds.is_nonnegative():
            directions.append(one)
        elif bounds.is_nonpositive():
            directions.append(_OPPOSITE[one])
            turned = not turned
        else:
            raise Undecided("a factor of either sign")
    together = _agreeing(directions)
    return _OPPOSITE[together] if turned else together


def _power_trend(base: Formula, exponent: Formula, setting: Setting, first: int) -> Trend:
    of, to = range_of(base, setting, first, None), range_of(exponent, setting, first, None)
    if is_constant(exponent):
        moves = trend(base, setting, first)
        whole = to.whole
        if of.is_positive() or (of.is_nonnegative() and to.is_nonnegative()):
            if to.is_nonnegative():
                return moves
            if to.is_nonpositive():
                return _OPPOSITE[moves]
        elif whole and of.is_nonpositive() and (of.is_negative() or whole > 0):
            return _OPPOSITE[moves] if (whole % 2 == 0) == (whole > 0) else moves
        elif whole and whole > 0 and whole % 2:
            return moves
    elif is_constant(base) and of.is_positive():
        if (of - ranges.point(1)).is_nonnegative():
            return trend(exponent, setting, first)
        if (of - ranges.point(1)).is_nonpositive():
            return _OPPOSITE[trend(exponent, setting, first)]
    raise Undecided("a power of which neither base nor exponent stands still")


def elasticity(formula: Formula, setting: Setting, first: int) -> Range:
    r"""Bounds of :math:`\tau f'(\tau)/f(\tau)` over the real τ ≥ ``first`` ≥ 1, for f > 0.

    Raises:
      Undecided: where f may be 0 or negative, or is not differentiable, or no bounds are found.
    """
    name, *parts = formula
    if is_constant(formula):
        return ranges.ZERO
    if name == "tau":
        return ranges.point(1)
    if name == "product":
        total = ranges.ZERO
        for part in parts:
            total = total + elasticity(part, setting, first)
        return total
    if name == "power" and is_constant(parts[1]):
        return range_of(parts[1], setting, first, None) * elasticity(parts[0], setting, first)
    if name == "power" and is_constant(parts[0]):
        logarithm = range_functions.log(range_of(parts[0], setting, first, None))
        return logarithm * _times_slope(parts[1], setting, first)
    if name == "exp":
        return _times_slope(parts[0], setting, first)
    if name == "log":
        inner = range_of(formula, setting, first, None)
        if not inner.is_positive():
            raise Undecided("a logarithm that may not be positive")
        return elasticity(parts[0], setting, first) * range_functions.inverse(inner)
    if name == "sum":
        return _sum_elasticity(parts, setting, first)
    raise Undecided(f"no bounds for the elasticity of {name}")


def _sum_elasticity(parts: list[Formula], setting: Setting, first: int) -> Range:
    if all(_sign_free(part, setting, first) for part in parts):
        # A mean of the parts' elasticities, weighted by the parts. The share of c in c + τ shrinks: with
        # constants c ≥ 0 and one other part, the mean lies above that part's times its least share.
        constants = [part for part in parts if is_constant(part)]
        moving = [elasticity(part, setting, first) for part in parts if not is_constant(part)]
        total = moving[0]
        for one in moving[1:]:
            total = ranges.hull(total, one)
        if not constants:
            return total
        share = _least_share(parts, setting, first)
        return total * Range(share, fmpq(1))
    slope = ranges.ZERO
    for part in parts:
        slope = slope + _times_slope(part, setting, first)
    whole = range_of(("sum", *parts), setting, first, None)
    if not whole.is_positive():
        raise Undecided("a sum that may not be positive")
    return slope * range_functions.inverse(whole)


def _least_share(parts: list[Formula], setting: Setting, first: int) -> fmpq:
    """A lower bound of what the moving parts are of a sum of positive parts."""
    constant, moving = ranges.ZERO, ranges.ZERO
    for part in parts:
        bounds = range_of(part, setting, first, None)
        if is_constant(part):
            constant = constant + bounds
        else:
            moving = moving + bounds
    if constant.high is None or not moving.low:
        return fmpq(0)
    return moving.low / (moving.low + constant.high)


def _sign_free(part: Formula, setting: Setting, first: int) -> bool:
    return range_of(part, setting, first, None).is_nonnegative()


def _times_slope(formula: Formula, setting: Setting, first: int) -> Range:
    r"""Bounds of :math:`\tau f'(\tau)`."""
    name, *parts = formula
    if is_constant(formula):
        return ranges.ZERO
    if name == "sum":
        total = ranges.ZERO
        for part in parts:
            total = total + _times_slope(part, setting, first)
        return total
    if name == "product":
        fixed = [part for part in parts if is_constant(part)]
        moving = [part for part in parts if not is_constant(part)]
        if fixed:
            factor = ranges.point(1)
            for part in fixed:
                factor = factor * range_of(part, setting, first, None)
            rest = moving[0] if len(moving) == 1 else ("product", *moving)
            return factor * _times_slope(rest, setting, first)
    if name in ("sin", "cos"):
        return ranges.UNIT * _times_slope(parts[0], setting, first)
    return elasticity(formula, setting, first) * range_of(formula, setting, first, None)


def falls_by_composition(formula: Formula, setting: Setting, first: int) -> bool:
    """Whether a formula is non-increasing over the integers τ ≥ ``first``, by its composition."""
    try:
        return trend(formula, setting, first) in ("falling", "constant")
    except (Undecided, NotFinite):
        return False


def falls_by_elasticity(formula: Formula, setting: Setting, first: int) -> bool:
    """Whether a positive formula is non-increasing over the real τ ≥ ``first``, by its elasticity."""
    if first < 1:
        return False
    try:
        if not range_of(formula, setting, first, None).is_positive():
            return False
        return elasticity(formula, setting, first).is_nonpositive()
    except (Undecided, NotFinite):
        return False

"""Boxes: an interval of u and a range of each parameter, and bounds of a formula over one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from flint import arb, fmpq

from theory.analysis.bounds_over import compare
from theory.formulas.formula import COMPARISONS, PI, Formula, U, add, multiply, nodes, number, rewrite, subtract
from theory.numbers import range_functions, ranges
from theory.numbers.balls import NotFinite, Undecided
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fraction

_FUNCTIONS = {
    "exp": range_functions.exp,
    "log": range_functions.log,
    "abs": ranges.absolute,
    "atan": range_functions.atan,
    "factorial": range_functions.factorial,
}


@dataclasses.dataclass(frozen=True)
class Box:
    """All points with u in an interval and each parameter in its range.

    Attributes:
      u: the interval.
      parameters: the ranges by name.
    """

    u: Range
    parameters: Mapping[str, Range]

    def with_u(self, low: fmpq, high: fmpq, low_open: bool = False, high_open: bool = False) -> Box:
        """The box over another interval of u."""
        return Box(Range(low, high, low_open, high_open), self.parameters)


def range_over(formula: Formula, box: Box) -> Range:
    """Bounds of a formula over a box on which it is shown to be defined and continuous.

    Args:
      formula: in u and parameters.
      box: the box.

    Returns:
      A range that contains every value.

    Raises:
      Undecided: where it may be undefined or jump inside.
      NotFinite: where some value is certainly no finite number.

    Example:
      >>> from theory.formulas.formula import ONE, subtract
      >>> range_over(("power", subtract(ONE, U), number(2)), Box(Range(fmpq(0), fmpq(1), False, True), {}))
      Range(low=0, high=1, low_open=True, high_open=False)
    """
    name, *parts = formula
    if name == "number":
        return ranges.number(parts[0])
    if name == "u":
        return box.u
    if name == "parameter":
        return box.parameters[parts[0]]
    if name == "pi":
        return ranges.around(arb.pi())
    if name == "where":
        holds = compare(parts[0], lambda part: range_over(part, box))
        if holds is None:
            raise Undecided("a case that changes inside")
        return range_over(parts[1] if holds else parts[2], box)
    if name in ("infinite", "undefined", "mean", "tau", "F"):
        raise Undecided(f"{name} has no value here")
    inner = [range_over(part, box) for part in parts]
    if name in ("sum", "product", "min", "max"):
        total = inner[0]
        for other in inner[1:]:
            if name in ("sum", "product"):
                total = total + other if name == "sum" else total * other
            else:
                total = (ranges.least if name == "min" else ranges.greatest)(total, other)
        return total
    if name == "power":
        return _power(inner[0], inner[1])
    if name == "floor":
        return _floor(inner[0])
    if name == "modulo":
        left, right = inner
        return left - right * _floor(left * range_functions.inverse(right))
    if name in ("sin", "cos"):
        return _turning(name, inner[0])
    if name not in _FUNCTIONS:
        raise Undecided(f"bounds of {name}")
    return _FUNCTIONS[name](inner[0])


def _power(base: Range, exponent: Range) -> Range:
    vanishes = base.low == 0 and not base.low_open and exponent.exact is None and exponent.is_positive()
    if not vanishes:
        return range_functions.power(base, exponent)
    if base.high == 0:  # 0 to a positive power
        return ranges.point(0)
    above = Range(base.low, base.high, True, base.high_open)
    return ranges.hull(ranges.point(0), range_functions.power(above, exponent))


def _floor(value: Range) -> Range:
    whole = range_functions.floor(value)
    if not whole.is_point():
        raise Undecided("a rounding that jumps inside")
    return whole


def _turning(name: str, value: Range) -> Range:
    if value == ranges.ZERO:
        return ranges.point(0 if name == "sin" else 1)
    if not value.is_bounded():
        return ranges.UNIT
    turned = ranges.around(value.ball().sin() if name == "sin" else value.ball().cos())
    # Both between -1 and 1; what rounding adds beyond is left out.
    return ranges.least(ranges.greatest(turned, ranges.point(-1)), ranges.point(1))


def resolved(formula: Formula, box: Box) -> Formula:
    """The formula with its cases, minima, absolute values and roundings decided, as far as a box decides them."""

    def decided(node: Formula) -> Formula | None:
        name = node[0]
        if name == "parameter":
            exact = box.parameters[node[1]].exact
            return None if exact is None else number(as_fraction(exact))
        if node == U:
            return None if box.u.exact is None else number(as_fraction(box.u.exact))
        try:
            if name == "where":
                holds = compare(node[1], lambda part: range_over(part, box))
                return None if holds is None else resolved(node[2] if holds else node[3], box)
            if name == "abs":
                inner = range_over(node[1], box)
                if inner.is_nonnegative() or inner.is_nonpositive():
                    size = resolved(node[1], box)
                    return size if inner.is_nonnegative() else multiply(number(-1), size)
            if name in ("min", "max"):
                best = _best(node, box)
                return None if best is None else resolved(best, box)
            if name == "floor":
                return number(as_fraction(_floor(range_over(node[1], box)).low))  # type: ignore[arg-type]
            if name == "power":
                base, exponent = (range_over(part, box) for part in node[1:])
                if base == ranges.ZERO and exponent.is_positive():
                    return number(0)
        except (Undecided, NotFinite):
            return None
        return None

    return _folded(rewrite(formula, decided), box)


def _best(node: Formula, box: Box) -> Formula | None:
    """The operand of a minimum or maximum that is never beaten in the box."""
    known = [range_over(part, box) for part in node[1:]]
    for part, own in zip(node[1:], known, strict=True):
        gaps = (other - own if node[0] == "min" else own - other for other in known if other is not own)
        if all(gap.is_nonnegative() for gap in gaps):
            return part
    return None


def _folded(formula: Formula, box: Box) -> Formula:
    """The formula with its rational numbers computed: sums, products, whole powers, and what is known of 0 and 1."""
    if formula[0] in ("number", "parameter") or len(formula) == 1:
        return formula
    parts = [_folded(part, box) for part in formula[1:]]
    name = formula[0]
    if name == "sum":
        return add(*parts)
    if name == "product":
        product = multiply(*parts)
        return number(0) if number(0) in product[1:] and _has_values(product, box) else product
    if name == "power" and parts[0][0] == parts[1][0] == "number" and parts[1][1].denominator == 1:
        base, exponent = parts[0][1], int(parts[1][1])
        if (base or exponent > 0) and abs(exponent) <= 64:
            return number(base**exponent)
    return _KNOWN.get((name, *parts), (name, *parts))


_KNOWN: dict[Formula, Formula] = {
    ("exp", number(0)): number(1),
    ("log", number(1)): number(0),
    ("atan", number(0)): number(0),
    ("atan", number(1)): multiply(number("1/4"), PI),
}


def _has_values(formula: Formula, box: Box) -> bool:
    try:
        range_over(formula, box)
        return True
    except ArithmeticError:
        return False


def comparisons(formula: Formula) -> list[Formula]:
    """The differences whose sign a formula's cases, minima, maxima and absolute values depend on."""
    found = []
    for node in nodes(formula):
        if node[0] in COMPARISONS:
            found.append(subtract(node[1], node[2]))
        elif node[0] == "abs":
            found.append(node[1])
        elif node[0] in ("min", "max"):
            found += [subtract(one, other) for place, one in enumerate(node[1:]) for other in node[1 + place + 1 :]]
    return found

"""Facts about a distortion on an interval that ends at 1: it rises, it is concave, its slopes are bounded near 1.

Each is found with a witness, and verified where a witness is given. The interval falls into pieces at the numbers where
a case may change. On each, a continuous formula with minima and maxima is at every point one of finitely many smooth
ones.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from flint import fmpq

from theory.distortions import signs
from theory.distortions.boxes import Box, comparisons, range_over, resolved
from theory.distortions.calculus import derivative, selections
from theory.distortions.polynomials import in_u, quotient
from theory.distortions.signs import NotShown, sign_on
from theory.formulas.algebra import algebraic
from theory.formulas.formula import Formula, is_constant, mentions, nodes, number, subtract
from theory.formulas.monomials import Unsupported
from theory.numbers.ranges import Range

_PARTS = (1, 4, 16, 64)
_MOST_PIECES = 64
#: Where slopes are tried to be bounded from.
NEAR_ONE = tuple(1 - fmpq(1, 2**k) for k in range(11))


@dataclasses.dataclass(frozen=True)
class Curve:
    """A distortion, or a formula like one, on [low, 1].

    Attributes:
      formula: in u and parameters.
      parameters: the range of each.
      low: where the interval begins, in [0, 1).
    """

    formula: Formula
    parameters: Mapping[str, Range]
    low: fmpq = dataclasses.field(default_factory=lambda: fmpq(0))

    def value(self, at: fmpq) -> Formula:
        """The value at a point, a formula without u."""
        return resolved(self.formula, self.box(at, at))

    def box(self, low: fmpq, high: fmpq, low_open: bool = False, high_open: bool = False) -> Box:
        """All parameters, with u in an interval."""
        return Box(Range(low, high, low_open, high_open), self.parameters)

    def pieces(self) -> Iterator[tuple[fmpq, fmpq, Formula]]:
        """The intervals between neighbouring numbers where a case may change, each with the formula inside."""
        breaks = self.breaks()
        for low, high in itertools.pairwise(breaks):
            yield low, high, resolved(self.formula, self.box(low, high, True, True))

    def breaks(self) -> list[fmpq]:
        """Both ends, and the numbers between them where a case may change."""
        formula = resolved(self.formula, self.box(self.low, fmpq(1)))
        roots = {root for one in comparisons(formula) for root in _rational_roots(one)}
        for node in nodes(formula):
            if node[0] == "floor":
                known = range_over(node[1], self.box(fmpq(0), fmpq(1)))
                if known.low is None or known.high is None or known.high - known.low > _MOST_PIECES:
                    raise NotShown("many pieces")
                first, last = int(known.low.floor()), int(known.high.ceil())
                for whole in range(first, last + 1):
                    roots |= set(_rational_roots(subtract(node[1], number(whole))))
        inside = sorted(root for root in roots if self.low < root < 1)
        if len(inside) > _MOST_PIECES:
            raise NotShown("many pieces")
        return [self.low, *inside, fmpq(1)]


def _rational_roots(formula: Formula) -> list[fmpq]:
    try:
        above = in_u(quotient(formula, [])[0])
    except (Unsupported, ValueError):
        return []
    if above.degree() < 1:
        return []
    return [-factor[0] / factor[1] for factor, _ in above.factor()[1] if factor.degree() == 1]


def defined(curve: Curve, given: Any = None) -> dict[str, Any]:
    """That a formula is a real number on all of the interval; its witness says into how many parts each piece is cut.

    Args:
      curve: the formula and the interval.
      given: a witness to verify; one is looked for where it is None.

    Returns:
      The witness.

    Raises:
      NotShown: where none is found, or the given one does not hold.
    """
    pieces = list(curve.pieces())
    for at in curve.breaks():
        range_over(curve.formula, curve.box(at, at))
    tried = [None] * len(pieces) if given is None else list(given["parts"])
    parts = [_continuous(curve, *piece, parts, open_ends=True) for piece, parts in zip(pieces, tried, strict=True)]
    return {"parts": parts}


def rises(curve: Curve, sign: int, given: Any = None, *, jumps: bool = True) -> dict[str, Any]:
    """That a formula rises strictly (sign 1), or never falls (sign 2), on all of the interval; see :func:`defined`.

    Jumps, upward, may be where pieces join, unless they are excluded.
    """
    joined, pieces = _joined(curve, given, jumps=jumps), list(curve.pieces())
    tried = [None] * len(pieces) if given is None else list(given["signs"])
    found = [
        _signs(curve, low, high, [derivative(one) for one in selections(formula)], sign, witness)
        for (low, high, formula), witness in zip(pieces, tried, strict=True)
    ]
    return {**joined, "signs": found}


def concave(curve: Curve, given: Any = None) -> dict[str, Any]:
    """That a formula is concave on all of the interval; see :func:`defined`."""
    joined, pieces = _joined(curve, given), list(curve.pieces())
    tried = [None] * len(pieces) if given is None else list(given["signs"])
    found = []
    for (low, high, formula), witness in zip(pieces, tried, strict=True):
        if not _is_least_selection(formula, curve.box(low, high), 1):
            raise NotShown("it is not the least of smooth functions")
        second = [derivative(derivative(one)) for one in selections(formula)]
        found.append(_signs(curve, low, high, second, -2, witness))
    for (low, at, before), (_, high, after) in itertools.pairwise(pieces):
        _require_falling_slope(curve, (low, before), at, (high, after))
    return {**joined, "signs": found}


def bounded_near_one(curve: Curve, given: Any = None) -> dict[str, Any]:
    """That the slopes of a formula are bounded on [from, 1], for each value of the parameters; see :func:`defined`."""
    for start in NEAR_ONE if given is None else [fmpq(*signs.as_fraction_text(given["from"]))]:
        try:
            if start >= 1 or start < curve.breaks()[-2]:
                raise NotShown("a piece that begins later")
            *_, (low, high, formula) = curve.pieces()
            box = curve.box(max(low, start), high)
            range_over(formula, box)
            for one in selections(formula):
                range_over(derivative(one), box)
            _require_equal(curve.value(fmpq(1)), resolved(formula, curve.box(fmpq(1), fmpq(1))))
            return {"from": str(start)}
        except ArithmeticError:
            continue
    raise NotShown("its slopes were not bounded near 1")


def _joined(curve: Curve, given: Any, *, jumps: bool = False) -> dict[str, Any]:
    """That the pieces join: continuity, at the beginning perhaps only that no value lies below the first.

    With ``jumps`` no value where pieces join may lie below what is left of it, or above what is right of it.
    """
    pieces = list(curve.pieces())
    tried = [None] * len(pieces) if given is None else list(given["parts"])
    start, parts = None if given is None else given["start"], []
    for place, ((low, high, formula), one) in enumerate(zip(pieces, tried, strict=True)):
        try:
            if start is not None and place == 0:
                raise NotShown("it is not continuous at its beginning")
            parts.append(_continuous(curve, low, high, formula, one))
            _require_joined(curve, low, curve.value(low), resolved(formula, curve.box(low, low)), jumps=jumps)
        except ArithmeticError:
            if place or (given is not None and start is None):
                raise
            del parts[:]
            parts.append(_continuous(curve, low, high, formula, one, open_low=True))
            start = _signs(curve, low, high, [subtract(formula, curve.value(low))], 2, start)
        _require_joined(curve, high, resolved(formula, curve.box(high, high)), curve.value(high), jumps=jumps)
    return {"parts": parts, "start": start}


def _continuous(
    curve: Curve,
    low: fmpq,
    high: fmpq,
    formula: Formula,
    given: int | None,
    *,
    open_ends: bool = False,
    open_low: bool = False,
) -> int:
    """The number of equal parts of a piece on each of which the formula is shown to be continuous."""
    for parts in _PARTS if given is None else (given,):
        if parts not in _PARTS:
            break
        width = (high - low) / parts
        try:
            for place in range(parts):
                first, last = place == 0, place == parts - 1
                ends = (first and (open_ends or open_low), last and open_ends)
                range_over(formula, curve.box(low + place * width, low + (place + 1) * width, *ends))
            return parts
        except ArithmeticError:
            continue
    raise NotShown("it was not shown to be continuous")


def _signs(curve: Curve, low: fmpq, high: fmpq, formulas: list[Formula], sign: int, given: Any) -> list[Any]:
    box = curve.box(low, high, True, True)
    if given is None:
        return [signs.find(one, sign, box) for one in formulas]
    for one, witness in zip(formulas, given, strict=True):
        signs.verify(one, sign, box, witness)
    return given


def _is_least_selection(formula: Formula, box: Box, polarity: int) -> bool:
    """Whether a formula is the least of its selections (polarity 1), or the greatest (-1)."""
    name, *parts = formula
    if not any(mentions(formula, kink) for kink in ("min", "max", "abs")) or is_constant(formula):
        return True
    if name == "sum":
        return all(_is_least_selection(part, box, polarity) for part in parts)
    if name == "product":
        moving = [part for part in parts if not is_constant(part)]
        factors = [range_over(part, box) for part in parts if is_constant(part)]
        if len(moving) != 1 or any(not (one.is_nonnegative() or one.is_nonpositive()) for one in factors):
            return False
        turns = sum(not one.is_nonnegative() for one in factors)
        return _is_least_selection(moving[0], box, polarity * (-1) ** turns)
    if (name, polarity) in (("min", 1), ("max", -1)):
        return all(_is_least_selection(part, box, polarity) for part in parts)
    return (name, polarity) == ("abs", -1) and not any(mentions(parts[0], kink) for kink in ("min", "max", "abs"))


def _require_falling_slope(curve: Curve, before: tuple[fmpq, Formula], at: fmpq, after: tuple[fmpq, Formula]) -> None:
    """Requires that no slope just after a point is larger than one just before it."""
    point, sides = curve.box(at, at), []
    for end, formula in (before, after):
        middle = (end + at) / 2
        found = [derivative(one) for one in selections(formula)]
        for slope in found:  # continuous up to the point
            range_over(slope, curve.box(min(middle, at), max(middle, at)))
        sides.append([resolved(slope, point) for slope in found])
    for left in sides[0]:
        for right in sides[1]:
            falls = subtract(left, right)
            if sign_on(falls, point) not in (0, 1, 2) and not _is_zero(falls):
                raise NotShown("a slope that rises at a kink")


def _require_joined(curve: Curve, at: fmpq, before: Formula, after: Formula, *, jumps: bool) -> None:
    if jumps and sign_on(subtract(after, before), curve.box(at, at)) in (0, 1, 2):
        return
    _require_equal(before, after)


def _require_equal(left: Formula, right: Formula) -> None:
    if left != right and not _is_zero(subtract(left, right)):
        raise NotShown("a jump, perhaps")


def _is_zero(formula: Formula) -> bool:
    try:
        return algebraic(formula).is_zero()
    except (Unsupported, RecursionError):
        return False


def equals(formula: Formula, value: int) -> bool:
    """Whether a formula without u is shown to be a whole number, for all values of the parameters."""
    return formula == number(value) or _is_zero(_cancelled(subtract(formula, number(value))))


def _cancelled(formula: Formula) -> Formula:
    """A sum with x/x = 1 in its products, which the algebra does not see where it has no words for x."""
    if formula[0] == "sum":
        return ("sum", *(_cancelled(part) for part in formula[1:]))
    if formula[0] != "product":
        return formula
    factors = list(formula[1:])
    for over in [one for one in factors if one[0] == "power" and one[2] == number(-1)]:
        if over[1] in factors:
            factors.remove(over[1])
            factors.remove(over)
    return ("product", number(1), number(1), *factors)

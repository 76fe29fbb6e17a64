"""The sign of a formula on an interval of u, for all values of the parameters: found, and verified from its witness.

A witness is ``["roots"]``: exact, for rational functions without parameters; or a tree of boxes. Of a tree, ``[]`` says
that the sign shows on the whole box; ``["split", name, at, tree, tree]`` that it does on both parts of it; and
``["end", side, tree]`` that the formula is 0 at an end of u, and its derivative has the sign that leads away from 0.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from flint import fmpq

from theory.distortions.boxes import Box, range_over, resolved
from theory.distortions.calculus import derivative
from theory.distortions.polynomials import in_u, quotient, sign_between, sign_by_coefficients
from theory.formulas.algebra import algebraic
from theory.formulas.formula import Formula, number
from theory.formulas.monomials import Unsupported
from theory.numbers.ranges import Range

_DEEPEST = 40  # splits
_MOST_BOXES = 2_000
_LONGEST = 100  # characters of a number in a witness: long numbers take time
_MOST_ENDS = 3  # derivatives in a row


class NotShown(ArithmeticError):
    """A sign that no witness was found for, or that a witness does not show."""


def find(formula: Formula, sign: int, box: Box) -> list[Any]:
    """Finds a witness that sign·formula > 0 at all but finitely many u of a box, or is 0 everywhere where sign is 0.

    Args:
      formula: smooth in u.
      sign: 1 or -1 for strict signs, 2 or -2 for ≥ 0 and ≤ 0.
      box: u in an open interval.

    Returns:
      The witness.

    Raises:
      NotShown: where none was found.
    """
    if _by_roots(formula, box) is not None:
        verify(formula, sign, box, ["roots"])
        return ["roots"]
    return _Search(formula, box).tree(formula, sign, box, 0, _MOST_ENDS)


def verify(formula: Formula, sign: int, box: Box, witness: Any) -> None:
    """Verifies a witness that :func:`find` gave; :class:`NotShown` where it does not hold."""
    if witness == ["roots"]:
        found = _by_roots(formula, box)
        good = found is not None and (found * sign > 0 or (found == 0 and abs(sign) == 2))
        if not good:
            raise NotShown("the sign by roots")
        return
    if witness == []:
        if not _shows(formula, sign, box):
            raise NotShown("the sign on a box")
        return
    if not isinstance(witness, list) or not witness or witness[0] not in ("split", "end"):
        raise NotShown(f"no witness of a sign: {str(witness)[:40]}")
    if witness[0] == "split":
        _, name, at, *trees = witness
        parts = _parts(box, name, fmpq(*as_fraction_text(at)))
        for part, tree in zip(parts, trees, strict=True):
            verify(formula, sign, part, tree)
        return
    _, side, tree = witness
    if not is_zero_at(formula, box, side):
        raise NotShown("it is not 0 at that end")
    verify(derivative(formula), sign if side == "low" else -sign, box, tree)


def as_fraction_text(text: str) -> tuple[int, int]:
    """Numerator and denominator of a rational in lowest terms; NotShown for another text, or a very long one."""
    if len(text) > _LONGEST:
        raise NotShown(f"a rational of more than {_LONGEST} characters")
    above, _, below = text.partition("/")
    value = fmpq(int(above), int(below or 1))
    if str(value) != text:
        raise NotShown(f"{text} is no rational in lowest terms")
    return int(value.p), int(value.q)


def is_zero_at(formula: Formula, box: Box, side: str) -> bool:
    """Whether a formula is 0 at an end of a box's interval, for all values of the parameters, and continuous there."""
    end = {"low": box.u.low, "high": box.u.high}[side]
    if end is None:
        return False
    try:
        value = resolved(formula, box.with_u(end, end))
        range_over(formula, Box(Range(box.u.low, box.u.high), box.parameters))
        return value == number(0) or algebraic(value).is_zero()
    except (ArithmeticError, RecursionError):
        return False


def _by_roots(formula: Formula, box: Box) -> int | None:
    """The sign of a rational function without parameters, up to finitely many points; None where it is none."""
    if any(not known.is_point() for known in box.parameters.values()) or box.u.low is None or box.u.high is None:
        return None
    try:
        above, below = (in_u(one) for one in quotient(resolved(formula, box), []))
    except Unsupported:
        return None
    signs = [sign_between(one, box.u.low, box.u.high) for one in (above, below)]
    return None if None in signs or not signs[1] else signs[0] * signs[1]  # type: ignore[operator]


def _shows(formula: Formula, sign: int, box: Box) -> bool:
    found = sign_on(formula, box)
    return found == 0 if sign == 0 else found != 3 and (found * sign >= 2 or (found == 0 and abs(sign) == 2))


def sign_on(formula: Formula, box: Box) -> int:
    """The sign of a formula on a box: 2 for > 0, 1 for ≥ 0, 0 for 0, with a minus for < 0 and ≤ 0; 3 for not known."""
    try:
        bounds = range_over(formula, box)
    except (ArithmeticError, RecursionError):
        return 3
    own = _sign_of(bounds)
    if own != 3:
        return own
    name, *parts = formula
    if name == "product":
        total = 2
        for part in parts:
            factor = sign_on(part, box)
            if 3 in (factor, total):
                total = 3
                break
            total = 0 if factor * total == 0 else (1 if factor * total > 0 else -1) * min(abs(factor), abs(total))
        if total != 3:
            return total
    open_names = sorted(name for name, known in box.parameters.items() if not known.is_point())
    try:
        signs = [sign_by_coefficients(one, box, open_names) for one in quotient(resolved(formula, box), open_names)]
    except Unsupported:
        return 3
    if 3 in signs or abs(signs[1]) < 2:
        return 3
    return signs[0] if signs[1] > 0 else -signs[0]


def _sign_of(bounds: Range) -> int:
    if bounds.is_positive() or bounds.is_negative():
        return 2 if bounds.is_positive() else -2
    if bounds.is_nonnegative() or bounds.is_nonpositive():
        if bounds.is_point():
            return 0
        return 1 if bounds.is_nonnegative() else -1
    return 3


def _parts(box: Box, name: str, at: fmpq) -> tuple[Box, Box]:
    known = box.u if name == "u" else box.parameters[name]
    inside = (known.low is None or at > known.low) and (known.high is None or at < known.high)
    if not inside:
        raise NotShown(f"{at} does not split the range of {name}")
    halves = (
        dataclasses.replace(known, high=at, high_open=False),
        dataclasses.replace(known, low=at, low_open=False),
    )
    if name == "u":
        return Box(halves[0], box.parameters), Box(halves[1], box.parameters)
    low, high = (Box(box.u, {**box.parameters, name: half}) for half in halves)
    return low, high


class _Search:
    """A search for a tree, which ends after so many boxes."""

    def __init__(self, formula: Formula, box: Box) -> None:
        self.left, self.whole = _MOST_BOXES, box

    def tree(self, formula: Formula, sign: int, box: Box, depth: int, ends: int) -> list[Any]:
        self.left -= 1
        if self.left < 0:
            raise NotShown("many boxes")
        if _shows(formula, sign, box):
            return []
        if self._contradicts(formula, sign, box):
            raise NotShown("the sign is another in the middle")
        if ends and depth >= 2:
            for side, end, whole in (("low", box.u.low, self.whole.u.low), ("high", box.u.high, self.whole.u.high)):
                if end == whole and is_zero_at(formula, box, side):
                    along = derivative(formula)
                    try:
                        turned = sign if side == "low" else -sign
                        return ["end", side, self.tree(along, turned, box, max(depth, _DEEPEST - 8), ends - 1)]
                    except NotShown:
                        break
        if depth >= _DEEPEST:
            raise NotShown("small boxes")
        name, at = _widest(box)
        low, high = _parts(box, name, at)
        return ["split", name, str(at), *(self.tree(formula, sign, part, depth + 1, ends) for part in (low, high))]

    def _contradicts(self, formula: Formula, sign: int, box: Box) -> bool:
        if any(not known.is_bounded() for known in box.parameters.values()):
            return False
        middle = Box(_middle(box.u), {name: _middle(known) for name, known in box.parameters.items()})
        found = sign_on(formula, middle)
        return found != 3 and found * sign < 0


def _middle(known: Range) -> Range:
    middle = (known.low + known.high) / 2  # type: ignore[operator]
    return Range(middle, middle)


def _widest(box: Box) -> tuple[str, fmpq]:
    """Which range to split next, and where: one without end first, else the widest beside its size at the outset."""
    for name, known in sorted(box.parameters.items()):
        if known.high is None:
            return name, max(fmpq(1), 4 * known.low) if known.low is not None else fmpq(0)
        if known.low is None:
            return name, min(fmpq(-1), 4 * known.high)
    ranges = {"u": box.u, **{name: known for name, known in box.parameters.items() if not known.is_point()}}
    name = max(ranges, key=lambda one: (ranges[one].high - ranges[one].low, one == "u"))  # type: ignore[operator]
    return name, _middle(ranges[name]).low  # type: ignore[return-value]

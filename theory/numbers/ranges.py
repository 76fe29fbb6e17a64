"""Ranges: all numbers between two endpoints, which contain the values of a formula for certain.

Endpoints are exact rationals, rounded outward where need be, or None for infinity; each is open where the value
itself is never taken. ``(0, 1]`` and ``[0, 1]`` differ by whether a step size can vanish, so openness is kept.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from flint import arb, fmpq

from theory.numbers.balls import Number, Undecided, lower, upper
from theory.numbers.rationals import as_fmpq

_TINY = 4_000  # exponents of two beyond which an endpoint is 0 or infinite


@dataclasses.dataclass(frozen=True)
class Range:
    """All numbers between two endpoints."""

    low: fmpq | None
    high: fmpq | None
    low_open: bool = False
    high_open: bool = False

    def is_point(self) -> bool:
        """Whether it holds one number alone."""
        return self.low is not None and self.low == self.high

    @property
    def exact(self) -> fmpq | None:
        """The one number in it, where there is but one."""
        return self.low if self.is_point() else None

    @property
    def whole(self) -> int | None:
        """The one number in it, where that is an integer."""
        return int(self.exact.p) if self.exact is not None and self.exact.q == 1 else None

    def holds(self, value: fmpq) -> bool:
        """Whether a number is in it."""
        above = self.low is None or value > self.low or (value == self.low and not self.low_open)
        below = self.high is None or value < self.high or (value == self.high and not self.high_open)
        return above and below

    def is_positive(self) -> bool:
        """Whether every number in it is > 0."""
        return self.low is not None and (self.low > 0 or (self.low == 0 and self.low_open))

    def is_negative(self) -> bool:
        """Whether every number in it is < 0."""
        return self.high is not None and (self.high < 0 or (self.high == 0 and self.high_open))

    def is_nonnegative(self) -> bool:
        """Whether every number in it is ≥ 0."""
        return self.low is not None and self.low >= 0

    def is_nonpositive(self) -> bool:
        """Whether every number in it is ≤ 0."""
        return self.high is not None and self.high <= 0

    def is_bounded(self) -> bool:
        """Whether both endpoints are finite."""
        return self.low is not None and self.high is not None

    def ball(self) -> arb:
        """A ball that contains the range.

        Raises:
          Undecided: where it is unbounded.
        """
        if self.low is None or self.high is None:
            raise Undecided("an unbounded range")
        return arb(self.low).union(arb(self.high))

    def __add__(self, other: Range) -> Range:
        low = None if self.low is None or other.low is None else self.low + other.low
        high = None if self.high is None or other.high is None else self.high + other.high
        return Range(low, high, self.low_open or other.low_open, self.high_open or other.high_open)

    def __neg__(self) -> Range:
        return Range(_negative(self.high), _negative(self.low), self.high_open, self.low_open)

    def __sub__(self, other: Range) -> Range:
        return self + -other

    def __mul__(self, other: Range) -> Range:
        ends = [_end_product(x, y) for x, y in itertools.product(self._ends(), other._ends())]
        low, low_open = min(ends, key=lambda end: _order(end[0], end[1]))
        high, high_open = max(ends, key=lambda end: _order(end[0], not end[1]))
        zero_free = self.is_zero_free() and other.is_zero_free()
        return Range(
            None if low in _INFINITE else low,
            None if high in _INFINITE else high,
            low_open and (low != 0 or zero_free),
            high_open and (high != 0 or zero_free),
        )

    def is_zero_free(self) -> bool:
        """Whether 0 is not in it."""
        return self.is_positive() or self.is_negative()

    def _ends(self) -> tuple[tuple[Any, bool], tuple[Any, bool]]:
        return (
            ("-inf", True) if self.low is None else (self.low, self.low_open),
            ("inf", True) if self.high is None else (self.high, self.high_open),
        )


_INFINITE = ("inf", "-inf")
REALS = Range(None, None)
UNIT = Range(fmpq(-1), fmpq(1))
ZERO = Range(fmpq(0), fmpq(0))


def point(value: fmpq | int) -> Range:
    """The range of one rational."""
    return Range(fmpq(value), fmpq(value))


def around(value: Number) -> Range:
    """The range of an enclosed number."""
    if isinstance(value, fmpq):
        return point(value)
    if not value.is_finite():
        raise Undecided(f"whether {value} is finite")
    return Range(rational_below(value), rational_above(value))


def hull(left: Range, right: Range) -> Range:
    """The smallest range that contains both."""
    low, low_open = _closer(left.low, left.low_open, right.low, right.low_open, least=True)
    high, high_open = _closer(left.high, left.high_open, right.high, right.high_open, least=False)
    return Range(low, high, low_open, high_open)


def absolute(value: Range) -> Range:
    """The range of |x|."""
    if value.is_nonnegative():
        return value
    if value.is_nonpositive():
        return -value
    other = -value
    high, high_open = _closer(value.high, value.high_open, other.high, other.high_open, least=False)
    return Range(fmpq(0), high, False, high_open)


def least(left: Range, right: Range) -> Range:
    """The range of the smaller of two numbers."""
    return -greatest(-left, -right)


def greatest(left: Range, right: Range) -> Range:
    """The range of the larger of two numbers."""
    low, low_open = _closer(left.low, left.low_open, right.low, right.low_open, least=False, open_wins=True)
    high, high_open = _closer(left.high, left.high_open, right.high, right.high_open, least=False)
    return Range(low, high, low_open, high_open)


def _closer(
    left: fmpq | None, left_open: bool, right: fmpq | None, right_open: bool, *, least: bool, open_wins: bool = False
) -> tuple[fmpq | None, bool]:
    """The outer of two endpoints on one side; for ``open_wins`` the inner of two lower ones."""
    if open_wins:  # the lower end of a maximum: the greater, open where either that is greatest is open
        if left is None or (right is not None and right > left):
            return right, right_open
        if right is None or left > right:
            return left, left_open
        return left, left_open or right_open
    if left is None or right is None:
        return None, True
    if left == right:
        return left, left_open and right_open
    return (left, left_open) if (left < right) == least else (right, right_open)


def _negative(value: fmpq | None) -> fmpq | None:
    return None if value is None else -value


def _end_product(x: tuple[Any, bool], y: tuple[Any, bool]) -> tuple[Any, bool]:
    (a, a_open), (b, b_open) = x, y
    if a in _INFINITE or b in _INFINITE:
        if a == 0 or b == 0:
            return fmpq(0), (a == 0 and a_open) or (b == 0 and b_open)
        positive = _is_up(a) == _is_up(b)
        return ("inf" if positive else "-inf"), True
    if a == 0 or b == 0:
        closed = (a == 0 and not a_open) or (b == 0 and not b_open)
        return fmpq(0), not closed
    return a * b, a_open or b_open


def _is_up(value: Any) -> bool:
    return value == "inf" if isinstance(value, str) else value > 0


def _order(value: Any, is_open: bool) -> tuple[int, Any, bool]:
    if isinstance(value, str):
        return (-1 if value == "-inf" else 1), fmpq(0), is_open
    return 0, value, is_open


def rational_below(value: arb) -> fmpq | None:
    """A rational that is at most every number of a ball, close to its lower end; None for -∞."""
    return _dyadic(lower(value), towards=-1)


def rational_above(value: arb) -> fmpq | None:
    """A rational that is at least every number of a ball, close to its upper end; None for ∞."""
    return _dyadic(upper(value), towards=1)


def _dyadic(value: arb, towards: int) -> fmpq | None:
    """An exact ball as a rational, or the nearest end further out where its exponent is beyond reason."""
    if not value.is_finite():
        return None
    mantissa, exponent = value.man_exp()
    mantissa, exponent = int(mantissa), int(exponent)
    size = mantissa.bit_length() + exponent
    if mantissa == 0 or abs(size) <= _TINY:
        return fmpq(mantissa) * fmpq(2) ** exponent
    if size > 0:
        return None if (mantissa > 0) == (towards > 0) else fmpq(2) ** _TINY * (1 if mantissa > 0 else -1)
    if (mantissa > 0) == (towards > 0):
        return fmpq(2) ** -_TINY * (1 if mantissa > 0 else -1)
    return fmpq(0)


def number(value: Any) -> Range:
    """The range of one rational, as a formula holds it."""
    return point(as_fmpq(value))

"""Intervals of rational numbers, for people: which values of a parameter a condition holds for."""

from __future__ import annotations

import dataclasses
import decimal
from collections.abc import Iterable
from fractions import Fraction

_FEWEST, _MOST = 4, 15  # digits of a number for people; a float has 15
_SMALL = Fraction(1, 100)  # how much of what it is beside a number may move


@dataclasses.dataclass(frozen=True)
class Interval:
    """All numbers between two; a point where both ends are one.

    Attributes:
      low: the least, or the infimum.
      high: the largest, or the supremum; None for no end.
      low_open: whether ``low`` is left out.
      high_open: whether ``high`` is left out.
    """

    low: Fraction
    high: Fraction | None
    low_open: bool
    high_open: bool

    def __str__(self) -> str:
        """The interval with ends that are rounded inward, so that it is no more than what was shown."""
        if self.low == self.high:
            return f"{{{short(self.low)}}}"
        width = None if self.high is None else (self.high - self.low) * _SMALL
        low = short(self.low, width, decimal.ROUND_CEILING)
        high = "∞" if self.high is None else short(self.high, width, decimal.ROUND_FLOOR)
        return f"{'(' if self.low_open else '['}{low}, {high}{')' if self.high_open else ']'}"


def joined(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The intervals in order, those that touch or overlap made one.

    Example:
      >>> point, after = Interval(Fraction(1), Fraction(1), False, False), Interval(Fraction(1), None, True, True)
      >>> [str(one) for one in joined([after, point])]
      ['[1, ∞)']
    """
    merged: list[Interval] = []
    for one in sorted(set(intervals), key=lambda one: (one.low, one.low_open)):
        last = merged[-1] if merged else None
        if last is None or _is_apart(last, one):
            merged.append(one)
        else:
            merged[-1] = max(last, dataclasses.replace(one, low=last.low, low_open=last.low_open), key=_reach)
    return tuple(merged)


def _is_apart(one: Interval, later: Interval) -> bool:
    """Whether a number between two intervals is in neither."""
    if one.high is None or later.low < one.high:
        return False
    return later.low > one.high or (one.high_open and later.low_open)


def _reach(one: Interval) -> tuple[bool, Fraction, bool]:
    """How far an interval reaches, for comparisons."""
    return one.high is None, one.high or Fraction(0), not one.high_open


def short(value: Fraction, most: Fraction | None = None, rounding: str = decimal.ROUND_HALF_EVEN) -> str:
    """A value for people: itself where it is short, else a decimal of four digits, or of more.

    Args:
      value: the value.
      most: how far the decimal may be from it, where that matters.
      rounding: as of Python's ``decimal``.

    Returns:
      The decimal; the value itself where none of fifteen digits is near enough.

    Example:
      >>> short(Fraction(24577, 16384)), short(Fraction(24577, 16384), Fraction(1, 10**6))
      ('1.5', '1.500061')
    """
    written = str(value)
    if len(written) <= 7:
        return written
    for digits in range(_FEWEST, _MOST + 1):
        near = decimal.Context(prec=digits, rounding=rounding).divide(value.numerator, value.denominator)
        if most is None or abs(Fraction(near) - value) <= most:
            return f"{float(near):.{digits}g}" if abs(near.adjusted()) < 300 else str(near)
    return written


def beside(value: Fraction, others: Iterable[Fraction]) -> str:
    """A value for people, which shows on which side of others it lies.

    Example:
      >>> beside(Fraction(24577, 16384), [Fraction(3, 2)])
      '1.500061'
    """
    nearest = min((abs(value - other) for other in others if other != value), default=None)
    return short(value, None if nearest is None else nearest * _SMALL)

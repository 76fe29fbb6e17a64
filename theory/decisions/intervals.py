"""Intervals of rational numbers, for people: which values of a parameter a condition holds for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from fractions import Fraction


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
        if self.low == self.high:
            return f"{{{short(self.low)}}}"
        end = "∞" if self.high is None else short(self.high)
        return f"{'(' if self.low_open else '['}{short(self.low)}, {end}{')' if self.high_open else ']'}"


def joined(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The intervals in order, those that touch made one.

    Example:
      >>> point, after = Interval(Fraction(1), Fraction(1), False, False), Interval(Fraction(1), None, True, True)
      >>> [str(one) for one in joined([after, point])]
      ['[1, ∞)']
    """
    merged: list[Interval] = []
    for one in sorted(set(intervals), key=lambda one: (one.low, one.low_open)):
        last = merged[-1] if merged else None
        if last is not None and last.high == one.low and not (last.high_open and one.low_open):
            merged[-1] = Interval(last.low, one.high, last.low_open, one.high_open)
        else:
            merged.append(one)
    return tuple(merged)


def short(value: Fraction) -> str:
    """A value for people: itself where it is short, else to four digits."""
    written = str(value)
    return written if len(written) <= 7 else f"{float(value):.4g}"

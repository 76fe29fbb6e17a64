"""The largest distance of a step-size function from 1: an enclosure of sup|C - 1|."""

from __future__ import annotations

import dataclasses

from flint import arb, fmpq

from theory.analysis.bounds_over import range_of
from theory.analysis.expansions import signs
from theory.analysis.pointwise import PointValues
from theory.analysis.setting import Setting
from theory.formulas.formula import Domain, Formula, factored, multiply, number, subtract
from theory.numbers import ranges
from theory.numbers.balls import NotFinite, Number, Undecided, ball, greatest
from theory.numbers.decimals import ends, shown
from theory.numbers.ranges import Range

_REFINED = (16, 64, 256, 1024, 4096, 16384)
_HOPELESS = 1_000  # where nothing bounds the tail yet, nothing will
_FAR = (2**20, 2**40)


@dataclasses.dataclass(frozen=True)
class Supremum:
    """Lower and upper bound of a supremum, and where they come from.

    Attributes:
      low: it is at least this.
      high: it is at most this; None where no bound was found.
      at: the staleness where the value is at least ``low``; None where all are from ``start`` on.
      start: from where on ``high`` is a bound of the whole range; the values before were looked at one by one.
    """

    low: Number
    high: Number | None
    at: int | None = None
    start: int = 0

    @property
    def ends(self) -> list[str]:
        """Two decimals that contain the supremum."""
        return [ends(self.low)[0], "inf" if self.high is None else ends(self.high)[1]]

    def __str__(self) -> str:
        if self.high is None:
            return f"≥ {ball(self.low).str(6, radius=False)}"
        if isinstance(self.low, fmpq) and isinstance(self.high, fmpq) and self.low == self.high:
            return shown(self.low)
        width = ball(self.high) - ball(self.low)
        if width < arb(10) ** -6:
            return f"≈ {ball(self.high).str(8, radius=False)}"
        return f"between {ball(self.low).str(6, radius=False)} and {ball(self.high).str(6, radius=False)}"


def supremum_of_distance(formula: Formula, setting: Setting, domain: Domain) -> Supremum | None:
    """An enclosure of sup|C - 1| over a domain.

    Args:
      formula: C.
      setting: what it is decided in.
      domain: first and last staleness.

    Returns:
      Bounds; None where not even one value is known.
    """
    first, last = domain
    distance = ("abs", subtract(formula, number(1)))
    distances = PointValues(distance, setting)
    if not distances.is_single:
        try:
            whole = range_of(distance, setting, first, last)
        except ArithmeticError:
            return None
        return None if whole.high is None else Supremum(fmpq(0), whole.high, None, first)
    low: Number = fmpq(0)
    at: int | None = None
    done, known, start = first, None, first
    if last is None:  # a limit that is only approached is nearly reached there
        for tau in (first + far for far in _FAR):
            try:
                low, at = _greater(low, at, distances, tau)
            except ArithmeticError:
                break
    for stop in _REFINED:
        stop = stop if last is None else min(stop, last + 1)
        try:
            for tau in range(done, stop):
                low, at = _greater(low, at, distances, tau)
        except ArithmeticError:
            return None
        done = max(done, stop)
        if last is not None and done > last:
            return Supremum(low, low, at, last + 1)
        try:
            tail = range_of(distance, setting, done, last)
        except ArithmeticError:
            tail = ranges.REALS
        if tail.high is None or tail.low is None:
            if known is None and stop > _HOPELESS:
                break
            continue
        at = None if ball(tail.low) > ball(low) else at  # |C - 1| takes values in the tail's range
        low, known, start = greatest(low, tail.low), greatest(low, tail.high), done
        if ball(known) - ball(low) < arb(10) ** -3:
            break
    return Supremum(low, known, at, start)


def _greater(low: Number, at: int | None, distances: PointValues, tau: int) -> tuple[Number, int | None]:
    """The larger of a bound and a value, and where it is reached, as far as they can be told apart."""
    value = distances.certain(tau)
    return greatest(low, value), tau if at is None or ball(value) > ball(low) else at


def size_from(formula: Formula, setting: Setting, first: int, last: int | None) -> Range:
    """Bounds |C| from a staleness on, with constant factors left out, which are shown to be defined."""
    constants, moving = factored(formula)
    for constant in constants:
        range_of(constant, setting, first, last)
    if not moving:
        return ranges.point(1)
    try:
        size = ranges.absolute(range_of(multiply(*moving), setting, first, last))
        if size.high is not None:
            return size
    except (Undecided, NotFinite):
        pass
    most, power, rate = signs.growth(multiply(*moving), setting, first)
    if power > 0 or not rate == 0:
        raise Undecided("an expansion that grows")
    return Range(fmpq(0), ranges.around(most).high)

"""For which values of a parameter a condition holds: by bisection, where each interval that is named was proved.

Between two neighbouring values of a grid at which a condition is PROVED it is asked for the whole interval between
them. Between a PROVED and a REFUTED one the boundary is enclosed by halving. So what is said to hold was proved, for
all values of an interval at once, and where it ends is known to within the width of the last halving.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR
from fractions import Fraction

from flint import fmpq

from theory.candidates.candidate import Candidate, CandidateError
from theory.decisions.conditions import CONDITIONS
from theory.decisions.decision import Decision, Report, decide, question_about
from theory.decisions.intervals import Interval, beside, joined, short
from theory.decisions.time_limit import OutOfTime, limited
from theory.decisions.verdict import Verdict, unknown
from theory.laws import Law
from theory.numbers import ranges
from theory.numbers.balls import PRECISIONS, precision, sign
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fmpq, as_fraction

_CELLS = 16  # of the first grid
_HALVINGS = 10  # of a cell, at a boundary
_REFINED = 4  # how often an interval between two proofs is halved, where it is not proved whole
_LIMITS = 10  # time limits of one condition that a whole search may take
_clock = time.monotonic


@dataclasses.dataclass(frozen=True)
class Values:
    """For which values a condition holds under a law.

    Attributes:
      condition: its name.
      law: the law; None for every law.
      holds: intervals, in rising order, on each of which it is PROVED.
      refuted: values at which it is REFUTED; next to an interval that it ends, one that is as near as it was halved.
      unknown: values at which it is UNKNOWN.
      passes: pairs of values between which E[C] passes 1, where magnitude is REFUTED at both.
    """

    condition: str
    law: Law | None
    holds: tuple[Interval, ...]
    refuted: tuple[Fraction, ...]
    unknown: tuple[Fraction, ...]
    passes: tuple[tuple[Fraction, Fraction], ...]

    @property
    def sentence(self) -> str:
        """What is known, for people."""
        whole = [one for one in self.holds if one.low != one.high]
        single = [one.low for one in self.holds if one.low == one.high]
        said = ["PROVED for " + " and ".join(map(str, whole))] if whole else []
        if single:
            said.append(f"PROVED at {_few(single, [], (*self.refuted, *self.unknown))}")
        ends = [end for one in self.holds for end in (one.low, one.high) if end is not None]
        if self.refuted:
            said.append(f"REFUTED at {_few(self.refuted, ends)}")
        if self.unknown:
            said.append(f"UNKNOWN at {_few(self.unknown, ends)}")
        for low, high in self.passes:
            ends_of = (short(low, high - low, ROUND_FLOOR), short(high, high - low, ROUND_CEILING))
            said.append("E[C] passes 1 between {} and {}".format(*ends_of))
        return "; ".join(said)


def values_for_which(
    candidate: Candidate,
    name: str,
    laws: Sequence[Law] = (),
    *,
    limit_s: float = 20.0,
    second_look: Callable[[Report], Report] = lambda report: report,
) -> tuple[Values, ...]:
    """For which values of a parameter each condition holds, within the range that the candidate gives it.

    Args:
      candidate: the candidate; its other parameters keep their values or ranges.
      name: of the parameter.
      laws: as of :func:`theory.decisions.decision.decide`.
      limit_s: seconds that one condition may take under one law at one value; the whole search ends after ten times
        as long, and what it has not looked at is UNKNOWN.
      second_look: takes each report and returns what of it is believed.

    Returns:
      One for each condition and law.

    Raises:
      CandidateError: for a parameter that the candidate does not have, or that has one value or no least one.

    Example:
      >>> from theory.candidates.loading import loads
      >>> file = "from theory import tau; import sympy" + chr(10) + "C = sympy.exp(-sympy.Symbol('b') * tau)" + chr(10)
      >>> candidate = loads(file + "parameters = {'b': (-1, 2)}")
      >>> found = {values.condition: values.sentence for values in values_for_which(candidate, "b")}
      >>> found["decreasing"]
      'PROVED for [0, 2); REFUTED at -6.104e-05 and 29 more'
      >>> found["positive"]
      'PROVED for (-1, 2)'
    """
    known = candidate.parameters.get(name)
    if known is None:
        has = ", ".join(candidate.parameters) or "none"
        raise CandidateError(f"{candidate.name}: the parameters are {has}; got {name!r}")
    if known.is_point() or known.low is None:
        raise CandidateError(f"{candidate.name}: {name} needs a range with a least value, --set {name}=LOW,HIGH")
    reports = _Reports(candidate, name, laws, limit_s, second_look)
    places = range(len(reports.on(known).laws))
    return tuple(_Search(reports, known, condition, place).values() for condition in CONDITIONS for place in places)


class _Reports:
    """Reports on a candidate with a value, or a range, of one parameter; each decided once."""

    def __init__(
        self,
        candidate: Candidate,
        name: str,
        laws: Sequence[Law],
        limit_s: float,
        second_look: Callable[[Report], Report],
    ) -> None:
        self._candidate, self._name, self._laws = candidate, name, laws
        self._limit_s, self._second_look = limit_s, second_look
        self._known: dict[Range, Report] = {}
        self._started = _clock()

    def on(self, values: Range) -> Report:
        """The report where the parameter has any of these values; all UNKNOWN once the search has taken too long."""
        if values not in self._known:
            candidate = self._candidate.with_parameters({self._name: values})
            if self._known and _clock() - self._started > _LIMITS * self._limit_s:
                return self._undecided(candidate)
            report = decide(candidate, self._laws, limit_s=self._limit_s, repair=False)
            self._known[values] = self._second_look(report)
        return self._known[values]

    def _undecided(self, candidate: Candidate) -> Report:
        laws = next(iter(self._known.values())).laws
        finding = unknown(f"not looked at within {_LIMITS * self._limit_s:g} s")
        return Report(
            candidate, laws, tuple(Decision(name, tuple((law, finding) for law in laws)) for name in CONDITIONS)
        )

    def side(self, law: Law | None, value: Fraction) -> int:
        """The sign of E[C] - 1 at a value; 0 where it is not known."""
        candidate = self.on(ranges.number(value)).candidate
        if law is None or candidate.formula is None:
            return 0
        question = question_about(candidate, law)
        try:
            with precision(PRECISIONS[0]), limited(self._limit_s):
                return sign(question.setting.mean(question.formula) - 1)
        except (ArithmeticError, OutOfTime):
            return 0


class _Search:
    """The search for the values for which one condition holds under one law."""

    def __init__(self, reports: _Reports, known: Range, condition: str, place: int) -> None:
        self._reports, self._known, self._condition, self._place = reports, known, condition, place
        self._law = reports.on(known).laws[place]
        self._refuted: set[Fraction] = set()
        self._unknown: set[Fraction] = set()

    def values(self) -> Values:
        """What was found."""
        holds: list[Interval] = []
        passes: list[tuple[Fraction, Fraction]] = []
        low, high = (
            as_fraction(_least(self._known)),
            None if self._known.high is None else as_fraction(self._known.high),
        )
        if self._verdict(self._known) is Verdict.PROVED:
            holds.append(Interval(low, high, self._known.low_open, self._known.high_open))
        else:
            grid = _grid(low, high, self._known)
            good = {value for value in grid if self._is_proved_at(value)}
            holds += [Interval(value, value, False, False) for value in good]
            for left, right in itertools.pairwise(grid):
                if {left, right} <= good:
                    holds += self._between(left, right)
                elif {left, right} & good:
                    inside, outside = (left, right) if left in good else (right, left)
                    last = self._last_proved(inside, outside)
                    if last != inside:
                        holds.append(Interval(last, last, False, False))
                        holds += self._between(min(inside, last), max(inside, last))
                elif self._condition == "magnitude" and (found := self._passing(left, right)) is not None:
                    passes.append(found)
            holds += self._between(low, grid[0]) if self._known.low_open else []
            holds += self._between(grid[-1], high) if self._known.high_open or high is None else []
        refuted, unknown = tuple(sorted(self._refuted)), tuple(sorted(self._unknown))
        return Values(self._condition, self._law, joined(holds), refuted, unknown, tuple(passes))

    def _verdict(self, values: Range) -> Verdict:
        return self._reports.on(values)[self._condition].findings[self._place][1].verdict

    def _is_proved_at(self, value: Fraction) -> bool:
        verdict = self._verdict(ranges.number(value))
        if verdict is Verdict.REFUTED:
            self._refuted.add(value)
        elif verdict is Verdict.UNKNOWN:
            self._unknown.add(value)
        return verdict is Verdict.PROVED

    def _between(self, low: Fraction, high: Fraction | None, refinements: int = _REFINED) -> list[Interval]:
        """Intervals that are proved between two values, which are left out."""
        if self._verdict(_open(low, high)) is Verdict.PROVED:
            return [Interval(low, high, True, True)]
        if refinements == 0 or high is None:
            return []
        middle = (low + high) / 2
        inside = [Interval(middle, middle, False, False)] if self._is_proved_at(middle) else []
        before, after = (self._between(*ends, refinements - 1) for ends in ((low, middle), (middle, high)))
        return [*before, *inside, *after]

    def _last_proved(self, good: Fraction, bad: Fraction) -> Fraction:
        """The last value, on the way from one that is proved to one that is not, at which it was proved."""
        for _ in range(_HALVINGS):
            middle = (good + bad) / 2
            good, bad = (middle, bad) if self._is_proved_at(middle) else (good, middle)
        return good

    def _passing(self, left: Fraction, right: Fraction) -> tuple[Fraction, Fraction] | None:
        """Two values near each other with E[C] < 1 at one and > 1 at the other, between two that are so."""
        sides = [self._reports.side(self._law, value) for value in (left, right)]
        if sides[0] * sides[1] >= 0:
            return None
        for _ in range(_HALVINGS):
            middle = (left + right) / 2
            side = self._reports.side(self._law, middle)
            if side == 0:
                break
            left, right = (middle, right) if side == sides[0] else (left, middle)
        return left, right


def _least(known: Range) -> fmpq:
    assert known.low is not None  # ranges without one were refused
    return known.low


def _grid(low: Fraction, high: Fraction | None, known: Range) -> list[Fraction]:
    """Values in a range: at equal distances, or twice as far each where it has no end; 0 and 1; closed ends."""
    if high is None:
        inside = [low + Fraction(2) ** power for power in range(-_CELLS // 2, _CELLS // 2 + 1)]
    else:
        inside = [low + (high - low) * Fraction(step, _CELLS) for step in range(1, _CELLS)]
    round_ones = [Fraction(one) for one in (0, 1) if low < one and (high is None or one < high)]
    first = [] if known.low_open else [low]
    last = [] if known.high_open or high is None else [high]
    return sorted({*first, *inside, *round_ones, *last})


def _open(low: Fraction, high: Fraction | None) -> Range:
    return Range(as_fmpq(low), None if high is None else as_fmpq(high), True, True)


def _few(values: Sequence[Fraction], ends: Sequence[Fraction], others: Sequence[Fraction] = ()) -> str:
    """The values next to some ends, or the least and the largest, told from others, and how many more there are."""
    shown = {min(values, key=lambda value: abs(value - end)) for end in ends} or {min(values), max(values)}
    left = len(values) - len(shown)
    return ", ".join(beside(one, (*ends, *others)) for one in sorted(shown)) + (f" and {left} more" if left else "")

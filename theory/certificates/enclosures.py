"""Numbers in certificates: rationals, and enclosures between two bounds that are written rounded outward."""

from __future__ import annotations

import decimal
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from flint import arb, fmpq

from theory.analysis.pointwise import PointValues
from theory.certificates.rejection import require
from theory.numbers import ranges
from theory.numbers.balls import PRECISIONS, Number, Undecided, precision
from theory.numbers.decimals import ends
from theory.numbers.rationals import as_fmpq, as_fraction, exact

#: Two bounds with the number between them, ends included; None is no bound on that side.
Enclosure = tuple[fmpq | None, fmpq | None]
_RATIONAL = re.compile(r"-?(0|[1-9][0-9]*)(/[1-9][0-9]*)?", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_SHORT = 40  # characters up to which a rational is written as it is
_FARTHEST = 3_900  # powers of ten beyond which a bound is left out, or 0


def rational(text: Any) -> Fraction:
    """The rational that a text writes in lowest terms."""
    require(isinstance(text, str) and _RATIONAL.fullmatch(text) is not None, f"{_shown(text)} is no rational")
    value = exact(text)
    require(str(value) == text, f"{_shown(text)} is not in lowest terms")
    return value


def bound(text: Any) -> fmpq:
    """The rational that a text writes, as a fraction or a decimal."""
    good = isinstance(text, str) and (_RATIONAL.fullmatch(text) or _DECIMAL.fullmatch(text))
    require(bool(good), f"{_shown(text)} is neither a rational nor a decimal")
    return as_fmpq(exact(text))


def enclosure(data: Any) -> Enclosure:
    """The enclosure that a list of two bounds writes."""
    require(isinstance(data, list) and len(data) == 2, f"an enclosure is a list of two bounds, got {_shown(data)}")
    low, high = (None if end is None else bound(end) for end in data)
    require(low is None or high is None or low <= high, f"the enclosure {_shown(data)} is empty")
    return low, high


def contains(outer: Enclosure, value: Number) -> bool:
    """Whether an enclosure holds a number for certain."""
    (low, high), inner = outer, ranges.around(value)
    is_above = low is None or (inner.low is not None and inner.low >= low)
    is_below = high is None or (inner.high is not None and inner.high <= high)
    return bool(is_above and is_below)


def contains_value(outer: Enclosure, values: PointValues, tau: int) -> bool:
    """Whether an enclosure holds a formula's value at a staleness for certain, with as many bits as that needs."""
    low, high = outer
    above = low is None or values.compare(tau, as_fraction(low)) >= 0
    below = high is None or values.compare(tau, as_fraction(high)) <= 0
    return above and below


def around(value: Number, digits: int = 15) -> list[str | None]:
    """The enclosure of a number, as a certificate writes it: exact where it is short, else decimals."""
    if isinstance(value, fmpq) and len(str(value)) > _SHORT:
        value = arb(value)
    return outward(ends(value, digits))


def outward(told: list[str]) -> list[str | None]:
    """The enclosure between two ends, as a certificate writes it: what is beyond reason is left out."""
    low, high = told
    return [_within_reach(low, up=False), _within_reach(high, up=True)]


def decisive(values: PointValues, places: Sequence[int], decides: Callable[..., bool]) -> list[list[str | None]]:
    """Enclosures of a formula's values at some staleness values, with as many digits as a question about them needs.

    Args:
      values: of the formula.
      places: the staleness values.
      decides: whether an enclosure of each is enough.

    Returns:
      The enclosures, as a certificate writes them.

    Raises:
      Undecided: where none are enough.
    """
    for bits in PRECISIONS:
        try:
            found = [values.value(tau, bits) for tau in places]
        except Undecided:
            continue
        for digits in (15, bits // 4):
            with precision(bits):
                written = [around(value, digits) for value in found]
            if decides(*map(enclosure, written)):
                return written
    raise Undecided(f"no enclosure of C({', '.join(map(str, places))}) decides")


def below(value: fmpq) -> tuple[str, bool]:
    """A short bound from below, and whether it is less than the number itself."""
    return _rounded(value, up=False)


def above(value: fmpq) -> tuple[str, bool]:
    """A short bound from above, and whether it is more than the number itself."""
    return _rounded(value, up=True)


def _rounded(value: fmpq, *, up: bool) -> tuple[str, bool]:
    if len(str(value)) <= _SHORT:
        return str(value), False
    end = around(arb(value), 6)[1 if up else 0]
    if end is None:
        raise Undecided("a bound that is too large to be written")
    return end, as_fmpq(exact(end)) != value


def _within_reach(end: str, *, up: bool) -> str | None:
    """An end, moved outward where its power of ten is beyond reason."""
    if end in ("inf", "-inf"):
        return None
    if "/" in end or "E" not in end:
        return end
    number = decimal.Decimal(end)
    if abs(number.adjusted()) <= _FARTHEST:
        return end
    if (number > 0) == up:  # outward is away from 0
        return None if number.adjusted() > 0 else f"{'' if up else '-'}1E-{_FARTHEST}"
    return f"{'-' if up else ''}1E+{_FARTHEST}" if number.adjusted() > 0 else "0"


def _shown(data: Any) -> str:
    return repr(data)[:60]

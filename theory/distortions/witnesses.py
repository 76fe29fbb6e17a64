"""Laws of at most four points under which a distortion violates a condition, from the proof of Theorem F.

Shares a < b of the distribution are a step of the law with masses a, b - a, 1 - b, so one slope of g takes at most
three points. Two neighbouring slopes, over [a, b] and [b, c], take the masses a, b - a, c - b, 1 - c: three points
where a = 0 or c = 1, and four in general, since g can lie below its chords only far from both ends.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

from flint import fmpq

from theory.analysis.pointwise import samples
from theory.distortions.factors import Factors
from theory.distortions.question import DistortionQuestion
from theory.formulas.formula import nodes
from theory.laws import FiniteLaw
from theory.numbers.balls import NotFinite, Number, ball
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fraction

_MOST_SAMPLES = 8  # of open parameters
_COARSE = 8
_FINE = 48
_NEAR_ENDS = range(6, 12)  # powers of two
_BESIDE = (16, 2**20)  # shares of what is left to both ends: a jump shows beside it
_DRAWN = 12  # laws that are computed for a search that rounding may mislead


def law_of(shares: Sequence[Fraction]) -> FiniteLaw:
    """The law on 0, 1, 2, … whose distribution function takes these values in between.

    Example:
      >>> law_of([Fraction(1, 4), Fraction(1, 2)]).to_json()
      ['counts', [1, 1, 2]]
    """
    ends = [Fraction(0), *sorted({share for share in shares if 0 < share < 1}), Fraction(1)]
    masses = [after - before for before, after in itertools.pairwise(ends)]
    common = math.lcm(*(mass.denominator for mass in masses))
    counts = [int(mass * common) for mass in masses]
    return FiniteLaw(dict(enumerate(masses)), ["counts", counts])


def single(question: DistortionQuestion) -> Iterator[dict[str, Range]]:
    """Single values of the parameters, from inside their ranges."""
    if not question.parameters:
        yield {}
        return
    yield from itertools.islice(samples(dict(question.parameters)), _MOST_SAMPLES)


def undefined(question: DistortionQuestion) -> Iterator[tuple[dict[str, Range], FiniteLaw, int]]:
    """Laws with a staleness at which C has no real, finite value."""
    for parameters in single(question):
        for share in _shares(question):
            law = law_of([share])
            factors = Factors(question.distortion, parameters, law)
            try:
                factors.at(fmpq(share.numerator, share.denominator))
            except NotFinite:
                yield parameters, law, 0 if share else law.first
            except ArithmeticError:
                continue


def steps(question: DistortionQuestion, low: Fraction | None, high: Fraction | None) -> Iterator[tuple]:
    """Laws with a staleness at which C may be ≤ low, or above ``high``: by values in floats, the worst first."""
    for parameters in single(question):
        values = _values(question, parameters)
        found = []
        for (a, at_a), (b, at_b) in itertools.combinations(values.items(), 2):
            slope = (at_b - at_a) / float(b - a)
            excess = max(
                -math.inf if low is None else float(low) - slope, -math.inf if high is None else slope - float(high)
            )
            if excess > -1e-9:
                found.append((min(excess, 1e-3) > 1e-6, -_length([a, b]), excess, a, b))
        found.sort(key=lambda one: one[:3], reverse=True)
        for *_, a, b in found[:_DRAWN]:
            law = law_of([a, b])
            yield parameters, law, int(a > 0)


def kinks(question: DistortionQuestion) -> Iterator[tuple]:
    """Laws with neighbours between which C may rise: three points where they do, else four."""
    for parameters in single(question):
        values = list(_values(question, parameters).items())
        found = []
        for (b, at_b), (c, at_c) in itertools.combinations(values, 2):
            for (a, at_a), (p, at_p), (q, at_q) in (
                (values[0], (b, at_b), (c, at_c)),
                ((b, at_b), (c, at_c), values[-1]),
            ):
                if a < p < q:
                    rise = (at_q - at_p) / float(q - p) - (at_p - at_a) / float(p - a)
                    if rise > 1e-9:
                        found.append((rise > 1e-6, 1, -_length([a, p, q]), rise, a, p, q))
        for (a, at_a), (p, at_p), (q, at_q) in zip(values, values[1:], values[2:], strict=False):
            rise = (at_q - at_p) / float(q - p) - (at_p - at_a) / float(p - a)
            if rise > 1e-9:
                found.append((rise > 1e-6, 0, -_length([a, p, q]), rise, a, p, q))
        found.sort(key=lambda one: one[:4], reverse=True)
        for *_, a, p, q in found[:_DRAWN]:
            yield parameters, law_of([a, p, q]), int(a > 0)


def _length(shares: Sequence[Fraction]) -> int:
    return math.lcm(*(share.denominator for share in shares))


def _values(question: DistortionQuestion, parameters: dict[str, Range]) -> dict[Fraction, float]:
    """The distortion at many shares, in floats: they lead to laws, which are computed exactly then."""
    factors = Factors(question.distortion, parameters, law_of([]))
    values = {}
    for share in _shares(question):
        try:
            values[share] = _float(factors.at(fmpq(share.numerator, share.denominator)))
        except ArithmeticError:
            continue
    return values


def _float(value: Number) -> float:
    return float(ball(value).mid())


def _shares(question: DistortionQuestion) -> list[Fraction]:
    """Where to look: coarse and fine fractions, near both ends, and beside the numbers of the formula."""
    found = {Fraction(k, n) for n in (_COARSE, _FINE, 5) for k in range(n + 1)}
    for power in _NEAR_ENDS:
        found |= {Fraction(1, 2**power), 1 - Fraction(1, 2**power)}
    numbers = {node[1] for node in nodes(question.distortion) if node[0] == "number"}
    with contextlib.suppress(ArithmeticError):
        numbers |= {as_fraction(one) for one in question.curve().breaks()}
    for value in numbers:
        if 0 < value < 1 and value.denominator < 10**6:
            for closer in _BESIDE:
                step = min(value, 1 - value) / closer
                found |= {value, value - step, value + step}
    return sorted(found)

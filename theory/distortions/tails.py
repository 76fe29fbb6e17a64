"""Where facts about a distortion on a part of [0, 1] decide under a law, and the points before that part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from flint import fmpq

from theory.distortions.factors import Factors
from theory.laws import Law
from theory.numbers.balls import ball
from theory.numbers.ranges import rational_below

_STARTS = (1, 2, 4, 8, 16, 32, 64)


def starts(law: Law) -> Iterator[tuple[int, fmpq]]:
    """Each staleness from which facts are tried, with a share of the distribution that lies before it."""
    for step in _STARTS:
        first = max(law.first, law.window()[0]) + step
        low = share_before(law, first)
        if low > 0:
            yield first, low


def share_before(law: Law, first: int) -> fmpq:
    """A rational that is at most P[T < first], and close to it."""
    low = rational_below(ball(law.distribution(first, "strict")))
    if low is None or low <= 0:
        return fmpq(0)
    return fmpq((low * 2**40).floor()) / 2**40  # short, and still below


def points_hold(name: str, factors: Factors, points: Sequence[int], amplitude: Fraction) -> bool:
    """Whether a condition holds at each of some points, and between neighbours; of ``magnitude`` they say nothing."""
    try:
        for place, tau in enumerate(points):
            if name in ("defined", "moments"):
                factors.certain(tau)
            elif (
                (name == "positive" and factors.compare(tau, Fraction(0)) <= 0)
                or (
                    name == "amplitude"
                    and not (factors.compare(tau, 1 + amplitude) <= 0 and factors.compare(tau, 1 - amplitude) >= 0)
                )
                or (name == "decreasing" and place + 1 < len(points) and factors.compare(tau, points[place + 1]) < 0)
            ):
                return False
    except ArithmeticError:
        return False
    return True

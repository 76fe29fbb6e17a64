"""Step sizes as numbers: rounded so that they stay admissible, compared, and chosen for the least bound."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from flint import arb, fmpq

from theory.decisions.verdict import Verdict
from theory.numbers.balls import Number, Undecided, ball, sign
from theory.numbers.decimals import ends, shown
from theory.numbers.rationals import as_fmpq

_LONGEST = 24  # characters of a step size that is kept as it is


def round_down(value: Number, digits: int = 12) -> fmpq:
    """A short rational that is at most the value for certain, and as near as the digits allow.

    Args:
      value: > 0.
      digits: that are kept.

    Returns:
      The value itself where it is rational and short.

    Raises:
      Undecided: where it is not shown to be > 0 and finite.

    Example:
      >>> round_down(arb(2).sqrt()), round_down(fmpq(1, 3))
      (141421356237/100000000000, 1/3)
    """
    if isinstance(value, fmpq) and value > 0 and len(str(value)) <= _LONGEST:
        return value
    lower = ends(ball(value), digits)[0]
    low = Fraction(lower) if ball(value).is_finite() else Fraction(0)
    if low <= 0:
        raise Undecided(f"a step size in {shown(value)}")
    return as_fmpq(low)


def compared(left: Number, right: Number) -> Verdict:
    """Whether left ≤ right: PROVED, REFUTED, or UNKNOWN where the balls overlap.

    Example:
      >>> compared(fmpq(1, 3), fmpq(1, 3)).value, compared(arb(2).sqrt(), fmpq(1)).value
      ('PROVED', 'REFUTED')
    """
    try:
        return Verdict.PROVED if sign(right - left) >= 0 else Verdict.REFUTED
    except Undecided:
        return Verdict.UNKNOWN


def least_bound(bound: Callable[[fmpq], Number | None], largest: fmpq) -> tuple[fmpq, Number] | None:
    """Searches for the least value of a bound up to the largest step size: on a grid of ratios, then on finer ones.

    Args:
      bound: of a step size; None where it has no value.
      largest: > 0.

    Returns:
      The step size and the bound there; None where it has no value anywhere.

    Example:
      >>> step, value = least_bound(lambda eta: 1 / eta + eta, fmpq(8))
      >>> round(float(arb(step)), 2), round(float(arb(value)), 4)
      (1.0, 2.0)
    """
    best: tuple[fmpq, Number] | None = None
    ratio, centre = 2.0, 1.0
    for _ in range(3):
        powers = range(-30, 1) if ratio == 2.0 else range(-8, 9)
        for share in dict.fromkeys(min(1.0, centre * ratio**power) for power in powers):
            step = largest if share == 1.0 else round_down(ball(largest) * arb(share), 6)
            value = bound(step)
            if value is not None and (best is None or float(ball(value).mid()) < float(ball(best[1]).mid())):
                best, centre = (step, value), share
        ratio **= 0.15
    return best

r"""Theorem G: the step-size function of τ that makes the noise factor least at a given step size.

Among all :math:`C \ge 0` with :math:`E[C] = 1`, :math:`V(C) = E[C^2](1 + c\,E[\tau C])` is least for a truncated line,

.. math:: C(\tau) = \frac{(1 - \tau/\theta)_+}{E[(1 - T/\theta)_+]},\qquad t_1 \le \theta \le \infty,

with t₁ the second point of the law. V has several minima in θ in general, so every interval between neighbouring points
is looked into. There, with x = 1/θ, V is a quotient of cubics whose derivative has the sign of a quadratic.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from fractions import Fraction

from flint import arb, fmpq

from theory.convergence.moments import MOST_EXACT
from theory.laws import Law
from theory.numbers.balls import Number, Undecided, ball, power, sign

_MOST_POINTS = 20_000  # a second or two


@dataclasses.dataclass(frozen=True)
class TruncatedLine:
    """A truncated line, C(τ) = (1 - τ/θ)₊ / E[(1 - T/θ)₊].

    Attributes:
      threshold: θ, in updates: C is 0 from there on; None for ∞, where C = 1.
      mean: E[(1 - T/θ)₊], which it is divided by.
      value: V = E[C²](1 + c E[τC]); of a best line the least value, enclosed.
    """

    threshold: Number | None
    mean: Number
    value: Number


@dataclasses.dataclass(frozen=True)
class _Active:
    """Where the same points of the law lie below θ: x = 1/θ from ``low`` to ``high``, and their sums of p, τp, τ²p."""

    low: Number
    high: Number
    sums: tuple[Number, Number, Number]


def best_truncated_line(law: Law, weight: Number) -> TruncatedLine:
    """Finds the truncated line whose noise factor is least.

    Args:
      law: of the staleness, with a finite mean.
      weight: c ≥ 0, that of E[τC]: 2Lη in Theorems A, B, C and SC, in 1/updates.

    Returns:
      The line and its V: V exactly where the law is bounded and V and θ are rational, else in a ball that contains the
      least value.

    Raises:
      ValueError: for c < 0.
      Undecided: where the law has too many points or no bound of its tail, or the balls are too wide.

    Example:
      >>> from theory.laws import FiniteLaw
      >>> law = FiniteLaw({0: Fraction(1, 2), 2: Fraction(1, 2)}, ["counts", [1, 0, 1]])
      >>> best_truncated_line(law, fmpq(1, 2)).threshold.str(5, radius=False)  # 4 + √6
      '6.4495'
      >>> line = best_truncated_line(law, fmpq(1))
      >>> line.threshold, line.value  # the constant's is 2
      (4, 50/27)
      >>> best_truncated_line(law, fmpq(0)).threshold is None  # no staleness term: constant
      True
    """
    if ball(weight) < 0:
        raise ValueError(f"c must be ≥ 0, got {weight}")
    start, stop = law.window()
    if stop - start > _MOST_POINTS:
        raise Undecided(f"a law of more than {_MOST_POINTS:,} points")
    support = law.support()
    above = arb(0) if law.last is not None else law.tail_bound(stop, Fraction(1), arb(0))
    whole = list(_intervals(law, [t for t in (support or range(start, stop + 1)) if law.has_mass(t)]))
    constant = _value(whole[-1].sums, fmpq(0), weight)
    certain: list[tuple[Number, Number, _Active]] = [(constant, fmpq(0), whole[-1])]
    possible: list[tuple[Number, Number, _Active]] = []
    for active in whole:
        if 1 / ball(active.sums[0]).upper() > ball(constant).upper():
            continue  # E[C²] ≥ 1/P[T < θ]: no minimum here
        for x, is_inside in _stationary_or_end(active, weight):
            (certain if is_inside else possible).append((_value(active.sums, x, weight), x, active))
    value, x, active = min(certain, key=lambda one: float(ball(one[0]).mid()))
    if not all(_is_at_least(other, value) for other, *_ in certain + possible):
        low = min((ball(other).lower() for other, *_ in certain + possible), key=float)
        high = min((ball(other).upper() for other, *_ in certain), key=float)
        value = low.union(high)
    mean = active.sums[0] - x * active.sums[1]
    if above != 0:  # points beyond the window add at most ``above`` to E[(1 - T/θ)₊], its square and E[T(1 - T/θ)₊]
        share = above / ball(whole[-1].sums[0] - whole[-1].high * whole[-1].sums[1]).lower() ** 2
        if not share < 1:
            raise Undecided("a tail that is not small where the sum has to end")
        value = ball(value) * arb(1).union((1 + (1 + weight) * share) ** 2 / (1 - share) ** 3).union((1 - share) ** 3)
        mean = mean + arb(0).union(above)
    if not ball(value).is_finite():
        raise Undecided("balls that are too wide")
    return TruncatedLine(None if x == 0 else 1 / x, mean, value)


def _is_at_least(left: Number, right: Number) -> bool:
    if isinstance(left, fmpq) and isinstance(right, fmpq):
        return left >= right
    return left is right or bool(ball(left) >= ball(right))


def _intervals(law: Law, points: list[int]) -> Iterator[_Active]:
    """The intervals of x = 1/θ, from those of the second point on to that of all; a lone point has x = 0 alone."""
    exact = law.last is not None and len(points) <= MOST_EXACT
    below, zero = ball(law.below_window()), fmpq(0)
    start = points[0]
    sums = [zero, zero, zero] if exact else [below.union(arb(0)) * start**j for j in range(3)]
    for place, tau in enumerate(points):
        mass = law.mass(tau)
        sums = [known + mass * tau**j for j, known in enumerate(sums)]
        is_last = place == len(points) - 1
        if place or is_last:
            high = fmpq(1, tau) if place else zero
            yield _Active(zero if is_last else fmpq(1, points[place + 1]), high, tuple(sums))  # type: ignore[arg-type]


def _value(sums: tuple[Number, Number, Number], x: Number, weight: Number) -> Number:
    """V where the points that ``sums`` are of lie below 1/x."""
    zeroth, first, second = sums
    mean, square, staleness = zeroth - x * first, zeroth - 2 * x * first + x * x * second, first - x * second
    return square * (mean + weight * staleness) / (mean * mean * mean)


def _stationary_or_end(active: _Active, weight: Number) -> Iterable[tuple[Number, bool]]:
    """Where V may be least on an interval of x, each with whether it lies inside for certain.

    V = N/D³ with the cubic N = (S₀ - 2S₁x + S₂x²)(l₀ + l₁x) and D = S₀ - S₁x. V' has the sign of N'D + 3S₁N, in which
    x³ cancels.
    """
    yield active.low, True
    yield active.high, True
    zeroth, first, second = active.sums
    l0, l1 = zeroth + weight * first, -(first + weight * second)
    n = (zeroth * l0, zeroth * l1 - 2 * first * l0, second * l0 - 2 * first * l1, second * l1)
    constant = n[1] * zeroth + 3 * first * n[0]
    half = n[2] * zeroth + n[1] * first  # half of the coefficient of x
    leading = 3 * n[3] * zeroth + n[2] * first
    for root in _roots(leading, half, constant):
        if root <= active.high and root >= active.low:
            yield root, True
        elif not (root > active.high or root < active.low):
            yield root, False


def _roots(leading: Number, half: Number, constant: Number) -> list[Number]:
    """Numbers or balls that hold the real roots of leading·x² + 2·half·x + constant, as far as there are such."""
    inside = half * half - leading * constant
    if ball(inside) < 0:
        return []
    try:
        root = power(inside, fmpq(1, 2)) if sign(inside) >= 0 else fmpq(0)
    except Undecided:  # about 0
        root = arb(0).union(ball(inside).upper()).sqrt()
    # Without a difference of numbers of the same sign.
    sums = -(half + root) if ball(half).mid() >= 0 else root - half
    found = []
    for above, below in ((sums, leading), (constant, sums)):
        if below == 0:
            continue
        if isinstance(below, arb) and below.contains(0):
            raise Undecided("the roots of a quadratic")
        found.append(above / below)
    return found

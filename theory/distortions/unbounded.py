"""What happens to a distortion next to 1, which laws without end reach but do not take: jumps, and slopes that grow."""

from __future__ import annotations

from flint import fmpq

from theory.distortions.boxes import range_over
from theory.distortions.calculus import derivative, selections
from theory.distortions.question import ZERO, DistortionQuestion
from theory.distortions.slopes import NEAR_ONE
from theory.formulas.formula import ONE, Formula, U, add, multiply, number, subtract
from theory.numbers import ranges
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fraction

_POWERS = (fmpq(1, 16), fmpq(1, 8), fmpq(1, 4), fmpq(1, 2), fmpq(3, 4), fmpq(1))


def jumps_at_one(question: DistortionQuestion) -> tuple[str, list[str]] | None:
    """Bounds of g(u) - g(0) just before 1 that do not hold 1, as E[C] lies between them under a law without end.

    Args:
      question: with single values of the parameters.

    Returns:
      From which u on the bounds hold, and the bounds; None where there are none.
    """
    for start in NEAR_ONE:
        try:
            gain = gain_before_one(question, start)
        except ArithmeticError:
            continue
        if gain is not None:
            return str(start), gain
    return None


def gain_before_one(question: DistortionQuestion, start: fmpq) -> list[str] | None:
    """Bounds of g(u) - g(0) for start ≤ u < 1, where they do not hold 1."""
    curve = question.curve()
    before = range_over(question.distortion, curve.box(start, fmpq(1), False, True))
    gain = before - range_over(question.distortion, curve.box(ZERO, ZERO))
    gap = Range(gain.low, gain.high) - ranges.point(1)  # a limit may be an end that is not taken
    if not gap.is_zero_free() or not gain.is_bounded():
        return None
    return [str(gain.low), str(gain.high)]


def grows_near_one(question: DistortionQuestion) -> dict[str, str] | None:
    """From where on |g'(u)|·(1 - u)^s ≥ m > 0, with s > 0: then the slopes grow without bound towards 1.

    Args:
      question: with single values of the parameters.

    Returns:
      ``from``, ``power`` and ``least``, rationals; None where none were found.
    """
    for start in NEAR_ONE[1:]:
        for power in _POWERS:
            least = least_growth(question, start, power)
            if least is not None:
                return {"from": str(start), "power": str(power), "least": str(least)}
    return None


def least_growth(question: DistortionQuestion, start: fmpq, power: fmpq) -> fmpq | None:
    """A lower bound > 0 of |g'(u)|·(1 - u)^power on [start, 1), where g is smooth there; None without one."""
    try:
        curve = question.curve()
        if start < curve.breaks()[-2] or not power > 0:
            return None
        *_, (_, _, formula) = curve.pieces()
        (smooth,) = selections(formula)
        slope = derivative(smooth)
        size = range_over(_damped(slope, power), curve.box(start, fmpq(1), False, True))
    except (ArithmeticError, ValueError, IndexError):
        return None
    if size.is_negative():
        size = -size
    return size.low if size.low is not None and size.low > 0 else None


def _damped(slope: Formula, power: fmpq) -> Formula:
    """The slope times (1 - u)^power, with the powers of 1 - u gathered in each product."""
    base = subtract(ONE, U)
    if slope[0] == "sum":
        return add(*(_damped(part, power) for part in slope[1:]))
    factors = slope[1:] if slope[0] == "product" else (slope,)
    rest, exponent = [], number(as_fraction(power))
    for factor in factors:
        if factor[0] == "power" and factor[1] == base and factor[2][0] == "number":
            exponent = number(exponent[1] + factor[2][1])
        else:
            rest.append(factor)
    return multiply(*rest, ("power", base, exponent)) if exponent[1] else multiply(*rest, ONE)

"""Functions of ranges: powers, exponentials, logarithms and the like, rounded outward."""

from __future__ import annotations

import math
from collections.abc import Callable

from flint import arb, fmpq

from theory.numbers.balls import FUNCTIONS, LONGEST, NotFinite, Undecided
from theory.numbers.ranges import ZERO, Range, absolute, point, rational_above, rational_below


def inverse(value: Range) -> Range:
    """The range of 1/x; where 0 is inside, :class:`Undecided`."""
    if value.is_negative():
        return -inverse(-value)
    if not value.is_positive():
        raise NotFinite("a division by zero") if value == ZERO else Undecided("whether a divisor is zero")
    low = fmpq(0) if value.high is None else fmpq(1) / value.high
    high = None if value.low is None or value.low == 0 else fmpq(1) / value.low
    return Range(low, high, value.high is None or value.high_open, value.low == 0 or value.low_open)


def power(base: Range, exponent: Range) -> Range:
    """The range of ``base`` to the ``exponent``; a negative base to an integer only."""
    if exponent.whole is not None:
        return _integer_power(base, exponent.whole)
    if not base.is_nonnegative():
        raise Undecided("a power of what may be negative")
    if exponent.exact is not None:
        to, positive = arb(exponent.exact), exponent.exact > 0
        if not positive and not base.is_positive():
            raise Undecided("whether a divisor is zero")
        rising = base if positive else Range(base.high, base.low, base.high_open, base.low_open)

        def end(value: fmpq | None, *, upper: bool) -> fmpq | None:
            if value is None or value == 0:
                grows = (value is None) == positive
                return None if grows else fmpq(0)
            if value == 1:
                return value
            raised = arb(value) ** to
            return rational_above(raised) if upper else rational_below(raised)

        low, high = end(rising.low, upper=False), end(rising.high, upper=True)
        return Range(low, high, rising.low_open or rising.low is None, rising.high_open or rising.high is None)
    if not base.is_positive():
        raise Undecided("a power of what may be zero")
    return exp(exponent * log(base))


def _integer_power(base: Range, exponent: int) -> Range:
    if exponent == 0:
        return point(1)
    if exponent < 0:
        return inverse(_integer_power(base, -exponent))
    if exponent == 1:
        return base
    of = base if exponent % 2 and not base.is_nonnegative() else absolute(base)
    low = None if of.low is None else _raised(of.low, exponent, up=False)
    high = None if of.high is None else _raised(of.high, exponent, up=True)
    # A power is 0 for 0 alone, also where rounding says so.
    low_open = of.low_open or low is None or (low == 0 and of.low != 0)
    return Range(low, high, low_open, of.high_open or high is None or (high == 0 and of.high != 0))


def _raised(value: fmpq, exponent: int, *, up: bool) -> fmpq | None:
    """A rational to a power ≥ 2, rounded outward where the result is long; None where it is beyond reason."""
    bits = max(int(value.p).bit_length(), int(value.q).bit_length())
    if value in (0, 1, -1) or bits * exponent <= LONGEST:
        return value**exponent
    raised = arb(value) ** exponent
    return rational_above(raised) if up else rational_below(raised)


def monotone(value: Range, function: Callable[[arb], arb], low: fmpq | None, high: fmpq | None) -> Range:
    """The range of an increasing function; ``low`` and ``high`` are its limits at -∞ and ∞, None where infinite."""
    least = low if value.low is None else rational_below(function(arb(value.low)))
    most = high if value.high is None else rational_above(function(arb(value.high)))
    return Range(least, most, value.low is None or value.low_open, value.high is None or value.high_open)


def exp(value: Range) -> Range:
    """The range of e to the x."""
    result = monotone(value, arb.exp, fmpq(0), None)
    low = fmpq(1) if value.low == 0 else result.low
    high = fmpq(1) if value.high == 0 else result.high
    if low == 0:  # e^x is never 0, even where rounding says so
        return Range(low, high, True, result.high_open)
    return Range(low, high, result.low_open, result.high_open)


def log(value: Range) -> Range:
    """The range of the natural logarithm."""
    if not value.is_positive():
        raise Undecided("the logarithm of what may not be positive")
    low = None if value.low == 0 else fmpq(0) if value.low == 1 else rational_below(arb(value.low).log())
    high = None if value.high is None else fmpq(0) if value.high == 1 else rational_above(arb(value.high).log())
    return Range(low, high, value.low_open or value.low == 0, value.high_open or value.high is None)


def atan(value: Range) -> Range:
    """The range of the arc tangent."""
    half = arb.pi() / 2
    result = monotone(value, arb.atan, rational_below(-half), rational_above(half))
    low = fmpq(0) if value.low == 0 else result.low
    high = fmpq(0) if value.high == 0 else result.high
    return Range(low, high, result.low_open, result.high_open)


def floor(value: Range) -> Range:
    """The range of the greatest integer below."""
    low = None if value.low is None else fmpq(value.low.floor())
    high = None if value.high is None else fmpq(value.high.floor())
    if high is not None and value.high_open and high == value.high:
        high -= 1
    return Range(low, high)


def harmonic(value: Range) -> Range:
    """The range of the harmonic number of x, for x ≥ 0, where it increases."""
    if value.low is None or value.low < 0:
        raise Undecided("the harmonic number of what may be negative")

    def of(number: fmpq, *, upper: bool) -> fmpq | None:
        known = FUNCTIONS["harmonic"](number)
        return known if isinstance(known, fmpq) else rational_above(known) if upper else rational_below(known)

    high = None if value.high is None else of(value.high, upper=True)
    return Range(of(value.low, upper=False), high, value.low_open, value.high_open or high is None)


def factorial(value: Range) -> Range:
    """The range of Γ(x + 1), for x ≥ 1, where it increases."""
    if value.low is None or value.low < 1:
        if value.whole == 0:
            return point(1)
        if value.low is None or value.low < 0:
            raise Undecided("the factorial of what may be negative")
        high = None if value.high is None else rational_above((arb(value.high.ceil()) + 1).gamma())
        return Range(fmpq(22, 25), high, True, high is None)  # Γ > 0.88, and both 0! and ⌈high⌉! may be taken
    if value.low > 10**6:
        return Range(fmpq(10) ** 300, None, True, True)

    def of(number: fmpq, *, upper: bool) -> fmpq | None:
        if number.q == 1 and number <= 50:
            return fmpq(math.factorial(int(number.p)))
        if number > 10**6:
            return None
        gamma = (arb(number) + 1).gamma()
        return rational_above(gamma) if upper else rational_below(gamma)

    high = None if value.high is None else of(value.high, upper=True)
    return Range(of(value.low, upper=False), high, value.low_open, value.high_open or high is None)

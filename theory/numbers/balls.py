"""Numbers as exact rationals where they are rational and short, else as balls that contain them.

A ball (python-flint's ``arb``) is a midpoint and a radius that together contain the value for certain. What cannot be
decided at a precision, as a floor of a ball around an integer, raises :class:`Undecided`, and is tried again with more
bits. Nothing here rounds to nearest and hopes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import flint
from flint import arb, fmpq, fmpz

#: An exact rational or a ball.
Number = fmpq | arb
#: Bits of the balls: each is tried in turn until something is decided.
PRECISIONS = (96, 256, 1024, 4096)
_OF_A_RADIUS = 64  # bits; a radius has 30
LONGEST = 20_000  # bits up to which powers and factorials are kept as exact rationals
_TOO_LONG = arb(2) ** LONGEST
_MOST_ADDED = 300  # fractions of a harmonic number that is kept as an exact rational


class Undecided(ArithmeticError):
    """A question that these bits cannot decide, and more might."""


class NotFinite(ArithmeticError):
    """A value that is not a finite real number."""


class _Precision:
    """The context of :func:`precision`.

    It is no generator: where a time limit interrupts its entry, a generator would set the bits back once it is
    collected, which may be after the contexts around it were left.
    """

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def __enter__(self) -> None:
        self._before = flint.ctx.prec
        flint.ctx.prec = self._bits

    def __exit__(self, *_: object) -> None:
        flint.ctx.prec = self._before


def precision(bits: int) -> _Precision:
    """Computes with balls of this many bits inside the context."""
    return _Precision(bits)


def sign(value: Number) -> int:
    """The sign of a number, -1, 0 or 1; :class:`Undecided` where a ball contains zero and more."""
    if isinstance(value, fmpq):
        return (value > 0) - (value < 0)
    if value > 0:
        return 1
    if value < 0:
        return -1
    if value == 0:
        return 0
    raise Undecided(f"the sign of {value}")


def ball(value: Number) -> arb:
    """The value as a ball."""
    return value if isinstance(value, arb) else arb(value)


def lower(value: arb) -> arb:
    """The lower end of a ball, with all its bits: ``arb.lower`` rounds to those that are computed with."""
    with precision(max(flint.ctx.prec, value.bits() + _OF_A_RADIUS)):
        return value.lower()


def upper(value: arb) -> arb:
    """The upper end of a ball, with all its bits."""
    with precision(max(flint.ctx.prec, value.bits() + _OF_A_RADIUS)):
        return value.upper()


def power(base: Number, exponent: Number) -> Number:
    """``base`` to the ``exponent``, with 0⁰ = 1, and a real result or :class:`NotFinite`."""
    if isinstance(exponent, fmpq):
        if exponent.q == 1:
            return integer_power(base, int(exponent.p))
        if isinstance(base, fmpq):
            if base < 0:
                raise NotFinite(f"{base} to the power of {exponent}")
            if base == 0:
                if exponent < 0:
                    raise NotFinite("a division by zero")
                return fmpq(0)
            exact = _root(base, int(exponent.q))
            if exact is not None:
                return integer_power(exact, int(exponent.p))
    of = sign(base)
    if of < 0:
        if isinstance(exponent, arb) and exponent.contains_integer():
            raise Undecided(f"whether the exponent {exponent} is whole")
        raise NotFinite(f"{base} to the power of {exponent}")
    if of == 0:
        to = sign(exponent)
        if to < 0:
            raise NotFinite("a division by zero")
        return fmpq(1 if to == 0 else 0)
    return _finite(ball(base) ** ball(exponent))


def integer_power(base: Number, exponent: int) -> Number:
    """``base`` to a whole power; exact where base and result are short rationals."""
    if exponent == 0:
        return fmpq(1)
    if isinstance(base, fmpq):
        if base == 0:
            if exponent < 0:
                raise NotFinite("a division by zero")
            return base
        if exponent == -1:
            return 1 / base
        if base in (1, -1):
            return base if exponent % 2 else fmpq(1)
        bits = max(int(base.p).bit_length(), int(base.q).bit_length())
        if bits * abs(exponent) <= LONGEST:
            return base**exponent
        base = ball(base)
    elif exponent < 0 and base.contains(0):
        raise NotFinite("a division by zero") if base == 0 else Undecided("whether a divisor is zero")
    return _finite(whole_power(base, exponent))


def whole_power(base: arb, exponent: int) -> arb:
    """A ball to a whole power, by squaring where it holds 0: there ``arb ** n`` is no number."""
    if not base.contains(0):
        return base**exponent
    if exponent < 0:
        return 1 / whole_power(base, -exponent)
    result, square = arb(1), base
    while exponent:
        if exponent % 2:
            result *= square
        square, exponent = square * square, exponent // 2
    return result


def _root(base: fmpq, degree: int) -> fmpq | None:
    above, below = (_integer_root(int(part), degree) for part in (base.p, base.q))
    return None if above is None or below is None else fmpq(above, below)


def _integer_root(value: int, degree: int) -> int | None:
    root = int(fmpz(value).root(degree)) if value else 0
    return root if root**degree == value else None


def _exp(value: Number) -> Number:
    return fmpq(1) if isinstance(value, fmpq) and value == 0 else _finite(ball(value).exp())


def _log(value: Number) -> Number:
    of = sign(value)
    if of <= 0:
        raise NotFinite(f"the logarithm of {value}")
    return fmpq(0) if isinstance(value, fmpq) and value == 1 else ball(value).log()


def _abs(value: Number) -> Number:
    return abs(value)


def _floor(value: Number) -> Number:
    if isinstance(value, fmpq):
        return fmpq(value.floor())
    if not abs(value).upper() < _TOO_LONG:  # python-flint ends the process where an integer does not fit in memory
        raise Undecided(f"the floor of {value}")
    low, high = value.lower().floor(), value.upper().floor()
    if not (low == high and low.is_finite()):
        raise Undecided(f"the floor of {value}")
    whole = low.unique_fmpz()
    if whole is None:
        raise Undecided(f"the floor of {value}")
    return fmpq(whole)


def modulo(left: Number, right: Number) -> Number:
    """The remainder ``left - right * floor(left / right)``."""
    if sign(right) == 0:
        raise NotFinite("a division by zero")
    return left - right * _floor(left / right)


def _zero_or(function: Callable[[arb], arb]) -> Callable[[Number], Number]:
    at_zero = function(arb(0))
    exact = fmpq(0) if at_zero == 0 else fmpq(1)  # sin, atan: 0; cos: 1
    return lambda value: exact if isinstance(value, fmpq) and value == 0 else _finite(function(ball(value)))


def _factorial(value: Number) -> Number:
    if isinstance(value, fmpq) and value.q == 1:
        whole = int(value.p)
        if whole < 0:
            raise NotFinite(f"the factorial of {value}")
        if whole <= 2_000:
            return fmpq(math.factorial(whole))
        return _finite((arb(whole) + 1).gamma())
    return _finite((ball(value) + 1).gamma())


def _harmonic(value: Number) -> Number:
    if isinstance(value, fmpq) and value.q == 1:
        whole = int(value.p)
        if whole < 0:
            raise NotFinite(f"the harmonic number of {value}")
        if whole <= _MOST_ADDED:
            return exact_harmonic(whole)
    return _finite((ball(value) + 1).digamma() + arb.const_euler())


@functools.cache
def exact_harmonic(whole: int) -> fmpq:
    """The harmonic number of an integer ≥ 0, exactly."""
    return sum((fmpq(1, k) for k in range(1, whole + 1)), fmpq(0))


def least(*values: Number) -> Number:
    """The least of several numbers; exact where all are."""
    if all(isinstance(value, fmpq) for value in values):
        return min(values)
    return functools.reduce(arb.min, map(ball, values))


def greatest(*values: Number) -> Number:
    """The greatest of several numbers; exact where all are."""
    if all(isinstance(value, fmpq) for value in values):
        return max(values)
    return functools.reduce(arb.max, map(ball, values))


def _finite(value: arb) -> arb:
    if not value.is_finite():
        raise Undecided(f"whether {value} is finite")
    return value


#: The functions of one number that formulas may call, by operation.
FUNCTIONS: dict[str, Callable[[Any], Number]] = {
    "exp": _exp,
    "log": _log,
    "abs": _abs,
    "floor": _floor,
    "sin": _zero_or(arb.sin),
    "cos": _zero_or(arb.cos),
    "atan": _zero_or(arb.atan),
    "factorial": _factorial,
    "harmonic": _harmonic,
}

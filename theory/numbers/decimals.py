"""Numbers written for people and for certificates: decimals that are rounded outward."""

from __future__ import annotations

import decimal

from flint import arb, fmpq

from theory.numbers.balls import Number, lower, precision, upper


def ends(value: Number, digits: int = 15) -> list[str]:
    """Two decimals that contain the value, rounded outward; an exact rational is written as it is, twice.

    Example:
      >>> ends(fmpq(1, 3)), ends(arb(2).sqrt(), 5)
      (['1/3', '1/3'], ['1.4142', '1.4143'])
    """
    if isinstance(value, fmpq):
        return [str(value), str(value)]
    return [_decimal(lower(value), digits, up=False), _decimal(upper(value), digits, up=True)]


def _decimal(exact: arb, digits: int, *, up: bool) -> str:
    if not exact.is_finite():
        return "inf" if up else "-inf"
    mantissa, exponent = (int(part) for part in exact.man_exp())
    rounding = decimal.ROUND_CEILING if up else decimal.ROUND_FLOOR
    with decimal.localcontext(decimal.Context(prec=digits, rounding=rounding, Emax=10**15, Emin=-(10**15))) as context:
        if exponent >= 0 and exponent < 10_000:
            return str(context.create_decimal(mantissa << exponent).normalize())
        if exponent < 0 and -exponent < 10_000:
            return str(context.divide(decimal.Decimal(mantissa), decimal.Decimal(1 << -exponent)).normalize())
        # 2^e outward in decimals: the error of the power is covered by one more unit in the last place.
        scaled = context.multiply(decimal.Decimal(mantissa), context.power(decimal.Decimal(2), exponent))
        return str(context.next_plus(scaled) if up else context.next_minus(scaled))


def shown(value: Number, digits: int = 8) -> str:
    """A value for people, with its sign of relation: = where it is exact and short, else ≈ and rounded.

    Example:
      >>> shown(fmpq(1, 3)), shown(arb(2).sqrt())
      ('= 1/3', '≈ 1.4142136')
    """
    if isinstance(value, fmpq):
        written = str(value)
        if len(written) <= 24:
            return f"= {written}"
        value = arb(value)
    middle = value.str(digits, radius=False)
    if value.rad() == 0 and len(value.str(20, radius=False)) <= 24:
        return f"= {value.str(20, radius=False)}"
    if value != 0 and value.rel_accuracy_bits() < 3.4 * digits:
        return f"in {value.str(digits)}"
    return f"≈ {middle}"


def digits_apart(value: Number, other: fmpq) -> int:
    """How many digits tell a value from a rational that it is not, and a few more.

    Example:
      >>> digits_apart(fmpq(10**20 + 1, 10**20), fmpq(1))
      24
    """
    with precision(4_096):
        gap = abs(arb(value) - arb(other)).lower()
        if not gap > 0:
            return 0
        size = arb.max(abs(arb(value)).upper(), arb(1)) / gap
        return int(float((size.log() / arb(10).log()).upper())) + 4

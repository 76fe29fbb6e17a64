"""Verdicts, and what stands behind each."""

from __future__ import annotations

import dataclasses
import decimal
import enum
from collections.abc import Iterable, Mapping
from typing import Any

from flint import arb, fmpq

from theory.numbers.balls import Number


class Verdict(enum.StrEnum):
    """PROVED, REFUTED or UNKNOWN."""

    PROVED = "PROVED"
    REFUTED = "REFUTED"
    UNKNOWN = "UNKNOWN"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A verdict on one condition under one law.

    Attributes:
      verdict: the verdict.
      because: one sentence for people.
      evidence: what a certificate carries: strings, integers, lists and dicts.
    """

    verdict: Verdict
    because: str
    evidence: dict[str, Any] = dataclasses.field(default_factory=dict)


def needs_defined(condition: str, evidence: Mapping[str, Any]) -> bool:
    """Whether a proof is about the values that there are: an algebra that cancels does not see a division by zero."""
    if condition == "magnitude":
        return evidence["argument"] != "finite sum"
    return condition in ("positive", "decreasing", "amplitude") or (condition == "moments" and "mean" not in evidence)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """REFUTED before UNKNOWN before PROVED.

    Example:
      >>> worst([Verdict.PROVED, Verdict.UNKNOWN]).value
      'UNKNOWN'
    """
    found = set(verdicts)
    return next((v for v in (Verdict.REFUTED, Verdict.UNKNOWN) if v in found), Verdict.PROVED)


def proved(because: str, **evidence: Any) -> Finding:
    """A finding that the condition holds."""
    return Finding(Verdict.PROVED, because, evidence)


def refuted(because: str, **evidence: Any) -> Finding:
    """A finding that the condition fails."""
    return Finding(Verdict.REFUTED, because, evidence)


def unknown(because: str) -> Finding:
    """No verdict, and why."""
    return Finding(Verdict.UNKNOWN, because)


def ends(value: Number, digits: int = 15) -> list[str]:
    """Two decimals that contain the value, rounded outward; an exact rational is written as it is, twice.

    Example:
      >>> ends(fmpq(1, 3)), ends(arb(2).sqrt(), 5)
      (['1/3', '1/3'], ['1.4142', '1.4143'])
    """
    if isinstance(value, fmpq):
        return [str(value), str(value)]
    return [_decimal(value.lower(), digits, up=False), _decimal(value.upper(), digits, up=True)]


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

"""Rational numbers: the same value as Python's Fraction and as python-flint's fmpq."""

from __future__ import annotations

import re
from fractions import Fraction

from flint import fmpq

#: Digits that a number may have where it is written as a text, its exponent written out.
MOST_DIGITS = 4_000
_EXPONENT = re.compile(r"[eE]([+-]?[0-9_]+)\s*$")


def as_fmpq(value: Fraction | int) -> fmpq:
    """The same rational, as python-flint computes with it."""
    return fmpq(value.numerator, value.denominator)


def exact(text: str) -> Fraction:
    """The rational that a decimal or a fraction writes, exactly.

    Args:
      text: such as ``0.1``, ``1e-3`` or ``2/3``.

    Returns:
      The number.

    Raises:
      ValueError: for anything else, and for numbers of more than 4,000 digits, which would take time and memory.

    Example:
      >>> exact("1e-3"), exact("2/3")
      (Fraction(1, 1000), Fraction(2, 3))
    """
    exponent = _EXPONENT.search(text)
    digits = len(text) + (0 if exponent is None else abs(int(exponent[1][:12])))
    if digits > MOST_DIGITS:
        raise ValueError(f"a number has at most {MOST_DIGITS} digits, got {text[:40]}")
    try:
        return Fraction(text)
    except ZeroDivisionError as error:
        raise ValueError(f"{text} divides by zero") from error


def as_fraction(value: fmpq) -> Fraction:
    """The same rational, as Python writes it."""
    return Fraction(int(value.p), int(value.q))

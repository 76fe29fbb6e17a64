"""Rational numbers, as Python writes them and as python-flint computes with them."""

from __future__ import annotations

from fractions import Fraction

from flint import fmpq


def as_fmpq(value: Fraction) -> fmpq:
    """The same rational."""
    return fmpq(value.numerator, value.denominator)

"""Rational numbers: the same value as Python's Fraction and as python-flint's fmpq."""

from __future__ import annotations

from fractions import Fraction

from flint import fmpq


def as_fmpq(value: Fraction | int) -> fmpq:
    """The same rational, as python-flint computes with it."""
    return fmpq(value.numerator, value.denominator)


def as_fraction(value: fmpq) -> Fraction:
    """The same rational, as Python writes it."""
    return Fraction(int(value.p), int(value.q))

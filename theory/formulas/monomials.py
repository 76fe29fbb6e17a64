"""Sums of monomials with rational coefficients: adding and multiplying them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

Monomial = tuple[tuple[Any, Fraction], ...]
Sum = dict[Monomial, Fraction]
ONE: Monomial = ()
TAU, FACTORIAL, PI = ("tau",), ("factorial",), ("pi",)
_MOST_TERMS = 4_000


class Unsupported(ArithmeticError):
    """An expression that this algebra cannot write."""


def scaled(of: Sum, factor: Fraction) -> Sum:
    """A sum times a number."""
    return {m: c * factor for m, c in of.items() if factor}


def plus(left: Sum, right: Sum) -> Sum:
    """The sum of two sums; what cancels is left out."""
    total = dict(left)
    for monomial, coefficient in right.items():
        new = total.get(monomial, Fraction(0)) + coefficient
        if new:
            total[monomial] = new
        else:
            total.pop(monomial, None)
    return total


def times(left: Sum, right: Sum) -> Sum:
    """The product of two sums, multiplied out."""
    if len(left) * len(right) > _MOST_TERMS:
        raise Unsupported("too many terms")
    total: Sum = {}
    for m, c in left.items():
        for n, d in right.items():
            coefficient, monomial = _product(m, n)
            new = total.get(monomial, Fraction(0)) + c * d * coefficient
            if new:
                total[monomial] = new
            else:
                total.pop(monomial, None)
    return total


def _product(left: Monomial, right: Monomial) -> tuple[Fraction, Monomial]:
    exponents = dict(left)
    for of, to in right:
        exponents[of] = exponents.get(of, Fraction(0)) + to
    return _reduced(exponents)


def _reduced(exponents: dict[Any, Fraction]) -> tuple[Fraction, Monomial]:
    """Whole powers of primes go into the coefficient: √2·√2 = 2."""
    coefficient, kept = Fraction(1), []
    for of, to in exponents.items():
        if of[0] == "exp" and len(of[1]) == 1 and of[1][0][1] == 1 and isinstance(_prime(of[1][0][0]), int):
            whole = to.numerator // to.denominator
            coefficient *= Fraction(_prime(of[1][0][0])) ** whole
            to -= whole
        if to:
            kept.append((of, to))
    return coefficient, in_order(kept)


def _prime(of: Any) -> Any:
    return of[1] if of[0] == "log" else None


def power_of(monomial: Monomial, exponent: Fraction) -> Monomial:
    """A monomial to a rational power."""
    return in_order([(of, to * exponent) for of, to in monomial])


def in_order(factors: list[tuple[Any, Fraction]]) -> Monomial:
    """The monomial of some factors: equal products become equal tuples."""
    return tuple(sorted(((of, to) for of, to in factors if to), key=repr))

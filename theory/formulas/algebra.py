r"""Exact algebra of formulas: quotients of sums of monomials with rational coefficients.

The generators of a monomial are τ, τ!, π, the logarithms of primes, oscillations (sines and cosines), means, and
exponentials of monomials: :math:`e^{m}` to a rational power. So :math:`(3/4)^\tau` is
:math:`e^{\tau\log 3} e^{-2\tau\log 2}`, and what is equal for algebraic reasons is written in one way. A sum whose
monomials all cancel is zero for certain; one that does not cancel may still be zero, and nothing is concluded from it.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from flint import fmpq, fmpz

from theory.formulas.formula import Formula, is_constant
from theory.formulas.monomials import FACTORIAL, ONE, PI, TAU, Sum, Unsupported, in_order, plus, power_of, scaled, times
from theory.numbers.balls import exact_harmonic
from theory.numbers.rationals import as_fraction

_LARGEST_POWER = 64


class Quotient:
    """A sum of monomials over another.

    Args:
      above: the numerator.
      below: the denominator; 1 where not given. One of a single term is divided out.
    """

    def __init__(self, above: Sum, below: Sum | None = None) -> None:
        if below is not None and not below:
            raise Unsupported("a division by zero")
        if below is not None and len(below) == 1:
            ((monomial, coefficient),) = below.items()
            back = {power_of(monomial, Fraction(-1)): 1 / coefficient}
            above, below = times(above, back), None
        self.above, self.below = above, below if below is not None else {ONE: Fraction(1)}

    def __add__(self, other: Quotient) -> Quotient:
        if self.below == other.below:
            return Quotient(plus(self.above, other.above), self.below)
        above = plus(times(self.above, other.below), times(other.above, self.below))
        return Quotient(above, times(self.below, other.below))

    def __neg__(self) -> Quotient:
        return Quotient({m: -c for m, c in self.above.items()}, self.below)

    def __sub__(self, other: Quotient) -> Quotient:
        return self + -other

    def __mul__(self, other: Quotient) -> Quotient:
        return Quotient(times(self.above, other.above), times(self.below, other.below))

    def inverse(self) -> Quotient:
        """The inverse 1/x."""
        if not self.above:
            raise Unsupported("a division by zero")
        return Quotient(self.below, self.above)

    def is_zero(self) -> bool:
        """Whether every monomial has cancelled."""
        return not self.above

    def as_sum(self) -> Sum:
        """The numerator, where there is nothing below."""
        if self.below != {ONE: Fraction(1)}:
            raise Unsupported("a quotient where a sum is needed")
        return self.above


def rational(value: Fraction | int) -> Quotient:
    """A rational number."""
    return Quotient({ONE: Fraction(value)} if value else {})


def generator(of: Any, exponent: Fraction | int = 1) -> Quotient:
    """A generator, to a power."""
    return Quotient({((of, Fraction(exponent)),): Fraction(1)})


def algebraic(formula: Formula) -> Quotient:
    """Translates a formula into this algebra.

    Args:
      formula: without F, minima, absolute values or cases; see :func:`theory.analysis.dominance.resolved`.

    Returns:
      An equal quotient of sums.

    Raises:
      Unsupported: where the algebra has no words for some part.
    """
    name, *parts = formula
    if name == "number":
        return rational(parts[0])
    if name in ("tau", "pi"):
        return generator((name,))
    if name in ("parameter", "mean"):
        return generator((name, parts[0]))
    if name in ("sum", "product"):
        total = algebraic(parts[0])
        for part in parts[1:]:
            total = total + algebraic(part) if name == "sum" else total * algebraic(part)
        return total
    if name == "power":
        return raised(parts[0], parts[1])
    if name == "exp":
        return exponential(algebraic(parts[0]).as_sum())
    if name == "log":
        return logarithm(algebraic(parts[0]).as_sum())
    if name == "factorial":
        return _factorial(algebraic(parts[0]).as_sum())
    if name == "harmonic" and parts[0][0] == "number" and parts[0][1] in range(301):
        return from_fmpq(exact_harmonic(int(parts[0][1])))
    if name == "floor":
        return _floor(algebraic(parts[0]).as_sum())
    if name == "modulo":
        left, right = (algebraic(part) for part in parts)
        return left - right * _floor((left * right.inverse()).as_sum())
    if name in ("sin", "cos"):
        return _oscillation(name, algebraic(parts[0]).as_sum())
    if is_constant(formula):
        return generator(("constant", formula))
    raise Unsupported(f"{name} has no algebraic form")


def raised(base: Formula, exponent: Formula) -> Quotient:
    """A formula to the power of another."""
    to = algebraic(exponent).as_sum()
    of = algebraic(base)
    if set(to) <= {ONE}:
        fixed = to.get(ONE, Fraction(0))
        if fixed.denominator == 1:
            return _whole_power(of, int(fixed))
        if len(of.above) == 1 and len(of.below) == 1:
            return exponential(scaled(logarithm(of.as_sum()).as_sum(), fixed))
        if is_constant(base):
            return generator(("base", base), fixed)
        raise Unsupported("a root of a sum")
    if set(of.above) <= {ONE} and of.below == {ONE: Fraction(1)} and of.above:
        value = of.above[ONE]
        sign = Quotient({ONE: Fraction(_parity(to))}) if value < 0 else rational(1)
        return sign * exponential(times(to, logarithm({ONE: abs(value)}).as_sum()))
    return exponential(times(to, logarithm(of.as_sum()).as_sum()))


def exponential(exponent: Sum) -> Quotient:
    r"""The exponential of a sum: :math:`\prod_m (e^m)^{c_m}`, where a lone :math:`\log p` gives back p."""
    coefficient, factors = Fraction(1), []
    for monomial, c in exponent.items():
        if len(monomial) == 1 and monomial[0][1] == 1 and monomial[0][0][0] == "log":
            of = monomial[0][0]
            if of == ("log", TAU):
                factors.append((TAU, c))
                continue
            whole = c.numerator // c.denominator
            if abs(whole) > 4_000:
                raise Unsupported("a very large power")
            coefficient *= Fraction(of[1]) ** whole
            c -= whole
            if not c:
                continue
        factors.append((("exp", monomial), c))
    return Quotient({in_order(factors): coefficient})


def logarithm(argument: Sum) -> Quotient:
    """The logarithm of a single positive monomial."""
    if len(argument) != 1:
        raise Unsupported("the logarithm of a sum")
    ((monomial, coefficient),) = argument.items()
    if coefficient <= 0:
        raise Unsupported("the logarithm of what is not positive")
    total: Sum = {}
    for value, way in ((coefficient.numerator, 1), (coefficient.denominator, -1)):
        if value.bit_length() > 80:
            raise Unsupported("the logarithm of a long number")
        for prime, multiplicity in fmpz(value).factor() if value > 1 else []:
            total = plus(total, {((("log", int(prime)), Fraction(1)),): Fraction(way * int(multiplicity))})
    for of, exponent in monomial:
        if of[0] == "exp":
            total = plus(total, {of[1]: exponent})
        elif of in (TAU, PI):
            total = plus(total, {((("log", of), Fraction(1)),): exponent})
        else:
            raise Unsupported("the logarithm of an unknown")
    return Quotient(total)


def _factorial(argument: Sum) -> Quotient:
    """(τ + s)! as τ! times a polynomial, or over one."""
    shift = argument.get(ONE, Fraction(0))
    linear = {m: c for m, c in argument.items() if m != ONE}
    if not linear and shift.denominator == 1 and 0 <= shift <= 500:
        return rational(math.factorial(int(shift)))
    if linear != {((TAU, Fraction(1)),): Fraction(1)} or shift.denominator != 1 or abs(shift) > 50:
        raise Unsupported("such a factorial")
    total = generator(FACTORIAL)
    for step in range(1, abs(int(shift)) + 1):
        one = generator(TAU) + rational(step if shift > 0 else 1 - step)
        total = total * (one if shift > 0 else one.inverse())
    return total


def _floor(argument: Sum) -> Quotient:
    """The floor of a polynomial in τ whose coefficients are whole, but for the constant."""
    constant = argument.get(ONE, Fraction(0))
    for monomial, coefficient in argument.items():
        whole = all(of == TAU and to.denominator == 1 and to > 0 for of, to in monomial)
        if monomial != ONE and not (whole and coefficient.denominator == 1):
            raise Unsupported("such a floor")
    return Quotient(plus(argument, {ONE: constant.numerator // constant.denominator - constant}))


def _parity(exponent: Sum) -> int:
    """(-1) to an exponent that is even but for a constant."""
    for monomial, coefficient in exponent.items():
        whole = all(of == TAU and to.denominator == 1 and to > 0 for of, to in monomial)
        if monomial != ONE and not (whole and coefficient.denominator == 1 and coefficient % 2 == 0):
            raise Unsupported("a sign that changes")
    constant = exponent.get(ONE, Fraction(0))
    if constant.denominator != 1:
        raise Unsupported("a root of -1")
    return -1 if constant % 2 else 1


def _oscillation(name: str, argument: Sum) -> Quotient:
    turns = ((PI, Fraction(1)),)
    rest: Sum = {}
    for monomial, coefficient in argument.items():
        factors = dict(monomial)
        whole = all(of == PI or (of == TAU and to.denominator == 1 and to > 0) for of, to in monomial)
        if factors.get(PI) == 1 and whole:
            if coefficient.denominator == 1 and coefficient % 2 == 0:
                continue  # whole turns
            if monomial == turns:
                coefficient -= 2 * (coefficient // 2)
        rest[monomial] = coefficient
    if set(rest) <= {turns}:
        quarters = rest.get(turns, Fraction(0)) * 2
        if quarters.denominator == 1:
            table = {"sin": (0, 1, 0, -1), "cos": (1, 0, -1, 0)}[name]
            return rational(table[int(quarters) % 4])
    return generator((name, tuple(sorted(rest.items(), key=repr))))


def _whole_power(of: Quotient, exponent: int) -> Quotient:
    if abs(exponent) > _LARGEST_POWER and (len(of.above) > 1 or len(of.below) > 1):
        raise Unsupported("a high power of a sum")
    if exponent < 0:
        return _whole_power(of.inverse(), -exponent)
    if len(of.above) == 1 and len(of.below) == 1:
        ((monomial, coefficient),) = of.as_sum().items()
        if exponent * max(coefficient.numerator.bit_length(), coefficient.denominator.bit_length()) > 100_000:
            raise Unsupported("a very large power")
        return Quotient(times({ONE: coefficient**exponent}, {power_of(monomial, Fraction(exponent)): Fraction(1)}))
    total = rational(1)
    for _ in range(exponent):
        total = total * of
    return total


def from_fmpq(value: fmpq) -> Quotient:
    """The same rational, in the algebra."""
    return rational(as_fraction(value))

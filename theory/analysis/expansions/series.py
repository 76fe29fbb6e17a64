r"""Power series in :math:`x = \tau^{-1/m}` that are cut off, with a ball for what is left out.

A series stands for a function of τ ≥ N: :math:`x^v (c_0 + c_1 x + \dots + c_{n-1} x^{n-1} + \rho(\tau) x^n)` with
ρ(τ) in a ball for each of these τ. Coefficients are rationals as long as they can be, so that what cancels is 0.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

from flint import arb, fmpq

from theory.formulas.monomials import Unsupported
from theory.numbers.balls import Number, Undecided, ball, lower, power, upper, whole_power

TERMS = 12  #: coefficients that are kept


@dataclasses.dataclass(frozen=True)
class Scale:
    """Where an expansion holds: from τ = ``first`` ≥ 2 on, in powers of the root ``root`` of 1/τ."""

    first: int
    root: int

    @functools.cached_property
    def x(self) -> arb:
        """A ball that contains x for every τ ≥ ``first``."""
        return arb(0).union((arb(1) / self.first) ** (arb(1) / self.root))


@dataclasses.dataclass(frozen=True)
class Series:
    """A power series that is cut off: ``order`` v, ``coefficients`` c, and a ball ``rest`` that contains ρ."""

    order: int
    coefficients: tuple[Number, ...]
    rest: arb

    @property
    def end(self) -> int:
        """The power of x with the rest."""
        return self.order + len(self.coefficients)

    def stripped(self) -> Series:
        """The same series without leading coefficients that are exactly 0."""
        zeros = next((k for k, c in enumerate(self.coefficients) if not vanishes(c)), len(self.coefficients))
        return Series(self.order + zeros, self.coefficients[zeros:], self.rest)

    def is_zero(self) -> bool:
        """Whether it is exactly 0."""
        return vanishes(self.rest) and all(map(vanishes, self.coefficients))

    def body(self, scale: Scale) -> arb:
        """A ball that contains the series over x^v, for every τ from the scale's first on."""
        total = self.rest
        for coefficient in reversed(self.coefficients):
            total = total * scale.x + ball(coefficient)
        return total


def vanishes(value: Number) -> bool:
    """Whether a number is exactly 0: of a ball that holds 0 and more, both ``== 0`` and ``!= 0`` are false."""
    return bool(value == 0)


def constant(value: Number) -> Series:
    """The series of one number."""
    return Series(0, (value, *[fmpq(0)] * (TERMS - 1)), arb(0))


def power_of_x(order: int) -> Series:
    """The series of x to a power."""
    return Series(order, (fmpq(1), *[fmpq(0)] * (TERMS - 1)), arb(0))


def add(left: Series, right: Series, scale: Scale) -> Series:
    """The sum."""
    if left.is_zero() or right.is_zero():
        return right if left.is_zero() else left
    order, end = min(left.order, right.order), min(left.end, right.end)
    coefficients: list[Number] = [fmpq(0)] * max(end - order, 0)
    end, rest = order + len(coefficients), arb(0)
    for series in (left, right):
        for k, coefficient in enumerate(series.coefficients, series.order):
            if k < end:
                coefficients[k - order] += coefficient
            else:
                rest += ball(coefficient) * whole_power(scale.x, k - end)
        rest += series.rest * whole_power(scale.x, series.end - end)
    return Series(order, tuple(coefficients), rest)


def scaled(series: Series, factor: Number) -> Series:
    """A number times a series."""
    return Series(series.order, tuple(factor * c for c in series.coefficients), ball(factor) * series.rest)


def multiply(left: Series, right: Series, scale: Scale) -> Series:
    """The product."""
    size = min(len(left.coefficients), len(right.coefficients))
    coefficients: list[Number] = [fmpq(0)] * size
    beyond: list[arb] = []
    for i, c in enumerate(left.coefficients):
        if vanishes(c):
            continue
        for j, d in enumerate(right.coefficients):
            if i + j < size:
                coefficients[i + j] += c * d
            else:
                beyond += [arb(0)] * (i + j - size + 1 - len(beyond))
                beyond[i + j - size] += ball(c * d)
    rest = arb(0)
    for coefficient in reversed(beyond):
        rest = rest * scale.x + coefficient
    exact = Series(0, left.coefficients, arb(0))
    if not vanishes(left.rest):
        rest += left.rest * right.body(scale) * whole_power(scale.x, len(left.coefficients) - size)
    if not vanishes(right.rest):
        rest += right.rest * exact.body(scale) * whole_power(scale.x, len(right.coefficients) - size)
    return Series(left.order + right.order, tuple(coefficients), rest)


def leading(series: Series, scale: Scale) -> tuple[int, Number, Series]:
    """The order v, the first coefficient c and the series u with the same as c x^v (1 + u).

    Raises:
      Undecided: where the first coefficient may be 0, or 1 + u is not shown to be positive from the first τ on.
    """
    series = series.stripped()
    if not series.coefficients or (isinstance(series.coefficients[0], arb) and series.coefficients[0].contains(0)):
        raise Undecided("the first coefficient of an expansion may be 0")
    first = series.coefficients[0]
    others = tuple(c / first for c in series.coefficients[1:])
    relative = Series(0, (fmpq(0), *others), series.rest / ball(first))
    if not relative.body(scale) + 1 > 0:
        raise Undecided("an expansion of which the first term does not decide there")
    return series.order, first, relative


def composed(u: Series, scale: Scale, taylor: Sequence[Number], last: Callable[[arb], arb]) -> Series:
    """The function f of a series u that vanishes at x = 0, from its Taylor series.

    Args:
      u: the series.
      scale: where it is meant.
      taylor: the first coefficients of f at 0.
      last: encloses the next one, f^(n)/n!, over a ball.

    Returns:
      The series of f(u); by Taylor's theorem the rest is the last coefficient, between 0 and u, times u^n.
    """
    total = constant(taylor[-1])
    for coefficient in reversed(taylor[:-1]):
        total = add(multiply(total, u, scale), constant(coefficient), scale)
    u = u.stripped()
    if u.is_zero():
        return total
    if u.order < 1:
        raise Unsupported("a series that does not vanish")
    count, body = len(taylor), u.body(scale)
    between = (body * whole_power(scale.x, u.order)).union(arb(0))
    rest = last(between) * whole_power(body, count) * whole_power(scale.x, (u.order - 1) * count)
    return add(total, Series(count, (), rest), scale)


def one_plus_to(u: Series, exponent: fmpq, scale: Scale) -> Series:
    """(1 + u) to a rational power, where 1 + u > 0."""
    binomials = [fmpq(1)]
    for k in range(TERMS):
        binomials.append(binomials[-1] * (exponent - k) / (k + 1))
    beyond = exponent - TERMS
    return composed(u, scale, binomials[:-1], lambda between: binomials[-1] * _power(1 + between, beyond))


def log_one_plus(u: Series, scale: Scale) -> Series:
    """log(1 + u), where 1 + u > 0."""
    taylor = [fmpq(0), *(fmpq((-1) ** (k + 1), k) for k in range(1, TERMS))]
    sign = fmpq((-1) ** (TERMS + 1), TERMS)
    return composed(u, scale, taylor, lambda between: sign * _power(1 + between, fmpq(-TERMS)))


def exponential(u: Series, scale: Scale) -> Series:
    """The exponential of a series that vanishes at x = 0."""
    taylor = [fmpq(1)]
    for k in range(1, TERMS + 1):
        taylor.append(taylor[-1] / k)
    return composed(u, scale, taylor[:-1], lambda between: taylor[-1] * between.exp())


def raised(series: Series, exponent: fmpq, scale: Scale) -> Series:
    """A series to a rational power; :class:`Unsupported` where that is no whole power of x, or no real number."""
    order, first, u = leading(series, scale)
    to = order * exponent
    if to.q != 1:
        raise Unsupported("a root of x that is not expanded in")
    if exponent.q != 1 and not first > 0:
        raise Unsupported("a root of what is negative")
    front = scaled(power_of_x(int(to.p)), power(first, exponent))
    return multiply(front, one_plus_to(u, exponent, scale), scale)


def _power(base: arb, exponent: fmpq) -> arb:
    """A ball of positive numbers to a power, by its ends: by itself a wide one would come out far wider."""
    if not base > 0:
        raise Undecided("a series that is cut off too early there")
    return (lower(base) ** arb(exponent)).union(upper(base) ** arb(exponent))

r"""The sign of a formula for every staleness from some N on, by its dominant term.

A sum of terms :math:`c_j\,\tau^{a_j} e^{b_j\tau} (\tau!)^{f_j}` has the sign of its fastest-growing term 0 for all
τ ≥ N if every ratio :math:`\tau^{a_j-a_0}e^{(b_j-b_0)\tau}(\tau!)^{f_j-f_0}` falls from N on, and
:math:`\sum_{j\ne0} |c_j/c_0| \cdot` its value at N is at most 1. The coefficients are balls; sines and cosines are
coefficients between -1 and 1.
"""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from flint import arb

from theory.analysis.bounds_over import compare, range_of
from theory.analysis.setting import Setting
from theory.formulas import algebra
from theory.formulas.formula import ONE, Formula, multiply, number, rewrite, substitute, subtract
from theory.formulas.monomials import FACTORIAL, TAU, Monomial, Sum, Unsupported
from theory.numbers import ranges
from theory.numbers.balls import NotFinite, Undecided, whole_power
from theory.numbers.rationals import as_fmpq


@dataclasses.dataclass(frozen=True)
class GrowthRate:
    """How fast a term grows: powers of τ! and τ, and the rate of its exponential."""

    factorial: Fraction
    rate: tuple[tuple[Monomial, Fraction], ...]  # a sum of constants, canonical
    power: Fraction


def sign_from(formula: Formula, setting: Setting, first: int) -> int:
    """The sign that a formula has for every integer τ ≥ ``first``; see :func:`dominance_from`."""
    return dominance_from(formula, setting, first)[0]


def dominance_from(formula: Formula, setting: Setting, first: int) -> tuple[int, arb]:
    """The sign that a formula has for every integer τ ≥ ``first``, and how clearly it is decided.

    Args:
      formula: the formula.
      setting: what it is decided in.
      first: N ≥ 1.

    Returns:
      1, -1, or 0 where the formula is zero for all those τ; and a bound, below 1, of what the other terms of numerator
      and denominator are beside the dominant ones.

    Raises:
      Undecided: where it is not shown to keep one sign.
      Unsupported: where it is not such a sum of terms.
    """
    quotient = algebra.algebraic(resolved(formula, setting, first))
    if quotient.is_zero():
        return 0, arb(0)
    above, share_above = _sum_dominance(quotient.above, setting, first)
    below, share_below = _sum_dominance(quotient.below, setting, first)
    return above * below, share_above.max(share_below)


def resolved(formula: Formula, setting: Setting, first: int) -> Formula:
    """The formula with its cases, minima, maxima and absolute values decided for every τ ≥ ``first``.

    Raises:
      Undecided: where one is not the same for all of them.
    """

    def change(node: Formula) -> Formula | None:
        name, *parts = node
        if name == "where":
            holds = compare(parts[0], lambda part: range_of(part, setting, first, None))
            if holds is None:
                holds = _compared(parts[0], setting, first)
            return resolved(parts[1] if holds else parts[2], setting, first)
        if name in ("min", "max"):
            best, *others = (resolved(part, setting, first) for part in parts)
            for other in others:
                less = settled_sign(subtract(best, other), setting, first) <= 0
                best = best if less == (name == "min") else other
            return best
        if name == "abs":
            inner = resolved(parts[0], setting, first)
            return inner if settled_sign(inner, setting, first) >= 0 else multiply(number(-1), inner)
        if name in ("infinite", "undefined"):
            raise Undecided("no value is given somewhere")
        return node if name == "mean" else None

    return rewrite(formula, change)


def settled_sign(formula: Formula, setting: Setting, first: int) -> int:
    """The sign of a formula for all τ ≥ ``first``, by bounds, else by the dominant term; weak where bounds touch 0."""
    try:
        bounds = range_of(formula, setting, first, None)
    except (Undecided, NotFinite):
        bounds = ranges.REALS
    if bounds.is_nonnegative():
        return 1
    if bounds.is_nonpositive():
        return -1
    return sign_from(formula, setting, max(first, 1))


def is_unbounded(formula: Formula, setting: Setting, first: int) -> bool:
    """Whether a formula's size is shown to grow without bound: its dominant term does, and nothing is below."""
    terms = algebra.algebraic(resolved(formula, setting, first)).as_sum()
    grouped = _grouped(terms, setting)
    if not grouped:
        return False  # the formula is 0
    leading, *_ = _fastest_first(list(grouped), setting)
    standing = GrowthRate(Fraction(0), (), Fraction(0))
    return leading != standing and _is_faster(leading, standing, setting) and not grouped[leading].contains(0)


def _grouped(terms: Sum, setting: Setting) -> dict[GrowthRate, arb]:
    """The terms of a sum by how fast they grow, with the coefficient of each as a ball."""
    grouped: dict[GrowthRate, arb] = {}
    for monomial, coefficient in terms.items():
        growth, factor = _split(monomial, setting)
        grouped[growth] = grouped.get(growth, arb(0)) + factor * as_fmpq(coefficient)
    return grouped


def _compared(formula: Formula, setting: Setting, first: int) -> bool:
    name, *parts = formula
    if name == "not":
        return not _compared(parts[0], setting, first)
    if name in ("and", "or"):
        verdicts = [_compared(part, setting, first) for part in parts]
        return all(verdicts) if name == "and" else any(verdicts)
    of = sign_from(subtract(parts[1], parts[0]), setting, max(first, 1))
    return of == 0 if name == "equal" else of >= (1 if name == "less" else 0)


def _sum_dominance(terms: Sum, setting: Setting, first: int) -> tuple[int, arb]:
    grouped = _grouped(terms, setting)
    if not grouped:
        return 0, arb(0)
    leading, *others = _fastest_first(list(grouped), setting)
    if grouped[leading].contains(0):
        raise Undecided("the coefficient of the dominant term may be zero")
    total = arb(0)
    for other in others:
        total += abs(grouped[other] / grouped[leading]) * _falling_ratio(other, leading, setting, first)
    if not total < 1:
        raise Undecided("the other terms may outweigh the dominant one there")
    return (1 if grouped[leading] > 0 else -1), total


def _split(monomial: Monomial, setting: Setting) -> tuple[GrowthRate, arb]:
    """How a monomial grows, and its constant factor as a ball; oscillations are between -1 and 1."""
    power, factorial, rate, factor = Fraction(0), Fraction(0), {}, arb(1)
    for of, to in monomial:
        if of == TAU:
            power = to
        elif of == FACTORIAL:
            factorial = to
        elif of[0] == "exp" and any(inner == TAU for inner, _ in of[1]):
            inner = dict(of[1])
            if inner.pop(TAU) != 1:
                raise Unsupported("an exponential of a power of τ")
            rate[tuple(sorted(inner.items(), key=repr))] = to
        elif of[0] in ("sin", "cos"):
            if to.denominator != 1 or to < 0:
                raise Unsupported("a division by an oscillation")
            factor *= arb(0).union(arb(1)).union(arb(-1))
        else:
            factor *= _constant(of, to, setting)
    return GrowthRate(factorial, tuple(sorted(rate.items(), key=repr)), power), factor


def _constant(of: tuple, to: Fraction, setting: Setting) -> arb:
    exponent = arb(as_fmpq(to))
    name = of[0]
    if name == "exp":
        return (exponent * _monomial_value(of[1], setting)).exp()
    if name == "log":
        if not isinstance(of[1], int):
            raise Unsupported("the logarithm of τ")
        value = arb(of[1]).log()
    elif name == "pi":
        value = arb.pi()
    elif name in ("parameter", "mean", "constant", "base"):
        formula = of[1] if name in ("constant", "base") else of
        value = range_of(formula, setting, 0, None).ball()
    else:
        raise Unsupported(f"{name} among the constants")
    if to.denominator == 1:
        if value.contains(0) and to < 0:
            raise Undecided("whether a divisor is zero")
        return whole_power(value, int(to))
    if not value > 0:
        raise Undecided("a root of what may be negative")
    return value**exponent


def _monomial_value(monomial: Monomial, setting: Setting) -> arb:
    value = arb(1)
    for of, to in monomial:
        value *= _constant(of, to, setting)
    return value


def _rate(growth: GrowthRate, setting: Setting) -> arb:
    total = arb(0)
    for monomial, to in growth.rate:
        total += as_fmpq(to) * _monomial_value(monomial, setting)
    return total


def _fastest_first(growths: list[GrowthRate], setting: Setting) -> list[GrowthRate]:
    """The dominant growth, then the others in any order."""
    best = growths[0]
    for other in growths[1:]:
        if _is_faster(other, best, setting):
            best = other
    return [best, *(growth for growth in growths if growth != best)]


def _is_faster(one: GrowthRate, other: GrowthRate, setting: Setting) -> bool:
    if one.factorial != other.factorial:
        return one.factorial > other.factorial
    if one.rate != other.rate:
        gap = _rate(one, setting) - _rate(other, setting)
        if gap > 0 or gap < 0:
            return bool(gap > 0)
        raise Undecided("which of two exponentials grows faster")
    return one.power > other.power


def _falling_ratio(term: GrowthRate, leading: GrowthRate, setting: Setting, first: int) -> arb:
    """The ratio of ``term`` to ``leading`` at N, once it is shown to fall from there on."""
    power, factorial = term.power - leading.power, term.factorial - leading.factorial
    rate = arb(0) if term.rate == leading.rate else _rate(term, setting) - _rate(leading, setting)
    step = rate.exp()
    if factorial > 0:
        raise Undecided("a factorial that grows faster than the dominant term")
    if factorial:
        step *= arb(first + 1) ** arb(as_fmpq(factorial))
    if power > 0:
        step *= (arb(first + 1) / first) ** arb(as_fmpq(power))
    if not (term.rate == leading.rate and not factorial and power <= 0) and not step <= 1:
        raise Undecided("a ratio to the dominant term that still grows there")
    value = (rate * first).exp() * arb(first) ** arb(as_fmpq(power))
    if factorial:
        value *= (arb(first) + 1).gamma() ** arb(as_fmpq(factorial))
    return value


def difference(formula: Formula) -> Formula:
    r"""The step down from a staleness to the next: :math:`C(\tau) - C(\tau + 1)`."""
    return subtract(formula, substitute(formula, ("sum", ONE, ("tau",))))


def in_class(formula: Formula, period: int, remainder: int) -> Formula:
    """The formula at τ = period·k + remainder, as a function of k, which is written τ again."""
    if period == 1:
        return formula
    step = multiply(number(period), ("tau",))
    return substitute(formula, step if remainder == 0 else ("sum", number(remainder), step))

"""Where a formula may do something of its own: at the roots of what it compares and divides by, at its own numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from flint import fmpq, fmpz_poly

from theory.formulas.algebra import algebraic
from theory.formulas.formula import COMPARISONS, Formula, nodes, subtract
from theory.formulas.monomials import ONE, TAU, Sum, Unsupported
from theory.numbers.balls import precision
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fmpq

_FARTHEST = 10**30
_HIGHEST_DEGREE, _LONGEST, _MOST = 12, 200, 24  # of polynomials: their degree, digits of a coefficient, how many
_NEAR_AN_END = fmpq(1, 10**6)  # of the length of a range


def staleness(formula: Formula) -> list[int]:
    """The staleness values next to the roots of the polynomials that a formula compares with 0 or divides by.

    Args:
      formula: the formula.

    Returns:
      Staleness values, each once.

    Example:
      >>> square = ("power", ("tau",), ("number", Fraction(2)))
      >>> staleness(("equal", square, ("number", Fraction(10**12))))
      [999999, 1000000, 1000001]
    """
    found = list(_where_remainders_begin(formula))
    for one in list(dict.fromkeys(_differences(formula)))[:_MOST]:
        try:
            with precision(256):
                found += _next_to_roots(algebraic(one).above)
        except (Unsupported, ArithmeticError, RecursionError, ValueError):
            continue
    return sorted({tau for tau in found if 0 <= tau <= _FARTHEST})


def parameter_values(formula: Formula, parameters: Mapping[str, Range]) -> Iterator[dict[str, fmpq]]:
    """Values of single parameters at which a formula may do something of its own: its numbers, simple ones, the ends'.

    Args:
      formula: the formula.
      parameters: the range of each.

    Yields:
      The value of one parameter, by its name.

    Example:
      >>> known = Range(fmpq(1, 10), fmpq(1, 5), True, True)
      >>> [str(one["b"]) for one in parameter_values(("parameter", "b"), {"b": known})]
      ['1/6', '1999999/10000000', '1000001/10000000']
    """
    numbers = {node[1] for node in nodes(formula) if node[0] == "number" and node[1] and _is_short(node[1])}
    for name, known in parameters.items():
        if known.exact is not None:
            continue
        values = [as_fmpq(sign * one) for number in sorted(numbers) for one in (number, 1 / number) for sign in (1, -1)]
        if known.low is not None and known.high is not None:
            step = (known.high - known.low) * _NEAR_AN_END
            values += [_simplest(known.low, known.high), known.high - step, known.low + step]
        for value in list(dict.fromkeys(value for value in values if known.holds(value)))[:_MOST]:
            yield {name: value}


def _where_remainders_begin(formula: Formula) -> Iterator[int]:
    """The first staleness at which τ + c is a multiple of m, for every τ + c mod m of a formula, and its neighbours."""
    for node in nodes(formula):
        if node[0] == "modulo" and node[2][0] == "number" and node[2][1] > 0:
            try:
                terms = algebraic(node[1]).as_sum()
            except (Unsupported, RecursionError):
                continue
            shift = terms.pop(ONE, Fraction(0))
            if terms == {((TAU, Fraction(1)),): Fraction(1)}:
                first = math.ceil(-shift % node[2][1])
                yield from (first - 1, first, first + 1)


def _differences(formula: Formula) -> Iterator[Formula]:
    """What is 0 where a formula may change its course."""
    for node in nodes(formula):
        name, *parts = node
        if name in COMPARISONS:
            yield subtract(*parts)
        elif name == "abs" or (name == "power" and parts[1][0] == "number" and parts[1][1] < 0):
            yield parts[0]
        elif name in ("min", "max"):
            yield from (subtract(left, right) for left, right in itertools.pairwise(parts))


def _next_to_roots(terms: Sum) -> list[int]:
    coefficients: dict[int, Fraction] = {}
    for monomial, coefficient in terms.items():
        powers = dict(monomial)
        degree = powers.pop(TAU, Fraction(0))
        if powers or degree.denominator != 1 or not 0 <= degree <= _HIGHEST_DEGREE or not _is_short(coefficient):
            return []
        coefficients[int(degree)] = coefficient
    if max(coefficients, default=0) == 0:
        return []
    scale = math.lcm(*(coefficient.denominator for coefficient in coefficients.values()))
    polynomial = fmpz_poly([int(coefficients.get(power, 0) * scale) for power in range(max(coefficients) + 1)])
    found = []
    roots: Any = polynomial.complex_roots()
    for root, _ in roots:
        if root.imag.contains(0) and abs(root.real) < _FARTHEST:
            whole = int(root.real.mid().floor().unique_fmpz() or 0)
            found += (
                [whole - 1, whole, whole + 1, whole + 2] if not root.real.contains_integer() else _around(root.real)
            )
    return found


def _around(root: Any) -> list[int]:
    whole = int((root.mid() + fmpq(1, 2)).floor().unique_fmpz() or 0)
    return [whole - 1, whole, whole + 1]


def _is_short(number: Fraction) -> bool:
    return max(abs(number.numerator), number.denominator) < 10**_LONGEST


def _simplest(low: fmpq, high: fmpq) -> fmpq:
    """The rational of the least denominator strictly between two."""
    if low < 0 < high:
        return fmpq(0)
    if high <= 0:
        return -_simplest(-high, -low)
    whole = low.floor()
    if whole + 1 < high:
        return fmpq(whole + 1)
    if low == whole:  # between whole and whole + 1 at most: the largest 1/k below the rest
        return whole + 1 / fmpq((1 / (high - whole)).floor() + 1)
    return whole + 1 / _simplest(1 / (high - whole), 1 / (low - whole))

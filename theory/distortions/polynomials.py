"""Signs of polynomials, exactly: on intervals of u by Sturm's theorem, on boxes by Bernstein's coefficients.

A polynomial maps exponents, of u and of each parameter in turn, to rational coefficients.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from flint import fmpq, fmpq_poly

from theory.distortions.boxes import Box
from theory.formulas.formula import Formula
from theory.formulas.monomials import Unsupported
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fmpq

Polynomial = dict[tuple[int, ...], fmpq]
_MOST_TERMS = 2_000
_LARGEST_POWER = 200
_MOST_COEFFICIENTS = 4_096


def quotient(formula: Formula, names: Sequence[str]) -> tuple[Polynomial, Polynomial]:
    """A formula as one polynomial over another.

    Args:
      formula: in u and parameters.
      names: the parameters, in the order of their exponents.

    Returns:
      Numerator and denominator; nothing is cancelled.

    Raises:
      Unsupported: where it is no rational function, or a very long one.
    """
    name, *parts = formula
    one: Polynomial = {(0,) * (len(names) + 1): fmpq(1)}
    if name == "number":
        return {next(iter(one)): as_fmpq(parts[0])} if parts[0] else {}, one
    if name in ("u", "parameter"):
        place = 0 if name == "u" else 1 + list(names).index(parts[0])
        return {tuple(int(i == place) for i in range(len(names) + 1)): fmpq(1)}, one
    if name in ("sum", "product"):
        above, below = quotient(parts[0], names)
        for part in parts[1:]:
            other, over = quotient(part, names)
            if name == "product":
                above, below = _times(above, other), _times(below, over)
            elif below == over:
                above = _plus(above, other)
            else:
                above, below = _plus(_times(above, over), _times(other, below)), _times(below, over)
        return above, below
    if name == "power" and parts[1][0] == "number" and parts[1][1].denominator == 1:
        above, below = quotient(parts[0], names)
        exponent = int(parts[1][1])
        if exponent < 0:
            above, below, exponent = below, above, -exponent
        if exponent > _LARGEST_POWER:
            raise Unsupported("a high power")
        raised, over = one, one
        for _ in range(exponent):
            raised, over = _times(raised, above), _times(over, below)
        return raised, over
    raise Unsupported(f"{name} in a rational function")


def _plus(left: Polynomial, right: Polynomial) -> Polynomial:
    total = dict(left)
    for exponents, coefficient in right.items():
        total[exponents] = total.get(exponents, fmpq(0)) + coefficient
    return {exponents: coefficient for exponents, coefficient in total.items() if coefficient}


def _times(left: Polynomial, right: Polynomial) -> Polynomial:
    if len(left) * len(right) > _MOST_TERMS:
        raise Unsupported("too many terms")
    total: Polynomial = {}
    for (m, c), (n, d) in itertools.product(left.items(), right.items()):
        exponents = tuple(i + j for i, j in zip(m, n, strict=True))
        total[exponents] = total.get(exponents, fmpq(0)) + c * d
    return {exponents: coefficient for exponents, coefficient in total.items() if coefficient}


def in_u(polynomial: Polynomial) -> fmpq_poly:
    """A polynomial without parameters, as python-flint's."""
    coefficients = [fmpq(0)] * (1 + max((exponents[0] for exponents in polynomial), default=0))
    for exponents, coefficient in polynomial.items():
        coefficients[exponents[0]] += coefficient
    return fmpq_poly(coefficients)


def sign_between(polynomial: fmpq_poly, low: fmpq, high: fmpq) -> int | None:
    """The sign on an open interval that a polynomial has at all but finitely many points; None where it changes.

    Example:
      >>> sign_between(fmpq_poly([1, -4, 4]), fmpq(0), fmpq(1)), sign_between(fmpq_poly([-1, 2]), fmpq(0), fmpq(1))
      (1, None)
    """
    if polynomial == 0:
        return 0
    if _roots_between(_changing(polynomial), low, high):
        return None
    degree = polynomial.degree()
    for step in range(1, degree + 2):  # one of these is no root
        value = polynomial(low + (high - low) * fmpq(step, degree + 2))
        if value != 0:
            return 1 if value > 0 else -1
    raise AssertionError("a polynomial with more roots than its degree")


def _changing(polynomial: fmpq_poly) -> fmpq_poly:
    """The product of the simple factors of roots of odd multiplicity, where the sign changes: Yun's algorithm."""
    common = polynomial.gcd(polynomial.derivative())
    rest, derivative = polynomial / common, polynomial.derivative() / common
    product, multiplicity = fmpq_poly([1]), 1
    while rest.degree() > 0:
        remaining = derivative - rest.derivative()
        factor = rest.gcd(remaining)
        if multiplicity % 2:
            product *= factor
        rest, derivative, multiplicity = rest / factor, remaining / factor, multiplicity + 1
    return product


def _roots_between(squarefree: fmpq_poly, low: fmpq, high: fmpq) -> int:
    """How many roots lie in the open interval: Sturm's theorem, after roots at its ends are divided out."""
    for end in (low, high):
        while squarefree.degree() > 0 and squarefree(end) == 0:
            squarefree = squarefree / fmpq_poly([-end, 1])
    chain = [squarefree, squarefree.derivative()]
    while chain[-1] != 0:
        chain.append(-(chain[-2] % chain[-1]))

    def changes(at: fmpq) -> int:
        signs = [value > 0 for one in chain if (value := one(at)) != 0]
        return sum(before != after for before, after in itertools.pairwise(signs))

    return changes(low) - changes(high)


def sign_by_coefficients(polynomial: Polynomial, box: Box, names: Sequence[str]) -> int:
    """The sign of a polynomial on a box by its coefficients in Bernstein's basis of the box.

    Args:
      polynomial: in u and the parameters.
      box: the box; where a range has no end, monomials from the other end on take the place of Bernstein's.
      names: the parameters in order.

    Returns:
      2 where it is > 0, 1 where it is ≥ 0, 0 where it is 0, and the same with a minus; 3 where that is not known.

    Example:
      >>> from theory.numbers.ranges import Range
      >>> open_unit = Range(fmpq(0), fmpq(1), True, True)  # 1 + A - 2Au is 0 at the corner A = u = 1 alone
      >>> one_plus = {(0, 0): fmpq(1), (0, 1): fmpq(1), (1, 1): fmpq(-2)}
      >>> sign_by_coefficients(one_plus, Box(open_unit, {"A": open_unit}), ["A"])
      2
    """
    if not polynomial:
        return 0
    coefficients, closed = dict(polynomial), []
    for place, known in enumerate([box.u, *(box.parameters[name] for name in names)]):
        degree = max(exponents[place] for exponents in coefficients)
        coefficients = _in_basis(coefficients, place, degree, known)
        if len(coefficients) > _MOST_COEFFICIENTS:
            return 3
        ends = (not known.low_open, not known.high_open)
        closed.append(ends if known.low is not None else (ends[1], False))  # coefficient 0 belongs to the finite end
    for sign in (1, -1):
        signed = {exponents: sign * coefficient for exponents, coefficient in coefficients.items()}
        if all(coefficient >= 0 for coefficient in signed.values()):
            return sign * (2 if _is_positive(signed, closed) else 1)
    return 3


def _is_positive(coefficients: Mapping[tuple[int, ...], fmpq], closed: Sequence[tuple[bool, bool]]) -> bool:
    """Whether coefficients ≥ 0 make a polynomial > 0: one is, also among those of each face that belongs to the box."""
    if not any(coefficient > 0 for coefficient in coefficients.values()):
        return False
    for place, ends in enumerate(closed):
        degree = max(exponents[place] for exponents in coefficients)
        for is_closed, edge in zip(ends, (0, degree), strict=True):
            if is_closed:
                face = {e: c for e, c in coefficients.items() if e[place] == edge}
                rest = [(False, False) if i == place else own for i, own in enumerate(closed)]
                if not _is_positive(face, rest):
                    return False
    return True


def _in_basis(polynomial: Mapping[tuple[int, ...], fmpq], place: int, degree: int, known: Range) -> Polynomial:
    """Coefficients with respect to one variable's basis on its range, all of them, zeros included."""
    lines: dict[tuple[int, ...], list[fmpq]] = {}
    for exponents, coefficient in polynomial.items():
        line = lines.setdefault((*exponents[:place], 0, *exponents[place + 1 :]), [fmpq(0)] * (degree + 1))
        line[exponents[place]] += coefficient
    result: Polynomial = {}
    for exponents, line in lines.items():
        for step, coefficient in enumerate(_line_in_basis(line, known)):
            result[(*exponents[:place], step, *exponents[place + 1 :])] = coefficient
    return result


def _line_in_basis(line: list[fmpq], known: Range) -> list[fmpq]:
    low, high, degree = known.low, known.high, len(line) - 1
    if low is None and high is None:
        raise Unsupported("a range without ends")
    if low is None and high is not None:  # x = high - y with y ≥ 0
        return _composed(line, high, fmpq(-1))
    if low is not None and high is None:
        return _composed(line, low, fmpq(1))
    assert low is not None
    assert high is not None
    monomial = _composed(line, low, high - low)
    return [
        sum((fmpq(math.comb(step, j), math.comb(degree, j)) * monomial[j] for j in range(step + 1)), fmpq(0))
        for step in range(degree + 1)
    ]


def _composed(line: list[fmpq], start: fmpq, slope: fmpq) -> list[fmpq]:
    """The coefficients of p(start + slope·t)."""
    inner, total = fmpq_poly([start, slope]), fmpq_poly([0])
    for coefficient in reversed(line):
        total = total * inner + coefficient
    found = total.coeffs()
    return [*found, *[fmpq(0)] * (len(line) - len(found))]

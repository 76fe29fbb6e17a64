"""What a file divides by: SymPy cancels x/x to 1, also where x is 0 and the file says 0/0."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import sympy
from flint import fmpq, fmpz_poly

from theory.analysis.bounds_over import range_of
from theory.analysis.expectation import UnderLaw
from theory.formulas.formula import Domain, U, rewrite
from theory.formulas.from_sympy import Untranslatable, share, tau, translated
from theory.numbers.ranges import Range

MOST = 64  # numbers of a file, and divisors whose roots are sought
_LARGEST = 10**15  # where a file's own numbers are read at, at the farthest
_SHARES = Range(fmpq(0), fmpq(1))  # u
_HIGHEST_DEGREE, _MOST_BITS = 20, 4_000
_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
    ast.Div: operator.truediv,
}


def roots(divisors: Iterable[Any]) -> tuple[list[int], bool]:
    """The staleness values at which divisors are 0.

    Args:
      divisors: what a file divides by, as SymPy expressions.

    Returns:
      Staleness values, and whether there are no others.

    Example:
      >>> roots([tau**2 - 10**12, sympy.exp(tau)])
      ([1000000], True)
    """
    found: list[int] = []
    different = list(dict.fromkeys(divisors))
    is_all = len(different) <= MOST
    for divisor in different[:MOST]:
        for base, _ in _factors(divisor):
            if base.is_zero is not False:
                of_one = _roots(base)
                is_all = is_all and of_one is not None
                found += [root for root in of_one or () if root >= 0]
    return sorted(set(found)), is_all


def own_numbers(source: str, domain: Domain) -> list[int]:
    """The staleness values around the numbers that a file writes, where it may say something of its own.

    Args:
      source: its text, which can be parsed.
      domain: first and last staleness.

    Returns:
      Staleness values of the domain, each once.

    Example:
      >>> own_numbers("if tau > 10**6: pass", (0, None))[-4:]
      [999999, 1000000, 1000001, 1000002]
    """
    first, last = domain
    near: list[int] = []
    numbers = {1 / abs(n) if abs(n) < 1 else abs(n) for n in _numbers(ast.parse(source)) if n}
    for number in sorted(n for n in numbers if n <= _LARGEST)[:MOST]:
        near += [int(number) + step for step in (-1, 0, 1, 2)]
    return [t for t in dict.fromkeys(near) if t >= first and (last is None or t <= last)]


def unsettled(
    divisors: Collection[Any], expression: Any, parameters: Mapping[str, Range], domain: Domain
) -> Any | None:
    """A divisor with parameters that SymPy has cancelled, and that is not shown to be other than 0; None for none."""
    known = _Known(expression, parameters)
    for divisor in dict.fromkeys(divisors):
        for base, exponent in _factors(divisor):
            is_open = {s.name for s in base.free_symbols} & set(parameters)
            if is_open and not known.keeps(base, exponent) and not _is_never_zero(base, parameters, domain):
                return divisor
    return None


def require_kept(divisors: Collection[Any], expression: Any, parameters: Mapping[str, Range]) -> None:
    """Refuses a distortion that divides by something of its argument which SymPy has cancelled: it may be 0 anywhere.

    Args:
      divisors: what a file divides by.
      expression: what became of it.
      parameters: the range of each.

    Raises:
      Untranslatable: with the divisor.
    """
    known = _Known(expression, parameters)
    for divisor in dict.fromkeys(divisors):
        for base, exponent in _factors(divisor):
            if share in base.free_symbols and not base.is_positive and not known.keeps(base, exponent):
                raise Untranslatable(f"it divides by {divisor}, which may be 0, and which SymPy has cancelled")


class _Known:
    """What an expression still divides by, so that it has no value either where a file divides by 0."""

    def __init__(self, expression: Any, parameters: Mapping[str, Range]) -> None:
        self._parameters = parameters
        self._exponents: dict[Any, list[Any]] = {}
        for power in _powers(expression):
            self._exponents.setdefault(power.base, []).append(power.exp)

    def keeps(self, base: Any, exponent: Any) -> bool:
        """Whether a division by a power of a base is none, or something else has no value wherever the base is 0."""
        if self._range(exponent, Range.is_nonpositive):
            return True
        return any(
            self._range(left, Range.is_negative) or _are_opposite(left, exponent)
            for left in self._exponents.get(base, ())
        )

    def _range(self, exponent: Any, has: Callable[[Range], bool]) -> bool:
        """Whether an exponent is shown to be in a range with some property."""
        try:
            formula = translated(exponent, frozenset(self._parameters))
            if share in exponent.free_symbols:  # of a distortion, no parameter of which is called u
                formula = rewrite(formula, lambda node: ("parameter", "u") if node == U else None)
                return has(range_of(formula, UnderLaw({**self._parameters, "u": _SHARES}), 0, None))
            return has(range_of(formula, UnderLaw(self._parameters), 0, None))
        except (Untranslatable, ArithmeticError, RecursionError):
            return False


def _are_opposite(left: Any, right: Any) -> bool:
    """Whether two exponents are shown to have opposite signs, as one is the other times a negative number."""
    ratio = left / right
    return bool(ratio.is_Rational and ratio < 0) or sympy.expand(left + right) == 0


def _factors(divisor: Any) -> Iterator[tuple[Any, Any]]:
    """The base and the exponent of each factor in which τ, u or a parameter occurs."""
    for factor in sympy.Mul.make_args(divisor):
        base, exponent = sympy.sympify(factor).as_base_exp()
        if base.free_symbols:
            yield base, exponent


def _powers(expression: Any) -> Iterator[Any]:
    """The powers that an expression has wherever it is evaluated, so not within its cases."""
    waiting = [expression]
    while waiting:
        part = waiting.pop()
        if isinstance(part, sympy.Piecewise):
            continue
        if isinstance(part, sympy.Pow):
            yield part
        waiting.extend(part.args)


def _is_never_zero(divisor: Any, parameters: Mapping[str, Range], domain: Domain) -> bool:
    if divisor.is_zero is False:
        return True
    try:
        return range_of(
            translated(divisor, frozenset(parameters)), UnderLaw(dict(parameters), None, "mid"), *domain
        ).is_zero_free()
    except (Untranslatable, ArithmeticError, RecursionError):
        return False


def _roots(divisor: Any) -> list[int] | None:
    """The integers at which a rational function of τ is 0; None for what is none."""
    if divisor.free_symbols != {tau}:
        return None
    try:
        polynomial = sympy.Poly(sympy.fraction(sympy.together(divisor))[0], tau, domain="QQ")
    except (sympy.PolynomialError, sympy.CoercionFailed):
        return None
    coefficients = [Fraction(int(c.p), int(c.q)) for c in polynomial.all_coeffs()[::-1]]
    bits = max(c.numerator.bit_length() + c.denominator.bit_length() for c in coefficients)
    if not 0 < polynomial.degree() <= _HIGHEST_DEGREE or bits > _MOST_BITS:
        return None
    scale = 1
    for coefficient in coefficients:
        scale *= coefficient.denominator
    _, factors = fmpz_poly([int(c * scale) for c in coefficients]).factor()
    zeros = [Fraction(-int(f[0]), int(f[1])) for f, _ in factors if f.degree() == 1]
    return [int(zero) for zero in zeros if zero.denominator == 1]


def _numbers(tree: ast.AST) -> Iterator[Fraction]:
    """The numbers of constants, and of sums, products, quotients and powers of them."""
    values: dict[ast.AST, Fraction] = {}
    for node in reversed(list(ast.walk(tree))):  # the parts of each before the whole
        value = _value(node, values)
        if value is not None:
            values[node] = value
    yield from values.values()


def _value(node: ast.AST, known: Mapping[ast.AST, Fraction]) -> Fraction | None:
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _LARGEST:
            return None
        return Fraction(value)
    if not isinstance(node, ast.BinOp) or type(node.op) not in _OPERATIONS:
        return None
    left, right = known.get(node.left), known.get(node.right)
    if left is None or right is None or (isinstance(node.op, ast.Div) and not right):
        return None
    if isinstance(node.op, ast.Pow) and not (right.denominator == 1 and 0 <= right <= MOST and abs(left) < 2**MOST):
        return None
    return _OPERATIONS[type(node.op)](left, right)

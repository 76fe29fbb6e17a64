"""The arithmetic of a candidate's file: decimals and quotients of integers are rationals, as they are written."""

from __future__ import annotations

import contextlib
import operator
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import sympy
from sympy.core.sympify import converter

from theory.candidates.branches import fact
from theory.candidates.candidate import TooLong
from theory.candidates.interruption import Interrupted
from theory.numbers.rationals import exact

_MOST_BITS = 2**24  # of a power of two integers in a file


def names(dividing: Callable[[Any], None]) -> dict[str, Any]:
    """What a file calls in place of Python's own operations, by the names that it calls them with.

    Args:
      dividing: what each divisor is given to.

    Returns:
      Functions by name.
    """

    def quotient(left: Any, right: Any) -> Any:
        dividing(right)
        return _quotient(left, right)

    def power(base: Any, exponent: Any, of: Callable[[Any, Any], Any] = _power) -> Any:
        raised = of(base, exponent)
        # A power with an exponent that may be negative divides by the power with the opposite one.
        if isinstance(raised, sympy.Expr) and not sympy.sympify(exponent).is_nonnegative:
            dividing(sympy.Pow(raised, -1))
        return raised

    def in_place(how: str, left: Any, right: Any) -> Any:
        if type(left) is type(right) is int:
            return quotient(left, right) if how == "Div" else power(left, right)
        if how == "Pow":
            return power(left, right, operator.ipow)
        dividing(right)
        return operator.itruediv(left, right)

    def item(how: str, container: Any, index: Any, right: Any) -> None:
        container[index] = in_place(how, container[index], right)

    def attribute(how: str, of: Any, name: str, right: Any) -> None:
        setattr(of, name, in_place(how, getattr(of, name), right))

    return {
        "__rational__": _decimal, "__quotient__": quotient, "__power__": power, "__in_place__": in_place,
        "__item__": item, "__attribute__": attribute, "__slice__": slice, "__fact__": fact, "__let_pass__": _let_pass,
    }  # fmt: skip


@contextlib.contextmanager
def exact_decimal_type() -> Iterator[None]:
    """SymPy takes a ``decimal.Decimal`` for the decimal that it is, and not for a near binary fraction."""
    before = converter.get(Decimal)
    converter[Decimal] = lambda value: sympy.Rational(str(value)) if value.is_finite() else sympy.Float(value)
    try:
        yield
    finally:
        del converter[Decimal]
        if before is not None:
            converter[Decimal] = before


def _decimal(written: str) -> sympy.Rational:
    value = exact(written)
    return sympy.Rational(value.numerator, value.denominator)


def _quotient(left: Any, right: Any) -> Any:
    """The quotient, a rational of two integers: 1/3 in floats is not a third."""
    return sympy.Rational(left, right) if type(left) is type(right) is int and right else left / right


def _power(base: Any, exponent: Any) -> Any:
    """The power, a rational of two integers; of at most so many bits as a step size may need."""
    whole = (int, sympy.Integer)
    if isinstance(base, whole) and isinstance(exponent, whole) and abs(int(base)) > 1:
        bits = int(base).bit_length()
        if bits * abs(int(exponent)) > _MOST_BITS:
            raise TooLong(f"a power of a number of {bits} bits is too long")
    if type(base) is type(exponent) is int and base and exponent < 0:
        return sympy.Rational(base) ** exponent
    return base**exponent


def _let_pass() -> None:
    """In an ``except`` of the file: raises again what no file may catch."""
    error = sys.exc_info()[1]
    if isinstance(error, Interrupted):
        raise error

"""From SymPy expressions to formulas: SymPy holds what was written, and decides nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import sympy

from theory.formulas.formula import (
    INFINITE,
    ONE,
    PI,
    TAU,
    UNDEFINED,
    ZERO,
    F,
    Formula,
    add,
    divide,
    is_whole,
    multiply,
    number,
    subtract,
)

_LARGEST = 10**4000  # Python writes no integers of more than 4,300 digits
#: The staleness, an integer ≥ 0: what candidates are written in.
tau = sympy.Symbol("tau", integer=True, nonnegative=True)
#: What ``F`` is inside ``step_size(tau, F)``: the distribution function at τ.
distribution = sympy.Symbol("F", real=True, nonnegative=True)
#: The mean under the law, of an expression in τ.
mean = sympy.Function("mean", real=True)


class Untranslatable(ValueError):
    """An expression that the checker has no words for; the verdicts are UNKNOWN."""


def translated(expression: Any, parameters: frozenset[str] = frozenset()) -> Formula:
    """Translates a SymPy expression into a formula.

    Args:
      expression: of :data:`tau`, and of symbols with the names of the parameters.
      parameters: their names.

    Returns:
      The formula, equal at every integer τ ≥ 0.

    Raises:
      Untranslatable: where some function is not known here.

    Example:
      >>> from theory.formulas.writing import text
      >>> text(translated(1 / (1 + tau)))
      '1/(1 + τ)'
    """
    expression = sympy.sympify(expression)
    if expression in (sympy.oo, -sympy.oo, sympy.zoo):
        return INFINITE
    if expression is sympy.nan:
        return UNDEFINED
    if expression.is_Rational:
        if max(int(abs(expression.p)), int(expression.q)) >= _LARGEST:
            raise Untranslatable("a number of more than 4,000 digits")
        return ("number", Fraction(int(expression.p), int(expression.q)))
    if expression.is_Float:
        exact = sympy.Rational(expression)  # a Float is a binary fraction, and is taken as that
        return ("number", Fraction(int(exact.p), int(exact.q)))
    if expression == tau:
        return TAU
    if expression == distribution:
        return F
    if expression == sympy.pi:
        return PI
    if expression == sympy.E:
        return ("exp", ONE)
    if expression.is_Symbol:
        if expression.name not in parameters:
            raise Untranslatable(f"the symbol {expression.name} is neither τ nor a parameter")
        return ("parameter", expression.name)
    if isinstance(expression, sympy.Piecewise):
        return _pieces(expression, parameters)
    parts = [translated(argument, parameters) for argument in expression.args]
    if INFINITE in parts:
        raise Untranslatable("an infinity inside an expression")
    if expression.is_Add:
        return add(*parts)
    if expression.is_Mul:
        return multiply(*parts)
    if expression.is_Pow:
        return ("exp", parts[1]) if expression.base == sympy.E else _power(*parts)
    make = _FUNCTIONS.get(type(expression).__name__)
    if make is None:
        raise Untranslatable(f"{type(expression).__name__} is not among the functions that are known here")
    return make(*parts)


def _power(base: Formula, exponent: Formula) -> Formula:
    if base[0] == exponent[0] == "number" and exponent[1].denominator == 1 and abs(exponent[1]) <= 64 and base[1]:
        return number(base[1] ** int(exponent[1]))
    return ("power", base, exponent)


def _pieces(expression: Any, parameters: frozenset[str]) -> Formula:
    result: Formula = UNDEFINED
    for value, holds in reversed(expression.args):
        branch = translated(value, parameters)
        if holds == sympy.true:
            result = branch
        elif holds != sympy.false:
            result = ("where", condition(holds, parameters), branch, result)
    return result


def condition(holds: Any, parameters: frozenset[str] = frozenset()) -> Formula:
    """A SymPy relation, or a combination of some, as a comparison of formulas."""
    if holds in (sympy.true, sympy.false):
        return ("at_most", ZERO, ONE if holds == sympy.true else number(-1))
    name = type(holds).__name__
    if name in ("And", "Or"):
        return (name.lower(), *(condition(part, parameters) for part in holds.args))
    if name == "Not":
        return ("not", condition(holds.args[0], parameters))
    if name not in _RELATIONS:
        raise Untranslatable(f"{name} is not among the conditions that are known here")
    left, right = (translated(part, parameters) for part in holds.args)
    if {INFINITE, UNDEFINED} & {left, right}:
        raise Untranslatable(f"no finite number inside the condition {holds}")
    return _RELATIONS[name](left, right)


def _ceiling(x: Formula) -> Formula:
    return multiply(number(-1), ("floor", multiply(number(-1), x)))


def _sign(x: Formula) -> Formula:
    return ("where", ("less", ZERO, x), ONE, ("where", ("less", x, ZERO), number(-1), ZERO))


def _heaviside(x: Formula, at_zero: Formula = ("number", Fraction(1, 2))) -> Formula:
    return ("where", ("less", ZERO, x), ONE, ("where", ("less", x, ZERO), ZERO, at_zero))


def _tanh(x: Formula) -> Formula:
    return subtract(ONE, divide(number(2), add(ONE, ("exp", multiply(number(2), x)))))


def _half_of_exponentials(sign: int) -> Callable[[Formula], Formula]:
    def make(x: Formula) -> Formula:
        back = multiply(number(sign), ("exp", multiply(number(-1), x)))
        return multiply(number(Fraction(1, 2)), add(("exp", x), back))

    return make


def _acot(x: Formula) -> Formula:  # SymPy's branch: acot(0) = π/2, and odd elsewhere
    return ("where", ("equal", x, ZERO), multiply(number(Fraction(1, 2)), PI), ("atan", divide(ONE, x)))


def _binomial(n: Formula, k: Formula) -> Formula:
    """The binomial coefficient of integers, 0 for k > n ≥ 0 and for k < 0."""
    if k[0] == "number" and k[1].denominator == 1 and 0 <= k[1] <= 50:  # for any n
        factors = [subtract(n, number(step)) for step in range(int(k[1]))]
        return multiply(number(Fraction(1, math.factorial(int(k[1])))), *factors) if factors else ONE
    if not (is_whole(k) and _is_natural(n)):
        raise Untranslatable("binomial is known here for integers alone, the upper one ≥ 0 by its form")
    inside = ("and", ("at_most", ZERO, k), ("at_most", k, n))
    value = divide(("factorial", n), multiply(("factorial", k), ("factorial", subtract(n, k))))
    return ("where", inside, value, ZERO)


def _is_natural(formula: Formula) -> bool:
    """Whether a formula is an integer ≥ 0 at every staleness, by its form."""
    if formula[0] == "number":
        return formula[1].denominator == 1 and formula[1] >= 0
    return formula == TAU or (formula[0] in ("sum", "product") and all(_is_natural(part) for part in formula[1:]))


def _harmonic(x: Formula, order: Formula = ONE) -> Formula:
    if order != ONE:
        raise Untranslatable("harmonic is known here for the sum of 1/k, of no other power")
    return ("harmonic", x)


def _beta(x: Formula, y: Formula) -> Formula:
    of_x, of_y, of_both = (("factorial", subtract(z, ONE)) for z in (x, y, add(x, y)))
    return divide(multiply(of_x, of_y), of_both)


def _logarithm(x: Formula, base: Formula | None = None) -> Formula:
    return ("log", x) if base is None else divide(("log", x), ("log", base))


_FUNCTIONS: dict[str, Callable[..., Formula]] = {
    "exp": lambda x: ("exp", x),
    "log": _logarithm,
    "Abs": lambda x: ("abs", x),
    "floor": lambda x: ("floor", x),
    "ceiling": _ceiling,
    "frac": lambda x: subtract(x, ("floor", x)),
    "Mod": lambda x, y: ("modulo", x, y),
    "Min": lambda *parts: ("min", *parts),
    "Max": lambda *parts: ("max", *parts),
    "sign": _sign,
    "Heaviside": _heaviside,
    "sin": lambda x: ("sin", x),
    "cos": lambda x: ("cos", x),
    "tan": lambda x: divide(("sin", x), ("cos", x)),
    "atan": lambda x: ("atan", x),
    "acot": _acot,
    "tanh": _tanh,
    "sinh": _half_of_exponentials(-1),
    "cosh": _half_of_exponentials(1),
    "factorial": lambda x: ("factorial", x),
    "gamma": lambda x: ("factorial", subtract(x, ONE)),
    "loggamma": lambda x: ("log", ("factorial", subtract(x, ONE))),
    "beta": _beta,
    "harmonic": _harmonic,
    "binomial": _binomial,
    "mean": lambda x: ("mean", x),
}
_RELATIONS: dict[str, Callable[[Formula, Formula], Formula]] = {
    "StrictLessThan": lambda x, y: ("less", x, y),
    "LessThan": lambda x, y: ("at_most", x, y),
    "StrictGreaterThan": lambda x, y: ("less", y, x),
    "GreaterThan": lambda x, y: ("at_most", y, x),
    "Equality": lambda x, y: ("equal", x, y),
    "Unequality": lambda x, y: ("not", ("equal", x, y)),
}

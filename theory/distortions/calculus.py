"""Derivatives of a distortion's formula, and its smooth parts."""

from __future__ import annotations

from theory.formulas.formula import ONE, ZERO, Formula, U, add, is_constant, multiply, number, rewrite, subtract
from theory.formulas.monomials import Unsupported

_MOST_SELECTIONS = 32


def derivative(formula: Formula) -> Formula:
    """The derivative with respect to u, where the formula is smooth.

    Args:
      formula: in u and parameters, without minima, absolute values, cases and roundings.

    Returns:
      A formula that is the derivative wherever both are defined.

    Raises:
      Unsupported: for what has no derivative here.

    Example:
      >>> from theory.formulas.writing import text
      >>> text(derivative(("power", U, number(3))))
      '3·u^2'
    """
    name, *parts = formula
    if formula == U:
        return ONE
    if is_constant(formula):
        return ZERO
    if name == "sum":
        return add(*(derivative(part) for part in parts))
    if name == "product":
        terms = (_times(derivative(part), *parts[:place], *parts[place + 1 :]) for place, part in enumerate(parts))
        return add(*terms)
    if name == "power":
        base, exponent = parts
        if is_constant(exponent):
            return _times(exponent, _power(base, subtract(exponent, ONE)), derivative(base))
        by_exponent = _times(formula, ("log", base), derivative(exponent))
        return add(by_exponent, _times(exponent, _power(base, subtract(exponent, ONE)), derivative(base)))
    inner, along = parts[0], derivative(parts[0]) if len(parts) == 1 else ZERO
    if name == "exp":
        return _times(formula, along)
    if name == "log":
        return _times(("power", inner, number(-1)), along)
    if name == "sin":
        return _times(("cos", inner), along)
    if name == "cos":
        return _times(number(-1), ("sin", inner), along)
    if name == "atan":
        return _times(("power", add(ONE, ("power", inner, number(2))), number(-1)), along)
    raise Unsupported(f"the derivative of {name}")


def _times(*factors: Formula) -> Formula:
    """A product, with powers of the same gathered; 0 where a factor is: a part whose derivative is 0 does not move."""
    if ZERO in factors:
        return ZERO
    exponents: dict[Formula, Formula] = {}
    product = multiply(*factors)
    for factor in product[1:] if product[0] == "product" else (product,):
        base, exponent = factor[1:] if factor[0] == "power" else (factor, ONE)
        exponents[base] = add(exponents[base], exponent) if base in exponents else exponent
    return multiply(*(_power(base, exponent) for base, exponent in exponents.items()))


def _power(base: Formula, exponent: Formula) -> Formula:
    if exponent == ZERO:
        return ONE
    return base if exponent == ONE else ("power", base, exponent)


def selections(formula: Formula) -> list[Formula]:
    """The smooth formulas that a formula switches between: one operand of each minimum, maximum and absolute value.

    A continuous function that is one of finitely many smooth ones at each point has slopes between their derivatives.

    Raises:
      Unsupported: where there are very many.
    """
    kink = _kink(formula)
    if kink is None:
        return [formula]
    found = []
    for chosen in _choices(kink):
        found += selections(rewrite(formula, lambda node, chosen=chosen: chosen if node == kink else None))
    if len(found) > _MOST_SELECTIONS:
        raise Unsupported("many minima and maxima")
    return found


def _kink(formula: Formula) -> Formula | None:
    """The first minimum, maximum or absolute value in which u occurs."""
    if formula[0] in ("number", "parameter"):
        return None
    if formula[0] in ("min", "max", "abs") and not is_constant(formula):
        return formula
    return next((kink for part in formula[1:] if (kink := _kink(part)) is not None), None)


def _choices(kink: Formula) -> list[Formula]:
    if kink[0] == "abs":
        return [kink[1], multiply(number(-1), kink[1])]
    return list(kink[1:])

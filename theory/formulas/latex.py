"""Formulas as LaTeX, for papers."""

from __future__ import annotations

import itertools
from fractions import Fraction

from theory.formulas.formula import Formula, number

_GREEK = {
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"),
    *("nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
}
_RELATIONS = {"less": "<", "at_most": r"\le", "equal": "=", "and": r"\wedge", "or": r"\vee"}
_NAMED = {"log": r"\log", "sin": r"\sin", "cos": r"\cos", "atan": r"\arctan", "min": r"\min", "max": r"\max"}
_SYMBOLS = {
    "pi": r"\pi",
    "tau": r"\tau",
    "u": "u",
    "F": r"F(\tau)",
    "infinite": r"\infty",
    "undefined": r"\text{undefined}",
}
# What binds how strongly: what binds less than its place asks for stands in parentheses.
_ANY, _RELATION, _SUM, _PRODUCT, _POWER, _ATOM = range(6)


def latex(formula: Formula, at_least: int = _ANY) -> str:
    r"""A formula in LaTeX's mathematics.

    Args:
      formula: the formula.
      at_least: how strongly it has to bind where it stands, by itself.

    Returns:
      LaTeX, without dollar signs; pieces need the package amsmath.

    Example:
      >>> from theory.formulas.formula import ONE, TAU, add, divide
      >>> print(latex(divide(ONE, add(ONE, TAU))))
      \frac{1}{1 + \tau}
    """
    written, binds = _written(formula)
    return rf"\left({written}\right)" if binds < at_least else written


def _written(formula: Formula) -> tuple[str, int]:
    name, *parts = formula
    if name == "number":
        return _number(parts[0])
    if name in _SYMBOLS:
        return _SYMBOLS[name], _ATOM
    if name == "parameter":
        return _parameter(parts[0]), _ATOM
    if name == "sum":
        return _sum(parts), _SUM
    if name == "product":
        return _product(parts)
    if name == "power":
        return _power(*parts)
    if name == "exp":
        return f"e^{{{latex(parts[0])}}}", _POWER
    if name == "where":
        return _pieces(formula), _ATOM
    if name in _RELATIONS:
        inner = _RELATION + 1 if name in ("less", "at_most", "equal") else _RELATION
        return f" {_RELATIONS[name]} ".join(latex(part, inner) for part in parts), _RELATION
    if name == "not":
        return rf"\neg {latex(parts[0], _ATOM)}", _RELATION
    if name == "abs":
        return rf"\left|{latex(parts[0])}\right|", _ATOM
    if name == "floor":
        return rf"\left\lfloor {latex(parts[0])} \right\rfloor", _ATOM
    if name == "factorial":
        return f"{latex(parts[0], _ATOM)}!", _POWER
    if name == "harmonic":
        return f"H_{{{latex(parts[0])}}}", _ATOM
    if name == "modulo":
        return rf"{latex(parts[0], _PRODUCT)} \bmod {latex(parts[1], _POWER)}", _SUM
    if name == "mean":
        return rf"\mathbb{{E}}\left[{latex(parts[0])}\right]", _ATOM
    return rf"{_NAMED[name]}\left({', '.join(latex(part) for part in parts)}\right)", _ATOM


def _number(value: Fraction) -> tuple[str, int]:
    sign = "-" if value < 0 else ""
    if value.denominator == 1:
        return str(value), _SUM if sign else _ATOM
    return rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}", _SUM if sign else _PRODUCT


def _parameter(name: str) -> str:
    """A parameter's name: Greek where it spells a letter, what follows an underscore or is a digit below the line."""
    stem, _, below = name.partition("_")
    letters = stem.rstrip("0123456789")
    below = stem[len(letters) :] + below
    base = f"\\{letters}" if letters in _GREEK else letters if len(letters) == 1 else rf"\mathrm{{{letters}}}"
    if not below:
        return base
    escaped = below.replace("_", r"\_")
    return rf"{base}_{{{escaped}}}" if len(below) == 1 or below.isdigit() else rf"{base}_{{\mathrm{{{escaped}}}}}"


def _sum(parts: list[Formula]) -> str:
    terms = [latex(part, _SUM) for part in parts]
    first = next((place for place, term in enumerate(terms) if not term.startswith("-")), 0)
    terms.insert(0, terms.pop(first))  # a sum that begins with a minus reads badly
    return terms[0] + "".join(f" - {term[1:]}" if term.startswith("-") else f" + {term}" for term in terms[1:])


def _product(parts: list[Formula]) -> tuple[str, int]:
    above, below = [], []
    factor = Fraction(1)
    for part in parts:
        if part[0] == "number":
            factor *= part[1]
        elif part[0] == "power" and part[2][0] == "number" and part[2][1] < 0:
            below.append(part[1] if part[2][1] == -1 else ("power", part[1], number(-part[2][1])))
        else:
            above.append(part)
    sign = "-" if factor < 0 else ""
    factor = abs(factor)
    over = factor.denominator if below else 1
    front = number(factor * over)
    if front != number(1) or not above:
        above.insert(0, front)
    written = _times(above, alone=bool(below))
    if below:
        if over != 1:
            below.insert(0, number(over))
        written = rf"\frac{{{written}}}{{{_times(below, alone=True)}}}"
    return sign + written, _SUM if sign else _PRODUCT


def _times(factors: list[Formula], *, alone: bool) -> str:
    if len(factors) == 1 and alone:
        return latex(factors[0])
    written = latex(factors[0], _PRODUCT)
    for left, right in itertools.pairwise(factors):
        written += r" \cdot " if _is_numeric(left) and _is_numeric(right) else r" \, "
        written += latex(right, _PRODUCT)
    return written


def _is_numeric(formula: Formula) -> bool:
    """Whether what is written begins with a digit, which two of would be read as one number."""
    return formula[0] == "number" or (formula[0] == "power" and _is_numeric(formula[1]))


def _power(base: Formula, exponent: Formula) -> tuple[str, int]:
    if exponent == number(Fraction(1, 2)):
        return rf"\sqrt{{{latex(base)}}}", _ATOM
    if exponent[0] == "number" and exponent[1] < 0:
        below = base if exponent[1] == -1 else ("power", base, number(-exponent[1]))
        return rf"\frac{{1}}{{{latex(below)}}}", _PRODUCT
    return f"{latex(base, _ATOM)}^{{{latex(exponent)}}}", _POWER


def _pieces(formula: Formula) -> str:
    rows = []
    while formula[0] == "where":
        _, condition, value, formula = formula
        rows.append(rf"{latex(value)} & \text{{if }} {latex(condition)}")
    if formula[0] != "undefined":
        rows.append(rf"{latex(formula)} & \text{{otherwise}}")
    return r"\begin{cases} " + r" \\ ".join(rows) + r" \end{cases}"

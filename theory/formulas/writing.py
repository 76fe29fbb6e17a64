"""Formulas as JSON data, and as text for people."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from theory.formulas.formula import OPERATIONS, Formula, number
from theory.numbers.rationals import exact


def to_json(formula: Formula) -> list[Any]:
    """A formula as nested lists and strings; :func:`from_json` undoes it.

    Example:
      >>> from theory.formulas.formula import ONE, TAU, add
      >>> to_json(add(ONE, TAU))
      ['sum', ['number', '1'], ['tau']]
    """
    if formula[0] in ("number", "parameter"):
        return [formula[0], str(formula[1])]
    return [formula[0], *(to_json(part) for part in formula[1:])]


def from_json(data: Any) -> Formula:
    """The formula that :func:`to_json` wrote.

    Raises:
      ValueError: for anything that it would not have written.

    Example:
      >>> from_json(["power", ["tau"], ["number", "1/2"]])
      ('power', ('tau',), ('number', Fraction(1, 2)))
    """
    if not isinstance(data, list) or not data or not isinstance(data[0], str) or data[0] not in OPERATIONS:
        raise ValueError(f"a formula is a list that begins with one of {', '.join(OPERATIONS)}; got {str(data)[:60]!r}")
    name, *rest = data
    operands = OPERATIONS[name]
    if (len(rest) < 2) if operands is None else (len(rest) != operands):
        raise ValueError(f"{name} takes {'two or more' if operands is None else operands} operands, got {len(rest)}")
    if name in ("number", "parameter"):
        if not isinstance(rest[0], str):
            raise ValueError(f"{name} takes a string, got {rest[0]!r}")
        formula = (name, exact(rest[0]) if name == "number" else rest[0])
        if to_json(formula) != data:
            raise ValueError(f"{rest[0]!r} is no number in lowest terms")
        return formula
    return (name, *(from_json(part) for part in rest))


def canonical_json(data: Any) -> str:
    """JSON with sorted keys and no spaces: the same data, the same bytes."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(data: Any) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()


_SIGNS = {"sum": " + ", "product": "·", "and": " and ", "or": " or ", "less": " < ", "at_most": " ≤ ", "equal": " = "}
_STRENGTH = {"or": 0, "and": 1, "less": 2, "at_most": 2, "equal": 2, "sum": 3, "product": 4, "power": 5}


def text(formula: Formula, parent: int = 0) -> str:
    """A formula as a person would type it.

    Example:
      >>> from theory.formulas.formula import ONE, TAU, add, divide
      >>> text(divide(ONE, add(ONE, TAU)))
      '1/(1 + τ)'
    """
    name, *parts = formula
    if name == "number":
        value = str(parts[0])
        return f"({value})" if parent >= 3 and (value.startswith("-") or ("/" in value and parent > 3)) else value
    if name in ("pi", "tau", "F", "infinite", "undefined"):
        return {"pi": "π", "tau": "τ", "F": "F", "infinite": "∞"}.get(name, name)
    if name == "parameter":
        return parts[0]
    if name == "power" and parts[1] == number(-1):
        written, strength = f"1/{text(parts[0], 5)}", 4
    elif name == "power":
        written, strength = f"{text(parts[0], 6)}^{text(parts[1], 6)}", 5
    elif name == "product":
        strength, over = 4, [p[1] for p in parts if p[0] == "power" and p[2] == number(-1)]
        above = [p for p in parts if not (p[0] == "power" and p[2] == number(-1))]
        written = "·".join(text(p, 4) for p in above) or "1"
        if over:
            below = "·".join(text(p, 5) for p in over)
            written += f"/({below})" if len(over) > 1 else f"/{below}"
    elif name in _SIGNS:
        strength = _STRENGTH[name]
        written = _SIGNS[name].join(text(p, strength) for p in parts).replace("+ (-1)·", "- ").replace("+ -", "- ")
    elif name == "where":
        return f"({text(parts[1])} where {text(parts[0])}, else {text(parts[2])})"
    else:
        return f"{'E' if name == 'mean' else name}({', '.join(text(p) for p in parts)})"
    return f"({written})" if strength < parent else written

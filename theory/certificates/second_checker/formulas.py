"""Formulas as nested tuples, read from the lists of a certificate; and those that are quotients of polynomials in τ."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

if __package__ == "second_checker":  # run as a plain file
    from second_checker.boxes import ONE, ZERO, Open  # pyrefly: ignore[missing-import]
else:
    from theory.certificates.second_checker.boxes import ONE, ZERO, Open

ARITY = dict.fromkeys(("pi", "tau", "F", "undefined", "infinite"), 0) | {"power": 2, "modulo": 2, "where": 3}
ARITY |= dict.fromkeys(("number", "parameter", "mean", "not", "exp", "log", "abs", "floor"), 1)
ARITY |= dict.fromkeys(("sin", "cos", "atan", "factorial"), 1) | dict.fromkeys(("less", "at_most", "equal"), 2)
ARITY |= dict.fromkeys(("sum", "product", "min", "max", "and", "or"), -2)  # two or more


def parse(data: Any) -> tuple:
    """A formula from nested lists."""
    name, *parts = data
    if name not in ARITY or (len(parts) != ARITY[name] if ARITY[name] >= 0 else len(parts) < 2):
        raise Open(f"the operation {str(name)[:40]}")
    if name in ("number", "parameter"):
        return name, Fraction(parts[0]) if name == "number" else parts[0]
    return name, *map(parse, parts)


def leaves(g: tuple) -> Iterator[tuple]:
    """Every part of a formula."""
    yield g
    for part in g[1:]:
        yield from leaves(part) if isinstance(part, tuple) else ()


def minus(x: tuple, y: tuple) -> tuple:
    """The difference of two formulas."""
    return "sum", x, ("product", ("number", -ONE), y)


def times(p: list, q: list) -> list:
    """The product of two polynomials, lowest coefficient first."""
    total = [ZERO] * (len(p) + len(q) - 1)
    for (i, a), (j, b) in itertools.product(enumerate(p), enumerate(q)):
        total[i + j] += a * b
    return total


def plus(p: list, q: list, by: int = 1) -> list:
    """P + by·q."""
    total = [a + by * b for a, b in itertools.zip_longest(p, q, fillvalue=ZERO)]
    while len(total) > 1 and not total[-1]:
        total.pop()
    return total


def shifted(p: list, by: int) -> list:
    """The coefficients of p(by + t)."""
    p = list(p)
    for first in range(len(p)):
        for j in range(len(p) - 2, first - 1, -1):
            p[j] += by * p[j + 1]
    return p


def sign(p: list, start: int) -> int:
    """1 or -1 where p(τ) is ≥ 0, or ≤ 0, at all τ ≥ start; 2 or -2 where it is never 0."""
    p = shifted(p, start)
    if all(c >= 0 for c in p):
        return 2 if p[0] else 1
    if all(c <= 0 for c in p):
        return -2 if p[0] else -1
    raise Open("a polynomial of either sign")


@functools.cache
def _rational(g: tuple) -> tuple[list, list] | None:
    try:
        return _as_rational(g)
    except ArithmeticError:
        return None


def is_rational(g: tuple) -> bool:
    """Whether a formula is a quotient of two polynomials in τ."""
    return _rational(g) is not None


def rational(g: tuple) -> tuple[list, list]:
    """The formula as a quotient of two polynomials in τ."""
    found = _rational(g)
    if found is None:
        raise Open("no quotient of polynomials")
    return found


def _as_rational(g: tuple) -> tuple[list, list]:
    name, *parts = g
    if name not in ("number", "tau", "sum", "product", "modulo", "floor", "power"):
        raise Open(f"{name} is no quotient of polynomials")
    if name in ("number", "tau"):
        return [*parts] or [ZERO, ONE], [ONE]
    if name in ("sum", "product"):
        above, below = rational(parts[0])
        for over, under in map(rational, parts[1:]):
            above = times(above, over) if name == "product" else plus(times(above, under), times(over, below))
            below = times(below, under)
        return above, below
    if name == "modulo":
        turns = "floor", ("product", parts[0], ("power", parts[1], ("number", -ONE)))
        return rational(minus(parts[0], ("product", parts[1], turns)))
    above, below = rational(parts[-1])
    p = [c / below[0] for c in above]
    if len(below) > 1 or any(c.denominator > 1 for c in p[1:]):
        raise Open("no quotient of polynomials")
    if name == "floor":
        return [Fraction(math.floor(p[0])), *p[1:]], [ONE]
    if name == "power" and len(p) == 1 and p[0].denominator == 1 and abs(p[0]) < 20:
        above, below = (functools.reduce(times, [side] * abs(int(p[0])), [ONE]) for side in rational(parts[0]))
        return (above, below) if p[0] > 0 else (below, above)
    if name == "power" and parts[0] == ("number", -ONE) and all(c % 2 == 0 for c in p[1:]) and p[0].denominator == 1:
        return [ONE - 2 * (p[0] % 2)], [ONE]
    raise Open("no quotient of polynomials")


def put(g: tuple, new: tuple) -> tuple:
    """The formula with another in place of τ."""
    if g[0] in ("tau", "mean"):
        return new if g[0] == "tau" else g
    return g[0], *(put(part, new) if isinstance(part, tuple) else part for part in g[1:])


def whole(g: tuple) -> bool:
    """Whether a formula is an integer at every τ, by its form."""
    if g[0] in ("sum", "product", "min", "max", "abs", "modulo"):
        return all(map(whole, g[1:]))
    return g[0] in ("tau", "floor") or (g[0] == "number" and g[1].denominator == 1)


def moves(g: tuple) -> bool:
    """Whether τ or F occurs outside of means."""
    return g[0] in ("tau", "F") or (g[0] != "mean" and any(moves(p) for p in g[1:] if isinstance(p, tuple)))

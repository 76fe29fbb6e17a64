r"""Step-size functions as plain trees, free of SymPy: what is decided on, and what a certificate carries.

A tree is a tuple, its operation first: ``("sum", ("number", Fraction(1)), ("tau",))`` is :math:`1 + \tau`. It is
hashable, and :func:`theory.formulas.writing.to_json` writes it as nested lists. The operations:

============================================  ==========================================================
``number q``, ``pi``, ``tau``                 a rational; π; the staleness, an integer ≥ 0
``F``                                         the distribution function of the law at τ, of the candidate's kind
``parameter name``                            a number that is only known to lie in a range
``mean e``                                    :math:`E[e(T)]` under the law
``sum``, ``product``, ``power``               of two or more; base and exponent
``modulo x y``                                :math:`x - y\lfloor x/y\rfloor`
``exp log abs floor sin cos atan factorial``  of one; the factorial of x is :math:`\Gamma(x + 1)`
``harmonic``                                  of one: :math:`1 + 1/2 + \dots + 1/x = \psi(x + 1) + \gamma`
``min``, ``max``                              of two or more
``where c a b``                               a where c holds, else b
``less``, ``at_most``, ``equal``              comparisons of two, and of these ``not``, ``and``, ``or``
``infinite``, ``undefined``                   what no step size may be
============================================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

#: A formula; tuples all the way down.
Formula = tuple

TAU: Formula = ("tau",)
F: Formula = ("F",)
PI: Formula = ("pi",)
UNDEFINED: Formula = ("undefined",)
INFINITE: Formula = ("infinite",)
COMPARISONS = ("less", "at_most", "equal")
_LONGEST = 20_000  # bits of a power of numbers that is written as a number
#: Operation and number of operands; None: two or more.
OPERATIONS: dict[str, int | None] = {
    **dict.fromkeys(("pi", "tau", "F", "undefined", "infinite"), 0),
    **dict.fromkeys(("number", "parameter", "mean", "not"), 1),
    **dict.fromkeys(("exp", "log", "abs", "floor", "sin", "cos", "atan", "factorial", "harmonic"), 1),
    **dict.fromkeys(("power", "modulo", *COMPARISONS), 2),
    **dict.fromkeys(("sum", "product", "min", "max", "and", "or"), None),
    "where": 3,
}


def number(value: int | Fraction | str) -> Formula:
    """The rational number as a formula."""
    return ("number", Fraction(value))


ZERO, ONE = number(0), number(1)


def add(*terms: Formula) -> Formula:
    """A sum, with its rational numbers gathered in front."""
    flat = [inner for term in terms for inner in (term[1:] if term[0] == "sum" else (term,))]
    total = sum((term[1] for term in flat if term[0] == "number"), Fraction(0))
    rest = [term for term in flat if term[0] != "number"]
    parts = ([number(total)] if total or not rest else []) + rest
    return parts[0] if len(parts) == 1 else ("sum", *parts)


def multiply(*factors: Formula) -> Formula:
    """A product, with its rational numbers gathered in front; nothing is multiplied out, and 0·x stays."""
    flat = [inner for factor in factors for inner in (factor[1:] if factor[0] == "product" else (factor,))]
    total = Fraction(1)
    for factor in flat:
        if factor[0] == "number":
            total *= factor[1]
    rest = [factor for factor in flat if factor[0] != "number"]
    parts = ([number(total)] if total != 1 or not rest else []) + rest
    return parts[0] if len(parts) == 1 else ("product", *parts)


def subtract(left: Formula, right: Formula) -> Formula:
    """The difference of two formulas."""
    return add(left, multiply(number(-1), right))


def divide(left: Formula, right: Formula) -> Formula:
    """The quotient of two formulas."""
    return multiply(left, ("power", right, number(-1)))


def substitute(formula: Formula, tau: Formula) -> Formula:
    """The formula with another in place of τ; what stands in a mean is the law's own, and stays."""
    if formula == TAU:
        return tau
    if formula[0] in ("number", "parameter", "mean"):
        return formula
    return _folded(formula[0], [substitute(part, tau) for part in formula[1:]])


def with_numbers(formula: Formula, numbers: Mapping[str, Fraction]) -> Formula:
    """The formula with numbers in place of parameters, in means as well.

    Example:
      >>> with_numbers(("product", ("parameter", "A"), TAU), {"A": Fraction(1)})
      ('tau',)
    """
    if formula[0] == "parameter" and formula[1] in numbers:
        return number(numbers[formula[1]])
    if formula[0] in ("number", "parameter"):
        return formula
    return _folded(formula[0], [with_numbers(part, numbers) for part in formula[1:]])


def _folded(operation: str, operands: list[Formula]) -> Formula:
    """An operation on operands, its rational numbers gathered."""
    if operation == "sum":
        return add(*operands)
    if operation == "product":
        return multiply(*operands)
    if operation == "power" and operands[0][0] == operands[1][0] == "number" and operands[1][1].denominator == 1:
        base, exponent = operands[0][1], int(operands[1][1])
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if (base or exponent > 0) and abs(exponent) <= 64 and bits * abs(exponent) <= _LONGEST:
            return number(base**exponent)
    return (operation, *operands)


def nodes(formula: Formula) -> Iterator[Formula]:
    """Every subformula, the whole first."""
    waiting = [formula]  # no recursion: of a table, cases are as deep as it is long
    while waiting:
        node = waiting.pop()
        yield node
        if node[0] not in ("number", "parameter"):
            waiting.extend(reversed(node[1:]))


def mentions(formula: Formula, operation: str) -> bool:
    """Whether an operation occurs in a formula."""
    return any(node[0] == operation for node in nodes(formula))


def reads_law(formula: Formula) -> bool:
    """Whether the law occurs in a formula: F, or a mean."""
    return mentions(formula, "F") or mentions(formula, "mean")


def is_constant(formula: Formula) -> bool:
    """Whether neither τ nor F occurs, so that the value is one number."""
    if formula[0] in ("tau", "F"):
        return False
    if formula[0] in ("number", "parameter", "mean"):
        return True
    return all(is_constant(part) for part in formula[1:])


def factored(formula: Formula) -> tuple[list[Formula], list[Formula]]:
    """Splits a product into the factors without τ or F and the others."""
    parts = list(formula[1:]) if formula[0] == "product" else [formula]
    return [part for part in parts if is_constant(part)], [part for part in parts if not is_constant(part)]


def is_whole(formula: Formula) -> bool:
    """Whether a formula is an integer at every integer τ ≥ 0, by its form."""
    name, *parts = formula
    if name == "number":
        return parts[0].denominator == 1
    if name in ("sum", "product", "min", "max", "abs", "modulo"):
        return all(is_whole(part) for part in parts)
    if name == "power":
        return is_whole(parts[0]) and parts[1][0] == "number" and parts[1][1] >= 0 and is_whole(parts[1])
    return name in ("tau", "floor")


def rewrite(formula: Formula, change: Callable[[Formula], Formula | None]) -> Formula:
    """The formula with ``change(node)`` in place of each node for which it is not None, from the top."""
    new = change(formula)
    if new is not None:
        return new
    if formula[0] in ("number", "parameter"):
        return formula
    return (formula[0], *(rewrite(part, change) for part in formula[1:]))


Domain = tuple[int, int | None]

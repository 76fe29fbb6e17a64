"""What to write in place of a word that takes numbers alone, as ``sympy.exp`` for ``math.exp``."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

#: Modules whose functions take numbers or arrays, and never a symbol.
_NUMERIC = ("math", "cmath", "numpy", "jax", "scipy", "torch")
_PIECEWISE = "sympy.Piecewise((value, condition), …, (value, True))"
#: What SymPy has for a function of these modules, where its name there is another.
_WORDS = {
    "ceil": "sympy.ceiling",
    "fabs": "sympy.Abs",
    "absolute": "sympy.Abs",
    "abs": "sympy.Abs",
    "maximum": "sympy.Max",
    "fmax": "sympy.Max",
    "max": "sympy.Max",
    "minimum": "sympy.Min",
    "fmin": "sympy.Min",
    "min": "sympy.Min",
    "clip": "sympy.Min(sympy.Max(x, low), high)",
    "where": _PIECEWISE,
    "select": _PIECEWISE,
    "piecewise": _PIECEWISE,
    "heaviside": "sympy.Heaviside",
    "comb": "sympy.binomial",
    "mod": "sympy.Mod",
    "fmod": "sympy.Mod",
    "remainder": "sympy.Mod",
    "arctan": "sympy.atan",
    "pow": "base**exponent",
    "power": "base**exponent",
    "log2": "sympy.log(x, 2)",
    "log10": "sympy.log(x, 10)",
    "log1p": "sympy.log(1 + x)",
    "expm1": "sympy.exp(x) - 1",
    "exp2": "2**x",
    "reciprocal": "1/x",
    "square": "x**2",
    "trunc": "sympy.floor",
}
_OF_THE_SAME_NAME = ("exp", "log", "sqrt", "floor", "sin", "cos", "tan", "atan", "tanh", "sinh", "cosh", "factorial")
_WORDS |= {name: f"sympy.{name}" for name in (*_OF_THE_SAME_NAME, "gamma", "sign", "pi")}
#: The same for what Python has built in.
_BUILT_IN = {
    "int": "sympy.floor",
    "round": "sympy.floor(x + 1/2)",
    "float": "x itself: numbers in a file are exact",
    "range": "a closed form: how often a loop runs cannot depend on a symbol",
}


def hint(source: str, line: int) -> str | None:
    r"""What to write in place of what stands in a line that raised an error.

    Args:
      source: the text of a candidate file, which can be parsed.
      line: of the file, from 1.

    Returns:
      A clause such as ``"for math.exp write sympy.exp"``; None where nothing is known.

    Example:
      >>> hint("import math\nC = math.exp(-tau)", 2)
      'tau is a symbol here; for math.exp write sympy.exp'
    """
    tree = ast.parse(source)
    modules, functions = _imported(tree)
    for node in _of(_statement_at(tree, line)):
        slip = _call(node.func, modules, functions) if isinstance(node, ast.Call) else None
        slip = slip or _operation(node)
        if slip is not None:
            return f"tau is a symbol here; for {slip[0]} write {slip[1]}"
    return None


def hint_for_name(name: str) -> str | None:
    """The same for a name that the file does not define.

    Example:
      >>> hint_for_name("exp")
      'write sympy.exp, after import sympy'
    """
    if name in ("sympy", *_NUMERIC):
        return f"write import {name} first" if name == "sympy" else None
    if name in ("np", "jnp"):
        return "functions of arrays take no symbol: use those of sympy"
    if name == "tau":
        return "write: from theory import tau"
    if name == "F":
        return "F is an argument of step_size(tau, F)"
    word = _WORDS.get(name) or (f"sympy.{name}" if name in ("Piecewise", "Min", "Max", "Rational", "Symbol") else None)
    if word is not None:
        return f"write {word}, after import sympy"
    return f"a parameter is a symbol: {name} = sympy.Symbol({name!r}), with its range in parameters"


def _operation(node: ast.AST) -> tuple[str, str] | None:
    """What else takes no symbol."""
    if isinstance(node, ast.Subscript) and not isinstance(node.slice, (ast.Constant, ast.Slice)):
        table = "sympy.Piecewise(*((c, sympy.Eq(tau, i)) for i, c in enumerate(table)), (last, True))"
        return "an entry of a table", table
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
        return '"^"', "**"
    if isinstance(node, ast.BinOp) and any(isinstance(side, ast.Compare) for side in (node.left, node.right)):
        return "a comparison as a number", _PIECEWISE
    return None


def _call(function: ast.expr, modules: dict[str, str], functions: dict[str, tuple[str, str]]) -> tuple[str, str] | None:
    if isinstance(function, ast.Name):
        name = function.id
        if name in functions:
            module, word = functions[name]
            return (f"{module}.{word}", _WORDS[word]) if word in _WORDS else None
        return (name, _BUILT_IN[name]) if name in _BUILT_IN and hasattr(builtins, name) else None
    written = ast.unparse(function)
    if isinstance(function, ast.Attribute) and modules.get(written.partition(".")[0], "") in _NUMERIC:
        word = _WORDS.get(function.attr)
        return (written, word) if word is not None else (written, "the same with functions of sympy")
    return None


def _imported(tree: ast.Module) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """The numeric modules that a file names, and their functions that it names by themselves."""
    modules: dict[str, str] = {}
    functions: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.partition(".")[0]
                modules[alias.asname or root] = root
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.module.split(".")[0] in _NUMERIC:
            for alias in node.names:
                name = alias.asname or alias.name
                if alias.name == "numpy":  # from jax import numpy
                    modules[name] = "numpy"
                functions[name] = (node.module, alias.name)
    return modules, functions


def _statement_at(tree: ast.Module, line: int) -> ast.AST:
    """The innermost statement that the line belongs to."""
    found: ast.AST = tree
    for node in ast.walk(tree):  # from the outside to the inside
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or node.lineno):
            found = node
    return found


def _of(statement: ast.AST) -> Iterator[ast.AST]:
    """A statement and what it computes by itself, without the statements inside of it."""
    yield statement
    for child in ast.iter_child_nodes(statement):
        if not isinstance(child, ast.stmt):
            yield from _of(child)

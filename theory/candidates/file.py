"""Running a candidate file: decimals and quotients of integers taken exactly, and its C or step_size(tau) evaluated."""

from __future__ import annotations

import ast
import inspect
import traceback
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import sympy

from theory.candidates.candidate import CandidateError
from theory.formulas.from_sympy import distribution, tau
from theory.numbers.ranges import Range


def run(source: str, name: str) -> dict[str, Any]:
    """Runs a file as importing it would, and returns the names that it defines."""
    try:
        tree = ast.parse(source, filename=name)
        tree = ast.fix_missing_locations(_ExactDecimals(source).visit(tree))
        code = compile(tree, name, "exec")
    except SyntaxError as error:
        raise CandidateError(f"syntax error: {error.msg}", error.lineno) from error
    except ValueError as error:
        raise CandidateError(str(error)) from error
    exact = {"__rational__": sympy.Rational, "__quotient__": _quotient, "__power__": _power}
    values: dict[str, Any] = {"__name__": "candidate", "__file__": name, **exact}
    try:
        exec(code, values)  # the user's own file, run as importing it would
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise CandidateError(f"{type(error).__name__}: {error}", _line_of(error, name)) from error
    return values


def expression_of(values: dict[str, Any], name: str, source: str, parameters: Mapping[str, Range]) -> tuple[Any, int]:
    """The step-size function as a SymPy expression of tau, and the line that defines it."""
    if "C" in values and "step_size" in values:
        raise CandidateError("give C or step_size, not both")
    if "C" in values:
        return _checked(values["C"], _line_defining(source, "C"), "C")
    if "step_size" not in values:
        raise CandidateError("no candidate: give an expression C, or a function step_size(tau)")
    function, line = values["step_size"], _line_defining(source, "step_size")
    expected = "step_size(tau) or step_size(tau, F), and parameters by their names"
    try:
        arguments = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise CandidateError(f"step_size must be a function {expected}", line) from error
    named = [argument.name for argument in arguments]
    kinds = {argument.kind for argument in arguments}
    if not named or kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        raise CandidateError(f"step_size must be {expected}; got ({', '.join(named)})", line)
    keywords: dict[str, Any] = {named[0]: tau}
    for other in named[1:]:
        if other == "F":
            keywords[other] = distribution
        elif other in parameters:
            keywords[other] = sympy.Symbol(other, real=True)
        elif next(a for a in arguments if a.name == other).default is inspect.Parameter.empty:
            raise CandidateError(f"step_size must be {expected}; got ({', '.join(named)})", line)
    try:
        value = function(**keywords)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise CandidateError(f"{type(error).__name__}: {error}", _line_of(error, name)) from error
    return _checked(value, line, "step_size(tau)")


def _checked(value: Any, line: int, what: str) -> tuple[Any, int]:
    if isinstance(value, (int, float, Fraction)) and not isinstance(value, bool):
        if isinstance(value, Fraction):
            value = sympy.Rational(value.numerator, value.denominator)
        return sympy.sympify(value), line
    if not isinstance(value, sympy.Expr):
        raise CandidateError(f"{what} must be a SymPy expression of tau, got {type(value).__name__}", line)
    return value, line


class _ExactDecimals(ast.NodeTransformer):
    """Turns the decimals of a file, and quotients and negative powers of integers, into rationals."""

    def __init__(self, source: str) -> None:
        self.source = source

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, float):
            return node
        written = ast.get_source_segment(self.source, node) or repr(node.value)
        call = ast.Call(ast.Name("__rational__", ast.Load()), [ast.Constant(written.replace("_", ""))], [])
        return ast.copy_location(call, node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Div):
            exact = "__quotient__"
        elif isinstance(node.op, ast.Pow):
            exact = "__power__"
        else:
            return node
        return ast.copy_location(ast.Call(ast.Name(exact, ast.Load()), [node.left, node.right], []), node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node


def _quotient(left: Any, right: Any) -> Any:
    """The quotient, a rational of two integers: 1/3 in floats is not a third."""
    return sympy.Rational(left, right) if type(left) is type(right) is int and right else left / right


def _power(base: Any, exponent: Any) -> Any:
    """The power, a rational of two integers."""
    return sympy.Rational(base) ** exponent if type(base) is type(exponent) is int and base else base**exponent


def _line_defining(source: str, name: str) -> int:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return node.lineno
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            return node.lineno
    return 1


def _line_of(error: BaseException, name: str) -> int:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    return lines[-1] if lines and lines[-1] else 1

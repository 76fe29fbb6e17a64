"""Running a candidate file: decimals and quotients of integers taken exactly, and its C or step_size(tau) evaluated."""

from __future__ import annotations

import ast
import builtins
import copy
import functools
import inspect
import traceback
from collections.abc import Callable, Mapping
from fractions import Fraction
from types import CodeType
from typing import Any

import sympy

from theory.candidates.candidate import CandidateError, TooLong
from theory.candidates.hints import hint, hint_for_name
from theory.formulas.from_sympy import distribution, share, tau
from theory.numbers.ranges import Range
from theory.numbers.rationals import exact

_MOST_BITS = 2**24  # of a power of two integers in a file


def run(source: str, name: str, importing: Callable[..., Any] | None = None) -> dict[str, Any]:
    """Runs a file as importing it would, and returns the names that it defines.

    Args:
      source: its text.
      name: its name.
      importing: what its imports call in place of Python's own.

    Returns:
      The values of its names.

    Raises:
      CandidateError: for a file that cannot be run.
    """
    code = _compiled(source, name)
    arithmetic = {"__rational__": _decimal, "__quotient__": _quotient, "__power__": _power}
    values: dict[str, Any] = {"__name__": "candidate", "__file__": name, **arithmetic}
    if importing is not None:
        values["__builtins__"] = {**vars(builtins), "__import__": importing}
    try:
        exec(code, values)  # the user's own file, run as importing it would
    except (Exception, SystemExit) as error:  # no interruption, nor the end of a time limit
        raise _refusal(error, name, source) from error
    return values


@functools.lru_cache(maxsize=16)  # a file is run at many integers
def _compiled(source: str, name: str) -> CodeType:
    try:
        tree = ast.parse(source, filename=name)
        tree = ast.fix_missing_locations(_ExactDecimals(source).visit(tree))
        return compile(tree, name, "exec")
    except SyntaxError as error:
        raise CandidateError(f"syntax error: {error.msg}", error.lineno) from error
    except ValueError as error:
        raise CandidateError(str(error)) from error


def expression_of(values: dict[str, Any], name: str, source: str, parameters: Mapping[str, Range]) -> tuple[Any, int]:
    """The step-size function as a SymPy expression of tau, and the line that defines it."""
    if "C" in values and "step_size" in values:
        raise CandidateError("give C or step_size, not both")
    if "C" in values:
        return _checked(values["C"], _line_defining(source, "C"), "C")
    if "step_size" not in values:
        raise CandidateError("no candidate: give an expression C, or a function step_size(tau) or distortion(u)")
    function, line = values["step_size"], _line_defining(source, "step_size")

    def symbol_of(argument: str) -> Any:
        if argument == "F":
            return distribution
        return sympy.Symbol(argument, real=True) if argument in parameters else None

    try:
        keywords = arguments_of(function, tau, symbol_of)
    except CandidateError as error:
        raise CandidateError(str(error), line) from error
    try:
        value = function(**keywords)
    except (Exception, SystemExit) as error:
        raise _refusal(error, name, source) from error
    return _checked(value, line, "step_size(tau)")


def distortion_of(values: dict[str, Any], name: str, source: str, parameters: Mapping[str, Range]) -> tuple[Any, int]:
    """The distortion g as a SymPy expression of u, and the line that defines it."""
    for other in ("C", "step_size"):
        if other in values:
            raise CandidateError(f"give {other} or distortion, not both")
    for declaration in ("cdf", "domain"):
        if declaration in values:
            line = _line_defining(source, declaration)
            raise CandidateError(f"{declaration} is none of a distortion's: it is meant for every staleness", line)
    if "u" in parameters:
        raise CandidateError("u is the argument of a distortion; name the parameter otherwise")
    function, line = values["distortion"], _line_defining(source, "distortion")

    def symbol_of(argument: str) -> Any:
        return sympy.Symbol(argument, real=True) if argument in parameters else None

    try:
        keywords = arguments_of(function, share, symbol_of, "distortion")
    except CandidateError as error:
        raise CandidateError(str(error), line) from error
    try:
        value = function(**keywords)
    except (Exception, SystemExit) as error:
        raise _refusal(error, name, source) from error
    return _checked(value, line, "distortion(u)", "u")


#: How the functions of a candidate may be written.
_SIGNATURES = {
    "step_size": "step_size(tau) or step_size(tau, F), and parameters by their names",
    "distortion": "distortion(u), and parameters by their names",
}


def arguments_of(function: Any, tau: Any, value_of: Callable[[str], Any], what: str = "step_size") -> dict[str, Any]:
    """The arguments that a candidate's ``step_size`` or ``distortion`` is called with, by name.

    Args:
      function: the function of a file.
      tau: what its first argument is.
      value_of: what another argument is, by its name; None for what it is not called with.
      what: the name of the function.

    Returns:
      A value by name.

    Raises:
      CandidateError: for what is no function, or asks for something else.
    """
    expected = _SIGNATURES[what]
    try:
        arguments = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise CandidateError(f"{what} must be a function {expected}") from error
    named = [argument.name for argument in arguments]
    kinds = {argument.kind for argument in arguments}
    refusal = CandidateError(f"{what} must be {expected}; got ({', '.join(named)})")
    if not named or kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        raise refusal
    values = {argument.name: value_of(argument.name) for argument in arguments[1:]}
    if any(values[a.name] is None and a.default is inspect.Parameter.empty for a in arguments[1:]):
        raise refusal
    return {named[0]: tau} | {name: value for name, value in values.items() if value is not None}


def _checked(value: Any, line: int, what: str, of: str = "tau") -> tuple[Any, int]:
    if isinstance(value, (int, float, Fraction)) and not isinstance(value, bool):
        if isinstance(value, Fraction):
            value = sympy.Rational(value.numerator, value.denominator)
        return sympy.sympify(value), line
    if not isinstance(value, sympy.Expr):
        better = ""
        if callable(value) and what == "C":
            better = "; a function is named step_size"
        elif isinstance(value, (sympy.logic.boolalg.Boolean, bool)):
            better = "; a condition chooses in sympy.Piecewise((value, condition), (value, True))"
        raise CandidateError(f"{what} must be a SymPy expression of {of}, got {type(value).__name__}{better}", line)
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

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, (ast.Div, ast.Pow)):
            return node
        before = copy.deepcopy(node.target)
        before.ctx = ast.Load()  # type: ignore[attr-defined]
        whole = ast.copy_location(ast.BinOp(before, node.op, node.value), node)
        return ast.copy_location(ast.Assign([node.target], self._exact(whole)), node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        return self._exact(node)

    def _exact(self, node: ast.BinOp) -> ast.expr:
        if isinstance(node.op, ast.Div):
            name = "__quotient__"
        elif isinstance(node.op, ast.Pow):
            name = "__power__"
        else:
            return node
        return ast.copy_location(ast.Call(ast.Name(name, ast.Load()), [node.left, node.right], []), node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node


def _refusal(error: BaseException, name: str, source: str) -> CandidateError:
    """What a file raised, as an error of the candidate with the line, and with what to write in its place."""
    line = _line_of(error, name)
    if isinstance(error, CandidateError):
        return type(error)(str(error), line)
    better = None
    if isinstance(error, NameError) and error.name is not None:
        better = hint_for_name(error.name)
    elif isinstance(error, (TypeError, IndexError, KeyError, AttributeError, ValueError)):
        better = hint(source, line, str(error))
    message = f"{type(error).__name__}: {error}"
    return CandidateError(message if better is None else f"{better} ({message})", line)


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

"""Running a candidate file: decimals and quotients of integers taken exactly, and its C or step_size(tau) evaluated."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import io
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from types import CodeType, ModuleType
from typing import Any

import sympy

from theory.candidates import arithmetic
from theory.candidates.candidate import CandidateError
from theory.candidates.hints import hint, hint_for_name
from theory.candidates.interruption import Interrupted
from theory.formulas.from_sympy import distribution, share, tau
from theory.numbers.ranges import Range

_NAME = "candidate"  # of the module that a file is


def run(source: str, name: str, dividing: Callable[[Any], None] | None = None) -> dict[str, Any]:
    """Runs a file as importing it would, and returns the names that it defines.

    Args:
      source: its text.
      name: its name.
      dividing: what each divisor is given to.

    Returns:
      The values of its names.

    Raises:
      CandidateError: for a file that cannot be run.
    """
    code, module = _compiled(source, name), ModuleType(_NAME)
    values = vars(module)
    values.update(__file__=name, **arithmetic.names(dividing or (lambda divisor: None)))
    with _refusing(name, source), _known_as(module), arithmetic.exact_decimal_type():
        exec(code, values)  # the user's own file, run as importing it would
    return values


def quietly(function: Callable[[], Any]) -> Any:
    """Calls a function without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return function()


@contextlib.contextmanager
def _known_as(module: ModuleType) -> Iterator[None]:
    """The module among those that are loaded, where classes look for their own."""
    before = sys.modules.get(_NAME)
    sys.modules[_NAME] = module
    try:
        yield
    finally:
        del sys.modules[_NAME]
        if before is not None:
            sys.modules[_NAME] = before


@contextlib.contextmanager
def _refusing(name: str, source: str) -> Iterator[None]:
    """Whatever a file raises, also what is no Exception, as an error of the candidate."""
    try:
        yield
    except (KeyboardInterrupt, Interrupted):
        raise
    except BaseException as error:
        raise _refusal(error, name, source) from error


@functools.lru_cache(maxsize=16)  # a file is run at many integers
def _compiled(source: str, name: str) -> CodeType:
    try:
        tree = ast.parse(source, filename=name)
        tree = ast.fix_missing_locations(_ExactDecimals(source).visit(tree))
        return compile(tree, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise CandidateError(f"syntax error: {error.msg}", error.lineno) from error
    except ValueError as error:
        raise CandidateError(str(error)) from error
    except (RecursionError, MemoryError) as error:
        raise CandidateError(f"nested too deeply to be read: {type(error).__name__}") from error


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
    with _refusing(name, source):
        value = called(function, keywords)
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
    with _refusing(name, source):
        value = called(function, keywords)
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
    if named and value_of(named[0]) is not None:
        raise CandidateError(f"the first argument of {what} is no parameter, and is not called {named[0]}")
    kinds = {argument.kind for argument in arguments}
    refusal = CandidateError(f"{what} must be {expected}; got ({', '.join(named)})")
    if not named or kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        raise refusal
    values = {argument.name: value_of(argument.name) for argument in arguments[1:]}
    if any(values[a.name] is None and a.default is inspect.Parameter.empty for a in arguments[1:]):
        raise refusal
    return {named[0]: tau} | {name: value for name, value in values.items() if value is not None}


def called(function: Any, arguments: Mapping[str, Any]) -> Any:
    """The value of a function for arguments by their names, also where it takes some by their places alone."""
    by_place = [
        argument.name
        for argument in inspect.signature(function).parameters.values()
        if argument.kind is inspect.Parameter.POSITIONAL_ONLY and argument.name in arguments
    ]
    by_name = {name: value for name, value in arguments.items() if name not in by_place}
    with arithmetic.exact_decimal_type():
        return function(*(arguments[name] for name in by_place), **by_name)


def _checked(value: Any, line: int, what: str, of: str = "tau") -> tuple[Any, int]:
    if isinstance(value, (int, float, Fraction, Decimal)) and not isinstance(value, bool):
        with arithmetic.exact_decimal_type():
            return sympy.sympify(value), line
    if not isinstance(value, sympy.Expr):
        better = ""
        if callable(value) and what == "C":
            better = "; a function is named step_size"
        elif hasattr(value, "dtype"):
            better = "; functions of arrays take no symbols, those of sympy do: sympy.Piecewise for where"
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
        return ast.copy_location(_call("__rational__", ast.Constant(written.replace("_", ""))), node)

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, (ast.Div, ast.Pow)):
            return node
        target, how = node.target, ast.Constant(type(node.op).__name__)
        if isinstance(target, ast.Name):
            before = ast.Name(target.id, ast.Load())
            return ast.copy_location(ast.Assign([target], _call("__in_place__", how, before, node.value)), node)
        if isinstance(target, ast.Attribute):
            if target.attr.startswith("__"):
                return node  # a class has another name for it
            call = _call("__attribute__", how, target.value, ast.Constant(target.attr), node.value)
        else:
            call = _call("__item__", how, target.value, _index(target.slice), node.value)
        return ast.copy_location(ast.Expr(call), node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        self.generic_visit(node)  # no file catches the end of a time limit
        node.body.insert(0, ast.Expr(_call("__let_pass__")))
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if not (node.attr.startswith("is_") and isinstance(node.ctx, ast.Load)):
            return node
        return ast.copy_location(_call("__fact__", node.value, ast.Constant(node.attr)), node)

    def visit_MatchValue(self, node: ast.MatchValue) -> ast.AST:
        return node  # a pattern is no expression

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.op, (ast.Div, ast.Pow)):
            return node
        name = "__quotient__" if isinstance(node.op, ast.Div) else "__power__"
        return ast.copy_location(_call(name, node.left, node.right), node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return node


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _index(index: ast.expr) -> ast.expr:
    """What stands in the brackets, as a value."""
    if isinstance(index, ast.Tuple):
        return ast.Tuple([_index(part) for part in index.elts], ast.Load())
    if not isinstance(index, ast.Slice):
        return index
    return _call("__slice__", *(part or ast.Constant(None) for part in (index.lower, index.upper, index.step)))


def _refusal(error: BaseException, name: str, source: str) -> CandidateError:
    """What a file raised, as an error of the candidate with the line, and with what to write in its place."""
    line = _line_of(error, name)
    if isinstance(error, CandidateError):
        return type(error)(str(error), error.line or line)
    better = None
    if isinstance(error, NameError) and error.name is not None:
        better = hint_for_name(error.name)
    elif isinstance(error, (TypeError, IndexError, KeyError, AttributeError, ValueError)):
        better = hint(source, line)
    message = f"{type(error).__name__}: {error}"
    return CandidateError(message if better is None else f"{better} ({message})", line)


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

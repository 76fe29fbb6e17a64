"""Candidates: step-size functions from a user's file, or from the library's own rules.

A candidate file is Python, and loading it runs it, as importing a module does; nothing else is ever evaluated.
Decimals and quotients of integers in it are taken exactly as they are written: ``0.1`` and ``1/10`` are the same.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import json
import pathlib
import traceback
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import sympy
from flint import fmpq

from theory import ranges
from theory.distributions import Law
from theory.formula import Formula
from theory.laws import parse_law
from theory.points import Domain
from theory.ranges import Range
from theory.setting import CDF_KINDS, CDFKind
from theory.translation import Untranslatable, distribution, tau, translated


class CandidateError(ValueError):
    """A candidate that cannot be read; its message has file and line."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A step-size function and what its author says of it.

    Attributes:
      name: for people, for instance the file's name.
      source: the text that it was made of.
      formula: C, or None where the checker has no words for it.
      untranslatable: why, in that case.
      cdf: which distribution function F is.
      laws: the laws that it names.
      domain: first and last staleness, None for no last.
      amplitude: A.
      parameters: the range of each; both ends excluded where it is no single number.
    """

    name: str
    source: str
    formula: Formula | None
    untranslatable: str | None = None
    cdf: CDFKind = "mid"
    laws: tuple[Law, ...] = ()
    domain: Domain = (0, None)
    amplitude: Fraction = Fraction(1)
    parameters: Mapping[str, Range] = dataclasses.field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the source."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    def with_parameters(self, values: Mapping[str, Range]) -> Candidate:
        """The candidate with other ranges of its parameters.

        Raises:
          CandidateError: for a parameter that it does not have.
        """
        for name in values:
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise CandidateError(f"{self.name}: the parameters are {known}; got {name!r}")
        return dataclasses.replace(self, parameters={**self.parameters, **values})


def load(spec: str) -> Candidate:
    """A candidate from a file, or a rule of the library.

    Args:
      spec: the path of a Python file, or ``jasgd.rules:NAME`` with options as on the command line,
        ``jasgd.rules:exponential:beta=0.1,normalized=true``.

    Returns:
      The candidate.

    Raises:
      CandidateError: for anything that is no candidate, in one line with file and line number.
    """
    if spec.partition(":")[0] == "jasgd.rules":
        from theory.library import rule_candidate

        return rule_candidate(spec)
    path = pathlib.Path(spec)
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CandidateError(f"{spec}: cannot be read: {error}") from error
    return loads(source, str(spec))


def loads(source: str, name: str = "candidate.py") -> Candidate:
    """A candidate from the text of a file; see :func:`load`."""
    values = _run(source, name)
    parameters = {key: _range(name, key, told) for key, told in _mapping(name, values.get("parameters", {})).items()}
    expression, line = _expression(values, name, source, parameters)
    _refuse_unknown_symbols(expression, name, line, parameters)
    formula, why = None, None
    try:
        formula = translated(expression, frozenset(parameters))
    except Untranslatable as error:
        why = str(error)
    candidate = Candidate(
        name=name,
        source=source,
        formula=formula,
        untranslatable=why,
        cdf=_cdf(name, values.get("cdf", "mid")),
        laws=_laws(name, values.get("distribution", ())),
        domain=_domain(name, values.get("domain", (0, None))),
        amplitude=_amplitude(name, values.get("amplitude", 1)),
        parameters=parameters,
    )
    for law in candidate.laws:
        check_support(candidate, law)
    return candidate


def check_support(candidate: Candidate, law: Law) -> None:
    """Refuses a law with mass outside the candidate's domain."""
    first, last = candidate.domain
    if law.first < first or (last is not None and (law.last is None or law.last > last)):
        reach = "∞" if last is None else last
        raise CandidateError(f"{candidate.name}: the law {law} has mass outside the domain {first}…{reach}")


def read_parameters(path: str) -> dict[str, Range]:
    """Ranges of parameters from a JSON file: ``{"beta": "1/2", "p": [0, 1]}``."""
    try:
        told = json.loads(pathlib.Path(path).read_text(encoding="utf-8"), parse_float=str)
    except (OSError, ValueError) as error:
        raise CandidateError(f"{path}: cannot be read as JSON: {error}") from error
    return {key: _range(path, key, value) for key, value in _mapping(path, told).items()}


def parameter_range(name: str, text: str) -> Range:
    """The range of a parameter from ``1/2`` or ``0,1``, the latter with an empty end for infinity."""
    ends = [part.strip() or None for part in text.split(",")]
    return _range("--set", name, ends[0] if len(ends) == 1 else ends)


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


def _run(source: str, name: str) -> dict[str, Any]:
    try:
        tree = ast.parse(source, filename=name)
        tree = ast.fix_missing_locations(_ExactDecimals(source).visit(tree))
        code = compile(tree, name, "exec")
    except SyntaxError as error:
        raise CandidateError(f"{name}:{error.lineno}: syntax error: {error.msg}") from error
    except ValueError as error:
        raise CandidateError(f"{name}: {error}") from error
    exact = {"__rational__": sympy.Rational, "__quotient__": _quotient, "__power__": _power}
    values: dict[str, Any] = {"__name__": "candidate", "__file__": name, **exact}
    try:
        exec(code, values)  # the user's own file, run as importing it would
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise CandidateError(f"{name}:{_line_of(error, name)}: {type(error).__name__}: {error}") from error
    return values


def _expression(values: dict[str, Any], name: str, source: str, parameters: Mapping[str, Range]) -> tuple[Any, int]:
    if "C" in values and "step_size" in values:
        raise CandidateError(f"{name}: give C or step_size, not both")
    if "C" in values:
        return _checked(values["C"], name, _line_defining(source, "C"), "C")
    if "step_size" not in values:
        raise CandidateError(f"{name}: no candidate: give an expression C, or a function step_size(tau)")
    function, line = values["step_size"], _line_defining(source, "step_size")
    wanted = "step_size(tau) or step_size(tau, F), and parameters by their names"
    try:
        arguments = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise CandidateError(f"{name}:{line}: step_size must be a function {wanted}") from error
    named = [argument.name for argument in arguments]
    kinds = {argument.kind for argument in arguments}
    if not named or kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
        raise CandidateError(f"{name}:{line}: step_size must be {wanted}; got ({', '.join(named)})")
    given: dict[str, Any] = {named[0]: tau}
    for other in named[1:]:
        if other == "F":
            given[other] = distribution
        elif other in parameters:
            given[other] = sympy.Symbol(other, real=True)
        elif next(a for a in arguments if a.name == other).default is inspect.Parameter.empty:
            raise CandidateError(f"{name}:{line}: step_size must be {wanted}; got ({', '.join(named)})")
    try:
        value = function(**given)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise CandidateError(f"{name}:{_line_of(error, name)}: {type(error).__name__}: {error}") from error
    return _checked(value, name, line, "step_size(tau)")


def _checked(value: Any, name: str, line: int, what: str) -> tuple[Any, int]:
    if isinstance(value, (int, float, Fraction)) and not isinstance(value, bool):
        if isinstance(value, Fraction):
            value = sympy.Rational(value.numerator, value.denominator)
        return sympy.sympify(value), line
    if not isinstance(value, sympy.Expr):
        raise CandidateError(f"{name}:{line}: {what} must be a SymPy expression of tau, got {type(value).__name__}")
    return value, line


def _refuse_unknown_symbols(expression: Any, name: str, line: int, parameters: Mapping[str, Range]) -> None:
    for symbol in sorted(expression.free_symbols, key=str):
        if symbol in (tau, distribution):
            continue
        if symbol.name == "tau":
            raise CandidateError(f"{name}:{line}: a tau of your own; write: from theory import tau")
        if symbol.name not in parameters:
            hint = "F is an argument of step_size(tau, F)" if symbol.name == "F" else "name it in parameters"
            raise CandidateError(f"{name}:{line}: the symbol {symbol.name} is neither tau nor a parameter; {hint}")
        known = parameters[symbol.name]
        for assumed in ("positive", "nonnegative", "negative", "nonpositive"):
            if getattr(symbol, f"is_{assumed}") and not getattr(known, f"is_{assumed}")():
                raise CandidateError(f"{name}:{line}: {symbol.name} is declared {assumed}, but its range is not")
        if symbol.is_nonzero and not known.is_zero_free():
            raise CandidateError(f"{name}:{line}: {symbol.name} is declared nonzero, but its range is not")
        if any(getattr(symbol, f"is_{assumed}") is not None for assumed in ("integer", "rational", "algebraic")):
            raise CandidateError(f"{name}:{line}: {symbol.name} is declared to be whole, its range is not")


def _mapping(name: str, told: Any) -> Mapping[str, Any]:
    if not isinstance(told, Mapping) or not all(isinstance(key, str) for key in told):
        raise CandidateError(f"{name}: parameters must map names to numbers or pairs, got {told!r}")
    return told


def _range(name: str, key: str, told: Any) -> Range:
    if isinstance(told, Sequence) and not isinstance(told, str):
        if len(told) != 2:
            raise CandidateError(f"{name}: the parameter {key} must be a number or a pair, got {told!r}")
        low, high = (None if end is None else _rational(name, key, end) for end in told)
        if low is not None and high is not None and not low < high:
            raise CandidateError(f"{name}: the range of {key} is empty: {told!r}")
        return Range(_fmpq(low), _fmpq(high), True, True)
    return ranges.number(_rational(name, key, told))


def _fmpq(value: Fraction | None) -> fmpq | None:
    return None if value is None else fmpq(value.numerator, value.denominator)


def _rational(name: str, key: str, told: Any) -> Fraction:
    try:
        if isinstance(told, sympy.Rational):
            return Fraction(int(told.p), int(told.q))
        if isinstance(told, bool):
            raise ValueError
        return Fraction(told)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise CandidateError(f"{name}: {key} must be a decimal or a fraction, got {told!r}") from error


def _cdf(name: str, told: Any) -> CDFKind:
    if told not in CDF_KINDS:
        raise CandidateError(f"{name}: cdf must be one of {', '.join(CDF_KINDS)}, got {told!r}")
    return told


def _laws(name: str, told: Any) -> tuple[Law, ...]:
    specs = [told] if isinstance(told, str) else told
    if not isinstance(specs, Sequence) or not all(isinstance(spec, str) for spec in specs):
        raise CandidateError(f"{name}: distribution must be a text such as 'poisson:8', or a list of them")
    try:
        return tuple(parse_law(spec) for spec in specs)
    except ValueError as error:
        raise CandidateError(f"{name}: {error}") from error


def _domain(name: str, told: Any) -> Domain:
    good = isinstance(told, Sequence) and len(told) == 2
    ends = [None if end is None else _rational(name, "domain", end) for end in told] if good else []
    if not good or ends[0] is None or any(end is not None and end.denominator != 1 for end in ends):
        raise CandidateError(f"{name}: domain must be a pair of integers (first, last), None for no last; got {told!r}")
    first, last = int(ends[0]), None if ends[1] is None else int(ends[1])
    if first < 0 or (last is not None and last < first):
        raise CandidateError(f"{name}: domain must satisfy 0 ≤ first ≤ last, got {told!r}")
    return first, last


def _amplitude(name: str, told: Any) -> Fraction:
    value = _rational(name, "amplitude", told)
    if value < 0:
        raise CandidateError(f"{name}: amplitude must be ≥ 0, got {value}")
    return value


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

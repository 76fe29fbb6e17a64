"""Declarations of a candidate beside C: the ranges of its parameters, its CDF, laws, domain and amplitude."""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import sympy
from flint import fmpq

from jasgd.inputs.text_files import read_text
from theory.candidates.candidate import CandidateError
from theory.formulas.formula import Domain
from theory.laws import Law
from theory.laws.law import CDF_KINDS, CDFKind
from theory.laws.parsing import parse_law
from theory.numbers import ranges
from theory.numbers.ranges import Range
from theory.numbers.rationals import MOST_DIGITS, as_fmpq, exact

#: What a formula is written with: no parameter may have such a name.
RESERVED = ("tau", "F", "mean", "pi", "E", "τ", "π")
#: A range with its ends: ``(0, 1]`` has 1 and not 0; an end that is left out is infinite.
_INTERVAL = re.compile(r"([\[(])\s*([^,\s]*)\s*,\s*([^,\s]*)\s*([\])])")
#: What a file may declare, and other words for it that people try.
DECLARATIONS = {
    "C": ("step_size_function", "factor"),
    "step_size": ("stepsize", "step_sizes"),
    "parameters": ("params", "parameter"),
    "cdf": ("cdf_kind",),
    "distribution": ("distributions", "law", "laws"),
    "domain": ("domains", "support"),
    "amplitude": ("amplitudes",),
}


def refuse_misspelt(source: str) -> None:
    """Refuses a file that binds a name like that of a declaration, and makes no use of it.

    Args:
      source: the text of a candidate file, which can be parsed.

    Raises:
      CandidateError: with the line, and with the declaration that is meant.

    Example:
      >>> refuse_misspelt("Domain = (0, 9)")
      Traceback (most recent call last):
      theory.candidates.candidate.CandidateError: Domain is no declaration, and nothing uses it; domain is one
    """
    tree = ast.parse(source)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        bound = [target.id for target in targets if isinstance(target, ast.Name)]
        if isinstance(statement, ast.FunctionDef):
            bound.append(statement.name)
        for name in bound:
            if name in used or name in DECLARATIONS:
                continue
            for declaration, others in DECLARATIONS.items():
                near = name.casefold() in (declaration.casefold(), *others)
                if near or difflib.SequenceMatcher(None, name.casefold(), declaration).ratio() > 0.85:
                    text = f"{name} is no declaration, and nothing uses it; {declaration} is one"
                    raise CandidateError(text, statement.lineno)


def read_parameters(path: str) -> dict[str, Range]:
    """Ranges of parameters from a JSON file: ``{"beta": "1/2", "p": [0, 1]}``."""
    try:
        declared = json.loads(read_text(path), parse_float=str)
    except (OSError, ValueError) as error:
        raise CandidateError(f"{path}: cannot be read as JSON: {error}") from error
    try:
        return parameters_of(declared)
    except CandidateError as error:
        raise error.within(path) from error


def parameter_range(name: str, text: str) -> Range:
    """The range of a parameter from ``1/2``, ``0,1`` or ``(0,1]``; an empty end is infinity."""
    ends = [part.strip() or None for part in text.split(",")]
    try:
        return _range(name, text if len(ends) == 1 or _INTERVAL.fullmatch(text.strip()) else ends)
    except CandidateError as error:
        raise error.within("--set") from error


def parameters_of(declared: Any) -> dict[str, Range]:
    """The range of each parameter, from the mapping that a candidate declares."""
    return {key: _range(key, value) for key, value in _mapping(declared).items()}


def _mapping(declared: Any) -> Mapping[str, Any]:
    if not isinstance(declared, Mapping) or not all(isinstance(key, str) for key in declared):
        raise CandidateError(f"parameters must map names to numbers or pairs, got {declared!r}")
    for key in declared:
        if key in RESERVED or not key.isidentifier():
            reserved = ", ".join(RESERVED)
            raise CandidateError(f"a parameter is named by an identifier other than {reserved}, got {key!r}")
    return declared


def _range(key: str, declared: Any) -> Range:
    if isinstance(declared, str) and (interval := _INTERVAL.fullmatch(declared.strip())):
        left, low, high, right = interval.groups()
        if (left == "[" and not low) or (right == "]" and not high):
            raise CandidateError(f"the range of {key} takes no infinite end; write ( or ) there, got {declared!r}")
        return _between(key, declared, (low or None, high or None), left == "(", right == ")")
    if isinstance(declared, Sequence) and not isinstance(declared, str):
        if len(declared) != 2:
            raise CandidateError(f"the parameter {key} must be a number or a pair, got {declared!r}")
        return _between(key, declared, declared, True, True)
    return ranges.number(_rational(key, declared))


def _between(key: str, declared: Any, ends: Sequence[Any], low_open: bool, high_open: bool) -> Range:
    low, high = (None if end is None else _rational(key, end) for end in ends)
    if low is not None and high is not None and not (low < high or (low == high and not low_open and not high_open)):
        raise CandidateError(f"the range of {key} is empty: {declared!r}")
    return Range(_end(low), _end(high), low_open, high_open)


def cdf_of(declared: Any) -> CDFKind:
    """Which distribution function F stands for."""
    if declared not in CDF_KINDS:
        raise CandidateError(f"cdf must be one of {', '.join(CDF_KINDS)}, got {declared!r}")
    return declared


def laws_of(declared: Any) -> tuple[Law, ...]:
    """The laws that a candidate names, in one text or several."""
    specs = [declared] if isinstance(declared, str) else declared
    if not isinstance(specs, Sequence) or not all(isinstance(spec, str) for spec in specs):
        raise CandidateError("distribution must be a text such as 'poisson:8', or a list of them")
    try:
        return tuple(parse_law(spec) for spec in specs)
    except ValueError as error:
        raise CandidateError(str(error)) from error


def domain_of(declared: Any) -> Domain:
    """First and last staleness of the domain, None for no last."""
    good = isinstance(declared, Sequence) and len(declared) == 2
    ends = [None if end is None else _rational("domain", end) for end in declared] if good else []
    if not good or ends[0] is None or any(end is not None and end.denominator != 1 for end in ends):
        raise CandidateError(f"domain must be a pair of integers (first, last), None for no last; got {declared!r}")
    first, last = int(ends[0]), None if ends[1] is None else int(ends[1])
    if first < 0 or (last is not None and last < first):
        raise CandidateError(f"domain must satisfy 0 ≤ first ≤ last, got {declared!r}")
    return first, last


def amplitude_of(declared: Any) -> Fraction:
    """The amplitude A, exactly."""
    value = _rational("amplitude", declared)
    if value < 0:
        raise CandidateError(f"amplitude must be ≥ 0, got {value}")
    return value


def _rational(key: str, declared: Any) -> Fraction:
    try:
        if isinstance(declared, sympy.Rational):
            return Fraction(int(declared.p), int(declared.q))
        if isinstance(declared, bool):
            raise ValueError
        return exact(declared) if isinstance(declared, str) else Fraction(declared)
    except (TypeError, ValueError, OverflowError) as error:
        got = repr(declared)
        raise CandidateError(
            f"{key} must be a decimal or a fraction of at most {MOST_DIGITS} digits, got {got[:60]}"
        ) from error


def _end(value: Fraction | None) -> fmpq | None:
    return None if value is None else as_fmpq(value)

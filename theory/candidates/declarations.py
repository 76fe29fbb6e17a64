"""What a candidate declares beside C: the ranges of its parameters, its CDF, laws, domain and amplitude."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import sympy
from flint import fmpq

from theory.candidates.candidate import CandidateError
from theory.formulas.formula import Domain
from theory.laws import Law
from theory.laws.law import CDF_KINDS, CDFKind
from theory.laws.parsing import parse_law
from theory.numbers import ranges
from theory.numbers.ranges import Range


def read_parameters(path: str) -> dict[str, Range]:
    """Ranges of parameters from a JSON file: ``{"beta": "1/2", "p": [0, 1]}``."""
    try:
        told = json.loads(pathlib.Path(path).read_text(encoding="utf-8"), parse_float=str)
    except (OSError, ValueError) as error:
        raise CandidateError(f"{path}: cannot be read as JSON: {error}") from error
    return parameters_of(path, told)


def parameter_range(name: str, text: str) -> Range:
    """The range of a parameter from ``1/2`` or ``0,1``, the latter with an empty end for infinity."""
    ends = [part.strip() or None for part in text.split(",")]
    return _range("--set", name, ends[0] if len(ends) == 1 else ends)


def parameters_of(name: str, told: Any) -> dict[str, Range]:
    """The range of each parameter."""
    return {key: _range(name, key, value) for key, value in _mapping(name, told).items()}


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


def cdf_of(name: str, told: Any) -> CDFKind:
    """Which distribution function F is."""
    if told not in CDF_KINDS:
        raise CandidateError(f"{name}: cdf must be one of {', '.join(CDF_KINDS)}, got {told!r}")
    return told


def laws_of(name: str, told: Any) -> tuple[Law, ...]:
    """The laws, of one text or several."""
    specs = [told] if isinstance(told, str) else told
    if not isinstance(specs, Sequence) or not all(isinstance(spec, str) for spec in specs):
        raise CandidateError(f"{name}: distribution must be a text such as 'poisson:8', or a list of them")
    try:
        return tuple(parse_law(spec) for spec in specs)
    except ValueError as error:
        raise CandidateError(f"{name}: {error}") from error


def domain_of(name: str, told: Any) -> Domain:
    """First and last staleness, None for no last."""
    good = isinstance(told, Sequence) and len(told) == 2
    ends = [None if end is None else _rational(name, "domain", end) for end in told] if good else []
    if not good or ends[0] is None or any(end is not None and end.denominator != 1 for end in ends):
        raise CandidateError(f"{name}: domain must be a pair of integers (first, last), None for no last; got {told!r}")
    first, last = int(ends[0]), None if ends[1] is None else int(ends[1])
    if first < 0 or (last is not None and last < first):
        raise CandidateError(f"{name}: domain must satisfy 0 ≤ first ≤ last, got {told!r}")
    return first, last


def amplitude_of(name: str, told: Any) -> Fraction:
    """A, exactly."""
    value = _rational(name, "amplitude", told)
    if value < 0:
        raise CandidateError(f"{name}: amplitude must be ≥ 0, got {value}")
    return value


def _rational(name: str, key: str, told: Any) -> Fraction:
    try:
        if isinstance(told, sympy.Rational):
            return Fraction(int(told.p), int(told.q))
        if isinstance(told, bool):
            raise ValueError
        return Fraction(told)
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise CandidateError(f"{name}: {key} must be a decimal or a fraction, got {told!r}") from error


def _fmpq(value: Fraction | None) -> fmpq | None:
    return None if value is None else fmpq(value.numerator, value.denominator)

"""Candidates: step-size functions from a user's file, or from the library's own rules.

A candidate file is Python, and loading it runs it, as importing a module does; nothing else is ever evaluated.
Decimals and quotients of integers in it are taken exactly as they are written: ``0.1`` and ``1/10`` are the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from theory.candidates.declarations import (
    amplitude_of,
    cdf_of,
    domain_of,
    laws_of,
    parameter_range,
    parameters_of,
    read_parameters,
)
from theory.candidates.file import CandidateError, expression_of, run
from theory.formulas.formula import Domain, Formula
from theory.formulas.from_sympy import Untranslatable, distribution, tau, translated
from theory.laws import Law
from theory.laws.law import CDFKind
from theory.numbers.ranges import Range

__all__ = ["Candidate", "CandidateError", "check_support", "load", "loads", "parameter_range", "read_parameters"]


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
        from theory.candidates.library_rules import rule_candidate

        return rule_candidate(spec)
    path = pathlib.Path(spec)
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CandidateError(f"{spec}: cannot be read: {error}") from error
    return loads(source, str(spec))


def loads(source: str, name: str = "candidate.py") -> Candidate:
    """A candidate from the text of a file; see :func:`load`."""
    values = run(source, name)
    parameters = parameters_of(name, values.get("parameters", {}))
    expression, line = expression_of(values, name, source, parameters)
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
        cdf=cdf_of(name, values.get("cdf", "mid")),
        laws=laws_of(name, values.get("distribution", ())),
        domain=domain_of(name, values.get("domain", (0, None))),
        amplitude=amplitude_of(name, values.get("amplitude", 1)),
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

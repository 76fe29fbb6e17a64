"""Loading a candidate: from a file, from a text, or from the library's own rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import sympy

from jasgd.inputs.text_files import read_text
from theory.candidates.assumptions import assumptions_of, require_assumptions, symbols_made
from theory.candidates.candidate import Candidate, CandidateError, check_support
from theory.candidates.declarations import amplitude_of, cdf_of, domain_of, laws_of, parameters_of, refuse_misspelt
from theory.candidates.file import distortion_of, expression_of, run
from theory.candidates.library_rules import rule_candidate
from theory.candidates.second_reading import difference, distortion_difference
from theory.formulas.formula import Domain, Formula
from theory.formulas.from_sympy import Untranslatable, distribution, share, tau, translated
from theory.numbers.ranges import Range


def load(spec: str) -> Candidate:
    """Loads a candidate from a file, or from a rule of the library.

    Args:
      spec: the path of a Python file, or ``jasgd.rules:NAME`` with options as on the command line,
        ``jasgd.rules:exponential:beta=0.1,normalized=true``.

    Returns:
      The candidate.

    Raises:
      CandidateError: for anything that is no candidate, in one line with file and line number.
    """
    if spec.partition(":")[0] == "jasgd.rules":
        return rule_candidate(spec)
    try:
        source = read_text(spec)
    except (OSError, ValueError) as error:
        raise CandidateError(f"{spec}: cannot be read: {error}") from error
    return loads(source, str(spec))


def loads(source: str, name: str = "candidate.py") -> Candidate:
    """Loads a candidate from the text of a file; see :func:`load`."""
    try:
        candidate = _read(source, name)
    except CandidateError as error:
        raise error.within(name) from error
    for law in candidate.laws:
        check_support(candidate, law)
    return candidate


def _read(source: str, name: str) -> Candidate:
    """Reads a candidate; its errors do not name the file yet."""
    with symbols_made() as made:
        values = run(source, name)
        refuse_misspelt(source)
        parameters = parameters_of(values.get("parameters", {}))
        is_distortion = "distortion" in values
        read = distortion_of if is_distortion else expression_of
        expression, line = read(values, name, source, parameters)
    arguments = {share} if is_distortion else {tau, distribution}
    _refuse_unknown_symbols(expression, line, parameters, arguments)
    # Those that came from elsewhere, such as a module of the user's, are in the expression or have a name in the file.
    found = {*made, *expression.free_symbols, *(v for v in values.values() if isinstance(v, sympy.Symbol))}
    assumed = _assumptions(found - arguments, line, parameters)
    formula, why = None, None
    try:
        formula = translated(expression, frozenset(parameters))
    except Untranslatable as error:
        why = str(error)
    domain = domain_of(values.get("domain", (0, None)))
    if formula is not None and (why := _difference(is_distortion, source, name, formula, parameters, domain)):
        formula = None
    return Candidate(
        name=name,
        source=source,
        formula=None if is_distortion else formula,
        untranslatable=why,
        cdf=cdf_of(values.get("cdf", "mid")),
        laws=laws_of(values.get("distribution", ())),
        domain=domain,
        amplitude=amplitude_of(values.get("amplitude", 1)),
        parameters=parameters,
        assumptions=assumed,
        is_distortion=is_distortion,
        distortion=formula if is_distortion else None,
    )


def _difference(
    is_distortion: bool, source: str, name: str, formula: Formula, parameters: Mapping[str, Range], domain: Domain
) -> str | None:
    if is_distortion:
        return distortion_difference(source, name, formula, parameters)
    return difference(source, name, formula, parameters, domain)


def with_parameters(candidate: Candidate, values: Mapping[str, Range]) -> Candidate:
    """The candidate with other ranges of its parameters, read a second time in these.

    Args:
      candidate: the candidate.
      values: the ranges by name.

    Returns:
      The candidate with these ranges.

    Raises:
      CandidateError: for a parameter that it does not have, or a range in which its file's assumptions do not hold.
    """
    for name, known in values.items():
        require_assumptions(name, candidate.assumptions.get(name, {}), known)
    changed = candidate.with_parameters(values)
    formula = changed.distortion if changed.is_distortion else changed.formula
    if formula is None or not changed.is_file:
        return changed
    source, name, domain = changed.source, changed.name, changed.domain
    why = _difference(changed.is_distortion, source, name, formula, changed.parameters, domain)
    return changed if why is None else dataclasses.replace(changed, formula=None, distortion=None, untranslatable=why)


def _refuse_unknown_symbols(
    expression: Any, line: int, parameters: Mapping[str, Range], arguments: Collection[sympy.Symbol]
) -> None:
    for symbol in sorted(expression.free_symbols, key=str):
        if symbol in arguments:
            continue
        if share in arguments:
            if symbol.name not in parameters:
                text = f"the symbol {symbol.name} is neither the argument u nor a parameter; name it in parameters"
                raise CandidateError(text, line)
            continue
        if symbol.name == "tau":
            raise CandidateError("a tau of your own; write: from theory import tau", line)
        if symbol.name not in parameters:
            hint = "F is an argument of step_size(tau, F)" if symbol.name == "F" else "name it in parameters"
            raise CandidateError(f"the symbol {symbol.name} is neither tau nor a parameter; {hint}", line)


def _assumptions(
    symbols: Collection[sympy.Symbol], line: int, parameters: Mapping[str, Range]
) -> dict[str, dict[str, bool]]:
    """What the file assumes of its parameters, also of those that are simplified away."""
    of_parameters = [symbol for symbol in sorted(symbols, key=str) if symbol.name in parameters]
    assumed = assumptions_of(of_parameters)
    try:
        for symbol in of_parameters:  # each by itself, since namesakes may be declared to be of different kinds
            require_assumptions(symbol.name, assumptions_of([symbol])[symbol.name], parameters[symbol.name])
    except CandidateError as error:
        raise CandidateError(str(error), line) from error
    return assumed

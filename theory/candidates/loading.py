"""Loading a candidate: from a file, from a text, or from the library's own rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import sympy

from jasgd.inputs.text_files import read_text
from theory.candidates.assumptions import assumptions_of, require_assumptions, symbols_made
from theory.candidates.branches import branches, joined
from theory.candidates.candidate import Candidate, CandidateError, check_support
from theory.candidates.declarations import amplitude_of, cdf_of, domain_of, laws_of, parameters_of, refuse_misspelt
from theory.candidates.divisors import own_numbers, require_kept, roots, unsettled
from theory.candidates.file import distortion_of, expression_of, quietly, run
from theory.candidates.library_rules import rule_candidate
from theory.candidates.second_reading import difference, distortion_difference
from theory.formulas.formula import TAU, UNDEFINED, Domain, Formula, number
from theory.formulas.from_sympy import Untranslatable, distribution, share, tau, translated
from theory.numbers.ranges import Range

_MOST_HOLES = 16  # divisions by 0 that a formula is told of


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


def _read(source: str, name: str, values_given: Mapping[str, Range] | None = None) -> Candidate:
    """Reads a candidate, for other ranges of its parameters where some are given; its errors do not name the file."""
    divisors: list[Any] = []
    runs = 0

    def once() -> _Run:
        nonlocal runs
        runs += 1
        dividing = divisors.append
        is_first = runs == 1 and values_given is None
        values = (
            run(source, name, dividing=dividing) if is_first else quietly(lambda: run(source, name, dividing=dividing))
        )
        refuse_misspelt(source)
        parameters = {**parameters_of(values.get("parameters", {})), **(values_given or {})}
        read = distortion_of if "distortion" in values else expression_of
        return _Run(values, parameters, *read(values, name, source, parameters))

    with symbols_made() as made:
        found = branches(once)
    errors = [one.result for one in found if isinstance(one.result, CandidateError)]
    if len(errors) == len(found):
        raise errors[0]
    values, parameters, _, line = next(one.result for one in found if isinstance(one.result, _Run))
    expression = joined(found, lambda one: one.expression)
    is_distortion = "distortion" in values
    arguments = {share} if is_distortion else {tau, distribution}
    _refuse_unknown_symbols(expression, line, parameters, arguments)
    # Those that came from elsewhere, such as a module of the user's, are in the expression or have a name in the file.
    symbols = {*made, *expression.free_symbols, *(v for v in values.values() if isinstance(v, sympy.Symbol))}
    assumed = _assumptions(symbols - arguments, line, parameters)
    domain = domain_of(values.get("domain", (0, None)))
    dividing = [one for one in divisors if isinstance(one, sympy.Expr) and one.free_symbols]
    formula, why = None, None
    try:
        formula = translated(expression, frozenset(parameters))
        if is_distortion:
            require_kept(dividing, expression, parameters)
            _read_distortion_again(source, name, formula, parameters)
        else:
            if (divisor := unsettled(dividing, expression, parameters, domain)) is not None:
                raise Untranslatable(f"it divides by {divisor}, which may be 0, and which SymPy has cancelled")
            formula = _read_again(source, name, formula, parameters, domain, dividing)
    except Untranslatable as error:
        formula, why = None, str(error)
    except RecursionError:
        formula, why = None, "it is nested too deeply"
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


class _Run(NamedTuple):
    """What a run of a file gives: its names, its parameters, and the expression with its line."""

    values: dict[str, Any]
    parameters: dict[str, Range]
    expression: Any
    line: int


def _read_again(
    source: str, name: str, formula: Formula, parameters: Mapping[str, Range], domain: Domain, divisors: Collection[Any]
) -> Formula:
    """The formula, undefined where SymPy has cancelled a division by 0; Untranslatable for any other difference."""
    zeros, are_all = roots(divisors)
    places = [*zeros, *own_numbers(source, domain)]
    for _ in range(_MOST_HOLES):
        found = difference(source, name, formula, parameters, domain, places)
        if found is None:
            return formula
        if not (found.is_hole and are_all and found.tau in zeros):
            raise Untranslatable(found.text)
        formula = ("where", ("equal", TAU, number(found.tau)), UNDEFINED, formula)
    raise Untranslatable("it divides by 0 at many staleness values")


def _read_distortion_again(source: str, name: str, formula: Formula, parameters: Mapping[str, Range]) -> None:
    if (why := distortion_difference(source, name, formula, parameters)) is not None:
        raise Untranslatable(why)


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
    if not changed.is_file:
        return changed
    # What a file divides by may be 0 in these ranges, and not in its own.
    try:
        read = _read(changed.source, changed.name, changed.parameters)
    except CandidateError as error:
        raise error.within(changed.name) from error
    return dataclasses.replace(
        changed, formula=read.formula, distortion=read.distortion, untranslatable=read.untranslatable
    )


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

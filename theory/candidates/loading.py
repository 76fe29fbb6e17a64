"""Loading a candidate: from a file, from a text, or from the library's own rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jasgd.text_files import read_text
from theory.candidates.candidate import Candidate, CandidateError, check_support
from theory.candidates.declarations import amplitude_of, cdf_of, domain_of, laws_of, parameters_of
from theory.candidates.file import expression_of, run
from theory.candidates.library_rules import rule_candidate
from theory.formulas.from_sympy import Untranslatable, distribution, tau, translated
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
    values = run(source, name)
    parameters = parameters_of(values.get("parameters", {}))
    expression, line = expression_of(values, name, source, parameters)
    _refuse_unknown_symbols(expression, line, parameters)
    formula, why = None, None
    try:
        formula = translated(expression, frozenset(parameters))
    except Untranslatable as error:
        why = str(error)
    return Candidate(
        name=name,
        source=source,
        formula=formula,
        untranslatable=why,
        cdf=cdf_of(values.get("cdf", "mid")),
        laws=laws_of(values.get("distribution", ())),
        domain=domain_of(values.get("domain", (0, None))),
        amplitude=amplitude_of(values.get("amplitude", 1)),
        parameters=parameters,
    )


def _refuse_unknown_symbols(expression: Any, line: int, parameters: Mapping[str, Range]) -> None:
    for symbol in sorted(expression.free_symbols, key=str):
        if symbol in (tau, distribution):
            continue
        if symbol.name == "tau":
            raise CandidateError("a tau of your own; write: from theory import tau", line)
        if symbol.name not in parameters:
            hint = "F is an argument of step_size(tau, F)" if symbol.name == "F" else "name it in parameters"
            raise CandidateError(f"the symbol {symbol.name} is neither tau nor a parameter; {hint}", line)
        known = parameters[symbol.name]
        for assumed in ("positive", "nonnegative", "negative", "nonpositive"):
            if getattr(symbol, f"is_{assumed}") and not getattr(known, f"is_{assumed}")():
                raise CandidateError(f"{symbol.name} is declared {assumed}, but its range is not", line)
        if symbol.is_nonzero and not known.is_zero_free():
            raise CandidateError(f"{symbol.name} is declared nonzero, but its range is not", line)
        if any(getattr(symbol, f"is_{assumed}") is not None for assumed in ("integer", "rational", "algebraic")):
            raise CandidateError(f"{symbol.name} is declared to be whole, its range is not", line)

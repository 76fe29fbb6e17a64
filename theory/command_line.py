"""The options that give parameters of a candidate, which commands have in common."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from theory.candidates.candidate import Candidate
    from theory.laws import Law


def add_parameter_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--set`` and ``--parameters``, which :func:`with_parameters` reads."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="value of a parameter of the candidate, or its range LOW,HIGH; repeatable",
    )
    parser.add_argument("--parameters", metavar="FILE", help="JSON file with values or ranges of parameters")


def with_parameters(candidate: Candidate, options: argparse.Namespace) -> Candidate:
    """The candidate with the parameters of ``--parameters`` and ``--set``."""
    # Imported here: theory.check has these options, and needs no SymPy where it reads no candidate.
    from theory.candidates import loading
    from theory.candidates.candidate import CandidateError
    from theory.candidates.declarations import parameter_range, read_parameters

    if options.parameters:
        candidate = loading.with_parameters(candidate, read_parameters(options.parameters))
    for assignment in options.set:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise CandidateError(f"--set is written NAME=VALUE, got {assignment!r}")
        candidate = loading.with_parameters(candidate, {name.strip(): parameter_range(name.strip(), value)})
    return candidate


def candidate_and_laws(options: argparse.Namespace, limit_s: float) -> tuple[Candidate, list[Law]]:
    """The candidate of a command line and the laws of its ``--distribution``, read within a time limit."""
    from theory.candidates.candidate import CandidateError
    from theory.candidates.loading import load
    from theory.decisions.time_limit import OutOfTime, limited
    from theory.laws.parsing import parse_law

    try:
        with limited(limit_s):
            candidate = with_parameters(load(options.candidate), options)
            return candidate, [parse_law(spec) for spec in options.distribution]
    except OutOfTime:
        raise CandidateError(f"{options.candidate}: not read within {limit_s:g} s") from None

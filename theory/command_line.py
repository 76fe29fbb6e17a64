"""What the commands have in common: exit codes, and the options that give parameters of a candidate."""

from __future__ import annotations

import argparse

from theory.candidates.candidate import Candidate, CandidateError
from theory.candidates.declarations import parameter_range, read_parameters
from theory.decisions.verdict import Verdict

#: The exit code of each verdict.
EXIT = {Verdict.PROVED: 0, Verdict.REFUTED: 1, Verdict.UNKNOWN: 2}
BAD_INPUT = 3


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
    if options.parameters:
        candidate = candidate.with_parameters(read_parameters(options.parameters))
    for assignment in options.set:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise CandidateError(f"--set is written NAME=VALUE, got {assignment!r}")
        candidate = candidate.with_parameters({name.strip(): parameter_range(name.strip(), value)})
    return candidate

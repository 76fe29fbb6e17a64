"""The options that give parameters of a candidate, which commands have in common."""

from __future__ import annotations

import argparse

from theory.candidates import loading
from theory.candidates.candidate import Candidate, CandidateError
from theory.candidates.declarations import parameter_range, read_parameters


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
        candidate = loading.with_parameters(candidate, read_parameters(options.parameters))
    for assignment in options.set:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise CandidateError(f"--set is written NAME=VALUE, got {assignment!r}")
        candidate = loading.with_parameters(candidate, {name.strip(): parameter_range(name.strip(), value)})
    return candidate

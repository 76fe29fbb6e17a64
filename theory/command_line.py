"""What the commands have in common: exit codes, and parameters given as options."""

from __future__ import annotations

import argparse

from theory.candidates.candidate import Candidate, CandidateError
from theory.candidates.declarations import parameter_range, read_parameters
from theory.decisions.verdict import Verdict

EXIT = {Verdict.PROVED: 0, Verdict.REFUTED: 1, Verdict.UNKNOWN: 2}
BAD_INPUT = 3


def with_told_parameters(candidate: Candidate, told: argparse.Namespace) -> Candidate:
    """The candidate with the parameters of ``--parameters`` and ``--set``."""
    if told.parameters:
        candidate = candidate.with_parameters(read_parameters(told.parameters))
    for assignment in told.set:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise CandidateError(f"--set is written NAME=VALUE, got {assignment!r}")
        candidate = candidate.with_parameters({name.strip(): parameter_range(name.strip(), value)})
    return candidate

"""The options that give parameters of a candidate, which commands have in common."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from theory.candidates.candidate import Candidate
    from theory.laws import Law
    from theory.numbers.ranges import Range


def add_parameter_options(parser: argparse.ArgumentParser) -> None:
    """Adds ``--set`` and ``--parameters``, which :func:`with_parameters` reads."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="value of a parameter of the candidate, or its range: LOW,HIGH, or '(LOW,HIGH]' with its ends; repeatable",
    )
    parser.add_argument("--parameters", metavar="FILE", help="JSON file with values or ranges of parameters")


def with_parameters(candidate: Candidate, options: argparse.Namespace, *, of_others: Collection[str] = ()) -> Candidate:
    """The candidate with the parameters of ``--parameters`` and ``--set``.

    Args:
      candidate: the candidate.
      options: of the command line.
      of_others: parameters that other candidates of the same command have; where this one has them not, they are
        meant for those.

    Returns:
      The candidate.

    Raises:
      CandidateError: for what cannot be read, and for a parameter that no candidate has.
    """
    # Imported here: theory.check has these options, and needs no SymPy where it reads no candidate.
    from theory.candidates import loading
    from theory.candidates.candidate import CandidateError
    from theory.candidates.declarations import parameter_range, read_parameters

    given: list[dict[str, Range]] = []
    if options.parameters:
        given.append(read_parameters(options.parameters))
    for assignment in options.set:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise CandidateError(f"--set is written NAME=VALUE, got {assignment!r}")
        given.append({name.strip(): parameter_range(name.strip(), value)})
    for values in given:
        own = {name: known for name, known in values.items() if name in candidate.parameters or name not in of_others}
        candidate = loading.with_parameters(candidate, own) if own else candidate
    return candidate


def candidates_and_laws(
    specs: Sequence[str], options: argparse.Namespace, limit_s: float
) -> tuple[list[Candidate], list[Law]]:
    """The candidates of a command line and the laws of its ``--distribution``, each read within a time limit.

    Args:
      specs: files, or rules of the library.
      options: of the command line.
      limit_s: seconds for each.

    Returns:
      The candidates with their parameters, and the laws.

    Raises:
      CandidateError: for what cannot be read.
    """
    from theory.candidates.candidate import CandidateError
    from theory.candidates.loading import load
    from theory.decisions.time_limit import OutOfTime, limited
    from theory.laws.parsing import parse_law

    what = ""
    try:
        loaded = []
        for what in specs:
            with limited(limit_s):
                loaded.append(load(what))
        known = {name for candidate in loaded for name in candidate.parameters}
        candidates = []
        for candidate in loaded:
            what = candidate.name
            with limited(limit_s):
                candidates.append(with_parameters(candidate, options, of_others=known))
        what = "--distribution"
        with limited(limit_s):
            return candidates, [parse_law(spec) for spec in options.distribution]
    except OutOfTime:
        raise CandidateError(f"{what}: not read within {limit_s:g} s") from None


def require_writable(option: str, path: str) -> None:
    """Raises OSError where no file can be written, before the work that would be lost.

    Args:
      option: that names the file, for the message.
      path: of the file.

    Raises:
      OSError: where it is a folder, or lies in none, or may not be written.
    """
    target = Path(path)
    folder = target.parent
    if target.is_dir() or not folder.is_dir() or not os.access(target if target.exists() else folder, os.W_OK):
        raise OSError(f"{option} {path}: cannot be written there")

"""``python -m theory.check certificate.json my_fn.py``: verifies a certificate, and that it is about this file.

Every claim is verified from its witness, without SymPy and without the prover: the argument that it names is applied
at the start that it names, what lies before is looked at one by one, and enclosures have to hold what is computed
again. With a file, it is read again, and what the certificate is about has to be what it says. Without one the formula
is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from theory.certificates.checker import LIMIT_S, Checked, check
from theory.certificates.distortions.questions import text_of_distortion
from theory.certificates.questions import text_of
from theory.certificates.reading import read
from theory.certificates.rejection import Rejected
from theory.command_line import add_parameter_options, candidates_and_laws
from theory.decisions.time_limit import OutOfTime, limited
from theory.distortions.question import DistortionQuestion
from theory.exit_codes import BAD_INPUT, guarded

READING_S = 20.0  # for reading a candidate


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    command = argparse.ArgumentParser(
        prog="python -m theory.check",
        description="Verifies a certificate of theory.verify, and that it is about a file.",
        epilog="A candidate file is Python and is run, as importing it would run it. Exit codes: 0 every claim "
        "holds, 1 one does not, or there is none, 3 bad input, 4 a failure of the checker.",
    )
    command.add_argument("certificate", metavar="certificate.json", help="certificate to verify")
    command.add_argument(
        "candidate",
        nargs="?",
        help="file that the certificate has to be about, or jasgd.rules:NAME; without it the formula is printed",
    )
    command.add_argument(
        "--distribution",
        action="append",
        default=[],
        metavar="SPEC",
        help="law of the staleness, as given to theory.verify; repeatable",
    )
    add_parameter_options(command)
    command.add_argument(
        "--independent",
        action="store_true",
        help="ask the second checker instead, which shares nothing with the prover: how many claims it confirms, does "
        "not follow, or contradicts; exit code 1 where it contradicts one",
    )
    command.add_argument(
        "--limit-s",
        type=float,
        default=LIMIT_S,
        metavar="S",
        help="seconds for each claim, after which it is rejected (default %(default)s)",
    )
    return command


@guarded
def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; 0 where the certificate holds, 1 where it does not, 3 where it cannot be read."""
    try:
        options = parser().parse_args(arguments)
    except SystemExit as error:
        return BAD_INPUT if error.code else 0
    path = options.certificate
    try:
        if not options.limit_s > 0:
            raise ValueError(f"--limit-s must be > 0, got {options.limit_s:g}")
        data = read(path)
    except (OSError, ValueError, MemoryError) as error:
        print(f"{path}: cannot be read: {error}", file=sys.stderr)
        return BAD_INPUT
    if options.independent:
        if options.candidate is not None:
            print(f"candidate {options.candidate}: --independent takes the certificate alone", file=sys.stderr)
            return BAD_INPUT
        return _independent(path, data, options.limit_s)
    try:
        checked = check(data, limit_s=options.limit_s)
        _print(checked)
        if options.candidate is None:
            about = "; which file says so was not asked: python -m theory.check certificate.json my_fn.py"
        else:
            _require_about(checked, options)
            about = f", all about what {options.candidate} says"
    except Rejected as error:
        print(f"{path}: REJECTED: {error}")
        return 1
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    print(f"{path}: {len(checked)} claims verified{about}")
    return 0


def _independent(path: str, data: Any, limit_s: float) -> int:
    from theory.certificates.independent import report

    try:
        text, contradicted = report(data, lambda: _in_time(limit_s))
    except (ValueError, TypeError, LookupError) as error:
        print(f"{path}: cannot be read: {error}", file=sys.stderr)
        return BAD_INPUT
    print(f"{path}: {text}")
    return 1 if contradicted else 0


@contextlib.contextmanager
def _in_time(limit_s: float) -> Iterator[None]:
    try:
        with limited(limit_s):
            yield
    except OutOfTime:
        raise TimeoutError(f"not within {limit_s:g} s") from None


def _require_about(checked: Checked, options: argparse.Namespace) -> None:
    from theory.certificates.binding import require_same

    (candidate,), laws = candidates_and_laws([options.candidate], options, READING_S)
    require_same(checked, candidate, laws)


def _print(checked: Checked) -> None:
    for place, question in enumerate(checked.questions):
        verdicts = [f"{claim.condition} {claim.verdict}" for claim in checked.claims if claim.place == place]
        about = text_of_distortion(question) if isinstance(question, DistortionQuestion) else text_of(question)
        print(f"checked: {about}: {', '.join(verdicts)}")


if __name__ == "__main__":
    sys.exit(main())

"""``python -m theory.verify my_fn.py``: proves or refutes that a step-size function has the six conditions.

Several candidates are decided in turn. ``python -m theory.verify --execution RUN`` audits a recorded run instead.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import sys
from collections.abc import Callable
from typing import Any

from theory.candidates.candidate import Candidate, CandidateError
from theory.certificates.certificate import certificate, confirmed, save
from theory.command_line import add_parameter_options, candidates_and_laws, require_writable
from theory.decisions.decision import Report, decide
from theory.decisions.verdict import Verdict, worst
from theory.exit_codes import BAD_INPUT, EXIT, guarded, leave
from theory.laws import Law

#: Options of an audit: numbers of the problem. Smoothness, noise and gap are estimated where they are not given.
AUDITED = {
    "learning-rate": "learning rate η of plain SGD; by default that of the run",
    "L": "smoothness L of the objective, in [f]/[x]²; by default estimated from the run",
    "sigma": "standard deviation σ of a gradient's noise, in [f]/[x]; by default estimated from the run",
    "delta": "initial gap Δ = f(x₀) − inf f, in [f]; by default estimated from the run and --infimum",
    "infimum": "least value inf f of the objective, in [f]; by default 0 is assumed, and the audit says so",
    "distance": "initial distance D = |x₀ − x*|, in [x]; bounds that need it are left out without it",
    "mu": "Polyak-Łojasiewicz constant μ, in [f]/[x]²; bounds that need it are left out without it",
}
READING_S = 20.0  # for reading a candidate, however little time each condition may take


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    command = argparse.ArgumentParser(
        prog="python -m theory.verify",
        description="Proves or refutes that a step-size function C(τ) is defined, positive and decreasing, preserves "
        "the overall step size (E[C] = 1), stays within an amplitude, and has finite moments.",
        epilog="A candidate file is Python and is run, as importing it would run it; nothing else is evaluated. "
        "Exit codes: 0 all proved, 1 something refuted, 2 something unknown, 3 bad input, 4 a failure of the "
        "checker; an audit's is 0 where nothing is refuted.",
    )
    command.add_argument(
        "candidate",
        nargs="*",
        help="Python file that defines C, step_size(tau) or distortion(u), or jasgd.rules:NAME[:key=value,...]; "
        "several may be given",
    )
    command.add_argument(
        "--distribution",
        action="append",
        default=[],
        metavar="SPEC",
        help="law of the staleness; repeatable; by default the laws that the file names, or else every law. Laws are "
        "poisson:LAMBDA, geometric:P, negative_binomial:R:P, cmp:LAMBDA:NU, uniform:LOW:HIGH, constant:K, counts:FILE, "
        "mixture:SHARE*LAW+SHARE*LAW",
    )
    add_parameter_options(command)
    command.add_argument(
        "--certificate",
        metavar="FILE",
        help="file to write a certificate to, which python -m theory.check verifies again",
    )
    command.add_argument("--json", action="store_true", help="print JSON in place of a table")
    command.add_argument("--table", action="store_true", help="print one table of all candidates, a line for each law")
    command.add_argument("--junit", metavar="FILE", help="file to write the verdicts to as JUnit XML, for CI")
    command.add_argument("--latex", action="store_true", help="print the formula as LaTeX, and decide nothing")
    command.add_argument(
        "--plot", metavar="FILE", help="picture to draw of C by staleness, and of E[C] by the number of workers"
    )
    command.add_argument(
        "--for-which",
        metavar="NAME",
        help="find for which values of this parameter, within its range, each condition holds",
    )
    command.add_argument(
        "--limit-s",
        type=float,
        default=20.0,
        metavar="S",
        help="seconds for each condition under each law, after which it is UNKNOWN (default %(default)s)",
    )
    recorded_run = command.add_argument_group("a recorded execution, in place of a candidate")
    recorded_run.add_argument(
        "--execution", metavar="RUN", help="folder of a recorded run, or its execution.npz, to audit"
    )
    recorded_run.add_argument("--data-dir", metavar="FOLDER", help="folder that has the run's data set now")
    for flag, meaning in AUDITED.items():
        recorded_run.add_argument(f"--{flag}", type=float, metavar="X", help=meaning)
    recorded_run.add_argument(
        "--versions",
        type=int,
        default=1000,
        metavar="N",
        help="most versions of the parameters at which what theorems bound is measured (default %(default)s)",
    )
    return command


@guarded
def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Args:
      arguments: those of the command; of the process where None.

    Returns:
      0 where all is proved, 1 where something is refuted, 2 where something is unknown, 3 for bad input, 4
      where the checker itself fails; an audit gives 0 where nothing is refuted; what asks for no verdict gives 0.
    """
    try:
        options = parser().parse_args(arguments)
    except SystemExit as error:
        return BAD_INPUT if error.code else 0
    try:
        if bool(options.candidate) == (options.execution is not None):
            raise CandidateError("give either a candidate or --execution RUN, and not both")
        if options.execution is not None:
            return _audit(options)
        _check(options)
        # What a file prints is no part of what is printed for other programs.
        with contextlib.redirect_stdout(sys.stderr if options.json or options.latex else sys.stdout):
            candidates, laws = candidates_and_laws(options.candidate, options, max(options.limit_s, READING_S))
        if options.latex:
            return _print_latex(candidates)
        if options.for_which is not None:
            return _print_values(candidates, laws, options)
        draw = _drawing(candidates, options.plot)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    try:
        reports = [
            confirmed(decide(candidate, laws, limit_s=options.limit_s), limit_s=options.limit_s)
            for candidate in candidates
        ]
        if options.certificate:
            _write_certificate(reports[0], options.certificate)
        if options.junit:
            from theory.reports.junit import save_junit

            save_junit(reports, options.junit)
        if draw is not None:
            draw(candidates, laws, options.plot, limit_s=options.limit_s)
    except (CandidateError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    _print_reports(reports, options)
    return EXIT[worst(report.verdict for report in reports)]


def _check(options: argparse.Namespace) -> None:
    """Refuses options that do not go together, and files that cannot be written, before any work."""
    if not options.limit_s > 0:
        raise CandidateError(f"--limit-s must be > 0, got {options.limit_s:g}")
    if options.certificate and len(options.candidate) > 1:
        raise CandidateError(f"--certificate is of one candidate, got {len(options.candidate)}")
    written = {name: getattr(options, name) for name in ("certificate", "junit", "plot")}
    for other in ("latex", "for_which"):
        given = [name for name, path in written.items() if path]
        if getattr(options, other) and given:
            raise CandidateError(f"--{given[0]} needs verdicts, which --{other.replace('_', '-')} does not make")
    if options.latex and options.for_which:
        raise CandidateError("--latex and --for-which do not go together")
    for name, path in written.items():
        if path:
            require_writable(f"--{name}", path)


def _drawing(candidates: list[Candidate], path: str | None) -> Callable[..., None] | None:
    """What draws the picture, once it is known that it can be drawn."""
    if path is None:
        return None
    from theory.reports.picture import require_drawable, save_picture  # Matplotlib, which nothing else needs

    require_drawable(candidates, path)
    return save_picture


def _print_reports(reports: list[Report], options: argparse.Namespace) -> None:
    # Imported here: what prints for people needs rich, which takes a tenth of a second.
    if options.json:
        from theory.reports.data import as_json

        shown = [as_json(report) for report in reports]
        _print_json(shown if len(shown) > 1 else shown[0])
    elif options.table:
        from theory.reports.side_by_side import print_side_by_side

        print_side_by_side(reports)
    else:
        from theory.reports.terminal import print_report

        for report in reports:
            print_report(report)


def _print_latex(candidates: list[Candidate]) -> int:
    from theory.formulas.latex import latex

    for candidate in candidates:
        formula = candidate.distortion if candidate.is_distortion else candidate.formula
        if formula is None:
            raise CandidateError(f"{candidate.name}: no formula: {candidate.untranslatable}")
        of = "g(u)" if candidate.is_distortion else r"C(\tau)"
        print(f"{of} = {latex(formula)}")
    return EXIT[Verdict.PROVED]


def _print_values(candidates: list[Candidate], laws: list[Law], options: argparse.Namespace) -> int:
    from theory.decisions.values_of_a_parameter import values_for_which
    from theory.reports.data import values_as_json
    from theory.reports.terminal import print_values

    values_of = functools.partial(
        values_for_which,
        limit_s=options.limit_s,
        second_look=functools.partial(confirmed, limit_s=options.limit_s),
    )
    found = {candidate.name: values_of(candidate, options.for_which, laws) for candidate in candidates}
    if options.json:
        shown = [{"candidate": name, "values": values_as_json(values)} for name, values in found.items()]
        _print_json(shown if len(shown) > 1 else shown[0])
        return EXIT[Verdict.PROVED]
    for name, values in found.items():
        print_values(name, options.for_which, values)
    return EXIT[Verdict.PROVED]


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=1, ensure_ascii=False))


def _write_certificate(report: Report, path: str) -> None:
    data = certificate(report)
    save(data, path)
    if not data["claims"]:
        print(f"nothing was decided, so {path} claims nothing, and python -m theory.check refuses it", file=sys.stderr)


def _audit(options: argparse.Namespace) -> int:
    from pathlib import Path

    from theory.auditing import recorded_run
    from theory.auditing.auditor import audit_recorded
    from theory.auditing.problem_numbers import Numbers, allowed

    given = {flag: allowed(f"--{flag}", getattr(options, flag.replace("-", "_"))) for flag in AUDITED}
    run = recorded_run.load(options.execution, data_dir=None if options.data_dir is None else Path(options.data_dir))
    rate = run.learning_rate if given["learning-rate"] is None else given["learning-rate"]
    numbers = Numbers(
        rate, given["L"], given["sigma"], given["delta"], given["distance"], given["mu"], given["infimum"]
    )
    findings = audit_recorded(run, numbers, versions=options.versions)
    if options.json:
        _print_json(findings.record())
    else:
        print(findings.text())
    return EXIT[Verdict.REFUTED] if findings.verdict is Verdict.REFUTED else EXIT[Verdict.PROVED]


if __name__ == "__main__":
    leave(main())

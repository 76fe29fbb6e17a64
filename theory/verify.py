"""``python -m theory.verify my_fn.py``: proves or refutes that a step-size function has the six conditions.

``python -m theory.verify --execution RUN`` audits a run that was recorded instead.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from theory.candidates.candidate import CandidateError
from theory.certificates.certificate import certificate, confirmed, require_writable, save
from theory.command_line import add_parameter_options, candidate_and_laws
from theory.decisions.decision import Decision, Report, decide
from theory.decisions.verdict import Verdict
from theory.exit_codes import BAD_INPUT, EXIT, guarded
from theory.formulas.writing import text
from theory.numbers.decimals import ends, shown

#: Options of an audit: numbers of the problem. Smoothness, noise and gap are estimated where they are not given.
AUDITED = {
    "learning-rate": "learning rate η of plain SGD; by default that of the run",
    "L": "smoothness L of the objective, in [f]/[x]²; by default estimated from the run",
    "sigma": "standard deviation σ of a gradient's noise, in [f]/[x]; by default estimated from the run",
    "delta": "initial gap Δ = f(x₀) − inf f, in [f]; by default estimated from the run",
    "distance": "initial distance D = |x₀ − x*|, in [x]; bounds that need it are left out without it",
    "mu": "Polyak-Łojasiewicz constant μ, in [f]/[x]²; bounds that need it are left out without it",
}
READING_S = 20.0  # for reading a candidate, however little time each condition may take
_COLOURS = {Verdict.PROVED: "green", Verdict.REFUTED: "red", Verdict.UNKNOWN: "yellow"}


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
        "candidate", nargs="?", help="Python file that defines C or step_size(tau), or jasgd.rules:NAME[:key=value,...]"
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
    return command


@guarded
def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Args:
      arguments: those of the command; of the process where None.

    Returns:
      0 where all is proved, 1 where something is refuted, 2 where something is unknown, 3 for bad input, 4
      where the checker itself fails; an audit gives 0 where nothing is refuted.
    """
    try:
        options = parser().parse_args(arguments)
    except SystemExit as error:
        return BAD_INPUT if error.code else 0
    try:
        if (options.candidate is None) == (options.execution is None):
            raise CandidateError("give a candidate, or --execution RUN")
        if options.execution is not None:
            return _audit(options)
        if not options.limit_s > 0:
            raise CandidateError(f"--limit-s must be > 0, got {options.limit_s:g}")
        if options.certificate:
            require_writable(options.certificate)
        report = confirmed(_decided(options), limit_s=options.limit_s)
        if options.certificate:
            _write_certificate(report, options.certificate)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    if options.json:
        print(json.dumps(as_json(report), indent=1, ensure_ascii=False))
    else:
        _print(report)
    return EXIT[report.verdict]


def _write_certificate(report: Report, path: str) -> None:
    data = certificate(report)
    save(data, path)
    if not data["claims"]:
        print(f"nothing was decided, so {path} claims nothing, and python -m theory.check refuses it", file=sys.stderr)


def _decided(options: argparse.Namespace) -> Report:
    """The report on the candidate of a command line; reading it has a time limit as each condition has."""
    candidate, laws = candidate_and_laws(options, max(options.limit_s, READING_S))
    return decide(candidate, laws, limit_s=options.limit_s)


def _audit(options: argparse.Namespace) -> int:
    from pathlib import Path

    from theory.auditing import recorded_run
    from theory.auditing.auditor import audit_recorded
    from theory.auditing.theorems_on_record import Numbers

    run = recorded_run.load(options.execution, data_dir=None if options.data_dir is None else Path(options.data_dir))
    rate = run.learning_rate if options.learning_rate is None else options.learning_rate
    for flag in AUDITED:
        value = getattr(options, flag.replace("-", "_"))
        if value is not None and not (value > 0 or (flag == "sigma" and value == 0)):
            raise CandidateError(f"--{flag} must be > 0, got {value:g}")
    findings = audit_recorded(run, Numbers(rate, options.L, options.sigma, options.delta, options.distance, options.mu))
    print(json.dumps(findings.record(), indent=1, ensure_ascii=False) if options.json else findings.text())
    return EXIT[Verdict.REFUTED] if findings.verdict is Verdict.REFUTED else EXIT[Verdict.PROVED]


def as_json(report: Report) -> dict[str, Any]:
    """The report as data; its keys are the names of the conditions."""
    repairs = [
        {
            "law": "every law" if repair.law is None else str(repair.law),
            "divide_by": "E[C]" if repair.mean is None else ends(repair.mean),
            "conditions": {decision.condition: _decision_json(decision) for decision in repair.decisions},
        }
        for repair in report.repairs
    ]
    return {
        "candidate": report.candidate.name,
        "formula": None if report.candidate.formula is None else text(report.candidate.formula),
        "cdf": report.candidate.cdf,
        "verdict": report.verdict.value,
        "conditions": {decision.condition: _decision_json(decision) for decision in report.decisions},
        "repairs": repairs,
    }


def _decision_json(decision: Decision) -> dict[str, Any]:
    laws = [
        {
            "law": "every law" if law is None else str(law),
            "verdict": finding.verdict.value,
            "because": finding.because,
            "evidence": finding.evidence,
        }
        for law, finding in decision.findings
    ]
    return {"verdict": decision.verdict.value, "evidence": decision.because, "laws": laws}


def _print(report: Report) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    formula = report.candidate.formula
    console.print(
        f"[bold]{escape(report.candidate.name)}[/]: C(τ) = {escape('?' if formula is None else text(formula))}"
    )
    if formula is not None and "F" in text(formula):
        console.print(f"F is the {report.candidate.cdf} distribution function of the staleness.")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("condition", "law", "verdict", "because"):
        table.add_column(column, overflow="fold")
    for decision in report.decisions:
        _add_rows(table, decision.condition, decision)
    console.print(table)
    for repair in report.repairs:
        where = "under every law" if repair.law is None else f"under {repair.law}"
        console.print(
            f"Repair {where}: divide C by E[C]{'' if repair.mean is None else ' ' + shown(repair.mean)}. Then:"
        )
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=False)
        for decision in repair.decisions:
            _add_rows(table, decision.condition, decision)
        console.print(table)


def _add_rows(table: Any, condition: str, decision: Decision) -> None:
    from rich.markup import escape

    for place, (law, finding) in enumerate(decision.findings):
        verdict = f"[{_COLOURS[finding.verdict]}]{finding.verdict.value}[/]"
        table.add_row(
            "" if place else condition, "every law" if law is None else str(law), verdict, escape(finding.because)
        )


if __name__ == "__main__":
    sys.exit(main())

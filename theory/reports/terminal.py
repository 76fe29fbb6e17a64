"""Reports printed for people."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from theory.decisions.decision import Decision, Report
from theory.decisions.values_of_a_parameter import Values
from theory.decisions.verdict import Verdict
from theory.formulas.writing import text
from theory.numbers.decimals import shown

COLOURS = {Verdict.PROVED: "green", Verdict.REFUTED: "red", Verdict.UNKNOWN: "yellow"}


def print_report(report: Report) -> None:
    """Prints the verdicts on a candidate, and those on its repair."""
    console = Console()
    formula, distortion = report.candidate.formula, report.candidate.distortion
    of, shown_formula = ("g(u)", distortion) if report.candidate.is_distortion else ("C(τ)", formula)
    written = "?" if shown_formula is None else text(shown_formula)
    console.print(f"[bold]{escape(report.candidate.name)}[/]: {of} = {escape(written)}")
    if report.candidate.is_distortion:
        console.print("C(τ) = (g(F(τ)) - g(F(τ⁻)))/p(τ) where the law has mass; F(τ) = P[T ≤ τ], F(τ⁻) = P[T < τ].")
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
    for place, (law, finding) in enumerate(decision.findings):
        verdict = f"[{COLOURS[finding.verdict]}]{finding.verdict.value}[/]"
        table.add_row(
            "" if place else condition, "every law" if law is None else str(law), verdict, escape(finding.because)
        )


def print_values(candidate: str, name: str, found: tuple[Values, ...]) -> None:
    """Prints for which values of a parameter each condition holds."""
    Console().print(f"[bold]{escape(candidate)}[/]: for which {escape(name)} does it hold?")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("condition", "law", "values"):
        table.add_column(column, overflow="fold")
    for one in found:
        table.add_row(one.condition, "every law" if one.law is None else str(one.law), escape(one.sentence))
    Console().print(table)

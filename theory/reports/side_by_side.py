"""Several candidates in one table: a line for each candidate and law, a column for each condition."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from theory.decisions.conditions import CONDITIONS
from theory.decisions.decision import Report
from theory.decisions.verdict import Verdict
from theory.reports.terminal import COLOURS

_SIGNS = {Verdict.PROVED: "✓", Verdict.REFUTED: "✗", Verdict.UNKNOWN: "?"}


def print_side_by_side(reports: Sequence[Report]) -> None:
    """Prints the verdicts on several candidates in one table.

    Args:
      reports: one for each candidate; each may have laws of its own.
    """
    # So narrow that the names of the conditions stay whole in 80 columns; those of files and laws are folded.
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    table.add_column("candidate", overflow="fold", min_width=len("candidate"))
    table.add_column("law", overflow="fold", min_width=len("every law"))
    for condition in CONDITIONS:
        table.add_column(condition, justify="center", no_wrap=True, min_width=len(condition))
    for report in reports:
        for place, law in enumerate(report.laws):
            verdicts = [decision.findings[place][1].verdict for decision in report.decisions]
            table.add_row(
                "" if place else escape(report.candidate.name),
                "every law" if law is None else str(law),
                *(f"[{COLOURS[verdict]}]{_SIGNS[verdict]}[/]" for verdict in verdicts),
            )
    Console().print(table, "✓ proved, ✗ refuted, ? unknown")

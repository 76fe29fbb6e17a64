"""The tables of docs/study.md in Markdown, one function each, from the judged cells."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from benchmarks.study import design
from benchmarks.study.reporting import claims
from benchmarks.study.reporting.statistics import (
    Comparison,
    Judged,
    failed,
    log_best,
    log_final,
    log_updates,
    not_inferior,
    runs_at,
)
from benchmarks.study.runs.outcomes import Numbers

NAMES = {
    "tail": "TAIL",
    design.DISTANCE: "TAIL by distance",
    design.PARABOLA: "parabola",
    "inverse:normalized=true": "inverse, normalised",
}
IN_LOG = {"i": "updates", "iii": "best level"}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; a word in place of one without rows."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return (
        "\n".join(["| " + " | ".join(header) + " |", "|---" * len(header) + "|", *lines]) if lines else "Not run yet."
    )


def change(one: Comparison | None, *, share: bool = False) -> str:
    """A comparison as a change in percent with its interval; of shares, in points."""
    if one is None:
        return "–"
    scale = (lambda x: 100 * x) if share else (lambda x: 100 * math.expm1(x))
    unit = " points" if share else " %"
    ends = "" if math.isnan(one.low) else f" ({scale(one.low):+.1f} … {scale(one.high):+.1f})"
    return f"{scale(one.size):+.1f}{unit}{ends}"


def p_text(p: float) -> str:
    """A p-value of two digits."""
    return "–" if math.isnan(p) else f"{p:.2g}"


def of_claims(found: Mapping[tuple[str, str], claims.Verdict], claim: str, planned: Mapping[str, int]) -> str:
    """The verdicts on a claim, by problem; *so far* where not all cells that are planned for it are there."""
    rows = []
    for (problem, one), verdict in found.items():
        if one == claim:
            size = change(verdict.result, share=claim == "ii")
            control = change(verdict.control) if claim != "ii" else "(none at this rate)"
            p = p_text(verdict.result.corrected) if verdict.result else "–"
            cells = verdict.result.cells if verdict.result else 0
            text = f"**{verdict.text}**" + (" so far" if 0 < cells < planned[problem] else "")
            rows.append([problem, text, size, p, control, verdict.where, f"{cells} of {planned[problem]}"])
    header = ("problem", "verdict", "TAIL − constant", "p (Holm)", "TAIL − its control", "workers", "cells")
    return table(header, rows)


def by_workers(cells: Sequence[Judged], problems: Sequence[str], measure: str) -> str:
    """Each rule against the constant step by problem and number of workers, each at its own rate, over speeds."""
    measures = {"final": log_final, "updates": log_updates, "best": log_best}
    rows = []
    for problem in problems:
        for workers in design.WORKERS:
            found = [claims.over_workers(cells, problem, rule, workers, measures[measure]) for rule in design.RULES]
            if any(found):
                rows.append([problem, str(workers), *map(change, found)])
    return table(("problem", "workers", *map(name, design.RULES)), rows)


def of_rules(found: Mapping[tuple[str, str], Comparison | None], problems: Sequence[str]) -> str:
    """Rules against another arm, by problem, with Holm's p."""
    rows = []
    for rule in dict.fromkeys(rule for rule, _ in found):
        row = [name(rule)]
        for problem in problems:
            one = found[rule, problem]
            row.append("–" if one is None else f"{change(one)}, p {p_text(one.corrected)}")
        rows.append(row)
    return table(("rule", *problems), rows)


def finals(cells: Sequence[Judged]) -> str:
    """The median final loss of each arm in each cell, at its own learning rate, which stands behind it."""
    rows = []
    for of in cells:
        row = [of.cell.problem, of.cell.speeds, str(of.cell.workers)]
        for arm in design.ARMS:
            runs = of.runs[design.OWN].get(arm)
            edge = "!" if arm in of.at_edge else ""
            row.append(f"{_median(runs, 'final'):.3f} @ {of.rates[arm]:.3g}{edge}" if runs else "–")
        rows.append([*row, f"{of.target:.3f}"])
    return table(("problem", "speeds", "workers", *map(name, design.ARMS), "target"), rows)


def inferiority(cells: Sequence[Judged]) -> str:
    """Whether each rule is not inferior to constant, in each cell."""
    rows = []
    for of in cells:
        found = [not_inferior(of, rule) for rule in design.RULES]
        if any(found):
            words = ["–" if one is None else f"{one[0]} {change(one[1])}" for one in found]
            rows.append([of.cell.problem, of.cell.speeds, str(of.cell.workers), *words])
    return table(("problem", "speeds", "workers", *map(name, design.RULES)), rows)


def failures(cells: Sequence[Judged], problems: Sequence[str]) -> str:
    """The share of runs that failed, and of those that diverged, at twice the constant step's rate."""

    def said(runs: Sequence[tuple[Judged, Numbers]]) -> str:
        diverged = sum(math.isinf(run.final) for _, run in runs)
        return f"{sum(failed(of, run) for of, run in runs):.0f} ({diverged}) of {len(runs)}"

    return _by_workers(cells, problems, design.TWICE, said)


def first_failures(rates: Mapping[tuple[str, int], Mapping[str, list[tuple[float, bool]]]]) -> str:
    """The mean, over speeds, of the rates of :func:`benchmarks.study.reporting.statistics.first_failing_rate`."""
    rows = []
    for (problem, workers), of_arm in rates.items():
        row = [problem, str(workers)]
        for arm in design.ARMS:
            found = of_arm.get(arm, [])
            bound = "" if all(lost for _, lost in found) else "≥ "
            row.append(f"{bound}{statistics.fmean(octaves for octaves, _ in found):.1f}" if found else "–")
        rows.append(row)
    return table(("problem", "workers", *map(name, design.ARMS)), rows)


def same_rate(cells: Sequence[Judged]) -> str:
    """The median final loss of each arm at the constant step's best rate, and the rules' mean factors there."""
    rows = []
    for of in cells:
        row = [of.cell.problem, of.cell.speeds, str(of.cell.workers)]
        for arm in design.ARMS:
            runs = of.runs[design.SAME].get(arm)
            factor = "" if arm == design.BASELINE or not runs else f" (E[C] {_median(runs, 'mean_factor'):.2f})"
            row.append(f"{_median(runs, 'final'):.3f}{factor}" if runs else "–")
        if any(text != "–" for text in row[3:]):
            rows.append(row)
    return table(("problem", "speeds", "workers", *map(name, design.ARMS)), rows)


def ranges(widths: Mapping[tuple[str, int], Mapping[str, float]]) -> str:
    """The mean width of the range of learning rates, in octaves, by problem and workers."""
    rows = [
        [problem, str(workers), *(f"{of_arm[arm]:.1f}" if arm in of_arm else "–" for arm in design.ARMS)]
        for (problem, workers), of_arm in widths.items()
    ]
    return table(("problem", "workers", *map(name, design.ARMS)), rows)


def levels(cells: Sequence[Judged], problems: Sequence[str]) -> str:
    """Of the runs at their own rates, how many reached each share of the initial loss, and the median updates to it."""
    rows = []
    for problem in problems:
        for arm in design.ARMS:
            runs = [run for of in cells if of.cell.problem == problem for run in of.runs[design.OWN].get(arm, ())]
            if not runs:
                continue
            row = [problem, name(arm)]
            for index in range(len(design.LEVELS)):
                updates = sorted(run.levels[index] for run in runs)
                reached = sum(map(math.isfinite, updates))
                middle = updates[(len(updates) - 1) // 2]  # as censored ones are infinite, no mean of two
                row.append(f"{100 * reached / len(runs):.0f} %, {middle:.0f}" if reached else "0 %")
            rows.append(row)
    return table(("problem", "arm", *(f"to {share:.0%}" for share in design.LEVELS)), rows)


def times(cells: Sequence[Judged], level: int) -> str:
    """The median time to a level of the initial loss at own best rates, and how many runs reached it."""
    rows = []
    for of in cells:
        row = [of.cell.problem, of.cell.speeds, str(of.cell.workers)]
        for arm in design.ARMS:
            reached = sorted(run.times[level] for run in of.runs[design.OWN].get(arm, ()))
            middle = reached[(len(reached) - 1) // 2] if reached else math.inf
            count = sum(map(math.isfinite, reached))
            row.append(f"{middle:.3g} s ({count} of {len(reached)})" if reached else "–")
        if any(text != "–" for text in row[3:]):
            rows.append(row)
    return table(("problem", "speeds", "workers", *map(name, design.ARMS)), rows)


def accuracy(cells: Sequence[Judged], problems: Sequence[str]) -> str:
    """The median test accuracy over cells and seeds, at own rates, by problem and workers."""

    def said(runs: Sequence[tuple[Judged, Numbers]]) -> str:
        return f"{100 * _median([run for _, run in runs], 'accuracy'):.1f} %"

    return _by_workers(cells, problems, design.OWN, said)


def _by_workers(
    cells: Sequence[Judged],
    problems: Sequence[str],
    stage: str,
    said: Callable[[Sequence[tuple[Judged, Numbers]]], str],
) -> str:
    """A row for each problem and number of workers that has runs of a stage, with what is said of those of each arm."""
    rows = []
    for problem in problems:
        for workers in design.WORKERS:
            of_arm = runs_at(cells, problem, workers, stage)
            if any(of_arm.values()):
                rows.append([problem, str(workers), *(said(runs) if runs else "–" for runs in of_arm.values())])
    return table(("problem", "workers", *map(name, design.ARMS)), rows)


def recommendation(cells: Sequence[Judged]) -> str:
    """How the rules stand by number of workers, and which is recommended there."""
    rows = []
    for workers in (*design.WORKERS, None):
        found = claims.standings(cells, workers)
        for rule, one in found.items():
            words = ", ".join(f"{count} {word}" for word, count in sorted(one.words.items()))
            over_tail = "–" if rule == "tail" else f"{100 * math.expm1(one.against_tail):+.1f} %"
            advice = "" if rule == "tail" else "yes" if one.recommended else "no"
            change_in_median = f"{100 * math.expm1(one.median):+.1f} %"
            rows.append([str(workers or "all"), name(rule), change_in_median, over_tail, words, advice])
    header = ("workers", "rule", "final loss, against constant", "against TAIL", "cells", "recommended over TAIL")
    return table(header, rows)


def name(arm: str) -> str:
    """What a table calls an arm."""
    return NAMES.get(arm, arm)


def _median(runs: Sequence[Numbers] | None, of: str) -> float:
    values = [value for run in runs or () if not math.isnan(value := getattr(run, of))]
    return statistics.median(values) if values else math.nan

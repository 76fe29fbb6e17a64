"""The page docs/study.md: what stands where, and the sentences around the tables."""

from __future__ import annotations

import csv
import dataclasses
import json
import statistics
from pathlib import Path
from typing import NamedTuple

from benchmarks.study import design, exploratory
from benchmarks.study.plan import STAGES
from benchmarks.study.reporting import claims, tables
from benchmarks.study.reporting.statistics import Judged, compared, judged, log_final, paired
from benchmarks.study.runs.cache import CellRuns


class Found(NamedTuple):
    """What there is to be told.

    Attributes:
      cells: the judged ones, in the order of tables.
      threads: those that were run on threads.
      problems: of the study.
      widths: of the ranges of learning rates, by problem and workers, and by arm.
      failing: learning rates at which runs fail, by problem and workers, and by arm.
      planned: number of cells of the design, by problem.
      runs: number of runs that are kept.
      pictures: files in the folder ``study``, and what they show.
    """

    cells: list[Judged]
    threads: list[Judged]
    problems: list[str]
    widths: dict[tuple[str, int], dict[str, float]]
    failing: dict[tuple[str, int], dict[str, list[tuple[float, bool]]]]
    planned: dict[str, int]
    runs: int
    pictures: list[tuple[str, str]]


def page_of(found: Found, folder: Path) -> str:
    """The page.

    Args:
      found: what there is.
      folder: of the runs, where cost and exploratory runs are as well.

    Returns:
      Markdown.
    """
    cells, problems = found.cells, found.problems
    verdicts = claims.verdicts(cells, problems)
    parts = ["# The study", _status(found), _cost(folder), "## When to use which rule", RECOMMENDATION]
    parts.append(tables.recommendation(cells))
    for claim, text in design.QUESTIONS.items():
        parts += [f"## Claim {claim}: {text}", tables.of_claims(verdicts, claim, found.planned)]
    parts += [f"![{about}](study/{name})\n\n{about}" for name, about in found.pictures]
    against_constant = claims.rules_compared(cells, problems, design.BASELINE)
    against_tail = claims.rules_compared(cells, problems, "tail")
    sections = {
        "The other rules against constant, final loss": tables.of_rules(against_constant, problems),
        "The other rules against TAIL, final loss": tables.of_rules(against_tail, problems),
        "Final loss against constant, by workers": tables.by_workers(cells, problems, "final"),
        "Updates to the target against constant, by workers": tables.by_workers(cells, problems, "updates"),
        "Best level against constant, by workers": tables.by_workers(cells, problems, "best"),
        "Runs that failed at twice the constant step's rate (diverged)": tables.failures(cells, problems),
        "The least rate at which a run failed": f"{FAILING}\n\n{tables.first_failures(found.failing)}",
        "Width of the range of learning rates, in octaves": tables.ranges(found.widths),
        "Levels of the initial loss": f"{LEVELS}\n\n{tables.levels(cells, problems)}",
        "Test accuracy": tables.accuracy(cells, problems),
        "Not inferior to constant, cell by cell": tables.inferiority(cells),
        "Final loss at the own best rate, cell by cell": f"{FINALS}\n\n{tables.finals(cells)}",
        "Final loss at the constant step's best rate, cell by cell": tables.same_rate(cells),
        "Threads": _threads(found.threads, folder),
        "Exploratory cells": _exploratory(folder),
        "What could not be done here": "\n".join(f"* {line}" for line in LIMITS),
    }
    parts += [f"## {title}\n\n{text}" for title, text in sections.items()]
    return "\n\n".join(part for part in parts if part) + "\n"


RECOMMENDATION = (
    "The median over cells of the change in the final loss, each at its own best rate, and in how many cells a rule is "
    "not inferior to the constant step "
    f"(the interval ends below {100 * (design.INFERIOR - 1):+.0f} %; *wide*: though it "
    "is wider than ± 5 %), inferior (it begins above that), undecided (neither, and wider than ± 5 %), or neither (not "
    "shown). A rule is recommended over TAIL where it is not inferior in every cell that is decided, and in the median "
    "no worse than TAIL."
)
FAILING = (
    "In octaves above the constant step's best rate, of the runs that tuned it (two seeds, an octave apart), "
    "so nothing is claimed of it. ≥: at some speeds none failed, up to the largest rate that was tried."
)
TIMED = 4  # of design.LEVELS, the time to which threads are told by
LEVEL = 3  # of design.LEVELS, the time to which exploratory cells are told by
LEVELS = (
    "The share of runs, at their own best rates, that reached each share of the initial loss, and the median updates."
)
FINALS = "The median over seeds, and the rate; `!`: at the edge of the rates that were tried."
LIMITS = (
    "Simulated workers compute at once however few processors there are; what a rule costs is not in these numbers.",
    "Claim (i) is about time on a machine with many cores. Threads on two cores say little of it: `make study-threads` "
    "on such a machine writes the same tables.",
    "Torn reads and lost updates of Hogwild! are not simulated.",
    *(f"Not in the program yet: {about}." for about in exploratory.NOT_YET.values()),
)


def _status(found: Found) -> str:
    arms = {stage: len(design.RULES if stage == design.CONTROL else design.ARMS) for stage in STAGES}
    complete = {stage: sum(len(of.runs[stage]) >= count for of in found.cells) for stage, count in arms.items()}
    words = {"own": "each arm at its own best rate", "control": "controls", "same": "the constant step's rate",
             "twice": "twice that"}  # fmt: skip
    status = ", ".join(f"{words[stage]}: {count}" for stage, count in complete.items())
    return (
        "Made by `python -m benchmarks.study report` of the runs that are kept, and by nothing else. The questions, "
        "arms and tests are in [study-design.md](study-design.md), which was committed before them. "
        f"Of {sum(found.planned.values())} cells so many are complete, by what was judged: {status}; "
        f"{found.runs:,} runs in all. "
        "A cell counts in a table as soon as the arms that are compared are there; a verdict on fewer cells than the "
        "design has is of these cells alone, and a look on the way, for which no p-value is corrected."
    )


def _cost(folder: Path) -> str:
    file = folder / "cost.csv"
    if not file.exists():
        return ""
    by_problem: dict[str, tuple[int, float]] = {}
    for row in csv.DictReader(file.read_text().splitlines()):
        runs, seconds = by_problem.get(row["problem"], (0, 0.0))
        by_problem[row["problem"]] = runs + int(row["runs"]), seconds + float(row["processor_s"])
    texts = [
        f"{problem} {runs:,} runs in {seconds / 3600:.2f} hours, {seconds / runs:.2f} s a run"
        for problem, (runs, seconds) in by_problem.items()
    ]
    return f"What it cost, in hours of one processor, compilation included: {'; '.join(texts)}."


PROBLEM = "mnist-mlp"  # that threads are run on
SIMULATOR = (
    "How far the simulator is from threads: a run, and its simulation from the times that it measured. The laws of the "
    "staleness differ by the total variation; log loss is that of the simulated final loss over the run's."
)


def _threads(threads: list[Judged], folder: Path) -> str:
    parts = []
    if threads:
        verdicts, planned = claims.verdicts(threads, [PROBLEM]), {PROBLEM: len(threads)}
        parts += [
            "MNIST with real threads, the same arms, rates tuned in the same way; times are the wall clock's.",
            *(f"Claim {claim}.\n\n{tables.of_claims(verdicts, claim, planned)}" for claim in design.QUESTIONS),
            tables.finals(threads), tables.inferiority(threads), tables.failures(threads, [PROBLEM]),
            f"Time to {design.LEVELS[TIMED]:.0%} of the initial loss.", tables.times(threads, TIMED),
        ]  # fmt: skip
    file = folder / "simulator.json"
    if file.exists():
        rows = [
            [f"{one['workers']:.0f}", f"{one['mean_staleness']:.2f}", f"{one['simulated_staleness']:.2f}",
             f"{one['total_variation']:.3f}", f"{one['log_loss']:+.3f}"]
            for one in json.loads(file.read_text())
        ]  # fmt: skip
        header = ("threads", "mean τ", "simulated", "total variation", "log loss")
        parts += [SIMULATOR, tables.table(header, rows)]
    return "\n\n".join(parts) or "Not run yet: `make study-threads`."


def _exploratory(folder: Path) -> str:
    changed = exploratory.exploratory_cells()
    places = list(dict.fromkeys(dataclasses.replace(cell, change="") for cell in changed))
    rows = []
    for cell in [*places, *changed]:
        arms = exploratory.arms_of(cell) if cell.change else design.ARMS
        of = judged(cell, arms, [design.OWN], CellRuns(folder, cell).runs)
        if of is not None:
            for arm, runs in of.runs[design.OWN].items():
                final, accuracy = (statistics.median(getattr(run, n) for run in runs) for n in ("final", "accuracy"))
                time_s = sorted(run.times[LEVEL] for run in runs)[(len(runs) - 1) // 2]
                place = f"{cell.problem} {cell.speeds} {cell.workers}"
                losses = f"{final:.3f} @ {of.rates[arm]:.3g}"
                about = exploratory.CHANGES[cell.change].about if cell.change else "nothing"
                against = compared([paired(of, design.OWN, arm, design.BASELINE, log_final)])
                less = "" if arm == design.BASELINE else tables.change(against)
                rows.append([about, place, arm, losses, less, f"{time_s:.0f}", f"{100 * accuracy:.1f} %"])
    level = f"time to {design.LEVELS[LEVEL]:.0%}"
    header = ("change", "cell", "arm", "median final loss @ rate", "against constant", level, "accuracy")
    return f"{EXPLORATORY}\n\n{tables.table(header, rows)}"


EXPLORATORY = (
    "One factor is changed at a time, and nothing is claimed of it: the intervals are those of each cell alone, not "
    "corrected. Times are in units of a gradient's mean time. Where data differ between workers, the final loss is "
    "that of the mini-batches that were drawn, of which fast workers draw more; the test accuracy is over all classes."
)

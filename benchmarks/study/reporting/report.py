"""docs/study.md and its CSV, made of the runs that are kept and of nothing else."""

from __future__ import annotations

import collections
import csv
import io
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.study import design
from benchmarks.study.plan import STAGES
from benchmarks.study.reporting.page import Found, page_of
from benchmarks.study.reporting.pictures import draw
from benchmarks.study.reporting.statistics import Judged, first_failing_rate, judged
from benchmarks.study.runs.cache import CellRuns
from benchmarks.study.tuning import range_of_rates

THREADS = [design.Cell("mnist-mlp", "threads", workers) for workers in design.WORKERS]


def write_report(folder: Path, out: Path, cells: Sequence[design.Cell] | None = None) -> Path:
    """Writes ``study.md`` and the folder ``study`` beside it.

    Args:
      folder: of the runs.
      out: where.
      cells: which; None for the primary ones.

    Returns:
      The page's path.
    """
    chosen = list(design.primary_cells()) if cells is None else list(cells)
    problems = list(dict.fromkeys(cell.problem for cell in chosen))
    planned = collections.Counter(cell.problem for cell in chosen)
    runs = {cell: CellRuns(folder, cell).runs for cell in [*chosen, *THREADS]}
    everything = {cell: judged(cell, design.ARMS, STAGES, runs[cell]) for cell in runs}
    order = sorted(chosen, key=lambda cell: (problems.index(cell.problem), _place(cell.speeds), cell.workers))
    found = [of for cell in order if (of := everything[cell]) is not None]
    threads = [of for cell in THREADS if (of := everything[cell]) is not None]
    widths, failing = _widths(order, runs), _failing(found, runs)
    counted = sum(len(of_cell) for of_cell in runs.values())
    (out / "study").mkdir(parents=True, exist_ok=True)
    pictures = draw(found, problems, out / "study")
    page = page_of(Found(found, threads, problems, widths, failing, planned, counted, pictures), folder)
    (out / "study" / "results.csv").write_text(_results([*found, *threads]))
    (out / "study.md").write_text(page)
    return out / "study.md"


def _place(speeds: str) -> int:
    return design.SPEEDS.index(speeds) if speeds in design.SPEEDS else len(design.SPEEDS)


def _widths(cells: Sequence[design.Cell], runs) -> dict[tuple[str, int], dict[str, float]]:
    by_place: dict[tuple[str, int], dict[str, list[float]]] = {}
    for cell in cells:
        for arm in design.ARMS:
            width = range_of_rates(cell, arm, runs[cell])
            if not math.isnan(width):
                by_place.setdefault((cell.problem, cell.workers), {}).setdefault(arm, []).append(width)
    return {
        place: {arm: statistics.fmean(values) for arm, values in of.items()} for place, of in sorted(by_place.items())
    }


def _failing(found: Sequence[Judged], runs) -> dict[tuple[str, int], dict[str, list[tuple[float, bool]]]]:
    by_place: dict[tuple[str, int], dict[str, list[tuple[float, bool]]]] = {}
    for of in found:
        place = by_place.setdefault((of.cell.problem, of.cell.workers), {})
        for arm in of.rates:
            place.setdefault(arm, []).append(first_failing_rate(of, arm, runs[of.cell]))
    return dict(sorted(by_place.items()))


def _results(found: Sequence[Judged]) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    names = ("initial", "final", "best", "target", "mean_factor", "mean_square", "mean_staleness", "accuracy")
    writer.writerow(("problem", "speeds", "workers", "stage", "arm", "rate", "runs", "diverged", *names))
    for of in found:
        for stage, by_arm in of.runs.items():
            for arm, runs in by_arm.items():
                rate = of.rates.get(arm.rpartition("@")[2], math.nan)
                if stage in (design.SAME, design.TWICE):
                    rate = of.rates[design.BASELINE] * (design.TWICE_FACTOR if stage == design.TWICE else 1)
                medians = [statistics.median(getattr(run, name) for run in runs) for name in names]
                counts = [len(runs), sum(math.isinf(run.final) for run in runs)]
                row = [of.cell.problem, of.cell.speeds, of.cell.workers, stage, arm, f"{rate:.4g}", *counts]
                writer.writerow([*row, *("" if math.isnan(x) else f"{x:.4g}" for x in medians)])
    return lines.getvalue()

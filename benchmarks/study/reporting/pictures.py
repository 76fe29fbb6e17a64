"""The pictures of docs/study.md, in the library's style: an arm has the look that it has in every other picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.study import design
from benchmarks.study.reporting import claims, tables
from benchmarks.study.reporting.statistics import Judged, failed, log_final, runs_at
from benchmarks.study.runs.outcomes import POINTS
from jasgd.presenting.pictures.canvas import legend_below, log_ticks, new_figure, panel_title
from jasgd.presenting.pictures.style import style_of

STYLE = style_of("light", "page")
LOOKS = STYLE.looks(design.ARMS)
HEIGHT = 2.2  # of a row, in inches

Points = dict[str, np.ndarray]  # by arm: one row for each number of workers, NaN where there are no runs


def draw(cells: Sequence[Judged], problems: Sequence[str], folder: Path) -> list[tuple[str, str]]:
    """Draws what there are runs for.

    Returns:
      The name of each file in ``folder``, and what it shows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kinds: list[tuple[str, Callable[[Path], bool], str]] = [
        (
            "final_loss.png",
            lambda file: _by_workers(cells, problems, _final_losses, "final loss against constant, %", file),
            "Final loss of each rule relative to the constant step's, each at its own best rate: mean over speeds with "
            "its 95 % interval over seeds. Below zero is better.",
        ),
        (
            "failures.png",
            lambda file: _by_workers(cells, problems, _failures, "runs that failed, %", file),
            "Share of runs that failed at twice the constant step's best rate.",
        ),
        (
            "curves.png",
            lambda file: _curves(cells, problems, file),
            "Median training loss at own best rates of the first problem, speeds as the titles say.",
        ),
    ]
    return [(name, words) for name, drawn, words in kinds if drawn(folder / name)]


def _by_workers(
    cells: Sequence[Judged],
    problems: Sequence[str],
    points_of: Callable[[Sequence[Judged], str], Points],
    label: str,
    file: Path,
) -> bool:
    """A panel for each problem that has a point; whether there is one."""
    found = {problem: points_of(cells, problem) for problem in problems}
    found = {problem: points for problem, points in found.items() if points}
    if not found:
        return False
    with STYLE.applied():
        figure, grid = new_figure(STYLE, 1, len(found), HEIGHT, sharey=True)
        for axes, (problem, points) in zip(grid[0], found.items(), strict=True):
            axes.axhline(0, color=STYLE.theme.muted, lw=0.8)
            for arm in design.ARMS:  # all of them, so that each panel can have the legend
                rows = points.get(arm, np.full((len(design.WORKERS), 3), math.nan))
                x = np.arange(len(rows)) + 0.07 * (design.ARMS.index(arm) - (len(design.ARMS) - 1) / 2)
                if arm in points or any(arm in other for other in found.values()):
                    axes.errorbar(
                        x,
                        rows[:, 0],
                        [rows[:, 0] - rows[:, 1], rows[:, 2] - rows[:, 0]],
                        label=tables.name(arm),
                        **LOOKS[arm].marked(STYLE.theme.paper),
                    )
            panel_title(axes, problem, STYLE, len(found))
            axes.set_xticks(range(len(design.WORKERS)), map(str, design.WORKERS))
            axes.set_xlim(-0.4, len(design.WORKERS) - 0.6)
            axes.set_xlabel("workers")
        grid[0, 0].set_ylabel(label)
        _finish(figure, grid[0, 0], file)
    return True


def _final_losses(cells: Sequence[Judged], problem: str) -> Points:
    points: Points = {}
    for rule in design.RULES:
        sizes = [claims.over_workers(cells, problem, rule, workers, log_final) for workers in design.WORKERS]
        if any(size is not None for size in sizes):
            rows = [(math.nan,) * 3 if one is None else (one.size, one.low, one.high) for one in sizes]
            points[rule] = 100 * np.expm1(np.array(rows))
    return points


def _failures(cells: Sequence[Judged], problem: str) -> Points:
    shares: dict[str, list[float]] = {arm: [] for arm in design.ARMS}
    for workers in design.WORKERS:
        for arm, runs in runs_at(cells, problem, workers, design.TWICE).items():
            shares[arm].append(100 * float(np.mean([failed(of, run) for of, run in runs])) if runs else math.nan)
    return {arm: np.array([values] * 3).T for arm, values in shares.items() if np.isfinite(values).any()}


def _curves(cells: Sequence[Judged], problems: Sequence[str], file: Path) -> bool:
    """The curves of up to four cells of the first problem that has some; whether there are any."""
    for problem in problems:
        there = [
            of for of in cells
            if of.cell.problem == problem and of.cell.speeds in ("equal", "sigma0.7")
            and of.runs[design.OWN].get(design.BASELINE)
        ]  # fmt: skip
        if there:
            break
    else:
        return False
    chosen = sorted(there, key=lambda of: (of.cell.speeds, of.cell.workers))[-4:]
    with STYLE.applied():
        figure, grid = new_figure(STYLE, -(-len(chosen) // 2), min(2, len(chosen)), HEIGHT)
        for axes in list(grid.flat)[len(chosen) :]:
            axes.set_axis_off()
        for axes, of in zip(grid.flat, chosen, strict=False):
            for arm in design.ARMS:
                curves = np.array([c for run in of.runs[design.OWN].get(arm, ()) if len(c := run.curve) == POINTS])
                if len(curves):
                    x = (np.arange(POINTS) + 0.5) * of.updates / POINTS
                    axes.plot(x, np.median(curves, axis=0), label=tables.name(arm), **LOOKS[arm].line())
            axes.set_yscale("log")
            log_ticks(axes.yaxis)
            panel_title(axes, f"{of.cell.problem}, {of.cell.speeds}, {of.cell.workers} workers", STYLE, grid.shape[1])
            axes.set_xlabel("updates")
        for row in grid:
            row[0].set_ylabel("training loss")
        _finish(figure, grid[0, 0], file)
    return True


def _finish(figure: Any, first: Any, file: Path) -> None:
    legend_below(figure, first, STYLE)
    figure.savefig(file, metadata={"Software": None})

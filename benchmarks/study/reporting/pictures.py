"""The pictures of docs/study.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.study import design
from benchmarks.study.reporting import claims, tables
from benchmarks.study.reporting.statistics import Judged, failed, log_final
from benchmarks.study.runs.outcomes import POINTS

COLOURS = dict(zip(design.ARMS, ("#42464b", "#006ab1", "#d16100", "#00855e", "#b24a8a", "#8d5900"), strict=True))
DPI = 120


def draw(cells: Sequence[Judged], problems: Sequence[str], folder: Path) -> list[tuple[str, str]]:
    """Draws what there are runs for.

    Returns:
      The name of each file in ``folder``, and what it shows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown = [problem for problem in problems if any(of.cell.problem == problem for of in cells)]
    if not shown:
        return []
    _by_workers(cells, shown, folder / "final_loss.png")
    _failures(cells, shown, folder / "failures.png")
    pictures = [
        ("final_loss.png", "Final loss of each rule relative to the constant step's, each at its own best rate: mean "
                           "over speeds with its 95 % interval over seeds. Below zero is better."),
        ("failures.png", "Share of runs that failed at twice the constant step's best rate."),
    ]  # fmt: skip
    problem = shown[0]
    if _curves(cells, problem, folder / "curves.png"):
        about = f"Median training loss at own best rates, {problem}, speeds as the titles say."
        pictures.append(("curves.png", about))
    return pictures


def _axes(count: int):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * count, 3.0), layout="constrained", dpi=DPI)
    return figure, figure.subplots(1, count, squeeze=False)[0]


def _by_workers(cells: Sequence[Judged], problems: Sequence[str], file: Path) -> None:
    figure, axes = _axes(len(problems))
    for axis, problem in zip(axes, problems, strict=True):
        for rule in design.RULES:
            found = [claims.over_workers(cells, problem, rule, workers, log_final) for workers in design.WORKERS]
            there = [(at, one) for at, one in enumerate(found) if one is not None]
            if there:
                x = [at + 0.06 * (design.RULES.index(rule) - 2) for at, _ in there]
                size, low, high = (
                    100 * np.expm1([getattr(one, part) for _, one in there]) for part in ("size", "low", "high")
                )
                axis.errorbar(x, size, [size - low, high - size], fmt="o-", ms=3, lw=1, color=COLOURS[rule],
                              label=tables.name(rule))  # fmt: skip
        axis.axhline(0, color="#5c6670", lw=0.8)
        axis.set_title(problem, fontsize=9)
        _worker_axis(axis)
    axes[0].set_ylabel("final loss against constant, %")
    _finish(figure, axes[0], file)


def _failures(cells: Sequence[Judged], problems: Sequence[str], file: Path) -> None:
    figure, axes = _axes(len(problems))
    for axis, problem in zip(axes, problems, strict=True):
        for arm in design.ARMS:
            shares = []
            for workers in design.WORKERS:
                place = [of for of in cells if (of.cell.problem, of.cell.workers) == (problem, workers)]
                lost = [failed(of, run) for of in place for run in of.runs[design.TWICE].get(arm, ())]
                shares.append(100 * float(np.mean(lost)) if lost else math.nan)
            axis.plot(shares, "o-", ms=3, lw=1, color=COLOURS[arm], label=tables.name(arm))
        axis.set_title(problem, fontsize=9)
        axis.set_ylim(-3, 103)
        _worker_axis(axis)
    axes[0].set_ylabel("runs that failed, %")
    _finish(figure, axes[0], file)


def _finish(figure, first, file: Path) -> None:
    if first.get_legend_handles_labels()[0]:
        first.legend(fontsize=6, frameon=False)
    figure.savefig(file, metadata={"Software": None})


def _worker_axis(axis) -> None:
    axis.set_xticks(range(len(design.WORKERS)), map(str, design.WORKERS))
    axis.set_xlim(-0.4, len(design.WORKERS) - 0.6)
    axis.set_xlabel("workers")
    axis.grid(color="#e3e7eb", lw=0.6)


def _curves(cells: Sequence[Judged], problem: str, file: Path) -> bool:
    there = [of for of in cells if of.cell.problem == problem and of.runs[design.OWN].get(design.BASELINE)]
    chosen = sorted(
        (of for of in there if of.cell.speeds in ("equal", "sigma0.7")),
        key=lambda of: (of.cell.speeds, of.cell.workers),
    )[-4:]
    if not chosen:
        return False
    figure, axes = _axes(len(chosen))
    for axis, of in zip(axes, chosen, strict=True):
        for arm, runs in of.runs[design.OWN].items():
            curves = np.array([run.curve for run in runs if len(run.curve) == POINTS])
            if len(curves):
                x = (np.arange(POINTS) + 0.5) * of.updates / POINTS
                axis.plot(x, np.median(curves, axis=0), lw=1, color=COLOURS.get(arm), label=tables.name(arm))
        axis.set_yscale("log")
        axis.set_title(f"{of.cell.speeds}, {of.cell.workers} workers", fontsize=9)
        axis.set_xlabel("updates")
        axis.grid(color="#e3e7eb", lw=0.6)
    axes[0].set_ylabel("training loss")
    _finish(figure, axes[0], file)
    return True

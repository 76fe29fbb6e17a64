"""The figures of a comparison: per arm the loss, the staleness, and the step-size function."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np

from jasgd.experiments.comparison import Comparison
from jasgd.presenting.curves import SMOOTHED, committed, smoothed
from jasgd.presenting.figures import (
    STYLE,
    Figure,
    Look,
    MaxNLocator,
    columns_of,
    draw_factors,
    draw_histogram,
    finish_factors,
    headline,
    is_peaked,
    looks_of,
    new_figure,
    rc_context,
    reach_of,
    save,
    scale_loss,
    wrapped,
)
from jasgd.record.execution import Execution
from jasgd.record.result import Outcome, TrainResult
from jasgd.record.start_of_run import mean_factor_after_start
from jasgd.showing import counted


def plot_arms(comparison: Comparison, folder: Path) -> list[Path]:
    """See :func:`jasgd.report.plot_comparison`."""
    arms = {}
    for arm in comparison.arms:
        executions = [r.execution for r in comparison.runs[arm.label].values() if len(r.execution)]
        if executions:
            arms[arm.label] = executions
    if not arms:
        return []
    looks = dict(zip((arm.label for arm in comparison.arms), looks_of(), strict=False))
    with rc_context(STYLE):
        figures = {
            "loss": _losses(comparison, looks),
            "staleness": _laws(arms, looks),
            "step_size": _step_sizes(arms, looks),
        }
        return save(figures, folder)


def _losses(comparison: Comparison, looks: dict[str, Look]) -> Figure:
    figure, ((left, right),) = new_figure(1, 2, (10, 4.4), sharey=True)
    everything, seeds = [], 0
    for arm in comparison.arms:
        look = looks[arm.label]
        label, executions = _lasting(arm.label, list(comparison.runs[arm.label].values()))
        if not executions:
            continue
        seeds = max(seeds, len(executions))
        means = [smoothed(ex.loss) if len(ex) >= SMOOTHED else ex.loss for ex in executions]
        everything += means
        for axes, columns in (
            (left, [ex.version + 1.0 for ex in executions]),
            (right, [committed(ex) for ex in executions]),
        ):
            # All seeds on one grid, as far as the shortest run goes.
            grid = np.linspace(0, min(float(x[-1]) for x in columns), 400)
            curves = np.array([np.interp(grid, x, m, left=np.nan) for x, m in zip(columns, means, strict=True)])
            there = np.isfinite(curves).all(axis=0)
            axes.plot(grid[there], np.median(curves[:, there], axis=0), label=label, **look)
            low, high = curves[:, there].min(axis=0), curves[:, there].max(axis=0)
            axes.fill_between(grid[there], low, high, color=look["color"], alpha=0.15, linewidth=0)
            axes.margins(x=0.02)
            axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    scale_loss(left, np.concatenate(everything), np.concatenate(everything), 0.7)
    left.set(xlabel="updates", ylabel="training loss")
    right.set(xlabel="time (s)")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns_of(labels, 110))
    settings, runs = comparison.settings, f"median and range over {seeds} seeds" if seeds > 1 else "one seed"
    setting = f"{comparison.problem}, {settings['scheme']}, {counted(settings['workers'], 'worker')}"
    headline(figure, f"Training loss on {setting}: {runs}")
    return figure


def _lasting(label: str, runs: list[TrainResult]) -> tuple[str, list[Execution]]:
    """The runs whose losses are drawn, and a label that counts the others, which would cut the curve where they ended.

    Where all ended early, all are drawn.
    """
    ended = [r for r in runs if r.outcome in (Outcome.FINISHED, Outcome.CONVERGED) and len(r.execution)]
    others = Counter(str(r.outcome) for r in runs if r.outcome not in (Outcome.FINISHED, Outcome.CONVERGED))
    early = ", ".join(f"{count} {outcome}" for outcome, count in others.items())
    if early:
        label += f" ({early}{', not drawn' if ended else ''})"
    return label, [r.execution for r in ended or runs if len(r.execution)]


def _laws(arms: dict[str, list[Execution]], looks: dict[str, Look]) -> Figure:
    columns = 1 if len(arms) == 1 else 2
    rows = math.ceil(len(arms) / columns)
    figure, grid = new_figure(rows, columns, (5 * columns, 2.6 * rows + 0.6), sharex=True, sharey=True)
    pooled = {label: np.concatenate([ex.staleness for ex in executions]) for label, executions in arms.items()}
    reach, log = max(map(reach_of, pooled.values())), any(map(is_peaked, pooled.values()))
    for axes, (label, staleness) in zip(grid.flat, pooled.items(), strict=False):
        draw_histogram(axes, staleness, looks[label]["color"], reach, log)
        title = f"{label}: mean τ {staleness.mean():.1f}, median {np.median(staleness):.0f}"
        axes.set_title(wrapped(title, 4.6))
        axes.legend(loc="upper right", fontsize=9)
    for axes in grid.flat[len(pooled) :]:
        axes.set_axis_off()
    figure.supxlabel("staleness τ (updates)", fontsize=11)
    figure.supylabel("share of the gradients", fontsize=11)
    headline(figure, "How stale the gradients of each arm were, all seeds together")
    return figure


def _step_sizes(arms: dict[str, list[Execution]], looks: dict[str, Look]) -> Figure:
    figure, ((axes,),) = new_figure(1, 1, (8, 4.6))
    reach = max(reach_of(np.concatenate([ex.staleness for ex in executions])) for executions in arms.values())
    tops = []
    for label, executions in arms.items():
        mean = np.mean([ex.factor.mean(dtype=np.float64) for ex in executions])
        after = np.mean([mean_factor_after_start(ex) for ex in executions])
        shown = f"{label}: E[C] = {mean:.2f}, after the start {after:.2f}"
        tops.append(draw_factors(axes, executions, looks[label], reach, shown, np.mean))
    finish_factors(axes, reach, max(tops))
    one = max(map(len, arms.values())) == 1
    curves = "means, and 10 to 90 % of the factors" if one else "means over seeds, and 10 to 90 % of the factors"
    axes.set_title(f"The step-size functions used: {curves}")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns_of(labels, 90))
    return figure

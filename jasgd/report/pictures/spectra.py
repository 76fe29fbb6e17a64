"""What parallelism does to each step-size function: final loss and mean factor over the number of workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jasgd.experiments.measures import Spread
from jasgd.experiments.spectrum import Spectrum
from jasgd.inputs.checks import instance
from jasgd.presenting.pictures.canvas import (
    NothingToDraw,
    Picture,
    finished,
    legend_below,
    log_ticks,
    new_figure,
    number,
    number_ticks,
    panel_title,
)
from jasgd.presenting.pictures.style import Look, Style, ThemeName, Width, style_of
from jasgd.showing import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEYOND = 1e4  # times the best loss: nothing is learned there, and how much less than that is of no interest
SPREAD_APART = 0.05  # of the axis, by which arms stand apart where there is one number of workers


def over_workers(
    spectrum: Spectrum, *, theme: ThemeName = "light", width: Width = "column", title: bool = True
) -> Figure:
    """Draws the final loss and the mean step-size factor of every arm over the number of workers, for each cluster.

    Each arm is shown at the learning rate, of those that were tried, whose median final loss is the lowest; the bands,
    or with one number of workers the bars, are the range over seeds. A cross at the top: some of the runs diverged.

    Args:
      spectrum: of :func:`jasgd.sweep`.
      theme: ``"light"`` or ``"dark"``.
      width: ``"column"`` or ``"page"`` of a paper, 3.4 and 7 inches, or a number of inches.
      title: whether a title stands above it.

    Returns:
      The figure, for ``savefig`` or :func:`jasgd.report.save`.

    Raises:
      TypeError: for what is no spectrum.
      ValueError: for a spectrum without runs, and for arguments out of their ranges.
      ImportError: without Matplotlib, naming the extra.

    Example:
      >>> import jasgd
      >>> from jasgd import cluster, problems
      >>> spectrum = jasgd.sweep(lambda seed: problems.load("digits", seed=seed), ["constant"], [0], workers=[1, 2],
      ...                        clusters={"equal": cluster.Cluster(compute_s=1.0)}, learning_rates=[0.05], steps=10)
      >>> [axes.get_ylabel() for axes in over_workers(spectrum).axes]
      ['final loss', 'mean of C']
    """
    instance("spectrum", spectrum, Spectrum)
    return over_workers_picture(spectrum, style_of(theme, width, title)).figure


def over_workers_picture(spectrum: Spectrum, style: Style) -> Picture:
    """See :func:`over_workers`."""
    best = rows_with_loss(spectrum.rows)
    clusters, looks = spectrum.clusters, style.looks([arm.label for arm in spectrum.arms])
    top = top_of(best)
    with style.applied():
        wide = style.wide and len(clusters) > 1
        shape = (2, len(clusters)) if wide else (1, 2) if style.wide else (2 * len(clusters), 1)
        figure, grid = new_figure(style, *shape, 1.8 if style.wide else 1.45, sharex=True)
        panels = list(zip(grid[0], grid[1], strict=True)) if wide else list(zip(*[iter(grid.flat)] * 2, strict=True))
        for label, (losses, factors) in zip(clusters, panels, strict=True):
            for arm in spectrum.arms:
                rows = [row for row in best if (row["cluster"], row["arm"]) == (label, arm.label)]
                at = _apart([row["workers"] for row in rows], arm.label, looks, spectrum.workers)
                spread_line(losses, at, [row["final_loss"] for row in rows], looks[arm.label], arm.label, style, top)
                spread_line(factors, at, [row["mean_factor"] for row in rows], looks[arm.label], None, style)
            factors.axhline(1, color=style.theme.ink, linewidth=0.7, linestyle=":")
            if len(clusters) > 1:
                panel_title(losses, f"speeds {label}", style, shape[1])
        share_scales([losses for losses, _ in panels], [factors for _, factors in panels])
        for column, (losses, factors) in enumerate(panels):
            if column == 0 or not wide:
                losses.set_ylabel("final loss")
                factors.set_ylabel("mean of C")
            for axes in (losses, factors):
                number_ticks(axes, spectrum.workers, base=2)
        for axes in grid[-1] if style.wide else (grid[-1, 0],):
            axes.set_xlabel("workers")
        legend_below(figure, panels[0][0], style)
        name = f"Training with {counted(spectrum.workers[0], 'worker')}"
        if len(spectrum.workers) > 1:
            name = f"Training with {min(spectrum.workers)} to {max(spectrum.workers)} workers"
        return finished(figure, style, name, _words(spectrum, best), *_table(best))


def rows_with_loss(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a spectrum that have a final loss; NothingToDraw where none has."""
    kept = [row for row in rows if "final_loss" in row and row["final_loss"].count]
    if not kept:
        raise NothingToDraw("spectrum must have final losses, and none of its runs has one")
    return kept


def trials_of(spectrum: Spectrum) -> tuple[list[dict[str, Any]], int]:
    """The rows of all learning rates that were tried, and over how many seeds: those that they were chosen on."""
    if spectrum.tuning_seeds:
        return spectrum.tuning_rows, len(spectrum.tuning_seeds)
    return spectrum.rows, len(spectrum.seeds)


def top_of(rows: Sequence[dict[str, Any]]) -> float:
    """What losses are cut at, and runs that diverged are marked at.

    It lies above every loss, but for those more than ten thousand times as high as an arm's best where that is worst.
    """
    best: dict[tuple[str, str], float] = {}
    values = [value for row in rows for value in row["final_loss"][:3] if math.isfinite(value)]
    for row in rows:
        key, value = (row["cluster"], row["arm"]), row["final_loss"].median
        if math.isfinite(value):
            best[key] = min(value, best.get(key, math.inf))
    if not values:
        return 1.0
    highest, lowest = max(values), min(values)
    if lowest <= 0 or not best:
        return highest + 0.1 * (highest - lowest or 1.0)
    return min(2 * highest, BEYOND * max(best.values()))


def spread_line(
    axes: Axes, x: Sequence[float], spreads: Sequence[Spread], look: Look, label: str | None, style: Style,
    top: float = math.inf,
) -> None:  # fmt: skip
    """Draws medians and ranges over seeds, as a band or, at a single x, a bar; beyond the top there are crosses."""
    at = np.asarray(x, float)
    median, low, high = (np.array([getattr(s, name) for s in spreads], float) for name in ("median", "low", "high"))
    shown = ~np.isnan(median)
    at, median, low, high = at[shown], median[shown], low[shown], high[shown]
    cut = np.minimum(median, top)
    axes.plot(at, cut, label=label, **look.marked(style.theme.paper))
    if len(at) > 1:
        axes.fill_between(at, np.minimum(low, top), np.minimum(high, top), color=look.color, alpha=0.13, linewidth=0)
    else:
        axes.vlines(at, np.minimum(low, top), np.minimum(high, top), color=look.color, linewidth=1.2)
    gone = ~(high < top)
    axes.plot(at[gone], np.full(int(gone.sum()), top), "x", color=look.color, markersize=5, markeredgewidth=1.4)


def share_scales(*groups: list[Axes]) -> None:
    """Gives all panels of a group one y axis, which holds the data of all: set once everything is drawn."""
    for group in groups:
        lows, highs = [], []
        for axes in group:
            low, high = axes.dataLim.intervaly
            if np.isfinite([low, high]).all():  # else nothing was drawn in it
                lows.append(low)
                highs.append(high)
        low, high = min(lows, default=0.0), max(highs, default=1.0)
        log = low > 0 and high > 3 * low
        for axes in group:
            if log:
                room = max((high / low) ** 0.06, 1.05)
                axes.set_yscale("log")
                axes.set_ylim(low / room, high * room)
                log_ticks(axes.yaxis)
            else:
                room = max(0.06 * (high - low), 0.02 * abs(high), 1e-9)
                axes.set_ylim(low - room, high + room)


def _apart(workers: Sequence[int], label: str, looks: dict[str, Look], counts: Sequence[int]) -> list[float]:
    """Where an arm stands: at its numbers of workers, but beside the others where there is one such number."""
    if len(counts) > 1:
        return list(map(float, workers))
    step = list(looks).index(label) - (len(looks) - 1) / 2
    return [count * 2 ** (SPREAD_APART * step) for count in workers]


def _words(spectrum: Spectrum, best: Sequence[dict[str, Any]]) -> str:
    rates = ", ".join(f"{rate:g}" for rate in spectrum.learning_rates)
    seeds = f"median and range over {len(spectrum.seeds)} seeds" if len(spectrum.seeds) > 1 else "one seed"
    of = "learning rate" if len(spectrum.learning_rates) == 1 else "best of the learning rates"
    most = max(spectrum.workers)
    text = (
        f"{spectrum.problem}, {spectrum.settings.get('scheme')}, {counted(spectrum.settings['steps'], 'update')}, {of} "
    )
    text += f"{rates}; {seeds}."
    for label in spectrum.clusters:
        ends = [row for row in best if (row["cluster"], row["workers"]) == (label, most)]
        losses = "; ".join(f"{row['arm']} {number(row['final_loss'].median)}" for row in ends)
        text += f" Final loss with {counted(most, 'worker')} of speeds {label}: {losses}."
    return text


def _table(best: Sequence[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    header = ("speeds", "workers", "arm", "learning rate", "final loss", "lowest", "highest", "mean of C")
    rows = [
        (row["cluster"], row["workers"], row["arm"], row["learning_rate"],
         *(number(value) for value in row["final_loss"][:3]), number(row["mean_factor"].median))
        for row in best
    ]  # fmt: skip
    return header, rows

"""What the learning rate does to each arm: the final loss over it, and which rates converge with how many workers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from jasgd.experiments.spectrum import Spectrum
from jasgd.inputs.checks import chosen, instance
from jasgd.presenting.pictures.canvas import (
    Picture,
    finished,
    legend_below,
    new_figure,
    number,
    number_ticks,
    panel_title,
)
from jasgd.presenting.pictures.style import Style, ThemeName, Width, style_of
from jasgd.report.pictures.spectra import rows_with_loss, share_scales, spread_line, top_of, trials_of
from jasgd.showing import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEVELS = (1.5, 3.0, 10.0, 100.0)  # times the best loss: where the colour of a cell changes


def final_loss_over_learning_rate(
    spectrum: Spectrum,
    *,
    workers: int | None = None,
    theme: ThemeName = "light",
    width: Width = "column",
    title: bool = True,
) -> Figure:
    """Draws the final loss of every arm over the learning rate, for each cluster.

    How wide the valley of an arm is says how much it bears; arms are to be compared at the bottoms of theirs. Bands are
    ranges over seeds; a cross at the top: some of the runs diverged.

    Args:
      spectrum: of :func:`jasgd.sweep`.
      workers: one of its numbers of workers; by default the largest.
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
      >>> spectrum = jasgd.sweep(lambda seed: problems.load("digits", seed=seed), ["constant"], [0], workers=[2],
      ...                        clusters={"equal": cluster.Cluster(compute_s=1.0)}, learning_rates=[0.05, 0.1],
      ...                        steps=10)
      >>> final_loss_over_learning_rate(spectrum).axes[0].get_xlabel()
      'learning rate'
    """
    instance("spectrum", spectrum, Spectrum)
    return final_loss_over_learning_rate_picture(spectrum, style_of(theme, width, title), workers).figure


def final_loss_over_learning_rate_picture(spectrum: Spectrum, style: Style, workers: int | None = None) -> Picture:
    """See :func:`final_loss_over_learning_rate`."""
    count = max(spectrum.workers) if workers is None else workers
    if count not in spectrum.workers:
        raise ValueError(f"workers must be one of {', '.join(map(str, spectrum.workers))}, got {workers!r}")
    trials, seeds = trials_of(spectrum)
    rows = rows_with_loss([row for row in trials if row["workers"] == count])
    arms = _tried(spectrum, rows)
    looks, clusters = style.looks([arm.label for arm in spectrum.arms]), spectrum.clusters
    top = top_of(rows)
    with style.applied():
        shape = (1, len(clusters)) if style.wide else (len(clusters), 1)
        figure, grid = new_figure(style, *shape, 2.0 if style.wide else 1.6, sharex=True)
        for label, axes in zip(clusters, grid.flat, strict=True):
            for arm in arms:
                own = [row for row in rows if (row["cluster"], row["arm"]) == (label, arm)]
                at = [row["learning_rate"] for row in own]
                spread_line(axes, at, [row["final_loss"] for row in own], looks[arm], arm, style, top)
            if len(clusters) > 1:
                panel_title(axes, f"speeds {label}", style, shape[1])
        share_scales(list(grid.flat))
        for axes in grid.flat:
            number_ticks(axes, spectrum.learning_rates, base=10)
        for axes in grid[:, 0]:
            axes.set_ylabel("final loss")
        for axes in grid[-1]:
            axes.set_xlabel("learning rate")
        legend_below(figure, grid.flat[0], style)
        name = f"Final loss over the learning rate, {counted(count, 'worker')}"
        return finished(figure, style, name, _bottoms(spectrum, rows, seeds), *_table(rows))


def convergence_map(
    spectrum: Spectrum,
    *,
    cluster: str | None = None,
    theme: ThemeName = "light",
    width: Width = "column",
    title: bool = True,
) -> Figure:
    """Draws which learning rates converge with how many workers: a heat map for each arm.

    The number in a cell is the median final loss over seeds, and its colour says how many times the best of the picture
    that is: the weakest is best. A cross: some of the runs diverged; a dash: no run has a final loss.

    Args:
      spectrum: of :func:`jasgd.sweep`.
      cluster: label of one of its clusters; by default the last.
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
      ...                        clusters={"equal": cluster.Cluster(compute_s=1.0)}, learning_rates=[0.05, 0.1],
      ...                        steps=10)
      >>> len(convergence_map(spectrum).axes[0].texts)
      4
    """
    instance("spectrum", spectrum, Spectrum)
    return convergence_map_picture(spectrum, style_of(theme, width, title), cluster).figure


def convergence_map_picture(spectrum: Spectrum, style: Style, cluster: str | None = None) -> Picture:
    """See :func:`convergence_map`."""
    label = spectrum.clusters[-1] if cluster is None else cluster
    chosen("cluster", label, spectrum.clusters)
    trials, seeds = trials_of(spectrum)
    rows = rows_with_loss([row for row in trials if row["cluster"] == label])
    least = min((row["final_loss"].median for row in rows if math.isfinite(row["final_loss"].median)), default=math.nan)
    arms = _tried(spectrum, rows)
    with style.applied():
        columns = min(len(arms), 4 if style.wide else 2)
        lines = -(-len(arms) // columns)
        height = 0.42 + 0.17 * len(spectrum.learning_rates)
        figure, grid = new_figure(style, lines, columns, height, sharex=True, sharey=True)
        figure.set_figheight(figure.get_figheight() + 0.25)
        for arm, axes in zip(arms, grid.flat, strict=False):
            cells = {(row["workers"], row["learning_rate"]): row for row in rows if row["arm"] == arm}
            _cells(axes, spectrum, cells, least, style)
            room = int(108 * (style.inches - 0.6) / columns / 7)
            axes.set_title(arm if len(arm) <= room else f"{arm[: room - 1]}…", fontsize=7)
        for axes in grid[-2, len(arms) % columns or columns :] if lines > 1 else ():
            axes.tick_params(labelbottom=True)  # nothing stands below
        for axes in grid.flat[len(arms) :]:
            axes.set_axis_off()
        figure.supxlabel("workers", fontsize=8)
        figure.supylabel("learning rate", fontsize=8)
        name = "Which learning rates converge" + (f", speeds {label}" if len(spectrum.clusters) > 1 else "")
        words = f"Median final loss over {counted(seeds, 'seed')}, for each number of workers and learning"
        words += f" rate; the best is {number(least)}, and stronger colours are more times as high. A cross: some runs "
        words += "diverged."
        return finished(figure, style, name, words, *_table(rows))


def _cells(axes: Axes, spectrum: Spectrum, cells: dict[Any, dict[str, Any]], least: float, style: Style) -> None:
    from matplotlib.patches import Rectangle

    rates, counts = sorted(spectrum.learning_rates), sorted(spectrum.workers)
    for x, count in enumerate(counts):
        for y, rate in enumerate(rates):
            row = cells.get((count, rate))
            spread = row["final_loss"] if row else None
            text, colour, ink = "–", style.theme.paper, style.theme.muted
            if spread is not None and spread.count:
                text, colour, ink = "×", style.theme.band, style.theme.ink
                if math.isfinite(spread.high):
                    level = int(np.digitize(spread.median / least, LEVELS)) if least > 0 else 0
                    text, colour, ink = _short(spread.median), style.theme.levels[level], style.theme.on(level)
            cell = Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor=style.theme.paper, linewidth=0.8)
            axes.add_patch(cell)
            axes.text(x, y, text, ha="center", va="center", fontsize=6, color=ink)
    axes.set(xlim=(-0.5, len(counts) - 0.5), ylim=(-0.5, len(rates) - 0.5))
    axes.set_xticks(range(len(counts)), list(map(str, counts)))
    axes.set_yticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _short(value: float) -> str:
    """A loss in few letters."""
    text = f"{value:.2g}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e") if len(text) > 5 else text


def _tried(spectrum: Spectrum, rows: list[dict[str, Any]]) -> list[str]:
    """Labels of the arms whose learning rates were tried; a control takes that of its rule."""
    tried = {row["arm"] for row in rows}
    return [arm.label for arm in spectrum.arms if arm.label in tried]


def _bottoms(spectrum: Spectrum, rows: list[dict[str, Any]], seeds: int) -> str:
    text = f"Final training loss over the learning rate, median and range over {counted(seeds, 'seed')}."
    if spectrum.tuning_seeds:
        text += " On these seeds the learning rates were chosen; rules are judged on others."
    for label in spectrum.clusters:
        said = []
        for arm in _tried(spectrum, rows):
            own = [row for row in rows if (row["cluster"], row["arm"]) == (label, arm)]
            whole = [row for row in own if math.isfinite(row["final_loss"].high)]
            if not whole:
                said.append(f"{arm} converges at none")
                continue
            best = min(whole, key=lambda row: row["final_loss"].median)
            rate = best["learning_rate"]
            edge = len(spectrum.learning_rates) > 1 and rate in (
                min(spectrum.learning_rates),
                max(spectrum.learning_rates),
            )
            at_edge = ", the edge of what was tried" if edge else ""
            said.append(f"{arm} is lowest at {rate:g}{at_edge}, with {number(best['final_loss'].median)}")
        text += f" Speeds {label}: {'; '.join(said)}."
    return text


def _table(rows: list[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    header = ("speeds", "workers", "arm", "learning rate", "final loss", "lowest", "highest", "outcomes")
    table = [
        (row["cluster"], row["workers"], row["arm"], row["learning_rate"],
         *(number(value) for value in row["final_loss"][:3]),
         ", ".join(f"{count} {name}" for name, count in row["outcomes"].items()))
        for row in rows
    ]  # fmt: skip
    return header, table

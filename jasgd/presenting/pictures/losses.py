"""Losses over updates and over time, and what was evaluated meanwhile."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from jasgd.inputs.checks import chosen
from jasgd.presenting.curves import SMOOTHED, committed, smoothed
from jasgd.presenting.pictures.canvas import (
    NothingToDraw,
    Picture,
    binned,
    finished,
    in_unit,
    legend_below,
    new_figure,
    number,
    printable,
    scale_of_losses,
    thinned,
)
from jasgd.presenting.pictures.runs import Run, Runs, ended, runs_of
from jasgd.presenting.pictures.style import Look, Style, ThemeName, Width, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 120  # of the mini-batches of one run
Over = Literal["both", "updates", "time"]


class Curve(NamedTuple):
    """One arm over updates or time: median, least and largest over its seeds."""

    label: str
    x: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray


def loss(
    result: Runs, *, over: Over = "both", theme: ThemeName = "light", width: Width = "column", title: bool = True
) -> Figure:
    """Draws the training loss over updates and over time, with a band over seeds.

    A curve is the median over seeds of the mean over 20 mini-batches, as far as the shortest of an arm's runs goes; the
    band is their range. Of a single run the band is the range of single mini-batches, and evaluations are marked. Runs
    that did not end well are left out, and counted in the legend.

    Args:
      result: a run, an execution, a simulation, a comparison; or a mapping from labels to runs or lists of them.
      over: ``"updates"``, ``"time"`` in seconds, or ``"both"``.
      theme: ``"light"`` or ``"dark"``.
      width: ``"column"`` or ``"page"`` of a paper, 3.4 and 7 inches, or a number of inches.
      title: whether a title stands above it.

    Returns:
      The figure, for ``savefig`` or :func:`jasgd.report.save`.

    Raises:
      TypeError: for what is no result.
      ValueError: for a result without losses, and for arguments out of their ranges.
      ImportError: without Matplotlib, naming the extra.

    Example:
      >>> import jax.numpy as jnp, jasgd, optax
      >>> result = jasgd.train(lambda w, batch: (w**2).sum(), jnp.ones(2), optax.sgd(0.1), lambda t: 0.0, workers=1,
      ...                      steps=30)
      >>> [axes.get_xlabel() for axes in loss(result, over="updates").axes]
      ['updates']
    """
    chosen("over", over, ("both", "updates", "time"))
    return loss_picture(result, style_of(theme, width, title), over).figure


def loss_picture(result: Any, style: Style, over: Over = "both") -> Picture:
    """See :func:`loss`."""
    arms = {label: runs for label, runs in runs_of(result).items() if any(_has_loss(run) for run in runs)}
    if not arms:
        raise NothingToDraw("result must have losses, and no gradient of its runs has one")
    kept = {label: ended(label, runs) for label, runs in arms.items()}
    looks = style.looks(list(arms))
    sides = ("updates", "time") if over == "both" else (over,)
    longest = max(float(committed(run.execution)[-1]) for _, runs in kept.values() for run in runs)
    factor, unit = in_unit(longest)
    single = [run for runs in arms.values() for run in runs]
    with style.applied():
        rows, columns = (1, len(sides)) if style.wide else (len(sides), 1)
        figure, grid = new_figure(style, rows, columns, 2.1 if style.wide else 1.5, sharey=True)
        table: list[tuple[Any, ...]] = []
        seen = []
        for axes, side in zip(grid.flat, sides, strict=True):
            for arm, (label, runs) in kept.items():
                xs = [_position(run, side, factor) for run in runs]
                curve = _curve(label, xs, [_mean_loss(run) for run in runs])
                _draw(axes, curve, looks[arm], band=len(single) > 1)
                seen += [curve.low, curve.high]
                if side == sides[0]:
                    table += _rows(curve, [len(run.execution) for run in runs])
            if len(single) == 1:
                seen.append(_one_run(axes, single[0], side, factor, style))
            axes.set_xlabel("updates" if side == "updates" else f"time ({unit})")
            axes.margins(x=0.02)
        scale_of_losses(grid.flat[0], np.concatenate(seen))
        for axes in (grid[0, 0],) if style.wide else grid.flat:
            axes.set_ylabel("training loss")
        legend_below(figure, grid.flat[0], style)
        first, last = _ends(kept)
        seeds = max(len(runs) for _, runs in kept.values())
        words = f"Training loss over {' and '.join(sides)}, the mean over {SMOOTHED} mini-batches"
        words += f", median and range over {seeds} seeds" if seeds > 1 else ""
        went = "; ".join(f"{label or 'It'} went from {first[label]} to {last[label]}" for label in first)
        words += f". {went}."
        name = "Training loss"
        return finished(figure, style, name, words, ("arm", "updates", "median", "lowest", "highest"), table)


def evaluations(
    result: Runs, *, name: str | None = None, theme: ThemeName = "light", width: Width = "column", title: bool = True
) -> Figure:
    """Draws what ``evaluate`` said over updates: the accuracy, or another of its numbers, with a band over seeds.

    Args:
      result: as of :func:`loss`.
      name: of the number, such as ``"accuracy"``; by default that where it is there, or else the first that is.
      theme: ``"light"`` or ``"dark"``.
      width: ``"column"`` or ``"page"`` of a paper, 3.4 and 7 inches, or a number of inches.
      title: whether a title stands above it.

    Returns:
      The figure.

    Raises:
      TypeError: for what is no result.
      ValueError: for a result that was not evaluated, and for a name that no evaluation has.
      ImportError: without Matplotlib, naming the extra.

    Example:
      >>> import jax.numpy as jnp, jasgd, optax
      >>> result = jasgd.train(lambda w, batch: (w**2).sum(), jnp.ones(2), optax.sgd(0.1), lambda t: 0.0, workers=1,
      ...                      steps=30, evaluate=lambda w: {"loss": 0.5, "size": (w**2).sum()})
      >>> evaluations(result, name="size").axes[0].get_ylabel()
      'size'
    """
    return evaluations_picture(result, style_of(theme, width, title), name).figure


def evaluations_picture(result: Any, style: Style, name: str | None = None) -> Picture:
    """See :func:`evaluations`."""
    arms = {label: [run for run in runs if run.evaluations] for label, runs in runs_of(result).items()}
    arms = {label: runs for label, runs in arms.items() if runs}
    names = dict.fromkeys(
        key for runs in arms.values() for run in runs for e in run.evaluations for key in e
        if key not in ("time_s", "version")
    )  # fmt: skip
    if not names:
        raise NothingToDraw("result must have evaluations, and none of its runs was evaluated")
    if name is None:
        name = "accuracy" if "accuracy" in names else next(iter(names))
    if name not in names:
        raise ValueError(f"name must be one of {', '.join(names)}, got {name!r}")
    looks = style.looks(list(arms))
    with style.applied():
        figure, ((axes,),) = new_figure(style, 1, 1, 1.9)
        table = []
        for arm, all_runs in arms.items():
            label, runs = ended(arm, all_runs)
            points = [_evaluated(run, name) for run in runs]
            points = [(x, y) for x, y in points if len(x)]
            if not points:
                continue
            same = all(len(x) == len(points[0][0]) and (x == points[0][0]).all() for x, _ in points)
            if same:
                values = np.array([y for _, y in points])
                curve = Curve(label, points[0][0], np.median(values, axis=0), values.min(axis=0), values.max(axis=0))
            else:
                curve = _curve(label, [x for x, _ in points], [y for _, y in points])
            marked = looks[arm].marked(style.theme.paper) if same and len(curve.x) <= 40 else {}
            _draw(axes, curve, looks[arm], band=len(points) > 1, **marked)
            table += _rows(curve, [1])
        name = printable(name)
        axes.set(xlabel="updates", ylabel=name)
        axes.margins(x=0.02)
        legend_below(figure, axes, style)
        last = "; ".join(f"{label or 'it'} ended at {number(float(arm[-1][2]))}" for label, arm in _by_arm(table))
        words = f"{name} as evaluated, over updates, the median and range over seeds: {last}."
        header = ("arm", "updates", "median", "lowest", "highest")
        return finished(figure, style, f"Evaluated {name}", words, header, table)


def _has_loss(run: Run) -> bool:
    return bool(np.isfinite(run.execution.loss).any())


def _mean_loss(run: Run) -> np.ndarray:
    """The mean over 20 mini-batches; the losses themselves of a run that is too short for that."""
    return smoothed(run.execution.loss) if len(run.execution) >= SMOOTHED else run.execution.loss.astype(np.float64)


def _position(run: Run, side: str, factor: float) -> np.ndarray:
    ex = run.execution
    return ex.version + 1.0 if side == "updates" else factor * committed(ex)


def _curve(label: str, xs: list[np.ndarray], ys: list[np.ndarray]) -> Curve:
    """Median and range over seeds on one grid, as far as the shortest run goes; of one run its own points."""
    if len(xs) == 1:
        there = np.isfinite(ys[0])
        x, y = thinned(xs[0][there], ys[0][there])
        return Curve(label, x, y, y, y)
    finite = [(x[np.isfinite(y)], y[np.isfinite(y)]) for x, y in zip(xs, ys, strict=True)]
    finite = [(x, y) for x, y in finite if len(x)]
    if not finite:
        return Curve(label, *[np.zeros(0)] * 4)
    start, stop = max(float(x[0]) for x, _ in finite), min(float(x[-1]) for x, _ in finite)
    grid = np.linspace(start, max(start, stop), 300 if stop > start else 1)
    curves = np.array([np.interp(grid, x, y) for x, y in finite])
    return Curve(label, grid, np.median(curves, axis=0), curves.min(axis=0), curves.max(axis=0))


def _draw(axes: Axes, curve: Curve, look: Look, *, band: bool, **marked: Any) -> None:
    options: dict[str, Any] = look.line() | ({"marker": look.marker} if len(curve.x) == 1 else {}) | marked
    axes.plot(curve.x, curve.median, label=curve.label, **options)
    if band and len(curve.x) > 1:
        axes.fill_between(curve.x, curve.low, curve.high, color=look.color, alpha=0.16, linewidth=0)
    elif band:
        axes.vlines(curve.x, curve.low, curve.high, color=look.color, linewidth=1)


def _one_run(axes: Axes, run: Run, side: str, factor: float, style: Style) -> np.ndarray:
    """The range of single mini-batches of one run, and its evaluations; gives all that was drawn."""
    ex, theme = run.execution, style.theme
    there = np.isfinite(ex.loss)
    x, spread = binned(_position(run, side, factor)[there], ex.loss[there].astype(np.float64), BINS)
    if len(x) > 1:
        band = axes.fill_between(x, spread[:, 0], spread[:, 2], color=theme.band, linewidth=0, zorder=0)
        band.set_label("range of mini-batches")
    axes.lines[0].set_label(f"mean over {SMOOTHED}" if len(ex) >= SMOOTHED else "mini-batches")
    at, values = _evaluated(run, "loss", side, factor)
    if len(at):
        axes.plot(at, values, "o--", color=theme.colours[2], linewidth=0.8, label="evaluated")
    return np.concatenate([spread.ravel(), values])


def _evaluated(run: Run, name: str, side: str = "updates", factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    pairs = [
        (e["version"] if side == "updates" else factor * e["time_s"], e[name]) for e in run.evaluations if name in e
    ]
    x, y = np.array(pairs, float).reshape(-1, 2).T
    return x[np.isfinite(y)], y[np.isfinite(y)]


def _rows(curve: Curve, lengths: list[int], most: int = 12) -> list[tuple[Any, ...]]:
    x, median, low, high = thinned(*curve[1:], most=most)
    shown = zip(x, median, low, high, strict=True)
    return [(curve.label, round(float(at)), *(float(f"{value:.4g}") for value in values)) for at, *values in shown]


def _ends(kept: dict[str, tuple[str, list[Run]]]) -> tuple[dict[str, str], dict[str, str]]:
    first, last = {}, {}
    for label, runs in kept.values():
        means = [values[np.isfinite(values)] for values in map(_mean_loss, runs)]
        means = [values for values in means if len(values)]
        if means:
            first[label] = number(float(np.median([values[0] for values in means])))
            last[label] = number(float(np.median([values[-1] for values in means])))
    return first, last


def _by_arm(table: list[tuple[Any, ...]]) -> list[tuple[str, list[tuple[Any, ...]]]]:
    return [(label, list(rows)) for label, rows in itertools.groupby(table, key=lambda row: row[0])]

"""The pictures of a run and of a comparison, drawn without pyplot, so that no state outlives a call."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jasgd.arms import number
from jasgd.comparison import Comparison
from jasgd.execution import Execution
from jasgd.fits import fit
from jasgd.measures import SMOOTHED, committed, smoothed
from jasgd.result import Outcome, TrainResult

try:
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import MaxNLocator
except ImportError as error:
    raise ImportError('plots need Matplotlib: pip install "jasgd[cli]"') from error

# Okabe and Ito's palette, told apart with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK, GREY, FAINT = "#333333", "#7A8791", "#C3CFD9"
STYLE = {
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
}
DPI = 150
SHOWN = 0.99  # share of the staleness values that plots reach out to; tails are long
FEW = 20  # gradients that a point of C(τ) stands for, the last one excepted
MARKED = 40  # points on a curve, above which they are not marked one by one
Look = dict[str, str]  # colour and style of a line


def plot_run(result: TrainResult, folder: Path) -> list[Path]:
    """See :func:`jasgd.report.plot`."""
    ex = result.execution
    if len(ex) == 0:
        return []
    with rc_context(STYLE):
        figures = {"loss": _loss(result), "staleness": _staleness(ex), "step_size": _step_size(ex)}
        return save(figures, folder)


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


def save(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Writes figures as PNGs of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=DPI)
    return paths


def new_figure(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure without pyplot, and its axes."""
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, wspace=0.03))
    return figure, np.asarray(figure.subplots(rows, columns, squeeze=False, **options))


def _loss(result: TrainResult) -> Figure:
    ex = result.execution
    figure, ((left, right),) = new_figure(1, 2, (10, 4), sharey=True)
    means = smoothed(ex.loss)
    for axes, x, evaluated in ((left, ex.version + 1, "version"), (right, committed(ex), "time_s")):
        axes.plot(x, ex.loss, ".", color=FAINT, markersize=2.5, label="mini-batch", rasterized=True)
        axes.plot(x, means, color=COLOURS[0], label=f"mean over {SMOOTHED} mini-batches")
        told = [(e[evaluated], e["loss"]) for e in result.evaluations if math.isfinite(e.get("loss", math.nan))]
        if told:
            style = {"marker": "o", "markersize": 5, "linewidth": 1, "linestyle": "--"}
            axes.plot(*zip(*told, strict=True), color=COLOURS[1], label="evaluated", **style)
        axes.margins(x=0.02)
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    # Cut below the curve, since single mini-batches reach far down.
    _loss_scale(left, means if np.isfinite(means).any() else ex.loss, ex.loss, 0.25)
    left.set(xlabel="updates", ylabel="loss")
    right.set(xlabel="time (s)")
    handles, labels = left.get_legend_handles_labels()
    right.legend(handles, labels, loc="upper right")
    m = result.metrics
    told = f"Training loss from {m['first_loss']:.3g} to {m['last_loss']:.3g} in {m['updates']:,} updates"
    scheme = f"{ex.metadata.get('scheme', '')}, {number(ex.workers, 'worker')}"
    headline(figure, f"{told} and {result.duration_s:.1f} s: {scheme}")
    return figure


def _staleness(ex: Execution) -> Figure:
    figure, ((axes,),) = new_figure(1, 1, (8, 4.2))
    _histogram(axes, ex.staleness, COLOURS[0], _reach(ex.staleness), _is_peaked(ex.staleness))
    mean, median, most = ex.staleness.mean(), np.median(ex.staleness), ex.staleness.max()
    axes.set(xlabel="staleness τ (updates)", ylabel="share of the gradients")
    axes.set_title(f"Gradients were {mean:.1f} updates stale on average, median {median:.0f}, at most {most}")
    axes.legend(loc="upper right")
    return figure


def _histogram(axes: Any, staleness: np.ndarray, colour: str, reach: int, log: bool) -> None:
    pmf, best = _pmf(staleness), fit(staleness)[0]
    beyond = float((staleness > reach).mean())
    label = f"measured, {len(staleness):,} gradients" + (f" ({beyond:.1%} beyond)" if beyond else "")
    axes.bar(np.arange(len(pmf))[: reach + 1], pmf[: reach + 1], width=0.85, color=colour, alpha=0.75, label=label)
    parameters = ", ".join(f"{name} {value:.3g}" for name, value in best.parameters.items())
    label = f"nearest model: {best.model},\n{parameters}; $D_B$ = {best.distance:.3f}"
    q = best.pmf[: reach + 1]
    marker = {"marker": "o", "markersize": 3 if reach <= MARKED else 0, "linewidth": 1.3}
    axes.plot(np.arange(len(q)), q, color=INK, label=label, **marker)
    axes.set_xlim(-0.7, reach + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if log:
        axes.set_yscale("log")
        axes.set_ylim(0.5 / len(staleness), 8)


def _step_size(ex: Execution) -> Figure:
    figure, ((axes,),) = new_figure(1, 1, (8, 4.2))
    reach, pmf = _reach(ex.staleness), _pmf(ex.staleness)
    law = axes.twinx()
    law.bar(np.arange(len(pmf))[: reach + 1], pmf[: reach + 1], width=0.85, color=FAINT, alpha=0.6)
    if _is_peaked(ex.staleness):
        law.set_yscale("log")
        law.set_ylim(0.5 / len(ex), 8)
    else:
        law.set_ylim(0, 1.6 * float(pmf.max()))
    law.set_ylabel("share of the gradients (grey)", color=GREY)
    law.tick_params(axis="y", which="both", colors=GREY)
    law.grid(visible=False)
    axes.set_zorder(law.get_zorder() + 1)
    axes.patch.set_visible(False)
    look = next(looks_of())
    top = _factor(axes, [ex], look, reach, "median of the factors used, and 10 to 90 %", np.median)
    _finish_factors(axes, reach, top)
    axes.set_title(f"The step-size function that was used: E[C] = {float(ex.factor.mean(dtype=np.float64)):.3f}")
    axes.legend(loc="upper right")
    return figure


def _factor(axes: Any, executions: Sequence[Execution], look: Look, reach: int, label: str, centre: Any) -> float:
    """Draws the factors over the staleness, as their centre and the middle 80 %; gives the top that the axis needs.

    Every run counts the same, however its gradients are spread over the staleness: else a control, whose factor is
    constant in each run and another in the next, would seem to depend on the staleness.
    """
    pooled = np.concatenate([ex.staleness for ex in executions])
    pooled = pooled[pooled <= reach]
    # Neighbouring values are taken together where gradients are few, as in long tails.
    groups, start = [], 0
    for value in np.unique(pooled):
        if ((pooled >= start) & (pooled <= value)).sum() >= FEW or value == pooled.max():
            groups.append((start, value))
            start = value + 1
    x = np.array([pooled[(pooled >= first) & (pooled <= last)].mean() for first, last in groups])
    curves = []
    for ex in executions:
        factor = ex.factor.astype(np.float64)
        members = [factor[(ex.staleness >= first) & (ex.staleness <= last)] for first, last in groups]
        there = [place for place, m in enumerate(members) if len(m)]
        told = [(centre(members[k]), *np.quantile(members[k], [0.1, 0.9])) for k in there]
        if told:
            curves.append([np.interp(x, x[there], column) for column in zip(*told, strict=True)])
    middle, low, high = np.array(curves).transpose(1, 0, 2)
    marker = {"marker": "o", "markersize": 3.5 if len(x) <= MARKED else 2}
    axes.plot(x, middle.mean(axis=0), label=label, **look, **marker)
    axes.fill_between(x, low.min(axis=0), high.max(axis=0), color=look["color"], alpha=0.2, linewidth=0)
    return max(1.25, 1.15 * float(high.max()))


def _finish_factors(axes: Any, reach: int, top: float) -> None:
    axes.axhline(1, color=INK, linewidth=1, linestyle=":")
    axes.set(xlabel="staleness τ (updates)", ylabel="step-size factor C(τ)", ylim=(0, top), xlim=(-0.7, reach + 0.7))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


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
    _loss_scale(left, np.concatenate(everything), np.concatenate(everything), 0.7)
    left.set(xlabel="updates", ylabel="training loss")
    right.set(xlabel="time (s)")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns_of(labels, 110))
    told = f"{comparison.problem}, {comparison.settings['scheme']}, {number(comparison.settings['workers'], 'worker')}"
    headline(figure, f"Training loss on {told}: {f'median and range over {seeds} seeds' if seeds > 1 else 'one seed'}")
    return figure


def _lasting(label: str, runs: list[TrainResult]) -> tuple[str, list[Execution]]:
    """The runs whose losses are drawn, and a label that counts the others, which would cut the curve where they ended.

    Where all ended early, all are drawn.
    """
    ended = [r for r in runs if r.outcome in (Outcome.FINISHED, Outcome.CONVERGED) and len(r.execution)]
    others = Counter(str(r.outcome) for r in runs if r.outcome not in (Outcome.FINISHED, Outcome.CONVERGED))
    told = ", ".join(f"{count} {outcome}" for outcome, count in others.items())
    if told:
        label += f" ({told}{', not drawn' if ended else ''})"
    return label, [r.execution for r in ended or runs if len(r.execution)]


def _laws(arms: dict[str, list[Execution]], looks: dict[str, Look]) -> Figure:
    columns = 1 if len(arms) == 1 else 2
    rows = math.ceil(len(arms) / columns)
    figure, grid = new_figure(rows, columns, (5 * columns, 2.6 * rows + 0.6), sharex=True, sharey=True)
    pooled = {label: np.concatenate([ex.staleness for ex in executions]) for label, executions in arms.items()}
    reach, log = max(map(_reach, pooled.values())), any(map(_is_peaked, pooled.values()))
    for axes, (label, staleness) in zip(grid.flat, pooled.items(), strict=False):
        _histogram(axes, staleness, looks[label]["color"], reach, log)
        told = f"{label}: mean τ {staleness.mean():.1f}, median {np.median(staleness):.0f}"
        axes.set_title(_wrapped(told, 4.6))
        axes.legend(loc="upper right", fontsize=9)
    for axes in grid.flat[len(pooled) :]:
        axes.set_axis_off()
    figure.supxlabel("staleness τ (updates)", fontsize=11)
    figure.supylabel("share of the gradients", fontsize=11)
    headline(figure, "How stale the gradients of each arm were, all seeds together")
    return figure


def _step_sizes(arms: dict[str, list[Execution]], looks: dict[str, Look]) -> Figure:
    figure, ((axes,),) = new_figure(1, 1, (8, 4.6))
    reach = max(_reach(np.concatenate([ex.staleness for ex in executions])) for executions in arms.values())
    tops = []
    for label, executions in arms.items():
        mean = np.mean([ex.factor.mean(dtype=np.float64) for ex in executions])
        tops.append(_factor(axes, executions, looks[label], reach, f"{label}: E[C] = {mean:.2f}", np.mean))
    _finish_factors(axes, reach, max(tops))
    one = max(map(len, arms.values())) == 1
    told = "means, and 10 to 90 % of the factors" if one else "means over seeds, and 10 to 90 % of the factors"
    axes.set_title(f"The step-size functions used: {told}")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns_of(labels, 90))
    return figure


def columns_of(labels: Sequence[str], characters: int) -> int:
    """Columns of a legend, 4 at most, that is to be no wider than so many characters."""
    widths = sorted((7 + len(label) for label in labels), reverse=True)
    return max(n for n in range(1, min(len(labels), 4) + 1) if n == 1 or sum(widths[:n]) <= characters)


def headline(figure: Figure, text: str) -> None:
    """Writes above a figure what it shows."""
    figure.suptitle(_wrapped(text, figure.get_figwidth()), x=0.01, ha="left", fontsize=12)


def _wrapped(text: str, inches: float) -> str:
    """Lines of a title that are no wider than a figure, or a part of it, is."""
    return textwrap.fill(text, int(11 * inches), break_on_hyphens=False)


def _loss_scale(axes: Any, curve: np.ndarray, points: np.ndarray, below: float) -> None:
    """A logarithmic axis down to ``below`` times the least of the curve, where points lie more than tenfold above."""
    least = curve[np.isfinite(curve)].min(initial=np.inf)
    most = points[np.isfinite(points)].max(initial=-np.inf)
    if least > 0 and most > 10 * least:
        axes.set_yscale("log")
        axes.set_ylim(bottom=below * least)


def _pmf(staleness: np.ndarray) -> np.ndarray:
    return np.bincount(staleness) / len(staleness)


def _is_peaked(staleness: np.ndarray) -> bool:
    """Whether one value has so large a share, and others so small ones, that only logarithms show both."""
    pmf = _pmf(staleness)
    return bool(pmf.max() > 0.4 and np.count_nonzero(pmf) > 10)


def _reach(staleness: np.ndarray) -> int:
    return max(4, int(np.quantile(staleness, SHOWN)))


def looks_of() -> Iterator[Look]:
    """A look per arm; where there are more arms than colours, lines are dashed."""
    for style in itertools.cycle(("-", "--", ":")):
        for colour in COLOURS:
            yield {"color": colour, "linestyle": style}

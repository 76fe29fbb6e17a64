"""The pictures of a run and of a comparison, drawn without pyplot, so that no state outlives a call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jasgd.comparison import Comparison
from jasgd.execution import Execution
from jasgd.fits import fit
from jasgd.measures import SMOOTHED, smoothed
from jasgd.result import TrainResult

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


def plot_run(result: TrainResult, folder: Path) -> list[Path]:
    """See :func:`jasgd.report.plot`."""
    ex = result.execution
    if len(ex) == 0:
        return []
    with rc_context(STYLE):
        figures = {"loss": _loss(result), "staleness": _staleness(ex), "step_size": _step_size(ex)}
        return _save(figures, folder)


def plot_arms(comparison: Comparison, folder: Path) -> list[Path]:
    """See :func:`jasgd.report.plot_comparison`."""
    arms = {}
    for arm in comparison.arms:
        executions = [r.execution for r in comparison.runs[arm.label].values() if len(r.execution)]
        if executions:
            arms[arm.label] = executions
    if not arms:
        return []
    with rc_context(STYLE):
        figures = {
            "loss": _losses(arms, comparison),
            "staleness": _laws(arms),
            "step_size": _step_sizes(arms),
        }
        return _save(figures, folder)


def _save(figures: dict[str, Figure], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        figure.savefig(paths[-1], dpi=DPI)
    return paths


def _figure(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, wspace=0.03))
    return figure, np.asarray(figure.subplots(rows, columns, squeeze=False, **options))


def _loss(result: TrainResult) -> Figure:
    ex = result.execution
    figure, ((left, right),) = _figure(1, 2, (10, 4), sharey=True)
    means = smoothed(ex.loss)
    for axes, x, evaluated in ((left, ex.version + 1, "version"), (right, ex.time_s, "time_s")):
        axes.plot(x, ex.loss, ".", color=FAINT, markersize=2.5, label="mini-batch", rasterized=True)
        axes.plot(x, means, color=COLOURS[0], label=f"mean over {SMOOTHED} mini-batches")
        told = [(e[evaluated], e["loss"]) for e in result.evaluations if math.isfinite(e.get("loss", math.nan))]
        if told:
            style = {"marker": "o", "markersize": 5, "linewidth": 1, "linestyle": "--"}
            axes.plot(*zip(*told, strict=True), color=COLOURS[1], label="evaluated", **style)
        axes.margins(x=0.02)
    # Cut below the curve, since single mini-batches reach far down.
    _loss_scale(left, means if np.isfinite(means).any() else ex.loss, 0.25)
    left.set(xlabel="updates", ylabel="training loss")
    right.set(xlabel="time (s)")
    handles, labels = left.get_legend_handles_labels()
    right.legend(handles, labels, loc="upper right")
    m = result.metrics
    told = f"Training loss from {m['first_loss']:.3g} to {m['last_loss']:.3g} in {m['updates']:,} updates"
    scheme = f"{ex.metadata.get('scheme', '')}, {ex.workers} workers"
    _headline(figure, f"{told} and {result.duration_s:.1f} s: {scheme}")
    return figure


def _staleness(ex: Execution) -> Figure:
    figure, ((axes,),) = _figure(1, 1, (8, 4.2))
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
    figure, ((axes,),) = _figure(1, 1, (8, 4.2))
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
    top = _factor(axes, [ex], COLOURS[0], reach, "median of the factors used, and 10 to 90 %", np.median)
    _finish_factors(axes, reach, top)
    axes.set_title(f"The step-size function that was used: E[C] = {float(ex.factor.mean(dtype=np.float64)):.3f}")
    axes.legend(loc="upper right")
    return figure


def _factor(axes: Any, executions: Sequence[Execution], colour: str, reach: int, label: str, centre: Any) -> float:
    """Draws the factors over the staleness, as their centre and the middle 80 %; gives the top that the axis needs."""
    tau = np.concatenate([ex.staleness for ex in executions])
    factor = np.concatenate([ex.factor for ex in executions]).astype(np.float64)[tau <= reach]
    tau = tau[tau <= reach]
    # Neighbouring values are taken together where gradients are few, as in long tails.
    members, start = [], 0
    for value in np.unique(tau):
        together = (tau >= start) & (tau <= value)
        if together.sum() >= FEW or value == tau.max():
            members.append(together)
            start = value + 1
    x = [tau[m].mean() for m in members]
    low, high = np.array([np.quantile(factor[m], [0.1, 0.9]) for m in members]).T
    marker = {"marker": "o", "markersize": 3.5 if len(x) <= MARKED else 2}
    axes.plot(x, [centre(factor[m]) for m in members], color=colour, label=label, **marker)
    axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    return max(1.25, 1.15 * float(high.max()))


def _finish_factors(axes: Any, reach: int, top: float) -> None:
    axes.axhline(1, color=INK, linewidth=1, linestyle=":")
    axes.set(xlabel="staleness τ (updates)", ylabel="step-size factor C(τ)", ylim=(0, top), xlim=(-0.7, reach + 0.7))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _losses(arms: dict[str, list[Execution]], comparison: Comparison) -> Figure:
    figure, ((left, right),) = _figure(1, 2, (10, 4.4), sharey=True)
    everything = []
    for (label, executions), colour in zip(arms.items(), _colours(), strict=False):
        means = [smoothed(ex.loss) for ex in executions]
        everything += means
        for axes, columns in (
            (left, [ex.version + 1.0 for ex in executions]),
            (right, [ex.time_s for ex in executions]),
        ):
            # All seeds on one grid, as far as the shortest run goes.
            grid = np.linspace(0, min(float(x[-1]) for x in columns), 400)
            curves = np.array([np.interp(grid, x, m, left=np.nan) for x, m in zip(columns, means, strict=True)])
            there = np.isfinite(curves).all(axis=0)
            axes.plot(grid[there], np.median(curves[:, there], axis=0), color=colour, label=label)
            low, high = curves[:, there].min(axis=0), curves[:, there].max(axis=0)
            axes.fill_between(grid[there], low, high, color=colour, alpha=0.15, linewidth=0)
            axes.margins(x=0.02)
    _loss_scale(left, np.concatenate(everything), 0.7)
    left.set(xlabel="updates", ylabel="training loss")
    right.set(xlabel="time (s)")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=min(len(arms), 4))
    seeds = max(len(executions) for executions in arms.values())
    told = f"{comparison.problem}, {comparison.settings['scheme']}, {comparison.settings['workers']} workers"
    _headline(figure, f"Training loss on {told}: median and range over {seeds} seeds")
    return figure


def _laws(arms: dict[str, list[Execution]]) -> Figure:
    columns = 1 if len(arms) == 1 else 2
    rows = math.ceil(len(arms) / columns)
    figure, grid = _figure(rows, columns, (5 * columns, 2.6 * rows + 0.6), sharex=True, sharey=True)
    pooled = {label: np.concatenate([ex.staleness for ex in executions]) for label, executions in arms.items()}
    reach, log = max(map(_reach, pooled.values())), any(map(_is_peaked, pooled.values()))
    for axes, (label, staleness), colour in zip(grid.flat, pooled.items(), _colours(), strict=False):
        _histogram(axes, staleness, colour, reach, log)
        axes.set_title(f"{label}: mean τ {staleness.mean():.1f}, median {np.median(staleness):.0f}")
        axes.legend(loc="upper right", fontsize=9)
    for axes in grid.flat[len(pooled) :]:
        axes.set_axis_off()
    figure.supxlabel("staleness τ (updates)", fontsize=11)
    figure.supylabel("share of the gradients", fontsize=11)
    _headline(figure, "How stale the gradients of each arm were, all seeds together")
    return figure


def _step_sizes(arms: dict[str, list[Execution]]) -> Figure:
    figure, ((axes,),) = _figure(1, 1, (8, 4.6))
    reach = max(_reach(np.concatenate([ex.staleness for ex in executions])) for executions in arms.values())
    tops = []
    for (label, executions), colour in zip(arms.items(), _colours(), strict=False):
        mean = np.mean([ex.factor.mean(dtype=np.float64) for ex in executions])
        tops.append(_factor(axes, executions, colour, reach, f"{label}: E[C] = {mean:.2f}", np.mean))
    _finish_factors(axes, reach, max(tops))
    axes.set_title("The step-size functions that were used: means, and 10 to 90 % of the factors")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=min(len(arms), 2))
    return figure


def _headline(figure: Figure, text: str) -> None:
    figure.suptitle(text, x=0.01, ha="left", fontsize=12)


def _loss_scale(axes: Any, losses: np.ndarray, below: float) -> None:
    """A logarithmic axis down to ``below`` times the least loss, where losses differ by more than tenfold."""
    there = losses[np.isfinite(losses)]
    if len(there) and there.min() > 0 and there.max() > 10 * there.min():
        axes.set_yscale("log")
        axes.set_ylim(bottom=below * there.min())


def _pmf(staleness: np.ndarray) -> np.ndarray:
    return np.bincount(staleness) / len(staleness)


def _is_peaked(staleness: np.ndarray) -> bool:
    """Whether one value has so large a share, and others so small ones, that only logarithms show both."""
    pmf = _pmf(staleness)
    return bool(pmf.max() > 0.4 and np.count_nonzero(pmf) > 10)


def _reach(staleness: np.ndarray) -> int:
    return max(4, int(np.quantile(staleness, SHOWN)))


def _colours() -> list[str]:
    return list(COLOURS) * 10

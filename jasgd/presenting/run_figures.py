"""The figures of a run: its loss, its staleness, and the step-size function that was used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from jasgd.presenting.curves import SMOOTHED, committed, smoothed
from jasgd.presenting.figures import (
    COLOURS,
    FAINT,
    GREY,
    STYLE,
    Figure,
    Figures,
    MaxNLocator,
    draw_factors,
    draw_histogram,
    finish_factors,
    headline,
    is_peaked,
    looks_of,
    new_figure,
    pmf_of,
    rc_context,
    reach_of,
    scale_loss,
)
from jasgd.record.execution import Execution
from jasgd.record.start_of_run import mean_factor_after_start
from jasgd.showing import counted


class Run(Protocol):
    """What is drawn of a run, such as a :class:`jasgd.TrainResult`."""

    @property
    def execution(self) -> Execution:
        """Its record."""
        ...

    @property
    def evaluations(self) -> Sequence[Mapping[str, float]]:
        """What ``evaluate`` gave, each with ``time_s`` and ``version``."""
        ...

    @property
    def duration_s(self) -> float:
        """How long it took, in seconds."""
        ...

    @property
    def metrics(self) -> Mapping[str, float]:
        """The run in numbers."""
        ...


def figures_of(result: Run) -> Figures:
    """Draws a run, see :meth:`jasgd.TrainResult.plot`."""
    ex = result.execution
    if len(ex) == 0:
        return Figures()
    with rc_context(STYLE):
        return Figures(loss=_loss(result), staleness=_staleness(ex), step_size=_step_size(ex))


def _loss(result: Run) -> Figure:
    ex = result.execution
    figure, ((left, right),) = new_figure(1, 2, (10, 4), sharey=True)
    means = smoothed(ex.loss)
    for axes, x, evaluated in ((left, ex.version + 1, "version"), (right, committed(ex), "time_s")):
        axes.plot(x, ex.loss, ".", color=FAINT, markersize=2.5, label="mini-batch", rasterized=True)
        axes.plot(x, means, color=COLOURS[0], label=f"mean over {SMOOTHED} mini-batches")
        evaluations = [(e[evaluated], e["loss"]) for e in result.evaluations if math.isfinite(e.get("loss", math.nan))]
        if evaluations:
            style = {"marker": "o", "markersize": 5, "linewidth": 1, "linestyle": "--"}
            axes.plot(*zip(*evaluations, strict=True), color=COLOURS[1], label="evaluated", **style)
        axes.margins(x=0.02)
        axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    # Cut below the curve, since single mini-batches reach far down.
    scale_loss(left, means if np.isfinite(means).any() else ex.loss, ex.loss, 0.25)
    left.set(xlabel="updates", ylabel="loss")
    right.set(xlabel="time (s)")
    handles, labels = left.get_legend_handles_labels()
    right.legend(handles, labels, loc="upper right")
    m = result.metrics
    training = f"Training loss from {m['first_loss']:.3g} to {m['last_loss']:.3g} in {m['updates']:,} updates"
    scheme = f"{ex.metadata.get('scheme', '')}, {counted(ex.workers, 'worker')}"
    headline(figure, f"{training} and {result.duration_s:.1f} s: {scheme}")
    return figure


def _staleness(ex: Execution) -> Figure:
    figure, ((axes,),) = new_figure(1, 1, (8, 4.2))
    draw_histogram(axes, ex.staleness, COLOURS[0], reach_of(ex.staleness), is_peaked(ex.staleness))
    mean, median, most = ex.staleness.mean(), np.median(ex.staleness), ex.staleness.max()
    axes.set(xlabel="staleness τ (updates)", ylabel="share of the gradients")
    axes.set_title(f"Gradients were {mean:.1f} updates stale on average, median {median:.0f}, at most {most}")
    axes.legend(loc="upper right")
    return figure


def _step_size(ex: Execution) -> Figure:
    figure, ((axes,),) = new_figure(1, 1, (8, 4.2))
    reach, pmf = reach_of(ex.staleness), pmf_of(ex.staleness)
    law = axes.twinx()
    law.bar(np.arange(len(pmf))[: reach + 1], pmf[: reach + 1], width=0.85, color=FAINT, alpha=0.6)
    if is_peaked(ex.staleness):
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
    top = draw_factors(axes, [ex], look, reach, "median of the factors used, and 10 to 90 %", np.median)
    finish_factors(axes, reach, top)
    whole, after = float(ex.factor.mean(dtype=np.float64)), mean_factor_after_start(ex)
    axes.set_title(f"The step-size function that was used: E[C] = {whole:.3f}, after the start {after:.3f}")
    axes.legend(loc="upper right")
    return figure

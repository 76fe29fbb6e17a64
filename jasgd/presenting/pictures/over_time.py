"""How staleness and step size went during a run: τ over updates, and the mean of C so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jasgd.presenting.pictures.canvas import (
    NothingToDraw,
    Picture,
    binned,
    finished,
    legend_below,
    new_figure,
    number,
    thinned,
)
from jasgd.presenting.pictures.runs import Run, Runs, runs_of
from jasgd.presenting.pictures.style import Style, ThemeName, Width, style_of
from jasgd.record.execution import Execution
from jasgd.record.start_of_run import start_of_execution

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS_EACH = 600  # gradients up to which each is a point
BINS = 100


def staleness_over_time(
    result: Runs, *, theme: ThemeName = "light", width: Width = "column", title: bool = True
) -> Figure:
    """Draws the staleness of the gradients over the updates of a run.

    Of one run there is a point for each gradient, or where there are more than 600 the range in each of a hundred equal
    parts of the run, and a line through their medians. Of several runs the median of each arm over seeds and parts.

    Args:
      result: a run, an execution, a simulation, a comparison; or a mapping from labels to runs or lists of them.
      theme: ``"light"`` or ``"dark"``.
      width: ``"column"`` or ``"page"`` of a paper, 3.4 and 7 inches, or a number of inches.
      title: whether a title stands above it.

    Returns:
      The figure, for ``savefig`` or :func:`jasgd.report.save`.

    Raises:
      TypeError: for what is no result.
      ValueError: for a result without gradients, and for arguments out of their ranges.
      ImportError: without Matplotlib, naming the extra.

    Example:
      >>> from jasgd import cluster
      >>> execution = cluster.generate(cluster.Cluster(compute_s=1.0), workers=3, steps=8)
      >>> staleness_over_time(execution).axes[0].get_ylabel()
      'staleness τ'
    """
    return staleness_over_time_picture(result, style_of(theme, width, title)).figure


def staleness_over_time_picture(result: Any, style: Style) -> Picture:
    """See :func:`staleness_over_time`."""
    arms = runs_of(result)
    looks, one = style.looks(list(arms)), sum(map(len, arms.values())) == 1
    table: list[tuple[Any, ...]] = []
    with style.applied():
        figure, ((axes,),) = new_figure(style, 1, 1, 1.9)
        for label, runs in arms.items():
            look = looks[label]
            x = np.concatenate([run.execution.version + 1.0 for run in runs])
            tau = np.concatenate([run.execution.staleness for run in runs]).astype(float)
            order = np.argsort(x, kind="stable")
            x, tau = x[order], tau[order]
            middle, spread = binned(x, tau, min(BINS, max(1, len(x) // 10)))
            if one and len(x) <= POINTS_EACH:
                axes.plot(x, tau, ".", color=style.theme.muted, markersize=2, label="each gradient")
            elif len(middle) > 1:
                axes.fill_between(middle, spread[:, 0], spread[:, 2], color=look.color, alpha=0.16, linewidth=0,
                                  label="least to largest" if one else None)  # fmt: skip
            mark = {"marker": look.marker} if len(middle) == 1 else {}
            axes.plot(middle, spread[:, 1], label=label or "median", **look.line(), **mark)
            rows = zip(*thinned(middle, *spread.T, most=20), strict=True)
            table += [(label, round(at), *map(float, values)) for at, *values in rows]
        most, usual = max(row[4] for row in table), max(row[3] for row in table)
        if most > 20 * (usual + 1):
            axes.set_yscale("symlog", linthresh=1)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.set(xlabel="updates", ylabel="staleness τ")
        axes.margins(x=0.02)
        legend_below(figure, axes, style)
        means = "; ".join(f"{label or 'τ'}: mean {_mean(runs, 'staleness')}, largest {_largest(runs)}"
                          for label, runs in arms.items())  # fmt: skip
        words = f"Staleness of the gradients over the updates; {means}."
        header = ("arm", "updates", "least τ", "median τ", "largest τ")
        return finished(figure, style, "Staleness during the run", words, header, table)


def factor_over_time(
    result: Runs, *, theme: ThemeName = "light", width: Width = "column", title: bool = True
) -> Figure:
    """Draws E[C] so far, the mean of the step-size factors up to each update, with the start of the run marked.

    At the start every staleness is the largest so far, so that a rule of the law takes shorter steps than later on. The
    start is a tenth of the updates, or two for each worker where that is more, at most half. The thin line is the mean
    that leaves it out.

    Args:
      result: as of :func:`staleness_over_time`; the mean over seeds is drawn, with their range.
      theme: ``"light"`` or ``"dark"``.
      width: ``"column"`` or ``"page"`` of a paper, 3.4 and 7 inches, or a number of inches.
      title: whether a title stands above it.

    Returns:
      The figure.

    Raises:
      TypeError: for what is no result.
      ValueError: for a result without factors, as a generated execution, and for arguments out of their ranges.
      ImportError: without Matplotlib, naming the extra.

    Example:
      >>> import jax.numpy as jnp, jasgd, optax
      >>> result = jasgd.train(lambda w, batch: (w**2).sum(), jnp.ones(2), optax.sgd(0.1), lambda t: 0.0, workers=1,
      ...                      steps=30)
      >>> factor_over_time(result).axes[0].get_ylabel()
      'E[C] so far'
    """
    return factor_over_time_picture(result, style_of(theme, width, title)).figure


def factor_over_time_picture(result: Any, style: Style) -> Picture:
    """See :func:`factor_over_time`."""
    arms = {label: [run for run in runs if np.isfinite(run.execution.factor).any()]
            for label, runs in runs_of(result).items()}  # fmt: skip
    arms = {label: runs for label, runs in arms.items() if runs}
    if not arms:
        raise NothingToDraw("result must have step-size factors, and its executions were generated without training")
    looks = style.looks(list(arms))
    start = max(start_of_execution(run.execution) for runs in arms.values() for run in runs)
    table, said = [], []
    with style.applied():
        figure, ((axes,),) = new_figure(style, 1, 1, 1.9)
        axes.axvspan(0, start, color=style.theme.grid, linewidth=0, zorder=0, label="start of the run")
        axes.axhline(1, color=style.theme.ink, linewidth=0.7, linestyle=":")
        for label, runs in arms.items():
            look = looks[label]
            until = min(run.execution.commits for run in runs)
            x = np.unique(np.linspace(1, until, min(until, 300)).astype(int))
            curves = np.array([_so_far(run.execution)[x - 1] for run in runs])
            mark = {"marker": look.marker} if len(x) == 1 else {}
            axes.plot(x, curves.mean(axis=0), label=label or "mean so far", **look.line(), **mark)
            if len(runs) > 1 and len(x) > 1:
                axes.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=look.color, alpha=0.16, linewidth=0)
            after = float(np.mean([_after(run.execution, start) for run in runs]))
            whole = float(np.mean([run.execution.factor.mean(dtype=np.float64) for run in runs]))
            if np.isfinite(after):
                axes.hlines(after, start, until, color=look.color, linewidth=0.7)
            said.append(f"{label or 'E[C]'} {whole:.3f} over the whole run, {number(after)} after the start")
            rows = zip(*thinned(x, curves.mean(axis=0), most=20), strict=True)
            table += [(label, int(at), round(float(mean), 4)) for at, mean in rows]
        axes.set(xlabel="updates", ylabel="E[C] so far")
        axes.margins(x=0.02)
        legend_below(figure, axes, style)
        words = f"The mean of the step-size factors so far: {'; '.join(said)}. "
        words += f"The start, shaded, is taken to last {start:,} updates."
        return finished(figure, style, "Mean step-size factor so far", words, ("arm", "updates", "E[C] so far"), table)


def _so_far(execution: Execution) -> np.ndarray:
    """The mean factor of all rows up to each commit."""
    counts = np.bincount(execution.version, minlength=execution.commits)
    factors = np.nan_to_num(execution.factor.astype(np.float64))
    sums = np.bincount(execution.version, factors, minlength=execution.commits)
    return np.cumsum(sums) / np.maximum(np.cumsum(counts), 1)


def _after(execution: Execution, start: int) -> float:
    later = execution.factor[execution.version >= start].astype(np.float64)
    return float(later.mean()) if len(later) else float("nan")


def _mean(runs: list[Run], column: str) -> str:
    return number(float(np.mean([getattr(run.execution, column).mean() for run in runs])))


def _largest(runs: list[Run]) -> int:
    return max(int(run.execution.staleness.max()) for run in runs)

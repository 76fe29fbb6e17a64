"""The step-size function that was used: the factors at each staleness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jasgd.presenting.pictures.canvas import (
    NothingToDraw,
    Picture,
    finished,
    legend_below,
    long_ticks,
    new_figure,
    whole_ticks,
)
from jasgd.presenting.pictures.runs import Runs, runs_of
from jasgd.presenting.pictures.style import Style, ThemeName, Width, style_of
from jasgd.record.execution import Execution

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW = 20  # gradients that a point of C(τ) stands for, the last one excepted
MARKED = 40  # points on a curve, above which they are not marked one by one


def step_size(result: Runs, *, theme: ThemeName = "light", width: Width = "column", title: bool = True) -> Figure:
    """Draws the step-size function that was used: the factor C(τ) at each staleness, with the middle 80 % of them.

    A rule of the law gives a staleness another factor as the law changes, hence the band. Of one run the line is the
    median, and the law is drawn in grey behind it; of several the mean, each seed counting the same. Neighbouring
    values are taken together where gradients are few, as in long tails.

    Args:
      result: a run, a simulation, a comparison; or a mapping from labels to runs or lists of them.
      theme: ``"light"`` or ``"dark"``.
      width: ``"column"`` or ``"page"`` of a paper, 3.4 and 7 inches, or a number of inches.
      title: whether a title stands above it.

    Returns:
      The figure, for ``savefig`` or :func:`jasgd.report.save`.

    Raises:
      TypeError: for what is no result.
      ValueError: for a result without factors, as a generated execution, and for arguments out of their ranges.
      ImportError: without Matplotlib, naming the extra.

    Example:
      >>> import jax.numpy as jnp, jasgd, optax
      >>> result = jasgd.train(lambda w, batch: (w**2).sum(), jnp.ones(2), optax.sgd(0.1), lambda t: 0.0, workers=1,
      ...                      steps=30)
      >>> step_size(result).axes[0].get_xlabel()
      'staleness τ (updates)'
    """
    return step_size_picture(result, style_of(theme, width, title)).figure


def step_size_picture(result: Any, style: Style) -> Picture:
    """See :func:`step_size`."""
    arms = {
        label: [run.execution for run in runs if np.isfinite(run.execution.factor).all()]
        for label, runs in runs_of(result).items()
    }
    arms = {label: executions for label, executions in arms.items() if executions}
    if not arms:
        raise NothingToDraw("result must have step-size factors, and its executions were generated without training")
    looks, one = style.looks(list(arms)), sum(map(len, arms.values())) == 1
    table: list[tuple[Any, ...]] = []
    said = []
    with style.applied():
        figure, ((axes,),) = new_figure(style, 1, 1, 2.1)
        for label, executions in arms.items():
            look = looks[label]
            x, middle, low, high = factors_by_staleness(executions, np.median if one else np.mean)
            mean = float(np.mean([ex.factor.mean(dtype=np.float64) for ex in executions]))
            name = f"{label}: E[C] = {mean:.2f}" if label else f"median of C, E[C] = {mean:.3f}"
            marked = look.marked(style.theme.paper) if len(x) <= MARKED else look.line()
            axes.plot(x, middle, label=name, **marked)
            if len(x) > 1:
                axes.fill_between(x, low, high, color=look.color, alpha=0.18, linewidth=0)
            else:
                axes.vlines(x, low, high, color=look.color, linewidth=1)
            said.append(f"{label or 'the rule'}: E[C] = {mean:.3f}")
            rows = zip(x, middle, low, high, strict=True)
            table += [(label, round(float(at), 1), *(round(float(v), 4) for v in values)) for at, *values in rows]
        axes.axhline(1, color=style.theme.ink, linewidth=0.7, linestyle=":")
        axes.margins(y=0.08)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.set(xlabel="staleness τ (updates)", ylabel="factor C")
        if one:
            _law_behind(axes, next(iter(arms.values()))[0], style)
        most = max(row[1] for row in table)
        if most > 8 * max(
            4.0, float(np.quantile(np.concatenate([e.staleness for r in arms.values() for e in r]), 0.9))
        ):
            long_ticks(axes, 4)
        else:
            whole_ticks(axes)
        legend_below(figure, axes, style)
        words = "The factors that gradients were multiplied by, over their staleness, with the "
        words += f"middle 80 % of them; {'; '.join(said)}."
        header = ("arm", "staleness τ", "median C" if one else "mean C", "10 %", "90 %")
        return finished(figure, style, "The step-size function used", words, header, table)


def factors_by_staleness(executions: list[Execution], centre: Any) -> np.ndarray:
    """The factors over the staleness, as their centre and the middle 80 %.

    Every run counts the same, however its gradients are spread over the staleness: else a control, whose factor is
    constant in each run and another in the next, would seem to depend on the staleness.

    Args:
      executions: of one arm, each with gradients.
      centre: such as ``np.mean``.

    Returns:
      Staleness, centre, least of the 10 % and largest of the 90 % quantiles, float64 of shape (4, n).
    """
    pooled = np.concatenate([ex.staleness for ex in executions])
    values, counts = np.unique(pooled, return_counts=True)
    groups, start, many = [], 0, 0
    for value, count in zip(values, counts, strict=True):
        many += count
        if many >= FEW or value == values[-1]:
            groups.append((start, value))
            start, many = value + 1, 0
    last = [last for _, last in groups]
    x = np.bincount(np.searchsorted(last, pooled), pooled) / np.bincount(np.searchsorted(last, pooled))
    curves = []
    for ex in executions:
        factor, place = ex.factor.astype(np.float64), np.searchsorted(last, ex.staleness)
        members = [factor[place == k] for k in range(len(groups))]
        filled = [k for k, member in enumerate(members) if len(member)]
        statistics = [(centre(members[k]), *np.quantile(members[k], [0.1, 0.9])) for k in filled]
        curves.append([np.interp(x, x[filled], column) for column in zip(*statistics, strict=True)])
    middle, low, high = np.array(curves).transpose(1, 0, 2)
    return np.array([x, middle.mean(axis=0), low.min(axis=0), high.max(axis=0)])


def _law_behind(axes: Any, execution: Execution, style: Style) -> None:
    """The law in grey, on an axis of its own."""
    pmf = np.bincount(execution.staleness) / len(execution)
    values = np.flatnonzero(pmf)
    law = axes.twinx()
    law.bar(values, pmf[values], width=0.85, color=style.theme.band)
    law.set_ylim(0, 1.5 * float(pmf.max()))
    law.set_ylabel("share (grey)", color=style.theme.muted)
    law.tick_params(axis="y", colors=style.theme.muted)
    law.grid(visible=False)
    axes.set_zorder(law.get_zorder() + 1)
    axes.patch.set_visible(False)

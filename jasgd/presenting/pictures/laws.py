"""The law of the staleness: shares, the tail on a logarithmic scale, and how far the models of it hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jasgd.fits import LawFit, fit
from jasgd.presenting.pictures.canvas import (
    Picture,
    finished,
    legend_below,
    log_ticks,
    long_ticks,
    new_figure,
    number,
    thinned,
    whole_ticks,
)
from jasgd.presenting.pictures.runs import Runs, runs_of
from jasgd.presenting.pictures.style import Style, ThemeName, Width, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 0.99  # share of the gradients whose staleness the upper panel reaches out to; the lower one has all
FACTOR = 2.0  # by which a model's tail may differ from the measured one and hold
PEAKED = 0.4  # share of one value above which shares are logarithmic
BARS_MOST = 120  # staleness values above which shares are drawn as one outline


class Tail(NamedTuple):
    """How far a model of the law holds.

    Attributes:
      model: the fit.
      until: the largest staleness up to which its tail is within a factor of two of the measured one.
      share: of the gradients that are at most so stale.
      whole: whether that is all of them.
    """

    model: LawFit
    until: int
    share: float
    whole: bool

    def __str__(self) -> str:
        if self.whole:
            return f"{self.model.model} holds in the whole tail"
        return f"{self.model.model} holds to τ = {self.until} ({self.share:.1%})"


def staleness_law(result: Runs, *, theme: ThemeName = "light", width: Width = "column", title: bool = True) -> Figure:
    """Draws the law of the staleness: the share of each value, and the share of all that are at least as stale.

    The second panel is logarithmic, and shows what the first cannot: the tail. Of one arm the nearest model is drawn,
    and the one that holds farthest into the tail where that is another; the legend says to which staleness a model's
    tail stays within a factor of two of the measured one, beyond what chance explains. Of several arms only the laws.

    Args:
      result: a run, an execution, a simulation, a comparison; or a mapping from labels to runs or lists of them. All
        seeds of an arm are taken together.
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
      >>> model = cluster.Cluster(compute_s=cluster.exponential(1.0))
      >>> figure = staleness_law(cluster.generate(model, workers=8, steps=400))
      >>> [axes.get_ylabel() for axes in figure.axes]
      ['share', 'at least τ']
    """
    return staleness_law_picture(result, style_of(theme, width, title)).figure


def staleness_law_picture(result: Any, style: Style) -> Picture:
    """See :func:`staleness_law`."""
    pooled = {label: np.concatenate([run.execution.staleness for run in runs])
              for label, runs in runs_of(result).items()}  # fmt: skip
    looks = style.looks(list(pooled))
    reach = max(4, *(int(np.quantile(staleness, SHOWN)) for staleness in pooled.values()))
    only = next(iter(pooled.values())) if len(pooled) == 1 else None
    tails = [] if only is None else tails_of(only)
    least = 0.5 / max(map(len, pooled.values()))  # half a gradient
    peaked = any(map(_is_peaked, pooled.values()))  # else only the peak is seen
    with style.applied():
        rows, columns = (1, 2) if style.wide else (2, 1)
        figure, grid = new_figure(style, rows, columns, 2.1 if style.wide else 1.5)
        shares, tail = grid.flat
        for label, staleness in pooled.items():
            look = looks[label]
            pmf = np.bincount(staleness, minlength=reach + 1)[: reach + 1] / len(staleness)
            pmf = np.where(pmf > 0, pmf, np.nan) if peaked else pmf
            name = label or "measured"
            if only is not None and len(pmf) <= BARS_MOST:
                there = np.flatnonzero(pmf > 0)  # a bar of no height would lie nowhere on a logarithmic axis
                shares.bar(there, pmf[there], width=0.85, color=look.color, alpha=0.45, label=name)
            else:
                shares.plot(np.arange(reach + 1), pmf, drawstyle="steps-mid", label=name, **look.line())
            x, at_least = tail_of(staleness)
            mark = {"marker": look.marker, "markersize": 2.5} if len(x) <= 40 else {}
            tail.plot(*thinned(x, at_least), **look.line(), **mark)
        # Blue bars leave the other colours to the models.
        for entry, colour, line in zip(
            _drawn(tails), (style.theme.ink, style.theme.colours[2]), ("-", "--"), strict=False
        ):
            _model(shares, tail, entry, reach, colour, line, least)
        _scales(shares, tail, pooled, reach, least if peaked else None)
        legend_below(figure, shares, style)
        words, header, table = _told(pooled, tails, reach)
        return finished(figure, style, "How stale the gradients were", f"{words}", header, table)


def tail_of(staleness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The staleness values that came, and the share of the gradients that are at least as stale.

    Example:
      >>> tail_of(np.array([0, 1, 1, 5]))
      (array([0, 1, 5]), array([1.  , 0.75, 0.25]))
    """
    values, counts = np.unique(staleness, return_counts=True)
    return values, np.cumsum(counts[::-1])[::-1] / len(staleness)


def tails_of(staleness: np.ndarray) -> list[Tail]:
    """How far each model of the law holds, the nearest first.

    Args:
      staleness: integers ≥ 0 of shape (n,).

    Returns:
      A tail for each model of :data:`jasgd.fits.MODELS`.

    Example:
      >>> str(tails_of(np.random.default_rng(0).poisson(7.0, size=10_000))[0])
      'Poisson holds in the whole tail'
    """
    values, at_least = tail_of(staleness)
    # Twice the standard error of a logarithm of a share of n gradients.
    chance = 2 * np.sqrt((1 - at_least) / (at_least * len(staleness)))
    tails = []
    for model in fit(staleness):
        with np.errstate(divide="ignore"):
            off = np.abs(np.log(_at_least(model, values)) - np.log(at_least))
        beyond = np.flatnonzero(off > np.log(FACTOR) + chance)
        until = int(values[-1]) if len(beyond) == 0 else int(values[beyond[0] - 1]) if beyond[0] else -1
        share = float((staleness <= until).mean())
        tails.append(Tail(model, until, share, len(beyond) == 0))
    return tails


def _at_least(model: LawFit, values: np.ndarray) -> np.ndarray:
    below = np.concatenate([[0.0], np.cumsum(model.pmf)])
    return np.maximum(1 - below[values], 0.0)


def _drawn(tails: list[Tail]) -> list[Tail]:
    """The nearest model, and the one that holds farthest where that is another."""
    if not tails:
        return []
    farthest = max(tails, key=lambda tail: (tail.whole, tail.until))
    return [tails[0]] if farthest.until <= tails[0].until else [tails[0], farthest]


def _model(shares: Axes, tail: Axes, entry: Tail, reach: int, colour: str, line: str, least: float) -> None:
    """Draws a model as far down as so many gradients could show."""
    q = entry.model.pmf[: reach + 1]
    q = np.where(q >= least, q, np.nan)
    shares.plot(np.arange(len(q)), q, color=colour, linestyle=line, linewidth=1, label=str(entry))
    values = np.arange(len(entry.model.pmf))
    at_least = _at_least(entry.model, values)
    there = at_least >= least
    tail.plot(*thinned(values[there], at_least[there]), color=colour, linestyle=line, linewidth=1)


def _scales(shares: Axes, tail: Axes, pooled: dict[str, np.ndarray], reach: int, least: float | None) -> None:
    tail.set_yscale("log")
    tail.set_ylim(0.5 / max(map(len, pooled.values())), 1.6)
    most = max(int(staleness.max()) for staleness in pooled.values())
    if most > 8 * reach:
        long_ticks(tail, reach)
    else:
        whole_ticks(tail)
    log_ticks(tail.yaxis)
    shares.set(xlabel="staleness τ (updates)", ylabel="share", xlim=(-0.7, reach + 0.7))
    if least is not None:
        shares.set_yscale("log")
        shares.set_ylim(least, 1.6)
        log_ticks(shares.yaxis)
    else:
        shares.set_ylim(bottom=0)
    tail.set(xlabel="staleness τ (updates)", ylabel="at least τ")
    whole_ticks(shares)


def _is_peaked(staleness: np.ndarray) -> bool:
    """Whether one value has so large a share, and others so small ones, that only logarithms show both."""
    pmf = np.bincount(staleness) / len(staleness)
    return bool(pmf.max() > PEAKED and np.count_nonzero(pmf) > 10)


def _told(
    pooled: dict[str, np.ndarray], tails: list[Tail], reach: int
) -> tuple[str, tuple[str, ...], list[tuple[Any, ...]]]:
    each = "; ".join(
        f"{label or 'τ'}: mean {number(float(staleness.mean()))}, median {np.median(staleness):.0f}, largest "
        f"{staleness.max()}" for label, staleness in pooled.items()
    )  # fmt: skip
    beyond = max(float((staleness > reach).mean()) for staleness in pooled.values())
    words = f"The share of each staleness, and of all that are at least as stale. {each}."
    if beyond:
        words += f" The first panel leaves out the stalest {beyond:.1%}, which the second has."
    if tails:
        words += f" Of the models, {'; '.join(map(str, tails))}."
        header = ("staleness τ", "share", "at least τ", *(tail.model.model for tail in tails[:2]))
    else:
        header = ("arm", "staleness τ", "share", "at least τ")
    rows: list[tuple[Any, ...]] = []
    for label, staleness in pooled.items():
        values, at_least = tail_of(staleness)
        share = at_least - np.append(at_least[1:], 0)
        for value, one, rest in zip(*thinned(values, share, at_least, most=60), strict=True):
            start = () if tails else (label,)
            models = (float(f"{tail.model.pmf[value]:.4g}") for tail in tails[:2])
            rows.append((*start, int(value), float(f"{one:.4g}"), float(f"{rest:.4g}"), *models))
    return words, header, rows

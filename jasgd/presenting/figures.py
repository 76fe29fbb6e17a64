"""The common part of all plots: their style, laws and step-size functions.

They are drawn without pyplot, so that no state outlives a call. Matplotlib is imported through here, where the extra is
named if it is missing.
"""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jasgd.fits import fit
from jasgd.record.execution import Execution
from jasgd.record.saving.files import write_whole
from jasgd.record.saving.folder import adding
from jasgd.record.saving.manifest import FILE, located

try:
    from matplotlib import rc_context as rc_context
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


def save(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Writes figures as PNGs of their names; into the folder of a run such that they are replaced along with it."""
    folder.mkdir(parents=True, exist_ok=True)
    with adding(folder) if located(folder / FILE).exists() else contextlib.nullcontext() as draft:
        for name, figure in figures.items():
            write_whole((draft.path if draft else folder) / f"{name}.png", _png(figure))
    return [folder / f"{name}.png" for name in figures]


class Figures(dict[str, Figure]):
    """Figures by name, each a ``matplotlib.figure.Figure``; notebooks show them all."""

    def _repr_html_(self) -> str:
        pictures = [base64.b64encode(_png(figure)).decode() for figure in self.values()]
        shown = zip(self, pictures, strict=True)
        return "".join(f'<img alt="{name}" src="data:image/png;base64,{png}">' for name, png in shown)


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(picture, format="png", dpi=DPI)
    return picture.getvalue()


def new_figure(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure without pyplot, and its axes."""
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, wspace=0.03))
    return figure, np.asarray(figure.subplots(rows, columns, squeeze=False, **options))


def looks_of() -> Iterator[Look]:
    """A look per arm; where there are more arms than colours, lines are dashed."""
    for style in itertools.cycle(("-", "--", ":")):
        for colour in COLOURS:
            yield {"color": colour, "linestyle": style}


def headline(figure: Figure, text: str) -> None:
    """Writes a title above a figure."""
    figure.suptitle(wrapped(text, figure.get_figwidth()), x=0.01, ha="left", fontsize=12)


def wrapped(text: str, inches: float) -> str:
    """Lines of a title that are no wider than a figure, or a part of it, is."""
    return textwrap.fill(text, int(11 * inches), break_on_hyphens=False)


def columns_of(labels: Sequence[str], characters: int) -> int:
    """Columns of a legend, 4 at most, that is to be no wider than so many characters."""
    widths = sorted((7 + len(label) for label in labels), reverse=True)
    return max(n for n in range(1, min(len(labels), 4) + 1) if n == 1 or sum(widths[:n]) <= characters)


def draw_histogram(axes: Any, staleness: np.ndarray, colour: str, reach: int, log: bool) -> None:
    """Draws the shares of the staleness values, and the nearest model."""
    pmf, best = pmf_of(staleness), fit(staleness)[0]
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


def draw_factors(axes: Any, executions: Sequence[Execution], look: Look, reach: int, label: str, centre: Any) -> float:
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
        filled = [k for k, member in enumerate(members) if len(member)]
        statistics = [(centre(members[k]), *np.quantile(members[k], [0.1, 0.9])) for k in filled]
        if statistics:
            curves.append([np.interp(x, x[filled], column) for column in zip(*statistics, strict=True)])
    middle, low, high = np.array(curves).transpose(1, 0, 2)
    marker = {"marker": "o", "markersize": 3.5 if len(x) <= MARKED else 2}
    axes.plot(x, middle.mean(axis=0), label=label, **look, **marker)
    axes.fill_between(x, low.min(axis=0), high.max(axis=0), color=look["color"], alpha=0.2, linewidth=0)
    return max(1.25, 1.15 * float(high.max()))


def finish_factors(axes: Any, reach: int, top: float) -> None:
    """Labels the axes of a step-size function, and marks the factor 1."""
    axes.axhline(1, color=INK, linewidth=1, linestyle=":")
    axes.set(xlabel="staleness τ (updates)", ylabel="step-size factor C(τ)", ylim=(0, top), xlim=(-0.7, reach + 0.7))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def scale_loss(axes: Any, curve: np.ndarray, losses: np.ndarray, below: float) -> None:
    """A logarithmic axis down to ``below`` times the least of the curve, where losses lie more than tenfold above."""
    least = curve[np.isfinite(curve)].min(initial=np.inf)
    most = losses[np.isfinite(losses)].max(initial=-np.inf)
    if least > 0 and most > 10 * least:
        axes.set_yscale("log")
        axes.set_ylim(bottom=below * least)


def pmf_of(staleness: np.ndarray) -> np.ndarray:
    """The share of each staleness value."""
    return np.bincount(staleness) / len(staleness)


def is_peaked(staleness: np.ndarray) -> bool:
    """Whether one value has so large a share, and others so small ones, that only logarithms show both."""
    pmf = pmf_of(staleness)
    return bool(pmf.max() > 0.4 and np.count_nonzero(pmf) > 10)


def reach_of(staleness: np.ndarray) -> int:
    """The largest staleness that is shown."""
    return max(4, int(np.quantile(staleness, SHOWN)))

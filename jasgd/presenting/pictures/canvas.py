"""What pictures are made of: figures without pyplot, their titles and legends, and scales that hold all their data."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jasgd.presenting.pictures.style import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS_MOST = 400  # of a curve; more than a picture can show, and a page is to stay small
DPI = 300
LEGEND_ROW, TITLE_ROW = 0.15, 0.17  # inches


class Picture(NamedTuple):
    """A figure, and the same in words and numbers.

    Attributes:
      figure: of Matplotlib.
      title: what it shows.
      description: the same in sentences, for those who do not see it.
      header: of its data table.
      rows: of its data table, texts and numbers.
    """

    figure: Figure
    title: str
    description: str
    header: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class NothingToDraw(ValueError):
    """A result has nothing that such a picture could show."""


def new_figure(style: Style, rows: int, columns: int, heights: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure that no window or global state knows, and its axes.

    Args:
      style: of the picture.
      rows: of panels.
      columns: of panels.
      heights: inches of each row.
      **options: of Matplotlib's ``subplots``.

    Returns:
      The figure, and its axes in an array of shape (rows, columns).
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04, wspace=0.03, hspace=0.03)
    figure = Figure(figsize=(style.inches, heights * rows), layout=layout, dpi=DPI)
    return figure, np.asarray(figure.subplots(rows, columns, squeeze=False, **options))


def finished(
    figure: Figure,
    style: Style,
    title: str,
    description: str,
    header: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
) -> Picture:
    """The picture of a figure, with its title above it where that is wanted.

    Args:
      figure: with all its panels.
      style: of the picture.
      title: a short one.
      description: sentences that say what is seen.
      header: of the data table.
      rows: of the data table.

    Returns:
      The picture; the figure's label is the description.
    """
    if style.title:
        text = wrapped(title, style.inches, 8.5)
        figure.suptitle(text, x=0.01, ha="left")
        figure.set_figheight(figure.get_figheight() + TITLE_ROW * (1 + text.count("\n")))
    figure.set_label(f"{title}. {description}")
    return Picture(figure, title, description, tuple(header), list(rows))


def wrapped(text: str, inches: float, points: float = 8.0) -> str:
    r"""Lines of a text that are no wider than so many inches in letters of so many points.

    Example:
      >>> wrapped("a text of some words", 1.0)
      'a text of\nsome words'
    """
    return textwrap.fill(text, max(8, int(108 * inches / points)), break_on_hyphens=False)


def panel_title(axes: Axes, text: str, style: Style, columns: int) -> None:
    """Writes a title above a panel, in lines that are no wider than one of so many columns is."""
    axes.set_title(wrapped(text, (style.inches - 0.75 * columns) / columns, 7.5), fontsize=7.5)


def legend_below(figure: Figure, axes: Axes, style: Style) -> None:
    """One legend for all panels, below them, in as many columns as the width holds; it makes the figure higher."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        letters = 56 * style.inches / 3.4
        widths = sorted((9 + len(label) for label in labels), reverse=True)
        columns = max(n for n in range(1, min(len(labels), 4) + 1) if n == 1 or sum(widths[:n]) <= letters)
        figure.set_figheight(figure.get_figheight() + LEGEND_ROW * -(-len(labels) // columns))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, columnspacing=1.2)


def whole_ticks(axes: Axes) -> None:
    """Ticks of the x axis at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def long_ticks(axes: Axes, linear: int) -> None:
    """An x axis of staleness values that is linear up to one, and logarithmic beyond, for long tails."""
    axes.set_xscale("symlog", linthresh=max(1, linear), linscale=1.0 if linear < 10 else 2.0)
    axes.set_xlim(left=-0.7)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def log_ticks(axis: Any) -> None:
    """Ticks of a logarithmic axis at plain numbers, as many as can be read."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    decades = np.log10(high / low) if low > 0 else 9
    subs = (1, 2, 5) if decades < 2.2 else (1, 3) if decades < 3.2 else (1,)
    axis.set_major_locator(LogLocator(10, subs=subs, numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def scale_of_losses(axes: Axes, values: np.ndarray) -> None:
    """A logarithmic y axis where all losses are above zero and differ tenfold; set once all is drawn.

    The limits stay those of the data, of all panels that share the axis.
    """
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > 10 * values.min():
        axes.set_yscale("log")
        log_ticks(axes.yaxis)


def number_ticks(axes: Axes, values: Sequence[float], *, base: int) -> None:
    """A logarithmic x axis with a tick at each of these values, or at some where they would touch; all lie inside."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log", base=base)
    low, high = min(values), max(values)
    room = (high / low) ** 0.06 if high > low else base**0.5
    axes.set_xlim(low / room, high * room)
    kept: list[float] = []
    for value in sorted(values):
        if not kept or np.log(value / kept[-1]) >= 0.09 * np.log(high / low):
            kept.append(value)
    axes.xaxis.set_major_locator(FixedLocator(kept))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def thinned(*columns: np.ndarray, most: int = POINTS_MOST) -> tuple[np.ndarray, ...]:
    """Columns of no more rows than a curve can show, the first and the last among them.

    Example:
      >>> thinned(np.arange(10), most=3)[0].tolist()
      [0, 4, 9]
    """
    rows = len(columns[0])
    chosen = np.unique(np.linspace(0, rows - 1, most).astype(int)) if rows > most else np.arange(rows)
    return tuple(column[chosen] for column in columns)


def binned(x: np.ndarray, y: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Points in bins of about equal number, in the order of x.

    Args:
      x: ascending, of shape (n,).
      y: of shape (n,).
      bins: most of them.

    Returns:
      The mean of x in each bin, and least, median and largest y in it, of shape (bins, 3).

    Example:
      >>> binned(np.arange(4), np.array([1.0, 3.0, 5.0, 5.0]), 2)[1].tolist()
      [[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]
    """
    parts = [part for part in np.array_split(np.arange(len(x)), min(bins, len(x))) if len(part)]
    middle = np.array([x[part].mean() for part in parts])
    return middle, np.array([(y[part].min(), np.median(y[part]), y[part].max()) for part in parts])


def in_unit(seconds: float) -> tuple[float, str]:
    """What seconds are multiplied by to be read well, and the unit then.

    Example:
      >>> in_unit(0.02)
      (1000.0, 'ms')
    """
    return (1.0, "s") if seconds >= 1 else (1e3, "ms") if seconds >= 1e-3 else (1e6, "µs")


def printable(text: str) -> str:
    """A label of the user's in which characters that no font has, as those of control, are replaced.

    Example:
      >>> printable("loss" + chr(0))
      'loss�'
    """
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def number(value: float) -> str:
    """A number in a title or a description."""
    if not np.isfinite(value):
        return "–" if np.isnan(value) else "∞"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

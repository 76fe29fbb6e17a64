"""The timeline: workers as rows over time, a bar for each gradient from its read to its commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jasgd.inputs.checks import integer
from jasgd.presenting.pictures.bars import Bars, bars_of, window_of
from jasgd.presenting.pictures.canvas import NothingToDraw, Picture, finished, in_unit, new_figure
from jasgd.presenting.pictures.runs import Runs, only_run, runs_of, setting_of
from jasgd.presenting.pictures.style import Style, ThemeName, Width, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WORKERS_MOST = 12  # rows that can be read
PER_WORKER, FEWEST, GRADIENTS_MOST = 4, 12, 48  # gradients of the default window
POINT = 1 / 72  # inches


def timeline(
    result: Runs,
    *,
    start: int | None = None,
    gradients: int | None = None,
    theme: ThemeName = "light",
    width: Width = "column",
    title: bool = True,
) -> Figure:
    """Draws who read which version when, and who committed: a row per worker, a bar per gradient, τ on each.

    Upright lines are commits, so the lines that a bar covers are the updates that others made meanwhile: its τ. Where a
    bar is wide enough it also has the version read and the version made. A stronger colour is staler; reads and
    commits are grey, and mostly too short to be seen; a dropped gradient is hatched. Without timings, as in generated
    executions, a bar begins when the version that it read had been made and its worker was free.

    Args:
      result: a run or an execution; of several runs the first is drawn.
      start: the first gradient of the window, in the order in which they ended; by default a stretch is chosen that can
        be read.
      gradients: how many end within the window, ≥ 1; by default four for each worker, 12 at least and 48 at most.
      theme: ``"light"`` or ``"dark"``.
      width: ``"column"`` or ``"page"`` of a paper, 3.4 and 7 inches, or a number of inches.
      title: whether a title stands above it.

    Returns:
      The figure, for ``savefig`` or :func:`jasgd.report.save`. With more than twelve workers, those that end most
      gradients in the window are drawn.

    Raises:
      TypeError: for what is no result.
      ValueError: for a result without gradients, and for arguments out of their ranges.
      ImportError: without Matplotlib, naming the extra.

    Example:
      >>> from jasgd import cluster
      >>> execution = cluster.generate(cluster.Cluster(compute_s=1.0, speeds=[1, 1, 0.4]), workers=3, steps=8)
      >>> figure = timeline(execution)
      >>> [text.get_text() for text in figure.axes[0].texts if text.get_text().startswith("τ")][:5]
      ['τ 0', 'τ 1', 'τ 1', 'τ 1', 'τ 4']
    """
    return timeline_picture(result, style_of(theme, width, title), start, gradients).figure


def timeline_picture(result: Any, style: Style, start: int | None = None, gradients: int | None = None) -> Picture:
    """See :func:`timeline`."""
    run = only_run(result)
    bars = bars_of(run)
    if gradients is None:
        gradients = min(max(PER_WORKER * len(np.unique(bars.worker)), FEWEST), GRADIENTS_MOST)
    gradients = integer("gradients", gradients, 1)
    if start is None:
        first, last = window_of(bars, gradients)
    else:
        first = integer("start", start, 0)
        if first >= len(bars):
            raise ValueError(f"start must be less than the number of gradients, {len(bars)}, got {first}")
        last = min(first + gradients, len(bars))
    ends = bars.ended_s[first:last]
    left = float(bars.began_s[0] if first == 0 else bars.ended_s[first - 1])
    left = min(left, float(bars.began_s[first:last].min())) if first == 0 else left
    right = float(ends.max())
    if not np.isfinite([left, right]).all():
        raise NothingToDraw("result must have times, and its execution has none, as one whose staleness was drawn")
    if right <= left:
        left, right = left - 0.5e-6, right + 0.5e-6
    seen = bars.rows(np.flatnonzero((bars.ended_s > left) & (bars.began_s < right)))
    workers, counts = np.unique(bars.worker[first:last], return_counts=True)
    hidden = max(0, len(workers) - WORKERS_MOST)
    if hidden:
        workers = np.sort(workers[np.argsort(-counts, kind="stable")[:WORKERS_MOST]])
    with style.applied():
        figure = _drawn(seen, bars, workers, (left, right), style)
        commits = (seen.dropped == "") & (seen.ended_s <= right)
        title = f"Timeline of {run.execution.commits:,} updates: none here"
        if commits.any():
            made = seen.version[commits] + 1
            title = f"Timeline of updates {made.min():,} to {made.max():,} of {run.execution.commits:,}"
        words = _of_which(result) + _words(run, seen, workers, hidden, (left, right))
        return finished(figure, style, title, words, *_table(seen))


def _drawn(seen: Bars, bars: Bars, workers: np.ndarray, span: tuple[float, float], style: Style) -> Figure:
    theme, (left, right) = style.theme, span
    factor, unit = in_unit(right - left)
    figure, ((axes,),) = new_figure(style, 1, 1, 0.75 + 0.3 * len(workers))
    level = np.digitize(seen.staleness, _classes(len(np.unique(bars.worker))))
    commits = seen.ended_s[seen.dropped == ""]
    made = seen.version[seen.dropped == ""] + 1
    inside = commits <= right
    for time_s in commits[inside]:
        axes.axvline((time_s - left) * factor, color=theme.band, linewidth=0.6, zorder=0)
    per_point = (right - left) * factor / (72 * (style.inches - 0.65))
    place = {int(worker): row for row, worker in enumerate(workers)}
    for row in range(len(seen)):
        if (at := place.get(int(seen.worker[row]))) is None:
            continue
        _bar(axes, seen, row, at, int(level[row]), span, (factor, per_point), style)
    axes.set(xlim=(0, (right - left) * factor), ylim=(len(workers) - 0.45, -0.55))
    axes.set_yticks(range(len(workers)), [f"worker {w}" if w >= 0 else "–" for w in workers])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    since = "" if left <= 0 else f" since {left:.4g} s"
    axes.set_xlabel(f"time ({unit}){since}; upright lines: commits")
    _versions(axes, (commits[inside] - left) * factor, made[inside], per_point, style)
    return figure


def _bar(
    axes: Axes, seen: Bars, row: int, at: int, level: int, span: tuple[float, float], scale: tuple[float, float],
    style: Style,
) -> None:  # fmt: skip
    theme, (left, right), (factor, per_point) = style.theme, span, scale
    points = (seen.began_s[row], seen.computing_s[row], seen.committing_s[row], seen.ended_s[row])
    began, computing, committing, ended = (factor * (min(max(t, left), right) - left) for t in points)
    lost = bool(seen.dropped[row])
    colour = theme.paper if lost else theme.levels[level]
    gap = min(0.7 * per_point, 0.1 * (ended - began))  # so that neighbours of one row are told apart
    common = {"height": 0.72, "edgecolor": theme.muted, "linewidth": 0.4}
    axes.barh(at, ended - began - gap, left=began, color=colour, hatch="////" if lost else None, **common)
    if computing - began <= per_point:
        computing = began
    else:
        axes.barh(at, computing - began, left=began, color=theme.grid, **common)
    if ended - gap - committing > per_point:
        axes.barh(at, ended - gap - committing, left=committing, color=theme.band, **common)
    else:
        committing = ended - gap
    parts = [(began, computing, theme.ink), (computing, committing, theme.ink if lost else theme.on(level)),
             (committing, ended, theme.ink)]  # fmt: skip
    from_, to, ink = max(parts, key=lambda part: part[1] - part[0])  # on which the number is written
    room = (to - from_) / per_point
    beyond = seen.began_s[row] < left or seen.ended_s[row] > right
    if beyond and room < 22:
        return
    text = f"τ {seen.staleness[row]}"
    if room < 4.2 * len(text):
        text = str(seen.staleness[row])
    middle = (from_ + to) / 2
    versions = f"{seen.version_read[row]}→{'×' if lost else seen.version[row] + 1}"
    if room >= 3.7 * len(versions):
        axes.text(middle, at - 0.15, text, ha="center", va="center", fontsize=6, fontweight="bold", color=ink)
        axes.text(middle, at + 0.2, versions, ha="center", va="center", fontsize=5, color=ink)
    elif room >= 4.0 * len(text):
        axes.text(middle, at, text, ha="center", va="center", fontsize=6, fontweight="bold", color=ink)
    else:  # above the bar, where a neighbour's number may come close
        axes.text(middle, at - 0.46, text, ha="center", va="center", fontsize=4.5, color=theme.ink)


def _versions(axes: Axes, times: np.ndarray, made: np.ndarray, per_point: float, style: Style) -> None:
    """Names versions at the top, where they were made, as many as do not touch."""
    last = -np.inf
    for time, version in sorted(zip(times, made, strict=True)):
        text = str(version)
        if time - last >= (3.6 * len(text) + 3) * per_point:
            axes.annotate(text, (time, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 1.5),
                          textcoords="offset points", ha="center", va="bottom", fontsize=5.5,
                          color=style.theme.muted, annotation_clip=True)  # fmt: skip
            last = time


def _classes(workers: int) -> list[float]:
    """Where the colour of a bar changes: fresh, up to half of what workers in turn have, up to it, up to twice it."""
    turn = max(workers - 1, 1)
    return [1, turn / 2 + 0.5, turn + 0.5, 2 * turn + 0.5]


def _of_which(result: Any) -> str:
    """Which of several runs it is."""
    runs = runs_of(result)
    label = next(iter(runs))
    if sum(map(len, runs.values())) == 1:
        return ""
    return f"The first run of {label}: " if label else "The first run: "


def _words(run: Any, seen: Bars, workers: np.ndarray, hidden: int, span: tuple[float, float]) -> str:
    factor, unit = in_unit(span[1] - span[0])
    most = int(np.argmax(seen.staleness))
    text = (
        f"{setting_of(run)}. A row for each worker over {factor * (span[1] - span[0]):.3g} {unit}, a bar for each "
        f"gradient from its read to its commit; a stronger colour is staler. The stalest was read by worker "
        f"{seen.worker[most]} at version {seen.version_read[most]} and came to version {seen.version[most]}: "
        f"τ = {seen.staleness[most]}."
    )
    if hidden:
        text += f" The {len(workers)} workers with most gradients are shown, {hidden} others are not."
    if not seen.timed.all():
        text += " Reads were not timed: bars begin when the version read had been made and the worker was free."
    return text


def _table(seen: Bars) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    header = ("worker", "read began (s)", "ended (s)", "version read", "version made", "staleness τ")
    rows = [
        (int(seen.worker[i]), round(float(seen.began_s[i]), 6), round(float(seen.ended_s[i]), 6),
         int(seen.version_read[i]), f"dropped ({seen.dropped[i]})" if seen.dropped[i] else int(seen.version[i]) + 1,
         int(seen.staleness[i]))
        for i in range(len(seen))
    ]  # fmt: skip
    return header, rows

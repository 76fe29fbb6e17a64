"""How much faster more workers are: updates per second, and the time to a share of the initial loss."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jasgd.experiments.measures import SHARES, Spread, measures, spread
from jasgd.experiments.spectrum import Spectrum
from jasgd.inputs.checks import described, is_integer
from jasgd.presenting.pictures.canvas import (
    NothingToDraw,
    Picture,
    finished,
    legend_below,
    new_figure,
    number,
    number_ticks,
    panel_title,
)
from jasgd.presenting.pictures.runs import Run, runs_of
from jasgd.presenting.pictures.style import Style, ThemeName, Width, style_of
from jasgd.record.result import Outcome, TrainResult
from jasgd.report.pictures.spectra import share_scales, spread_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = list[tuple[str, int, dict[str, Spread]]]  # label, workers, and the spreads of measures


def speed_up(
    result: Spectrum | Mapping[int, Any],
    *,
    theme: ThemeName = "light",
    width: Width = "column",
    title: bool = True,
) -> Figure:
    """Draws how many times as fast more workers are: in updates per second, and in the time that learning takes.

    Both are relative to the fewest workers. The second panel is the time to a share of the initial loss, the least
    that every arm came to with the fewest workers; an arm has no point where some of its runs did not come to it. More
    updates per second are worth only as much as the second panel shows. Dotted: as fast as there are workers.

    Args:
      result: a spectrum, whose arms are each taken at the learning rate that the first panel of
        :func:`jasgd.report.over_workers` has; or a mapping from numbers of workers to runs, simulations or lists of
        runs.
      theme: ``"light"`` or ``"dark"``.
      width: ``"column"`` or ``"page"`` of a paper, 3.4 and 7 inches, or a number of inches.
      title: whether a title stands above it.

    Returns:
      The figure, for ``savefig`` or :func:`jasgd.report.save`.

    Raises:
      TypeError: for what is neither.
      ValueError: for one number of workers, which has nothing to be faster than, and for arguments out of their ranges.
      ImportError: without Matplotlib, naming the extra.

    Example:
      >>> from jasgd import cluster
      >>> model = cluster.Cluster(compute_s=1.0, commit_s=0.2)
      >>> runs = {m: cluster.generate(model, scheme="locked", workers=m, steps=100) for m in (1, 2, 4, 8)}
      >>> figure = speed_up(runs)
      >>> [round(float(y), 1) for y in figure.axes[0].lines[1].get_ydata()]
      [1.0, 1.7, 2.7, 3.6]
    """
    return speed_up_picture(result, style_of(theme, width, title)).figure


def speed_up_picture(result: Any, style: Style) -> Picture:
    """See :func:`speed_up`."""
    groups = _of_spectrum(result) if isinstance(result, Spectrum) else {"": _of_mapping(result)}
    counts = sorted({workers for rows in groups.values() for _, workers, _ in rows})
    if len(counts) < 2:
        raise NothingToDraw(
            f"result must have two numbers of workers or more, got {', '.join(map(str, counts)) or 'none'}"
        )
    looks = style.looks(list(dict.fromkeys(label for rows in groups.values() for label, _, _ in rows)))
    share = _share(groups, counts[0])
    panels = [("updates_per_s", "updates per second")]
    if share is not None:
        panels.append((f"time_to_{share:.0%}_s", f"time to {share:.0%} of the loss"))
    table: list[tuple[Any, ...]] = []
    with style.applied():
        shape = (len(groups), len(panels)) if style.wide else (len(groups) * len(panels), 1)
        figure, grid = new_figure(style, *shape, 2.0 if style.wide else 1.5, sharex=True)
        axes_of = iter(grid.flat)
        for cluster, rows in groups.items():
            for measure, said in panels:
                axes = next(axes_of)
                axes.plot(counts, [count / counts[0] for count in counts], ":", color=style.theme.muted, label="ideal")
                for label, look in looks.items():
                    points = _relative(rows, label, measure, counts[0])
                    spread_line(axes, list(points), list(points.values()), look, label or "measured", style)
                    table += [(cluster, label, said, workers, one.median) for workers, one in points.items()]
                panel_title(axes, f"{said}{f', speeds {cluster}' if len(groups) > 1 else ''}", style, shape[1])
        share_scales(list(grid.flat))
        for axes in grid.flat:
            number_ticks(axes, counts, base=2)
        for axes in grid[:, 0]:
            axes.set_ylabel("times as fast")
        for axes in grid[-1]:
            axes.set_xlabel("workers")
        legend_below(figure, grid.flat[0], style)
        words = f"Times as fast as {counts[0]} worker{'s' if counts[0] > 1 else ''}; with {counts[-1]} workers:"
        for (cluster, said), rows in _by_panel(table, counts[-1]).items():
            low, high = min(rows), max(rows)
            times = number(low) if number(low) == number(high) else f"{number(low)} to {number(high)}"
            words += f" {said}{f', speeds {cluster}' if len(groups) > 1 else ''}: {times}."
        header = ("speeds", "arm", "measure", "workers", "times as fast")
        rounded = [(*row[:4], number(row[4])) for row in table]
        return finished(figure, style, "Speed-up over the number of workers", words, header, rounded)


def _by_panel(table: list[tuple[Any, ...]], workers: int) -> dict[tuple[str, str], list[float]]:
    """How many times as fast the arms were with so many workers, by panel."""
    found: dict[tuple[str, str], list[float]] = {}
    for cluster, _, said, count, times in table:
        if count == workers:
            found.setdefault((cluster, said), []).append(times)
    return found


def _of_spectrum(spectrum: Spectrum) -> dict[str, Rows]:
    return {
        cluster: [(row["arm"], row["workers"], row) for row in spectrum.rows if row["cluster"] == cluster]
        for cluster in spectrum.clusters
    }


def _of_mapping(result: Any) -> Rows:
    if not isinstance(result, Mapping) or not result or not all(is_integer(workers) for workers in result):
        raise TypeError(
            f"result must be a Spectrum, or a mapping from numbers of workers to runs, got {described(result)}"
        )
    rows = []
    for workers, runs in sorted(result.items()):
        for label, of_arm in runs_of(runs).items():
            measured = [measures(_result(run)) for run in of_arm]
            rows.append((label, int(workers), {name: spread([m[name] for m in measured]) for name in measured[0]}))
    return rows


def _result(run: Run) -> TrainResult:
    """A run with its measures; an execution that was generated without training has no more than its times."""
    if isinstance(run, TrainResult):
        return run
    execution = run.execution
    return TrainResult({}, (), execution, Outcome.FINISHED, "", [], {}, {}, float(execution.time_s.max()))


def _share(groups: dict[str, Rows], fewest: int) -> float | None:
    """The least share of the initial loss that every run with the fewest workers came to."""
    first = [row for rows in groups.values() for _, workers, row in rows if workers == fewest]

    def came(row: dict[str, Spread], share: float) -> bool:
        one = row.get(f"time_to_{share:.0%}_s")
        return one is not None and one.count == one.runs > 0 and math.isfinite(one.high)

    return min((share for share in SHARES if first and all(came(row, share) for row in first)), default=None)


def _relative(rows: Rows, label: str, measure: str, fewest: int) -> dict[int, Spread]:
    """How many times as fast, by number of workers; where all runs have a value."""
    base = [row[measure].median for one, workers, row in rows if (one, workers) == (label, fewest)]
    if not base or not (math.isfinite(base[0]) and base[0] > 0):
        return {}
    reference, faster, points = statistics.median(base), measure == "updates_per_s", {}
    for one, workers, row in rows:
        values = row[measure]
        if one == label and values.count == values.runs and math.isfinite(values.high) and values.low > 0:
            times = values[:3] if faster else (values.median, values.high, values.low)
            median, low, high = (value / reference if faster else reference / value for value in times)
            points[workers] = Spread(median, low, high, values.count, values.runs)
    return dict(sorted(points.items()))

"""The closing tables of runs, comparisons and simulations, for the terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jasgd.experiments.comparison import Comparison
from jasgd.experiments.measures import FACTORS, SHARES, Spread
from jasgd.experiments.spectrum import Spectrum
from jasgd.fits import LawFit
from jasgd.record.result import TrainResult
from jasgd.showing import counted

try:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text
except ImportError as error:
    raise ImportError('tables need rich: pip install "jasgd[cli]"') from error

#: measure of :func:`jasgd.experiments.measures.measures` → its title, its format, and the factor to its unit.
COLUMNS: dict[str, tuple[str, str, float]] = {
    "final_loss": ("final\ntraining loss", ".2g", 1),
    "test_accuracy": ("test\naccuracy (%)", ".1f", 100),
    **{f"updates_to_{share:.0%}": (f"updates\nto {share:.0%}", ".0f", 1) for share in SHARES},
    **{f"time_to_{share:.0%}_s": (f"time to\n{share:.0%} (s)", ".2g", 1) for share in SHARES},
    "updates_per_s": ("updates\n(1/s)", ".0f", 1),
    "staleness_mean": ("mean τ", ".1f", 1),
    "staleness_gini": ("Gini index\nof τ", ".2f", 1),
    "mean_factor": ("E[C]\nwhole run", ".2f", 1),
    "mean_factor_after_start": ("E[C] after\nthe start", ".2f", 1),
    "dropped": ("dropped\ngradients", ".0f", 1),
}
#: the columns of each table of a comparison; as many as 80 columns hold
GROUPS = (
    ("final_loss", "test_accuracy", *FACTORS),
    tuple(name for name in COLUMNS if name.startswith("updates_to_")),
    tuple(name for name in COLUMNS if name.startswith("time_to_")),
    ("updates_per_s", "staleness_mean", "staleness_gini", "dropped"),
)
COLUMNS_OF_A_TERMINAL = 80
MEANS = (*FACTORS, "staleness_mean")
ARM_WIDTH = 24  # of a control of a rule with one option; longer labels take several lines


def run_table(result: TrainResult, title: str, fits: list[LawFit]) -> Table:
    """The numbers of one run, to be printed by a :class:`rich.console.Console`.

    Args:
      result: of :func:`jasgd.train`.
      title: what was trained, and how.
      fits: the models of its staleness, nearest first; may be empty.

    Returns:
      The table.

    Example:
      >>> import jax.numpy as jnp, jasgd, optax
      >>> def loss_fn(w, batch):
      ...     return (w**2).sum()
      >>> result = jasgd.train(loss_fn, jnp.ones(2), optax.sgd(0.1), lambda t: 0.0, workers=1, steps=3)
      >>> run_table(result, "a parabola", []).row_count
      6
    """
    m, any_applied = result.metrics, len(result.execution) > 0
    table = Table(title=_title(title), title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")

    def add(name: str, text: str) -> None:
        table.add_row(name, Text(text))  # which, unlike a string, is no markup: messages have brackets in them

    add("outcome", f"{result.outcome}: {result.message}")
    speed = f", {m['updates_per_s']:,.0f} a second" if any_applied else ""
    add("updates", f"{m['updates']:,} in {result.duration_s:.2f} s{speed}")
    if any_applied:
        add("training loss", f"{m['first_loss']:.4g} → {m['last_loss']:.4g} (mean of the last 100 gradients)")
    if result.evaluations:
        named = {k: v for k, v in result.evaluations[-1].items() if k not in ("time_s", "version")}
        add("test set", ", ".join(f"{name} {value:.4g}" for name, value in named.items()))
    if any_applied:
        shape = f"median {m['staleness_median']}, largest {m['staleness_max']}, Gini {m['staleness_gini']:.3f}"
        add("staleness τ", f"mean {m['staleness_mean']:.2f}, {shape}")
    if fits:
        add("nearest model", f"{fits[0]}, Bhattacharyya distance {fits[0].distance:.4f}")
    if any_applied:
        mean = f"E[C] {m['mean_factor']:.3f}, after the start {m['mean_factor_after_start']:.3f}"
        add("step size", f"{mean}; E[τC] {m['mean_staleness_factor']:.3f}")
    for remark in result.remarks:
        add("note", remark)
    add("dropped", f"{m['dropped_stale']} too stale, {m['dropped_contended']} contended")
    return table


def comparison_table(comparison: Comparison) -> Group:
    """A row per arm: the median over seeds, and below it their range; each table fits 80 columns.

    Updates and time are those to a share of the initial training loss. Where only some of an arm's runs have a value,
    as with a loss that not all of them reached, their number follows the range.

    Args:
      comparison: of :func:`jasgd.experiments.comparison.compare`.

    Returns:
      The tables, to be printed by a :class:`rich.console.Console`.
    """
    s, seeds = comparison.settings, counted(len(comparison.seeds), "seed")
    title = f"{comparison.problem}, {s['scheme']}, {counted(s['workers'], 'worker')}, {seeds}: median, and range below"
    tables = []
    for names in GROUPS:
        table = _table()
        table.add_column("rule", no_wrap=True)
        for name in names:
            table.add_column(COLUMNS[name][0], justify="right", overflow="fold")
        for row in comparison.rows:
            table.add_row(_arm(row["arm"]), *(_below(row.get(name), *COLUMNS[name][1:]) for name in names))
        tables.append(table)
    runs = [f"{row['arm']}: {_outcomes(row['outcomes'])}" for row in comparison.rows]
    return Group(_title(title), *tables, Text("\n".join(["Runs", *(f"  {line}" for line in runs)])), Text())


def spectrum_table(spectrum: Spectrum, cluster: str) -> Group:
    """A row per number of workers and arm: loss, test accuracy, learning rate, E[C] and staleness, in 80 columns.

    Args:
      spectrum: of :func:`jasgd.experiments.sweeping.sweep`.
      cluster: label of one of its clusters.

    Returns:
      The table; a number is the median over seeds, and the range of losses is below it. Accuracy has a column where
      runs were evaluated.
    """
    setting = f"{spectrum.settings['steps']:,} updates, {counted(len(spectrum.seeds), 'seed')}: medians"
    title = f"{spectrum.problem}, {spectrum.settings['scheme']}, speeds {cluster}, {setting}"
    table = _table()
    table.add_column("workers", justify="right")
    table.add_column("rule", no_wrap=True)
    rows = {(row["cluster"], row["workers"], row["arm"]): row for row in spectrum.rows}
    evaluated = any(row["test_accuracy"].count for row in rows.values() if "test_accuracy" in row)
    accuracy = ["test\n(%)"] if evaluated else []
    for name in ("final loss\n(range)", *accuracy, "learning\nrate", "E[C]\nwhole", "after\nstart", "mean τ"):
        table.add_column(name, justify="right", overflow="fold")
    for workers in spectrum.workers:
        shown = f"{workers:,}"
        for arm in spectrum.arms:
            row = rows.get((cluster, workers, arm.label))
            cells = ["–"] * (5 + len(accuracy))
            if row is not None:
                loss = _below(row["final_loss"], ".2g", 1)
                means = (_median(row[name], form) for name, form in zip(MEANS, (".2f", ".2f", ".1f"), strict=True))
                right = [_median(row["test_accuracy"], ".1f", 100)] if evaluated else []
                cells = [loss, *right, f"{row['learning_rate']:g}", *means]
            table.add_row(shown, _arm(arm.label), *cells)
            shown = ""
        table.add_section()
    return Group(_title(title), table)


def executions_table(rows: Sequence[Mapping[str, Any]]) -> Group:
    """For each cluster a row per execution without training: its staleness, its drops and its speed.

    Args:
      rows: as ``jasgd simulate --no-train`` writes them into ``executions.json``.

    Returns:
      The tables; times are those of the model.
    """
    columns = {
        "workers": ("workers", ",d"),
        "seed": ("seed", "d"),
        "commits": ("commits", ",d"),
        "commits_per_s": ("commits\n(1/s)", ""),
        "mean": ("mean τ", ",.2f"),
        "median": ("median\nτ", ",.0f"),
        "max": ("largest\nτ", ",d"),
        "gini": ("Gini", ".2f"),
        "mean_tries": ("tries", ".2f"),
        "dropped": ("drops", ",d"),
    }
    parts: list[Any] = []
    for cluster in dict.fromkeys(row["cluster"] for row in rows):
        of_cluster = [row for row in rows if row["cluster"] == cluster]
        cells = {
            title: [f"{row[name]:{form}}" if form else _speed(row[name]) for row in of_cluster]
            for name, (title, form) in columns.items()
        }
        lost = [f"{row['workers']} workers, seed {row['seed']}" for row in of_cluster if not row["conserved"]]
        kept = f"no, not with {'; '.join(lost)}" if lost else "yes"
        parts += [_title(f"speeds {cluster}"), *_tables(cells), Text(f"All gradients accounted for: {kept}\n")]
    return Group(*parts)


def _tables(cells: Mapping[str, Sequence[str]]) -> list[Table]:
    """Columns, side by side as far as they fit; the others in a second table, with the first two again."""
    widths = {title: max(len(text) for text in (*title.split("\n"), *of_column)) for title, of_column in cells.items()}
    titles, groups = list(cells), [list(cells)]
    if sum(widths.values()) + 2 * len(titles) > COLUMNS_OF_A_TERMINAL:
        about_staleness = [title for title in titles if "τ" in title or title == "Gini"]
        groups = [[title for title in titles if title not in about_staleness], [*titles[:2], *about_staleness]]
    tables = []
    for group in groups:
        table = _table()
        for title in group:
            table.add_column(title, justify="right", overflow="fold")
        for row in zip(*(cells[title] for title in group), strict=True):
            table.add_row(*row)
        tables.append(table)
    return tables


def datasets_table(rows: Sequence[tuple[str, str, str, str, str]]) -> Group:
    """A row per data set, and below each the folder it is in.

    Args:
      rows: name, title, how it was found, folder, and files in words, of each.

    Returns:
      The table.
    """
    table = _table()
    for column in ("data set", "what", "found by", "files"):
        table.add_column(column, overflow="fold")
    for name, title, origin, _, files in rows:
        table.add_row(name, title, origin, Text(files))
    width = max((len(row[0]) for row in rows), default=0)
    folders = [f"  {name:{width}}  {folder}" for name, _, _, folder, _ in rows if folder]
    return Group(table, Text("\n".join(["Folders", *folders]), overflow="fold") if folders else Text())


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def _below(spread: Spread | None, form: str, unit: float) -> str:
    """The median, and the range below it."""
    if spread is None or not spread.count:
        return "–"
    median, low, high = (_written(unit * x, form) for x in spread[:3])
    more = "" if low == high else f"{low}–{high}"
    some = "" if spread.count == spread.runs else f"{spread.count}/{spread.runs}"
    below = " ".join(part for part in (more, some) if part)
    return f"{median}\n{below}" if below else median


def _arm(label: str) -> Text:
    """The label of an arm, broken where one of its parts ends if it is long."""
    lines = [""]
    for part in re.findall(r"[^@:,]*[@:,]|[^@:,]+", label):
        if lines[-1] and len(lines[-1] + part) > ARM_WIDTH:
            lines.append("  ")
        lines[-1] += part
    return Text("\n".join(lines))


def _speed(per_s: float) -> str:
    return f"{per_s:,.0f}" if per_s >= 100 else f"{per_s:.3g}"


def _median(spread: Spread | None, form: str, unit: float = 1) -> str:
    return _written(unit * spread.median, form) if spread is not None and spread.count else "–"


def _outcomes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "–"


def _title(text: str) -> Text:
    return Text(text, style="bold", overflow="fold")


def _written(x: float, form: str) -> str:
    if not math.isfinite(x):
        return "∞"
    return f"{x:.0f}" if 100 <= abs(x) < 1e6 else f"{x:{form}}"  # where two digits would take an exponent

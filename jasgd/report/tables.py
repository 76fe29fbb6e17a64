"""The closing tables of runs, comparisons and simulations, for the terminal."""

from __future__ import annotations

import math
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
    from rich.table import Table
    from rich.text import Text
except ImportError as error:
    raise ImportError('tables need rich: pip install "jasgd[cli]"') from error

#: measure of :func:`jasgd.experiments.measures.measures` → its title, its format, and the factor to its unit.
ROWS: dict[str, tuple[str, str, float]] = {
    "final_loss": ("final training loss", ".2g", 1),
    "test_accuracy": ("test accuracy (%)", ".1f", 100),
    **{f"updates_to_{share:.0%}": (f"updates to {share:.0%}", ".0f", 1) for share in SHARES},
    **{f"time_to_{share:.0%}_s": (f"time to {share:.0%} (s)", ".2g", 1) for share in SHARES},
    "updates_per_s": ("updates per second", ".0f", 1),
    "staleness_mean": ("mean staleness τ", ".1f", 1),
    "staleness_gini": ("Gini index of τ", ".2f", 1),
    "mean_factor": ("E[C], whole run", ".2f", 1),
    "mean_factor_after_start": ("E[C] after the start", ".2f", 1),
    "dropped": ("dropped gradients", ".0f", 1),
}


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
    table = Table(title=_title(title), title_justify="left", show_header=False, box=box.SIMPLE_HEAVY)
    table.add_column(style="dim")
    table.add_column()

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


def comparison_table(comparison: Comparison) -> Table:
    """A column per arm, a row per measure: the median over seeds, and the range in parentheses.

    Updates and time are those to a share of the initial training loss. Where only some of an arm's runs have a value,
    as with a loss that not all of them reached, their number follows.

    Args:
      comparison: of :func:`jasgd.experiments.comparison.compare`.

    Returns:
      The table.
    """
    s, seeds = comparison.settings, counted(len(comparison.seeds), "seed")
    title = f"{comparison.problem}, {s['scheme']}, {counted(s['workers'], 'worker')}, {seeds}: median (range)"
    table = Table(title=_title(title), title_justify="left", box=box.SIMPLE_HEAVY)
    table.add_column("", no_wrap=True)
    for row in comparison.rows:
        table.add_column(Text(row["arm"].replace("@", "@\n")), justify="right", overflow="fold")
    outcomes = (row["outcomes"] for row in comparison.rows)
    table.add_row("runs", *(", ".join(f"{n} {name}" for name, n in counts.items()) or "–" for counts in outcomes))
    for name, (measure, form, unit) in ROWS.items():
        spreads = [row.get(name) for row in comparison.rows]
        table.add_row(measure, *(_cell(spread, form, unit) if spread else "–" for spread in spreads))
    return table


def spectrum_table(spectrum: Spectrum, cluster: str) -> Table:
    """A row per arm, a column per number of workers: final training loss, learning rate, and E[C].

    Args:
      spectrum: of :func:`jasgd.experiments.sweeping.sweep`.
      cluster: label of one of its clusters.

    Returns:
      The table; a loss is the median over seeds with their range, E[C] the median over the whole run and that after its
      start.
    """
    seeds = counted(len(spectrum.seeds), "seed")
    shown = "final training loss; learning rate, E[C] / after the start"
    setting = f"speeds {cluster}, {spectrum.settings['steps']:,} updates, {seeds}: {shown}"
    table = Table(title=_title(f"{spectrum.problem}, {spectrum.settings['scheme']}, {setting}"), title_justify="left",
                  box=box.SIMPLE_HEAVY)  # fmt: skip
    table.add_column("", no_wrap=True)
    for workers in spectrum.workers:
        table.add_column(counted(workers, "worker"), justify="right")
    for arm in spectrum.arms:
        cells = []
        for workers in spectrum.workers:
            key = (cluster, workers, arm.label)
            row = next((r for r in spectrum.rows if (r["cluster"], r["workers"], r["arm"]) == key), None)
            if row is None:
                cells.append("–")
                continue
            whole, after = (row[name].median for name in FACTORS)
            mean = f"{whole:.2f} / {after:.2f}" if row[FACTORS[0]].count else "–"
            cells.append(f"{_cell(row['final_loss'], '.2g', 1)}\n{row['learning_rate']:g}, {mean}")
        table.add_row(Text(arm.label), *cells)
    return table


def executions_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A row per execution without training: its staleness, its drops and its speed.

    Args:
      rows: as ``jasgd simulate --no-train`` writes them into ``executions.json``.

    Returns:
      The table; times are those of the model.
    """
    table = Table(box=box.SIMPLE_HEAVY)
    columns = {
        "cluster": ("speeds", "s"),
        "workers": ("workers", ",d"),
        "seed": ("seed", "d"),
        "commits": ("commits", ",d"),
        "commits_per_s": ("commits/s", ",.4g"),
        "mean": ("mean τ", ".2f"),
        "median": ("median", "g"),
        "max": ("largest", ",d"),
        "gini": ("Gini", ".3f"),
        "mean_tries": ("tries", ".2f"),
        "dropped": ("dropped", ",d"),
        "conserved": ("conserved", "s"),
    }
    for title, _ in columns.values():
        table.add_column(title, justify="right")
    for row in rows:
        shown = {name: ("yes" if row[name] else "no") if name == "conserved" else row[name] for name in columns}
        table.add_row(*(f"{shown[name]:{form}}" for name, (_, form) in columns.items()))
    return table


def _title(text: str) -> Text:
    return Text(text, style="table.title")


def _cell(spread: Spread, form: str, unit: float) -> str:
    if not spread.count:
        return "–"
    median, low, high = (_written(unit * x, form) for x in spread[:3])
    text = median if low == high else f"{median} ({low}–{high})"
    return text if spread.count == spread.runs else f"{text} {spread.count}/{spread.runs}"


def _written(x: float, form: str) -> str:
    if not math.isfinite(x):
        return "∞"
    return f"{x:.0f}" if 100 <= abs(x) < 1e6 else f"{x:{form}}"  # where two digits would take an exponent

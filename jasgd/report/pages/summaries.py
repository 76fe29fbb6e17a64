"""What a page says first: plain sentences, a table of the arms, and how to make it all again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jasgd.experiments.comparison import Comparison
from jasgd.experiments.measures import Spread
from jasgd.experiments.spectrum import Spectrum
from jasgd.fits import fit
from jasgd.presenting.pictures.canvas import number
from jasgd.record.result import TrainResult
from jasgd.record.start_of_run import start_of_execution
from jasgd.report.pages.loading import Content
from jasgd.showing import counted


class Table(NamedTuple):
    """A table of a page."""

    caption: str
    header: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class Command(NamedTuple):
    """A line for the shell, and what it does."""

    purpose: str
    line: str


def heading(content: Content) -> str:
    """What the page is about, in a line."""
    if content.kind == "run":
        rule = content.recipe.get("rule")
        of = _problem_of(content.recipe)
        return "Run" + (f" of {of}" if of else "") + (f" with the step-size function {rule}" if rule else "")
    what = "Comparison" if content.kind == "comparison" else "Spectrum"
    return f"{what} of {counted(len(content.result.arms), 'step-size function')} on {content.result.problem}"


def sentences(content: Content) -> list[str]:
    """The summary, a sentence or two each.

    Args:
      content: of a folder.

    Returns:
      The sentences.
    """
    if isinstance(content.result, TrainResult):
        return _of_run(content.result)
    result: Comparison | Spectrum = content.result
    seeds = counted(len(result.seeds), "seed")
    labels = ", ".join(arm.label for arm in result.arms)
    scheme = result.settings.get("scheme")
    if isinstance(result, Comparison):
        where = f"{counted(result.settings['workers'], 'worker')}, scheme {scheme}"
        first = f"{labels} were trained on {result.problem} with {seeds} each: {where}."
    else:
        counts = ", ".join(map(str, result.workers))
        where = f"{counts} workers, scheme {scheme}, {counted(result.settings['steps'], 'update')}"
        rates = ", ".join(f"{rate:g}" for rate in result.learning_rates)
        first = f"{labels} were simulated on {result.problem} with {seeds} each: {where}, learning rates {rates}."
    reading = content.record.get("reading")
    return [first, *(line for line in str(reading or result.reading()).splitlines() if line.strip())]


def table_of(content: Content) -> Table | None:
    """The arms of a comparison, or those of a spectrum with its largest number of workers; None for a run."""
    if content.kind == "run":
        return None
    if content.kind == "comparison":
        caption, rows = "Median over seeds (range)", content.result.rows
        start: tuple[str, ...] = ("arm",)
    else:
        most = max(content.result.workers)
        caption = f"{counted(most, 'worker')}, each arm at its best learning rate: median over seeds (range)"
        rows = [row for row in content.result.rows if row["workers"] == most]
        start = ("speeds", "arm", "learning rate")
    measures = {
        "final_loss": "final loss",
        "test_accuracy": "test accuracy",
        "updates_to_10%": "updates to 10 %",
        "staleness_mean": "mean τ",
        "mean_factor": "E[C]",
    }
    shown = {name: title for name, title in measures.items() if any(row[name].count for row in rows if name in row)}
    keys = {"speeds": "cluster", "arm": "arm", "learning rate": "learning_rate"}
    body = []
    for row in rows:
        outcomes = ", ".join(f"{count} {name}" for name, count in row["outcomes"].items()) or "–"
        cells = (_cell(row.get(name)) for name in shown)
        body.append((*(row[keys[name]] for name in start), outcomes, *cells))
    return Table(caption, (*start, "runs", *shown.values()), body)


def commands(content: Content, folder: Path) -> list[Command]:
    """How to make the folder again, and what else can be asked of it.

    Args:
      content: of the folder.
      folder: as it is to be named.

    Returns:
      The lines.
    """
    where, lines = shlex.quote(str(folder)), []
    if recorded := content.record.get("command"):
        what = {"run": "Train it anew; other gradients will be stale", "comparison": "Compare anew"}
        lines.append(Command(what.get(content.kind, "Simulate it again, to the same bits"), str(recorded)))
    if content.kind == "run":
        if content.recipe:
            lines.append(Command("Replay it, commit by commit, to the same bits", f"jasgd replay {where}"))
        audit = f"python -m theory.verify --execution {where}"
        lines.append(Command("Audit it: whether the theorems' assumptions held on it", audit))
    lines.append(Command("Make this page again", f"jasgd report {where}"))
    return lines


def _of_run(result: TrainResult) -> list[str]:
    m, ex = result.metrics, result.execution
    workers, scheme = ex.metadata.get("workers"), ex.metadata.get("scheme")
    text = [f"The run {result.outcome}: {result.message}."]
    if workers is not None:
        text.append(f"{counted(workers, 'worker')} made {counted(ex.commits, 'update')} in {result.duration_s:.3g} s"
                    + (f" under the scheme {scheme}." if scheme else "."))  # fmt: skip
    if not len(ex):
        return [*text, "No gradient was applied."]
    if np.isfinite(m["first_loss"]):
        text.append(f"The training loss went from {number(m['first_loss'])} to {number(m['last_loss'])}, the mean of "
                    "the last 100 gradients.")  # fmt: skip
    if result.evaluations:
        last = {name: value for name, value in result.evaluations[-1].items() if name not in ("time_s", "version")}
        text.append("At the end it was evaluated: " + ", ".join(f"{k} {number(v)}" for k, v in last.items()) + ".")
    text.append(f"A gradient was {number(m['staleness_mean'])} updates stale on average, half of them at most "
                f"{m['staleness_median']}, and the stalest {m['staleness_max']}. The nearest model is "
                f"{fit(ex.staleness)[0]}.")  # fmt: skip
    if np.isfinite(m["mean_factor"]):
        start = counted(start_of_execution(ex), "update")
        after = f"and {m['mean_factor_after_start']:.3f} after the start of {start}"
        text.append(f"The mean step-size factor E[C] was {m['mean_factor']:.3f}, {after}.")
    if len(ex.dropped):
        text.append(f"{counted(len(ex.dropped), 'gradient')} {'was' if len(ex.dropped) == 1 else 'were'} dropped.")
    return text + [f"{remark.rstrip('.')}." for remark in result.remarks]


def _problem_of(recipe: dict[str, Any]) -> str:
    return "/".join(str(recipe[name]) for name in ("dataset", "model") if recipe.get(name))


def _cell(spread: Spread | None) -> str:
    if spread is None or not spread.count:
        return "–"
    median, low, high = map(number, spread[:3])
    text = median if low == high else f"{median} ({low}–{high})"
    return text if spread.count == spread.runs else f"{text} {spread.count}/{spread.runs}"

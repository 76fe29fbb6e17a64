"""The numbers of a run that are compared with others': how fast the loss fell, and what the execution was like."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jasgd.presenting.curves import committed, smoothed
from jasgd.record.execution import Execution
from jasgd.record.result import Outcome, TrainResult
from jasgd.staleness import StalenessHistogram

SHARES = (0.5, 0.25, 0.1, 0.05)  # of the initial training loss, whose reaching is measured
FACTORS = ("mean_factor", "mean_factor_after_start")  # E[C] over the whole run, and after its start


class Spread(NamedTuple):
    """A number over seeds; infinite where a run diverged, left out where it has no value."""

    median: float
    low: float
    high: float
    count: int  # runs that have a value
    runs: int


def measures(result: TrainResult) -> dict[str, float]:
    """The numbers of a run that are compared, by name; NaN where it has none.

    The final training loss is the mean over the last 100 gradients; that of a diverged run is infinite, and so is
    the way to every share of the initial loss, also where it had been that low before.
    """
    m = result.metrics
    diverged, ended = result.outcome is Outcome.DIVERGED, result.outcome in (Outcome.FINISHED, Outcome.CONVERGED)
    last = result.evaluations[-1] if ended and result.evaluations else {}
    numbers = {
        "final_loss": m["last_loss"] if ended else math.inf if diverged else math.nan,
        "test_accuracy": last.get("accuracy", math.nan),
    }
    for share in SHARES:
        numbers[f"updates_to_{share:.0%}"], numbers[f"time_to_{share:.0%}_s"] = (
            (math.inf, math.inf) if diverged else reached(result.execution, share)
        )
    any_applied = len(result.execution) > 0
    for name in ("updates_per_s", "staleness_mean", "staleness_gini", *FACTORS):
        numbers[name] = m[name] if any_applied else math.nan
    return numbers | {"dropped": float(len(result.execution.dropped))}


def reached(execution: Execution, share: float) -> tuple[float, float]:
    """Updates and seconds until the smoothed loss is at most a share of the initial one; NaN where it never is.

    The initial loss is the mean over the gradients that were computed on the initial parameters.
    """
    initial = execution.loss[execution.version_read == 0]
    if len(initial) == 0 or not np.isfinite(initial).all():
        return math.nan, math.nan
    if initial.mean(dtype=np.float64) <= 0:  # a share of which is not below it
        return math.nan, math.nan
    rows = np.flatnonzero(smoothed(execution.loss) <= share * float(initial.mean(dtype=np.float64)))
    if len(rows) == 0:
        return math.nan, math.nan
    return float(execution.version[rows[0]] + 1), float(committed(execution)[rows[0]])


def spread(values: Sequence[float]) -> Spread:
    """Median and range of the values that are not NaN.

    Example:
      >>> spread([3.0, 1.0, math.nan])
      Spread(median=2.0, low=1.0, high=3.0, count=2, runs=3)
    """
    present = sorted(value for value in values if not math.isnan(value))
    if not present:
        return Spread(math.nan, math.nan, math.nan, 0, len(values))
    return Spread(statistics.median(present), present[0], present[-1], len(present), len(values))


def shown_row(row: Mapping[str, Any]) -> dict[str, str]:
    """What a notebook shows of a table's row: the arm, its outcomes, and medians with their ranges over seeds."""
    shown = {"arm": row["arm"], "outcomes": ", ".join(f"{count} {name}" for name, count in row["outcomes"].items())}
    names = ("final_loss", "updates_to_50%", "updates_to_10%", "staleness_mean", *FACTORS, "test_accuracy")
    for name in names:
        if name in row and row[name].count:
            shown[name] = f"{row[name].median:.4g} ({row[name].low:.4g} … {row[name].high:.4g})"
    return shown


def execution_numbers(execution: Execution) -> dict[str, float]:
    """The numbers of an execution without training, by name: commits, drops, conservation and staleness."""
    law = StalenessHistogram.from_staleness(execution.staleness).statistics()
    conserved = execution.conservation()
    total = conserved.pop("total")
    duration_s = float(execution.time_s.max())
    return {
        "commits": execution.commits,
        "gradients": len(execution),
        "duration_s": duration_s,
        "commits_per_s": execution.commits / duration_s,
        "dropped": len(execution.dropped),
        "mean_tries": float(execution.tries.mean()),
        "conserved": sum(conserved.values()) == total,
        **{name: law[name] for name in ("mean", "median", "max", "gini", "sum_p2")},
    }

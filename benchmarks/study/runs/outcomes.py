"""The numbers of one run that the study keeps, and the curve that is thinned out of its losses."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from benchmarks.study.design import LEVELS, WINDOW
from jasgd.presenting.curves import committed
from jasgd.record.execution import Execution

POINTS = 50  # of a curve


@dataclasses.dataclass(frozen=True)
class Numbers:
    """What is kept of a run.

    Attributes:
      initial: mean loss of the gradients that were computed on the initial parameters, in nats.
      final: mean loss of the last ``WINDOW`` gradients; infinite where the run diverged.
      best: the least mean loss of ``WINDOW`` gradients that follow one another, also of a run that diverged later.
      target: updates until that mean was at most the cell's target, infinite where it never was; NaN without a target.
      levels: updates until that mean was at most each of ``LEVELS`` times the initial loss; infinite likewise.
      times: the same in simulated or measured seconds.
      mean_factor: E[C], the mean of the factors that gradients were scaled by.
      mean_square: E[C²].
      mean_staleness: mean τ in updates.
      accuracy: share of the test images that were classified rightly at the end; NaN where not evaluated.
      curve: means of the loss over equal spans of the run; () where not kept.
    """

    initial: float
    final: float
    best: float
    target: float
    levels: tuple[float, ...]
    times: tuple[float, ...]
    mean_factor: float
    mean_square: float
    mean_staleness: float
    accuracy: float = math.nan
    curve: tuple[float, ...] = ()


def numbers_of(
    execution: Execution, *, diverged: bool, target: float = math.nan, accuracy: float = math.nan, curve: bool = False
) -> Numbers:
    """The numbers of a run.

    Args:
      execution: its rows have losses and factors; one that diverged may end before a loss is no number.
      diverged: whether it did.
      target: the loss of the cell's target, NaN for none.
      accuracy: on the test images.
      curve: whether the curve is kept.

    Returns:
      The numbers.
    """
    losses = execution.loss.astype(np.float64)
    losses = np.where(np.isfinite(losses), losses, np.inf)
    initial = float(losses[execution.version_read == 0].mean())
    means = np.full(len(losses), np.inf)
    if len(losses) >= WINDOW:
        sums = np.cumsum(np.concatenate([[0.0], np.where(np.isfinite(losses), losses, np.nan)]))
        means[WINDOW - 1 :] = np.nan_to_num((sums[WINDOW:] - sums[:-WINDOW]) / WINDOW, nan=np.inf)
    updates, times = execution.version + 1, committed(execution)

    def reached(level: float) -> tuple[float, float]:
        rows = np.flatnonzero(means <= level)
        return (float(updates[rows[0]]), float(times[rows[0]])) if len(rows) else (math.inf, math.inf)

    at = [reached(share * initial) for share in LEVELS]
    factors = execution.factor[np.isfinite(execution.factor)].astype(np.float64)
    return Numbers(
        initial=initial,
        final=math.inf if diverged else float(means[-1]),
        best=float(means.min(initial=np.inf)),
        target=math.nan if math.isnan(target) else reached(target)[0],
        levels=tuple(one for one, _ in at),
        times=tuple(one for _, one in at),
        mean_factor=float(factors.mean()) if len(factors) else math.nan,
        mean_square=float((factors**2).mean()) if len(factors) else math.nan,
        mean_staleness=float(execution.staleness.mean()),
        accuracy=accuracy,
        curve=thinned(losses) if curve and not diverged else (),
    )


def thinned(losses: np.ndarray) -> tuple[float, ...]:
    """The means over ``POINTS`` equal parts of the losses, or fewer where there are not so many."""
    parts = np.array_split(losses, min(POINTS, len(losses)))
    return tuple(float(part.mean()) for part in parts)

"""The start of a run, in which staleness and factors are not yet what they are later."""

from __future__ import annotations

import numpy as np

from jasgd.record.execution import Execution

SHARE = 0.1  # of the updates


def start_of(updates: int, workers: int) -> int:
    """How many updates are the start of a run.

    At first every worker has read version 0, so each τ is the largest so far: a rule that compares it with the law
    takes it for a very stale one, and E[C] is below 1 until each worker has made an update or two.

    Args:
      updates: of the whole run.
      workers: number of workers.

    Returns:
      A tenth of the updates, or two for each worker where that is more; at most half of the updates.

    Example:
      >>> start_of(1500, 8), start_of(400, 64), start_of(400, 1000)
      (150, 128, 200)
    """
    return min(max(int(SHARE * updates), 2 * workers), updates // 2)


def start_of_execution(execution: Execution) -> int:
    """The updates that are the start of a recorded run, see :func:`start_of`."""
    return start_of(execution.commits, int(execution.metadata.get("workers", 1)))


def mean_factor_after_start(execution: Execution) -> float:
    """The mean of C(τ) over the gradients that were applied after the start of a run; NaN where there are none.

    Args:
      execution: the record of the run.

    Returns:
      The mean, in double precision.
    """
    later = execution.factor[execution.version >= start_of_execution(execution)]
    return float(later.mean(dtype=np.float64)) if len(later) else float("nan")

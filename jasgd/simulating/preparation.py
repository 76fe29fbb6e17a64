"""One assembly of a simulated run, for ``simulate`` and for spectra."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jasgd.core.compiled import Leaves
from jasgd.record.execution import Execution
from jasgd.simulating.scan import Program
from jasgd.simulating.scan_batches import Feed
from jasgd.simulating.schedule import Schedule


@dataclasses.dataclass(frozen=True)
class Task:
    """What the runs of a simulation have in common."""

    program: Program
    feed: Feed
    evaluate: Callable[[Any], float | Mapping[str, float]] | None
    evaluate_every: int | None
    check_finite: bool
    device: Any
    batch: Any  # any
    slots: int  # at least so many, so that executions with fewer are not compiled for
    chunk: int  # steps of one call, see chunk_of; what is not filled does nothing


@dataclasses.dataclass(frozen=True)
class Lane:
    """One run: a seed and a step size."""

    seed: int
    step_size: Any  # a pytree of numbers, what the program's tx takes; None where that takes none
    source: int  # which of the feed's
    execution: Execution
    plan: Schedule
    params: Leaves
    state: Leaves


def chunk_of(lanes: Sequence[Lane], every: int | None, longest: int) -> int:
    """Steps of one call, as many for all lanes, so that nothing is compiled twice.

    Args:
      lanes: the runs.
      every: updates between evaluations, or None.
      longest: steps of one call, at most.

    Returns:
      The longest way between two evaluations, or an equal part of it.
    """
    ways = [
        np.diff([lane.plan.steps_to(mark) for mark in evaluation_marks(lane.execution.commits, every)])
        for lane in lanes
    ]
    most = max(int(of_lane.max()) for of_lane in ways)
    return -(-most // -(-most // longest))


def evaluation_marks(commits: int, every: int | None) -> list[int]:
    """The versions at which a run is evaluated: 0, every so many updates, and the last."""
    return [*range(0, commits, commits if every is None else every), commits]

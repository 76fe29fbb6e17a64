"""The speeds of the study's workers, and the executions that follow from them; no training is needed for one.

Times are in units of a gradient's mean time, which is why they are called seconds without being any.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

from benchmarks.study import design, exploratory
from jasgd import cluster
from jasgd.record.execution import Execution
from jasgd.simulating.schedule import Schedule, schedule

MEASURED = Path(__file__).with_name("measured_times.json")  # written by threads.py
GRADIENT = cluster.gamma(mean_s=1.0, shape=4)


def cluster_of(cell: design.Cell) -> cluster.Cluster:
    """The model of a cell's times.

    Args:
      cell: its speeds are ``"equal"``; ``"sigma0.7"``, lognormal with that deviation of the logarithm and mean 1, drawn
        once a worker and seed; or ``"measured"``, the phases of the threads of one machine.

    Returns:
      The model.
    """
    if cell.speeds == "measured":
        model = measured_cluster()
    elif cell.speeds == "equal":
        model = cluster.Cluster(compute_s=GRADIENT)
    elif cell.speeds.startswith("sigma"):
        model = cluster.Cluster(
            compute_s=GRADIENT, speeds=cluster.lognormal(1.0, float(cell.speeds.removeprefix("sigma")))
        )
    else:
        raise ValueError(f"speeds must be equal, sigma… or measured, got {cell.speeds!r}")
    changed = dict(exploratory.CHANGES[cell.change].options.get("cluster", {})) if cell.change else {}
    if (share := changed.pop("joins_share", None)) is not None:
        updates, late = updates_of(cell), int(cell.workers * share)
        changed["joins_s"] = dict.fromkeys(
            range(cell.workers - late, cell.workers), updates / 3 / (cell.workers - late)
        )
    if (straggling := changed.pop("stragglers", None)) is not None:
        changed["stragglers"] = cluster.Stragglers(*straggling)
    return dataclasses.replace(model, **changed) if changed else model


def measured_cluster() -> cluster.Cluster:
    """The model whose phases are drawn from those that threads took, in units of their mean gradient."""
    recorded: dict[str, Any] = json.loads(MEASURED.read_text())
    phases = {f"{phase}_s": cluster.measured(times) for phase, times in recorded["phases"].items()}
    return cluster.Cluster(**phases)


def updates_of(cell: design.Cell) -> int:
    """The updates of a run of a cell."""
    options = exploratory.CHANGES[cell.change].options if cell.change else {}
    updates = int(options.get("updates", design.PROBLEMS[cell.problem].updates))
    return updates // exploratory.gradients_an_update(cell)


@functools.lru_cache(maxsize=64)
def planned(cell: design.Cell, seed: int) -> tuple[Execution, Schedule]:
    """The execution of a cell and seed, which all its arms and learning rates follow, and the order of its scan."""
    options = exploratory.CHANGES[cell.change].options if cell.change else {}
    scheme = options.get("scheme", design.SCHEME)
    execution = cluster.generate(
        cluster_of(cell),
        scheme=f"k_of_n:k={exploratory.gradients_an_update(cell)}" if scheme == "k_of_n" else scheme,
        workers=cell.workers,
        steps=updates_of(cell),
        seed=seed,
    )
    return execution, schedule(execution)

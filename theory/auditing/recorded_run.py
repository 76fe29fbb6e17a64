"""What an audit reads: an execution, its commits as the theorems count them, and the run that it came from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from jasgd.record.execution import Execution
from jasgd.record.result import TrainResult
from jasgd.record.saving.manifest import located
from jasgd.showing import Shown


@dataclasses.dataclass(frozen=True, repr=False)
class Commits(Shown):
    """An execution, one row per commit.

    Attributes:
      staleness: τ_k in updates; int64.
      factor: C_k; float64, NaN where none was recorded.
      row: the first row of each commit in the execution; int64.
      unfinished: commits of Hogwild that did not end, which have no row and are left out.
    """

    staleness: np.ndarray
    factor: np.ndarray
    row: np.ndarray
    unfinished: int

    def _facts(self) -> dict[str, Any]:
        return vars(self)

    @classmethod
    def of(cls, execution: Execution) -> Commits:
        """Gradients that share a version are one commit of their mean.

        Args:
          execution: any that is valid.

        Returns:
          The commits; staleness that would reach before the first one is left as it is.

        Example:
          >>> from jasgd import cluster
          >>> rounds = cluster.generate(cluster.Cluster(compute_s=1.0), scheme="synchronous", workers=3, steps=2)
          >>> Commits.of(rounds).row.tolist(), Commits.of(rounds).staleness.tolist()
          ([0, 3], [0, 0])
        """
        first = np.flatnonzero(np.diff(execution.version, prepend=-1))
        return cls(
            execution.staleness[first],
            execution.factor[first].astype(np.float64),
            first,
            len(execution.metadata.get("unfinished", [])),
        )


def overlap(execution: Execution) -> str:
    """Finds a worker that read before its previous gradient was done, which is impossible.

    Where none did, the staleness that a worker's gradients have, and the gaps between them, add up to the whole run.

    Args:
      execution: the record.

    Returns:
      A clause that names the first such read, or nothing.

    Example:
      >>> from jasgd import cluster
      >>> overlap(cluster.generate(cluster.Cluster(compute_s=1.0), scheme="leashed", workers=3, steps=9))
      ''
    """
    tables = [(execution, 1), (execution.dropped, 0)]  # the worker of an applied gradient is done after its own commit
    worker = np.concatenate([table.worker for table, _ in tables])
    read = np.concatenate([table.version_read for table, _ in tables])
    done = np.concatenate([table.version + own for table, own in tables])
    under_way = np.array(execution.metadata.get("in_flight", []), np.int64).reshape(-1, 2)
    worker = np.concatenate([worker, under_way[:, 0]])
    read, done = np.concatenate([read, under_way[:, 1]]), np.concatenate([done, np.full(len(under_way), 1 << 62)])
    order = np.lexsort((read, done, worker))
    worker, read, done = worker[order], read[order], done[order]
    early = np.flatnonzero((np.diff(worker) == 0) & (worker[1:] >= 0) & (read[1:] < done[:-1]))
    if not len(early):
        return ""
    row = int(early[0]) + 1
    return f"worker {worker[row]} read version {read[row]} before it was done, at version {done[row - 1]}, with another"


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A recorded run, and what is known of how it was trained.

    Attributes:
      execution: the record.
      result: the run, or None for an execution alone.
      loss_fn: the loss, or None.
      batches: a function of a ticket, or None.
      tx: the transformation, or None.
      learning_rate: η of plain SGD, or None.
      optimizer: ``"sgd"`` for plain SGD, another name, or None where it is not known.
      missing: why something is None, in a sentence; empty where nothing is.
    """

    execution: Execution
    result: TrainResult | None = None
    loss_fn: Any = None
    batches: Any = None
    tx: Any = None
    learning_rate: float | None = None
    optimizer: str | None = None
    missing: str = ""


def load(path: str | Path, *, data_dir: Path | None = None) -> Recorded:
    """Reads a run of the command line, a saved result, or an execution.

    Args:
      path: the folder of a run, or an ``execution.npz``.
      data_dir: the folder that has the run's data set, where it is no longer where it was.

    Returns:
      What is there; a data set that is not there leaves loss and batches out, and ``missing`` says so.

    Raises:
      ValueError: where there is no execution, or it was altered; it names the first such row.
    """
    path = Path(path)
    file = path / "execution.npz" if path.is_dir() else path
    if not located(file).exists():
        inside = sorted(saved.parent for saved in path.rglob("execution.npz")) if path.is_dir() else []
        hint = f"; one in it is {inside[0]}" if inside else ""
        raise ValueError(f"execution must be the folder of a run or an execution's file, got {path}{hint}")
    try:
        execution = Execution.load(file)
    except (OSError, KeyError) as error:
        raise ValueError(f"{file} holds no execution: {error}") from error
    if not located(path / "result.json").exists():
        return Recorded(execution, missing="only the execution was given")
    from jasgd.experiments.recipe import FILE, Recipe

    if not located(path / FILE).exists():
        return Recorded(execution, TrainResult.load(path), missing="the folder does not say what was trained")
    recipe = Recipe.load(path)
    optimizer = "sgd" if recipe.optimizer == "sgd" and not recipe.momentum else recipe.optimizer
    if recipe.momentum:
        optimizer = f"{recipe.optimizer} with momentum {recipe.momentum:g}"
    rate = recipe.learning_rate
    try:
        recipe = dataclasses.replace(recipe, download=False)
        problem = recipe.problem(data_dir)
    except (ValueError, ImportError, OSError) as error:
        reason = f"the problem cannot be loaded: {error}"
        return Recorded(execution, TrainResult.load(path), None, None, None, rate, optimizer, reason)
    result = TrainResult.load(path, params_like=problem.params)
    return Recorded(execution, result, problem.loss_fn, problem.batches, recipe.transformation(), rate, optimizer)

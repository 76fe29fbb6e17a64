"""``generate``: an execution of a scheme on a cluster's model, without any training."""

from __future__ import annotations

from typing import Any

import numpy as np

from jasgd.cluster.draws import Draws, checked_seed
from jasgd.cluster.generation import event_engine, scheme_names, sorting_engine
from jasgd.cluster.generation.run import ClusterRun, Trace
from jasgd.cluster.model import Cluster
from jasgd.inputs.checks import integer
from jasgd.record.execution import Execution, row_dtype
from jasgd.showing import brief


def generate(cluster: Cluster, *, scheme: Any = "leashed", workers: int, steps: int, seed: int = 0) -> Execution:
    r"""An execution that the cluster could have had: which version each gradient was computed on, and when.

    Each worker draws a ticket and its mini-batch, reads, computes, commits, and begins again. The same call gives the
    same execution bit for bit. What happens at one instant happens in the order of workers, and what takes no time
    happens at once with what it follows.

    ============================ ================================== ==================================================
    scheme                       a read takes the version           a commit makes the next version
    ============================ ================================== ==================================================
    ``sequential``               at its start                       at its end; one worker
    ``hogwild``                  at its start                       at its start; reads and commits never wait
    ``locked``                   once it holds the mutex            at its end, holding the mutex
    ``leashed``                  at its start                       at its end, if no other was made since its start;
                                                                    else it tries again
    ``synchronous``              after all have met                 one for all, ``commit_s`` after the last has come
    ``bounded_staleness``        at its start, near the slowest     at its end
    ``k_of_n``                   at its start                       one for the first k; late gradients are dropped
    ============================ ================================== ==================================================

    Args:
      cluster: how long everything takes, and which workers are present when.
      scheme: a name or a text such as ``"leashed:persistence=3"``; a result of ``jasgd.schemes.leashed(...)``
        and its like, of :func:`bounded_staleness` or of :func:`k_of_n`; or a class derived from
        :class:`SimulatedScheme`.
      workers: number of workers, m, ≥ 1.
      steps: number of commits, T, ≥ 1; a synchronous one has a row for each of its workers.
      seed: of all durations, 0 ≤ seed < 2⁶⁴.

    Returns:
      The execution. Its losses and factors are NaN; ``metadata["in_flight"]`` has [worker, version] for each worker
      that had read and not committed at the last commit, or when leaving; ``metadata["generated"]`` has the cluster.

    Raises:
      ValueError: for an argument out of its range, and where the run has no end: all workers have left, or wait for
        each other, or gradients are dropped without any commit.
      TypeError: for an argument of the wrong kind.

    Example:
      >>> from jasgd import cluster
      >>> fast_and_slow = cluster.Cluster(compute_s=1.0, speeds=[1, 1, 0.4])
      >>> execution = cluster.generate(fast_and_slow, scheme="leashed", workers=3, steps=8)
      >>> execution.worker.tolist()
      [0, 1, 0, 1, 2, 0, 1, 0]
      >>> execution.staleness.tolist()
      [0, 1, 1, 1, 4, 2, 2, 1]
    """
    if not isinstance(cluster, Cluster):
        raise TypeError(f"cluster must be a jasgd.Cluster, got {brief(repr(cluster))}")
    workers, steps, seed = integer("workers", workers, 1), integer("steps", steps, 1), checked_seed(seed)
    for name in ("joins_s", "leaves_s", "tempos"):
        for worker in getattr(cluster, name):
            if worker >= workers:
                raise ValueError(f"{name} must name workers in 0…{workers - 1}, got {worker}")
    name, make = scheme_names.resolve(scheme)
    draws = Draws(cluster, workers, seed)
    simulated = make(ClusterRun(draws, steps))
    play = sorting_engine.play if sorting_engine.applies(draws, simulated) else event_engine.play
    metadata = {"scheme": name, "workers": workers, "seed": seed, "generated": cluster.describe()}
    return execution_of(play(draws, simulated), metadata)


def execution_of(trace: Trace, metadata: dict[str, Any]) -> Execution:
    """The execution of an engine's trace, with metadata."""
    applied, dropped = _rows(trace.applied, dropped=False), _rows(trace.dropped, dropped=True)
    return Execution.from_rows(applied, dropped, metadata | {"in_flight": trace.in_flight})


def _rows(columns: dict[str, np.ndarray], *, dropped: bool) -> np.ndarray:
    rows = np.zeros(len(columns["version"]), row_dtype(dropped=dropped))
    for name, column in columns.items():
        rows[name] = column
    rows["staleness"] = rows["version"] - rows["version_read"]
    rows["factor"] = rows["loss"] = np.nan
    return rows

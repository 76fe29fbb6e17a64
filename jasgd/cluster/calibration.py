"""A cluster's model from the times that a run of threads measured."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

import numpy as np

from jasgd.cluster.changing_speeds import Tempo
from jasgd.cluster.model import Cluster
from jasgd.cluster.recorded_durations import measured
from jasgd.inputs.checks import instance, integer
from jasgd.record.execution import DROP_REASONS
from jasgd.record.result import TrainResult
from jasgd.record.timings import PHASES

Order = Literal["timed", "recorded", "drawn"]
BATCH, READ, COMPUTE, COMMIT = range(len(PHASES))


@dataclasses.dataclass(repr=False)
class _Worker:
    """One worker's gradients, in the order in which it made them.

    Attributes:
      bounds: when each phase began and the last one ended, in seconds of the execution's clock; of shape (n, 5).
      work: how long each phase worked and did not wait for other workers, in seconds; of shape (n, 4).
      counts: how many of the model's durations that was; of shape (n, 4). A read is one, a commit one of each attempt.
      applied: which gradients were applied; bool of shape (n,).
      version: of each; of shape (n,).
    """

    bounds: np.ndarray
    work: np.ndarray
    counts: np.ndarray
    applied: np.ndarray
    version: np.ndarray

    def tape(self, phase: int) -> np.ndarray:
        """The model's durations of a phase, one after the other."""
        counts = self.counts[:, phase]
        return np.repeat(self.work[:, phase] / np.maximum(counts, 1), counts)


def measured_from(result: TrainResult, *, workers: int | None = None, order: Order | None = None) -> Cluster:
    r"""A cluster whose times are those measured in a recorded run, and whose workers begin when they began.

    The waiting that the generated execution brings about by itself is taken out of the measured times. ``locked``:
    waiting for the mutex. Of the reads and commits, in the order in which they left it at :math:`d_i`, one was there by
    :math:`a_i = \max_{j \le i} (\text{its phase's begin})_j`, since a worker that is overtaken has not come yet, and
    had it for :math:`d_i - \max(a_i, d_{i-1})`. ``leashed``: attempts; a commit of n tries is n commits of 1/n of its
    time. ``synchronous``: waiting for the others; a round's commit takes from when the last worker came until it was
    done.

    All else stays in: waiting for Python's global lock, for a core, for an iterator of batches. So a run of one worker,
    or of no more than there are cores, says best what others would do; times of more than that hold for as many only.

    Args:
      result: of a run with ``timings``, where each worker has made a gradient; or one has, if times are drawn.
      workers: number of workers of the cluster, ≥ 1; None for as many as the run had. Of m that were recorded
        at work, worker w takes the times of worker w mod m, and each has a processor of its own: for fewer,
        ``dataclasses.replace(model, cores=2)``.
      order: ``"timed"``: a worker's phase takes its mean, at the speed which the worker had at that time of the run.
        Where all workers compute the same over and over, the times differ because the machine is slower now and
        then, and a worker that loses a core does so also where it has got a little ahead.
        ``"recorded"``: each worker's times one after the other.
        ``"drawn"``: each worker's times independently of each other, as for a prediction.
        None: ``"timed"``, and ``"drawn"`` for another number of workers, which has no other: copies of one worker would
        keep in step.

    Returns:
      The cluster, for so many workers.

    Raises:
      ValueError: where the run has no timings, or lacks a worker's; for an unknown order, or one that
        another number of workers does not have.

    Example:
      >>> import jax.numpy as jnp, optax, jasgd
      >>> result = jasgd.train(lambda w, batch: jnp.sum((w - batch) ** 2), jnp.zeros(3), optax.sgd(0.1),
      ...                      lambda ticket: jnp.ones(3), scheme="leashed", workers=1, steps=20)
      >>> model = measured_from(result)
      >>> execution = jasgd.cluster.generate(model, scheme="leashed", workers=1, steps=20)
      >>> bool(abs(execution.time_s[-1] / result.duration_s - 1) < 0.5)
      True
    """
    instance("result", result, TrainResult)
    recorded = result.execution.workers
    count = recorded if workers is None else integer("workers", workers, 1, optional=True)
    order = ("timed" if count == recorded else "drawn") if order is None else order
    if order not in get_args(Order):
        raise ValueError(f"order must be one of {', '.join(get_args(Order))}, got {order!r}")
    if count != recorded and order != "drawn":
        raise ValueError(f"order must be drawn for {count} workers where the run had {recorded}, got {order}")
    if not result.timings:
        raise ValueError(
            "result must have timings, got none: it was simulated, or saved by a version that did not measure them"
        )
    scheme, _, options = str(result.execution.metadata.get("scheme", "")).partition("(")
    found = [_worker(result, worker, attempts=scheme == "leashed") for worker in range(recorded)]
    present = [worker for worker in found if worker is not None]
    complete = len(present) == recorded
    if not present or not (complete or order == "drawn"):
        raise ValueError(f"every worker must have made a gradient, got none of worker {found.index(None)}")
    if scheme == "locked":
        _leave_out_the_queue(present, copies="reading='reference'" not in options)
    elif scheme == "synchronous":
        _leave_out_the_barrier(present)
    tapes = [[w.tape(phase) for w in present] for phase in range(len(PHASES))]
    for tapes_of_phase in tapes:
        pooled = np.concatenate(tapes_of_phase)
        # A worker that was never the last of a round has committed none.
        tapes_of_phase[:] = [tape if len(tape) else pooled for tape in tapes_of_phase]
    begins_s = {worker: float(w.bounds[0, 0]) for worker, w in enumerate(present) if w.bounds[0, 0] > 0}
    tempos: dict[int, Tempo] = {}
    if order == "timed":
        tapes = [[tape.mean(keepdims=True) for tape in tapes_of_phase] for tapes_of_phase in tapes]
        means = np.array(tapes)[:, :, 0]
        tempos = {worker: _tempo(w, means[:, worker]) for worker, w in enumerate(present)}
    laws: dict[str, Any] = {
        name: measured([times[w % len(present)] for w in range(count)], "drawn" if order == "drawn" else "recorded")
        for name, times in zip(PHASES, tapes, strict=True)
    }
    # A round of threads waits for present that have not begun yet, one of a cluster does not; and when others than
    # those of the run would begin is not known.
    known = scheme != "synchronous" and complete and count == recorded
    return Cluster(**laws, joins_s=begins_s if known else {}, tempos=tempos)


def _worker(result: TrainResult, worker: int, *, attempts: bool) -> _Worker | None:
    ex, parts = result.execution, []
    late = ex.dropped.reason == DROP_REASONS.index("stale")
    for prefix, table, too_stale in (("", ex, False), ("dropped.", ex.dropped, late)):
        # Of a gradient that is too stale a commit is nothing but the attempts that came before.
        commits = table.tries if attempts else np.where(too_stale, 0, np.ones(len(table)))
        columns = [table.time_s, commits, np.full(len(table), not prefix), table.version]
        columns += [result.timings[prefix + name] for name in PHASES]
        parts.append(np.stack(columns, axis=1)[table.worker == worker])
    rows = np.concatenate(parts)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows):
        return None
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    work = np.ascontiguousarray(rows[:, 4:])
    ends = np.cumsum(work).reshape(-1, len(PHASES))
    # A row is written a moment before its commit returns; the shortest such moment is taken for none.
    begin_s = max(0.0, float(np.max(rows[:, 0] - ends[:, -1])))
    bounds = begin_s + np.concatenate([np.insert(ends[:-1, -1], 0, 0.0)[:, None], ends], axis=1)
    counts = np.ones(work.shape, int)
    counts[:, COMMIT] = rows[:, 1]
    return _Worker(bounds, work, counts, rows[:, 2] > 0, rows[:, 3].astype(int))


def _leave_out_the_queue(workers: list[_Worker], *, copies: bool) -> None:
    # A worker that holds the mutex for an instant, to take a reference or to drop, has done nothing but wait.
    comes = np.concatenate([w.bounds[:, [READ, COMMIT]].ravel() for w in workers])
    leaves = np.concatenate([w.bounds[:, [READ + 1, COMMIT + 1]].ravel() for w in workers])
    has_held = np.concatenate([(w.counts[:, [READ, COMMIT]] * [copies, True]).ravel() for w in workers]) > 0
    order = np.flatnonzero(has_held)[np.argsort(leaves[has_held], kind="stable")]
    arrivals, held = comes.copy(), np.zeros(len(comes))
    arrivals[order] = np.maximum.accumulate(comes[order])
    held[order] = leaves[order] - np.maximum(arrivals[order], np.insert(leaves[order][:-1], 0, -np.inf))
    ends = np.cumsum([2 * len(w.work) for w in workers])[:-1]
    for w, late, mine in zip(workers, np.split(arrivals - comes, ends), np.split(held, ends), strict=True):
        w.work[:, [BATCH, COMPUTE]] += late.reshape(-1, 2)
        w.work[:, [READ, COMMIT]] = mine.reshape(-1, 2)


def _leave_out_the_barrier(workers: list[_Worker]) -> None:
    round_arrivals = {version: max(w.bounds[w.version == version, COMMIT].max(initial=-np.inf) for w in workers)
            for version in np.unique(np.concatenate([w.version for w in workers]))}  # fmt: skip
    for w in workers:
        last = np.array([round_arrivals[version] for version in w.version]) == w.bounds[:, COMMIT]
        w.counts[:, COMMIT] = last
        w.work[~last, COMMIT] = 0.0


def _tempo(worker: _Worker, means: np.ndarray) -> Tempo:
    """The speed at which the worker went: how many of its means a phase took; 1 where it waited, as on average."""
    starts, ends = worker.bounds[:, :-1].copy(), worker.bounds[:, 1:].copy()
    for phase in (BATCH, COMPUTE):  # then it waits
        ends[:, phase] = starts[:, phase] + worker.work[:, phase]
    for phase in (READ, COMMIT):  # it has waited
        starts[:, phase] = ends[:, phase] - worker.work[:, phase]
    done = worker.counts * means
    speeds = np.divide(done, worker.work, out=np.ones_like(done), where=worker.work > 0)
    boundaries = np.maximum.accumulate(np.stack([starts, ends], axis=2).ravel())
    # After a phase of no counts, a gradient too stale, it goes at the usual speed.
    piece_speeds = np.stack([np.ones_like(speeds), np.where(worker.counts > 0, speeds, 1.0)], axis=2).ravel()
    longer = np.diff(boundaries, prepend=0.0) > 0
    return Tempo(boundaries[longer], piece_speeds[longer])

"""A generated run in progress: its versions and rows, and the methods by which a simulated scheme reads and commits."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from jasgd.cluster.draws import Draws
from jasgd.record.execution import DROP_REASONS

_APPLIED = ("worker", "ticket", "version_read", "version", "tries", "time_s")


class Trace(NamedTuple):
    """The outcome of an engine: columns of the rows, and which workers had read which version at the last commit."""

    applied: dict[str, np.ndarray]
    dropped: dict[str, np.ndarray]
    in_flight: list[list[int]]


class WorkerEnds(Exception):
    """Raised where a worker goes no further: the run has all its commits, or the worker has left."""


class ClusterRun:
    """A generated run in progress, as a simulated scheme sees it.

    Attributes:
      workers: number of workers, m.
      steps: commits after which the run ends.
      version: commits so far.
      now_s: the time, in seconds.
      present: whether each worker is there; a list of bools.
      version_read: which version each worker has read and not yet committed on, -1 for none; a list of ints.
    """

    def __init__(self, draws: Draws, steps: int):
        self.workers, self.steps = draws.workers, steps
        self.version = 0
        self.now_s = self.virtual_s = 0.0
        self.present = [False] * self.workers
        self.version_read = [-1] * self.workers
        self.ticket = [-1] * self.workers
        self.asleep = [True] * self.workers
        self.running = self.roused = -1
        self.busy = 0
        self.heap: list[tuple[float, int]] = []  # when each busy worker is done, in virtual time, and its number
        self.claimed: dict[int, tuple] = {}  # the rows of commits that have not ended, by worker
        self.in_flight: list[list[int]] = []
        self.applied: list[tuple] = []
        self.dropped: list[tuple] = []
        self._drops, self._most_drops = 0, 1000 + 10 * self.workers
        self._reads_s, self._commits_s = (
            [draws.durations(phase, worker) for worker in range(self.workers)] for phase in ("read", "commit")
        )
        nodes = draws.cluster.nodes
        self._moves, self._remote = nodes is not None and nodes.home is None, nodes.remote if nodes else 1.0
        self._node = [nodes.of(worker, self.workers) if nodes else 0 for worker in range(self.workers)]
        self._home = nodes.home or 0 if nodes else 0

    def read_s(self, worker: int) -> float:
        """How long it takes the worker to read, if it begins now; each call draws anew."""
        time_s = next(self._reads_s[worker])
        return time_s if self._node[worker] == self._home else time_s * self._remote

    def commit_s(self, worker: int) -> float:
        """How long it takes the worker to apply a gradient, if it begins now; each call draws anew."""
        time_s = next(self._commits_s[worker])
        return time_s if self._node[worker] == self._home else time_s * self._remote

    def reads(self, worker: int) -> None:
        """The worker reads the current version."""
        self.version_read[worker] = self.version

    def staleness(self, worker: int) -> int:
        """How stale the worker's gradient would be if it were committed now, in updates."""
        return self.version - self.version_read[worker]

    def publish(self, worker: int, tries: int = 1) -> None:
        """The worker's gradient makes the next version, now."""
        self.applied.append((*self._row(worker, self._next_version(worker), tries), self.now_s))
        self._note_end()

    def publish_all(self, workers: Iterable[int], by: int) -> None:
        """The mean of several workers' gradients makes the next version, now; worker ``by`` applies it."""
        version = self._next_version(by)
        self.applied.extend((*self._row(worker, version, 1), self.now_s) for worker in workers)
        self._note_end()

    def claim(self, worker: int) -> None:
        """The worker's gradient takes the next version now, and is applied by the time of :meth:`finish`."""
        self.claimed[worker] = self._row(worker, self._next_version(worker), 1)
        self._note_end()

    def finish(self, worker: int) -> None:
        """Ends the commit that the worker has claimed; one that has begun ends even where its worker leaves."""
        self.applied.append((*self.claimed.pop(worker), self.now_s))
        if not self.present[worker]:
            raise WorkerEnds

    def drop(self, worker: int, reason: str, tries: int = 1) -> None:
        """The worker's gradient is not applied; ``reason`` is one of ``jasgd.record.execution.DROP_REASONS``."""
        if self.version >= self.steps:
            raise WorkerEnds
        if reason not in DROP_REASONS:
            raise ValueError(f"reason must be one of {', '.join(DROP_REASONS)}, got {reason!r}")
        row = self._row(worker, self.version, tries)
        self.dropped.append((*row, self.now_s, DROP_REASONS.index(reason)))
        self._drops += 1
        if self._drops > self._most_drops:
            raise ValueError(
                f"scheme: {self._drops} gradients in a row were dropped after {self.version} of {self.steps} commits, "
                f"the last one as {reason!r}; no commit is in sight"
            )

    def wake(self, worker: int) -> None:
        """Lets a waiting worker go on, at this instant; one that wakes itself goes on from its next ``yield None``."""
        if worker == self.running:
            self.roused = worker
        elif self.asleep[worker] and self.present[worker]:
            self.asleep[worker] = False
            self.busy += 1
            heapq.heappush(self.heap, (self.virtual_s, worker))

    def trace(self) -> Trace:
        """The rows so far, as columns."""
        applied, dropped = (
            dict(zip(names, np.array(rows, np.float64).reshape(-1, len(names)).T, strict=True))
            for names, rows in ((_APPLIED, self.applied), ((*_APPLIED, "reason"), self.dropped))
        )
        return Trace(applied, dropped, self.in_flight)

    def _next_version(self, worker: int) -> int:
        version = self.version
        if version >= self.steps:
            raise WorkerEnds
        self.version = version + 1
        self._drops = 0
        if self._moves:
            self._home = self._node[worker]
        return version

    def _row(self, worker: int, version: int, tries: int) -> tuple:
        row = (worker, self.ticket[worker], self.version_read[worker], version, tries)
        self.version_read[worker] = -1
        return row

    def _note_end(self) -> None:
        if self.version == self.steps:
            self.in_flight = [[worker, read] for worker, read in enumerate(self.version_read) if read >= 0]

"""The event engine: workers that lock, retry, wait, join, leave and share cores, one event after the other."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jasgd.cluster.streams import Streams
from jasgd.execution import DROP_REASONS

if TYPE_CHECKING:
    from jasgd.cluster.protocol import SimulatedScheme, Steps

_APPLIED = ("worker", "ticket", "version_read", "version", "tries", "time_s")


class Trace(NamedTuple):
    """What an engine found: columns of the rows, and who had read which version when the last commit was made."""

    applied: dict[str, np.ndarray]
    dropped: dict[str, np.ndarray]
    in_flight: list[list[int]]


class Closed(Exception):
    """The worker goes no further: the run has all its commits, or the worker has left."""


class Run:
    """A run in progress, as a simulated scheme sees it.

    Attributes:
      workers: number of workers, m.
      steps: commits after which the run ends.
      version: commits so far.
      now_s: the time, in seconds.
      present: whether each worker is there; a list of bools.
      version_read: which version each worker has read and not yet committed on, -1 for none; a list of ints.
    """

    def __init__(self, streams: Streams, steps: int):
        self.workers, self.steps = streams.workers, steps
        self.version = 0
        self.now_s = self.virtual_s = 0.0
        self.present = [False] * self.workers
        self.version_read = [-1] * self.workers
        self.ticket = [-1] * self.workers
        self.asleep = [True] * self.workers
        self.running = self.roused = -1
        self.busy = 0
        self.heap: list[tuple[float, int]] = []  # when each busy worker is done, in virtual time, and who it is
        self.claimed: dict[int, tuple] = {}  # the rows of commits that have not ended, by worker
        self.in_flight: list[list[int]] = []
        self.applied: list[tuple] = []
        self.dropped: list[tuple] = []
        self._drops, self._most_drops = 0, 1000 + 10 * self.workers
        self._reads_s, self._commits_s = (
            [streams.durations(phase, worker) for worker in range(self.workers)] for phase in ("read", "commit")
        )
        nodes = streams.cluster.nodes
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
            raise Closed

    def drop(self, worker: int, reason: str, tries: int = 1) -> None:
        """The worker's gradient is not applied; ``reason`` is one of ``jasgd.execution.DROP_REASONS``."""
        if self.version >= self.steps:
            raise Closed
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
        """Lets a worker that waits go on, at this instant; who wakes itself goes on from its next ``yield None``."""
        if worker == self.running:
            self.roused = worker
        elif self.asleep[worker] and self.present[worker]:
            self.asleep[worker] = False
            self.busy += 1
            heapq.heappush(self.heap, (self.virtual_s, worker))

    def trace(self) -> Trace:
        """The rows as columns."""
        applied, dropped = (
            dict(zip(names, np.array(rows, np.float64).reshape(-1, len(names)).T, strict=True))
            for names, rows in ((_APPLIED, self.applied), ((*_APPLIED, "reason"), self.dropped))
        )
        return Trace(applied, dropped, self.in_flight)

    def _next_version(self, worker: int) -> int:
        version = self.version
        if version >= self.steps:
            raise Closed
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


def play(streams: Streams, scheme: SimulatedScheme) -> Trace:
    """Plays a scheme's run to its end, event by event; ValueError where it has none."""
    run, cluster = scheme.run, streams.cluster
    heap, push, pop, push_pop, cores = run.heap, heapq.heappush, heapq.heappop, heapq.heappushpop, cluster.cores
    changes = _changes(streams)
    lives: list[Steps | None] = [None] * run.workers
    tickets = itertools.count()
    # All busy workers progress at one rate, so in virtual time, which runs at that rate, each ends when it is known to
    # end from its beginning. Real time is since_s + (virtual - since_virtual) · stretch until the rate changes.
    since_s, since_virtual, stretch = 0.0, 0.0, 1.0
    event: tuple[float, int] | None = None  # the next, out of the heap already
    while run.version < run.steps or run.claimed:
        if event is None and heap:
            event = pop(heap)
        now_s = since_s + (event[0] - since_virtual) * stretch if event is not None else float("inf")
        if changes and changes[-1][0] <= now_s:
            if event is not None:
                push(heap, event)
                event = None
            run.now_s, joins, worker = changes.pop()
            run.virtual_s = since_virtual + (run.now_s - since_s) / stretch
            if joins:
                run.present[worker] = True
                lives[worker] = _life(run, scheme, worker, streams, tickets)
                scheme.joined(worker)
                run.wake(worker)
            else:
                run.present[worker] = False
                if worker not in run.claimed:
                    _part(run, scheme, worker, lives)
        elif event is not None:
            virtual_s, worker = event
            event = None
            life = lives[worker]
            if life is None:  # it has left since
                continue
            run.now_s, run.virtual_s, run.running = now_s, virtual_s, worker
            try:
                time_s = next(life)
                while time_s == 0:  # at once
                    time_s = next(life)
            except Closed:
                time_s = None
            run.running = -1
            if time_s is None:
                if run.roused == worker and run.present[worker]:
                    run.roused = -1
                    push(heap, (virtual_s, worker))
                else:
                    run.asleep[worker] = True
                    run.busy -= 1
                    if not run.present[worker]:
                        _part(run, scheme, worker, lives)
            elif time_s > 0:
                event = push_pop(heap, (virtual_s + time_s, worker))
            else:
                raise ValueError(f"scheme {scheme.name!r} must yield seconds ≥ 0 or None, got {time_s!r}")
        else:
            raise ValueError(_stalled(run, scheme))
        if cores is not None and stretch != (now := max(1.0, run.busy / cores)):
            since_s, since_virtual, stretch = run.now_s, run.virtual_s, now
    return run.trace()


def _life(run: Run, scheme: SimulatedScheme, worker: int, streams: Streams, tickets: Iterator[int]) -> Steps:
    batch_s, compute_s = (streams.durations(phase, worker) for phase in ("batch", "compute"))
    version_read, ticket, read, commit = run.version_read, run.ticket, scheme.read, scheme.commit
    while True:
        ticket[worker] = next(tickets)
        yield next(batch_s)
        yield from read(worker)
        if version_read[worker] < 0:
            raise RuntimeError(f"scheme {scheme.name!r}: read must call run.reads, and did not for worker {worker}")
        yield next(compute_s)
        yield from commit(worker)
        if version_read[worker] >= 0:
            raise RuntimeError(f"scheme {scheme.name!r}: commit neither published nor dropped, for worker {worker}")


def _part(run: Run, scheme: SimulatedScheme, worker: int, lives: list[Steps | None]) -> None:
    life, lives[worker] = lives[worker], None
    if life is not None:
        life.close()
    if not run.asleep[worker]:
        run.asleep[worker] = True
        run.busy -= 1
    scheme.left(worker)


def _changes(streams: Streams) -> list[tuple[float, bool, int]]:
    """Who comes and goes when, the last first; at one instant they go before they come, and before all else."""
    cluster = streams.cluster
    comes = [(cluster.joins_s.get(worker, 0.0), True, worker) for worker in range(streams.workers)]
    goes = [(time_s, False, worker) for worker, time_s in cluster.leaves_s.items()]
    return sorted(comes + goes, reverse=True)


def _stalled(run: Run, scheme: SimulatedScheme) -> str:
    done = f"after {run.version} of {run.steps} commits"
    if not any(run.present):
        return f"leaves_s must leave workers for all steps, but all have left {done}"
    return f"scheme {scheme.name!r}: all workers that are there wait for each other {done}"

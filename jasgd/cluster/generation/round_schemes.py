"""Simulated schemes that go in rounds: synchronous SGD, with and without backup workers."""

from __future__ import annotations

import functools
from typing import Any

from jasgd.cluster.generation.run import ClusterRun
from jasgd.cluster.generation.simulated_scheme import Activity, SimulatedScheme
from jasgd.inputs.checks import is_integer


class Synchronous(SimulatedScheme):
    """All workers that are there read one version and meet; the last to come applies the mean of their gradients."""

    name = "synchronous"

    def __init__(self, run: ClusterRun):
        super().__init__(run)
        self._there = 0
        self._round: list[int] = []  # workers that have handed in a gradient, in the order of arrival
        self._applying: int | None = None
        self._late: list[int] = []  # workers that wait for the commit under way to end

    def joined(self, worker: int) -> None:
        """The worker takes part in this round, or in the next where this one is being committed."""
        self._there += 1

    def left(self, worker: int) -> None:
        """The round is shorter by one; the last that has come may be the last now."""
        self._there -= 1
        if self._applying is None:
            self._begin_commit_if_complete()
            for waiting in self._late if self._applying is None else [self._applying]:
                self.run.wake(waiting)

    def read(self, worker: int) -> Activity:
        """Reads the version of the round."""
        yield from self._wait_for_the_commit(worker)
        self.run.reads(worker)
        yield self.run.read_s(worker)

    def commit(self, worker: int) -> Activity:
        """Waits until the round is complete; the last to come commits it."""
        run = self.run
        yield from self._wait_for_the_commit(worker)
        if run.staleness(worker):
            run.drop(worker, "stale")
            return
        version = run.version
        self._round.append(worker)
        self._begin_commit_if_complete()
        try:
            while run.version == version:
                if self._applying != worker:
                    yield None
                    continue
                yield run.commit_s(worker)
                run.publish_all(self._round, by=worker)
                done = self._round + self._late
                self._applying, self._round, self._late = None, [], []
                for other in done:  # itself as well, so that all begin the next round in the order of workers
                    run.wake(other)
                yield None
        except GeneratorExit:  # it leaves; what it has handed in is lost
            if worker in self._round:
                self._round.remove(worker)
            if self._applying == worker:
                self._applying = None
            raise

    def _needed(self) -> int:
        return self._there

    def _begin_commit_if_complete(self) -> None:
        if 0 < self._needed() <= len(self._round):
            self._applying = self._round[-1]

    def _wait_for_the_commit(self, worker: int) -> Activity:
        while self._applying is not None:
            self._late.append(worker)
            yield None


class KOfN(Synchronous):
    """See :func:`k_of_n`."""

    name = "k_of_n"

    def __init__(self, run: ClusterRun, *, k: int):
        super().__init__(run)
        if not is_integer(k) or not 1 <= k <= run.workers:
            raise ValueError(f"k must be an integer in 1…{run.workers} (the number of workers), got {k!r}")
        self._k = int(k)

    def _needed(self) -> int:
        return min(self._k, self._there)


def k_of_n(*, k: int) -> Any:
    """Synchronous SGD with backup workers: each round applies the mean of the first k gradients of n workers.

    A gradient that comes after the commit of its round has begun is dropped as stale, once that commit has ended, and
    its worker reads the newest version. Where fewer than k workers are there, a round needs all of them.

    Args:
      k: gradients in a round, 1 ≤ k ≤ workers.

    Returns:
      A factory for ``generate(scheme=...)``, which checks the value.

    Example:
      >>> from jasgd import cluster
      >>> slow = cluster.Cluster(compute_s=1.0, speeds=[1, 1, 0.4])
      >>> execution = cluster.generate(slow, scheme=k_of_n(k=2), workers=3, steps=3)
      >>> execution.version.tolist(), execution.worker.tolist(), execution.dropped.staleness.tolist()
      ([0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1], [2])

    Source:
      Chen, Pan, Monga, Bengio, Jozefowicz, "Revisiting distributed synchronous SGD", 2016, arXiv 1604.00981.
    """
    return functools.partial(KOfN, k=k)

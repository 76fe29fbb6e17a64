"""Simulated asynchronous schemes: sequential, Hogwild, locked, Leashed-SGD and bounded staleness."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from typing import Any

from jasgd.cluster.generation.run import ClusterRun
from jasgd.cluster.generation.simulated_scheme import Activity, Mutex, SimulatedScheme
from jasgd.inputs.checks import is_integer


class Sequential(SimulatedScheme):
    """One worker; see :class:`jasgd.schemes.Sequential`."""

    name = "sequential"

    def __init__(self, run: ClusterRun):
        super().__init__(run)
        if run.workers != 1:
            raise ValueError(f"workers must be 1 for the scheme 'sequential', got {run.workers}")

    def read(self, worker: int) -> Activity:
        """Reads the current version, at its start."""
        self.run.reads(worker)
        yield self.run.read_s(worker)

    def commit(self, worker: int) -> Activity:
        """Takes its time, then publishes the next version."""
        yield self.run.commit_s(worker)
        self.run.publish(worker)


class Hogwild(SimulatedScheme):
    """No lock: the version is that at the start of the read, and a commit claims its index at its own start."""

    name = "hogwild"

    def __init__(self, run: ClusterRun, *, max_staleness: int | None = None):
        super().__init__(run)
        self.max_staleness = _limit("max_staleness", max_staleness)

    def read(self, worker: int) -> Activity:
        """Reads the version that is current at its start, while others go on committing."""
        self.run.reads(worker)
        yield self.run.read_s(worker)

    def commit(self, worker: int) -> Activity:
        """Claims a version, then applies the gradient while others read and commit."""
        run = self.run
        if run.staleness(worker) > self.max_staleness:
            run.drop(worker, "stale")
            return
        time_s = run.commit_s(worker)  # from where the parameters were before this commit
        run.claim(worker)
        yield time_s
        run.finish(worker)


class Locked(SimulatedScheme):
    """Reads and commits hold one mutex, and get it in the order in which they come.

    With ``reading="reference"`` a read waits for the mutex and is over at once: it takes no ``read_s``.
    """

    name = "locked"

    def __init__(self, run: ClusterRun, *, reading: str = "copy", max_staleness: int | None = None):
        super().__init__(run)
        if reading not in ("copy", "reference"):
            raise ValueError(f"reading must be 'copy' or 'reference', got {reading!r}")
        self.copies, self.max_staleness = reading == "copy", _limit("max_staleness", max_staleness)
        self._mutex = Mutex(run)

    def read(self, worker: int) -> Activity:
        """Reads the version that is current while the mutex is held."""
        yield from self._mutex.acquire(worker)
        try:
            self.run.reads(worker)
            if self.copies:
                yield self.run.read_s(worker)
        finally:
            self._mutex.release()

    def commit(self, worker: int) -> Activity:
        """Applies the gradient while the mutex is held; a stale one is dropped as soon as it is."""
        run = self.run
        yield from self._mutex.acquire(worker)
        try:
            if run.staleness(worker) > self.max_staleness:
                run.drop(worker, "stale")
            else:
                yield run.commit_s(worker)
                run.publish(worker)
        finally:
            self._mutex.release()


class Leashed(SimulatedScheme):
    """A commit is prepared on the newest version, and published if none came between, else prepared again."""

    name = "leashed"

    def __init__(self, run: ClusterRun, *, persistence: int | None = None, max_staleness: int | None = None):
        super().__init__(run)
        self.persistence, self.max_staleness = (
            _limit("persistence", persistence),
            _limit("max_staleness", max_staleness),
        )

    def read(self, worker: int) -> Activity:
        """Reads a reference to the version that is current at its start."""
        self.run.reads(worker)
        yield self.run.read_s(worker)

    def commit(self, worker: int) -> Activity:
        """Tries until no other has published between base and publication, or persistence is at its end."""
        run, tries = self.run, 0
        while True:
            base = run.version
            if run.staleness(worker) > self.max_staleness:
                run.drop(worker, "stale", tries)
                return
            yield run.commit_s(worker)
            tries += 1
            if run.version == base:
                run.publish(worker, tries)
                return
            if tries > self.persistence:
                run.drop(worker, "contended", tries)
                return


class BoundedStaleness(SimulatedScheme):
    """See :func:`bounded_staleness`."""

    name = "bounded_staleness"

    def __init__(self, run: ClusterRun, *, slack: int = 1):
        super().__init__(run)
        self.slack = int(_limit("slack", slack, none=False))
        self._gradients: dict[int, int] = {}  # how many each present worker has made
        self._workers_with: Counter[int] = Counter()  # how many workers have made so many
        self._slowest = 0
        self._waiting: defaultdict[int, list[int]] = defaultdict(
            list
        )  # by how many gradients the slowest must have made

    def joined(self, worker: int) -> None:
        """A worker that comes counts as if it had made as many gradients as the slowest."""
        self._gradients[worker] = self._slowest
        self._workers_with[self._slowest] += 1

    def left(self, worker: int) -> None:
        """Counts the worker no more; another one may be the slowest now."""
        self._uncount(self._gradients.pop(worker))

    def read(self, worker: int) -> Activity:
        """Waits until the slowest is near enough; the version is that at the start of the read itself."""
        while (needed := self._gradients[worker] - self.slack) > self._slowest:
            self._waiting[needed].append(worker)
            yield None
        self.run.reads(worker)
        yield self.run.read_s(worker)

    def commit(self, worker: int) -> Activity:
        """Takes its time, then publishes; no worker waits for it to end."""
        yield self.run.commit_s(worker)
        self.run.publish(worker)
        count = self._gradients[worker]
        self._gradients[worker] = count + 1
        self._workers_with[count + 1] += 1
        self._uncount(count)

    def _uncount(self, count: int) -> None:
        self._workers_with[count] -= 1
        if not self._workers_with[count]:
            del self._workers_with[count]
        while self._workers_with and self._slowest not in self._workers_with:
            self._slowest += 1
            for worker in self._waiting.pop(self._slowest, ()):
                self.run.wake(worker)


def bounded_staleness(*, slack: int = 1) -> Any:
    r"""Stale synchronous parallel (SSP): a worker reads once its gradients are at most the slowest's plus ``slack``.

    So :math:`\tau \le (m - 1)(2 \cdot \text{slack} + 1)`. Workers that have left count no more; one that joins counts
    as if it had made as many gradients as the slowest then. Reads and commits themselves wait for no worker, and a
    commit makes its version at its end.

    Args:
      slack: in gradients, ≥ 0; 0 lets none begin its next gradient before all have made the last one.

    Returns:
      A factory for ``generate(scheme=...)``, which checks the value.

    Example:
      >>> from jasgd import cluster
      >>> slow = cluster.Cluster(compute_s=1.0, speeds=[1, 0.25])
      >>> cluster.generate(slow, scheme=bounded_staleness(slack=1), workers=2, steps=8).worker.tolist()
      [0, 0, 1, 0, 1, 0, 1, 0]

    Source:
      Ho et al., "More effective distributed ML via a stale synchronous parallel parameter server", NeurIPS 2013.
    """
    return functools.partial(BoundedStaleness, slack=slack)


def _limit(name: str, value: Any, *, none: bool = True) -> float:
    if value is None and none:
        return float("inf")
    if not is_integer(value) or value < 0:
        raise ValueError(f"{name} must be an integer ≥ 0{', or None for no bound' if none else ''}, got {value!r}")
    return int(value)

"""The base class of simulated schemes, to be derived from for a scheme of your own, and a lock for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator

from jasgd.cluster.generation.run import ClusterRun

#: A worker's read or commit under way: it yields seconds that the worker is busy, or None to wait for ``run.wake``.
Activity = Generator[float | None, None, None]


class SimulatedScheme:
    """The base class of simulated schemes: when reads and commits take place, and which wait.

    :meth:`read` and :meth:`commit` are generators, run for one worker after the other as if each had a thread of its
    own. ``yield seconds`` keeps the worker busy for so long; ``yield None`` lets it wait until ``run.wake(worker)``,
    after which it checks again whether it may go on. Nothing else happens between two yields, so what lies between
    them is atomic. Where a worker leaves, its generator is closed: release in ``finally`` what it holds.

    ``read`` calls ``run.reads(worker)`` once, where it takes the version. ``commit`` ends with one of
    ``run.publish(worker)``, ``run.publish_all(workers)``, or ``run.drop(worker, reason)``.

    Args:
      run: what the scheme works with, see :class:`jasgd.cluster.ClusterRun`; options of a scheme are keywords after it.

    Example:
      >>> class Sluggish(SimulatedScheme):
      ...     name = "sluggish"
      ...
      ...     def read(self, worker):
      ...         self.run.reads(worker)
      ...         yield self.run.read_s(worker)
      ...
      ...     def commit(self, worker):
      ...         yield 2 * self.run.commit_s(worker)
      ...         self.run.publish(worker)
      >>> from jasgd import cluster
      >>> execution = cluster.generate(cluster.Cluster(compute_s=1.0), scheme=Sluggish, workers=3, steps=5)
      >>> execution.staleness.tolist(), execution.metadata["scheme"]
      ([0, 1, 2, 2, 2], 'sluggish')
    """

    name = "simulated"

    def __init__(self, run: ClusterRun):
        self.run = run

    def read(self, worker: int) -> Activity:
        """Reads the parameters: the version where ``run.reads`` is called."""
        raise NotImplementedError(f"{type(self).__name__} must define read(self, worker), a generator")

    def commit(self, worker: int) -> Activity:
        """Applies or drops the worker's gradient."""
        raise NotImplementedError(f"{type(self).__name__} must define commit(self, worker), a generator")

    def joined(self, worker: int) -> None:
        """Called when a worker has joined, before it begins; at time 0 for those present from the start."""

    def left(self, worker: int) -> None:
        """Called when a worker has left, after its generator was closed; it wakes the workers that may now go on."""


class Mutex:
    """A lock that waiting workers get in the order in which they came.

    Args:
      run: the run whose workers it is for.
    """

    def __init__(self, run: ClusterRun):
        self._run = run
        self._holder: int | None = None
        self._queue: deque[int] = deque()

    def acquire(self, worker: int) -> Activity:
        """Waits until the worker holds the lock."""
        if self._holder is None:
            self._holder = worker
            return
        self._queue.append(worker)
        try:
            while self._holder != worker:
                yield None
        except GeneratorExit:  # it leaves
            if self._holder == worker:
                self.release()
            else:
                self._queue.remove(worker)
            raise

    def release(self) -> None:
        """Hands the lock to the first worker that waits."""
        self._holder = self._queue.popleft() if self._queue else None
        if self._holder is not None:
            self._run.wake(self._holder)

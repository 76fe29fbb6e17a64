"""Tools to test schemes with: forced interleavings, and a log of events that owes the ledger nothing."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from jasgd.core.messages import Closed, Committed, Dropped, Gradient, Snapshot, View
from jasgd.core.scheme import Scheme, SchemeFactory, Setup
from jasgd.schemes.factories import as_factory


class InterleavingError(AssertionError):
    """A forced interleaving did not come about in time; the message says who waited for what."""


class Interleaving:
    """Forces the order in which workers pass named points; no sleeping, no luck.

    A worker that comes to a point waits for the next place of this point in the script, until all before it were
    passed. A point that the rest of the script does not name is passed at once.

    Args:
      script: the order, as pairs ``(worker, point)``; a scheme's points are in its source, as
        ``self._at_point``.
      timeout_s: how long to wait before giving up, in seconds.

    Example:
      >>> order = []
      >>> at_point = Interleaving([(1, "begin"), (1, "end"), (0, "begin")])
      >>> def work(worker):
      ...     at_point("begin", worker)
      ...     order.append(worker)
      ...     at_point("end", worker)
      >>> threads = [threading.Thread(target=work, args=(w,)) for w in (0, 1)]
      >>> for t in threads: t.start()
      >>> for t in threads: t.join()
      >>> order, at_point.complete
      ([1, 0], True)
    """

    def __init__(self, script: Sequence[tuple[int, str]], *, timeout_s: float = 30.0):
        self._script = list(script)
        self._timeout_s = timeout_s
        self._done = 0
        self._condition = threading.Condition()

    def __call__(self, point: str, worker: int) -> None:
        """Waits for this worker's turn at this point."""
        with self._condition:
            step = (worker, point)
            if step not in self._script[self._done :]:
                return
            place = self._script.index(step, self._done)
            if not self._condition.wait_for(lambda: self._done >= place, self._timeout_s):
                missing = self._script[self._done]
                raise InterleavingError(
                    f"worker {worker} waited at {point!r} for worker {missing[0]} at {missing[1]!r}"
                )
            self._done = place + 1
            self._condition.notify_all()

    @property
    def complete(self) -> bool:
        """Whether the whole script was passed."""
        return self._done == len(self._script)


def watched(scheme: str | SchemeFactory, at_point: Callable[[str, int], None]) -> SchemeFactory:
    """A scheme whose points call ``at_point``, for instance an :class:`Interleaving`.

    Args:
      scheme: what ``train(scheme=...)`` takes.
      at_point: called as ``at_point(point, worker)``.

    Returns:
      The scheme, watched.

    Example:
      >>> import jasgd
      >>> factory = watched(jasgd.schemes.leashed(persistence=0), Interleaving([]))
    """
    scheme = as_factory(scheme)

    def factory(setup: Setup) -> Scheme:
        setup.at_point = at_point
        return scheme(setup)

    return _named_like(scheme, factory)


class Event(NamedTuple):
    """One call that a worker made of a scheme, when it returned."""

    kind: str  # "read" or "commit"
    worker: int
    time_s: float
    ticket: int  # -1 for a read
    params: Any  # what was read; None for a commit
    outcome: Any  # the View that was read; Committed, Dropped, or the exception's name


def logged(scheme: str | SchemeFactory, events: list[Event]) -> SchemeFactory:
    """A scheme that appends every read and commit to ``events``, in the order in which they returned.

    Args:
      scheme: what ``train(scheme=...)`` takes.
      events: the list to append to; ``list.append`` is atomic.

    Returns:
      The scheme, logged.

    Example:
      >>> import jasgd
      >>> events = []
      >>> factory = logged(jasgd.schemes.locked(), events)
    """
    scheme = as_factory(scheme)
    return _named_like(scheme, lambda setup: _Logged(setup, scheme(setup), events))


def _named_like(scheme: SchemeFactory, factory: SchemeFactory) -> SchemeFactory:
    """Executions record the name and the options of the scheme inside, which ``describe`` finds through this."""
    return functools.update_wrapper(factory, scheme, assigned=(), updated=())


class _Logged(Scheme):
    # Neither a native scheme, whose rounds show no reads or commits, nor one whose memory may be used again.

    def __init__(self, setup: Setup, scheme: Scheme, events: list[Event]):
        super().__init__(setup)
        self._scheme, self._events = scheme, events
        self.needs_every_worker, self.checks_commits = scheme.needs_every_worker, scheme.checks_commits
        self.rows_per_version = scheme.rows_per_version

    def read(self, worker: int) -> View:
        view = self._scheme.read(worker)
        self._events.append(Event("read", worker, time.perf_counter(), -1, view.params, view))
        return view

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        outcome: Any = None
        try:
            outcome = self._scheme.commit(gradient)
            return outcome
        except Closed:
            outcome = "Closed"
            raise
        finally:
            event = Event("commit", gradient.worker, time.perf_counter(), gradient.ticket, None, outcome)
            self._events.append(event)

    def snapshot(self) -> Snapshot:
        return self._scheme.snapshot()

    def whole_snapshot(self) -> Snapshot:
        return self._scheme.whole_snapshot()

    def close(self, reason: str) -> None:
        self._scheme.close(reason)

    def warm_up(self, gradient: Gradient) -> None:
        self._scheme.warm_up(gradient)

    @property
    def counters(self) -> dict[str, int]:
        return self._scheme.counters

    def note_in_flight(self) -> None:
        self._scheme.note_in_flight()

    @property
    def unfinished(self) -> Collection[int]:
        return self._scheme.unfinished

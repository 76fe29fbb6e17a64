"""The state of a run that its workers share, and how any of them ends it."""

from __future__ import annotations

import collections
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jasgd.core.compiled import Compiled
from jasgd.core.devices import Placement
from jasgd.core.finiteness import paths_of
from jasgd.core.ledger import Ledger
from jasgd.core.messages import Committed, Dropped, View
from jasgd.core.scheme import Scheme
from jasgd.inputs.iterables import BatchesExhausted, EpochsTaken
from jasgd.record.result import BY_CTRL_C, Outcome
from jasgd.record.timings import Phases
from jasgd.training.aux_columns import AuxColumns
from jasgd.training.engines.new_shapes import NewShapes

NOT_FINITE = "a commit made parameters not finite"  # until it is known which was the first


class _Tickets:
    """Some tickets, and then those from a number on.

    Guarantees. Any number of threads may call ``next``: each ticket is given out once.
    """

    def __init__(self, pending: Sequence[int], first: int):
        self._pending = collections.deque(pending)
        self._rest = itertools.count(first)

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        try:
            return self._pending.popleft()
        except IndexError:
            return next(self._rest)


STANDING = 100  # gradients of one worker in a row that may be committed without a newer version


class Run:
    """What the workers of a run share, and how any of them ends it.

    Guarantees. ``finish`` may be called by any thread, any number of times: the first call decides the outcome.
    Tickets come from one counter; ``next`` on it is one C call, atomic under the GIL.
    """

    def __init__(
        self,
        scheme: Scheme,
        compiled: Compiled,
        ledger: Ledger,
        batches: Callable[[int, int], Any],
        *,
        check_finite: bool,
        name: str,
    ):
        self.scheme = scheme
        self.compiled = compiled
        self.ledger = ledger
        self.batches = batches  # by ticket and worker
        self.gathered_s: Callable[[int], float] | None = None  # of a worker, where its round gathers the mini-batch
        self.workers = ledger.workers
        self.limit = ledger.limit
        self.check_finite = check_finite
        self.name = name  # of the scheme
        self.placement: Placement | None = None  # where workers compute, where some do not where the parameters are
        self.tickets: Iterator[int] = itertools.count()
        self.over = threading.Event()
        self.evaluates_first = True  # whether what it begins with is evaluated
        self.interrupted = False  # whether Ctrl-C came, before the run ended or after
        self.outcome: Outcome | None = None
        self.message = ""
        self.error: BaseException | None = None
        self.divergence: dict[str, Any] = {}  # the gradient whose loss was not finite and ended the run
        self.late: list[tuple[str, BaseException | None]] = []  # what went wrong when the run had ended already
        self.good: View | None = None  # newest view that a finite loss was computed on
        self.longest_s = [0.0] * self.workers  # each worker's longest gradient, which it alone writes
        self.aux = AuxColumns(self.workers)
        self.new_shapes = NewShapes(compiled, self.workers)
        self.phases = Phases(self.workers)
        # Of each worker the ticket and times of a gradient that waits for others: its commit may not be over.
        self.handed_in: list[tuple[Any, ...] | None] = [None] * self.workers
        self._newest = [-1] * self.workers  # version of each worker's newest commit
        self._standing = [0] * self.workers  # its gradients since, which were committed at no newer one
        self.epochs: EpochsTaken | None = None  # the end of the last one, where the run was to end with it
        self._ran_out: BatchesExhausted | None = None
        self._without_batches = 0
        self._mutex = threading.Lock()

    def draw_first(self, pending: Sequence[int], first: int) -> None:
        """Has workers take these tickets before all others, which are counted from ``first``."""
        self.tickets = _Tickets(pending, first) if pending else itertools.count(first)

    def note_handed_in(self, worker: int, waited_s: float) -> float:
        """Notes the phases of a gradient that a worker has handed in, if it has: waiting for its commit is part of it.

        Args:
          worker: whose gradient it is.
          waited_s: how long its next read waited for the commit, in seconds.

        Returns:
          The same, by which the next gradient's times are later; 0 where there is none.
        """
        times, self.handed_in[worker] = self.handed_in[worker], None
        if times is None:
            return 0.0
        self.phases.note(worker, *times[:-1], times[-1] + waited_s)
        return waited_s

    def finish(self, outcome: Outcome, message: str, error: BaseException | None = None) -> None:
        """Ends the run: no later commit is taken, and every worker that waits is woken."""
        if not self._end(outcome, message, error) and (error is not None or outcome is Outcome.DIVERGED):
            self.late.append((message, error))

    def _end(
        self, outcome: Outcome, message: str, error: BaseException | None, divergence: dict[str, Any] | None = None
    ) -> bool:
        """Ends the run, unless it has ended; whether it had not."""
        with self._mutex:
            if self.outcome is not None:
                return False
            self.outcome, self.message, self.error = outcome, message, error
            self.divergence = divergence or {}
        try:
            self.scheme.close(message)
        except Exception as raised:  # of a scheme at fault; the run is over all the same
            self.late.append((f"close of the scheme {self.name!r} raised {type(raised).__name__}: {raised}", raised))
        finally:
            self.over.set()
        return True

    def fail_at_the_end(self, message: str, error: BaseException) -> None:
        """Makes a run that has ended one that failed, unless it was one; the first error is the one that is kept."""
        if self.outcome is Outcome.FAILED:
            self.message += f"; then {message}"
        else:
            self.outcome, self.message, self.error = Outcome.FAILED, f"{message}; {self.message}", error

    def interrupt(self) -> None:
        """Notes Ctrl-C: it ends a run that goes on, and the result of one that has ended already says that it came."""
        self.interrupted = True
        self._end(Outcome.STOPPED, BY_CTRL_C, None)

    def leave(self, end: BatchesExhausted | EpochsTaken) -> None:
        """Notes that a worker has no further batch; when no worker has one, the run ends.

        It has finished where it was to take so many epochs, and failed where batches ran out; the others may still
        take the last steps with theirs. Where workers meet at a barrier, none can go on without it.
        """
        with self._mutex:
            self._without_batches += 1
            last = self._without_batches == self.workers
            if isinstance(end, EpochsTaken):
                self.epochs = end
            else:
                self._ran_out = end
            ran_out = self._ran_out
        if not last and not self.scheme.needs_every_worker:
            return
        if ran_out is None:
            self._end(Outcome.FINISHED, str(end), None)
        else:
            self._end(Outcome.FAILED, str(ran_out), ran_out)  # once the run is over, none is needed any more

    def require_progress(self, done: Committed | Dropped, worker: int) -> None:
        """Ends the run where a scheme commits and does not advance: a number of steps would never be reached.

        Several gradients of a worker may share a version, as in a scheme that applies them in groups.

        Raises:
          TypeError: where a commit returned neither of the two.
        """
        if isinstance(done, Dropped):
            return
        if not isinstance(done, Committed):
            got = type(done).__name__
            raise TypeError(f"commit of the scheme {self.name!r} must return Committed or Dropped, got {got}")
        if done.version > self._newest[worker]:
            self._newest[worker], self._standing[worker] = done.version, 0
            return
        self._standing[worker] += 1
        if self._standing[worker] + 1 >= STANDING:
            self.finish(
                Outcome.FAILED,
                f"the scheme {self.name!r} does not advance its version: worker {worker} committed {STANDING} "
                f"gradients in a row, and none at a version above {self._newest[worker]}",
            )

    def conclude(self, done: Committed | Dropped, worker: int) -> None:
        """Updates the run after a commit or a drop, and ends it at the last step."""
        self.require_progress(done, worker)
        if self.ledger.health.first is not None:
            self.finish(Outcome.DIVERGED, NOT_FINITE)
            return
        if isinstance(done, Committed) and self.limit is not None and done.version + 1 >= self.limit:
            self.finish(Outcome.FINISHED, f"all {self.limit} steps were taken")

    def diverge(self, version: int, ticket: int, worker: int, loss: float) -> None:
        """Ends the run at a loss that is not finite."""
        message = f"the loss at version {version} (ticket {ticket}, worker {worker}) is {loss}"
        found = {"version_read": version, "ticket": ticket, "worker": worker, "loss": str(loss)}
        if not self._end(Outcome.DIVERGED, message, None, found):
            self.late.append((message, None))

    def admits(self, view: View) -> bool:
        """Whether a gradient may be computed on what was read; where it is not finite, the run ends.

        Only for a scheme that does not look at what its commits make. A commit before the read was the cause; which one
        it was is known where what the one before it made was read as well.
        """
        health = self.ledger.health
        if health.look(view.params):
            health.note_good(view.version - 1)
            return True
        health.note_leaves(view.params, max(0, view.version - 1))
        if health.first is None:
            return True
        self.finish(Outcome.DIVERGED, NOT_FINITE)
        return False

    def paths(self) -> list[str]:
        """Of the parameters' leaves."""
        return paths_of(self.compiled.params_structure)

    def note_good(self, view: View) -> None:
        """Remembers parameters with a finite loss; racing workers may leave a slightly older one, as good as any."""
        if self.good is None or view.version > self.good.version:
            self.good = view

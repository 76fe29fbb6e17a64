"""The worker's side of a run whose server is in another process: a scheme that reads and commits there."""

from __future__ import annotations

import abc
import collections
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jasgd.core.compiled import Compiled
from jasgd.core.ledger import Ledger
from jasgd.core.messages import Closed, Committed, Dropped, Gradient, Snapshot, View
from jasgd.core.scheme import Scheme
from jasgd.inputs.iterables import BatchesExhausted, EpochsTaken
from jasgd.record.timings import Phases
from jasgd.training.aux_columns import AuxColumns
from jasgd.training.engines.ray_actors.messages import Exchange, Member, Reply
from jasgd.training.engines.worker import work
from jasgd.training.run import Run


class Connection(abc.ABC):
    """The way to the server; it repeats what may not have arrived, and raises where the server is gone."""

    @abc.abstractmethod
    def begin_exchange(self, sent: Exchange) -> Callable[[], Reply]:
        """Sends a gradient; what it returns waits for the reply."""

    @abc.abstractmethod
    def leave(self, member: Member, end: BatchesExhausted | EpochsTaken | None, ticket: int) -> Reply:
        """Says that a member has no mini-batch for a ticket, or that it ends."""


class _Tickets(Iterator[int]):
    """The tickets that the server gave, in their order."""

    def __init__(self) -> None:
        self.present = -1
        self.next: collections.deque[int] = collections.deque()

    def __next__(self) -> int:
        self.present = self.next.popleft()
        return self.present


class _Drawn:
    """Mini-batches by ticket and worker, of which the next may be drawn before it is asked for.

    What drawing raises is raised where the mini-batch is asked for.
    """

    def __init__(self, draw: Callable[[int, int], Any], worker: int):
        self._draw, self._worker = draw, worker
        self._ahead: dict[int, Any] = {}
        self._errors: dict[int, BaseException] = {}

    def draw_ahead(self, ticket: int) -> None:
        try:
            self._ahead[ticket] = self._draw(ticket, self._worker)
        except BaseException as error:
            self._errors[ticket] = error

    def __call__(self, ticket: int, worker: int) -> Any:
        if ticket in self._errors:
            raise self._errors.pop(ticket)
        return self._ahead.pop(ticket) if ticket in self._ahead else self._draw(ticket, worker)

    def forget(self) -> None:
        self._ahead.clear()
        self._errors.clear()


class RemoteScheme(Scheme):
    """Reads and commits at a server in another process.

    A commit sends the gradient, draws the next mini-batch meanwhile, and comes back with what became of it, the next
    ticket and the newest parameters, which the next read gives. All else is the server's: versions, staleness, rows,
    whether losses and parameters are finite.

    Args:
      connection: the way to the server.
      member: who this is.
      joined: the reply to that member.
      compiled: the traced functions of this process.
      draw: mini-batches by ticket and worker.
    """

    name = "remote"
    checks_commits = True

    def __init__(
        self,
        connection: Connection,
        member: Member,
        joined: Reply,
        compiled: Compiled,
        draw: Callable[[int, int], Any],
    ):
        self._connection, self._member, self._functions = connection, member, compiled
        self.tickets, self.drawn = _Tickets(), _Drawn(draw, member.worker)
        self.aux = _Aux()
        self.times = _Times()
        self.is_under_way = False  # whether a gradient was sent of which it is not known what became
        self._shapes = 1  # that the server knows of
        self._begin(joined)

    def _begin(self, reply: Reply) -> None:
        self._numbers = itertools.count()
        self.drawn.forget()
        self.tickets.next = collections.deque(reply.tickets)
        self._view = View(reply.version, reply.params)

    def read(self, worker: int) -> View:
        """The parameters that came with the last reply."""
        return self._view

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        """Has the server apply the gradient or drop it; raises Closed once the run is over there."""
        self.is_under_way = True
        arrived = self._connection.begin_exchange(
            Exchange(
                self._member,
                next(self._numbers),
                gradient.ticket,
                gradient.view.version,
                np.asarray(gradient.loss),
                tuple(np.asarray(leaf) for leaf in gradient.grads),
                self.aux.taken(),
                self.times.taken(),
                self._new_shapes(),
            )
        )
        if self.tickets.next:
            self.drawn.draw_ahead(self.tickets.next[0])
        reply = arrived()
        self.is_under_way = False
        if reply.over or reply.done is None:
            raise Closed(reply.over)
        self.tickets.next.extend(reply.tickets)
        self._view = View(reply.version, reply.params)
        return reply.done

    def leave(self, end: BatchesExhausted | EpochsTaken) -> bool:
        """Says that there is no mini-batch for the present ticket; whether there are others to go on with."""
        reply = self._connection.leave(self._member, end, self.tickets.present)
        if reply.over:
            return False
        self._begin(reply)
        return True

    def snapshot(self) -> Snapshot:
        """What was read last, without an optimizer state, which the server has."""
        return Snapshot(self._view.version, self._view.params, ())

    def close(self, reason: str) -> None:
        """Nothing: the server alone ends a run."""

    def _new_shapes(self) -> tuple[str, ...]:
        shapes = self._functions.batch_shapes
        if len(shapes) == self._shapes:
            return ()
        self._shapes = len(shapes)
        return tuple(shapes)


class RemoteRun(Run):
    """The run as the loop of a worker in another process sees it: it notes what the server is to record.

    Args:
      scheme: the way to the server.
      compiled: the traced functions of this process.
      workers: number of workers, ≥ 1.
    """

    def __init__(self, scheme: RemoteScheme, compiled: Compiled, workers: int):
        super().__init__(scheme, compiled, Ledger(workers), scheme.drawn, check_finite=False, name="remote")
        self._remote = scheme
        aux: AuxColumns = scheme.aux
        times: Phases = scheme.times
        self.tickets, self.aux, self.phases = scheme.tickets, aux, times
        self.goes_on = False

    def leave(self, end: BatchesExhausted | EpochsTaken) -> None:
        """Tells the server that a worker has no further mini-batch."""
        self.goes_on = self._remote.leave(end)


def work_remotely(worker: int, run: RemoteRun) -> None:
    """The loop of a worker, until the run is over or has no mini-batch left for it."""
    while True:
        run.goes_on = False
        work(worker, run)
        if not run.goes_on:
            return


class _Aux(AuxColumns):
    """What the loss gave besides, on its way to the server."""

    def __init__(self) -> None:
        super().__init__(1)
        self._newest: Any = None

    def note(self, worker: int, ticket: int, aux: Any) -> None:
        self._newest = aux

    def taken(self) -> Any:
        newest, self._newest = self._newest, None
        return jax.tree.map(np.asarray, newest)


class _Times(Phases):
    """The phases of a gradient, on their way to the server."""

    def __init__(self) -> None:
        super().__init__(1)
        self._newest: tuple[Any, ...] = ()

    def note(self, worker: int, *times: Any) -> None:
        self._newest = times

    def taken(self) -> tuple[Any, ...]:
        newest, self._newest = self._newest, ()
        return newest

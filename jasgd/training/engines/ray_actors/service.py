"""The server's side of a run whose workers are in other processes: who is there, who has which tickets, and commits."""

from __future__ import annotations

import collections
import itertools
import math
import threading
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jasgd.aligned_memory import aligned_copy
from jasgd.core.messages import Closed, Dropped, Gradient, View
from jasgd.core.scheme import unwatched
from jasgd.inputs.iterables import BatchesExhausted, EpochsTaken
from jasgd.record.environment import mismatches
from jasgd.record.result import Outcome, StuckWorker
from jasgd.schemes import Leashed, Locked, Sequential, Synchronous
from jasgd.training.engines.carrying_out import WorkersElsewhere
from jasgd.training.engines.ray_actors.messages import ORPHANED, Exchange, Member, Reply
from jasgd.training.engines.supervisor import Workers
from jasgd.training.run import Run

WAIT_S = 1.0  # how long a worker that has come waits for the start of the run, before it is told to ask again
AHEAD = 2  # tickets that a worker has: one for the present gradient, one to draw the next mini-batch for
READ_ONLY = (Leashed, Locked, Sequential, Synchronous)  # schemes that write to no gradient's memory


class _Place:
    """What the server knows of one worker, under the mutex of that worker alone."""

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        self.attempt = 0
        self.is_member = False
        self.number = -1  # of the last exchange
        self.reply: Reply | None = None  # to it
        self.tickets: collections.deque[int] = collections.deque()  # that it has, and no row is written of
        self.view: View | None = None  # what it computes on
        self.has_left = False  # as the run was over, or it has no mini-batch
        self.is_gone = False  # for good
        self.why_gone = ""


class Service(WorkersElsewhere):
    """Answers the workers of a run, and commits their gradients as their threads would.

    Guarantees. Any thread may call any method. A gradient is committed at most once: each exchange of a member has a
    number, and one that comes again gets the reply that it got before. What a member sends that was replaced, or that
    means a server before this one, changes nothing. Each ticket is with one member, has a row, or is waiting to be
    given out: of a member that is lost, those without a row are given out again.

    Args:
      incarnation: how many servers the run had before.
      workers: number of workers, ≥ 1.
      at_point: called as ``at_point(point, worker)`` within an exchange; tests wait or raise in it.
    """

    engine = "ray"

    def __init__(self, incarnation: int, workers: int, at_point: Any = unwatched):
        self._incarnation, self._at_point = incarnation, at_point
        self._places = [_Place() for _ in range(workers)]
        self._changed = threading.Condition()
        self._started = False
        self._returned: collections.deque[int] = collections.deque()
        self._run: Run | None = None
        self._metadata: dict[str, Any] = {}
        self._copies = False
        self._interrupted = False
        self._early: list[tuple[Outcome, str, BaseException | None]] = []  # ends that came before the run
        self._orphans = itertools.count()
        self.orphaned = 0  # gradients that were refused as their member had been replaced

    def workers_of(self, run: Run, metadata: dict[str, Any]) -> Workers:
        """The workers of a run; from now on they may come."""
        self._metadata, self._copies = metadata, type(run.scheme) not in READ_ONLY
        with self._changed:
            self._run = run
            self._changed.notify_all()
        if self._interrupted:
            run.interrupt()
        for end in self._early:  # none comes any more, as the run is there
            run.finish(*end)
        for place in filter(lambda one: one.is_gone, self._places):
            self._end_where_missed(run, place)
        return _RemoteWorkers(self)

    @property
    def run(self) -> Run | None:
        """The run; None before it was put together."""
        return self._run

    def interrupt(self) -> None:
        """Ends the run as Ctrl-C does."""
        self._interrupted = True
        if self._run is not None:
            self._run.interrupt()

    def stop(self, reason: str) -> None:
        """Ends the run for a reason, as a callback does."""
        self._finish(Outcome.STOPPED, reason)

    # --- waiting, for the thread that carries the run out

    def start(self) -> None:
        """Lets those who have come begin."""
        with self._changed:
            self._started = True
            self._changed.notify_all()

    def wait_for_all(self) -> None:
        """Waits until every worker has come, is gone for good, or the run is over."""
        assert self._run is not None
        with self._changed:
            while not self._run.over.is_set() and not all(p.is_member or p.is_gone for p in self._places):
                self._changed.wait(0.1)

    def wait_for_end(self, limit_s: float) -> None:
        """Waits until every worker has left or is gone, for so many seconds at most."""
        until = time.monotonic() + limit_s
        with self._changed:
            while not self.all_ended() and (left_s := until - time.monotonic()) > 0:
                self._changed.wait(min(0.1, left_s))

    def all_ended(self) -> bool:
        """Whether no worker is there, nor will come."""
        return all(place.has_left or place.is_gone for place in self._places)

    # --- what workers call

    def join(self, member: Member, environment: Mapping[str, Any]) -> Reply | None:
        """Begins a member: the first tickets and parameters; None where it is to ask again, as the run has not begun.

        Args:
          member: who comes; the member of the same worker before it is replaced.
          environment: of its process.

        Returns:
          The reply.
        """
        place = self._places[member.worker]
        with self._changed:
            self._changed.wait_for(lambda: self._run is not None, timeout=WAIT_S)
            run = self._run
        if run is None:
            return None
        with place.mutex:
            if member.incarnation != self._incarnation or member.attempt < place.attempt or place.is_gone:
                return Reply(None, over=ORPHANED)
            if not place.is_member or member.attempt > place.attempt:
                self._take_back(place, member.worker)
                place.attempt, place.is_member, place.has_left = member.attempt, True, False
                self._note_environment(member.worker, environment)
        with self._changed:
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._started or run.over.is_set(), timeout=WAIT_S)
            if not self._started and not run.over.is_set():
                return None
        with place.mutex:
            if place.attempt != member.attempt or not place.is_member:
                return Reply(None, over=ORPHANED)
            if place.number < 0 and place.reply is not None:  # which it did not get
                return place.reply
            place.reply = self._next(run, place, member.worker, None, AHEAD)
            return place.reply

    def exchange(self, sent: Exchange) -> Reply:
        """Commits a gradient, and gives the next ticket and the newest parameters.

        Args:
          sent: the gradient.

        Returns:
          The reply; to a repeat the one that was given before.

        Raises:
          ValueError: for an exchange that does not follow the one before, which only a faulty worker sends.
        """
        member, run = sent.member, self._run
        place = self._places[member.worker]
        self._at_point("sent", member.worker)
        with place.mutex:
            is_member = place.is_member and place.attempt == member.attempt
            if run is None or member.incarnation != self._incarnation or not is_member:
                self.orphaned = next(self._orphans) + 1
                return Reply(Dropped(ORPHANED, -1, 0, 0), over=ORPHANED)
            if sent.number == place.number and place.reply is not None:
                return place.reply
            if sent.number != place.number + 1:
                raise ValueError(f"exchange must be number {place.number + 1} of worker {member.worker}: {sent.number}")
            self._at_point("taken", member.worker)
            view, place.view, place.reply = place.view, None, None  # whose memory may be used again
            place.number = sent.number
            try:
                place.reply = self._commit(run, place, sent, view)
            except Closed as closed:
                place.reply = Reply(None, over=str(closed) or "closed")
            except BaseException as error:  # as of a thread: it must not vanish, nor keep the run waiting
                run.finish(Outcome.FAILED, f"worker {member.worker} raised {type(error).__name__}: {error}", error)
                place.reply = Reply(None, over=f"{type(error).__name__}: {error}")
            self._at_point("replied", member.worker)
            return place.reply

    def leave(self, member: Member, end: BatchesExhausted | EpochsTaken | None, ticket: int) -> Reply:
        """Ends a member, or has it go on where tickets are left that it can take.

        Args:
          member: who leaves.
          end: that its batches came to; None where the run was over.
          ticket: that it had no mini-batch for.

        Returns:
          A reply; with ``over`` it has ended.
        """
        place, run = self._places[member.worker], self._run
        with place.mutex:
            if run is None or place.attempt != member.attempt or not place.is_member:
                return Reply(None, over=ORPHANED)
            if end is not None and not run.over.is_set():
                if (left := self._left_below(place, ticket)) is not None:
                    return self._go_on_with(run, place, member.worker, left)
                place.has_left = True  # before others are looked at, of which one may be lost, or leave, meanwhile
                run.leave(end)
                self._end_without_the_gone(run, end)
            place.is_member, place.has_left = False, True
        with self._changed:
            self._changed.notify_all()
        return Reply(None, over="left")

    def note_times(self, member: Member, times: tuple[Any, ...]) -> None:
        """Notes the times of a member's last gradient."""
        place, run = self._places[member.worker], self._run
        with place.mutex:
            if run is not None and place.attempt == member.attempt:
                self._note(run, member.worker, times)

    def fail(self, member: Member, error: BaseException) -> None:
        """Ends the run as failed, since a worker raised."""
        place = self._places[member.worker]
        if member.incarnation != self._incarnation or member.attempt < place.attempt:
            return  # another one has come in its place; one that never came may be ahead of what is known here
        self._finish(Outcome.FAILED, f"worker {member.worker} raised {type(error).__name__}: {error}", error)
        place.has_left = True  # the end of the run does not wait for it

    # --- what the one calls who begins workers anew

    def lose(self, member: Member, why: str, *, for_good: bool) -> None:
        """Takes back the tickets of a member whose process died.

        Args:
          member: who was lost.
          why: in a sentence.
          for_good: whether nobody comes in its place.
        """
        place = self._places[member.worker]
        if for_good:
            with self._changed:  # where the run is not there yet, this is seen to once it is
                place.is_gone, place.why_gone, run = True, why, self._run
            if run is not None:
                self._end_where_missed(run, place)  # before its mutex, which it may hold while it waits for others
        if member.attempt < place.attempt:
            return  # another one has come in its place, and may hold the mutex while it waits for others
        with place.mutex:
            if member.attempt >= place.attempt:
                self._take_back(place, member.worker)
                place.attempt, place.is_member = member.attempt + 1, False
        with self._changed:
            self._changed.notify_all()

    def _end_where_missed(self, run: Run, gone: _Place) -> None:
        """Ends the run where it cannot go on without one that is gone for good."""
        if run.scheme.needs_every_worker or self.all_ended():
            run.finish(Outcome.FAILED, gone.why_gone)

    def _finish(self, outcome: Outcome, message: str, error: BaseException | None = None) -> None:
        """Ends the run, or has it end as soon as it is there."""
        with self._changed:
            run = self._run
            if run is None:
                self._early.append((outcome, message, error))
        if run is not None:
            run.finish(outcome, message, error)

    # --- parts of these; the caller has the place's mutex

    def _commit(self, run: Run, place: _Place, sent: Exchange, view: View | None) -> Reply:
        worker, loss_value = sent.member.worker, float(sent.loss)
        if view is None or (sent.ticket, sent.version_read) != (place.tickets[0], view.version):
            raise ValueError(f"worker {worker} sent ticket {sent.ticket} at version {sent.version_read}")
        self._note(run, worker, sent.times)
        for text in sent.shapes:
            run.compiled.batch_shapes.setdefault(text)
        if run.check_finite:
            if not math.isfinite(loss_value):
                run.diverge(view.version, sent.ticket, worker, loss_value)
                return Reply(None, over=run.message)
            run.note_good(view)
        if sent.aux is not None:
            run.aux.note(worker, sent.ticket, sent.aux)
        # A compiled function takes arrays of NumPy sooner than they are put on the device one by one.
        grads = tuple(jax.device_put(aligned_copy(leaf)) for leaf in sent.grads) if self._copies else sent.grads
        gradient = Gradient(worker, sent.ticket, view, grads, sent.loss, loss_value)
        del view, grads  # so that a scheme can let go of them
        done = run.scheme.commit(gradient)
        place.tickets.popleft()  # it has a row
        self._at_point("committed", worker)
        run.conclude(done, worker)
        return self._next(run, place, worker, done, 1)

    def _next(self, run: Run, place: _Place, worker: int, done: Any, count: int) -> Reply:
        if run.over.is_set():
            return Reply(done, over=run.message or "the run is over")
        view = run.scheme.read(worker)
        if not run.scheme.checks_commits and not run.admits(view):
            return Reply(done, over=run.message)
        tickets = tuple(self._ticket() for _ in range(count))
        place.tickets.extend(tickets)
        place.view = view
        return Reply(done, tickets, view.version, tuple(np.asarray(leaf) for leaf in view.params))

    def _left_below(self, place: _Place, ticket: int) -> list[int] | None:
        """Tickets below one that there is no mini-batch for: those of the member, else one that was given back."""
        own = [one for one in place.tickets if one < ticket]
        if own:
            return own
        for _ in range(len(self._returned)):
            try:
                one = self._returned.popleft()
            except IndexError:  # other members were faster
                return None
            if one < ticket:
                return [one]
        return None  # those that were taken out have no mini-batch either

    def _go_on_with(self, run: Run, place: _Place, worker: int, tickets: list[int]) -> Reply:
        """What a member is given that has no mini-batch for its ticket, where lower ones are left; it counts anew."""
        place.view, place.number, place.reply = run.scheme.read(worker), -1, None
        place.tickets = collections.deque(tickets)
        return Reply(None, tuple(tickets), place.view.version, tuple(np.asarray(leaf) for leaf in place.view.params))

    def _end_without_the_gone(self, run: Run, end: BatchesExhausted | EpochsTaken) -> None:
        """Ends the run where the last member leaves, and others are gone for good and cannot."""
        if any(one.is_gone for one in self._places) and self.all_ended():
            if isinstance(end, EpochsTaken):
                run.finish(Outcome.FINISHED, str(end))
            else:
                run.finish(Outcome.FAILED, str(end), end)

    def _ticket(self) -> int:
        assert self._run is not None
        try:
            return self._returned.popleft()
        except IndexError:
            return next(self._run.tickets)

    def _take_back(self, place: _Place, worker: int) -> None:
        self._returned.extend(place.tickets)
        place.tickets.clear()
        place.view, place.reply, place.number = None, None, -1
        if self._run is not None:
            self._run.ledger.in_flight[worker] = -1

    def _note(self, run: Run, worker: int, times: tuple[Any, ...]) -> None:
        if times:
            run.longest_s[worker] = max(run.longest_s[worker], times[4] - times[3])
            run.phases.note(worker, *times)

    def _note_environment(self, worker: int, environment: Mapping[str, Any]) -> None:
        differences = mismatches(self._metadata["environment"], dict(environment))
        if differences:
            known = dict(self._metadata.get("worker_environments", {}))  # anew: a save may be writing the old one
            known[str(worker)] = {one.name: one.found for one in differences}
            self._metadata["worker_environments"] = known


class _RemoteWorkers(Workers):
    """The workers of a service, for the thread that supervises the run."""

    def __init__(self, service: Service):
        self._service = service

    def get_ready(self) -> None:
        self._service.wait_for_all()

    def start(self) -> None:
        self._service.start()

    def all_ended(self) -> bool:
        return self._service.all_ended()

    def join(self, limit_s: float) -> None:
        self._service.wait_for_end(limit_s)

    def stuck(self) -> tuple[StuckWorker, ...]:
        return ()  # their processes are ended with the run, whatever they are at

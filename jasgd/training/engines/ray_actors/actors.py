"""The two actors of a run on Ray, as plain classes: the server with the parameters, and a worker."""

from __future__ import annotations

import dataclasses
import os
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from jasgd.callbacks.callback import RunOptions
from jasgd.inputs.iterables import BatchesExhausted, EpochsTaken
from jasgd.record.environment import describe_environment
from jasgd.record.result import TrainResult
from jasgd.training.assembly import Admitted, admit_task
from jasgd.training.callback_calls import CallbackError
from jasgd.training.engines.carrying_out import Request, Watching, carry_out
from jasgd.training.engines.ray_actors.events import Event, Forwarding
from jasgd.training.engines.ray_actors.messages import Exchange, Member, Reply
from jasgd.training.engines.ray_actors.process_settings import ProcessSettings
from jasgd.training.engines.ray_actors.remote_scheme import Connection, RemoteRun, RemoteScheme, work_remotely
from jasgd.training.engines.ray_actors.service import Service
from jasgd.training.engines.ray_actors.shipping import portable, received, required_ray
from jasgd.training.interrupts import Terminations
from jasgd.warning_types import JasgdWarning

UNREACHABLE_S = 60.0  # how long a worker tries to reach a server that lives and does not answer
AGAIN_S = 0.2  # how long it waits before it tries again
SERVER_LOST, ENDED = "server lost", "ended"  # how a worker's loop ends
SERVER_LOST_MEANWHILE = "server lost while a gradient was under way"  # which is orphaned


class Carried(NamedTuple):
    """What came of a run at the server.

    Attributes:
      result: the result; None where it could not begin.
      error: what kept it from beginning, or from being saved.
      warned: warnings that came up meanwhile.
      orphaned: gradients that were refused, as their workers had been replaced.
    """

    result: TrainResult | None
    error: Exception | None
    warned: list[Warning]
    orphaned: int


class Server:
    """Has the parameters: an ordinary run with its scheme, ledger, evaluations and checkpoints, whose workers call it.

    Args:
      settings: what it computes under.
      incarnation: how many servers the run had before.
      workers: number of workers, ≥ 1.
    """

    def __init__(self, settings: ProcessSettings, incarnation: int, workers: int):
        settings.take_over(on_gpu=False)
        self._service = Service(incarnation, workers)
        self._events = Forwarding(lambda: self._service.run)

    def process(self) -> int:
        """The number of this process; answered once it is there."""
        return os.getpid()

    def carry_out(self, boxed: list[Any], resume: Any, tells: bool) -> Carried:
        """Carries the run out.

        Args:
          boxed: the reference of the request, in a list so that Ray hands on the reference itself.
          resume: what the run goes on with, as of :func:`jasgd.train`.
          tells: whether its events are asked for, and seen to.

        Returns:
          What came of it.
        """
        warned: list[Warning] = []

        def note(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, JasgdWarning):
                warned.append(message if isinstance(message, Warning) else category(message))

        warnings.simplefilter("always", JasgdWarning)
        warnings.showwarning = note  # pyrefly: ignore[bad-assignment] (it takes all of that)
        try:
            request = dataclasses.replace(received(boxed), resume=resume)
            callbacks = (self._events,) if tells else ()
            watching = Watching(callbacks, None, RunOptions(request.steps, None, None, False), Terminations(False))
            result, failure = carry_out(request, watching, self._service)
        except Exception as error:
            return Carried(None, portable(error), warned, self._service.orphaned)
        if result.error is not None:
            result = dataclasses.replace(result, error=portable(result.error))
        return Carried(result, failure, warned, self._service.orphaned)

    def join(self, member: Member, environment: Mapping[str, Any]) -> Reply | None:
        """See :class:`Service`, as for all that follows."""
        return self._service.join(member, environment)

    def exchange(self, sent: Exchange) -> Reply:
        """Commits a gradient."""
        return self._service.exchange(sent)

    def leave(self, member: Member, end: BatchesExhausted | EpochsTaken | None, ticket: int, times: Any) -> Reply:
        """Ends a member."""
        self._service.note_times(member, times)
        return self._service.leave(member, end, ticket)

    def fail(self, member: Member, error: BaseException) -> None:
        """Ends the run, since a worker raised."""
        self._service.fail(member, error)

    def lose(self, member: Member, why: str, for_good: bool) -> None:
        """Takes back the tickets of a worker that died."""
        self._service.lose(member, why, for_good=for_good)

    def interrupt(self) -> None:
        """Ends the run as Ctrl-C does."""
        self._service.interrupt()

    def stop(self, reason: str) -> None:
        """Ends the run for a reason."""
        self._service.stop(reason)

    def next_event(self) -> Event | None:
        """See :class:`Forwarding`, as for the two that follow."""
        return self._events.next_event()

    def ask(self, what: str, *arguments: Any) -> Any:
        """What a callback asks for."""
        return self._events.ask(what, *arguments)

    def seen(self, message: str, error: BaseException | None) -> None:
        """Lets the run go on after an event, or fail with a message."""
        self._events.seen(None if error is None else CallbackError(message, error))


class Worker:
    """One worker: draws mini-batches and computes gradients in a process of its own.

    Args:
      settings: what it computes under.
      worker: its number.
      on_gpu: whether it has a GPU.
    """

    def __init__(self, settings: ProcessSettings, worker: int, on_gpu: bool):
        settings.take_over(on_gpu=on_gpu)
        self._worker = worker
        self._prepared: tuple[Request, Admitted] | None = None
        self._scheme: RemoteScheme | None = None  # with the present server

    def process(self) -> int:
        """The number of this process; answered once it is there."""
        return os.getpid()

    def work(self, boxed: list[Any], server: Any, incarnation: int, attempt: int) -> str:
        """The loop of the worker with one server; at the first call it compiles before.

        Args:
          boxed: the reference of the request, in a list.
          server: the actor.
          incarnation: how many servers the run had before this one.
          attempt: how often this worker had been begun before.

        Returns:
          How it ended.
        """
        member = Member(incarnation, self._worker, attempt)
        connection = _RayConnection(server)
        self._scheme = None
        try:
            try:
                self._work(boxed, connection, member)
            except ServerLost:
                raise
            except BaseException as error:
                connection.call("fail", member, portable(error))
        except ServerLost:
            return SERVER_LOST_MEANWHILE if self._scheme is not None and self._scheme.is_under_way else SERVER_LOST
        return ENDED

    def _work(self, boxed: list[Any], connection: _RayConnection, member: Member) -> None:
        if self._prepared is None:
            self._prepared = _prepared(received(boxed))
        request, admitted = self._prepared
        joined = connection.join(member)
        if joined.over:
            connection.leave(member, None, -1)
            return
        scheme = RemoteScheme(connection, member, joined, admitted.compiled, admitted.batch_of)
        self._scheme = scheme
        connection.times = scheme.times.taken
        run = RemoteRun(scheme, admitted.compiled, request.workers)
        work_remotely(self._worker, run)
        connection.leave(member, None, -1)


def _prepared(request: Request) -> tuple[Request, Admitted]:
    """The functions of a run, traced and compiled in this process."""
    admitted = admit_task(request.task)
    compiled = admitted.compiled
    jax.block_until_ready(compiled.gradient(tuple(map(jax.device_get, admitted.leaves)), admitted.first))
    return request, admitted


class ServerLost(Exception):
    """The server's process has died, or cannot be reached any more."""


class _RayConnection(Connection):
    """Calls the server's actor. A call that Ray cannot say the fate of is made again, with the same number."""

    def __init__(self, server: Any):
        self._server, self._ray = server, required_ray()
        self.times: Callable[[], tuple[Any, ...]] = tuple  # of the last gradient

    def call(self, method: str, *arguments: Any) -> Any:
        return self._arrived(method, arguments, self._sent(method, arguments))

    def begin_exchange(self, sent: Exchange) -> Callable[[], Reply]:
        reference = self._sent("exchange", (sent,))
        return lambda: self._arrived("exchange", (sent,), reference)

    def join(self, member: Member) -> Reply:
        environment = describe_environment()
        while (reply := self.call("join", member, environment)) is None:
            pass  # the run has not begun; the server has waited before it said so
        return reply

    def leave(self, member: Member, end: BatchesExhausted | EpochsTaken | None, ticket: int) -> Reply:
        return self.call("leave", member, end, ticket, self.times())

    def _sent(self, method: str, arguments: tuple[Any, ...]) -> Any:
        try:
            return getattr(self._server, method).remote(*arguments)
        except self._ray.exceptions.RayActorError as error:
            raise ServerLost(str(error)) from error

    def _arrived(self, method: str, arguments: tuple[Any, ...], reference: Any) -> Any:
        until = time.monotonic() + UNREACHABLE_S
        while True:
            try:
                return self._ray.get(reference)
            except (
                self._ray.exceptions.ActorUnavailableError
            ) as error:  # it may have been carried out, and its reply lost
                if time.monotonic() > until:
                    raise ServerLost(f"the server did not answer for {UNREACHABLE_S:g} s") from error
                time.sleep(AGAIN_S)
                reference = self._sent(method, arguments)
            except self._ray.exceptions.RayActorError as error:
                raise ServerLost(str(error)) from error

"""Carries a run out on Ray: starts server and workers, begins anew what dies, and brings the result home."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import sys
import time
import warnings
from typing import Any

from jasgd.record.result import BY_CTRL_C, Outcome, TrainResult
from jasgd.schemes.factories import describe
from jasgd.training.assembly import admit_task
from jasgd.training.callback_calls import CallbackError
from jasgd.training.engines.carrying_out import Request, Watching
from jasgd.training.engines.choice import RayEngine
from jasgd.training.engines.ray_actors.actors import SERVER_LOST, SERVER_LOST_MEANWHILE, Carried, Server, Worker
from jasgd.training.engines.ray_actors.failures import GoingOn, RayEngineError, last_result, was_not_made
from jasgd.training.engines.ray_actors.messages import Member
from jasgd.training.engines.ray_actors.process_settings import ProcessSettings
from jasgd.training.engines.ray_actors.seen_from_afar import CallbacksHere
from jasgd.training.engines.ray_actors.session import Session, resources
from jasgd.training.engines.ray_actors.shipping import (
    check_request,
    last_line,
    portable,
    required_ray,
    with_absolute_folders,
)
from jasgd.training.interrupts import BY_SIGTERM, Interrupts

LOGGER = logging.getLogger("jasgd.ray")
POLL_S = 0.1  # how often it is looked whether actors have started
PATIENCE_S = 5.0  # how long the server has to end a run after Ctrl-C, until another one does not wait for it
SAYS = "Ctrl-C: the run is being ended; another one, {:g} s from now or later, kills it, and gives its last checkpoint"
CALLS = 8  # that the server answers at once, beside three for each worker


def carry_out_on_ray(request: Request, watching: Watching, engine: RayEngine) -> tuple[TrainResult, Exception | None]:
    """Carries a run out with actors of Ray.

    Args:
      request: the run.
      watching: who watches it.
      engine: the options of the engine.

    Returns:
      Its result, and what kept it from being saved.

    Raises:
      ImportError: without Ray, naming the extra.
      TypeError, ValueError: for what cannot be done in other processes.
      RayEngineError: a RuntimeError, where the actors do not start.
    """
    required_ray()
    check_request(request)
    request = with_absolute_folders(request)
    compiled = admit_task(request.task).compiled  # what cannot work is found here, before Ray is started
    session = Session(engine, request.workers)
    with session as ray, watching.terminations, Interrupts() as interrupts:
        driver = Driver(ray, request, engine, session.runtime_env)
        here = CallbacksHere(watching, compiled, request.workers, describe(request.factory), driver.ask, driver.stop)
        driver.tells_of_events(here if watching.callbacks or watching.on_progress is not None else None)
        try:
            carried = driver.carried_out(interrupts)
            if carried.result is not None:
                carried = carried._replace(result=here.end(carried.result, interrupts))
        finally:
            driver.end()
    for warning in carried.warned:
        warnings.warn(warning, type(warning), stacklevel=3)  # the caller of train
    if carried.result is None:
        assert carried.error is not None
        raise carried.error
    result = carried.result
    if watching.terminations.came:
        result = dataclasses.replace(result, message=result.message.replace(BY_CTRL_C, BY_SIGTERM))
    if (interrupts.held or driver.interrupted) and not result.interrupted:
        result = result.after_ctrl_c(watching.terminations.stopped_by)
    return result, carried.error


class _Worker:
    """What is known of one worker."""

    def __init__(self, number: int):
        self.number = number
        self.attempt = -1
        self.actor: Any = None
        self.loop: Any = None  # the reference of its loop; None where it waits for a server
        self.started: Any = None  # that of its process, until it is there
        self.since_s = 0.0
        self.was_there = False  # whether a process of it was there
        self.is_gone = False


class Driver:
    """Has one server and the workers of a run, and begins anew those whose process dies.

    Args:
      ray: the module, of a session that is there.
      request: the run, whose folders are absolute.
      engine: the options of the engine.
      runtime_env: that each actor is given; None for the session's.

    Attributes:
      interrupted: whether Ctrl-C came while the run went on.
    """

    def __init__(self, ray: Any, request: Request, engine: RayEngine, runtime_env: dict[str, Any] | None = None):
        self._ray, self._request, self._engine, self._runtime_env = ray, request, engine, runtime_env
        self._settings = ProcessSettings.of_this_process()
        self._going_on = GoingOn(request)
        self._boxed = [ray.put(request)]  # kept, as actors that are begun anew ask for it
        self._left = engine.restarts
        self._incarnation = -1
        self._server: Any = None
        self._carried: Any = None  # the reference of what the server carries out
        self._server_started: Any = None
        self._server_since_s = 0.0
        self._server_was_there = False
        self._workers = [_Worker(number) for number in range(request.workers)]
        self._orphaned = 0  # gradients that were under way to a server that died
        self._has_begun = False  # whether all processes were there once
        self._events: list[str] = []  # what died, and what was done about it
        self._here: CallbacksHere | None = None
        self._event: Any = None  # the reference of the next event, where there are callbacks
        # What ends the run is kept, with the server that was told of it: that one may die before it acts on it.
        self.interrupted, self._interrupted_s = False, 0.0
        self._stopped: tuple[int, str] | None = None
        self._raised: tuple[int, CallbackError] | None = None

    def tells_of_events(self, here: CallbacksHere | None) -> None:
        """Sets who sees to the events of the run; None for nobody."""
        self._here = here

    def ask(self, what: str, *arguments: Any) -> Any:
        """Asks the server for what a callback wants."""
        try:
            return self._ray.get(self._server.ask.remote(what, *arguments))
        except self._ray.exceptions.RayActorError as error:  # which the callback is not to blame for
            raise CallbackError("the server's process died", error) from error

    def stop(self, reason: str) -> None:
        """Ends the run for a reason."""
        self._stopped = (self._incarnation, reason)
        with contextlib.suppress(self._ray.exceptions.RayActorError):  # then the next server is told
            self._ray.get(self._server.stop.remote(reason))

    def carried_out(self, interrupts: Interrupts) -> Carried:
        """Starts all, and waits for the result.

        The first Ctrl-C has the server end the run. Another one, PATIENCE_S later, does not wait for it any more.

        Args:
          interrupts: the context of Ctrl-C that this is called in.

        Returns:
          What came of it.
        """
        self._start_server()
        for worker in self._workers:
            self._start_worker(worker)
        while True:
            try:
                carried = self._look(interrupts)
            except KeyboardInterrupt:
                if self.interrupted:
                    if time.monotonic() - self._interrupted_s < PATIENCE_S:
                        continue  # the server may be about to give the whole result
                    return self._with_events(self._left_alone())
                self.interrupted, self._interrupted_s = True, time.monotonic()
                self._server.interrupt.remote()
                print(SAYS.format(PATIENCE_S), file=sys.stderr, flush=True)
                continue
            if carried is not None:
                return self._with_events(carried)

    def end(self) -> None:
        """Ends all processes."""
        for actor in (self._server, *(worker.actor for worker in self._workers)):
            if actor is not None:
                self._ray.kill(actor)

    # --- starting

    def _start_server(self) -> None:
        self._incarnation += 1
        actor = self._actor(Server, num_cpus=0, max_concurrency=3 * self._request.workers + CALLS)
        self._server = actor.remote(self._settings, self._incarnation, self._request.workers)
        self._server_started, self._server_since_s = self._server.process.remote(), time.monotonic()
        self._carried = self._server.carry_out.remote(self._boxed, self._resume, self._here is not None)
        self._event = None if self._here is None else self._server.next_event.remote()
        if self.interrupted:
            self._server.interrupt.remote()

    @property
    def _resume(self) -> Any:
        return self._going_on.resume if self._incarnation else self._request.resume

    def _start_worker(self, worker: _Worker) -> None:
        cpus, gpus = self._engine.cpus_per_worker, self._engine.gpus_per_worker
        actor = self._actor(Worker, num_cpus=cpus, num_gpus=gpus)
        worker.actor = actor.remote(self._settings, worker.number, gpus > 0)
        worker.started, worker.since_s = worker.actor.process.remote(), time.monotonic()
        self._begin(worker)

    def _begin(self, worker: _Worker) -> None:
        """Has a worker begin its loop with the present server."""
        worker.attempt += 1
        worker.loop = worker.actor.work.remote(self._boxed, self._server, self._incarnation, worker.attempt)

    def _actor(self, kind: type, **options: Any) -> Any:
        if self._runtime_env is not None:
            options["runtime_env"] = self._runtime_env
        return self._ray.remote(kind).options(max_restarts=0, max_task_retries=0, **options)

    # --- watching

    def _look(self, interrupts: Interrupts) -> Carried | None:
        """Waits a moment, and sees to what has ended meanwhile."""
        loops = {worker.loop: worker for worker in self._workers if worker.loop is not None}
        starting = [worker.started for worker in self._workers if worker.started is not None]
        if self._server_started is not None:
            starting.append(self._server_started)
        if self._event is not None:
            starting.append(self._event)
        with interrupts.taken():
            done, _ = self._ray.wait([self._carried, *loops, *starting], num_returns=1, timeout=POLL_S)
        self._note_started(done)
        for reference in done:
            if reference in loops:
                self._see_to_worker(loops[reference])
        if self._carried in done:
            return self._see_to_server()
        if self._event in done:
            self._see_to_event(interrupts)
        return None

    def _see_to_event(self, interrupts: Interrupts) -> None:
        here, reference = self._here, self._event
        assert here is not None
        try:
            event = self._ray.get(reference)
        except self._ray.exceptions.RayError:
            self._event = None  # that the server died is seen to elsewhere
            return
        self._event = self._server.next_event.remote()
        if event is None:
            return
        if self._stopped is not None and self._stopped[0] < self._incarnation:
            self.stop(self._stopped[1])
        error = None
        try:
            if self._raised is not None and self._raised[0] < self._incarnation:
                error = self._raised[1]
            else:
                with interrupts.taken():
                    error = here.see_to(event)
            if error is not None and isinstance(error.error, self._ray.exceptions.RayActorError):
                error = None
        finally:  # also of Ctrl-C: the server waits
            if error is not None:
                self._raised = (self._incarnation, error)
            self._server.seen.remote(str(error), None if error is None else portable(error.error))

    def _note_started(self, done: list[Any]) -> None:
        limit_s, now = self._engine.start_limit_s, time.monotonic()
        if self._server_started in done:
            self._server_was_there, self._server_started = self._was_made(self._server_started), None
        for worker in self._workers:
            if worker.started in done:
                worker.was_there, worker.started = self._was_made(worker.started), None
        late = [worker for worker in self._workers if worker.started is not None and now - worker.since_s > limit_s]
        server_is_late = self._server_started is not None and now - self._server_since_s > limit_s
        limits = f"within {limit_s:g} s; {resources(self._ray, self._engine)}" if late or server_is_late else ""
        if server_is_late:
            raise RayEngineError(f"the server has not started {limits}")
        if late and not self._has_begun:
            names = ", ".join(str(worker.number) for worker in late)
            raise RayEngineError(f"the workers {names} have not started {limits}")
        for worker in late:
            self._ray.kill(worker.actor)
            self._give_up(worker, f"worker {worker.number} has not started anew {limits}")
        if self._server_was_there and all(worker.was_there for worker in self._workers):
            self._has_begun = True

    def _was_made(self, started: Any) -> bool:
        try:
            self._ray.get(started)
        except self._ray.exceptions.RayError:
            return False  # its loop has ended as well, which is seen to by itself
        return True

    def _see_to_worker(self, worker: _Worker) -> None:
        """What to do with a worker whose loop has ended."""
        loop, worker.loop = worker.loop, None
        try:
            how = self._ray.get(loop)
        except Exception as error:
            worker.started = None
            if was_not_made(error):
                why = f"worker {worker.number} could not be made: {last_line(error)}"
                if not self._has_begun:
                    raise RayEngineError(why) from error
                self._give_up(worker, why)
            elif isinstance(error, self._ray.exceptions.RayActorError):
                self._begin_anew(worker, last_line(error))
            else:  # as where the request cannot be unpickled there
                why = f"worker {worker.number} could not begin: {type(error).__name__}: {last_line(error)}"
                self._give_up(worker, why)
        else:
            self._orphaned += how == SERVER_LOST_MEANWHILE
            if how in (SERVER_LOST, SERVER_LOST_MEANWHILE) and not self._server_is_lost():
                self._begin(worker)  # another one has taken its place already

    def _server_is_lost(self) -> bool:
        """Whether the present server has died as well; its end is seen to by itself."""
        done, _ = self._ray.wait([self._carried], timeout=POLL_S)
        return bool(done)

    def _begin_anew(self, worker: _Worker, reason: str) -> None:
        member = Member(self._incarnation, worker.number, worker.attempt)
        died = f"the process of worker {worker.number} died"
        if self._left == 0:
            self._give_up(worker, f"{died}, and all {self._engine.restarts} restarts were taken: {reason}")
            return
        self._left -= 1
        self._server.lose.remote(member, died, False)
        self._note(f"worker {worker.number} died and was begun anew", reason)
        self._start_worker(worker)

    def _give_up(self, worker: _Worker, why: str) -> None:
        worker.is_gone, worker.loop, worker.started = True, None, None
        self._note(why)
        self._server.lose.remote(Member(self._incarnation, worker.number, worker.attempt), why, True)

    def _see_to_server(self) -> Carried | None:
        """The result, or None where another server goes on."""
        try:
            return self._ray.get(self._carried)
        except self._ray.exceptions.RayError as error:
            lost, reason = error, last_line(error)
        if was_not_made(lost):
            if not self._has_begun:
                raise RayEngineError(f"the server could not be made: {reason}") from lost
            return self._failed(f"the server died, and another one could not be made: {reason}")
        if not isinstance(lost, self._ray.exceptions.RayActorError):
            return self._failed(f"the server failed: {type(lost).__name__}: {reason}")
        died = "the server's process died"
        checkpoint = self._request.checkpoint
        if checkpoint is None:
            return self._failed(f"{died}, and without checkpoint= there is nothing to go on from: {reason}")
        if self._left == 0:
            return self._failed(
                f"{died}, and all {self._engine.restarts} restarts were taken: {reason}; "
                f"resume={str(checkpoint.folder)!r} goes on with it"
            )
        self._left -= 1
        self._note(f"the server died and was begun anew from {self._going_on.words}", reason)
        self._start_server()
        for worker in self._workers:
            if worker.is_gone:
                self._server.lose.remote(Member(self._incarnation, worker.number, worker.attempt), died, True)
            elif worker.loop is None:
                self._begin(worker)
        return None

    def _note(self, event: str, reason: str = "") -> None:
        LOGGER.warning("%s%s", event, reason and f": {reason}")
        self._events.append(event)

    def _failed(self, why: str) -> Carried:
        result = last_result(self._request, describe(self._request.factory), self._going_on, RayEngineError(why))
        return Carried(result, None, [], 0)

    def _left_alone(self) -> Carried:
        """What there is of a run whose server does not answer to Ctrl-C, once its processes are killed."""
        self.end()
        failed = self._failed(f"{BY_CTRL_C}, of which a later one killed the server; this is {self._going_on.words}")
        assert failed.result is not None
        result = dataclasses.replace(failed.result, outcome=Outcome.STOPPED, error=None, traceback="", interrupted=True)
        return failed._replace(result=result)

    def _with_events(self, carried: Carried) -> Carried:
        if carried.result is None:
            return carried
        execution = carried.result.execution
        counted = {"restarts": self._engine.restarts - self._left, "orphaned": carried.orphaned + self._orphaned}
        events = "".join(f"; {event}" for event in dict.fromkeys(self._events))
        result = dataclasses.replace(
            carried.result,
            message=carried.result.message + events,
            execution=dataclasses.replace(execution, metadata=execution.metadata | counted),
        )
        return carried._replace(result=result)

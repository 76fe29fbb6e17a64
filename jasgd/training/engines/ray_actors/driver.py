"""Carries a run out on Ray: starts server and workers, begins anew what dies, and brings the result home."""

from __future__ import annotations

import dataclasses
import logging
import time
import warnings
from typing import Any

from jasgd.record.checkpoints.reading import is_checkpoints
from jasgd.record.result import BY_CTRL_C, TrainResult
from jasgd.schemes.factories import describe
from jasgd.training.assembly import admit_task
from jasgd.training.engines.carrying_out import Request, Watching
from jasgd.training.engines.choice import RayEngine
from jasgd.training.engines.ray_actors.actors import SERVER_LOST, SERVER_LOST_MEANWHILE, Carried, Server, Worker
from jasgd.training.engines.ray_actors.failures import RayEngineError, failed_result
from jasgd.training.engines.ray_actors.messages import Member
from jasgd.training.engines.ray_actors.process_settings import ProcessSettings
from jasgd.training.engines.ray_actors.seen_from_afar import CallbacksHere
from jasgd.training.engines.ray_actors.session import Session
from jasgd.training.engines.ray_actors.shipping import check_request, portable, required_ray
from jasgd.training.interrupts import BY_SIGTERM, Interrupts

LOGGER = logging.getLogger("jasgd.ray")
POLL_S = 0.1  # how often it is looked whether actors have started
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
    compiled = admit_task(request.task).compiled  # what cannot work is found here, before Ray is started
    with Session(engine, request.workers) as ray, watching.terminations, Interrupts() as interrupts:
        driver = _Driver(ray, request, engine)
        here = CallbacksHere(watching, compiled, request.workers, describe(request.factory), driver.ask, driver.stop)
        driver.tells_of_events(here if watching.callbacks or watching.on_progress is not None else None)
        try:
            carried = driver.carried_out(interrupts)
            if carried.result is not None:
                carried = carried._replace(result=here.end(carried.result, interrupts))
        finally:
            driver.end()
    for warning in carried.warned:
        warnings.warn(warning, stacklevel=3)  # the caller of train
    if carried.result is None:
        assert carried.error is not None
        raise carried.error
    result = carried.result
    if watching.terminations.came:
        result = dataclasses.replace(result, message=result.message.replace(BY_CTRL_C, BY_SIGTERM))
    if interrupts.held and not result.interrupted:
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
        self.is_gone = False


class _Driver:
    """Has one server and the workers of a run, and begins anew those whose process dies."""

    def __init__(self, ray: Any, request: Request, engine: RayEngine):
        self._ray, self._request, self._engine = ray, request, engine
        self._settings = ProcessSettings.of_this_process()
        self._boxed = [ray.put(request)]  # kept, as actors that are begun anew ask for it
        self._left = engine.restarts
        self._incarnation = -1
        self._server: Any = None
        self._carried: Any = None  # the reference of what the server carries out
        self._server_started: Any = None
        self._server_since_s = 0.0
        self._workers = [_Worker(number) for number in range(request.workers)]
        self._orphaned = 0  # gradients that were under way to a server that died
        self._has_begun = False  # whether all processes were there once
        self._events: list[str] = []  # what died, and what was done about it
        self._here: CallbacksHere | None = None
        self._event: Any = None  # the reference of the next event, where there are callbacks

    def tells_of_events(self, here: CallbacksHere | None) -> None:
        """Sets who sees to the events of the run; None for nobody."""
        self._here = here

    def ask(self, what: str, *arguments: Any) -> Any:
        """Asks the server for what a callback wants."""
        return self._ray.get(self._server.ask.remote(what, *arguments))

    def stop(self, reason: str) -> None:
        """Ends the run for a reason."""
        self._ray.get(self._server.stop.remote(reason))

    def carried_out(self, interrupts: Interrupts) -> Carried:
        """Starts all, and waits for the result."""
        self._start_server()
        for worker in self._workers:
            self._start_worker(worker)
        while True:
            try:
                with interrupts.taken():
                    carried = self._look()
            except KeyboardInterrupt:
                self._server.interrupt.remote()
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
        options: dict[str, Any] = {
            "num_cpus": 0,
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": 3 * self._request.workers + CALLS,
        }
        actor = self._ray.remote(Server).options(**self._with_runtime_env(options))
        self._server = actor.remote(self._settings, self._incarnation, self._request.workers)
        self._server_started, self._server_since_s = self._server.process.remote(), time.monotonic()
        self._carried = self._server.carry_out.remote(self._boxed, self._resume(), self._here is not None)
        self._event = None if self._here is None else self._server.next_event.remote()

    def _resume(self) -> Any:
        """What the server goes on with: at first what the caller said, then the checkpoints, where there are any."""
        checkpoint = self._request.checkpoint
        if self._incarnation and checkpoint is not None and is_checkpoints(checkpoint.path):
            return checkpoint.path
        return self._request.resume

    def _start_worker(self, worker: _Worker) -> None:
        engine, on_gpu = self._engine, self._engine.gpus_per_worker > 0
        options: dict[str, Any] = {
            "num_cpus": engine.cpus_per_worker,
            "num_gpus": engine.gpus_per_worker,
            "max_restarts": 0,
            "max_task_retries": 0,
        }
        actor = self._ray.remote(Worker).options(**self._with_runtime_env(options))
        worker.actor = actor.remote(self._settings, worker.number, on_gpu)
        worker.started, worker.since_s = worker.actor.process.remote(), time.monotonic()
        self._begin(worker)

    def _begin(self, worker: _Worker) -> None:
        """Has a worker begin its loop with the present server."""
        worker.attempt += 1
        worker.loop = worker.actor.work.remote(self._boxed, self._server, self._incarnation, worker.attempt)

    def _with_runtime_env(self, options: dict[str, Any]) -> dict[str, Any]:
        environment = self._engine.runtime_env
        return options if environment is None else options | {"runtime_env": dict(environment)}

    # --- watching

    def _look(self) -> Carried | None:
        """Waits a moment, and sees to what has ended meanwhile."""
        loops = {worker.loop: worker for worker in self._workers if worker.loop is not None}
        starting = [worker.started for worker in self._workers if worker.started is not None]
        if self._server_started is not None:
            starting.append(self._server_started)
        if self._event is not None:
            starting.append(self._event)
        done, _ = self._ray.wait([self._carried, *loops, *starting], num_returns=1, timeout=POLL_S)
        self._note_started(done)
        for reference in done:
            if reference in loops:
                self._see_to_worker(loops[reference])
        if self._carried in done:
            return self._see_to_server()
        if self._event in done:
            self._see_to_event()
        return None

    def _see_to_event(self) -> None:
        here, reference = self._here, self._event
        assert here is not None
        try:
            event = self._ray.get(reference)
        except self._ray.exceptions.RayActorError:
            self._event = None  # that the server died is seen to elsewhere
            return
        self._event = self._server.next_event.remote()
        if event is None:
            return
        error = None
        try:
            error = here.see_to(event)
        except self._ray.exceptions.RayActorError:
            return
        finally:  # also of Ctrl-C: the server waits
            raised = None if error is None else portable(error.error)
            self._server.seen.remote(str(error), raised)

    def _note_started(self, done: list[Any]) -> None:
        limit_s, now = self._engine.start_limit_s, time.monotonic()
        if self._server_started in done:
            self._server_started = None
        for worker in self._workers:
            if worker.started in done:
                worker.started = None
        late = [worker for worker in self._workers if worker.started is not None and now - worker.since_s > limit_s]
        if self._server_started is not None and now - self._server_since_s > limit_s:
            raise RayEngineError(f"the server has not started within {limit_s:g} s; {self._resources()}")
        if late and not self._has_begun:
            names = ", ".join(str(worker.number) for worker in late)
            raise RayEngineError(f"the workers {names} have not started within {limit_s:g} s; {self._resources()}")
        for worker in late:
            why = f"worker {worker.number} has not started anew within {limit_s:g} s; {self._resources()}"
            self._ray.kill(worker.actor)
            self._give_up(worker, why)
        if self._server_started is None and all(worker.started is None for worker in self._workers):
            self._has_begun = True

    def _resources(self) -> str:
        there, free = self._ray.cluster_resources(), self._ray.available_resources()
        engine = self._engine
        return (
            f"each worker reserves {engine.cpus_per_worker:g} CPUs and {engine.gpus_per_worker:g} GPUs, and of "
            f"{there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs {free.get('CPU', 0):g} and "
            f"{free.get('GPU', 0):g} are free"
        )

    def _see_to_worker(self, worker: _Worker) -> None:
        """What to do with a worker whose loop has ended."""
        loop, worker.loop = worker.loop, None
        try:
            how = self._ray.get(loop)
        except self._ray.exceptions.RayActorError:
            worker.started = None
            self._begin_anew(worker)
        except Exception as error:  # as where the request cannot be unpickled there
            self._give_up(worker, f"worker {worker.number} could not begin: {type(error).__name__}: {error}")
        else:
            self._orphaned += how == SERVER_LOST_MEANWHILE
            if how in (SERVER_LOST, SERVER_LOST_MEANWHILE) and not self._server_is_lost():
                self._begin(worker)  # another one has taken its place already

    def _server_is_lost(self) -> bool:
        """Whether the present server has died as well; its end is seen to by itself."""
        done, _ = self._ray.wait([self._carried], timeout=POLL_S)
        return bool(done)

    def _begin_anew(self, worker: _Worker) -> None:
        member = Member(self._incarnation, worker.number, worker.attempt)
        died = f"the process of worker {worker.number} died"
        if self._left == 0:
            self._give_up(worker, f"{died}, and all {self._engine.restarts} restarts were taken")
            return
        self._left -= 1
        self._server.lose.remote(member, died, False)
        self._note(f"worker {worker.number} died and was begun anew")
        self._start_worker(worker)

    def _give_up(self, worker: _Worker, why: str) -> None:
        worker.is_gone, worker.loop, worker.started = True, None, None
        self._note(why)
        self._server.lose.remote(Member(self._incarnation, worker.number, worker.attempt), why, True)

    def _see_to_server(self) -> Carried | None:
        """The result, or None where another server goes on."""
        try:
            return self._ray.get(self._carried)
        except self._ray.exceptions.RayActorError:
            pass
        died = "the server's process died"
        checkpoint = self._request.checkpoint
        if checkpoint is None:
            return self._failed(f"{died}, and without checkpoint= there is nothing to go on from")
        if self._left == 0:
            return self._failed(
                f"{died}, and all {self._engine.restarts} restarts were taken: "
                f"resume={str(checkpoint.folder)!r} goes on with it"
            )
        self._left -= 1
        self._note("the server died and was begun anew from its last checkpoint")
        self._start_server()
        for worker in self._workers:
            if worker.is_gone:
                self._server.lose.remote(Member(self._incarnation, worker.number, worker.attempt), died, True)
            elif worker.loop is None:
                self._begin(worker)
        return None

    def _note(self, event: str) -> None:
        LOGGER.warning("%s", event)
        self._events.append(event)

    def _failed(self, why: str) -> Carried:
        result = failed_result(self._request, describe(self._request.factory), RayEngineError(why))
        return Carried(result, None, [], 0)

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

"""Calls the callbacks of a run, each with a state of its own, and keeps what they raise from costing the run."""

from __future__ import annotations

import collections
import dataclasses
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from jasgd.callbacks.callback import Callback, RunOptions
from jasgd.callbacks.recent_progress import Progress, progress_of
from jasgd.callbacks.run_log import RunLog
from jasgd.callbacks.state import Published, RunState, Source
from jasgd.core.messages import Snapshot
from jasgd.inputs.checks import described
from jasgd.record.result import Outcome, TrainResult
from jasgd.training.interrupts import Interrupts
from jasgd.training.run import Run


class CallbackError(Exception):
    """Raised where a callback raised: ``error`` is what, and the text says in which."""

    def __init__(self, message: str, error: BaseException):
        super().__init__(message)
        self.error = error


class OnProgress(Callback):
    """The short form: a function of :class:`jasgd.Progress`."""

    def __init__(self, function: Callable[[Progress], None]):
        self._function = function

    def on_progress(self, state: RunState) -> None:
        """Calls the function."""
        self._function(state.progress)


def check_callbacks(callbacks: Any, options: RunOptions) -> list[Callback]:
    """Refuses callbacks that are none, or that cannot work in such a run.

    Args:
      callbacks: what the caller passed.
      options: what the run was asked for.

    Returns:
      The callbacks.

    Raises:
      TypeError, ValueError: for what is no sequence of callbacks, and for one that is there twice; and whatever a
        callback's own check raises.
    """
    if isinstance(callbacks, (Callback, str, bytes)) or not hasattr(callbacks, "__iter__"):
        raise TypeError(f"callbacks must be a sequence of jasgd.callbacks.Callback, got {described(callbacks)}")
    several = list(callbacks)
    for callback in several:
        if not isinstance(callback, Callback):
            hint = ": pass an object, not its class" if isinstance(callback, type) else ""
            raise TypeError(f"callbacks must be objects of jasgd.callbacks.Callback, got {described(callback)}{hint}")
    if len({id(callback) for callback in several}) < len(several):
        raise ValueError("callbacks must each be given once, got one of them twice")
    for callback in several:
        callback.check(options)
    return several


class CallbackCalls:
    """Calls the callbacks of a run, in the thread that called ``train``.

    An event calls those callbacks that have a method for it, in their order. One that raises fails the run: the others
    are called all the same, and then CallbackError is raised; later events leave it out, but for the end.

    Args:
      callbacks: see :func:`check_callbacks`.
      on_progress: the short form, or None.
      run: the run.
      options: what it was asked for.
      earlier: what ``evaluate`` gave before this part of the run.

    Attributes:
      evaluations: what it gave in this part so far; its owner appends to it.
    """

    def __init__(
        self,
        callbacks: Sequence[Callback],
        on_progress: Callable[[Progress], None] | None,
        run: Run,
        options: RunOptions,
        earlier: Sequence[dict[str, float]] = (),
    ):
        short = [] if on_progress is None else [OnProgress(on_progress)]
        workers = f"{run.workers} worker{'s' * (run.workers > 1)}"
        self._callbacks = [RunLog(f"{run.name}, {workers}"), *short, *callbacks]
        self._run, self._options, self._earlier = run, options, tuple(earlier)
        self._checkpoint: Path | None = None
        self._saved: collections.deque[tuple[Path, Snapshot]] = collections.deque(maxlen=1)
        self._raised: set[int] = set()  # callbacks that have, by their place
        self._started = False
        self.evaluations: list[dict[str, float]] = []

    def start(self) -> None:
        """Calls ``on_start``, before the clock starts."""
        self._call("on_start", self._published)

    def begin(self) -> None:
        """Notes that the clock has started."""
        self._started = True

    def progress(self) -> None:
        """Calls ``on_progress``."""
        self._call("on_progress", self._published)

    def evaluation(self, snapshot: Snapshot) -> None:
        """Calls ``on_evaluation``.

        Args:
          snapshot: what was evaluated.
        """
        self._call("on_evaluation", lambda: self._trees(snapshot), version=snapshot.version)

    def note_checkpoint(self, folder: Path, snapshot: Snapshot) -> None:
        """Notes a checkpoint for :meth:`checkpoints`; any thread may call it.

        Args:
          folder: where the checkpoint was written.
          snapshot: what it holds.
        """
        self._checkpoint = folder
        if self._with("on_checkpoint"):
            self._saved.append((folder, snapshot))

    def checkpoints(self) -> None:
        """Calls ``on_checkpoint`` for the newest one that was noted since the last call."""
        if self._saved:
            _, snapshot = self._saved.pop()
            self._call("on_checkpoint", lambda: self._trees(snapshot), version=snapshot.version)

    def end(self, result: TrainResult, interrupts: Interrupts) -> TrainResult:
        """Calls ``on_end`` of every callback; Ctrl-C cuts that of one short, and the next is called.

        Args:
          result: of the run.
          interrupts: the context of Ctrl-C that this is called in.

        Returns:
          The result; a failed one where a callback raised.
        """
        version = int(result.execution.metadata.get("params_version", result.execution.commits))
        published = Published(version, result.params, result.opt_state, result.model_state)
        try:
            with interrupts.cut_short():
                self.checkpoints()  # the one at the end
        except CallbackError as failed:
            result = _failed(result, str(failed), failed.error)
        for place in self._with("on_end"):
            callback = self._callbacks[place]
            state = self._state(lambda: published, result=result)
            try:
                with interrupts.cut_short():
                    callback.on_end(state)
            except BaseException as error:  # as those before: the result must not be lost
                result = _failed(result, _message(callback, "on_end", error), error)
            finally:
                state.release()
        return result

    def _call(self, event: str, published: Callable[[], Published], *, version: int | None = None) -> None:
        places = [place for place in self._with(event) if place not in self._raised]
        if not places:
            return
        state = self._state(published, version=version)  # one for all, so that all see the same
        failed: CallbackError | None = None
        try:
            for place in places:
                callback = self._callbacks[place]
                try:
                    getattr(callback, event)(state)
                except KeyboardInterrupt:
                    raise
                except CallbackError as error:  # of a callback in another process, which has its name
                    failed = failed or error
                except BaseException as error:
                    self._raised.add(place)
                    failed = failed or CallbackError(_message(callback, event, error), error)
        finally:
            state.release()
        if failed is not None:
            raise failed from failed.error

    def _with(self, event: str) -> list[int]:
        """Places of the callbacks that do something at an event."""
        nothing = getattr(Callback, event)
        methods = [getattr(callback, event) for callback in self._callbacks]
        return [place for place, method in enumerate(methods) if getattr(method, "__func__", None) is not nothing]

    def _state(
        self, published: Callable[[], Published], *, version: int | None = None, result: TrainResult | None = None
    ) -> RunState:
        run = self._run
        evaluations = [*self._earlier, *self.evaluations]
        progress = progress_of(run.ledger, evaluations)
        if not self._started:
            progress = dataclasses.replace(progress, time_s=run.ledger.offset_s, updates_per_s=0.0)
        if result is not None:
            progress = dataclasses.replace(progress, time_s=result.duration_s)
            version = result.execution.commits
        return RunState(
            Source(run.ledger.recent, published, run.aux.newest, run.phases.newest, self._stop),
            progress,
            version=version,
            steps=self._options.steps,
            time_limit_s=self._options.time_limit_s,
            evaluations=evaluations,
            checkpoint=self._checkpoint,
            result=result,
        )

    def _stop(self, reason: str) -> None:
        self._run.finish(Outcome.STOPPED, reason)

    def _published(self) -> Published:
        return self._trees(self._run.scheme.snapshot())

    def _trees(self, snapshot: Snapshot) -> Published:
        compiled = self._run.compiled
        opt_state = jax.tree.unflatten(compiled.state_structure, snapshot.state)
        return Published(
            snapshot.version,
            compiled.params_of(snapshot.params),
            opt_state,
            compiled.model_state_of(snapshot.params),
        )


def _message(callback: Callback, event: str, error: BaseException) -> str:
    where = "on_progress" if isinstance(callback, OnProgress) else f"{type(callback).__name__}.{event}"
    return f"{where} raised {type(error).__name__}: {error}"


def _failed(result: TrainResult, message: str, error: BaseException) -> TrainResult:
    if result.outcome is Outcome.FAILED:
        return dataclasses.replace(result, message=f"{result.message}; then {message}")
    return dataclasses.replace(
        result,
        outcome=Outcome.FAILED,
        message=f"{message}, at the end of the run: {result.message}",
        error=error,
        traceback="".join(traceback.format_exception(error)),
    )

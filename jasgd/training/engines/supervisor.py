"""The thread that called train(), while the workers work: evaluations on snapshots, callbacks, Ctrl-C."""

from __future__ import annotations

import abc
import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

from jasgd.core.compiled import Leaves
from jasgd.core.messages import Snapshot
from jasgd.record.result import Outcome, StuckWorker
from jasgd.training.callback_calls import CallbackCalls, CallbackError
from jasgd.training.ending import Ending, settle
from jasgd.training.engines.stop_conditions import POLL_S, StopConditions, reaches, target_reached
from jasgd.training.evaluation import Evaluator
from jasgd.training.evaluation_times import EvaluationTimes
from jasgd.training.interrupts import Interrupts
from jasgd.training.run import Run
from jasgd.warning_types import BatchShapesWarning

PROGRESS_S = 0.1  # how often on_progress is called at most
MOST_WRITTEN = 200  # letters of a mini-batch's shapes in a warning
GRACE_S = 1.0  # beyond the longest gradient, until a worker that has not ended is called stuck


@dataclasses.dataclass(frozen=True)
class Conditions:
    """When a run ends, and how often it is evaluated; see the arguments of :func:`jasgd.train`."""

    time_limit_s: float | None
    target_loss: float | None
    evaluate: Callable[[Any], Any] | None
    evaluate_every_s: float | None
    evaluate_every_steps: int | None


class Workers(abc.ABC):
    """The workers of a run, whatever they are: how they start, end, and what is known of one that does not end."""

    def get_ready(self) -> None:  # noqa: B027 (nothing, where they are ready once they are made)
        """Waits until they can work, before the clock starts."""

    @abc.abstractmethod
    def start(self) -> None:
        """Starts all workers; the clock has started."""

    @abc.abstractmethod
    def all_ended(self) -> bool:
        """Whether no worker computes any more."""

    @abc.abstractmethod
    def join(self, limit_s: float) -> None:
        """Waits until the workers have ended, for so many seconds at most."""

    @abc.abstractmethod
    def stuck(self) -> tuple[StuckWorker, ...]:
        """Workers that have not ended, each with the place in the code where it is now."""


class Supervisor:
    """Starts the workers, watches them, ends the run when a stop condition holds, and waits until they have ended.

    Args:
      run: the run.
      conditions: when it ends.
      calls: its callbacks.
      interrupts: the context of Ctrl-C that this is called in.
    """

    def __init__(self, run: Run, conditions: Conditions, calls: CallbackCalls, interrupts: Interrupts):
        self._evaluator = Evaluator(run, conditions.evaluate, needs_loss=conditions.target_loss is not None)
        self._interrupts, self._calls = interrupts, calls
        calls.evaluations = self.evaluations
        self._run, self._ledger, self._conditions = run, run.ledger, conditions
        self._warned = False

    @property
    def evaluations(self) -> list[dict[str, float]]:
        """What ``evaluate`` gave, each with ``time_s`` and ``version``."""
        return self._evaluator.evaluations

    def supervise(self, workers: Workers, initial: Leaves) -> tuple[tuple[StuckWorker, ...], Ending]:
        """Starts the workers, watches until the run is over, and waits for them.

        Args:
          workers: what makes the workers of the run work.
          initial: the parameters that the run began with.

        Returns:
          The workers that did not end, and what the run has come to.
        """
        run, interrupts, conditions = self._run, self._interrupts, self._conditions
        loss_aimed_at = conditions.target_loss if conditions.evaluate is None else None
        stops = StopConditions(run, conditions.time_limit_s, loss_aimed_at, workers.all_ended)
        try:
            with interrupts.taken():
                self._calls.start()
                if run.evaluates_first:  # compiling the first evaluation is not counted
                    self._evaluate(run.scheme.snapshot, time_s=self._ledger.offset_s)
                workers.get_ready()
                self._ledger.start()
                self._calls.begin()
                workers.start()
                stops.start()
                self._watch()
        except KeyboardInterrupt:
            run.interrupt()
        except CallbackError as failed:
            run.finish(Outcome.FAILED, str(failed), failed.error)
        except BaseException as error:
            run.finish(Outcome.FAILED, f"{type(error).__name__} while the workers were watched: {error}", error)
        try:
            with interrupts.taken():
                workers.join(GRACE_S + 2 * max(run.longest_s))
                stops.join()
        except KeyboardInterrupt:
            run.interrupt()
            ending = settle(run, initial)
        else:
            ending = settle(run, initial)
            try:
                with interrupts.taken():
                    self._close(ending)
            except KeyboardInterrupt:  # what is left of the end is left out
                run.interrupt()
        return workers.stuck(), ending

    def _close(self, ending: Ending) -> None:
        """The last evaluation and the last report."""
        run = self._run
        try:
            if run.outcome in (Outcome.FINISHED, Outcome.CONVERGED, Outcome.STOPPED) and ending.snapshot is not None:
                newest = ending.snapshot
                if run.evaluates_first or newest.version > self._ledger.first_version:  # else it was, before
                    self._evaluate(lambda: newest._replace(params=ending.given.params))
                run.message += self._evaluator.oddities()
            self._calls.progress()
            self._warn_of_shapes()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if run.outcome is not Outcome.FAILED:  # the first error is the one that is reported
                run.outcome, run.error = Outcome.FAILED, error.error if isinstance(error, CallbackError) else error
                what = str(error) if isinstance(error, CallbackError) else f"{type(error).__name__}: {error}"
                run.message = f"{what}, at the end of the run"

    def _watch(self) -> None:
        run, next_report = self._run, 0.0
        times = EvaluationTimes(
            self._conditions.evaluate_every_s, self._conditions.evaluate_every_steps, self._ledger.first_version
        )
        times.evaluated(self._ledger.offset_s, self._ledger.first_version)
        while True:
            with self._interrupts.taken():  # anew each time, as a callback may have taken the last Ctrl-C for itself
                if run.over.wait(POLL_S):
                    return
                now = self._ledger.now()
                if self._conditions.evaluate is not None and times.is_due(now, self._ledger.newest_version):
                    self._evaluate(run.scheme.snapshot)
                    times.evaluated(self._ledger.now(), int(self.evaluations[-1]["version"]))
                self._calls.checkpoints()
                self._warn_of_shapes()
                if now >= next_report:
                    self._calls.progress()
                    next_report = now + PROGRESS_S

    def _evaluate(self, snapshot_of: Callable[[], Snapshot], *, time_s: float | None = None) -> None:
        """Evaluates a snapshot, and tells the callbacks.

        Args:
          snapshot_of: gives the snapshot.
          time_s: what counts as its time, where that is not now.
        """
        if self._conditions.evaluate is None:
            return
        snapshot = snapshot_of()
        self._evaluator.evaluate(lambda: snapshot)
        if time_s is not None:
            self.evaluations[-1]["time_s"] = time_s
        target = self._conditions.target_loss
        if target is not None and reaches(self._evaluator.loss, target):
            self._run.finish(Outcome.CONVERGED, target_reached(target))
        self._calls.evaluation(snapshot)

    def _warn_of_shapes(self) -> None:
        """Says once that mini-batches change their shapes, since each new one is compiled on the run's clock."""
        if self._warned or len(shapes := list(self._run.compiled.batch_shapes)) < 2:
            return
        self._warned = True
        first, other = (text if len(text) <= MOST_WRITTEN else text[:MOST_WRITTEN] + "…" for text in shapes[:2])
        warnings.warn(
            f"batches are of {len(shapes)} shapes so far: the first is {first}, another {other}. The gradient is "
            f"compiled for each new shape, while the run goes on; pad the batches to one shape, or drop a smaller last "
            f"one",
            BatchShapesWarning,
            stacklevel=7,  # the caller of train
        )

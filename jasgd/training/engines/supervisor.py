"""The thread that called train(), while the workers work: stop conditions, evaluation on snapshots, progress."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any

from jasgd.core.compiled import Leaves
from jasgd.record.result import Outcome, StuckWorker
from jasgd.training.ending import Ending, settle
from jasgd.training.engines.threads import WorkerThreads
from jasgd.training.evaluation import Evaluator
from jasgd.training.evaluation_times import EvaluationTimes
from jasgd.training.interrupts import Interrupts
from jasgd.training.progress import RECENT, Progress, progress_of
from jasgd.training.run import Run

POLL_S = 0.02  # how often stop conditions are looked at
PROGRESS_S = 0.1  # how often on_progress is called at most
MOST_WRITTEN = 200  # letters of a mini-batch's shapes in a warning
GRACE_S = 1.0  # beyond the longest gradient, until a worker that has not ended is called stuck


@dataclasses.dataclass(frozen=True)
class Conditions:
    """When a run ends, and what is called while it goes on; see the arguments of :func:`jasgd.train`."""

    time_limit_s: float | None
    target_loss: float | None
    evaluate: Callable[[Any], Any] | None
    evaluate_every_s: float | None
    evaluate_every_steps: int | None
    on_progress: Callable[[Progress], None] | None


class Supervisor:
    """Starts the workers, watches them, ends the run when a stop condition holds, and waits until they have ended.

    Args:
      run: the run.
      conditions: when it ends.
      interrupts: the context of Ctrl-C that this is called in.
    """

    def __init__(self, run: Run, conditions: Conditions, interrupts: Interrupts):
        self._evaluator = Evaluator(run, conditions.evaluate, needs_loss=conditions.target_loss is not None)
        self._interrupts = interrupts
        self._run, self._ledger, self._conditions = run, run.ledger, conditions
        self._warned = False

    @property
    def evaluations(self) -> list[dict[str, float]]:
        """What ``evaluate`` gave, each with ``time_s`` and ``version``."""
        return self._evaluator.evaluations

    def supervise(self, workers: WorkerThreads, initial: Leaves) -> tuple[tuple[StuckWorker, ...], Ending]:
        """Starts the workers, watches until the run is over, and waits for them.

        Args:
          workers: what makes the workers of the run work.
          initial: the parameters that the run began with.

        Returns:
          The workers that did not end, and what the run has come to.
        """
        run, interrupts = self._run, self._interrupts
        try:
            with interrupts.taken():
                self._evaluator.evaluate(run.scheme.snapshot)
                for evaluation in self.evaluations:
                    evaluation["time_s"] = 0.0  # compiling the first evaluation is not counted
                self._ledger.start()
                workers.start()
                self._watch(workers)
        except KeyboardInterrupt:
            run.interrupt()
        except BaseException as error:
            run.finish(Outcome.FAILED, f"{type(error).__name__} while the workers were watched: {error}", error)
        try:
            with interrupts.taken():
                workers.join(GRACE_S + 2 * max(run.longest_s))
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
                self._evaluator.evaluate(lambda: newest._replace(params=ending.given.params))
                run.message += self._evaluator.oddities()
            self._report()
            self._warn_of_shapes()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if run.outcome is not Outcome.FAILED:  # the first error is the one that is reported
                run.outcome, run.error = Outcome.FAILED, error
                run.message = f"{type(error).__name__} at the end of the run: {error}"

    def _watch(self, workers: WorkerThreads) -> None:
        run, limit_s, next_report = self._run, self._conditions.time_limit_s, 0.0
        begun = int(self.evaluations[-1]["version"]) if self.evaluations else 0
        times = EvaluationTimes(self._conditions.evaluate_every_s, self._conditions.evaluate_every_steps, begun)
        while True:
            with self._interrupts.taken():  # anew each time, as a callback may have taken the last Ctrl-C for itself
                if run.over.wait(POLL_S):
                    return
                now = self._ledger.now()
                if workers.all_ended():
                    run.finish(Outcome.FAILED, "every worker ended, as the scheme took no more gradients", None)
                    return
                if limit_s is not None and now >= limit_s:
                    run.finish(Outcome.FINISHED, f"the time limit of {limit_s:g} s was reached")
                    return
                if self._conditions.evaluate is not None and times.is_due(now, self._ledger.version):
                    self._evaluator.evaluate(run.scheme.snapshot)
                    times.evaluated(self._ledger.now(), int(self.evaluations[-1]["version"]))
                self._check_target()
                self._warn_of_shapes()
                if now >= next_report:
                    self._report()
                    next_report = now + PROGRESS_S

    def _check_target(self) -> None:
        target = self._conditions.target_loss
        if target is None:
            return
        if self._conditions.evaluate is not None:
            reached = -math.inf < self._evaluator.loss <= target  # a loss of -inf is none that was aimed at
        else:
            losses = self._ledger.recent(RECENT)["loss"]
            reached = len(losses) == RECENT and -math.inf < float(losses.mean()) <= target
        if reached:
            self._run.finish(Outcome.CONVERGED, f"the target loss of {target:g} was reached")

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
            RuntimeWarning,
            stacklevel=5,  # the caller of train
        )

    def _report(self) -> None:
        if self._conditions.on_progress is not None:
            self._conditions.on_progress(progress_of(self._ledger, self.evaluations))

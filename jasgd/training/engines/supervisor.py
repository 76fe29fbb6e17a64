"""The thread that called train(), while the workers work: stop conditions, evaluation on snapshots, progress."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import jax

from jasgd.core.compiled import Compiled
from jasgd.core.ledger import Ledger
from jasgd.jax_settings import inherited
from jasgd.record.evaluations import named_numbers
from jasgd.record.result import Outcome, StuckWorker
from jasgd.training.engines.worker import work
from jasgd.training.run import Run

POLL_S = 0.02  # how often stop conditions are looked at
PROGRESS_S = 0.1  # how often on_progress is called at most
RECENT = 100  # applied gradients that progress and target_loss average over
GRACE_S = 1.0  # beyond the longest gradient, until a worker that has not ended is called stuck


@dataclasses.dataclass(frozen=True)
class Progress:
    """The state of a run while it goes on; means are over the last 100 applied gradients."""

    updates: int
    time_s: float
    updates_per_s: float  # since the start
    loss: float
    mean_staleness: float  # in updates
    mean_factor: float
    dropped: int
    evaluation: dict[str, float] | None  # the last one


class Supervisor:
    """Starts the workers, watches over them, ends the run when a stop condition holds, and gathers them in."""

    def __init__(
        self,
        run: Run,
        ledger: Ledger,
        compiled: Compiled,
        time_limit_s: float | None,
        target_loss: float | None,
        evaluate: Callable[[Any], Any] | None,
        evaluate_every_s: float,
        on_progress: Callable[[Progress], None] | None,
    ):
        self.run, self.ledger, self.compiled = run, ledger, compiled
        self.time_limit_s, self.target_loss = time_limit_s, target_loss
        self.evaluate, self.evaluate_every_s, self.on_progress = evaluate, evaluate_every_s, on_progress
        self.evaluations: list[dict[str, float]] = []
        self.gone: list[threading.Event] = []  # which workers have ended

    def supervise(self, workers: int, device: Any) -> tuple[StuckWorker, ...]:
        """Starts the workers, watches until the run is over, and gathers them in."""
        run, self.gone = self.run, [threading.Event() for _ in range(workers)]

        settings = inherited()

        def body(worker: int) -> None:
            with settings(), contextlib.nullcontext() if device is None else jax.default_device(device):
                work(worker, run, self.gone[worker].set)

        threads = [
            threading.Thread(target=body, args=(w,), name=f"jasgd-worker-{w}", daemon=True) for w in range(workers)
        ]
        try:
            self._evaluate()
            for evaluation in self.evaluations:
                evaluation["time_s"] = 0.0  # compiling the first evaluation is not counted
            self.ledger.start()
            for thread in threads:
                thread.start()
            self._watch()
        except KeyboardInterrupt:
            run.finish(Outcome.STOPPED, "stopped by Ctrl-C")
        except BaseException as error:
            run.finish(Outcome.FAILED, f"{type(error).__name__} while the workers were watched: {error}", error)
        try:
            self._gather(threads)
            self._close()
        except KeyboardInterrupt:
            # While the run was ending: what is left of that is left out.
            if run.outcome in (Outcome.FINISHED, Outcome.CONVERGED):
                run.outcome, run.message = Outcome.STOPPED, f"{run.message}, then stopped by Ctrl-C"
        return tuple(_stuck(w, t) for w, t in enumerate(threads) if t.is_alive())

    def _gather(self, threads: list[threading.Thread]) -> None:
        deadline = time.perf_counter() + GRACE_S + 2 * self.run.longest_gradient_s
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.perf_counter()))

    def _close(self) -> None:
        """The last evaluation and the last report."""
        run = self.run
        try:
            if run.outcome in (Outcome.FINISHED, Outcome.CONVERGED, Outcome.STOPPED):
                self._evaluate()
            self._report()
        except Exception as error:
            if run.outcome is not Outcome.FAILED:  # the first error is the one that is told
                run.outcome, run.error = Outcome.FAILED, error
                run.message = f"{type(error).__name__} at the end of the run: {error}"

    def _watch(self) -> None:
        run, next_evaluation, next_report = self.run, self.evaluate_every_s, 0.0
        while not run.over.wait(POLL_S):
            now = self.ledger.now()
            if all(event.is_set() for event in self.gone):
                run.finish(Outcome.FAILED, "every worker ended, as the scheme took no more gradients", None)
                return
            if self.time_limit_s is not None and now >= self.time_limit_s:
                run.finish(Outcome.FINISHED, f"the time limit of {self.time_limit_s:g} s was reached")
                return
            if self.evaluate is not None and now >= next_evaluation:
                self._evaluate()
                next_evaluation = self.ledger.now() + self.evaluate_every_s
            self._check_target()
            if now >= next_report:
                self._report()
                next_report = now + PROGRESS_S

    def _check_target(self) -> None:
        if self.target_loss is None:
            return
        if self.evaluate is not None:
            reached = bool(self.evaluations) and self.evaluations[-1]["loss"] <= self.target_loss
        else:
            losses = self.ledger.recent(RECENT)["loss"]
            reached = len(losses) == RECENT and float(losses.mean()) <= self.target_loss
        if reached:
            self.run.finish(Outcome.CONVERGED, f"the target loss of {self.target_loss:g} was reached")

    def _evaluate(self) -> None:
        if self.evaluate is None:
            return
        snapshot = self.run.scheme.snapshot()
        time_s = self.ledger.now()
        told = self.evaluate(jax.tree.unflatten(self.compiled.params_structure, snapshot.params))
        numbers = named_numbers(told, {"time_s", "version"})
        if "loss" not in numbers and self.target_loss is not None:
            raise ValueError(f"evaluate must give a 'loss' for target_loss to be reached, got {sorted(numbers)}")
        self.evaluations.append({"time_s": time_s, "version": snapshot.version, **numbers})

    def _report(self) -> None:
        if self.on_progress is None:
            return
        rows, now = self.ledger.recent(RECENT), self.ledger.now()
        updates = int(rows["version"].max()) + 1 if len(rows) else 0

        def mean(column: str) -> float:
            return float(rows[column].mean()) if len(rows) else math.nan

        self.on_progress(
            Progress(
                updates=updates,
                time_s=now,
                updates_per_s=updates / max(now, 1e-9),
                loss=mean("loss"),
                mean_staleness=mean("staleness"),
                mean_factor=mean("factor"),
                dropped=self.ledger.counts[1],
                evaluation=self.evaluations[-1] if self.evaluations else None,
            )
        )


def _stuck(worker: int, thread: threading.Thread) -> StuckWorker:
    frame = sys._current_frames().get(thread.ident or -1)
    return StuckWorker(worker, "".join(traceback.format_stack(frame)) if frame is not None else "")

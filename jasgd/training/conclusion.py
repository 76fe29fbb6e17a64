"""Builds the result of a run when its workers have ended."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import numpy as np

from jasgd.core.compiled import Leaves
from jasgd.record.checkpoints.segments import Segment
from jasgd.record.execution import Execution, ExecutionError
from jasgd.record.result import Outcome, StuckWorker, TrainResult
from jasgd.record.timings import PHASES
from jasgd.record.trees import digest
from jasgd.training.ending import Ending, described_divergence
from jasgd.training.run import NOT_FINITE, Run


@dataclasses.dataclass(frozen=True)
class Before:
    """What is known of a run up to its last checkpoint, or to where it was gone on with.

    Attributes:
      sealed: rows, and what belongs to them; None where none were sealed.
      counters: what schemes counted, up to where the run was gone on with.
      unfinished: versions that commits claimed and did not finish, likewise.
    """

    sealed: Segment | None = None
    counters: Mapping[str, int] = dataclasses.field(default_factory=dict)
    unfinished: Collection[int] = ()

    @property
    def rows(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Of applied and of dropped gradients."""
        return None if self.sealed is None else (self.sealed.applied, self.sealed.dropped)

    def durations(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Tickets, and how long the phases of each took, in columns; None where that was not kept."""
        sealed = self.sealed
        if sealed is None or not sealed.timings:
            return None
        tables = (sealed.applied, ""), (sealed.dropped, "dropped.")
        columns = [np.stack([sealed.timings[prefix + name] for name in PHASES], axis=1) for _, prefix in tables]
        return np.concatenate([rows["ticket"] for rows, _ in tables]), np.concatenate(columns)


def conclude(
    run: Run,
    initial: Leaves | None,
    metadata: dict[str, Any],
    evaluations: list[dict[str, float]],
    stuck: tuple[StuckWorker, ...],
    ending: Ending,
    before: Before,
) -> TrainResult:
    """The result of a run whose workers have ended.

    Args:
      run: the run.
      initial: the leaves that it began with; None where they are not known any more.
      metadata: what the execution records besides; completed here.
      evaluations: what ``evaluate`` gave.
      stuck: workers that did not end.
      ending: what the run has come to.
      before: what is known of the run up to its last checkpoint, or to where it was gone on with.

    Returns:
      The result.
    """
    compiled, snapshot, given = run.compiled, ending.snapshot, ending.given
    state = () if snapshot is None else snapshot.state
    _asked(run, run.scheme.note_in_flight)
    if unfinished := sorted({*before.unfinished, *(_asked(run, lambda: run.scheme.unfinished) or ())}):
        metadata["unfinished"] = unfinished
    if (shapes := len(compiled.batch_shapes)) > 1:  # each was compiled while the run went on
        metadata |= {"batch_shapes": shapes, "batch_shapes_waited_s": run.new_shapes.waited_s}
    counters = dict(before.counters)
    for name, count in dict(_asked(run, lambda: run.scheme.counters) or {}).items():
        counters[name] = count + counters.get(name, 0)
    if snapshot is None or run.outcome is Outcome.DIVERGED or given.version != snapshot.version:
        metadata["params_version"] = given.version
    if run.outcome is Outcome.DIVERGED:
        metadata["divergence"] = described_divergence(run)
    given_params, given_model_state = compiled.parted(given.params)
    metadata |= {"final_params": digest(given_params), "final_opt_state": digest(state)}
    if compiled.model_state is not None:
        metadata["final_model_state"] = digest(given_model_state)
    execution = run.ledger.execution(metadata, before.rows)
    if before.sealed is not None:
        sealed = before.sealed
        run.aux.earlier = sealed.applied["ticket"], sealed.aux
        run.phases.earlier = before.durations()
    if run.outcome is not Outcome.FAILED and not stuck:  # else the row of a commit that was under way may be missing
        try:
            execution.validate()
        except ExecutionError as error:
            run.outcome, run.error = Outcome.FAILED, error
            run.message = f"the scheme {run.name!r} has recorded what cannot have happened: {error}; {run.message}"
    message = (
        run.message
        + _left_out(run, execution)
        + _late(run)
        + "".join(f"; worker {w.worker} could not be stopped" for w in stuck)
    )
    return TrainResult(
        params=compiled.params_of(given.params),
        opt_state=None if snapshot is None else jax.tree.unflatten(compiled.state_structure, state),
        execution=execution,
        outcome=run.outcome or Outcome.FAILED,
        message=message,
        evaluations=evaluations,
        aux=run.aux.of(execution.ticket),
        counters=counters,
        duration_s=float(execution.time_s.max()) if len(execution) else 0.0,
        error=run.error,
        traceback="".join(traceback.format_exception(run.error)) if run.error is not None else "",
        stuck=stuck,
        initial_params=None if initial is None else compiled.params_of(initial),
        timings=run.phases.columns(execution),
        model_state=compiled.model_state_of(given.params),
        initial_model_state=None if initial is None else compiled.model_state_of(initial),
    )


def _asked(run: Run, of_scheme: Callable[[], Any]) -> Any:
    """What a scheme says at the end; one that raises fails the run, and loses nothing but that."""
    try:
        return of_scheme()
    except Exception as error:
        if run.outcome is not Outcome.FAILED:
            run.outcome, run.error = Outcome.FAILED, error
            run.message = f"the scheme {run.name!r} raised {_words(error)}, when asked at the end; {run.message}"
        return None


def _left_out(run: Run, execution: Execution) -> str:
    """Says how many gradients of the epochs' last round were not applied, as there were fewer of them than workers."""
    if run.outcome is not Outcome.FINISHED or run.epochs is None or not run.scheme.needs_every_worker:
        return ""
    tickets = run.epochs.tickets - execution.metadata.get("first_ticket", 0)
    left = tickets - len(execution) - len(execution.dropped)
    which = "the last one was" if left == 1 else f"the last {left} were"
    return f", of which {which} not applied: a round needs {run.workers}" if left > 0 else ""


def _late(run: Run) -> str:
    """What went wrong when the run had ended already, as a sentence to go on with."""
    known = {_words(run.error)} if run.error is not None else set()
    if run.outcome in (Outcome.DIVERGED, Outcome.FAILED):
        known.add("")  # in these, further losses say nothing new
    text = ""
    for message, error in list(run.late):
        if _words(error) not in known and message != NOT_FINITE:
            known.add(_words(error))  # all workers may have raised the same
            text += f"; after it had ended, {message}"
            run.error = run.error or error
    return text


def _words(error: BaseException | None) -> str:
    return "" if error is None else f"{type(error).__name__}: {error}"

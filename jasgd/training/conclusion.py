"""Builds the result of a run when its workers have ended."""

from __future__ import annotations

import traceback
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.core.admission import aux_names
from jasgd.core.compiled import Leaves
from jasgd.core.messages import Snapshot, View
from jasgd.core.scheme import NativeScheme
from jasgd.record.execution import ExecutionError
from jasgd.record.result import Outcome, StuckWorker, TrainResult
from jasgd.record.trees import digest
from jasgd.training.run import Run


def conclude(
    run: Run,
    initial: Leaves,
    metadata: dict[str, Any],
    evaluations: list[dict[str, float]],
    stuck: tuple[StuckWorker, ...],
) -> TrainResult:
    """The result of a run whose workers have ended.

    Args:
      run: the run.
      initial: the parameters that it began with.
      metadata: what the execution records besides; completed here.
      evaluations: what ``evaluate`` gave.
      stuck: workers that did not end.

    Returns:
      The result.
    """
    compiled, has_state = run.compiled, True
    if isinstance(run.scheme, NativeScheme) and (view := run.scheme.good()) is not None:
        run.note_good(view)
    try:
        snapshot = run.scheme.snapshot()
    except Exception as error:  # an update that failed half-way may have left nothing to read
        if run.outcome is not Outcome.FAILED:
            run.outcome, run.message, run.error = Outcome.FAILED, f"reading the parameters raised {error}", error
        run.message += "; the optimizer state is lost with it"
        good = run.good or View(0, initial)
        metadata["params_version"] = good.version
        snapshot, has_state = Snapshot(good.version, good.params, ()), False
    leaves = snapshot.params
    run.scheme.note_in_flight()
    if unfinished := sorted(run.scheme.unfinished):
        metadata["unfinished"] = unfinished
    if run.outcome is Outcome.DIVERGED and run.good is not None:
        leaves = tuple(jnp.asarray(np.array(leaf)) for leaf in run.good.params)
        metadata["params_version"] = run.good.version
    if (shapes := len(compiled.batch_shapes)) > 1:  # each was compiled while the run went on
        metadata["batch_shapes"] = shapes
    metadata |= {"final_params": digest(leaves), "final_opt_state": digest(snapshot.state)}
    execution = run.ledger.execution(metadata)
    if run.outcome is not Outcome.FAILED and not stuck:  # else the row of a commit that was under way may be missing
        try:
            execution.validate()
        except ExecutionError as error:
            run.outcome, run.error = Outcome.FAILED, error
            run.message = f"the scheme {run.name!r} has recorded what cannot have happened: {error}; {run.message}"
    message = run.message + "".join(f"; worker {w.worker} could not be stopped" for w in stuck)
    return TrainResult(
        params=jax.tree.unflatten(compiled.params_structure, leaves),
        opt_state=jax.tree.unflatten(compiled.state_structure, snapshot.state) if has_state else None,
        execution=execution,
        outcome=run.outcome or Outcome.FAILED,
        message=message,
        evaluations=evaluations,
        aux=_aux_columns(run.aux, execution.ticket),
        counters=dict(run.scheme.counters),
        duration_s=float(execution.time_s.max()) if len(execution) else 0.0,
        error=run.error,
        traceback="".join(traceback.format_exception(run.error)) if run.error is not None else "",
        stuck=stuck,
        initial_params=jax.tree.unflatten(compiled.params_structure, initial),
        timings=run.phases.columns(execution),
    )


def _aux_columns(aux: dict[int, Any], tickets: np.ndarray) -> dict[str, np.ndarray]:
    # A scheme at fault may have written tickets that no worker drew; the validation of the execution says so.
    if not len(tickets) or not all(int(ticket) in aux for ticket in tickets):
        return {}
    names = aux_names(aux[int(tickets[0])])
    rows = [[np.asarray(leaf) for leaf in jax.tree.leaves(aux[int(ticket)])] for ticket in tickets]
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}

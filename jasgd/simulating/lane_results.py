"""The result of a simulated run, from the outputs of its scan."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from jasgd.core.admission import aux_names
from jasgd.core.compiled import Leaves
from jasgd.record.environment import describe_dtypes, describe_environment
from jasgd.record.execution import Execution
from jasgd.record.result import Outcome, TrainResult
from jasgd.record.trees import digest
from jasgd.record.truncation import truncated
from jasgd.simulating.preparation import Lane, SimulationTask
from jasgd.simulating.scan import StepOutputs
from jasgd.simulating.schedule import NOTHING


def with_rows(lane: Lane, outputs: StepOutputs) -> tuple[Execution, Any]:
    """The execution with the losses and factors of its rows, and their aux."""
    plan, ex = lane.plan, lane.execution
    computes, commits = np.flatnonzero(plan.row != NOTHING), np.flatnonzero(plan.version != NOTHING)
    of_row = computes[np.argsort(plan.row[computes])]  # the step of each row
    factor = np.full(ex.commits, np.nan, np.float32)
    factor[plan.version[commits]] = outputs.factor[commits]
    aux = None if outputs.aux is None else jax.tree.map(lambda leaf: leaf[of_row], outputs.aux)
    return ex.replaced(loss=outputs.loss[of_row], factor=factor[ex.version]), aux


def first_nonfinite(execution: Execution) -> int | None:
    """The first row whose loss is not finite, or None."""
    rows = np.flatnonzero(~np.isfinite(execution.loss))
    return int(rows[0]) if len(rows) else None


def good_version(execution: Execution, row: int) -> int:
    """The newest version that a finite loss was computed on before that row's commit."""
    before = execution.version < execution.version[row]
    return int(execution.version_read[before & np.isfinite(execution.loss)].max(initial=0))


def lane_result(
    task: SimulationTask,
    lane: Lane,
    computed: tuple[Execution, Any],
    bad: int | None,
    good: int,
    end: tuple[Leaves, Leaves],
    evaluations: list[dict[str, float]],
) -> TrainResult:
    """The result of a simulated run.

    Args:
      task: what it has in common with others.
      lane: the run.
      computed: the execution with losses and factors, and the aux of its rows.
      bad: its first row whose loss is not finite, or None.
      good: the newest version that a finite loss was computed on before that.
      end: parameters and optimizer state at the end.
      evaluations: with ``time_s`` and ``version``.

    Returns:
      The result; of a run that diverged without what came from that row on.
    """
    (execution, aux), (params, state), compiled = computed, end, task.program.compiled
    outcome, message = Outcome.FINISHED, f"all {execution.commits} steps were taken"
    more: dict[str, Any] = {}
    if bad is not None:
        outcome = Outcome.DIVERGED
        message = (
            f"the loss at version {execution.version_read[bad]} (ticket {execution.ticket[bad]}, worker "
            f"{execution.worker[bad]}) is {execution.loss[bad]}"
        )
        commits = int(execution.version[bad])
        kept = execution.version < commits
        aux = None if aux is None else jax.tree.map(lambda leaf: leaf[kept], aux)
        execution, more = truncated(execution, commits), {"params_version": good}
    # Where a recorded run that diverged took its parameters from does not hold for these.
    recorded = {name: value for name, value in execution.metadata.items() if name != "params_version"}
    metadata = recorded | {
        "seed": lane.seed,
        "step_size": lane.step_size,
        "initial_params": digest(lane.params),
        "initial_opt_state": digest(lane.state),
        "environment": describe_environment(task.device),
        "has_aux": compiled.has_aux,
        "dtypes": describe_dtypes(params=lane.params, opt_state=lane.state, batch=task.example_batch),
        "simulated": True,
        "final_params": digest(params),
        "final_opt_state": digest(state),
        **more,
    }
    columns = {}
    if aux is not None:
        columns = dict(zip(aux_names(aux), jax.tree.leaves(aux), strict=True))
    return TrainResult(
        params=jax.tree.unflatten(compiled.params_structure, params),
        opt_state=jax.tree.unflatten(compiled.state_structure, state),
        execution=dataclasses.replace(execution, metadata=metadata),
        outcome=outcome,
        message=message,
        evaluations=evaluations,
        aux=columns,
        counters={},
        duration_s=float(execution.time_s.max()) if len(execution) else 0.0,
        initial_params=jax.tree.unflatten(compiled.params_structure, lane.params),
    )

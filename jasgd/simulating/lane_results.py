"""The result of a simulated run, from the outputs of its scan."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from jasgd.core.admission import aux_names
from jasgd.core.compiled import Leaves
from jasgd.core.health import NonFiniteCommit
from jasgd.model_state.merging import described_merge
from jasgd.record.environment import describe_dtypes, describe_environment
from jasgd.record.execution import Execution
from jasgd.record.result import Outcome, TrainResult
from jasgd.record.trees import digest
from jasgd.record.truncation import truncated
from jasgd.simulating.preparation import Lane, SimulationTask
from jasgd.simulating.scan import StepOutputs
from jasgd.simulating.schedule import NOTHING


@dataclasses.dataclass(frozen=True)
class Divergence:
    """How a run came not to be finite.

    Attributes:
      commits: that are kept of it.
      good: the newest version of those that a finite loss was computed on.
      message: what happened, in a sentence.
      recorded: the same for the metadata of the execution.
    """

    commits: int
    good: int
    message: str
    recorded: dict[str, Any]


def by_loss(execution: Execution, row: int) -> Divergence:
    """A loss is not finite: that of a row, before whose commit the run ends."""
    found = {name: int(getattr(execution, name)[row]) for name in ("version_read", "ticket", "worker")}
    loss, commits = str(execution.loss[row]), int(execution.version[row])
    message = (
        f"the loss at version {found['version_read']} (ticket {found['ticket']}, worker {found['worker']}) is {loss}"
    )
    return Divergence(commits, _good_version(execution, commits), message, found | {"loss": loss})


def by_commit(execution: Execution, version: int, leaf: int, paths: list[str]) -> Divergence:
    """A commit has made parameters that are not finite; it is the last of the run."""
    rows = np.flatnonzero(execution.version == version)
    of = (int(execution.worker[rows[0]]), int(execution.ticket[rows[0]])) if len(rows) == 1 else (-1, -1)
    commit, good = NonFiniteCommit(version, leaf, True, *of), _good_version(execution, version + 1)
    return Divergence(version + 1, good, commit.describe(paths), commit.recorded(paths))


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


def _good_version(execution: Execution, commits: int) -> int:
    """The newest version that a finite loss was computed on in the first commits."""
    before = execution.version < commits
    return int(execution.version_read[before & np.isfinite(execution.loss)].max(initial=0))


def lane_result(
    task: SimulationTask,
    lane: Lane,
    computed: tuple[Execution, Any],
    divergence: Divergence | None,
    end: tuple[Leaves, Leaves],
    evaluations: list[dict[str, float]],
) -> TrainResult:
    """The result of a simulated run.

    Args:
      task: what it has in common with others.
      lane: the run.
      computed: the execution with losses and factors, and the aux of its rows.
      divergence: how it came not to be finite, or None.
      end: leaves of parameters and model state, and of the optimizer state, at the end.
      evaluations: with ``time_s`` and ``version``.

    Returns:
      The result; of a run that diverged without what came after that.
    """
    (execution, aux), (params, state), compiled = computed, end, task.program.compiled
    outcome, message = Outcome.FINISHED, f"all {execution.commits} steps were taken"
    more: dict[str, Any] = {}
    if divergence is not None:
        outcome, message, commits = Outcome.DIVERGED, divergence.message, divergence.commits
        kept = execution.version < commits
        aux = None if aux is None else jax.tree.map(lambda leaf: leaf[kept], aux)
        execution = truncated(execution, commits)
        more = {"params_version": divergence.good, "divergence": divergence.recorded}
    # How a recorded run diverged, and where it took its parameters from, does not hold for these.
    recorded = {k: value for k, value in execution.metadata.items() if k not in ("params_version", "divergence")}
    (initial, initial_state), (params, model_state) = compiled.parted(lane.params), compiled.parted(params)
    for name in ("initial_model_state", "final_model_state", "merge", "accumulate"):
        recorded.pop(name, None)
    if compiled.accumulate > 1:
        more["accumulate"] = compiled.accumulate
    if (about := compiled.model_state) is not None:
        more |= {"initial_model_state": digest(initial_state), "final_model_state": digest(model_state)}
        more["merge"] = described_merge(about.merge)
    metadata = recorded | {
        "seed": lane.seed,
        "learning_rate": lane.learning_rate,
        "initial_params": digest(initial),
        "initial_opt_state": digest(lane.state),
        "environment": describe_environment(task.device),
        "has_aux": compiled.has_aux,
        "dtypes": describe_dtypes(params=initial, opt_state=lane.state, batch=task.example_batch)
        | ({} if about is None else describe_dtypes(model_state=initial_state)),
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
        initial_params=jax.tree.unflatten(compiled.params_structure, initial),
        model_state=compiled.model_state_of(end[0]),
        initial_model_state=compiled.model_state_of(lane.params),
    )

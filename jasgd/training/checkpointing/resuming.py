"""Where a run begins: anew, or where another one has stopped, as its checkpoints or its result tell."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.core.compiled import Compiled, Leaves
from jasgd.record.checkpoints.history import History
from jasgd.record.checkpoints.layout import MODEL_STATE, OPT_STATE, PARAMS
from jasgd.record.checkpoints.options import Checkpoints
from jasgd.record.checkpoints.reading import is_checkpoints, newest
from jasgd.record.checkpoints.segments import Segment
from jasgd.record.checkpoints.state import SavedState
from jasgd.record.execution import COLUMNS, Execution, row_dtype
from jasgd.record.result import Outcome, TrainResult
from jasgd.record.saving.manifest import located
from jasgd.record.saving.ownership import entries_of
from jasgd.record.trees import put_into

LOGGER = logging.getLogger("jasgd.resume")


def check_resume(resume: Any, checkpoint: Any) -> None:
    """Raises the TypeError of arguments that are neither checkpoints nor something to go on with."""
    if not isinstance(resume, (str, os.PathLike, TrainResult, type(None))):
        raise TypeError(f"resume must be a folder or a TrainResult, got {type(resume).__name__}")
    if not isinstance(checkpoint, (Checkpoints, type(None))):
        hint = f": jasgd.Checkpoints({checkpoint!r})" if isinstance(checkpoint, (str, os.PathLike)) else ""
        raise TypeError(f"checkpoint must be a jasgd.Checkpoints, got {type(checkpoint).__name__}{hint}")


def trees_of(compiled: Compiled, leaves: Leaves, state: Leaves | None = None) -> dict[str, Any]:
    """What schemes share as pytrees, by the name of the file that each is saved in.

    Args:
      compiled: the traced functions.
      leaves: of the parameters, and of what else the scheme shares.
      state: of the optimizer state; None to leave it out.

    Returns:
      The pytrees.
    """
    trees = {PARAMS: compiled.params_of(leaves)}
    if compiled.model_state is not None:
        trees[MODEL_STATE] = compiled.model_state_of(leaves)
    return trees if state is None else trees | {OPT_STATE: jax.tree.unflatten(compiled.state_structure, state)}


def leaves_of(compiled: Compiled, trees: Mapping[str, Any], like: Leaves) -> Leaves:
    """What schemes share, of :func:`trees_of`, on the devices of others and in memory of its own."""
    state = compiled.model_state
    more = () if state is None else state.leaves_of(trees[MODEL_STATE])
    return placed((*jax.tree.leaves(trees[PARAMS]), *more), like)


def placed(leaves: Any, like: Leaves) -> Leaves:
    """Copies of leaves on the devices of others."""
    copies = (jnp.copy(leaf) for leaf in leaves)
    return tuple(
        jax.device_put(copy, other.sharding) if getattr(other, "committed", False) else copy
        for copy, other in zip(copies, like, strict=True)
    )


def saved_state(
    resume: str | os.PathLike[str] | TrainResult | None, like: Mapping[str, Any], checkpoint: Checkpoints | None
) -> SavedState | None:
    """What a run goes on with.

    Args:
      resume: as of :func:`jasgd.train`, as is ``checkpoint``.
      like: pytrees like those that it must have, by the name of their file.
      checkpoint: where checkpoints of the run that goes on will lie.

    Returns:
      What was saved; None where the run begins anew, which is said unless ``resume`` is None.

    Raises:
      SavedRunError: where nothing that was saved is whole.
      ValueError: for a result that cannot be gone on with, and leaves of other paths, shapes or dtypes.
    """
    if resume is None:
        return None
    if isinstance(resume, TrainResult):
        return _of_result(resume, like)
    folder = Path(resume)
    if is_checkpoints(folder):
        state = newest(folder, like, rows_on_disk=checkpoint is not None and checkpoint.rows_on_disk)
        if state is not None:
            _check_model_state(state.metadata, like)
        else:
            LOGGER.warning("no checkpoint was completed in %s: the run begins anew", folder)
        return state
    if not folder.exists() or (folder.is_dir() and not entries_of(folder)):
        LOGGER.warning("there is nothing in %s to go on with: the run begins anew", folder)
        return None
    structures = {f"{file.removesuffix('.npz')}_like": tree for file, tree in like.items()}
    if not located(folder / MODEL_STATE).exists():  # which is said below, as of a result
        structures.pop("model_state_like", None)
    return _of_result(TrainResult.load(folder, **structures), like)


def _check_model_state(metadata: Mapping[str, Any], like: Mapping[str, Any]) -> None:
    had, needs = metadata.get("initial_model_state") is not None, MODEL_STATE in like
    if had and not needs:
        raise ValueError("model_state must be given for a run that is gone on with and has one, got None")
    if needs and not had:
        raise ValueError(
            "model_state must be None for a run that is gone on with and has none; begin anew with its params"
        )


def _of_result(result: TrainResult, like: Mapping[str, Any]) -> SavedState:
    execution = result.execution
    execution.unaltered()
    _check_model_state(execution.metadata, like)
    metadata, version = execution.metadata, execution.commits
    if result.opt_state is None or metadata.get("params_version", version) != version:
        raise ValueError(
            f"resume must have the parameters and the optimizer state of its last commit, and this run "
            f"({result.outcome}: {result.message}) has parameters of version {metadata.get('params_version')}: go on "
            f"with its checkpoints, or begin anew with its params"
        )
    trees = {
        PARAMS: put_into("params of the result", result.params, like[PARAMS]),
        OPT_STATE: put_into("opt_state of the result", result.opt_state, like[OPT_STATE]),
    }
    if MODEL_STATE in like:
        trees[MODEL_STATE] = put_into("model_state of the result", result.model_state, like[MODEL_STATE])
    initial = None
    if result.initial_params is not None:
        initial = {PARAMS: put_into("initial_params of the result", result.initial_params, like[PARAMS])}
        if MODEL_STATE in like:
            of_result = result.initial_model_state
            initial[MODEL_STATE] = put_into("initial_model_state of the result", of_result, like[MODEL_STATE])
    ended_s = [result.duration_s, metadata.get("ended_s", 0.0), *(one["time_s"] for one in result.evaluations[-1:])]
    history = History()
    history.tickets.begin(metadata.get("first_ticket", 0))
    history.append(_segment(result))
    return SavedState(
        version=version,
        trees=trees,
        initial=initial,
        history=history,
        time_s=max(ended_s),
        counters=dict(result.counters),
        metadata=dict(metadata),
        outcome=str(result.outcome),
        message=result.message,
    )


def _segment(result: TrainResult) -> Segment:
    execution = result.execution
    applied = np.zeros(len(execution), row_dtype(dropped=False))
    dropped = np.zeros(len(execution.dropped), row_dtype(dropped=True))
    for rows, table, names in ((applied, execution, COLUMNS), (dropped, execution.dropped, [*COLUMNS, "reason"])):
        for name in names:
            rows[name] = getattr(table, name)
    return Segment(applied, dropped, dict(result.aux), dict(result.timings), list(result.evaluations))


def check_same_run(state: SavedState, *, seed: int, accumulate: int = 1) -> None:
    """Raises the ValueError of a run that is gone on with and cannot be the same one.

    Args:
      state: what was saved.
      seed: of the run that goes on.
      accumulate: mini-batches of one of its gradients, which decide what a ticket stands for.
    """
    recorded = state.metadata["seed"]
    if recorded != seed:
        raise ValueError(f"seed must be that of the run that is gone on with, {recorded}, got {seed}")
    recorded = state.metadata.get("accumulate", 1)
    if recorded != accumulate:
        raise ValueError(f"accumulate must be that of the run that is gone on with, {recorded}, got {accumulate}")


def is_over(
    state: SavedState,
    *,
    steps: int | None,
    epochs: int | None,
    time_limit_s: float | None,
    target_loss: float | None,
) -> bool:
    """Whether a stop condition of the run that would go on has been met."""
    if steps is not None and state.version >= steps:
        return True
    if epochs is not None and state.metadata.get("epochs_taken", 0) >= epochs:
        return True
    if time_limit_s is not None and state.time_s >= time_limit_s:
        return True
    converged = state.outcome == Outcome.CONVERGED
    return target_loss is not None and converged and state.metadata.get("target_loss", math.inf) <= target_loss


def result_of(state: SavedState, initial: Mapping[str, Any], digests: dict[str, str]) -> TrainResult:
    """The result of a run that has ended, from what was saved of it.

    Args:
      state: what was saved at its end.
      initial: what it began with, of :func:`trees_of`; empty where that is not known.
      digests: of what it ended with, for the metadata.

    Returns:
      The result.
    """
    whole = state.history.whole()
    trees = state.trees
    opt_state = trees[OPT_STATE]
    ended_well = state.outcome in (Outcome.FINISHED, Outcome.CONVERGED)
    return TrainResult(
        params=trees[PARAMS],
        opt_state=opt_state,
        execution=Execution.from_rows(whole.applied, whole.dropped, {"in_flight": []} | state.metadata | digests),
        outcome=Outcome(str(state.outcome)) if ended_well else Outcome.FINISHED,
        message=state.message if ended_well else f"all {state.version} steps were taken",
        evaluations=whole.evaluations,
        aux=whole.aux,
        counters=state.counters,
        duration_s=float(whole.applied["time_s"].max()) if len(whole.applied) else 0.0,
        initial_params=initial.get(PARAMS),
        timings=whole.timings,
        model_state=trees.get(MODEL_STATE),
        initial_model_state=initial.get(MODEL_STATE),
    )

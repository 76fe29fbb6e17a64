"""How a run on Ray fails or ends whose server can give no result, and what such a run goes on from."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np

from jasgd.record.checkpoints.layout import saves_in
from jasgd.record.environment import describe_environment
from jasgd.record.execution import Execution, row_dtype
from jasgd.record.result import Outcome, TrainResult
from jasgd.training.assembly import admit_task
from jasgd.training.checkpointing.beginning import Beginning
from jasgd.training.engines.carrying_out import Request
from jasgd.training.engines.ray_actors.shipping import last_line, required_ray


class RayEngineError(RuntimeError):
    """The actors of a run on Ray did not start, or its server is lost; the message says why."""


def was_not_made(error: BaseException) -> bool:
    """Whether an actor could not be made, as of its environment or of its own code: a second one could not either."""
    exceptions = required_ray().exceptions
    if isinstance(error, exceptions.RuntimeEnvSetupError | exceptions.ActorUnschedulableError):
        return True
    return isinstance(error, exceptions.RayActorError) and error.actor_init_failed


class GoingOn:
    """What a run goes on from where its server died; made before the first server begins.

    Args:
      request: the run, whose folders are absolute.
    """

    def __init__(self, request: Request):
        self._request = request
        checkpoint, resume = request.checkpoint, request.resume
        self._folder = None if checkpoint is None else checkpoint.path
        is_its_own = isinstance(resume, str | os.PathLike) and Path(resume) == self._folder
        # What another run left there is refused by the server, and not gone on with after its death.
        self._is_of_another = self._folder is not None and bool(saves_in(self._folder)) and not is_its_own

    @property
    def has_checkpoint(self) -> bool:
        """Whether this run has completed a checkpoint."""
        return self._folder is not None and not self._is_of_another and bool(saves_in(self._folder))

    @property
    def resume(self) -> Any:
        """What a server goes on with: the checkpoints where there is one, else what the caller said."""
        return self._folder if self.has_checkpoint else self._request.resume

    @property
    def words(self) -> str:
        """The same in words."""
        if self.has_checkpoint:
            return "its last checkpoint"
        return "its start" if self._request.resume is None else "what resume= gave"


def last_result(request: Request, scheme: str, going_on: GoingOn, error: RayEngineError) -> TrainResult:
    """The failed result of a run whose server is lost: its last checkpoint, else what it was resumed from.

    Args:
      request: the run.
      scheme: its description.
      going_on: what is there of it.
      error: what became of it.

    Returns:
      A failed result; without rows where the run was resumed from nothing, and has no checkpoint.
    """
    failed = {
        "outcome": Outcome.FAILED,
        "message": str(error),
        "error": error,
        "traceback": f"RayEngineError: {error}\n",
    }
    admitted = admit_task(request.task)
    try:
        begin = Beginning.anew(admitted.compiled, admitted.leaves, admitted.state, request.first_ticket).or_resumed(
            going_on.resume, request.checkpoint, admitted.compiled, seed=request.task.seed
        )
        if begin.saved is not None:
            return dataclasses.replace(begin.result(admitted.compiled), **failed)
    except Exception as unread:  # the reason for the end must not be lost for it
        failed["message"] += f"; {going_on.words} could not be read: {type(unread).__name__}: {last_line(unread)}"
    return _without_rows(request, scheme, failed)


def _without_rows(request: Request, scheme: str, failed: dict[str, Any]) -> TrainResult:
    task = request.task
    metadata = {
        "seed": task.seed,
        "scheme": scheme,
        "workers": request.workers,
        "in_flight": [],
        "engine": "ray",
        "params_version": 0,
        "environment": describe_environment(),
    }
    applied, dropped = (np.zeros(0, row_dtype(dropped=is_dropped)) for is_dropped in (False, True))
    return TrainResult(
        params=task.params,
        opt_state=None,
        execution=Execution.from_rows(applied, dropped, metadata),
        evaluations=[],
        aux={},
        counters={},
        duration_s=0.0,
        initial_params=task.params,
        model_state=task.model_state,
        initial_model_state=task.model_state,
        **failed,
    )

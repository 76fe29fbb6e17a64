"""How a run on Ray fails that no server can give the result of."""

from __future__ import annotations

import numpy as np

from jasgd.record.environment import describe_environment
from jasgd.record.execution import Execution, row_dtype
from jasgd.record.result import Outcome, TrainResult
from jasgd.training.engines.carrying_out import Request


class RayEngineError(RuntimeError):
    """The actors of a run on Ray did not start, or its server is lost; the message says why."""


def failed_result(request: Request, scheme: str, error: RayEngineError) -> TrainResult:
    """The result of a run of which nothing is left but what it began with.

    Args:
      request: the run.
      scheme: its description.
      error: what became of it.

    Returns:
      A failed result without rows.
    """
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
        outcome=Outcome.FAILED,
        message=str(error),
        evaluations=[],
        aux={},
        counters={},
        duration_s=0.0,
        error=error,
        traceback=f"RayEngineError: {error}\n",
        initial_params=task.params,
        model_state=task.model_state,
        initial_model_state=task.model_state,
    )

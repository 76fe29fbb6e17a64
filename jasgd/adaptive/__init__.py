"""Transformations that adapt the step size to more than τ and its law: to the loss's smoothness, or to the worker."""

from __future__ import annotations

from jasgd.adaptive.best_line import BestLineState, best_line_adaptive
from jasgd.adaptive.by_worker import PerWorkerState, WorkerRescaledState, per_worker, worker_rescaled
from jasgd.adaptive.smoothness import ProbeState, SecantState, SmoothnessEstimator, probes, secants

__all__ = [
    "BestLineState",
    "PerWorkerState",
    "ProbeState",
    "SecantState",
    "SmoothnessEstimator",
    "WorkerRescaledState",
    "best_line_adaptive",
    "per_worker",
    "probes",
    "secants",
    "worker_rescaled",
]

"""Asynchronous SGD in JAX, with a step size that adapts to measured staleness."""

import importlib
from typing import Any

from jasgd import cluster, data, fits, rules, schemes, testing
from jasgd.cluster import Cluster
from jasgd.cpu import configure_cpu
from jasgd.data import BatchesExhausted, minibatches
from jasgd.delay_compensation import DelayCompensatedState, delay_compensated
from jasgd.execution import Execution, ExecutionError
from jasgd.replayer import Replay, ReplayError, replay
from jasgd.result import Outcome, TrainingError, TrainResult
from jasgd.staleness import StalenessHistogram
from jasgd.supervisor import Progress
from jasgd.trainer import train
from jasgd.transform import StalenessAdaptiveState, staleness_adaptive

__version__ = "0.1.0"

_LAZY = ("comparison", "problems", "report")

__all__ = [
    "BatchesExhausted",
    "Cluster",
    "DelayCompensatedState",
    "Execution",
    "ExecutionError",
    "Outcome",
    "Progress",
    "Replay",
    "ReplayError",
    "StalenessAdaptiveState",
    "StalenessHistogram",
    "TrainResult",
    "TrainingError",
    "cluster",
    "configure_cpu",
    "data",
    "delay_compensated",
    "fits",
    "minibatches",
    "replay",
    "rules",
    "schemes",
    "staleness_adaptive",
    "testing",
    "train",
]


def __getattr__(name: str) -> Any:
    # Imported when asked for: problems needs Flax, and none of the three is needed to train.
    if name in _LAZY:
        return importlib.import_module(f"jasgd.{name}")
    raise AttributeError(f"module 'jasgd' has no attribute {name!r}")

"""Asynchronous SGD in JAX, with a step size that adapts to measured staleness."""

import importlib
from typing import TYPE_CHECKING, Any

from jasgd import rules
from jasgd.cpu import configure_cpu
from jasgd.staleness import StalenessHistogram
from jasgd.transform import StalenessAdaptiveState, staleness_adaptive

if TYPE_CHECKING:
    from jasgd import cluster, data, fits, schemes, testing
    from jasgd.cluster import Cluster
    from jasgd.data import BatchesExhausted, minibatches
    from jasgd.delay_compensation import DelayCompensatedState, delay_compensated
    from jasgd.execution import Execution, ExecutionError
    from jasgd.replayer import Replay, ReplayError, replay
    from jasgd.result import Outcome, TrainingError, TrainResult
    from jasgd.simulator import BySeed, Simulation, by_seed, simulate
    from jasgd.supervisor import Progress
    from jasgd.trainer import train

__version__ = "0.1.0"

# Imported when asked for, so that importing jasgd takes hardly longer than importing JAX and Optax: all that the
# transformation does not need. Some of it needs more than the core does, such as Flax.
_LAZY_MODULES = (
    "cluster",
    "comparison",
    "data",
    "execution",
    "fits",
    "problems",
    "report",
    "result",
    "schemes",
    "spectrum",
    "testing",
)
_LAZY = {
    "BatchesExhausted": "data",
    "BySeed": "simulator",
    "Cluster": "cluster",
    "DelayCompensatedState": "delay_compensation",
    "Execution": "execution",
    "ExecutionError": "execution",
    "Outcome": "result",
    "Progress": "supervisor",
    "Replay": "replayer",
    "ReplayError": "replayer",
    "Simulation": "simulator",
    "TrainResult": "result",
    "TrainingError": "result",
    "by_seed": "simulator",
    "delay_compensated": "delay_compensation",
    "minibatches": "data",
    "replay": "replayer",
    "simulate": "simulator",
    "train": "trainer",
}

__all__ = [
    "BatchesExhausted",
    "BySeed",
    "Cluster",
    "DelayCompensatedState",
    "Execution",
    "ExecutionError",
    "Outcome",
    "Progress",
    "Replay",
    "ReplayError",
    "Simulation",
    "StalenessAdaptiveState",
    "StalenessHistogram",
    "TrainResult",
    "TrainingError",
    "by_seed",
    "cluster",
    "configure_cpu",
    "data",
    "delay_compensated",
    "fits",
    "minibatches",
    "replay",
    "rules",
    "schemes",
    "simulate",
    "staleness_adaptive",
    "testing",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return importlib.import_module(f"jasgd.{name}")
    if name in _LAZY:
        value = globals()[name] = getattr(importlib.import_module(f"jasgd.{_LAZY[name]}"), name)
        return value
    raise AttributeError(f"module 'jasgd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY_MODULES, *_LAZY})

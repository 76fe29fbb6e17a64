"""Asynchronous SGD in JAX, with a step size that adapts to measured staleness."""

import importlib
from typing import TYPE_CHECKING, Any

from jasgd import data, rules, schemes, testing
from jasgd.cpu import configure_cpu
from jasgd.data import BatchesExhausted, minibatches
from jasgd.delay_compensation import DelayCompensatedState, delay_compensated
from jasgd.execution import Execution, ExecutionError
from jasgd.result import Outcome, TrainingError, TrainResult
from jasgd.staleness import StalenessHistogram
from jasgd.supervisor import Progress
from jasgd.trainer import train
from jasgd.transform import StalenessAdaptiveState, staleness_adaptive

if TYPE_CHECKING:
    from jasgd import cluster, fits
    from jasgd.cluster import Cluster
    from jasgd.replayer import Replay, ReplayError, replay
    from jasgd.simulator import BySeed, Simulation, by_seed, simulate

__version__ = "0.1.0"

# Imported when asked for, so that importing jasgd takes no longer than importing JAX and Optax: what is not needed to
# train. Some of it needs more than the core does, such as Flax.
_LAZY_MODULES = ("cluster", "comparison", "fits", "problems", "report", "spectrum")
_LAZY = {
    "BySeed": "simulator",
    "Cluster": "cluster",
    "Replay": "replayer",
    "ReplayError": "replayer",
    "Simulation": "simulator",
    "by_seed": "simulator",
    "replay": "replayer",
    "simulate": "simulator",
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

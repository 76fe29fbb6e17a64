"""Asynchronous SGD in JAX, with a step size that adapts to measured staleness."""

from jasgd import data, fits, rules, schemes, testing
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

__all__ = [
    "BatchesExhausted",
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

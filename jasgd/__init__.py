"""Asynchronous SGD in JAX, with a step size that adapts to measured staleness."""

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jasgd import (
        adaptive,
        callbacks,
        cluster,
        data,
        distances,
        engines,
        fits,
        problems,
        report,
        rules,
        schemes,
        testing,
        warning_types,
    )
    from jasgd.callbacks.recent_progress import Progress
    from jasgd.cluster import Cluster
    from jasgd.compiling.kept_compilations import keep_compiled
    from jasgd.data import BatchesExhausted, minibatches
    from jasgd.distances.transformation import DistanceAdaptiveState, distance_adaptive
    from jasgd.experiments.arms import Arm
    from jasgd.experiments.comparison import Comparison, compare
    from jasgd.experiments.spectrum import Spectrum
    from jasgd.experiments.sweeping import sweep
    from jasgd.experiments.task import Task
    from jasgd.jax_settings import configure_cpu
    from jasgd.model_state.merging import moving_averages
    from jasgd.record.checkpoints.options import Checkpoints
    from jasgd.record.execution import Execution, ExecutionError
    from jasgd.record.result import Outcome, TrainingError, TrainResult
    from jasgd.record.saving.arrays import SavedRunError
    from jasgd.replaying.replayer import Replay, replay
    from jasgd.replaying.rerun import ReplayError
    from jasgd.simulating.simulator import BySeed, Simulation, by_seed, simulate
    from jasgd.staleness import StalenessHistogram
    from jasgd.training.trainer import train
    from jasgd.transforms import DelayCompensatedState, StalenessAdaptiveState, delay_compensated, staleness_adaptive
    from jasgd.warning_types import JasgdWarning

__version__ = "0.1.0"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # what is logged is printed where the user asks for it

# Where each public name lives. They are imported when asked for, so that importing jasgd takes hardly longer than
# importing JAX and Optax; some need more than the core does, such as Matplotlib.
_WHERE = {
    "Arm": "jasgd.experiments.arms",
    "BatchesExhausted": "jasgd.data",
    "BySeed": "jasgd.simulating.simulator",
    "Checkpoints": "jasgd.record.checkpoints.options",
    "Cluster": "jasgd.cluster",
    "Comparison": "jasgd.experiments.comparison",
    "DelayCompensatedState": "jasgd.transforms",
    "DistanceAdaptiveState": "jasgd.distances.transformation",
    "Execution": "jasgd.record.execution",
    "ExecutionError": "jasgd.record.execution",
    "JasgdWarning": "jasgd.warning_types",
    "Outcome": "jasgd.record.result",
    "Progress": "jasgd.callbacks.recent_progress",
    "Replay": "jasgd.replaying.replayer",
    "ReplayError": "jasgd.replaying.rerun",
    "SavedRunError": "jasgd.record.saving.arrays",
    "Simulation": "jasgd.simulating.simulator",
    "Spectrum": "jasgd.experiments.spectrum",
    "StalenessAdaptiveState": "jasgd.transforms",
    "StalenessHistogram": "jasgd.staleness",
    "Task": "jasgd.experiments.task",
    "TrainResult": "jasgd.record.result",
    "TrainingError": "jasgd.record.result",
    "adaptive": "jasgd.adaptive",
    "by_seed": "jasgd.simulating.simulator",
    "callbacks": "jasgd.callbacks",
    "cluster": "jasgd.cluster",
    "compare": "jasgd.experiments.comparison",
    "configure_cpu": "jasgd.jax_settings",
    "data": "jasgd.data",
    "delay_compensated": "jasgd.transforms",
    "distance_adaptive": "jasgd.distances.transformation",
    "distances": "jasgd.distances",
    "engines": "jasgd.engines",
    "fits": "jasgd.fits",
    "keep_compiled": "jasgd.compiling.kept_compilations",
    "minibatches": "jasgd.data",
    "moving_averages": "jasgd.model_state.merging",
    "problems": "jasgd.problems",
    "replay": "jasgd.replaying.replayer",
    "report": "jasgd.report",
    "rules": "jasgd.rules",
    "schemes": "jasgd.schemes",
    "simulate": "jasgd.simulating.simulator",
    "staleness_adaptive": "jasgd.transforms",
    "sweep": "jasgd.experiments.sweeping",
    "testing": "jasgd.testing",
    "train": "jasgd.training.trainer",
    "warning_types": "jasgd.warning_types",
}
__all__ = list(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'jasgd' has no attribute {name!r}")
    module = importlib.import_module(_WHERE[name])
    value = globals()[name] = module if module.__name__.endswith(f".{name}") else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})

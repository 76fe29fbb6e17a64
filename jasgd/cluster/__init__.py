"""A cluster's times as a model, and the executions that it generates without any training."""

from jasgd.cluster.asynchronous import bounded_staleness
from jasgd.cluster.calibration import measured_from
from jasgd.cluster.changing_speeds import Tempo
from jasgd.cluster.durations import Duration, constant, exponential, gamma, lognormal
from jasgd.cluster.generator import generate
from jasgd.cluster.iid import independent
from jasgd.cluster.model import Cluster, Nodes, Pauses, Stragglers
from jasgd.cluster.naming import SIMULATED
from jasgd.cluster.protocol import Mutex, SimulatedScheme
from jasgd.cluster.recorded_durations import measured
from jasgd.cluster.rounds import k_of_n
from jasgd.cluster.run import Run

__all__ = [
    "SIMULATED",
    "Cluster",
    "Duration",
    "Mutex",
    "Nodes",
    "Pauses",
    "Run",
    "SimulatedScheme",
    "Stragglers",
    "Tempo",
    "bounded_staleness",
    "constant",
    "exponential",
    "gamma",
    "generate",
    "independent",
    "k_of_n",
    "lognormal",
    "measured",
    "measured_from",
]

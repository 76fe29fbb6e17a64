"""A cluster's times as a model, and the executions that it generates without any training.

The model says how long the phases of a worker's cycle take (laws of durations, measured ones among them) and which
workers are present when; :mod:`jasgd.cluster.generation` plays schemes on it.
"""

from jasgd.cluster.calibration import measured_from
from jasgd.cluster.changing_speeds import Tempo
from jasgd.cluster.durations import Duration, constant, exponential, gamma, lognormal
from jasgd.cluster.generation.asynchronous_schemes import bounded_staleness
from jasgd.cluster.generation.generator import generate
from jasgd.cluster.generation.independent_draws import independent
from jasgd.cluster.generation.round_schemes import k_of_n
from jasgd.cluster.generation.run import ClusterRun
from jasgd.cluster.generation.scheme_names import SIMULATED
from jasgd.cluster.generation.simulated_scheme import Mutex, SimulatedScheme
from jasgd.cluster.model import Cluster, Nodes, Pauses, Stragglers
from jasgd.cluster.recorded_durations import measured

__all__ = [
    "SIMULATED",
    "Cluster",
    "ClusterRun",
    "Duration",
    "Mutex",
    "Nodes",
    "Pauses",
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

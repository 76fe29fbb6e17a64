"""The model of a cluster: how long each phase of a worker's cycle takes, and which workers are present when."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jasgd.cluster.changing_speeds import Tempo, checked_tempos
from jasgd.cluster.durations import Constant, Duration, as_duration, describe_law, is_number
from jasgd.cluster.parsing import duration, named, parse_duration, parse_options, parse_times
from jasgd.inputs.checks import described, integer, is_integer
from jasgd.showing import Shown, brief

#: The phases of a worker's cycle, in order.
PHASES = ("batch", "read", "compute", "commit")


@dataclasses.dataclass(frozen=True)
class Stragglers:
    """Gradients that take longer, each independently of the others.

    Attributes:
      probability: that a gradient is one of them, 0 ≤ probability ≤ 1.
      slowdown: its time to compute is multiplied by this, ≥ 1.

    Raises:
      ValueError: for a number out of its range.

    Example:
      >>> Stragglers(probability=0.01, slowdown=10.0).mean
      1.09
    """

    probability: float
    slowdown: float

    def __post_init__(self):
        if not is_number(self.probability) or not 0 <= self.probability <= 1:
            raise ValueError(f"probability must lie in [0, 1], got {self.probability!r}")
        if not is_number(self.slowdown) or not 1 <= self.slowdown < math.inf:
            raise ValueError(f"slowdown must be a finite number ≥ 1, got {self.slowdown!r}")

    @property
    def mean(self) -> float:
        """The factor by which they lengthen computing on average."""
        return 1 + self.probability * (self.slowdown - 1)


@dataclasses.dataclass(frozen=True)
class Pauses:
    """Interruptions of a worker while it computes: a Poisson process in its computing time.

    Attributes:
      every_s: mean computing time from one pause to the next, in seconds, > 0.
      duration_s: how long one takes; a Duration or a number of seconds. A worker's speed does not change it.

    Raises:
      ValueError: for a number out of its range.
      TypeError: where ``duration_s`` is no law of durations.

    Example:
      >>> Pauses(every_s=1.0, duration_s=0.1).duration_s
      Constant(mean_s=0.1)
    """

    every_s: float
    duration_s: Any

    def __post_init__(self):
        if not is_number(self.every_s) or not 0 < self.every_s < math.inf:
            raise ValueError(f"every_s must be a finite number of seconds > 0, got {self.every_s!r}")
        object.__setattr__(self, "duration_s", duration("duration_s", self.duration_s))


@dataclasses.dataclass(frozen=True)
class Nodes:
    """Memory that is not equally near to all workers: worker w of m lives on node ⌊w·count / m⌋.

    Attributes:
      count: number of nodes, ≥ 1.
      remote: reads and commits take this many times as long where the parameters are on another node, ≥ 1.
      home: the node on which the parameters are; None: on that of the last committer, and on node 0 before the first.

    Raises:
      ValueError: for a number out of its range.

    Example:
      >>> [Nodes(count=2, remote=2.0).of(worker, workers=5) for worker in range(5)]
      [0, 0, 0, 1, 1]
    """

    count: int
    remote: float
    home: int | None = None

    def __post_init__(self):
        integer("count", self.count, 1)
        if not is_number(self.remote) or not 1 <= self.remote < math.inf:
            raise ValueError(f"remote must be a finite number ≥ 1, got {self.remote!r}")
        if self.home is not None and (not is_integer(self.home) or not 0 <= self.home < self.count):
            raise ValueError(f"home must be a node in 0…{self.count - 1}, or None, got {self.home!r}")

    def of(self, worker: int, workers: int) -> int:
        """The node of a worker."""
        return worker * self.count // workers


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Cluster(Shown):
    r"""A model of a cluster's times: batch, read, compute, commit, and over again, for each worker on its own.

    A worker's phases take :math:`(\text{law}) / \text{speed}`; computing takes
    :math:`\text{slowdown} \cdot \text{law} / \text{speed} + \text{pauses}`.

    Attributes:
      compute_s: time to compute a gradient; like all times a Duration, or a number of seconds. Its mean is > 0. All but
        ``cores`` and ``tempos`` may be texts as on the command line: ``"gamma:mean_s=0.01,shape=4"``.
      batch_s: between a commit and the next read: drawing the mini-batch.
      read_s: time to read the parameters.
      commit_s: time to apply a gradient.
      speeds: a number > 0 for each worker, by which all its durations are divided; or a law of mean 1, drawn once for
        each worker; None or ``"equal"``: all 1.
      stragglers: gradients that take longer, or None.
      pauses: interruptions of computing, or None.
      joins_s: worker → second at which it begins; the others begin at 0.
      leaves_s: worker → second from which on it is gone; what it has not committed by then is lost.
      cores: where more workers than this are busy (with any phase; not while they wait), all progress at the rate
        cores / busy; None: as many as workers. A pause counts as busy.
      nodes: where reads and commits are slower for some, or None.
      tempos: worker → how its speed changes with time, a :class:`Tempo`; the others keep theirs. Not with ``cores``.

    Raises:
      ValueError: for a number out of its range.
      TypeError: for a time that is no law of durations.

    Example:
      >>> cluster = Cluster(compute_s=0.010, commit_s=0.0005, speeds=[1, 1, 0.5])
      >>> cluster.compute_s
      Constant(mean_s=0.01)
    """

    compute_s: Any
    batch_s: Any = 0.0
    read_s: Any = 0.0
    commit_s: Any = 0.0
    speeds: Sequence[float] | Duration | None = None
    stragglers: Stragglers | None = None
    pauses: Pauses | None = None
    joins_s: Mapping[int, float] = dataclasses.field(default_factory=dict)
    leaves_s: Mapping[int, float] = dataclasses.field(default_factory=dict)
    cores: int | None = None
    nodes: Nodes | None = None
    tempos: Mapping[int, Tempo] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for phase in PHASES:
            name = f"{phase}_s"
            object.__setattr__(self, name, duration(name, getattr(self, name)))
        if not 0 < self.compute_s.mean_s < math.inf:
            raise ValueError(f"compute_s must have a finite mean > 0, got {self.compute_s!r}")
        for name, kind in (("stragglers", Stragglers), ("pauses", Pauses), ("nodes", Nodes)):
            value = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, value := named(name, parse_options, value, kind))
            if not isinstance(value, (kind, type(None))):
                raise TypeError(f"{name} must be a cluster.{kind.__name__} or None, got {brief(repr(value))}")
        if self.cores is not None:
            integer("cores", self.cores, 1, optional=True)
        object.__setattr__(self, "speeds", _checked_speeds(self.speeds))
        object.__setattr__(self, "tempos", checked_tempos(self.tempos, self.cores))
        for name in ("joins_s", "leaves_s"):
            object.__setattr__(self, name, _checked_times(name, getattr(self, name)))
        for worker, leaves in self.leaves_s.items():
            if leaves <= self.joins_s.get(worker, 0.0):
                raise ValueError(
                    f"leaves_s of worker {worker} must lie after {self.joins_s.get(worker, 0.0)}, when it joins, "
                    f"got {leaves}"
                )

    def _facts(self) -> dict[str, Any]:
        times = {f"{phase}_s": getattr(self, f"{phase}_s") for phase in PHASES if not self.is_zero(phase)}
        others = ("speeds", "stragglers", "pauses", "joins_s", "leaves_s", "cores", "nodes", "tempos")
        return times | {name: getattr(self, name) or None for name in others}

    def is_zero(self, phase: str) -> bool:
        """Whether a phase never takes any time."""
        return getattr(self, f"{phase}_s") == Constant(0.0)

    def describe(self) -> dict[str, Any]:
        """The options that are set, as JSON holds them; an execution's metadata has them under ``generated``."""
        description: dict[str, Any] = {f"{phase}_s": describe_law(getattr(self, f"{phase}_s")) for phase in PHASES}
        if self.speeds is not None:
            description["speeds"] = list(self.speeds) if isinstance(self.speeds, tuple) else describe_law(self.speeds)
        if self.stragglers is not None:
            description["stragglers"] = describe_law(self.stragglers, kind=False)
        if self.pauses is not None:
            description["pauses"] = {
                "every_s": float(self.pauses.every_s),
                "duration_s": describe_law(self.pauses.duration_s),
            }
        for name in ("joins_s", "leaves_s"):
            if getattr(self, name):
                description[name] = {str(worker): time_s for worker, time_s in sorted(getattr(self, name).items())}
        if self.cores is not None:
            description["cores"] = int(self.cores)
        if self.nodes is not None:
            description["nodes"] = describe_law(self.nodes, kind=False)
        if self.tempos:
            description["tempos"] = {str(worker): tempo.describe() for worker, tempo in sorted(self.tempos.items())}
        return description


def _checked_speeds(speeds: Any) -> Any:
    if speeds is None or (isinstance(speeds, str) and speeds.strip() == "equal"):
        return None
    if isinstance(speeds, str):
        speeds = named("speeds", parse_duration, speeds, mean_s=1.0)
    if hasattr(speeds, "sample"):
        law = as_duration("speeds", speeds)
        if not math.isclose(law.mean_s, 1.0, rel_tol=1e-6):
            raise ValueError(f"speeds must have mean 1 where they are a law, got {law!r} of mean {law.mean_s}")
        return law
    if not isinstance(speeds, (Sequence, np.ndarray)):
        allowed = "a sequence of numbers > 0, one for each worker, or a law"
        raise TypeError(f"speeds must be {allowed}, got {described(speeds)}")
    for worker, speed in enumerate(speeds):
        if not is_number(speed) or not 0 < speed < math.inf:
            raise ValueError(f"speeds must be finite numbers > 0, got {speed!r} for worker {worker}")
    return tuple(float(speed) for speed in speeds)


def _checked_times(name: str, times: Any) -> Mapping[int, float]:
    if isinstance(times, str):
        times = named(name, parse_times, times)
    if not isinstance(times, Mapping):
        raise TypeError(f"{name} must be a mapping from workers to seconds, got {described(times)}")
    for worker, time_s in times.items():
        if not is_integer(worker) or worker < 0:
            raise ValueError(f"{name} must have workers ≥ 0 as keys, got {worker!r}")
        if not is_number(time_s) or not 0 <= time_s < math.inf:
            raise ValueError(f"{name} must be finite numbers of seconds ≥ 0, got {time_s!r} for worker {worker}")
    return {int(worker): float(time_s) for worker, time_s in times.items()}

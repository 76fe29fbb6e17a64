"""Which engine makes the workers of a run work, as ``train(engine=...)`` takes it, and its options."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from jasgd.inputs import specs
from jasgd.inputs.checks import described, integer, positive, real
from jasgd.showing import brief


@dataclasses.dataclass(frozen=True)
class ThreadsEngine:
    """Workers are threads of this process."""


@dataclasses.dataclass(frozen=True, repr=False)
class RayEngine:
    """Workers are actors of Ray, as is the server that has the parameters; see :func:`ray` for the attributes."""

    address: str | None = None
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0
    restarts: int = 10
    start_limit_s: float = 120.0
    runtime_env: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)
        given = [f"{f.name}={getattr(self, f.name)!r}" for f in fields if getattr(self, f.name) != f.default]
        return f"ray({brief(', '.join(given))})"

    def __post_init__(self) -> None:
        if self.address is not None and (not isinstance(self.address, str) or not self.address):
            raise TypeError(f"address must be a text such as 'auto', or None, got {described(self.address)}")
        for name in ("cpus_per_worker", "gpus_per_worker"):
            if not 0 <= real(name, getattr(self, name), "a number ≥ 0") < float("inf"):
                raise ValueError(f"{name} must be a number ≥ 0, got {getattr(self, name)!r}")
        integer("restarts", self.restarts, 0)
        positive("start_limit_s", self.start_limit_s)
        if self.runtime_env is not None and not isinstance(self.runtime_env, Mapping):
            raise TypeError(f"runtime_env must be a dict, or None, got {described(self.runtime_env)}")


def ray(
    address: str | None = None,
    *,
    cpus_per_worker: float = 1.0,
    gpus_per_worker: float = 0.0,
    restarts: int = 10,
    start_limit_s: float = 120.0,
    runtime_env: Mapping[str, Any] | None = None,
) -> RayEngine:
    """Workers as actors of Ray, on as many machines as a cluster has; the parameters live in an actor of their own.

    Args:
      address: of a cluster, as ``ray.init`` takes it: ``"auto"`` for the one that this machine belongs to. With None a
        Ray that the process has started already is used, else the one that the environment variable ``RAY_ADDRESS``
        names, else one on this machine is started, and ended with the run. Where the process has Ray already, the
        address of another one is refused.
      cpus_per_worker: logical processors that each worker reserves, ≥ 0; fractions are allowed.
      gpus_per_worker: GPUs that each worker reserves, ≥ 0; with fractions several share one. The server computes on
        the CPU.
      restarts: how often in all workers and the server are begun anew after their processes died, ≥ 0; after that a run
        goes on with the workers that it has left, or ends as ``failed`` where it cannot.
      start_limit_s: seconds that the actors have to start in, > 0; a cluster that is too small is noticed so.
      runtime_env: of all actors, as Ray takes it, such as ``{"working_dir": "."}``; None for none. Folders of this
        machine are refused where the process has Ray already, as ``ray.init`` alone takes them.

    Returns:
      What ``train(engine=...)`` takes.

    Raises:
      TypeError, ValueError: for options out of their ranges.

    Example:
      >>> ray(cpus_per_worker=0.5)
      ray(cpus_per_worker=0.5)
    """
    return RayEngine(address, cpus_per_worker, gpus_per_worker, restarts, start_limit_s, runtime_env)


Engine = ThreadsEngine | RayEngine

#: What makes an engine, by the name that ``train(engine=...)`` takes.
ENGINES = {"threads": ThreadsEngine, "ray": ray}


def as_engine(engine: Any) -> Engine:
    """The engine that an argument ``engine`` names, or is.

    Args:
      engine: a name with options, as in ``"ray:address=auto,cpus_per_worker=2"``, or what :func:`ray` gives.

    Returns:
      The engine.

    Raises:
      TypeError: for what is neither.
      ValueError: for an unknown name or option, and one out of its range.

    Example:
      >>> as_engine("ray:cpus_per_worker=2").cpus_per_worker, as_engine("threads")
      (2, ThreadsEngine())
    """
    if isinstance(engine, ThreadsEngine | RayEngine):
        return engine
    if not isinstance(engine, str):
        hint = ": call it" if engine is ray else ""
        raise TypeError(f"engine must be 'threads', 'ray' or jasgd.engines.ray(...), got {described(engine)}{hint}")
    name, options = specs.parse_spec(engine)
    return specs.make(f"engine {name!r}", specs.entry("engine", ENGINES, name), options)

"""Ray for the time of a run: one that is there already, a cluster's, or one of this machine that ends with the run."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import warnings
from typing import Any

from jasgd.training.engines.choice import RayEngine
from jasgd.training.engines.ray_actors.shipping import required_ray

#: Bytes up to which what actors send goes with the call itself, and not through the store of objects: at parameters of
#: half a megabyte this more than doubles the updates per second. A cluster has it from where it was started.
DIRECT_CALL_BYTES = 1_000_000


class Session:
    """A context in which Ray is there; what was started here ends with it.

    Args:
      engine: its options.
      workers: number of workers, ≥ 1.

    Attributes:
      runtime_env: that actors are to be given; None where they have it from the session, or there is none.

    Raises:
      ValueError: on entry, where the process has Ray already, and the options cannot be had with that one.
    """

    def __init__(self, engine: RayEngine, workers: int):
        self._engine, self._workers = engine, workers
        self._ours, self._folder = False, ""
        self.runtime_env: dict[str, Any] | None = None

    def __enter__(self) -> Any:
        ray, engine = required_ray(), self._engine
        environment = None if engine.runtime_env is None else dict(engine.runtime_env)
        if ray.is_initialized():
            _check_address(ray, engine.address)
            _check_no_folders(environment)
            self.runtime_env = environment
            return ray
        options: dict[str, Any] = {"address": engine.address or os.environ.get("RAY_ADDRESS")}
        if environment is not None:  # here, as Ray takes folders of this machine for a whole session alone
            options["runtime_env"] = environment
        try:
            if options["address"] in (None, "local"):
                self._folder = _short_folder()
                options |= {
                    "address": "local",
                    "num_cpus": max(os.cpu_count() or 1, math.ceil(self._workers * engine.cpus_per_worker)),
                    "_temp_dir": self._folder,
                    "_system_config": {"max_direct_call_object_size": DIRECT_CALL_BYTES},
                }
            self._ours = True
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of Ray, about its own future
                ray.init(include_dashboard=False, logging_level=logging.ERROR, **options)
        except BaseException:  # Ctrl-C as well
            self._end()
            raise
        return ray

    def __exit__(self, *exception: object) -> None:
        self._end()

    def _end(self) -> None:
        try:
            if self._ours:
                required_ray().shutdown()
        finally:
            if self._folder:
                shutil.rmtree(self._folder, ignore_errors=True)


def resources(ray: Any, engine: RayEngine) -> str:
    """What each worker reserves and what there is of it, in words."""
    there, free = ray.cluster_resources(), ray.available_resources()
    return (
        f"each worker reserves {engine.cpus_per_worker:g} CPUs and {engine.gpus_per_worker:g} GPUs, and of "
        f"{there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs {free.get('CPU', 0):g} and "
        f"{free.get('GPU', 0):g} are free"
    )


def _short_folder() -> str:
    """A new folder with a short name: sockets in it may have names of some hundred bytes, whatever TMPDIR says."""
    root = "/tmp" if os.name == "posix" and os.access("/tmp", os.W_OK | os.X_OK) else None
    return tempfile.mkdtemp(prefix="jr-", dir=root)


def _check_address(ray: Any, address: str | None) -> None:
    if address is None or address == "auto":
        return
    there = ray.get_runtime_context().gcs_address
    if address != there:
        raise ValueError(
            f"address must be None, 'auto' or {there!r}, as this process has that Ray already, got {address!r}: leave "
            f"address out, or call ray.shutdown() before"
        )


def _check_no_folders(environment: dict[str, Any] | None) -> None:
    for name in ("working_dir", "py_modules"):
        value = (environment or {}).get(name) or []
        for one in value if isinstance(value, list | tuple) else [value]:
            if "://" not in str(one):
                raise ValueError(
                    f"runtime_env must have no folder of this machine as {name} where this process has Ray already, "
                    f"got {str(one)!r}: Ray takes it for a whole session alone, so give it to ray.init, or call "
                    f"ray.shutdown() before"
                )

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
    """

    def __init__(self, engine: RayEngine, workers: int):
        self._engine, self._workers = engine, workers
        self._ours, self._folder = False, ""

    def __enter__(self) -> Any:
        ray, engine = required_ray(), self._engine
        if ray.is_initialized():
            return ray
        address = engine.address or os.environ.get("RAY_ADDRESS")
        options: dict[str, Any] = {"address": address}
        if address in (None, "local"):
            self._folder = tempfile.mkdtemp(prefix="jasgd-ray-")
            needed = math.ceil(self._workers * engine.cpus_per_worker)
            options = {
                "address": "local",
                "num_cpus": max(os.cpu_count() or 1, needed),
                "_temp_dir": self._folder,
                "_system_config": {"max_direct_call_object_size": DIRECT_CALL_BYTES},
            }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Ray, about its own future
            ray.init(include_dashboard=False, logging_level=logging.ERROR, **options)
        self._ours = True
        return ray

    def __exit__(self, *exception: object) -> None:
        if self._ours:
            required_ray().shutdown()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

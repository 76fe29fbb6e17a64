"""What a run's bits and times depend on beyond its arguments: libraries, flags, processors."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax


def describe_environment() -> dict[str, Any]:
    """Versions, flags and processors, as an execution records them; values that JSON can hold.

    Returns:
      A dict with the keys python, jax, jaxlib, optax, numpy, platform, xla_flags, async_dispatch, cpu_features,
      cpu_count, affinity, load.

    Example:
      >>> describe_environment()["jax"] == jax.__version__
      True
    """
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("jax", "jaxlib", "optax", "numpy")},
        "platform": jax.default_backend(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "async_dispatch": bool(jax.config.read("jax_cpu_enable_async_dispatch")),
        "cpu_features": _cpu_features(),
        "cpu_count": os.cpu_count(),
        "affinity": affinity,
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def _cpu_features() -> str:
    """The vector extensions that decide which code XLA generates, where the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return " ".join(sorted(f for f in flags if f.startswith(("avx", "sse4", "fma", "f16c", "amx", "asimd", "sve"))))

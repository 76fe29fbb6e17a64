"""What a run's bits and times depend on beyond its arguments: libraries, flags, processors."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jasgd.jax_settings import threads_per_computation
from jasgd.thread_context import deciding_settings

#: What decides the bits of a computation. XLA compiles for the processor at hand, and its matrix products are cut to
#: fit that processor's caches, so the features alone do not settle them; optax decides what is computed.
DECIDES_BITS = (
    "jax",
    "jaxlib",
    "optax",
    "platform",
    "device",
    "xla_flags",
    "threads",
    "enable_x64",
    "default_matmul_precision",
    "default_prng_impl",
    "cpu_features",
    "cpu_model",
)


class Mismatch(NamedTuple):
    """Something that decides bits, and is not what it was."""

    name: str
    recorded: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.name} is {self.found!r}, recorded was {self.recorded!r}"


def describe_environment(device: Any = None) -> dict[str, Any]:
    """Versions, flags and processors, as an execution records them; values that JSON can hold.

    Args:
      device: the jax device that computes; None for JAX's default.

    Returns:
      A dict with the keys python, jax, jaxlib, optax, numpy, platform, device, xla_flags, threads, enable_x64,
      default_matmul_precision, default_prng_impl, settings, async_dispatch, cpu_features, cpu_model, cpu_count,
      affinity, load. ``settings`` has JAX's settings that decide bits, by name.

    Example:
      >>> describe_environment()["jax"] == jax.__version__
      True
    """
    config: Any = jax.config
    affinity = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    computes = jax.devices()[0] if device is None else device
    return {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("jax", "jaxlib", "optax", "numpy")},
        "platform": computes.platform,
        "device": computes.device_kind,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "threads": threads_per_computation(),
        "enable_x64": bool(config.jax_enable_x64),
        "default_matmul_precision": _text(config.jax_default_matmul_precision),
        "default_prng_impl": _text(config.jax_default_prng_impl),
        "settings": deciding_settings(),
        "async_dispatch": bool(jax.config.read("jax_cpu_enable_async_dispatch")),
        **_processor(),
        "cpu_count": os.cpu_count(),
        "affinity": affinity,
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def mismatches(recorded: dict[str, Any], present: dict[str, Any]) -> list[Mismatch]:
    """Where two environments differ in what decides bits.

    Args:
      recorded: an environment as :func:`describe_environment` gives it.
      present: another one.

    Returns:
      What differs, by name and with both values; None where one was not recorded. Records of earlier versions have no
      ``settings``, and are compared on the rest.

    Example:
      >>> present = describe_environment()
      >>> [str(difference) for difference in mismatches(present | {"jaxlib": "0.1.0", "load": [0, 0, 0]}, present)] == [
      ...     f"jaxlib is {present['jaxlib']!r}, recorded was '0.1.0'"]
      True
    """

    def value_of(environment: dict[str, Any], name: str) -> Any:
        value = environment.get(name)
        return " ".join(sorted(value.split())) if name == "xla_flags" and value else value  # flags have no order

    pairs = [(name, value_of(recorded, name), value_of(present, name)) for name in DECIDES_BITS]
    pairs += _pairs_of_settings(recorded, present)
    return [Mismatch(name, was, now) for name, was, now in pairs if was != now]


def _pairs_of_settings(recorded: dict[str, Any], present: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    were, are = recorded.get("settings"), present.get("settings")
    if were is None or are is None:  # in earlier versions
        return []
    # Another version of JAX has other settings; that it is another one is what differs then.
    names = were.keys() | are.keys() if recorded.get("jax") == present.get("jax") else were.keys() & are.keys()
    return [(name, were.get(name), are.get(name)) for name in sorted(names)]


def describe_dtypes(**trees: Any) -> dict[str, list[str]]:
    """Dtypes and shapes of the leaves of pytrees, as JAX computes with them.

    Args:
      **trees: pytrees of arrays, by name.

    Returns:
      By name, one text a leaf.

    Example:
      >>> import numpy as np
      >>> describe_dtypes(params={"w": np.zeros((2, 3))})
      {'params': ['float32[2,3]']}
    """

    def described(leaf: Any) -> str:
        return f"{leaf.dtype}[{','.join(str(size) for size in leaf.shape)}]"

    shapes = jax.eval_shape(lambda trees: trees, trees)  # with JAX's dtypes in place of NumPy's
    return {name: [described(leaf) for leaf in jax.tree.leaves(tree)] for name, tree in shapes.items()}


def _processor() -> dict[str, str]:
    """The vector extensions and the model, which decide which code XLA generates, where the system says so."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines()
    except OSError:
        return {"cpu_features": platform.machine(), "cpu_model": platform.processor()}
    entries = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = (entries.get("flags") or entries.get("Features") or "").split()
    vector = ("avx", "sse4", "fma", "f16c", "amx", "asimd", "sve")
    names = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU variant", "CPU part")
    return {
        "cpu_features": " ".join(sorted(f for f in flags if f.startswith(vector))),
        "cpu_model": " ".join(entries[name] for name in names if name in entries) or platform.processor(),
    }


def _text(setting: Any) -> str | None:
    return None if setting is None else str(setting)

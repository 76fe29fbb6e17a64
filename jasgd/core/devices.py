"""The device that an argument names: one of JAX's, a platform, or a number."""

from __future__ import annotations

import re
from typing import Any

import jax

from jasgd.inputs.checks import described, is_integer


def as_device(device: Any) -> Any:
    """The jax device that the argument ``device`` of a run names.

    Args:
      device: a jax device; a platform such as ``"cpu"``, whose first one is meant, or with an index, as in ``"gpu:1"``;
        an index among ``jax.local_devices()``; or None.

    Returns:
      The device; None for None, which is JAX's default.

    Raises:
      TypeError: for what names no device.
      ValueError: for a device that is not there; the message lists those that are.

    Example:
      >>> as_device("cpu") == as_device("cpu:0") == jax.devices("cpu")[0], as_device(None)
      (True, None)
    """
    if device is None or isinstance(device, jax.Device):
        return device
    if is_integer(device):
        platform, index = None, int(device)
    elif isinstance(device, str):
        name, _, number = device.partition(":")
        if not re.fullmatch(r"[A-Za-z_]+(:\d+)?", device):
            raise ValueError(f"device must be {_ALLOWED}, got {device!r}; there are {_present()}")
        platform, index = name.lower(), int(number or 0)
    else:
        raise TypeError(f"device must be {_ALLOWED}, got {described(device)}; there are {_present()}")
    try:
        there = jax.local_devices(backend=platform)
    except RuntimeError:  # JAX knows no such platform, or could not start it
        there = []
    if not 0 <= index < len(there):
        raise ValueError(f"device must be {_ALLOWED}, got {device!r}; there are {_present()}")
    return there[index]


_ALLOWED = "a jax device, a platform such as 'cpu' or 'gpu:0', an index, or None"


def _present() -> str:
    devices = jax.local_devices()
    if devices[0].platform != "cpu":
        devices += jax.local_devices(backend="cpu")
    numbers: dict[str, int] = {}
    for one in devices:
        numbers[one.platform] = numbers.get(one.platform, 0) + 1
    return ", ".join(f"{platform}:{index}" for platform, count in numbers.items() for index in range(count))

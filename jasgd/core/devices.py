"""The devices that arguments name, and where each worker of a run computes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.inputs.checks import described, is_integer


def as_device(device: Any, name: str = "device") -> Any:
    """The jax device that the argument ``device`` of a run names.

    Args:
      device: a jax device; a platform such as ``"cpu"``, whose first one is meant, or with an index, as in ``"gpu:1"``;
        an index among ``jax.local_devices()``; or None.
      name: of the argument, for messages.

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
        kind, _, number = device.partition(":")
        if not re.fullmatch(r"[A-Za-z_]+(:\d+)?", device):
            raise ValueError(f"{name} must be {_ALLOWED}, got {device!r}; there are {_present()}")
        platform, index = kind.lower(), int(number or 0)
    else:
        raise TypeError(f"{name} must be {_ALLOWED}, got {described(device)}; there are {_present()}")
    try:
        there = jax.local_devices(backend=platform)
    except RuntimeError:  # JAX knows no such platform, or could not start it
        there = []
    if not 0 <= index < len(there):
        raise ValueError(f"{name} must be {_ALLOWED}, got {device!r}; there are {_present()}")
    return there[index]


class Placement:
    """Where the workers of a run compute: worker k on device k mod n, while parameters live at home, on the first.

    Guarantees. Any number of workers may call :meth:`gradient`, each with its own number.

    Args:
      devices: jax devices, at least one; the first is home.
      workers: number of workers, ≥ 1.

    Attributes:
      home: the device of the parameters and the optimizer state, where commits are made.
      of_worker: the device of each worker.
    """

    def __init__(self, devices: Sequence[Any], workers: int):
        self.home = devices[0]
        self.of_worker = tuple(devices[worker % len(devices)] for worker in range(workers))

    @property
    def used(self) -> tuple[Any, ...]:
        """The devices that compute, each once, home first."""
        return tuple(dict.fromkeys((self.home, *self.of_worker)))

    @property
    def names(self) -> list[str]:
        """The name of each worker's device, such as ``"gpu:1"``."""
        return [name_of(device) for device in self.of_worker]

    @property
    def kinds(self) -> dict[str, str]:
        """By name, of which kind each device is; other kinds compute other bits."""
        return {name_of(device): device.device_kind for device in self.used}

    def gradient(self, function: Callable[..., Any], worker: int, leaves: Any, batch: Any) -> tuple[Any, Any, Any]:
        """A gradient that a worker computes on its device.

        Args:
          function: ``Compiled.gradient``.
          worker: which one it is; one beyond those that there are computes at home.
          leaves: what it has read, at home.
          batch: its mini-batch, wherever it is.

        Returns:
          Loss and gradient at home, and between them the aux, which stays on the worker's device.
        """
        device = self.of_worker[worker] if worker < len(self.of_worker) else self.home
        is_home = device == self.home
        there = leaves if is_home else jax.device_put(leaves, device)
        loss, aux, grads = function(there, jax.device_put(batch, device))
        if not is_home:
            loss, grads = jax.device_put((loss, grads), self.home)
        return loss, aux, grads


def as_placement(device: Any, devices: Any, workers: int) -> tuple[Any, Placement | None]:
    """Where parameters live, and where workers compute, of the arguments ``device`` and ``devices`` of a run.

    Args:
      device: one device, as of :func:`as_device`.
      devices: a sequence of such, at least one; or None.
      workers: number of workers, ≥ 1.

    Returns:
      The device of the parameters, None for JAX's default; and where each worker computes, None without ``devices``.

    Raises:
      TypeError: for ``devices`` that is no sequence of what names devices.
      ValueError: for both arguments, no device, or one that is not there.

    Example:
      >>> home, placement = as_placement(None, ["cpu:0", 0], workers=3)
      >>> home == jax.devices("cpu")[0], placement.names, as_placement(None, None, workers=3)
      (True, ['cpu:0', 'cpu:0', 'cpu:0'], (None, None))
    """
    if devices is None:
        return as_device(device), None
    if device is not None:
        raise ValueError(
            f"devices must be None where device is given, got {device!r} and {devices!r}: give one of them"
        )
    if isinstance(devices, (str, jax.Device)) or not isinstance(devices, (Sequence, np.ndarray)):
        hint = ": give one device as device" if isinstance(devices, (str, jax.Device)) or is_integer(devices) else ""
        raise TypeError(f"devices must be a sequence, as jax.devices() gives, got {described(devices)}{hint}")
    named = list(devices)
    if not named:
        raise ValueError(f"devices must be one or more, as jax.devices() gives, got none; there are {_present()}")
    if any(one is None for one in named):
        raise TypeError(
            f"devices must be jax devices, platforms or indices, got None among them; there are {_present()}"
        )
    placement = Placement([as_device(one, f"devices[{i}]") for i, one in enumerate(named)], workers)
    return placement.home, placement


def name_of(device: Any) -> str:
    """The name by which :func:`as_device` finds a device of this process.

    Example:
      >>> name_of(jax.devices("cpu")[0])
      'cpu:0'
    """
    there = jax.local_devices(backend=device.platform)
    return f"{device.platform}:{there.index(device)}" if device in there else str(device)


def putting_like(leaf: Any) -> Callable[[Any], jax.Array]:
    """What puts arrays where another lies, and commits them to be there where that is; see ``jax.device_put``.

    Arrays that are committed and arrays that are not are of two kinds, for each of which JAX compiles.

    Args:
      leaf: a jax array on one device; anything else lies on JAX's default.

    Returns:
      A function from a NumPy array to a jax array over the same memory, where the device is a CPU and it is aligned.
    """
    if not isinstance(leaf, jax.Array):
        return jax.device_put
    (device,) = leaf.devices()
    if leaf.committed:
        return lambda array: jax.device_put(array, device)

    def put(array: Any) -> jax.Array:
        with jax.default_device(device):
            return jax.device_put(array)

    return put


def computing_on(device: Any) -> AbstractContextManager[Any]:
    """A context in which the calling thread computes on a device; None for where it does already."""
    return contextlib.nullcontext() if device is None else jax.default_device(device)


def default_device() -> Any:
    """The jax device that the calling thread computes on where nothing else is said."""
    (device,) = jnp.zeros(()).devices()
    return device


_ALLOWED = "a jax device, a platform such as 'cpu' or 'gpu:0', an index, or None"


def _present() -> str:
    devices = jax.local_devices()
    if devices[0].platform != "cpu":
        devices += jax.local_devices(backend="cpu")
    numbers: dict[str, int] = {}
    for one in devices:
        numbers[one.platform] = numbers.get(one.platform, 0) + 1
    return ", ".join(f"{platform}:{index}" for platform, count in numbers.items() for index in range(count))

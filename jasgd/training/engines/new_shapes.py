"""How long workers waited while the gradient was compiled for new shapes of mini-batches, on the clock of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jasgd.core.compiled import Compiled


class NewShapes:
    """Adds up the time of gradients on mini-batches of a shape that none had been computed on, on their device.

    One compiles, and the others with such a mini-batch wait for it; what they compute themselves is counted with it,
    which is little beside. While there is one shape a call of :meth:`note` does nothing.

    Guarantees. All workers may call ``note`` at once, each with its own number.

    Args:
      compiled: the traced functions.
      workers: number of workers, ≥ 1.
    """

    def __init__(self, compiled: Compiled, workers: int):
        self._compiled = compiled
        self._device_of: Sequence[Any] = (None,) * workers
        self._waited_s = [0.0] * workers  # each worker's, which it alone writes
        self._computed_s: dict[Any, float] = {}  # when a gradient on such a mini-batch was there first

    def expect(self, batch: Any, device_of: Sequence[Any] | None = None) -> None:
        """Notes that the gradient was compiled for such mini-batches, before the clock started.

        Args:
          batch: a mini-batch.
          device_of: the device of each worker, on all of which it was compiled; None where they have one.
        """
        self._device_of = device_of or self._device_of
        for device in self._device_of:
            self._computed_s[_kind(device, batch)] = -math.inf

    def note(self, worker: int, batch: Any, began_s: float, ended_s: float) -> None:
        """Takes notice of a gradient.

        Args:
          worker: whose it is; int.
          batch: its mini-batch.
          began_s: when the compiled function was called, in seconds of ``time.perf_counter``.
          ended_s: when the gradient was there, or its computation began.
        """
        if len(self._compiled.batch_shapes) < 2:
            return
        first_s = self._computed_s.setdefault(_kind(self._device_of[worker], batch), ended_s)
        if first_s > began_s:  # it was this one, or one that this one had to wait for
            self._waited_s[worker] += ended_s - began_s

    @property
    def waited_s(self) -> float:
        """The sum over all workers, in seconds."""
        return sum(self._waited_s)


def _kind(device: Any, batch: Any) -> Any:
    """What JAX compiles a function of a mini-batch for."""
    leaves, structure = jax.tree.flatten(batch)
    return device, structure, *((np.shape(leaf), getattr(leaf, "dtype", type(leaf))) for leaf in leaves)

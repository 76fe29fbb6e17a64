"""Shared memory for schemes that change parameters in place: one aligned block, with a NumPy view per leaf.

Private copies for workers are JAX arrays over memory that is used again once nobody holds them: fresh memory costs more
than the copy itself, and NumPy arrays would be put on the device leaf by leaf in every call.
"""

from __future__ import annotations

import collections
import sys
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jasgd.data import ALIGNMENT, aligned_empty


class Buffers:
    """Leaves that lie in one block, each aligned, so that copying all of them is one copy.

    Args:
      leaves: arrays whose values, shapes and dtypes are taken over.
    """

    def __init__(self, leaves: Sequence[np.ndarray]):
        arrays = [np.asarray(leaf) for leaf in leaves]
        offsets, end = [], 0
        for array in arrays:
            offsets.append(end)
            end += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        self._layout = [(o, a.nbytes, a.dtype, a.shape) for o, a in zip(offsets, arrays, strict=True)]
        self._block = aligned_empty((end,), np.uint8)
        self.leaves = self._views(self._block)
        for view, array in zip(self.leaves, arrays, strict=True):
            np.copyto(view, array)
        self._copies = Copies()

    def copy(self) -> tuple[np.ndarray, ...]:
        """A copy of all leaves, in memory that nobody else ever writes; concurrent writes may tear it."""
        block = aligned_empty(self._block.shape, np.uint8)
        np.copyto(block, self._block)
        return self._views(block)

    def read(self) -> tuple[Any, ...]:
        """A copy of all leaves as jax arrays, in memory that nobody holds; concurrent writes may tear it.

        Returns:
          The leaves. Nobody writes them as long as anybody holds the tuple, one of its arrays, or what ``np.asarray``
          makes of one; what ``jax.device_get`` or DLPack make of one is not seen. So only for those who are known.
        """
        made = self._copies.unheld() or self._fresh()
        block, leaves = made
        np.copyto(block, self._block)
        self._copies.keep(made)
        return leaves

    def _fresh(self) -> tuple[np.ndarray, tuple[Any, ...]]:
        block = aligned_empty(self._block.shape, np.uint8)
        views = self._views(block)
        leaves = tuple(jax.device_put(view) for view in views)
        seen = all(a.unsafe_buffer_pointer() == v.ctypes.data for a, v in zip(leaves, views, strict=True) if v.nbytes)
        return block, leaves if seen else views  # where JAX has copied, it is told of the memory at every call

    def _views(self, block: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(block[o : o + size].view(dtype).reshape(shape) for o, size, dtype, shape in self._layout)


class Copies:
    """Memory of copies that were handed out, used again once nobody holds them.

    Guarantees. Any number of threads may call it. That nobody holds a copy is read off the reference counts of its
    tuple and of its arrays, while this object has given it to nobody else: who holds neither cannot come to hold one.
    Without a GIL counts are not exact, and nothing is used again.
    """

    def __init__(self) -> None:
        self._kept: collections.deque[tuple[np.ndarray, tuple[Any, ...]]] = collections.deque()

    def keep(self, made: tuple[np.ndarray, tuple[Any, ...]]) -> None:
        """Takes a block and the leaves over it into what may be used again."""
        if COUNTED:
            self._kept.append(made)

    def unheld(self) -> tuple[np.ndarray, tuple[Any, ...]] | None:
        """A block and its leaves that nobody holds, no longer kept; None where there is none."""
        for _ in range(len(self._kept)):
            try:
                made = self._kept.popleft()  # the one handed out longest ago
            except IndexError:  # other threads have the rest
                return None
            if sys.getrefcount(made[1]) == _UNHELD and all(map(_is_unheld, made[1])):
                return made
            self._kept.append(made)
        return None


COUNTED = getattr(sys, "_is_gil_enabled", lambda: True)()  # whether reference counts are exact


def _is_unheld(leaf: Any) -> bool:
    return sys.getrefcount(leaf) == _UNHELD_LEAF


def _calibrated() -> tuple[int, int]:
    """What the two counts are where nobody else holds anything: how many references a call adds depends on Python."""
    seen: list[int] = []

    def count(leaf: Any) -> bool:
        seen.append(sys.getrefcount(leaf))
        return True

    made = (None, (object(),))
    of_tuple = sys.getrefcount(made[1])
    all(map(count, made[1]))
    return of_tuple, seen[0]


_UNHELD, _UNHELD_LEAF = _calibrated()

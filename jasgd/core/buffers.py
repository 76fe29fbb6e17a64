"""Shared memory for schemes that change parameters in place: one aligned block, with a NumPy view per leaf.

Private copies for workers are JAX arrays over memory that is used again once no thread holds them: fresh memory costs
more than the copy itself, and NumPy arrays would be put on the device leaf by leaf in every call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jasgd.aligned_memory import ALIGNMENT, aligned_empty
from jasgd.core.devices import putting_like
from jasgd.core.recycling import Copies


class Buffers:
    """Leaves that lie in one block, each aligned, so that copying all of them is one copy.

    Args:
      leaves: arrays whose values, shapes and dtypes are taken over; jax arrays are put where these lie.
      workers: how many may read, ≥ 1.
    """

    def __init__(self, leaves: Sequence[np.ndarray], *, workers: int = 1):
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
        self._copies: Copies[np.ndarray] = Copies(workers)
        self._put = putting_like(leaves[0] if leaves else None)

    def copy(self) -> tuple[np.ndarray, ...]:
        """A copy of all leaves, in memory that nothing else ever writes; concurrent writes may tear it."""
        block = aligned_empty(self._block.shape, np.uint8)
        np.copyto(block, self._block)
        return self._views(block)

    def read(self) -> tuple[Any, ...]:
        """A copy of all leaves as jax arrays, in memory that no thread holds; concurrent writes may tear it.

        Returns:
          The leaves. Nothing writes to them while any reference is left to the tuple, to one of its arrays, or to the
          result of ``np.asarray`` of one; the results of ``jax.device_get`` and DLPack are not seen. So only for
          callers that use neither.
        """
        block, leaves = self._copies.unheld() or self._fresh()
        np.copyto(block, self._block)
        self._copies.keep(block, leaves)
        return leaves

    def snapshot(self) -> tuple[jax.Array, ...]:
        """A copy of all leaves as jax arrays, over memory that nothing else ever writes."""
        return tuple(map(self._put, self.copy()))

    def _fresh(self) -> tuple[np.ndarray, tuple[Any, ...]]:
        block = aligned_empty(self._block.shape, np.uint8)
        views = self._views(block)
        leaves = tuple(map(self._put, views))
        seen = all(a.unsafe_buffer_pointer() == v.ctypes.data for a, v in zip(leaves, views, strict=True) if v.nbytes)
        return block, leaves if seen else views  # where JAX has copied, it receives the memory at every call

    def _views(self, block: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(block[o : o + size].view(dtype).reshape(shape) for o, size, dtype, shape in self._layout)

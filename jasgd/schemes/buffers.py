"""Shared memory for schemes that change parameters in place: one aligned block, with a NumPy view per leaf."""

from __future__ import annotations

from collections.abc import Sequence

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

    def copy(self) -> tuple[np.ndarray, ...]:
        """A private copy of all leaves, in memory that nobody else ever writes; concurrent writes may tear it."""
        block = aligned_empty(self._block.shape, np.uint8)
        np.copyto(block, self._block)
        return self._views(block)

    def _views(self, block: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(block[o : o + size].view(dtype).reshape(shape) for o, size, dtype, shape in self._layout)

"""Memory that JAX's CPU client reads where it lies: NumPy arrays that begin at a multiple of 64 bytes."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import jax
import numpy as np

from jasgd.inputs.array_leaves import MaskedArray, as_array, is_foreign

ALIGNMENT = 64  # bytes; XLA's CPU client reads host memory that is so aligned without copying it


def aligned_empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Uninitialised memory that begins at a multiple of 64 bytes.

    Args:
      shape: shape of the array.
      dtype: dtype of the array.

    Returns:
      The array.

    Example:
      >>> aligned_empty((3, 5), np.float32).ctypes.data % 64
      0
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -address_of(raw) % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def address_of(array: np.ndarray) -> int:
    """Where the memory of an array begins."""
    # What array.ctypes.data and array.__array_interface__ make besides takes a worker longer than its ledger.
    return ctypes.c_size_t.from_address(id(array) + _DATA_AT).value


# Where NumPy's C interface has the address of an array's memory: after what CPython puts before every object.
_DATA_AT = object.__basicsize__
if address_of(_probe := np.empty(1)) != _probe.ctypes.data:  # another Python, or another NumPy

    def address_of(array: np.ndarray) -> int:
        """Where the memory of an array begins."""
        return array.ctypes.data


def aligned(batch: Any) -> Any:
    """A batch whose NumPy leaves are aligned; those that are not are copied, as are other libraries' arrays.

    JAX copies unaligned host memory on a thread of its own, and then computes on another, also where dispatch is not
    asynchronous: neither is the worker's thread, and the caller could change the memory before it is read.

    Args:
      batch: pytree.

    Returns:
      The same pytree, with copies of the unaligned arrays.

    Raises:
      TypeError: for a masked array, whose mask a copy would lose, or another library's that has anything but numbers.

    Example:
      >>> image = aligned({"image": np.ones(9, np.float32)[1:]})["image"]
      >>> image.ctypes.data % 64, image.shape
      (0, (8,))
    """
    for leaf in jax.tree.leaves(batch):
        if not _is_aligned(leaf) if isinstance(leaf, np.ndarray) else is_foreign(leaf):
            return jax.tree.map(_aligned_leaf, batch)
    return batch


def _is_aligned(array: np.ndarray) -> bool:
    return address_of(array) % ALIGNMENT == 0 and array.flags.c_contiguous and not isinstance(array, MaskedArray)


def _aligned_leaf(leaf: Any) -> Any:
    return leaf if isinstance(leaf, np.ndarray) and _is_aligned(leaf) else aligned_copy(leaf)


def aligned_copy(leaf: Any) -> Any:
    """A copy of a leaf in aligned memory; what is no array but JAX's stays as it is."""
    if isinstance(leaf, MaskedArray) or is_foreign(leaf):
        leaf = as_array(leaf, "an array of a batch")
    if not isinstance(leaf, np.ndarray):
        return leaf
    if leaf.dtype.hasobject:  # raw memory cannot hold references
        return leaf.copy()
    copy = aligned_empty(leaf.shape, leaf.dtype)
    np.copyto(copy, leaf)
    return copy

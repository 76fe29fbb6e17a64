"""Looks at parameters on a CPU by a function of native.cc, in the time that reading their memory takes."""

from __future__ import annotations

import ctypes
from typing import Any

import jax.numpy as jnp
import numpy as np

from jasgd.core.compiled import Leaves
from jasgd.core.health import Look
from jasgd.schemes.native.build import is_compiled, library

#: dtypes and the numbers that finite.h has for them; any other holds no number that is not finite, or cannot be read
KINDS = {np.dtype(np.float16): 1, jnp.dtype(jnp.bfloat16): 2, np.dtype(np.float32): 3, np.dtype(np.float64): 4}


def native_look(leaves: Leaves) -> Look | None:
    """What tells whether all numbers of leaves like these are finite, where native.cc is compiled and can read them.

    Args:
      leaves: arrays of floating-point dtypes.

    Returns:
      A function of arrays of JAX on a CPU, or of NumPy, that are of the same shapes and dtypes; None where native.cc is
      not compiled, the leaves lie elsewhere, or have other dtypes.

    Example:
      >>> look = native_look((jnp.ones(2), jnp.zeros((3, 4))))
      >>> look is None or look((jnp.array([1.0, jnp.nan]), jnp.zeros((3, 4))))
      False
    """
    if not all(leaf.dtype in KINDS and _is_on_one_cpu(leaf) for leaf in leaves):
        return None
    try:
        if not is_compiled():
            return None
        finite = library().JasgdFinite
    except (OSError, RuntimeError, ValueError, AttributeError):  # no compiled file can be looked for, or loaded
        return None
    count = len(leaves)
    pointers = ctypes.c_void_p * count
    sizes = (ctypes.c_int64 * count)(*(leaf.size for leaf in leaves))
    kinds = (ctypes.c_int32 * count)(*(KINDS[leaf.dtype] for leaf in leaves))
    shared: tuple[Leaves, Any] = (), None  # leaves that are changed in place, and where they lie

    def look(leaves: Leaves) -> bool:
        nonlocal shared
        known, addresses = shared
        if leaves is not known:
            if isinstance(leaves[0], np.ndarray):
                addresses = pointers(*(leaf.ctypes.data for leaf in leaves))
                shared = leaves, addresses
            else:
                for leaf in leaves:
                    leaf.block_until_ready()  # which the next does not
                addresses = pointers(*(leaf.unsafe_buffer_pointer() for leaf in leaves))
        return finite(count, addresses, sizes, kinds) != 0

    return look


def _is_on_one_cpu(leaf: Any) -> bool:
    devices = list(leaf.devices())
    return len(devices) == 1 and devices[0].platform == "cpu"

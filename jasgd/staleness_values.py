"""Staleness as numbers: how large it may be, how it becomes int32, and bins for all of it."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MOST = 2**31 - 1  # the largest staleness, in updates: that of int32, in which it is computed with

_WIDTH = 0.03  # of a bin, as a share of the smallest value in it


def as_int32(staleness: jax.typing.ArrayLike) -> jax.Array:
    """Staleness as int32 of its shape; what int32 cannot hold becomes the nearest that it can, never a fresh one.

    Args:
      staleness: τ in updates; integers of any shape and width, may be traced.

    Returns:
      The same, at most 2³¹ - 1, and -1 for what lies so far below 0 that it would come out positive.

    Raises:
      TypeError: for what is no integer.

    Example:
      >>> as_int32(np.array([3, 2**33])).tolist()
      [3, 2147483647]
    """
    if not hasattr(staleness, "dtype"):
        staleness = np.asarray(staleness)
    dtype = staleness.dtype  # pyrefly: ignore[missing-attribute]
    if np.dtype("O") == dtype and all(isinstance(value, int) for value in np.ravel(staleness)):  # beyond 64 bits
        return jnp.asarray(np.asarray(np.clip(staleness, -1, MOST)).astype(np.int32))
    if not jnp.issubdtype(dtype, jnp.integer):
        raise TypeError(f"staleness must be an integer number of updates, got dtype {dtype}")
    if jnp.iinfo(dtype).max <= MOST:
        return jnp.asarray(staleness, jnp.int32)
    # In its own width, and by its own library: JAX would wrap wide numbers of NumPy's before it computes with them.
    xp: Any = jnp if isinstance(staleness, jax.Array) else np
    if jnp.issubdtype(dtype, jnp.signedinteger):
        staleness = xp.maximum(staleness, xp.asarray(-1, dtype))
    return jnp.asarray(xp.minimum(staleness, xp.asarray(MOST, dtype)).astype(np.int32))


def checked_staleness(staleness: jax.typing.ArrayLike) -> jax.Array:
    """One staleness as int32, or the error that says what is wrong with it.

    Args:
      staleness: τ in updates; scalar integer, may be traced.

    Returns:
      int32 scalar. A traced value that is negative stays so, one above 2³¹ - 1 becomes that.

    Raises:
      TypeError: for what is no integer.
      ValueError: for what is no scalar, and for a concrete value that is negative or above 2³¹ - 1.

    Example:
      >>> int(checked_staleness(np.int64(7)))
      7
    """
    tau = as_int32(staleness)
    if tau.ndim:
        raise ValueError(f"staleness must be a scalar, got shape {tau.shape}")
    if not isinstance(staleness, jax.core.Tracer) and not 0 <= int(staleness) <= MOST:  # pyrefly: ignore[bad-argument-type]
        limit = "≥ 0" if int(staleness) < 0 else f"at most {MOST}"  # pyrefly: ignore[bad-argument-type]
        raise ValueError(f"staleness must be {limit} updates, got {int(staleness)}")  # pyrefly: ignore[bad-argument-type]
    return tau


class WideBins(NamedTuple):
    """Bins for all staleness up to 2³¹ - 1; each of shape (n,), int32."""

    first: np.ndarray
    last: np.ndarray
    middle: np.ndarray


@functools.cache
def wide_bins() -> WideBins:
    r"""Bins of one value each up to 66, and then of :math:`\lfloor 0.03\,a \rfloor` values from a on.

    Returns:
      The bins, ascending.

    Example:
      >>> bins = wide_bins()
      >>> len(bins.first), bins.first[65:70].tolist(), bins.last[65:70].tolist()
      (661, [65, 66, 67, 69, 71], [65, 66, 68, 70, 72])
    """
    first = [0]
    while (following := first[-1] + max(1, int(_WIDTH * first[-1]))) <= MOST:
        first.append(following)
    last = [start - 1 for start in first[1:]] + [MOST]
    middle = [(a + b) // 2 for a, b in zip(first, last, strict=True)]
    return WideBins(*(np.array(column, np.int32) for column in (first, last, middle)))


def distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different values, ascending, and how often each occurs.

    Args:
      values: int64 of shape (n,), ≥ 0, not empty.

    Returns:
      Two of shape (k,), int64.

    Example:
      >>> distinct(np.array([7, 0, 7]))
      (array([0, 7]), array([1, 2]))
    """
    if values.max() > 4 * len(values) + 1024:
        return np.unique(values, return_counts=True)
    counts = np.bincount(values)  # much cheaper than sorting
    present = np.flatnonzero(counts)
    return present, counts[present]

"""Mini-batches of rows of arrays, gathered into memory that a worker uses again for its next one.

Fresh memory for every mini-batch costs more than what is copied into it: the system hands out its pages one by one. On
accelerators the arrays lie on the device, and what goes there for a mini-batch are the numbers of its rows.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.aligned_memory import aligned_empty
from jasgd.core.compiled import Compiled, Leaves
from jasgd.core.devices import putting_like
from jasgd.data import Minibatches

CONVERTED_BYTES = 64 << 20  # of an array that is held a second time, in the dtype that JAX computes with
SHARE_OF_DEVICE = 0.25  # of an accelerator's memory that the arrays may take


class RowSource(NamedTuple):
    """Arrays whose rows are mini-batches, as JAX takes them.

    Attributes:
      arrays: of one length along axis 0, each row contiguous; those that were given but where they had to be converted.
      rows: from a ticket to the rows of its mini-batch, int64.
      batch_of: makes a mini-batch of its leaves.
      leading: shape in front of that of a row.
    """

    arrays: tuple[np.ndarray, ...]
    rows: Callable[[int], np.ndarray]
    batch_of: Callable[[Sequence[Any]], Any]
    leading: tuple[int, ...]

    @property
    def like(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes and dtypes of the leaves of a mini-batch."""
        return tuple(jax.ShapeDtypeStruct((*self.leading, *a.shape[1:]), a.dtype) for a in self.arrays)

    @property
    def example(self) -> Any:
        """A mini-batch as :attr:`like` has it, without numbers."""
        return self.batch_of(self.like)


def row_source(batches: Minibatches, require: Callable[[int], None]) -> RowSource | None:
    """The arrays of mini-batches and the rows of a ticket; None where the rows have to be drawn by NumPy.

    Args:
      batches: the mini-batches.
      require: raises for a ticket that there is not.

    Returns:
      The source. An array of another dtype than JAX computes with is converted once, where it is small.
    """
    arrays = [taken for array in batches.arrays if (taken := _as_jax_takes(array)) is not None]
    if len(arrays) < len(batches.arrays):
        return None

    def rows(ticket: int) -> np.ndarray:
        require(ticket)
        return batches.rows(ticket)

    return RowSource(tuple(arrays), rows, batches.batch_of, (len(batches.rows(0)),))


def _as_jax_takes(array: np.ndarray) -> np.ndarray | None:
    if not array.dtype.isnative or not array[:1].flags.c_contiguous:
        return None
    try:
        dtype = np.dtype(jax.dtypes.canonicalize_dtype(array.dtype))
    except TypeError:  # a dtype that JAX does not know
        return None
    if dtype == array.dtype:
        return array
    return array.astype(dtype) if array.nbytes <= CONVERTED_BYTES else None


def hands_batch_on(compiled: Compiled, leaves: Leaves, batch: Any) -> bool:
    """Whether the gradient gives out a leaf of the mini-batch itself, whose memory may then not be used again."""
    traced = compiled.gradient.trace(leaves, batch).jaxpr.jaxpr  # type: ignore[attr-defined]
    given = {id(variable) for variable in traced.invars[len(leaves) :]}
    return any(id(variable) in given for variable in traced.outvars)


class HostRows:
    """Gathers rows on the CPU, for each worker into memory of its own.

    Guarantees. All workers may call it at once, each with its own number. A mini-batch is that of its ticket until the
    same worker asks for the next: only for callers that have computed with it by then.

    Args:
      source: where the rows are.
      workers: number of workers, ≥ 1.
      like: a leaf of the parameters; mini-batches are put where it lies.
    """

    def __init__(self, source: RowSource, workers: int, like: Any):
        self._source = source
        put = putting_like(like)
        self._slots, self._batches = [], []
        for _ in range(workers):
            slot = [aligned_empty(leaf.shape, leaf.dtype) for leaf in source.like]
            leaves = [put(array) for array in slot]
            same = all(
                a.unsafe_buffer_pointer() == s.ctypes.data for a, s in zip(leaves, slot, strict=True) if s.nbytes
            )
            rows = math.prod(source.leading)
            self._slots.append([s.reshape(rows, *s.shape[len(source.leading) :]) for s in slot])
            self._batches.append(source.batch_of(leaves if same else slot))  # JAX may have copied

    def __call__(self, ticket: int, worker: int) -> Any:
        """The mini-batch of a ticket, in the memory of the worker's last one."""
        rows = self._source.rows(ticket)
        for array, slot in zip(self._source.arrays, self._slots[worker], strict=True):
            np.take(array, rows, axis=0, out=slot, mode="clip")
        return self._batches[worker]


class DeviceRows:
    """Gathers rows on the accelerator on which the arrays lie.

    Guarantees. Any number of threads may call it. A mini-batch has memory of its own.

    Args:
      source: where the rows are.
      likes: of each worker a leaf that lies where it computes.
    """

    def __init__(self, source: RowSource, likes: Sequence[Any]):
        self._source = source
        self._put = [putting_like(like) for like in likes]
        on_device = {like.device: put for like, put in zip(likes, self._put, strict=True)}
        arrays = {device: tuple(map(put, source.arrays)) for device, put in on_device.items()}
        self._arrays = [arrays[like.device] for like in likes]

    def __call__(self, ticket: int, worker: int) -> Any:
        """The mini-batch of a ticket."""
        rows = self._put[worker](self._source.rows(ticket).astype(np.int32))
        return self._source.batch_of(_taken(self._arrays[worker], rows, self._source.leading))


@functools.partial(jax.jit, static_argnums=2)
def _taken(arrays: tuple[jax.Array, ...], rows: jax.Array, leading: tuple[int, ...]) -> tuple[jax.Array, ...]:
    taken = (jnp.take(array, rows, axis=0, mode="clip") for array in arrays)
    return tuple(leaf.reshape(*leading, *leaf.shape[1:]) for leaf in taken)


def has_room(device: Any, source: RowSource) -> bool:
    """Whether an accelerator has room for the arrays; one that does not say how much memory it has may not."""
    limit = (device.memory_stats() or {}).get("bytes_limit", 0)
    return sum(array.nbytes for array in source.arrays) <= SHARE_OF_DEVICE * limit

"""Mini-batches that a native round gathers itself: what it is given are the rows, and what it computes on the batch."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jasgd.aligned_memory import address_of, aligned_empty
from jasgd.core.batching.gathering import RowSource
from jasgd.core.devices import putting_like

_HEAD = 3  # numbers of native.cc's Rows in front of the columns
_GATHERED_S = 2  # which of them says when the rows were there


@jax.tree_util.register_pytree_node_class
class RowsToGather:
    """Stands for a mini-batch where a round is called: a pytree of one array, the address of what is to be gathered.

    Args:
      address: of native.cc's Rows, int32 [2].
      like: shapes and dtypes of the leaves, and the structure of the mini-batch; hashable.
    """

    def __init__(self, address: Any, like: Any):
        self.address, self.like = address, like

    def tree_flatten(self) -> tuple[tuple[Any], Any]:
        """As JAX asks for it."""
        return (self.address,), self.like

    @classmethod
    def tree_unflatten(cls, like: Any, children: tuple[Any]) -> RowsToGather:
        """As JAX asks for it."""
        return cls(children[0], like)


class NativeRows:
    """The rows of each worker's mini-batch, where its native round finds them.

    Guarantees. All workers may call it at once, each with its own number. A worker's rows stay until it asks for the
    next, so only for callers whose round has ended by then.

    Args:
      source: where the rows are.
      workers: number of workers, ≥ 1.
      like: a leaf of the parameters.
    """

    def __init__(self, source: RowSource, workers: int, like: Any):
        self._source = source
        self._numbers = [self._described() for _ in range(workers)]
        self._seconds = [numbers.view(np.float64) for numbers in self._numbers]
        leaves, structure = jax.tree.flatten(source.example)
        shapes = tuple((leaf.shape, np.dtype(leaf.dtype)) for leaf in leaves)
        put = putting_like(like)
        self._batches = [RowsToGather(put(_halves(n.ctypes.data)), (shapes, structure)) for n in self._numbers]
        self._held: list[Any] = [None] * workers  # rows that a round may be reading

    def __call__(self, ticket: int, worker: int) -> RowsToGather:
        """What stands for the mini-batch of a ticket."""
        rows = self._source.rows(ticket)
        numbers = self._numbers[worker]
        numbers[0], numbers[1], self._held[worker] = address_of(rows), len(rows), rows
        return self._batches[worker]

    def gathered_s(self, worker: int) -> float:
        """When a worker's last rows were there, in seconds of ``time.perf_counter``."""
        return float(self._seconds[worker][_GATHERED_S])

    def _described(self) -> np.ndarray:
        columns = [(array.ctypes.data, array.strides[0], array[:1].nbytes) for array in self._source.arrays]
        numbers = aligned_empty((_HEAD + 3 * len(columns),), np.int64)
        numbers[:_HEAD], numbers[_HEAD:] = 0, np.ravel(columns)
        return numbers


def gathered(caller: Any, batch: Any) -> tuple[Any, Any]:
    """The mini-batch of a round, traced, and the caller, by which the round goes on.

    Args:
      caller: of the functions of native.cc.
      batch: a mini-batch, or what contains :class:`RowsToGather` in its place.

    Returns:
      The caller, once the rows are there, and the mini-batch.
    """
    parts, structure = jax.tree.flatten(batch, is_leaf=lambda part: isinstance(part, RowsToGather))
    for i, part in enumerate(parts):
        if isinstance(part, RowsToGather):
            shapes, of_batch = part.like
            like = [caller, *(jax.ShapeDtypeStruct(*shape) for shape in shapes)]
            like[0] = jax.ShapeDtypeStruct(caller.shape, caller.dtype)
            caller, *leaves = jax.ffi.ffi_call("JasgdRows", like)(part.address, caller)
            parts[i] = jax.tree.unflatten(of_batch, leaves)
    return caller, jax.tree.unflatten(structure, parts)


def _halves(address: int) -> np.ndarray:
    halves = aligned_empty((2,), np.uint32)
    halves[:] = address & 0xFFFFFFFF, address >> 32
    return halves.view(np.int32)

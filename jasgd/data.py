"""Mini-batches as a pure function of a ticket, and the adaptor that makes one of an iterator."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import jax
import numpy as np

ALIGNMENT = 64  # bytes; XLA's CPU client reads host memory that is so aligned without copying it

Batch = Any
Batches = Callable[[int], Batch]


class BatchesExhausted(RuntimeError):
    """The iterator given as ``batches`` ended before a stop condition of the run was met."""


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
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def aligned(batch: Batch) -> Batch:
    """A batch whose NumPy leaves are aligned; those that are not are copied.

    JAX copies unaligned host memory on a thread of its own, and then computes on another, also where dispatch is not
    asynchronous: neither is the worker's thread, and the caller could change the memory before it is read.

    Args:
      batch: pytree.

    Returns:
      The same pytree, with copies of the unaligned arrays.

    Example:
      >>> image = aligned({"image": np.ones(9, np.float32)[1:]})["image"]
      >>> image.ctypes.data % 64, image.shape
      (0, (8,))
    """
    return jax.tree.map(_aligned_leaf, batch)


def _aligned_leaf(leaf: Any) -> Any:
    if isinstance(leaf, np.ndarray) and leaf.ctypes.data % ALIGNMENT == 0 and leaf.flags.c_contiguous:
        return leaf
    return _aligned_copy(leaf)


def _aligned_copy(leaf: Any) -> Any:
    if not isinstance(leaf, np.ndarray):
        return leaf
    if leaf.dtype.hasobject:  # raw memory cannot hold references
        return leaf.copy()
    copy = aligned_empty(leaf.shape, leaf.dtype)
    np.copyto(copy, leaf)
    return copy


def minibatches(
    arrays: Sequence[np.ndarray],
    batch_size: int,
    *,
    seed: int = 0,
    shuffle: Literal["epoch", "once", "never"] = "epoch",
) -> Minibatches:
    r"""Mini-batches of equal size that depend on the ticket alone, so on no worker and on no clock.

    With :math:`B = \lfloor N / b \rfloor` batches an epoch, ticket :math:`t` is batch :math:`t \bmod B` of epoch
    :math:`\lfloor t / B \rfloor`; the :math:`N - bB` examples left over by an epoch's order are not drawn in it.

    Args:
      arrays: arrays of equal length N along axis 0, for instance ``(images, labels)``; they are not copied.
      batch_size: examples per batch, b; 1 ≤ b ≤ N.
      seed: the seed from which every epoch's order comes, ≥ 0.
      shuffle: ``"epoch"`` draws a new order for each epoch; ``"once"`` draws one order and cycles through it, as
        the published ASAP.SGD code does; ``"never"`` keeps the order of the arrays.

    Returns:
      A function from a ticket (int ≥ 0) to a tuple of freshly allocated arrays of leading size b. It may be called
      by several threads at once.

    Raises:
      ValueError: for arrays of unequal or zero length, a ``batch_size`` outside 1…N, a negative ``seed``, or an
        unknown ``shuffle``; the returned function raises it for a negative ticket.

    Example:
      >>> import numpy as np
      >>> batches = minibatches((np.arange(6),), 2, shuffle="never")
      >>> batches(0), batches(4)  # three batches an epoch, so ticket 4 is batch 1 of epoch 1
      ((array([0, 1]),), (array([2, 3]),))
    """
    arrays = tuple(np.asarray(a) for a in arrays)
    lengths = {len(a) for a in arrays}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"arrays must be non-empty and of one length along axis 0, got lengths {sorted(lengths)}")
    (length,) = lengths
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or not 1 <= batch_size <= length:
        raise ValueError(f"batch_size must be an integer in 1…{length} (the number of examples), got {batch_size}")
    if seed < 0:
        raise ValueError(f"seed must be ≥ 0, got {seed}")
    if shuffle not in ("epoch", "once", "never"):
        raise ValueError(f"shuffle must be 'epoch', 'once' or 'never', got {shuffle!r}")
    return Minibatches(arrays, int(batch_size), int(seed), shuffle)


class Minibatches:
    """What :func:`minibatches` gives: a function of a ticket, which also tells the rows that a ticket draws.

    Attributes:
      arrays: what is drawn from.
    """

    def __init__(self, arrays: tuple[np.ndarray, ...], batch_size: int, seed: int, shuffle: str):
        self.arrays = arrays
        self._size, self._seed, self._shuffle = batch_size, seed, shuffle
        self._length = len(arrays[0])
        self._per_epoch = self._length // batch_size
        self._orders: dict[int, np.ndarray] = {}

    def __call__(self, ticket: int) -> tuple[np.ndarray, ...]:
        """The mini-batch of a ticket, in fresh memory; ValueError for a negative one."""
        chosen = self.rows(ticket)
        return tuple(
            np.take(a, chosen, axis=0, out=aligned_empty((self._size, *a.shape[1:]), a.dtype), mode="clip")
            for a in self.arrays
        )

    def rows(self, ticket: int) -> np.ndarray:
        """Where in the arrays the examples of a ticket are.

        Args:
          ticket: ≥ 0.

        Returns:
          Indices along axis 0, shape [b], int64; to be read only.

        Raises:
          ValueError: for a negative ticket.

        Example:
          >>> minibatches((np.arange(6),), 2, shuffle="never").rows(1)
          array([2, 3])
        """
        if ticket < 0:
            raise ValueError(f"ticket must be ≥ 0, got {ticket}")
        epoch, position = divmod(ticket, self._per_epoch)
        rows = slice(position * self._size, (position + 1) * self._size)
        if self._shuffle == "never":
            return np.arange(self._length)[rows]
        return self._order(epoch if self._shuffle == "epoch" else 0)[rows]

    def _order(self, epoch: int) -> np.ndarray:
        chosen = self._orders.get(epoch)
        if chosen is None:
            if (
                len(self._orders) > 4
            ):  # workers straddle few epochs; an order dropped too early is drawn again, the same
                self._orders.clear()
            chosen = np.random.Generator(np.random.Philox(key=[self._seed, epoch])).permutation(self._length)
            self._orders[epoch] = chosen
        return chosen


class _Pulled:
    """Item i of an iterator is ticket i, whichever worker asks first."""

    def __init__(self, items: Iterable[Batch]):
        self._items: Iterator[Batch] = iter(items)
        self._lock = threading.Lock()
        self._next = 0
        self._waiting: dict[int, Batch] = {}

    def __call__(self, ticket: int) -> Batch:
        with self._lock:
            while self._next <= ticket:
                try:
                    # A copy, under the lock: the iterator may use its memory again for the next item.
                    self._waiting[self._next] = jax.tree.map(_aligned_copy, next(self._items))
                except StopIteration:
                    raise BatchesExhausted(
                        f"batches ran out: the iterator ended after {self._next} items, and ticket {ticket} was asked "
                        f"for; give a longer iterator, a function of the ticket, or fewer steps"
                    ) from None
                self._next += 1
            if ticket not in self._waiting:
                raise ValueError(f"ticket {ticket} was already taken; an iterator gives each of its items once")
            return self._waiting.pop(ticket)


def as_batches(batches: Batches | Iterable[Batch]) -> Batches:
    """Makes a function of a ticket of an iterator; a function is returned as it is.

    Args:
      batches: a function of a ticket, or an iterable, whose item i becomes ticket i; it is pulled and its NumPy arrays
        are copied under a lock, so it may use their memory again.

    Returns:
      A function from a ticket to a batch. That of an iterator gives each item once and raises
      :class:`BatchesExhausted` behind the last.

    Raises:
      TypeError: where ``batches`` is neither callable nor iterable.

    Example:
      >>> pulled = as_batches(iter("ab"))
      >>> pulled(1), pulled(0)
      ('b', 'a')
    """
    if callable(batches):
        return batches
    if isinstance(batches, Iterable):
        return _Pulled(batches)
    raise TypeError(f"batches must be a function of a ticket or an iterator of batches, got {type(batches).__name__}")

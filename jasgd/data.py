"""Mini-batches as a pure function of a ticket, and the adaptor that makes one of an iterator."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Literal

import jax
import numpy as np

from jasgd.aligned_memory import ALIGNMENT, aligned, aligned_copy, aligned_empty
from jasgd.inputs.array_leaves import arrays_of
from jasgd.inputs.asked import asks_for, check_draw
from jasgd.inputs.checks import is_integer
from jasgd.inputs.iterables import Batch, BatchesExhausted, EpochsTaken, Pulled
from jasgd.showing import brief

MOST_AT_ONCE = 16  # tickets that are drawn together
BYTES_AT_ONCE = 1 << 20  # and the most memory that they may take
KEPT = 8  # how many such draws are kept for workers that have not yet asked

#: A function that gives the mini-batch of a ticket: ``batches(ticket)``, whatever was asked for before.
Batches = Callable[[int], Batch]

__all__ = ["Batches", "BatchesExhausted", "Minibatches", "aligned", "aligned_empty", "as_batches", "minibatches"]


def minibatches(
    arrays: Any,
    batch_size: int,
    *,
    seed: int = 0,
    shuffle: Literal["epoch", "once", "never"] = "epoch",
) -> Minibatches:
    r"""Mini-batches of equal size that depend on the ticket alone, so on no worker and on no clock.

    With :math:`B = \lfloor N / b \rfloor` batches an epoch, ticket :math:`t` is batch :math:`t \bmod B` of epoch
    :math:`\lfloor t / B \rfloor`; the :math:`N - bB` examples left over by an epoch's order are not drawn in it.

    Args:
      arrays: a pytree of arrays of equal length N along axis 0, for instance ``(images, labels)``, a dict, or one array
        by itself. NumPy's are not copied, memory maps among them; JAX's and those of other libraries become NumPy's,
        and so does a list of numbers.
      batch_size: examples per batch, b; 1 ≤ b ≤ N.
      seed: the seed from which every epoch's order comes, ≥ 0.
      shuffle: ``"epoch"`` draws a new order for each epoch; ``"once"`` draws one order and cycles through it, as
        the published ASAP.SGD code does; ``"never"`` keeps the order of the arrays.

    Returns:
      A function from a ticket (int ≥ 0) to freshly allocated arrays of leading size b, in the structure of ``arrays``.
      It may be called by several threads at once.

    Raises:
      TypeError: for a leaf that is no array of numbers, such as a text, or that would lose something as one: a masked
        or a sparse array; with its path.
      ValueError: for a tree without arrays, arrays of unequal or zero length, a ``batch_size`` outside 1…N, a ``seed``
        outside 0…2⁶⁴ − 1, or an unknown ``shuffle``; the returned function raises it for a negative ticket.

    Example:
      >>> import numpy as np
      >>> batches = minibatches((np.arange(6),), 2, shuffle="never")
      >>> batches(0), batches(4)  # three batches an epoch, so ticket 4 is batch 1 of epoch 1
      ((array([0, 1]),), (array([2, 3]),))
      >>> minibatches({"x": np.arange(6.0), "y": np.arange(6)}, 2, shuffle="never")(0)
      {'x': array([0., 1.]), 'y': array([0, 1])}
    """
    paths, leaves, structure = arrays_of(arrays, "arrays")
    length = _common_length(dict(zip(paths, leaves, strict=True)))
    if not is_integer(batch_size) or not 1 <= batch_size <= length:
        raise ValueError(f"batch_size must be an integer in 1…{length} (the number of examples), got {batch_size}")
    if not is_integer(seed) or seed >= 1 << 64:
        raise ValueError(f"seed must be an integer in 0…2⁶⁴ − 1, got {seed!r}")
    if seed < 0:
        raise ValueError(f"seed must be ≥ 0, got {seed}")
    if shuffle not in ("epoch", "once", "never"):
        raise ValueError(f"shuffle must be 'epoch', 'once' or 'never', got {shuffle!r}")
    return Minibatches(leaves, int(batch_size), int(seed), shuffle, structure)


def _common_length(arrays: dict[str, np.ndarray]) -> int:
    """The length along axis 0 that the arrays, by path, have in common."""
    if not arrays:
        raise ValueError("arrays must have at least one array, got an empty pytree")
    first: dict[int, str] = {}  # a path for each length, as there may be a thousand arrays
    for path, array in arrays.items():
        if not array.ndim:
            raise TypeError(f"{path} must have one row for each example, got a scalar, which has no axis 0")
        first.setdefault(len(array), path)
    if len(first) != 1 or 0 in first:
        where = ", ".join(f"{length} for {path}" for length, path in list(first.items())[:10])
        lengths = sorted(first)
        raise ValueError(f"arrays must be non-empty and of one length along axis 0, got lengths {lengths}: {where}")
    return next(iter(first))


class Minibatches:
    """What :func:`minibatches` gives: a function of a ticket, which also says which rows a ticket draws.

    Small batches are drawn several tickets at a time, since a call of NumPy costs more than what it copies then, and
    holds up the other workers meanwhile. The thread that asks for the first ticket of such a run of tickets draws all
    of them; each is handed out once, and one that is asked for again is drawn again.

    Guarantees. Any number of threads may call it. A batch's memory is aligned, and shared with no other.

    Attributes:
      arrays: what is drawn from, the leaves of a pytree.
      structure: that of the pytree, and so of a batch; None for a tuple.
      batches_per_epoch: how many mini-batches an epoch has, B.
    """

    def __init__(self, arrays: tuple[np.ndarray, ...], batch_size: int, seed: int, shuffle: str, structure: Any = None):
        self.arrays = arrays
        # A tuple is the structure that most have, and none needs to be built for it.
        plain = structure is None or structure == jax.tree.structure(arrays)
        self.structure = None if plain else structure
        self._size, self._seed, self._shuffle = batch_size, seed, shuffle
        self._length = len(arrays[0])
        self.batches_per_epoch = self._length // batch_size
        self._orders: dict[int, np.ndarray] = {}
        bytes_of_one = max(1, sum(a[:1].nbytes for a in arrays) * batch_size)
        self._at_once = max(1, min(MOST_AT_ONCE, BYTES_AT_ONCE // bytes_of_one))
        # What was drawn ahead: the first ticket, and the batches by ticket. Assigning a slot and taking out of a dict
        # are each atomic.
        self._ahead: list[tuple[int, dict[int, Batch]]] = [(-1, {})] * KEPT

    def __call__(self, ticket: int) -> Batch:
        """The mini-batch of a ticket, in memory of its own; ValueError for a negative one."""
        first = ticket - ticket % self._at_once
        slot = first // self._at_once % KEPT
        owner, drawn = self._ahead[slot]
        if owner == first and (batch := drawn.pop(ticket, None)) is not None:
            return batch
        if ticket != first or self._at_once == 1 or owner == first:
            return self._draw(range(ticket, ticket + 1))[ticket]
        drawn = self._draw(range(first, first + self._at_once))
        batch = drawn.pop(ticket)
        self._ahead[slot] = first, drawn
        return batch

    def batch_of(self, leaves: Iterable[Any]) -> Batch:
        """Leaves that were drawn, one of each of :attr:`arrays`, in the structure of a batch."""
        return tuple(leaves) if self.structure is None else jax.tree.unflatten(self.structure, leaves)

    def _draw(self, tickets: range) -> dict[int, Batch]:
        rows = [self.rows(ticket) for ticket in tickets]
        chosen = rows[0] if len(rows) == 1 else np.concatenate(rows)
        columns = [self._column(a, chosen, len(tickets)) for a in self.arrays]
        return dict(zip(tickets, map(self.batch_of, zip(*columns, strict=True)), strict=True))

    def _column(self, array: np.ndarray, chosen: np.ndarray, batches: int) -> np.ndarray | list[np.ndarray]:
        shape = (batches, self._size, *array.shape[1:])
        if array[:1].nbytes * self._size % ALIGNMENT == 0 or batches == 1:
            drawn = aligned_empty(shape, array.dtype)
            np.take(array, chosen, axis=0, out=drawn.reshape(len(chosen), *array.shape[1:]), mode="clip")
            return drawn
        taken = np.take(array, chosen, axis=0, mode="clip").reshape(shape)
        return [aligned_copy(batch) for batch in taken]

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
        epoch, position = divmod(ticket, self.batches_per_epoch)
        start, stop = position * self._size, (position + 1) * self._size
        if self._shuffle == "never":
            return np.arange(start, stop, dtype=np.int64)
        return self._order(epoch if self._shuffle == "epoch" else 0)[start:stop]

    def _order(self, epoch: int) -> np.ndarray:
        chosen = self._orders.get(epoch)
        if chosen is None:
            if len(self._orders) > 4:  # workers straddle few epochs; one dropped too early is drawn again, the same
                self._orders.clear()
            key = np.array([self._seed, epoch], np.uint64)  # a list with a seed above 2⁶³ would be made of floats
            chosen = np.random.Generator(np.random.Philox(key=key)).permutation(self._length)
            chosen = self._orders[epoch] = chosen.astype(np.int64, copy=False)
        return chosen


def go_on_from(drawn: Callable[..., Batch], pending: Collection[int], first: int) -> None:
    """Has what :func:`as_batches` made of an iterable go on where a run does; a function of a ticket needs nothing.

    Args:
      drawn: of :func:`as_batches`.
      pending: tickets below ``first`` that are still to be asked for.
      first: the first ticket that no worker has asked for.
    """
    if isinstance(drawn, Pulled):
        drawn.go_on(pending, first)


def as_batches(batches: Callable[..., Batch] | Iterable[Batch], *, epochs: int | None = None) -> Callable[..., Batch]:
    """Makes a function of a ticket of what can be iterated over, and batches whose NumPy arrays are aligned of either.

    Args:
      batches: a function of a ticket; or an iterable, whose item i becomes ticket i. An iterator ends with its items;
        any other iterable, such as a list or a data loader, is begun anew after each epoch, so that with n items an
        epoch item i of epoch e is ticket e·n + i. It is pulled and its arrays are copied under a lock, so it may use
        their memory again.
      epochs: how many epochs there are, ≥ 1; None for as many as there are tickets. A function of a ticket says with
        an attribute ``batches_per_epoch`` how many mini-batches an epoch has.

    Returns:
      A function from a ticket to a batch, aligned as by :func:`aligned`; of a ticket and ``worker`` where the function
      asks for one. That of an iterable gives each item once and
      raises :class:`BatchesExhausted` after the last, or where an epoch has none. After the last of ``epochs`` either
      raises :class:`jasgd.inputs.iterables.EpochsTaken`.

    Raises:
      TypeError: where ``batches`` is neither callable nor iterable; for an array, a dict or a text, whose rows, keys or
        letters are no batches, and for a generator function that was not called.
      ValueError: for ``epochs`` of a function that does not say how long one is, or more than one of an iterator.

    Example:
      >>> pulled = as_batches(["a", "b"])
      >>> pulled(1), pulled(0), pulled(2)
      ('b', 'a', 'a')
    """
    if type(batches) is Minibatches:  # aligned as they are; a class derived of it may do something else
        return batches if epochs is None else _ending(batches, batches.batches_per_epoch, epochs)
    allowed = "batches must be a function of a ticket or an iterator of batches"
    if callable(batches):
        if inspect.isgeneratorfunction(batches):
            raise TypeError(f"{allowed}, got the generator function {batches.__name__}: call it")
        check_draw(batches)
        draw = batches  # else the checker forgets that it is callable
        per_epoch = 0 if epochs is None else _batches_per_epoch(draw)
        return _aligning(draw) if epochs is None else _ending(_aligning(draw), per_epoch, epochs)
    if isinstance(batches, (np.ndarray, jax.Array, Mapping)):
        kind = type(batches).__name__
        raise TypeError(f"{allowed}, one batch each, got {kind}: jasgd.minibatches(array, batch_size) draws rows")
    if isinstance(batches, Iterable) and not isinstance(batches, (str, bytes)):
        return Pulled(batches, epochs)
    raise TypeError(f"{allowed}, got {type(batches).__name__}")


def _batches_per_epoch(draw: Callable[..., Batch]) -> int:
    """How many mini-batches an epoch has, as a function of a ticket says; ValueError where it does not."""
    found = getattr(draw, "batches_per_epoch", None)
    if found is None:
        raise ValueError(
            "epochs must be None for batches that are a function of a ticket and do not say how long an epoch is: give "
            "them an attribute batches_per_epoch, as in batches.batches_per_epoch = 125, or give steps instead"
        )
    if not is_integer(found) or found < 1:
        raise ValueError(f"batches.batches_per_epoch must be an integer ≥ 1, got {brief(repr(found))}")
    return int(found)


def _aligning(draw: Callable[..., Batch]) -> Callable[..., Batch]:
    """The same function, which gives NumPy arrays aligned."""
    if asks_for(draw, "worker"):
        return lambda ticket, worker: aligned(draw(ticket, worker=worker))
    return lambda ticket: aligned(draw(ticket))


class _Ending:
    """A function of a ticket, and perhaps of a worker, that has the tickets of so many epochs alone."""

    def __init__(self, draw: Callable[..., Batch], per_epoch: int, epochs: int):
        self.draw, self._epochs, self._tickets = draw, epochs, per_epoch * epochs

    def __call__(self, ticket: int, *more: int) -> Batch:
        self.require(ticket)
        return self.draw(ticket, *more)

    def require(self, ticket: int) -> None:
        """EpochsTaken for a ticket after the last."""
        if ticket >= self._tickets:
            raise EpochsTaken(self._epochs, self._tickets)


def _ending(draw: Callable[..., Batch], per_epoch: int, epochs: int) -> Callable[..., Batch]:
    ending = _Ending(draw, per_epoch, epochs)
    if asks_for(draw, "worker"):
        return lambda ticket, worker: ending(ticket, worker)
    return ending


def rows_drawn(drawn: Callable[..., Batch]) -> tuple[Minibatches, Callable[[int], None]] | None:
    """The mini-batches of rows of arrays that :func:`as_batches` was given, for who gathers the rows by itself.

    Args:
      drawn: of :func:`as_batches`.

    Returns:
      The mini-batches, and what raises for a ticket that there is not; None where batches are anything else.

    Example:
      >>> import numpy as np
      >>> batches = minibatches(np.arange(6), 2)
      >>> rows_drawn(as_batches(batches, epochs=1))[0] is batches, rows_drawn(as_batches(lambda ticket: 1)) is None
      (True, True)
    """
    source = drawn.draw if isinstance(drawn, _Ending) else drawn
    if type(source) is not Minibatches:  # a derived class may do something else with the rows
        return None
    return source, drawn.require if isinstance(drawn, _Ending) else lambda ticket: None

"""Several mini-batches for one gradient: what a ticket stands for where gradients are accumulated."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.aligned_memory import aligned_empty
from jasgd.core.admission import first_batch
from jasgd.core.batching.accumulation import MicroBatches, UnequalBatches
from jasgd.core.batching.gathering import RowSource
from jasgd.inputs.asked import Keyed, asks_for, drawn_for, keyed_for, seed_words
from jasgd.inputs.iterables import EpochsTaken
from jasgd.record.trees import plain

Draw = Callable[[int, int], Any]


class TicketBatches(NamedTuple):
    """The mini-batches of a run.

    Attributes:
      one: the first by itself, as the loss takes it.
      first: what the gradient of ticket 0 is computed on.
      batch_of: what that of a ticket is, by ticket and worker.
    """

    one: Any
    first: Any
    batch_of: Draw


def ticket_batches(loss_fn: Callable[..., Any], drawn: Callable[..., Any], seed: int, count: int) -> TicketBatches:
    """The mini-batches of a run; the first, which an iterable gives but once, is kept.

    Args:
      loss_fn: the loss, as the user gave it.
      drawn: of :func:`jasgd.data.as_batches`.
      seed: of the run.
      count: mini-batches of one gradient, ≥ 1: ticket t has those from ``count`` · t on.

    Returns:
      The mini-batches.

    Raises:
      ValueError: where all epochs have fewer than ``count``.
    """
    by_worker = asks_for(drawn, "worker")
    draw = drawn_for(loss_fn, drawn, seed)
    one = first_batch(draw)

    def single(ticket: int, worker: int) -> Any:
        return one if ticket == 0 and not by_worker else draw(ticket, worker)

    if count == 1:
        return TicketBatches(one, one, single)
    several = accumulating(single, count)
    try:
        first = several(0, 0)
    except EpochsTaken as end:
        raise ValueError(f"accumulate must be at most {end.left_over}, which all epochs have, got {count}") from None

    def batch_of(ticket: int, worker: int) -> Any:
        return first if ticket == 0 and not by_worker else several(ticket, worker)

    return TicketBatches(one, first, batch_of)


def accumulating(draw: Draw, count: int) -> Draw:
    """Mini-batches ``count`` at a time, by ticket and worker; at the end of all epochs fewer are left out.

    Args:
      draw: a mini-batch by itself.
      count: how many, ≥ 1.

    Returns:
      A function that gives those with the numbers ``count`` · ticket, …, ``count`` · ticket + ``count`` − 1.

    Example:
      >>> accumulating(lambda number, worker: np.full(2, number), 3)(1, 0).stacked.tolist()
      [[3, 3], [4, 4], [5, 5]]
    """

    def several(ticket: int, worker: int) -> MicroBatches | UnequalBatches:
        try:
            return together([draw(number, worker) for number in range(count * ticket, count * (ticket + 1))])
        except EpochsTaken as end:
            raise end.in_groups(count) from None

    return several


def numbers_of(tickets: Collection[int], first: int, count: int) -> tuple[list[int], int]:
    """The numbers of the mini-batches of tickets, and that of the first one of another ticket.

    Example:
      >>> numbers_of([1], 5, 2)
      ([2, 3], 10)
    """
    return [count * ticket + i for ticket in tickets for i in range(count)], count * first


def together(parts: Sequence[Any]) -> MicroBatches | UnequalBatches:
    """Mini-batches as one argument of a compiled function."""
    if len({_kind(part) for part in parts}) > 1 or not jax.tree.leaves(parts):
        return UnequalBatches(tuple(parts))
    return MicroBatches(jax.tree.map(lambda *leaves: stacked(leaves), *parts))


def gathered_together(source: RowSource, count: int) -> RowSource:
    """Rows of so many mini-batches at once.

    Args:
      source: rows of one.
      count: how many, ≥ 1.

    Returns:
      The same source for one; else that of their leaves, with a leading axis.
    """
    if count == 1:
        return source

    def rows(ticket: int) -> np.ndarray:
        try:
            return np.concatenate([source.rows(number) for number in range(count * ticket, count * (ticket + 1))])
        except EpochsTaken as end:
            raise end.in_groups(count) from None

    return RowSource(source.arrays, rows, source.batch_of, (count, *source.leading))


def completed(loss_fn: Callable[..., Any], seed: int, count: int) -> Callable[[Draw], Draw]:
    """Makes of gathered rows what the gradient is computed on, with what keys are made of where the loss asks for one.

    Args:
      loss_fn: the loss, as the user gave it.
      seed: of the run.
      count: mini-batches of one gradient, ≥ 1; each has a key of its own.

    Returns:
      A function that makes of rows of :func:`gathered_together`, by ticket and worker, what :func:`ticket_batches`
      gives.
    """
    if count == 1:
        return keyed_for(loss_fn, seed)
    if not asks_for(loss_fn, "key"):
        return lambda draw: lambda ticket, worker: MicroBatches(draw(ticket, worker))
    words = aligned_stack([seed_words(seed)] * count)

    def keyed(draw: Draw) -> Draw:
        def several(ticket: int, worker: int) -> MicroBatches:
            numbers = aligned_empty((count,), np.uint32)
            numbers[:] = np.arange(count * ticket, count * (ticket + 1))
            return MicroBatches(Keyed(draw(ticket, worker), words, numbers))

        return several

    return keyed


def stacked(leaves: Sequence[Any]) -> Any:
    """Leaves along a new leading axis; Python's numbers, and other weak types, stay weak, and keys stay keys."""
    first = leaves[0]
    if isinstance(first, jax.Array) and jax.dtypes.issubdtype(first.dtype, jax.dtypes.prng_key):
        data = aligned_stack([plain(leaf) for leaf in leaves])
        return jax.random.wrap_key_data(jnp.asarray(data), impl=jax.random.key_impl(first))
    if getattr(first, "weak_type", type(first) in (int, float, complex)):
        return jnp.full(len(leaves), jnp.zeros_like(first)).at[:].set(np.stack([plain(leaf) for leaf in leaves]))
    if isinstance(first, jax.Array) and next(iter(first.devices())).platform != "cpu":
        return jnp.stack(leaves)  # where they lie
    return aligned_stack([plain(leaf) for leaf in leaves])


def aligned_stack(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays along a new leading axis, in aligned memory."""
    together = aligned_empty((len(arrays), *arrays[0].shape), arrays[0].dtype)
    return np.stack(arrays, out=together)


def _kind(batch: Any) -> Any:
    leaves, structure = jax.tree.flatten(batch)
    return structure, *((np.shape(leaf), jnp.result_type(leaf)) for leaf in leaves)

"""Mini-batches as a compiled scan takes them: rows of arrays on the device, or batches drawn before and stacked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.core.admission import first_batch
from jasgd.core.batching.accumulation import MicroBatches
from jasgd.core.batching.micro_batches import stacked
from jasgd.data import Minibatches, as_batches
from jasgd.inputs.asked import Keyed, asks_for, seed_words
from jasgd.record.trees import plain

STACKED_BYTES = 64 << 20  # of mini-batches that are drawn at once


class ScanBatches(Protocol):
    """The mini-batches of one or more seeds, from which compiled scans take those of their steps."""

    @property
    def shared(self) -> Any:
        """The pytree of arrays that lie on the device for the whole run."""

    @property
    def longest(self) -> int:
        """Steps that :meth:`draw` may be called for at once."""

    def draw(self, seed_index: int, tickets: np.ndarray, workers: np.ndarray) -> Any:
        """The inputs of a scan for these tickets of a seed, with a leading axis; ticket -1 for steps without one."""

    @property
    def take(self) -> Callable[[Any, Any], Any]:
        """``take(shared, drawn) -> batch``, the mini-batch of one step, traced; holds no arrays.

        ``drawn`` is the part for this step of what :meth:`draw` gave. Of two that are equal the one does as the other.
        """


def batches_for_scans(batches: Sequence[Callable[..., Any]], longest: int) -> ScanBatches:
    """The mini-batches of one or more seeds, as compiled scans take them.

    Args:
      batches: a function of a ticket for each seed.
      longest: steps whose mini-batches are drawn at once, at most.

    Returns:
      Rows of arrays on the device where all are :func:`jasgd.minibatches` of the same arrays, else stacked batches.

    Raises:
      ValueError: where the mini-batches of one are of another structure or shape than those of another.
    """
    batches = [as_batches(one) for one in batches]
    firsts = [first_batch(one) for one in batches]
    for first in firsts:
        if _shapes(first) != _shapes(firsts[0]):
            shapes = f"got {_written(firsts[0])} for the first and {_written(first)} for another"
            raise ValueError(f"batches must have the same structure, shapes and dtypes for every seed, {shapes}")
    # Not isinstance: a derived class may do something else with the rows.
    minibatches = [one for one in batches if type(one) is Minibatches]
    if len(minibatches) == len(batches) and all(_same(minibatches[0].arrays, one.arrays) for one in minibatches):
        return _GatheredRows(minibatches, longest)
    by_worker = [one if asks_for(one, "worker") else _of_ticket(one) for one in batches]
    return _StackedBatches(by_worker, longest, firsts[0])


def _of_ticket(batches: Callable[..., Any]) -> Callable[[int, int], Any]:
    return lambda ticket, worker: batches(ticket)


def _same(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> bool:
    return len(one) == len(other) and all(
        a is b or (a.dtype == b.dtype and np.array_equal(a, b)) for a, b in zip(one, other, strict=True)
    )


def _shapes(batch: Any) -> Any:
    leaves, structure = jax.tree.flatten(batch)
    return structure, [(np.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]


def _written(batch: Any) -> str:
    return str(jax.tree.map(lambda leaf: f"{jnp.result_type(leaf)}{list(np.shape(leaf))}", batch))


class _GatheredRows:
    """The arrays lie on the device, and each step receives the indices of its rows."""

    def __init__(self, batches: Sequence[Minibatches], longest: int):
        self._batches, self.longest = batches, longest
        self.shared = tuple(jnp.asarray(array) for array in batches[0].arrays)
        self._nothing = np.zeros_like(batches[0].rows(0))

    def draw(self, seed_index: int, tickets: np.ndarray, workers: np.ndarray) -> Any:
        del workers
        rows = [self._nothing if t < 0 else self._batches[seed_index].rows(t) for t in tickets.tolist()]
        return np.stack(rows).astype(np.int32)

    @property
    def take(self) -> Callable[[Any, Any], Any]:
        return _Gathered(self._batches[0].structure)


@dataclasses.dataclass(frozen=True)
class _Gathered:
    """Rows of arrays, in the structure of a batch; a tuple for None."""

    structure: Any

    def __call__(self, shared: Any, drawn: Any) -> Any:
        leaves = tuple(jnp.take(array, drawn, axis=0, mode="clip") for array in shared)
        return leaves if self.structure is None else jax.tree.unflatten(self.structure, leaves)


class _StackedBatches:
    """Any function of a ticket, called for as many steps as fit into 64 MiB; their mini-batches are stacked."""

    def __init__(self, batches: Sequence[Callable[[int, int], Any]], longest: int, nothing: Any):
        self._batches, self._nothing = batches, nothing
        size = sum(plain(leaf).nbytes for leaf in jax.tree.leaves(nothing))
        self.longest = max(1, min(longest, STACKED_BYTES // max(size, 1)))
        self.shared = ()

    def draw(self, seed_index: int, tickets: np.ndarray, workers: np.ndarray) -> Any:
        draw = self._batches[seed_index]
        pairs = zip(tickets.tolist(), workers.tolist(), strict=True)
        drawn = [self._nothing if ticket < 0 else draw(ticket, worker) for ticket, worker in pairs]
        for ticket, batch in zip(tickets.tolist(), drawn, strict=True):
            if _shapes(batch) != _shapes(self._nothing):
                shapes = f"got {_written(self._nothing)} for ticket 0 and {_written(batch)} for ticket {ticket}"
                raise ValueError(f"batches must have the same structure, shapes and dtypes for every ticket, {shapes}")
        return jax.tree.map(lambda *leaves: stacked(leaves), *drawn)

    @property
    def take(self) -> Callable[[Any, Any], Any]:
        return _drawn


def _drawn(shared: Any, drawn: Any) -> Any:
    del shared
    return drawn


class KeyedBatches:
    """Mini-batches with what a key is made of, for a loss that asks for one.

    Args:
      batches: the mini-batches alone.
      seeds: one for each sequence of them.
    """

    def __init__(self, batches: ScanBatches, seeds: Sequence[int]):
        self._batches, self._words = batches, np.stack([seed_words(seed) for seed in seeds])

    @property
    def shared(self) -> Any:
        """As of the mini-batches alone."""
        return self._batches.shared

    @property
    def longest(self) -> int:
        """As of the mini-batches alone."""
        return self._batches.longest

    def draw(self, seed_index: int, tickets: np.ndarray, workers: np.ndarray) -> Any:
        """The inputs of a scan; see :class:`ScanBatches`."""
        drawn = self._batches.draw(seed_index, tickets, workers)
        words = np.broadcast_to(self._words[seed_index], (len(tickets), *self._words.shape[1:]))
        return Keyed(drawn, words, np.maximum(tickets, 0).astype(np.uint32))

    @property
    def take(self) -> Callable[[Any, Any], Any]:
        """What gives the mini-batch of one step; see :class:`ScanBatches`."""
        return _TakenWithKey(self._batches.take)


@dataclasses.dataclass(frozen=True)
class _TakenWithKey:
    """The mini-batch of one step, with what a key is made of."""

    take: Callable[[Any, Any], Any]

    def __call__(self, shared: Any, drawn: Keyed) -> Keyed:
        return drawn._replace(batch=self.take(shared, drawn.batch))


@dataclasses.dataclass(frozen=True)
class _TakenTogether:
    """The mini-batches of one step."""

    take: Callable[[Any, Any], Any]

    def __call__(self, shared: Any, drawn: Any) -> MicroBatches:
        return MicroBatches(jax.vmap(lambda one: self.take(shared, one))(drawn))


def accumulated(batches: ScanBatches, count: int) -> ScanBatches:
    """So many mini-batches for each step of a scan, as :mod:`jasgd.core.batching.micro_batches` has them.

    Args:
      batches: one for each step.
      count: how many, ≥ 1.

    Returns:
      The same for one.
    """
    return batches if count == 1 else _AccumulatedBatches(batches, count)


class _AccumulatedBatches:
    """Several mini-batches of a ticket at once."""

    def __init__(self, batches: ScanBatches, count: int):
        self._batches, self._count = batches, count
        self.longest = max(1, batches.longest // count)
        self.take = _TakenTogether(batches.take)

    @property
    def shared(self) -> Any:
        return self._batches.shared

    def draw(self, seed_index: int, tickets: np.ndarray, workers: np.ndarray) -> Any:
        count, steps = self._count, len(tickets)
        numbers = tickets[:, None] * count + np.arange(count, dtype=tickets.dtype)
        numbers = np.where(tickets[:, None] < 0, tickets[:, None], numbers)
        drawn = self._batches.draw(seed_index, numbers.ravel(), np.repeat(workers, count))
        return jax.tree.map(lambda leaf: leaf.reshape(steps, count, *leaf.shape[1:]), drawn)

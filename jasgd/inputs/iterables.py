"""Mini-batches from what can be iterated over: an iterator once, anything else epoch after epoch."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import jax

from jasgd.aligned_memory import aligned_copy

Batch = Any


class BatchesExhausted(RuntimeError):
    """What was given as ``batches`` ended before a stop condition of the run was met."""


class EpochsTaken(Exception):
    """There is no further ticket, as all of the epochs that a run was to take were taken.

    Args:
      epochs: how many there were.
      tickets: how many they had together: tickets 0 … ``tickets`` − 1.
      each: mini-batches of one ticket, ≥ 1.
      left_over: mini-batches at the end that were too few for a ticket.
    """

    def __init__(self, epochs: int, tickets: int, each: int = 1, left_over: int = 0):
        super().__init__(epochs, tickets, each, left_over)
        self.epochs, self.tickets, self.each, self.left_over = epochs, tickets, each, left_over

    def in_groups(self, each: int) -> EpochsTaken:
        """The same end, where a ticket is of so many of the mini-batches that tickets were counted in."""
        return EpochsTaken(self.epochs, self.tickets // each, each, self.tickets % each)

    def __str__(self) -> str:
        taken = "the one epoch was" if self.epochs == 1 else f"all {self.epochs} epochs were"
        gradients = f"{self.tickets} gradient{'' if self.tickets == 1 else 's'}"
        if self.each > 1:
            gradients += f" of {self.each} mini-batches each"
        if self.left_over:
            gradients += f", and {self.left_over} left over, too few for another"
        return f"{taken} taken ({gradients})"


class Pulled:
    """Item i of an iterator is ticket i, whichever worker asks first; of other iterables, item i of all their epochs.

    Guarantees. Items are pulled and copied under a lock, by the worker that asks first for one that is not there yet.
    An error of the iterable is raised again for every later ticket: a generator that raised is at its end, which would
    else be taken for the end of an epoch. After the last of so many ``epochs`` the iterable is not begun again.

    Args:
      items: what is iterated over.
      epochs: how often, or None for as often as there are tickets; of an iterator 1 or None.

    Raises:
      ValueError: for more epochs than an iterator has.
    """

    def __init__(self, items: Iterable[Batch], epochs: int | None = None):
        self._iterable = items
        self._items: Iterator[Batch] = iter(items)
        self._again = self._items is not items  # an iterator is its own, and can be gone through once
        if epochs is not None and epochs > 1 and not self._again:
            raise ValueError(
                f"epochs must be 1 for batches that are an iterator, which gives its items once, got {epochs}: give "
                "what can be iterated over again, such as a list or a data loader, or jasgd.minibatches(...)"
            )
        self._epochs = epochs
        self._lock = threading.Lock()
        self._next = 0
        self._epoch, self._first = 0, 0  # the present one, and its first ticket
        self._waiting: dict[int, Batch] = {}
        self._error: Exception | None = None

    def __call__(self, ticket: int) -> Batch:
        """The mini-batch of a ticket; an error of the iterable, BatchesExhausted or EpochsTaken where there is none."""
        with self._lock:
            while self._next <= ticket:
                if self._error is not None:
                    raise self._error
                try:
                    item = self._pull(ticket)
                    # A copy, under the lock: the iterable may use its memory again for the next item.
                    self._waiting[self._next] = jax.tree.map(aligned_copy, item)
                except Exception as error:
                    self._error = error
                    raise
                self._next += 1
            if ticket not in self._waiting:
                raise ValueError(f"ticket {ticket} was already taken; an iterator gives each of its items once")
            return self._waiting.pop(ticket)

    def go_on(self, pending: Collection[int], first: int) -> None:
        """Draws up to where a run goes on, and keeps only what it still needs.

        Args:
          pending: tickets that are still to be asked for.
          first: the first of those that no worker has asked for; all others below it are not asked for again.
        """
        needed = set(pending)
        for ticket in range(self._next, first):
            try:
                item = self(ticket)
            except EpochsTaken:  # workers had asked for more than there was
                return
            if ticket in needed:
                self._waiting[ticket] = item

    def _pull(self, ticket: int) -> Batch:
        while True:
            try:
                return next(self._items)
            except StopIteration:
                pass
            is_empty = self._next == self._first
            if self._epochs == self._epoch + 1 and not is_empty:
                raise EpochsTaken(self._epochs, self._next)
            if is_empty or not self._again:
                raise BatchesExhausted(self._end(ticket))
            self._epoch, self._first = self._epoch + 1, self._next
            self._items = iter(self._iterable)

    def _end(self, ticket: int) -> str:
        if not self._epoch:
            end = f"the iterator ended after {self._next} items"
        else:
            epochs = "1 epoch" if self._epoch == 1 else f"{self._epoch} epochs"
            end = f"the iterable gave {self._next} items in {epochs} and none in the next"
        return (
            f"batches ran out: {end}, and ticket {ticket} was asked for; give a longer iterator, a function of the "
            f"ticket, or fewer {'steps' if self._epochs is None else 'epochs'}"
        )

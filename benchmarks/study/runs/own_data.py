"""Mini-batches of data that differ between workers: each draws from its own part of the examples, sorted by class."""

from __future__ import annotations

from typing import Any

import numpy as np

from jasgd.simulating.scan_batches import ScanBatches


class OwnRows:
    """A :class:`jasgd.simulating.scan_batches.ScanBatches` over the arrays of another one.

    The examples are sorted by label and cut into as many equal parts as there are workers; a mini-batch is drawn with
    replacement from the part of its worker, and depends on seed, ticket and worker alone.

    Args:
      gathered: over ``(images, labels)``; its arrays are shared.
      labels: of all examples.
      seeds: by their index.
      workers: number of parts.
      batch: examples of a mini-batch.
    """

    def __init__(self, gathered: ScanBatches, labels: np.ndarray, seeds: list[int], workers: int, batch: int):
        self._gathered, self._seeds, self._batch = gathered, seeds, batch
        self._parts = np.array_split(np.argsort(labels, kind="stable"), workers)

    @property
    def shared(self) -> Any:
        """The arrays on the device."""
        return self._gathered.shared

    @property
    def longest(self) -> int:
        """Steps that are drawn at once."""
        return self._gathered.longest

    def draw(self, seed_index: int, tickets: np.ndarray, workers: np.ndarray) -> np.ndarray:
        """The indices of the rows of each step, int32 [steps, batch]; zeros where there is no ticket."""
        rows = np.zeros((len(tickets), self._batch), np.int32)
        for step, (ticket, worker) in enumerate(zip(tickets.tolist(), workers.tolist(), strict=True)):
            if ticket >= 0:
                key = np.array([self._seeds[seed_index], ticket], np.uint64)
                part = self._parts[worker]
                rows[step] = part[np.random.Generator(np.random.Philox(key=key)).integers(0, len(part), self._batch)]
        return rows

    def take(self, shared: Any, drawn: Any) -> Any:
        """The mini-batch of one step; traced."""
        return self._gathered.take(shared, drawn)

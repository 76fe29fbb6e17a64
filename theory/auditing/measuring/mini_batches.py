"""The mini-batches that a run is measured by: f is their mean loss."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jasgd.aligned_memory import aligned_copy
from jasgd.data import as_batches
from theory.auditing.measuring.estimates import Measured, enlarged

AFTER_RUN = 8192  # mini-batches behind those of the run: some epochs of a data set, and few orders to draw
MOST_KEPT = 256  # mini-batches of an iterable
AT_ENDS = 64  # losses that the loss at the first and the last parameters is the mean of


class Pool:
    """The mini-batches whose mean loss is the f that is measured; draws from it do not depend on the run.

    Args:
      batches: a function of a ticket, or a list or loader.
      first: the first ticket that the run did not take.
      seed: of the draws.

    Attributes:
      words: which mini-batches these are, as a clause.

    Raises:
      ValueError: for an iterator, which gives each item once.

    Example:
      >>> pool = Pool([1.0, 2.0, 3.0], 100)
      >>> pool.words, len(pool.drawn(5)), len(pool.spread(9))
      ('the 3 mini-batches of an epoch', 5, 3)
    """

    def __init__(self, batches: Any, first: int, seed: int = 0):
        self._random = np.random.default_rng(seed)
        if callable(batches):
            self._draw: Callable[[int], Any] = as_batches(batches)
            self._first, self._count = first, AFTER_RUN
            self.words = f"the {AFTER_RUN:,} mini-batches after those of the run"
            if not self._goes_on():
                self._first, self._count = 0, max(first, 1)
                self.words = f"the run's own {self._count:,} mini-batches"
            return
        if iter(batches) is batches:
            raise ValueError("batches must be a function of a ticket, a list or a loader, got an iterator: it ends")
        kept = [jax.tree.map(aligned_copy, item) for item in itertools.islice(iter(batches), MOST_KEPT)]
        self._draw, self._first, self._count = kept.__getitem__, 0, len(kept)
        self.words = f"the {'first ' if len(kept) == MOST_KEPT else ''}{len(kept)} mini-batches of an epoch"

    def _goes_on(self) -> bool:
        """Whether there are others after the run's: NumPy's arrays raise at their end, JAX's repeat the last row."""
        try:  # a function of the run's tickets alone may raise anything for others
            batches = [self._draw(self._first + i) for i in (0, self._count - 1)]
        except Exception:
            return False
        leaves = zip(*map(jax.tree.leaves, batches), strict=True)
        return not all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in leaves)

    def drawn(self, count: int) -> list[Any]:
        """Mini-batches, each drawn from all."""
        return [self._draw(self._first + int(i)) for i in self._random.integers(self._count, size=count)]

    def spread(self, count: int) -> list[Any]:
        """Different mini-batches: all, in a random order, where there are no more than this."""
        chosen = self._random.choice(self._count, size=min(count, self._count), replace=False)
        return [self._draw(self._first + int(i)) for i in chosen]

    def mean_loss(self, loss: Callable[[Any], float]) -> Measured:
        """The mean of a loss over the pool, of some mini-batches, or exactly where there are few.

        Args:
          loss: of a mini-batch.

        Returns:
          The mean with its error.
        """
        values = np.array([loss(batch) for batch in self.spread(AT_ENDS)], np.float64)
        if len(values) == self._count:
            return Measured(float(values.mean()), 0.0)
        variance = float(values.var(ddof=1)) / len(values)
        return Measured(float(values.mean()), enlarged(variance, np.array([variance]), len(values) - 1))

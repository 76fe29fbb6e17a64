"""The table of the published TAIL-τ: one sample of the staleness, counted as that code counts it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jasgd.law import register_law
from jasgd.showing import Shown
from jasgd.staleness_values import as_int32

BINS = 200  # length of the published table
SAMPLE_START, SAMPLE_STOP = 10, 15  # in steps per worker
SHIFTED = 128  # first staleness that the published right shift sends to the last bin


class _Fields(NamedTuple):
    """What the table is stored as."""

    weights: jax.Array
    updates: jax.Array
    workers: int
    mode: str
    warm_up: int


class PublishedTable(Shown, _Fields):
    """The table of the published code: one sample of the staleness, over a nominal count, never taken again.

    A step is numbered where a worker starts it, in the modes ``async`` and ``hogwild``; with every worker busy, the
    step that read version r is number r + workers - 1. In the mode ``leashed`` a step is numbered where it publishes.

    Attributes:
      weights: counts per staleness; shape (200,), int32.
      updates: gradients applied so far; shape (), int32.
      workers: n.
      mode: the published program that is followed.
      warm_up: updates during which the factor is 1.
    """

    __slots__ = ()

    def _facts(self) -> dict[str, Any]:
        return {"workers": self.workers, "mode": self.mode, "warm_up": self.warm_up, "weights": self.weights}

    def count(self, staleness: jax.typing.ArrayLike) -> PublishedTable:  # pyrefly: ignore[bad-override]
        """The table after one more applied gradient."""
        tau = as_int32(staleness)
        numbered = self.updates if self.mode == "leashed" else self.updates - tau + self.workers - 1
        sampled = (numbered > SAMPLE_START * self.workers) & (numbered < SAMPLE_STOP * self.workers)
        # The table is built when step 15n is numbered; what is still in flight then comes too late for it.
        sampled &= (self.updates < self.warm_up) & (tau >= 0)
        weights = self.weights + (jnp.arange(BINS) == jnp.where(sampled, tau, -1)).astype(jnp.int32)
        updates = jnp.where(tau >= 0, optax.safe_increment(self.updates), self.updates)
        return self._replace(weights=weights, updates=updates)

    def strict_tail(self, staleness: jax.typing.ArrayLike) -> jax.Array:
        """Counts below τ over the nominal 5n, where at most 5n - 1 can be counted, and 4n when started steps are."""
        tau = as_int32(staleness)
        place = jnp.where(tau >= SHIFTED, BINS - 1, tau)[..., None]
        below = jnp.sum(jnp.where(jnp.arange(BINS) < place, self.weights, 0), axis=-1)
        return below.astype(jnp.float32) / ((SAMPLE_STOP - SAMPLE_START) * self.workers)


register_law(PublishedTable, leaves=("weights", "updates"))


def empty_table(workers: int, mode: str) -> PublishedTable:
    """The table before the first update."""
    # Updates applied before the table is in use: step 15n starts after 14n + 1 commits, and is published as the
    # last of 15n + 1.
    built = SAMPLE_STOP * workers + 1 if mode == "leashed" else (SAMPLE_STOP - 1) * workers + 1
    return PublishedTable(jnp.zeros(BINS, jnp.int32), jnp.zeros((), jnp.int32), workers, mode, built)

"""The law of the distances between where gradients were computed and where they are applied, over a window."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.inputs.checks import integer
from jasgd.law import Law, register_law
from jasgd.showing import Shown, known

LENGTH_MOST = 2**24  # a window's, in updates: so many are counted exactly in float32


class _Fields(NamedTuple):
    """What a law is stored as."""

    updates: jax.Array
    values: jax.Array


class DistanceLaw(Shown, _Fields, Law):
    r"""The last distances :math:`D_1, …, D_n`, each of probability 1/n; immutable, and a pytree.

    A rule asks it what it asks a law of the staleness: ``cdf``, ``probability``, ``expect``, ``mean``. Equal distances
    are ties. It has no bins.

    Attributes:
      updates: how many distances were ever counted, never forgotten; shape (), int32.
      values: the ring of the last ones, -1 where empty; shape (length,), float32.

    Example:
      >>> law = DistanceLaw.window(3)
      >>> for distance in (9.0, 0.5, 2.0, 0.5):  # the 9 is forgotten by the time of the last
      ...     law = law.count(distance)
      >>> law.values.tolist(), float(law.cdf(0.5, "strict")), float(law.cdf(0.5)), float(law.mean())
      ([0.5, 0.5, 2.0], 0.0, 0.3333333432674408, 1.0)
    """

    __slots__ = ()

    @classmethod
    def window(cls, length: int) -> DistanceLaw:
        """An empty law that remembers the last ``length`` distances.

        Args:
          length: in updates, 1 ≤ length ≤ 2²⁴.

        Returns:
          The law.

        Raises:
          ValueError: for a length out of its range.
        """
        number = integer("window", length, 1)
        if number > LENGTH_MOST:
            raise ValueError(f"window must be an integer from 1 to {LENGTH_MOST}, got {number}")
        return cls(jnp.zeros((), jnp.int32), jnp.full(number, -1, jnp.float32))

    @property
    def length(self) -> int:
        """The window in updates."""
        return self.values.shape[-1]

    @property
    def bins(self) -> int | None:
        """None: there are none."""
        return None

    @property
    def weights(self) -> jax.Array:
        """1 for each entry of ``support`` that is remembered, else 0; shape (length,), int32."""
        return (self.values >= 0).astype(jnp.int32)

    @property
    def support(self) -> jax.Array:
        """The distances, one per update, 0 where the window is not yet full; shape (length,), float32."""
        return jnp.maximum(self.values, jnp.float32(0))

    @property
    def total(self) -> jax.Array:
        """How many distances are remembered; shape (), float32."""
        return jnp.minimum(self.updates, jnp.int32(self.length)).astype(jnp.float32)

    def count(self, distance: jax.typing.ArrayLike) -> DistanceLaw:  # pyrefly: ignore[bad-override]
        """The law after one more distance; one that is not finite is left out.

        Args:
          distance: D ≥ 0; scalar, float32; may be traced.

        Returns:
          The new law.
        """
        distance = jnp.asarray(distance, jnp.float32)
        taken = jnp.isfinite(distance) & (distance >= 0)
        place = self.updates % jnp.int32(self.length)
        # Not .at[].set, which XLA's CPU backend makes a copy and three kernels of.
        here = jnp.arange(self.length, dtype=jnp.int32) == place
        # Behind the largest number it goes on at one that has the same place in the ring.
        again = jnp.int32(2**31 - self.length)
        following = jnp.where(self.updates < 2**31 - 1, self.updates + jnp.int32(1), again)
        return DistanceLaw(jnp.where(taken, following, self.updates), jnp.where(taken & here, distance, self.values))

    def squares(self, distance: jax.typing.ArrayLike) -> tuple[jax.Array, jax.Array]:
        r"""The squares :math:`D^2` and :math:`D_i^2` over the largest :math:`D_i^2`, so that none overflows.

        Args:
          distance: D, which has been counted.

        Returns:
          The square of ``distance``, shape (); those of ``support``, shape (length,); float32 in [0, 1].
        """
        largest = jnp.max(self.support)
        scale = jnp.where(largest > 0, largest, jnp.float32(1))
        return (jnp.asarray(distance, jnp.float32) / scale) ** 2, (self.support / scale) ** 2

    def mean_of(self, values: jax.Array) -> jax.Array:
        """The mean over the window of a number for each entry of ``support``; 0 while nothing is counted."""
        held = jnp.where(self.values >= 0, values, jnp.float32(0))
        return jnp.sum(held) / jnp.maximum(self.total, jnp.float32(1))

    def _mass(self, staleness: jax.typing.ArrayLike, strict: int, inclusive: int) -> jax.Array:
        at = jnp.asarray(staleness, jnp.float32)[..., None]
        counted = self.values >= 0
        below, up_to = counted & (self.values < at), counted & (self.values <= at)
        # Whole numbers up to 2²⁵, exact in float32.
        terms = strict * below.astype(jnp.float32) + inclusive * up_to.astype(jnp.float32)
        return jnp.sum(terms, axis=-1)

    def median(self) -> jax.Array:
        """The least distance with P[· ≤ D] ≥ 1/2, 0 while nothing is counted; float32 scalar."""
        half = (self.values >= 0) & (self.cdf(self.support, "inclusive") >= jnp.float32(0.5))
        return jnp.where(self.total > 0, jnp.min(jnp.where(half, self.support, jnp.float32(jnp.inf))), jnp.float32(0))

    def max(self) -> jax.Array:
        """The largest distance remembered, -1 while nothing is counted; float32 scalar."""
        return jnp.max(self.values)

    def distinct(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The different distances, ascending, twice, and how often each comes; float64."""
        values = np.asarray(self.values, np.float64)
        first, counts = np.unique(values[values >= 0], return_counts=True)
        return first, first, counts.astype(np.float64)

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"length": self.length}
        updates, values = known(self.updates), known(self.values)
        if updates is None or values is None or updates.ndim:  # traced, or of several runs at once
            return facts | {"values": self.values}
        held = values[values >= 0]
        return facts | {"updates": updates.item(), "mean_distance": float(held.mean()) if len(held) else None}


register_law(DistanceLaw, leaves=("values", "updates"))

"""The statistics of a law: what a rule, a table or a reader may ask of a staleness distribution."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, Self

import jax
import jax.numpy as jnp
import numpy as np

CDFKind = Literal["mid", "strict", "inclusive"]
CDF_KINDS: tuple[CDFKind, ...] = ("mid", "strict", "inclusive")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Law:
    r"""A staleness distribution :math:`p_i = w_i / \sum_j w_j` over 0…bins - 1 and one overflow bin.

    Every statistic takes what lies in the overflow bin for ``bins`` itself; ``overflow`` says how much that is.

    Attributes:
      weights: weight per bin; shape (bins + 1,), the last is the overflow bin; int32 or float32.
      updates: how many values were ever counted, never forgotten; shape (); int32.
    """

    weights: jax.Array
    updates: jax.Array

    @property
    def bins(self) -> int:
        """Number of bins before the overflow bin."""
        return self.weights.shape[-1] - 1

    @property
    def counts(self) -> jax.Array:
        """Weights without the overflow bin, shape (bins,)."""
        return self.weights[:-1]

    @property
    def total(self) -> jax.Array:
        """Sum of the weights that are remembered, shape (), float32."""
        return jnp.sum(self.weights).astype(jnp.float32)

    @property
    def pmf(self) -> jax.Array:
        """Probability of each bin, overflow last; shape (bins + 1,), float32; all 0 while nothing is counted."""
        return self.weights.astype(jnp.float32) / jnp.maximum(self.total, jnp.finfo(jnp.float32).tiny)

    @property
    def support(self) -> jax.Array:
        """The staleness that each bin stands for, 0…bins; shape (bins + 1,), int32."""
        return jnp.arange(self.bins + 1, dtype=jnp.int32)

    def cdf(self, staleness: jax.typing.ArrayLike, kind: CDFKind = "mid") -> jax.Array:
        r"""The distribution function: P[T<τ] (strict), P[T≤τ] (inclusive), or :math:`P[T<τ] + \tfrac12 P[T=τ]` (mid).

        Args:
          staleness: τ in updates; integers of any shape, may be traced.
          kind: which of the three.

        Returns:
          float32 of the shape of ``staleness``; 1/2 while nothing is counted, since then no value is stale or fresh.

        Raises:
          ValueError: for an unknown ``kind``.

        Example:
          >>> from jasgd import StalenessHistogram
          >>> law = StalenessHistogram.from_staleness([0, 1, 1, 2])
          >>> [float(law.cdf(1, kind)) for kind in ("strict", "mid", "inclusive")]
          [0.25, 0.5, 0.75]
        """
        if kind not in CDF_KINDS:
            raise ValueError(f"kind must be one of {', '.join(CDF_KINDS)}, got {kind!r}")
        tau = jnp.minimum(jnp.asarray(staleness, jnp.int32), self.bins)[..., None]
        weights = self.weights.astype(jnp.float32)
        share = {"strict": 0.0, "mid": 0.5, "inclusive": 1.0}[kind]
        # Whole counts are summed before the one division, so that halves and quarters come out exact.
        mass = jnp.sum(jnp.where(self.support < tau, weights, 0.0), axis=-1)
        mass += jnp.float32(share) * jnp.sum(jnp.where(self.support == tau, weights, 0.0), axis=-1)
        total = self.total
        return jnp.where(total > 0, mass / jnp.maximum(total, jnp.finfo(jnp.float32).tiny), jnp.float32(0.5))

    def expect(self, function: Callable[[jax.Array], jax.typing.ArrayLike]) -> jax.Array:
        r"""The mean of a function of the staleness, :math:`E[h(T)] = \sum_i p_i\,h(i)`.

        Args:
          function: h, called once with all bins, int32 of shape (bins + 1,); must map over them.

        Returns:
          float32 scalar.

        Example:
          >>> from jasgd import StalenessHistogram
          >>> float(StalenessHistogram.from_staleness([1, 3]).expect(lambda tau: tau * tau))
          5.0
        """
        pmf = self.pmf
        values = jnp.asarray(function(self.support), jnp.float32)
        # A bin without weight adds nothing even where the function is infinite there.
        return jnp.sum(jnp.where(pmf > 0, pmf * values, 0.0))

    def mean(self) -> jax.Array:
        """E[T] in updates; float32 scalar."""
        return self.expect(lambda tau: tau)

    def median(self) -> jax.Array:
        """The least τ with P[T≤τ] ≥ 1/2; int32 scalar."""
        return jnp.argmax(2 * jnp.cumsum(self.weights.astype(jnp.float32)) >= self.total).astype(jnp.int32)

    def max(self) -> jax.Array:
        """The largest staleness remembered, -1 while nothing is counted; int32 scalar."""
        return jnp.max(jnp.where(self.weights > 0, self.support, -1))

    def sum_p2(self) -> jax.Array:
        r""":math:`\sum_i p_i^2`, the chance that two updates are equally stale; float32 scalar."""
        return jnp.sum(self.pmf**2)

    def sum_p3(self) -> jax.Array:
        r""":math:`\sum_i p_i^3`; float32 scalar."""
        return jnp.sum(self.pmf**3)

    def gini(self) -> jax.Array:
        """Gini index E|T-T'| / (2 E[T]) of two independent copies, 0 for a constant law; float32 scalar."""
        below = jnp.cumsum(self.pmf)
        mean = self.mean()
        return jnp.where(mean > 0, jnp.sum(below * jnp.maximum(1.0 - below, 0.0)) / jnp.maximum(mean, 1e-30), 0.0)

    def overflow(self) -> jax.Array:
        """Share of the weight in the overflow bin; float32 scalar."""
        return self.pmf[-1]

    def statistics(self) -> dict[str, float]:
        """All of the above as Python numbers, by name, for tables and files.

        Returns:
          A dict with the keys updates, mean, median, max, sum_p2, sum_p3, gini, overflow.

        Example:
          >>> from jasgd import StalenessHistogram
          >>> StalenessHistogram.from_staleness([1, 3]).statistics()["gini"]
          0.25
        """
        names, law = ("mean", "median", "max", "sum_p2", "sum_p3", "gini", "overflow"), self.padded()
        return {"updates": int(self.updates)} | {name: getattr(law, name)().item() for name in names}

    def padded(self) -> Self:
        """The same distribution over a power of two of bins.

        JAX compiles for each number of bins, which in laws of recorded values is as varied as the largest staleness.

        Returns:
          The law with empty bins after its own; itself where it is traced or has weight in its overflow bin, which
          only laws have whose number of bins was chosen.

        Example:
          >>> from jasgd import StalenessHistogram
          >>> StalenessHistogram.from_staleness([0, 4]).padded().counts.tolist()
          [1, 0, 0, 0, 1, 0, 0, 0]
        """
        if isinstance(self.weights, jax.core.Tracer) or self.weights.ndim != 1:
            return self
        weights = np.asarray(self.weights)
        more = (1 << (self.bins - 1).bit_length()) - self.bins
        if weights[-1] > 0 or more == 0:
            return self
        return dataclasses.replace(self, weights=jnp.asarray(np.pad(weights, (0, more))))

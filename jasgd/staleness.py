"""The law of the staleness, measured online: a histogram that forgets, kept as a pytree."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jasgd.checks import integer

CDFKind = Literal["mid", "strict", "inclusive"]
CDF_KINDS: tuple[CDFKind, ...] = ("mid", "strict", "inclusive")

_DATA = ("weights", "recent", "updates")
_META = ("length", "half_life", "start", "stop", "warm_up")


@functools.partial(jax.tree_util.register_dataclass, data_fields=_DATA, meta_fields=_META)
@dataclasses.dataclass(frozen=True)
class StalenessHistogram:
    r"""The staleness distribution of an execution, :math:`p_i = w_i / \sum_j w_j`, measured while it runs.

    Made by one of the constructors, which say how it forgets: :meth:`window`, :meth:`decay`, :meth:`cumulative`
    (never), :meth:`one_shot` (a sample taken once), or of known values by :meth:`from_staleness`. It is immutable:
    :meth:`count` returns a new one, and works under ``jit``, ``scan`` and ``vmap``.

    A staleness of ``bins`` or more falls into one overflow bin, which every statistic takes for ``bins`` itself;
    ``overflow`` says how much lies there. TAIL's mean stays exactly 1 all the same, since it needs only the order.

    Attributes:
      weights: weight per bin; shape (bins + 1,), the last is the overflow bin; int32, float32 where it decays.
      recent: ring of the last counted bins, -1 where empty; shape (length,) or (0,) without a window; int32.
      updates: how many values were ever counted, never forgotten; shape (); int32.
      length: window in updates, or None.
      half_life: updates after which a value's weight has halved, or None.
      start: counting begins at this update.
      stop: counting ends before this update, or None.
      warm_up: updates during which rules that read the law give 1 (see :func:`jasgd.staleness_adaptive`).

    Example:
      >>> law = StalenessHistogram.window(length=3, bins=8)
      >>> for tau in (5, 1, 2, 1):  # the 5 is forgotten by the time of the last
      ...     law = law.count(tau)
      >>> law.counts.tolist(), int(law.updates), float(law.mean())
      ([0, 2, 1, 0, 0, 0, 0, 0], 4, 1.3333333730697632)
      >>> float(law.cdf(1, "strict")), float(law.cdf(1, "mid"))
      (0.0, 0.3333333432674408)
    """

    weights: jax.Array
    recent: jax.Array
    updates: jax.Array
    length: int | None = None
    half_life: float | None = None
    start: int = 0
    stop: int | None = None
    warm_up: int = 0

    @classmethod
    def _empty(cls, bins: int, dtype: Any = jnp.int32, **how: Any) -> StalenessHistogram:
        integer("bins", bins, 1)
        integer("warm_up", how.get("warm_up", 0), 0)
        ring = how.get("length") or 0
        return cls(jnp.zeros(bins + 1, dtype), jnp.full(ring, -1, jnp.int32), jnp.zeros((), jnp.int32), **how)

    @classmethod
    def window(cls, length: int = 1024, *, bins: int = 256, warm_up: int = 0) -> StalenessHistogram:
        """An empty law that remembers the last ``length`` updates with equal weight.

        Args:
          length: window in updates, ≥ 1.
          bins: staleness values 0…bins-1 have a bin each, ≥ 1.
          warm_up: updates during which rules that read the law give 1, ≥ 0.

        Returns:
          An empty histogram.

        Raises:
          ValueError: for a value out of its range.

        Example:
          >>> StalenessHistogram.window(100).length
          100
        """
        integer("length", length, 1)
        return cls._empty(bins, length=length, warm_up=warm_up)

    @classmethod
    def decay(cls, half_life: float = 512.0, *, bins: int = 256, warm_up: int = 0) -> StalenessHistogram:
        r"""An empty law that forgets exponentially: :math:`w \leftarrow 2^{-1/h}\,w + e_\tau`.

        Args:
          half_life: h in updates, > 0.
          bins: staleness values 0…bins-1 have a bin each, ≥ 1.
          warm_up: updates during which rules that read the law give 1, ≥ 0.

        Returns:
          An empty histogram.

        Raises:
          ValueError: for a value out of its range.

        Example:
          >>> law = StalenessHistogram.decay(half_life=1.0, bins=2).count(0).count(1)
          >>> law.weights.tolist()
          [0.5, 1.0, 0.0]
        """
        if not 0 < half_life < float("inf"):
            raise ValueError(f"half_life must be a finite number of updates > 0, got {half_life}")
        return cls._empty(bins, jnp.float32, half_life=float(half_life), warm_up=warm_up)

    @classmethod
    def cumulative(cls, *, bins: int = 256, warm_up: int = 0) -> StalenessHistogram:
        """An empty law that never forgets; for executions whose workers and speeds do not change.

        Args:
          bins: staleness values 0…bins-1 have a bin each, ≥ 1.
          warm_up: updates during which rules that read the law give 1, ≥ 0.

        Returns:
          An empty histogram.

        Raises:
          ValueError: for a value out of its range.

        Example:
          >>> StalenessHistogram.cumulative(bins=4).count(3).counts.tolist()
          [0, 0, 0, 1]
        """
        return cls._empty(bins, warm_up=warm_up)

    @classmethod
    def one_shot(cls, start: int, stop: int, *, bins: int = 256) -> StalenessHistogram:
        """An empty law sampled once, at updates start ≤ k < stop, and frozen then; rules give 1 until ``stop``.

        It is here to compare with: a law frozen so has been seen to stall training when the number of workers grew
        after the sample.

        Args:
          start: first update that is counted, ≥ 0.
          stop: first update that is not counted any more, > start.
          bins: staleness values 0…bins-1 have a bin each, ≥ 1.

        Returns:
          An empty histogram.

        Raises:
          ValueError: for a value out of its range.

        Example:
          >>> law = StalenessHistogram.one_shot(1, 3, bins=4)
          >>> for tau in (0, 1, 2, 3):
          ...     law = law.count(tau)
          >>> law.counts.tolist(), int(law.updates)
          ([0, 1, 1, 0], 4)
        """
        integer("start", start, 0)
        integer("stop", stop, start + 1)
        return cls._empty(bins, start=start, stop=stop, warm_up=stop)

    @classmethod
    def from_staleness(cls, staleness: Any, *, bins: int | None = None) -> StalenessHistogram:
        """The law of recorded values, each counted once.

        Args:
          staleness: values in updates, ≥ 0; shape (N,); integers.
          bins: as elsewhere; by default as many as leave the overflow bin empty.

        Returns:
          A cumulative histogram of the N values.

        Raises:
          ValueError: for values that are not integers ≥ 0.

        Example:
          >>> StalenessHistogram.from_staleness([0, 2, 2]).counts.tolist()
          [1, 0, 2]
        """
        values = np.asarray(staleness)
        if values.size == 0:
            return cls._empty(bins or 1)
        if not np.issubdtype(values.dtype, np.integer) or values.ndim != 1 or values.min() < 0:
            raise ValueError(f"staleness must be integers ≥ 0 of shape (N,), got {values.dtype}{list(values.shape)}")
        top = int(values.max()) + 1 if bins is None else bins
        counts = np.bincount(np.minimum(values, top), minlength=top + 1).astype(np.int32)
        integer("bins", top, 1)
        return dataclasses.replace(cls._empty(1), weights=jnp.asarray(counts), updates=jnp.int32(values.size))

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

    def count(self, staleness: jax.typing.ArrayLike) -> StalenessHistogram:
        """The law after one more value; a negative one, which only a traced value can be, is left out.

        Args:
          staleness: τ in updates, ≥ 0; scalar integer, may be traced.

        Returns:
          The new law.

        Raises:
          ValueError: for a concrete negative value.

        Example:
          >>> StalenessHistogram.window(4, bins=2).count(7).weights.tolist()  # overflow
          [0, 0, 1]
        """
        if not isinstance(staleness, jax.core.Tracer) and int(staleness) < 0:  # pyrefly: ignore[bad-argument-type]
            raise ValueError(f"staleness must be ≥ 0, got {staleness}")
        tau = jnp.asarray(staleness, jnp.int32)
        taken = (tau >= 0) & (self.updates >= self.start)
        if self.stop is not None:
            taken &= self.updates < self.stop
        bin_ = jnp.where(taken, jnp.minimum(tau, self.bins), -1)
        weights, recent = self.weights, self.recent
        if self.half_life is not None:
            rate = jnp.float32(2.0 ** (-1.0 / self.half_life))
            weights = weights * jnp.where(taken, rate, jnp.float32(1.0))
        if self.length is not None:
            place = self.updates % self.length
            forgotten = jnp.where(taken, recent[place], -1)
            weights = weights - (self.support == forgotten).astype(weights.dtype)
            # Not .at[].set, which XLA's CPU backend makes a copy and three kernels of.
            recent = jnp.where(taken & (jnp.arange(self.length) == place), bin_, recent)
        weights = weights + (self.support == bin_).astype(weights.dtype)
        updates = jnp.where(tau >= 0, optax.safe_increment(self.updates), self.updates)
        return dataclasses.replace(self, weights=weights, recent=recent, updates=updates)

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
          >>> StalenessHistogram.from_staleness([1, 3]).statistics()["gini"]
          0.25
        """
        names, law = ("mean", "median", "max", "sum_p2", "sum_p3", "gini", "overflow"), self.padded()
        return {"updates": int(self.updates)} | {name: getattr(law, name)().item() for name in names}

    def padded(self) -> StalenessHistogram:
        """The same distribution over a power of two of bins.

        JAX compiles for each number of bins, which in laws of recorded values is as varied as the largest staleness.

        Returns:
          The law with empty bins behind its own; itself where it is traced or has weight in its overflow bin, which
          only laws have whose number of bins was chosen.

        Example:
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

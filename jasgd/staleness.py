"""Measuring the law of the staleness while a run goes on: what was counted is forgotten in time; kept as a pytree."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.inputs import specs
from jasgd.inputs.checks import integer
from jasgd.law import Law, register_law
from jasgd.showing import Shown, known
from jasgd.staleness_values import MOST, checked_staleness, distinct, wide_bins

BINS_MOST = 2**20  # of bins of one value each
LENGTH_MOST = 2**24  # a window's, in updates: so many are counted exactly in float32
HALF_LIFE_MOST = 1e6  # in updates; in float32 a weight cannot lose much less than 2⁻²⁴ of itself at a time


class _Fields(NamedTuple):
    """What a law is stored as: arrays, and how it forgets."""

    updates: jax.Array
    values: jax.Array | None = None
    counts: jax.Array | None = None
    bins: int | None = None
    length: int | None = None
    half_life: float | None = None
    start: int = 0
    stop: int | None = None
    warm_up: int = 0


class StalenessHistogram(Shown, _Fields, Law):
    r"""The staleness distribution of an execution, :math:`p_i = w_i / \sum_j w_j`, measured while it runs.

    Make one by a constructor, which says how it forgets: :meth:`window`, :meth:`decay`, :meth:`cumulative`
    (never), :meth:`one_shot` (a sample taken once), or of known values by :meth:`from_staleness`. It is immutable:
    :meth:`count` returns a new one, and works under ``jit``, ``scan`` and ``vmap``.

    A window keeps the values themselves, and so does a law of known values: their statistics are exact, however large
    the staleness is. The others have bins for all values up to 2³¹ - 1: one each up to 66, then bins that are at most
    3 % wide. In the statistics the value in its middle stands for a bin, which is off by 1.5 % at most; for ``cdf`` the
    values of a bin are ties, so TAIL's mean stays exactly 1.

    With ``bins`` every staleness from there on counts as ``bins`` itself, in every statistic, and ``overflow`` says
    how much that is; the values below have a bin each. TAIL then gives all those beyond one factor.

    Attributes:
      updates: how many values were ever counted, never forgotten; shape (); int32. After 2³¹ - 1 it stays there: a
        law that never forgets counts no more, a window goes on.
      values: in a window the ring of the last values, -1 where empty, shape (length,); in a law of known values these,
        ascending; int32. None otherwise.
      counts: weight per bin, or per known value; int32, float32 where it decays. None in a window, where it is 1.
      bins: the staleness from which on all count as this one, or None.
      length: window in updates, or None.
      half_life: updates after which a value's weight has halved, or None.
      start: counting begins at this update.
      stop: counting ends before this update, or None.
      warm_up: updates during which rules that read the law give 1 (see :func:`jasgd.staleness_adaptive`).

    Example:
      >>> law = StalenessHistogram.window(length=3)
      >>> for tau in (5, 1, 2, 1):  # the 5 is forgotten by the time of the last
      ...     law = law.count(tau)
      >>> law.values.tolist(), int(law.updates), float(law.mean())
      ([1, 1, 2], 4, 1.3333333730697632)
      >>> float(law.cdf(1, "strict")), float(law.cdf(1, "mid"))
      (0.0, 0.3333333432674408)
    """

    __slots__ = ()

    @property
    def complete(self) -> bool:
        """Whether this is a law of known values, which counts no others."""
        return self.values is not None and self.counts is not None

    @property
    def weights(self) -> jax.Array:
        """Weight of each entry of ``support``, shape (n,); int32, float32 where it decays."""
        if self.counts is not None:
            return self.counts
        assert self.values is not None
        return (self.values >= 0).astype(jnp.int32)

    @property
    def support(self) -> jax.Array:
        """The staleness that each weight stands for, shape (n,), int32; in a window one per update, repetitions too."""
        if self.values is not None:
            return jnp.maximum(self.values, jnp.int32(0))
        if self.bins is not None:
            return jnp.arange(self.bins + 1, dtype=jnp.int32)
        return jnp.asarray(wide_bins().middle)

    @property
    def bounds(self) -> tuple[jax.Array, jax.Array]:
        """The smallest and the largest staleness that each weight stands for; shape (n,), int32."""
        if self.values is not None or self.bins is not None:
            return self.support, self.support
        return jnp.asarray(wide_bins().first), jnp.asarray(wide_bins().last)

    @property
    def total(self) -> jax.Array:
        """Sum of the weights that are remembered, shape (), float32."""
        if self.length is None:
            return super().total
        return jnp.minimum(self.updates, jnp.int32(self.length)).astype(jnp.float32)  # no sum over the ring

    def _ascending(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        if self.length is None or self.values is None:
            return super()._ascending()
        ring = jnp.sort(self.values)
        return ring, ring, (ring >= 0).astype(jnp.int32)

    def _facts(self) -> dict[str, Any]:
        how = ("bins", "length", "half_life", "start", "stop", "warm_up")
        facts: dict[str, Any] = {name: getattr(self, name) or None for name in how}
        updates, held = known(self.updates), [known(part) for part in (self.values, self.counts) if part is not None]
        if updates is None or updates.ndim or any(part is None for part in held):  # traced, or of several runs at once
            return facts | {"values": self.values, "counts": self.counts}
        first, last, weights = self.distinct()
        mean = float(weights @ (first + last)) / 2 / float(weights.sum()) if len(weights) else None
        return facts | {"updates": updates.item(), "mean_staleness": mean}

    @classmethod
    def _binned(cls, bins: int | None, dtype: Any = jnp.int32, **how: Any) -> StalenessHistogram:
        number = len(wide_bins().first) if bins is None else _bound(bins) + 1
        return cls._empty(bins=bins, counts=jnp.zeros(number, dtype), **how)

    @classmethod
    def _empty(cls, *, warm_up: int = 0, **fields: Any) -> StalenessHistogram:
        return cls(updates=jnp.zeros((), jnp.int32), warm_up=_within("warm_up", warm_up, 0, MOST), **fields)

    @classmethod
    def window(cls, length: int = 1024, *, bins: int | None = None, warm_up: int = 0) -> StalenessHistogram:
        """An empty law that remembers the last ``length`` updates with equal weight, exactly.

        Args:
          length: window in updates, 1 ≤ length ≤ 2²⁴.
          bins: the staleness from which on all count as this one, 1 ≤ bins ≤ 2²⁰; by default none does.
          warm_up: updates during which rules that read the law give 1, ≥ 0.

        Returns:
          An empty histogram.

        Raises:
          ValueError: for a value out of its range.

        Example:
          >>> law = StalenessHistogram.window(2).count(5_000_000).count(7)
          >>> law.values.tolist(), float(law.cdf(5_000_000))
          ([5000000, 7], 0.75)
        """
        ring = jnp.full(_within("length", length, 1, LENGTH_MOST), -1, jnp.int32)
        bound = None if bins is None else _bound(bins)
        return cls._empty(values=ring, bins=bound, length=len(ring), warm_up=warm_up)

    @classmethod
    def decay(cls, half_life: float = 512.0, *, bins: int | None = None, warm_up: int = 0) -> StalenessHistogram:
        r"""An empty law that forgets exponentially: :math:`w \leftarrow 2^{-1/h}\,w + e_\tau`.

        Args:
          half_life: h in updates, 0 < h ≤ 10⁶.
          bins: the staleness from which on all count as this one, with a bin for each one below, 1 ≤ bins ≤ 2²⁰; by
            default there are bins for all, exact up to 66 and then at most 3 % wide.
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
        if half_life > HALF_LIFE_MOST:
            raise ValueError(
                f"half_life must be at most {HALF_LIFE_MOST:g} updates, since in float32 weights cannot fall more "
                f"slowly, got {half_life}; a law that never forgets is cumulative()"
            )
        return cls._binned(bins, jnp.float32, half_life=float(half_life), warm_up=warm_up)

    @classmethod
    def cumulative(cls, *, bins: int | None = None, warm_up: int = 0) -> StalenessHistogram:
        """An empty law that never forgets; for executions whose workers and speeds do not change.

        Args:
          bins: as in :meth:`decay`.
          warm_up: updates during which rules that read the law give 1, ≥ 0.

        Returns:
          An empty histogram.

        Raises:
          ValueError: for a value out of its range.

        Example:
          >>> StalenessHistogram.cumulative(bins=4).count(3).weights.tolist()
          [0, 0, 0, 1, 0]
        """
        return cls._binned(bins, warm_up=warm_up)

    @classmethod
    def one_shot(cls, start: int, stop: int, *, bins: int | None = None) -> StalenessHistogram:
        """An empty law sampled once, at updates start ≤ k < stop, and frozen then; rules give 1 until ``stop``.

        It is here to compare with: a law frozen so has been seen to stall training when the number of workers grew
        after the sample.

        Args:
          start: first update that is counted, ≥ 0.
          stop: first update that is not counted any more, > start.
          bins: as in :meth:`decay`.

        Returns:
          An empty histogram.

        Raises:
          ValueError: for a value out of its range.

        Example:
          >>> law = StalenessHistogram.one_shot(1, 3, bins=4)
          >>> for tau in (0, 1, 2, 3):
          ...     law = law.count(tau)
          >>> law.weights.tolist(), int(law.updates)
          ([0, 1, 1, 0, 0], 4)
        """
        start = _within("start", start, 0, MOST - 1)
        stop = _within("stop", stop, start + 1, MOST)
        return cls._binned(bins, start=start, stop=stop, warm_up=stop)

    @classmethod
    def from_staleness(cls, staleness: Any, *, bins: int | None = None) -> StalenessHistogram:
        """The law of recorded values, each counted once.

        Args:
          staleness: values in updates, 0 ≤ τ < 2³¹; shape (N,); integers.
          bins: the staleness from which on all count as this one; by default none does.

        Returns:
          The law of the N values, of one weight per different value, which is not to be counted on; with ``bins`` a
          cumulative histogram, which is.

        Raises:
          ValueError: for values that are not such integers, or ``bins`` out of its range.

        Example:
          >>> law = StalenessHistogram.from_staleness([0, 10**9, 10**9])
          >>> law.support.tolist(), law.weights.tolist()
          ([0, 1000000000], [1, 2])
        """
        values, bound = np.asarray(staleness), None if bins is None else _bound(bins)
        if values.size and (not np.issubdtype(values.dtype, np.integer) or values.ndim != 1 or values.min() < 0):
            raise ValueError(f"staleness must be integers ≥ 0 of shape (N,), got {values.dtype}{list(values.shape)}")
        if values.size and values.max() > MOST:
            raise ValueError(f"staleness must be at most {MOST} updates, got {values.max()}")
        values = values.reshape(-1).astype(np.int64)
        updates = jnp.asarray(values.size, jnp.int32)
        if bound is not None:
            counts = np.bincount(np.minimum(values, bound), minlength=bound + 1)
            return cls._binned(bound)._replace(counts=jnp.asarray(counts, jnp.int32), updates=updates)
        support, counts = distinct(values) if values.size else (np.zeros(1), np.zeros(1))
        return cls(updates=updates, values=jnp.asarray(support, jnp.int32), counts=jnp.asarray(counts, jnp.int32))

    def count(self, staleness: jax.typing.ArrayLike) -> StalenessHistogram:  # pyrefly: ignore[bad-override]
        """The law after one more value; a negative one, which only a traced value can be, is left out.

        Args:
          staleness: τ in updates, ≥ 0; scalar integer, may be traced. One that is traced counts as 2³¹ - 1 where it
            is larger.

        Returns:
          The new law.

        Raises:
          TypeError: for what is no integer; for a law of known values, which has no place for others.
          ValueError: for a concrete value that is negative or above 2³¹ - 1.

        Example:
          >>> StalenessHistogram.cumulative(bins=2).count(7).weights.tolist()  # overflow
          [0, 0, 1]
        """
        if self.complete:
            raise TypeError(
                "a law of known values counts no others: begin with an empty law, such as "
                "StalenessHistogram.cumulative(), or give from_staleness its bins"
            )
        tau = checked_staleness(staleness)
        taken = tau >= 0
        if self.bins is not None:
            tau = jnp.minimum(tau, jnp.int32(self.bins))
        values, counts = self.values, self.counts
        if values is not None and self.length is not None:
            # Not .at[].set, which XLA's CPU backend makes a copy and three kernels of.
            place = self.updates % jnp.int32(self.length)
            values = jnp.where(taken & (jnp.arange(self.length, dtype=jnp.int32) == place), tau, values)
        elif counts is not None:
            first, last = self.bounds
            if self.start:
                taken &= self.updates >= self.start
            if self.stop is not None:
                taken &= self.updates < self.stop
            if self.half_life is not None:
                rate = jnp.float32(2.0 ** (-1.0 / self.half_life))
                counts = counts * jnp.where(taken, rate, jnp.float32(1.0))
            else:
                taken &= self.updates < MOST  # or the counts could wrap
            counts = counts + (taken & (first <= tau) & (tau <= last)).astype(counts.dtype)
        # Behind the largest number a window goes on at one that has the same place in its ring.
        again = jnp.int32(MOST + 1 - (self.length or 1))
        following = jnp.where(self.updates < MOST, self.updates + jnp.int32(1), again)
        return self._replace(values=values, counts=counts, updates=jnp.where(tau >= 0, following, self.updates))

    def padded(self) -> Self:
        """The same distribution with a power of two of values; itself where their number was chosen, or it is traced.

        JAX compiles for each number of values, which in laws of recorded ones is as varied as the records.

        Example:
          >>> law = StalenessHistogram.from_staleness([0, 4, 9]).padded()
          >>> law.support.tolist(), law.weights.tolist()
          ([0, 4, 9, 9], [1, 1, 1, 0])
        """
        if self.values is None or self.counts is None or isinstance(self.values, jax.core.Tracer):
            return self
        more = (1 << (len(self.values) - 1).bit_length()) - len(self.values)
        values, counts = np.pad(self.values, (0, more), mode="edge"), np.pad(self.counts, (0, more))
        return self._replace(values=jnp.asarray(values), counts=jnp.asarray(counts))


register_law(StalenessHistogram, leaves=("values", "counts", "updates"))  # in this order in saved states


def _within(name: str, value: int, least: int, most: int) -> int:
    number = integer(name, value, least)
    if number > most:
        raise ValueError(f"{name} must be an integer from {least} to {most}, got {number}")
    return number


def _bound(bins: int) -> int:
    return _within("bins", bins, 1, BINS_MOST)


#: The kinds of laws by name: how each forgets.
LAWS = {
    "window": StalenessHistogram.window,
    "decay": StalenessHistogram.decay,
    "cumulative": StalenessHistogram.cumulative,
    "one_shot": StalenessHistogram.one_shot,
}


def parse_law(text: str) -> StalenessHistogram:
    """The empty law that a text names.

    Args:
      text: ``name:key=value,…`` with a name of :data:`LAWS` and the options of that law, for instance
        ``window:length=256``.

    Returns:
      The law.

    Raises:
      ValueError: for an unknown name or option, a missing option, or a value that the law refuses.

    Example:
      >>> law = parse_law("decay:half_life=100,bins=64")
      >>> law.half_life, law.bins
      (100.0, 64)
    """
    name, options = specs.parse_spec(text)
    factory = specs.entry("law", LAWS, name)
    specs.check_names(f"law {name!r}", options, inspect.signature(factory).parameters)
    try:
        specs.check_kinds(factory, options)
        return specs.make(f"law {name!r}", factory, options)
    except ValueError as error:
        raise ValueError(f"law {text!r}: {error}") from error

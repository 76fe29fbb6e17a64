"""Measuring the law of the staleness while a run goes on: a histogram that forgets, kept as a pytree."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jasgd import specs
from jasgd.checks import integer
from jasgd.law import Law
from jasgd.showing import Shown, known

_DATA = ("weights", "recent", "updates")  # in this order in saved optimizer states
_META = ("length", "half_life", "start", "stop", "warm_up")


@functools.partial(jax.tree_util.register_dataclass, data_fields=_DATA, meta_fields=_META)
@dataclasses.dataclass(frozen=True, repr=False)
class StalenessHistogram(Shown, Law):
    r"""The staleness distribution of an execution, :math:`p_i = w_i / \sum_j w_j`, measured while it runs.

    Make one by a constructor, which says how it forgets: :meth:`window`, :meth:`decay`, :meth:`cumulative`
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

    recent: jax.Array
    length: int | None = None
    half_life: float | None = None
    start: int = 0
    stop: int | None = None
    warm_up: int = 0

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {name: getattr(self, name) or None for name in _META}
        weights, updates = known(self.weights), known(self.updates)
        if weights is None or updates is None or weights.ndim != 1:  # traced, or of several runs at once
            return facts | {"weights": self.weights}
        total = float(weights.sum())
        mean = float(weights @ np.arange(len(weights))) / total if total else None
        return facts | {"bins": len(weights) - 1, "updates": updates.item(), "mean_staleness": mean}

    @classmethod
    def _empty(cls, bins: int, dtype: Any = jnp.int32, **how: Any) -> StalenessHistogram:
        integer("bins", bins, 1)
        integer("warm_up", how.get("warm_up", 0), 0)
        ring = how.get("length") or 0
        recent = jnp.full(ring, -1, jnp.int32)
        return cls(weights=jnp.zeros(bins + 1, dtype), updates=jnp.zeros((), jnp.int32), recent=recent, **how)

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

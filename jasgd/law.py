"""The statistics of a law: what a rule, a table or a reader may ask of a staleness distribution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.inputs.cdf_kinds import CDF_KINDS, CDFKind
from jasgd.staleness_values import MOST, as_int32

_MANY = 64  # values of τ, from which on sorting the law once is cheaper than comparing each with all of it


class Law:
    r"""A staleness distribution: values :math:`s_i` in updates, of probability :math:`p_i = w_i / \sum_j w_j` each.

    The values need not be in order nor all different. Where the law has bins wider than one value, :math:`s_i` stands
    for all values of a bin, which count as ties. Where it has an upper bound, every value from there on counts as the
    bound; ``overflow`` says how much that is.

    What derives from it stores or computes ``bins``, ``updates``, ``weights`` and ``support``.
    """

    __slots__ = ()  # what derives from it is a tuple

    @property
    def bins(self) -> int | None:
        """The staleness from which on all count as this one, or None."""
        raise NotImplementedError

    @property
    def updates(self) -> jax.Array:
        """How many values were ever counted, never forgotten; shape (), int32."""
        raise NotImplementedError

    @property
    def weights(self) -> jax.Array:
        """Weight of each value, ≥ 0; shape (n,); int32 or float32."""
        raise NotImplementedError

    @property
    def support(self) -> jax.Array:
        """The values, ≥ 0; shape (n,), int32. One of weight 0 says nothing."""
        raise NotImplementedError

    @property
    def bounds(self) -> tuple[jax.Array, jax.Array]:
        """The smallest and the largest staleness that each value stands for; two of the shape (n,), int32."""
        return self.support, self.support

    def _ascending(self) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The bounds in ascending order, and the weights in theirs."""
        return *self.bounds, self.weights

    @property
    def total(self) -> jax.Array:
        """Sum of the weights that are remembered, shape (), float32."""
        return jnp.sum(self.weights, dtype=self.weights.dtype).astype(jnp.float32)

    @property
    def pmf(self) -> jax.Array:
        """Probability of each entry of ``support``; shape (n,), float32; all 0 while nothing is counted.

        Where values repeat, as in a window, that of one value is in parts; :meth:`probability` adds them up.
        """
        return self.weights.astype(jnp.float32) / self._divisor()

    def _divisor(self) -> jax.Array:
        return jnp.maximum(self.total, jnp.finfo(jnp.float32).tiny)

    def cdf(self, staleness: jax.typing.ArrayLike, kind: CDFKind = "mid") -> jax.Array:
        r"""The distribution function: P[T<τ] (strict), P[T≤τ] (inclusive), or :math:`P[T<τ] + \tfrac12 P[T=τ]` (mid).

        Args:
          staleness: τ in updates; integers of any shape, may be traced.
          kind: which of the three.

        Returns:
          float32 of the shape of ``staleness``; 1/2 while nothing is counted, since then no value is stale or fresh.

        Raises:
          ValueError: for an unknown ``kind``.
          TypeError: for a staleness that is no integer.

        Example:
          >>> from jasgd import StalenessHistogram
          >>> law = StalenessHistogram.from_staleness([0, 1, 1, 2])
          >>> [float(law.cdf(1, kind)) for kind in ("strict", "mid", "inclusive")]
          [0.25, 0.5, 0.75]
        """
        if kind not in CDF_KINDS:
            raise ValueError(f"kind must be one of {', '.join(CDF_KINDS)}, got {kind!r}")
        strict, inclusive = {"strict": (1, 0), "mid": (1, 1), "inclusive": (0, 1)}[kind]
        # Whole counts are summed before the one division, so that halves and quarters come out exact.
        mass = self._mass(staleness, strict, inclusive)
        if kind == "mid":
            mass *= jnp.float32(0.5)
        return jnp.where(self.total > 0, mass / self._divisor(), jnp.float32(0.5))

    def probability(self, staleness: jax.typing.ArrayLike) -> jax.Array:
        """P[T=τ]; where bins are wider than one value, that of the bin in which τ lies.

        Args:
          staleness: τ in updates; integers of any shape, may be traced.

        Returns:
          float32 of the shape of ``staleness``; 0 while nothing is counted.

        Raises:
          TypeError: for a staleness that is no integer.

        Example:
          >>> import jax.numpy as jnp
          >>> from jasgd import StalenessHistogram
          >>> StalenessHistogram.from_staleness([0, 1, 1, 10**9]).probability(jnp.array([0, 1, 2, 10**9])).tolist()
          [0.25, 0.5, 0.0, 0.25]
        """
        return self._mass(staleness, -1, 1) / self._divisor()

    def _mass(self, staleness: jax.typing.ArrayLike, strict: int, inclusive: int) -> jax.Array:
        """``strict`` times the weight below τ plus ``inclusive`` times that up to τ; float32 of the shape of τ."""
        tau = as_int32(staleness)
        if self.bins is not None:
            tau = jnp.minimum(tau, jnp.int32(self.bins))
        # Twice the weight of 2³¹ - 1 updates fits into uint32, in which subtracting is exact as well.
        kind = jnp.uint32 if self.weights.dtype == jnp.int32 else jnp.float32

        def times(factor: int, mass: jax.Array) -> jax.Array:
            return mass if factor == 1 else -mass

        parts = []
        if tau.size <= _MANY:
            (first, last), weights, tau = self.bounds, self.weights.astype(kind), tau[..., None]
            for factor, below in ((strict, last < tau), (inclusive, first <= tau)):
                if factor:
                    parts.append(times(factor, jnp.where(below, weights, kind(0))))
            return jnp.sum(sum(parts[1:], parts[0]), axis=-1, dtype=kind).astype(jnp.float32)
        first, last, weights = self._ascending()
        up_to = jnp.concatenate([jnp.zeros(1, kind), jnp.cumsum(weights.astype(kind), dtype=kind)])
        for factor, ends, side in ((strict, last, "left"), (inclusive, first, "right")):
            if factor:
                place = jnp.searchsorted(ends, tau, side=side)
                parts.append(times(factor, up_to[place]))
        return sum(parts[1:], parts[0]).astype(jnp.float32)

    def expect(self, function: Callable[[jax.Array], jax.typing.ArrayLike]) -> jax.Array:
        r"""The mean of a function of the staleness, :math:`E[h(T)] = \sum_i p_i\,h(s_i)`.

        Args:
          function: h, called once with all values, int32 of shape (n,); must map over them. Products of large values
            overflow int32: multiply by 1.0 first.

        Returns:
          float32 scalar.

        Example:
          >>> from jasgd import StalenessHistogram
          >>> float(StalenessHistogram.from_staleness([1, 3]).expect(lambda tau: 1.0 * tau * tau))
          5.0
        """
        weights = self.weights.astype(jnp.float32)
        values = jnp.asarray(function(self.support), jnp.float32)
        # A value without weight adds nothing even where the function is infinite there.
        return jnp.sum(jnp.where(weights > 0, weights * values, jnp.float32(0.0))) / self._divisor()

    def mean(self) -> jax.Array:
        """E[T] in updates; float32 scalar."""
        return self.expect(lambda tau: tau)

    def median(self) -> jax.Array:
        """The least τ with P[T≤τ] ≥ 1/2, 0 while nothing is counted; int32 scalar."""
        half = (self.weights > 0) & (self.cdf(self.support, "inclusive") >= jnp.float32(0.5))
        least = jnp.min(jnp.where(half, self.support, jnp.int32(MOST)))
        return jnp.where(self.total > 0, least, jnp.int32(0))

    def max(self) -> jax.Array:
        """The largest staleness remembered, -1 while nothing is counted; int32 scalar."""
        return jnp.max(jnp.where(self.weights > 0, self.support, jnp.int32(-1)))

    def sum_p2(self) -> jax.Array:
        r""":math:`\sum_\tau P[T=\tau]^2`, the chance that two updates are equally stale; float32 scalar."""
        return self.expect(self.probability)

    def sum_p3(self) -> jax.Array:
        r""":math:`\sum_\tau P[T=\tau]^3`; float32 scalar."""
        return self.expect(lambda tau: self.probability(tau) ** 2)

    def gini(self) -> jax.Array:
        """Gini index E|T-T'| / (2 E[T]) of two independent copies, 0 for a constant law; float32 scalar."""
        # E|T - T'| = 2 E[T (2 F(T) - 1)] with the mid-distribution function F.
        mean = self.mean()
        ahead = self.expect(lambda tau: tau.astype(jnp.float32) * (2 * self.cdf(tau) - 1))
        return jnp.where(mean > 0, jnp.maximum(ahead, 0) / jnp.maximum(mean, jnp.float32(1e-30)), jnp.float32(0.0))

    def overflow(self) -> jax.Array:
        """Share of the weight at ``bins``, where all that lies beyond counts; 0 without that bound; float32 scalar."""
        return jnp.float32(0.0) if self.bins is None else self.probability(self.bins)

    def statistics(self) -> dict[str, float]:
        """All of the above as Python numbers, by name, for tables and files; computed in float64, without JAX.

        Returns:
          A dict with the keys updates, mean, median, max, sum_p2, sum_p3, gini, overflow.

        Example:
          >>> from jasgd import StalenessHistogram
          >>> StalenessHistogram.from_staleness([1, 3]).statistics()["gini"]
          0.25
        """
        first, last, weights = self.distinct()
        counted = len(weights) > 0
        values, p = (first + last) // 2, weights / weights.sum() if counted else weights
        up_to, mean = np.cumsum(p), float(p @ values)
        beyond = 0.0 if self.bins is None else float(p[values >= self.bins].sum())
        return {
            "updates": int(self.updates),
            "mean": mean,
            "median": int(values[np.argmax(2 * np.cumsum(weights) >= weights.sum())]) if counted else 0,
            "max": int(values[-1]) if counted else -1,
            "sum_p2": float((p**2).sum()),
            "sum_p3": float((p**3).sum()),
            "gini": max(0.0, float(p * values @ (2 * up_to - p - 1)) / mean) if mean else 0.0,
            "overflow": beyond,
        }

    def padded(self) -> Self:
        """The same distribution with a power of two of values; itself where their number was chosen, or it is traced.

        JAX compiles for each number of values, which in laws of recorded ones is as varied as the records.
        """
        return self

    def distinct(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The law as a table outside JAX, without repetitions and without values of no weight.

        Returns:
          The smallest and the largest staleness that each value stands for, ascending, int64 of shape (k,), equal
          where it stands for itself alone; and the weights, float64.

        Example:
          >>> from jasgd import StalenessHistogram
          >>> StalenessHistogram.from_staleness([7, 0, 7]).distinct()
          (array([0, 7]), array([0, 7]), array([1., 2.]))
        """
        weights = np.asarray(self.weights, np.float64)
        if weights.ndim != 1:
            raise ValueError(f"law must be one law, got several: weights of shape {weights.shape}")
        low, high = (np.asarray(bound, np.int64)[weights > 0] for bound in self.bounds)
        first, place = np.unique(low, return_inverse=True)
        last = np.zeros_like(first)
        last[place] = high
        return first, last, np.bincount(place, weights[weights > 0], len(first))


def register_law(law: type[Any], leaves: tuple[str, ...]) -> None:
    """Makes a named tuple a pytree of some of its fields; the others are part of the structure, and hashable.

    Laws are named tuples, since the serializers of other libraries, such as Flax's, know those, and no dataclasses of
    ours. JAX takes them for dataclasses, whose fields it reads without calling Python.

    Args:
      law: the type.
      leaves: names of the fields that are arrays, or None, in the order of the leaves.
    """
    fixed = [name for name in law._fields if name not in leaves]
    jax.tree_util.register_dataclass(law, data_fields=list(leaves), meta_fields=fixed)

r"""Rules that fall in a line with τ, and are 0 from some staleness on: the best functions of τ under a bound.

Theorem G: among all :math:`C \ge 0` with E[C] = 1, the noise factor of the convergence theorems,
:math:`V(C) = E[C^2]\,(1 + c\,E[\tau C])` with c = 2Lη, is least for a truncated line
:math:`C(\tau) = (1 - \tau/\theta)_+ / E[(1 - T/\theta)_+]`, θ = ∞ being the constant step.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from jasgd.rules.namespace import jnp
from jasgd.rules.protocol import Rule
from jasgd.rules.shown import shown


@shown
def linear(cutoff: float = 2.0) -> Rule:
    r"""A line that falls with τ and is 0 from a multiple of the mean staleness on, over its mean.

    .. math:: C(\tau) = \frac{(1 - \tau/\theta)_+}{E[(1 - T/\theta)_+]},\qquad \theta = \text{cutoff}\cdot E[T]

    E[C] = 1 under the measured law. C is at most cutoff / (cutoff - 1).
    A factor of 0 is no drop: momentum and Adam still move.

    Args:
      cutoff: θ in means of the law, > 1: from there on C = 0. The larger, the nearer to the constant step.

    Returns:
      The rule; it reads the law. While the mean staleness is 0, C = 1.

    Raises:
      ValueError: for a ``cutoff`` that is not > 1 and finite.

    Example:
      >>> import jasgd
      >>> law = jasgd.StalenessHistogram.from_staleness([0, 1, 1, 2])
      >>> [float(linear(2.0)(tau, law)) for tau in (0, 1, 2)]
      [2.0, 1.0, 0.0]

    Source:
      Theorem G, docs/convergence.md: the best functions of τ under the bound are of this shape.
    """
    if not (math.isfinite(cutoff) and cutoff > 1):
        raise ValueError(f"cutoff must be a finite number > 1, in means of the law, got {cutoff}")
    beyond = cutoff - 1  # before anything is rounded to float32

    def rule(staleness: Any, law: Any, *, xp: Any = jnp) -> Any:
        mean = law.mean()

        def line(tau: Any) -> Any:
            return xp.maximum(beyond * mean + (mean - tau), 0)

        scale = law.expect(line)
        return xp.where(scale > 0, line(staleness) / xp.where(scale > 0, scale, 1), 1)

    return rule


@shown
def best_linear(c: float) -> Rule:
    r"""The line, 0 from some τ on, that is best under the convergence bound and the measured law.

    It makes :math:`V(C) = E[C^2]\,(1 + c\,E[\tau C])` least among all C ≥ 0 of τ with E[C] = 1.
    V is that of the convergence theorems A, B, C and SC at the same learning rate η, with c = 2Lη. It may have several
    minima in θ: every interval between neighbouring staleness values of the law is looked into, at each update. It is
    never worse than the constant step in V, which it is where c or the staleness is 0; E[C] = 1 under the law. That it
    is best is a statement about the bound, not about a run; and since its largest factor is above 1, the theorems
    admit smaller learning rates.

    **What it costs:** a sort of what the law remembers (1,024 values by default), at each update.

    Args:
      c: 2Lη ≥ 0, in 1/updates: L the smoothness of the loss, η the learning rate. The transformation
        :func:`jasgd.adaptive.best_line_adaptive` estimates L while the run goes on.

    Returns:
      The rule; it reads the law.

    Raises:
      ValueError: for a negative or non-finite ``c``.

    Example:
      >>> import jasgd
      >>> law = jasgd.StalenessHistogram.from_staleness([0, 2])
      >>> [round(float(best_linear(1.0)(tau, law)), 4) for tau in (0, 2)]  # θ = 4
      [1.3333, 0.6667]

    Source:
      Theorem G, docs/convergence.md.
    """
    if not (math.isfinite(c) and c >= 0):
        raise ValueError(f"c must be a finite number ≥ 0, got {c}")

    def rule(staleness: Any, law: Any, *, xp: Any = jnp) -> Any:
        if xp is not jnp:
            raise TypeError("its cutoff is searched for, which is no formula")
        return best_line(law, c)(staleness)

    return rule


class Line(NamedTuple):
    r"""A truncated line :math:`(\theta - t)_+ / m` over the staleness above the least, in units of its mean.

    Attributes:
      least: t₀, the least staleness of the law; int32 scalar.
      unit: E[T] - t₀; float32 scalar.
      threshold: (θ - t₀) / unit, infinite for the constant step; float32 scalar.
      mean: E[(θ - T)₊] / unit.
    """

    least: Any
    unit: Any
    threshold: Any
    mean: Any

    def __call__(self, staleness: Any) -> Any:
        """C(τ); below the least staleness, where the law has no mass, what it is there."""
        t = jnp.maximum((staleness - self.least) / jnp.where(self.unit > 0, self.unit, 1.0), 0.0)
        is_line = jnp.isfinite(self.threshold)
        line = jnp.maximum(jnp.where(is_line, self.threshold, 0.0) - t, 0.0)
        return jnp.where(is_line, line / jnp.where(is_line, self.mean, 1.0), 1.0)


def best_line(law: Any, c: Any) -> Line:
    """The truncated line that is best under a law.

    Between neighbouring values the moments of (θ - T)₊ are polynomials of θ with coefficients ≥ 0, so that nothing
    cancels, and V' has the sign of a quadratic. With c' = c / (1 + c t₀) the least staleness may be taken for 0.

    Args:
      law: a law such as :class:`jasgd.StalenessHistogram`.
      c: of the staleness term, ≥ 0, in 1/updates; may be traced.

    Returns:
      The line.
    """
    import jax

    weights = law.weights.astype(jnp.float32)
    has_mass = weights > 0
    weights = weights / jnp.maximum(jnp.sum(weights), jnp.finfo(jnp.float32).tiny)
    least = jnp.min(jnp.where(has_mass, law.support, jnp.iinfo(jnp.int32).max))
    above = jnp.where(has_mass, law.support - least, 0).astype(jnp.float32)
    unit = jnp.sum(weights * above)
    c = c / (1 + c * least) * unit
    t, p = jax.lax.sort((above / jnp.where(unit > 0, unit, 1.0), weights), num_keys=1)
    threshold = _threshold(t, p, c)
    line = jnp.maximum(threshold - t, 0.0)
    mean = jnp.sum(p * line)
    value = jnp.sum(p * line**2) / mean**2 * (1 + c * jnp.sum(p * t * line) / mean)
    # The constant's is 1 + c, since E[t] = 1. This is what makes the line never worse, whatever was rounded before.
    is_better = (value < 1 + c) & (unit > 0)
    return Line(least, unit, jnp.where(is_better, threshold, jnp.inf), mean)


def _threshold(t: Any, p: Any, c: Any) -> Any:
    """The θ > 0 whose V is least under the values t, in ascending order from 0 on, of probabilities p."""
    share, first = jnp.cumsum(p), jnp.cumsum(p * t)  # P[T ≤ t] and E[T; T ≤ t]
    gaps = jnp.diff(t)

    def summed(parts: Any) -> Any:
        return jnp.concatenate([jnp.zeros(1, jnp.float32), jnp.cumsum(parts)])

    # At θ = each t: E[(θ - T)₊], E[(θ - T)₊²], E[T (θ - T)₊]; each gap adds to them what is ≥ 0.
    mean = summed(share[:-1] * gaps)
    square = summed(2 * mean[:-1] * gaps + share[:-1] * gaps**2)
    stale = summed(first[:-1] * gaps)
    whole, slope = mean + c * stale, share + c * first  # of E[(θ - T)₊ (1 + c T)]: its value, and its growth with θ
    constant = 2 * mean**2 * whole + mean * square * slope - 3 * share * square * whole
    half = 2 * mean**2 * slope - mean * share * whole - square * share * slope
    leading = share * c * (mean * first - share * stale)
    root = -(half + jnp.where(half >= 0, 1.0, -1.0) * jnp.sqrt(jnp.maximum(half**2 - leading * constant, 0.0)))
    ends = jnp.concatenate([gaps, jnp.full(1, jnp.inf)])

    def value(beyond: Any) -> Any:
        """V at θ = t + beyond, infinite where that is not in t's interval."""
        m = mean + share * beyond
        v = (square + 2 * mean * beyond + share * beyond**2) / m**2 * (1 + c * (stale + first * beyond) / m)
        return jnp.where((beyond >= 0) & (beyond <= ends) & jnp.isfinite(v), v, jnp.inf)

    candidates = jnp.stack([jnp.zeros_like(t), root / leading, constant / root])
    best = jnp.argmin(jnp.stack([value(beyond) for beyond in candidates]))
    return (candidates + t).reshape(-1)[best]

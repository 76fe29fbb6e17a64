r"""Rules of the rank: they look at where a staleness lies in its law, and keep E[C] = 1 under every law.

Theorem F says that these are all such rules: with a distortion g of [0, 1], concave, with g(0) = 0 and g(1) = 1,

.. math:: C(\tau) = \frac{g(F(\tau)) - g(F(\tau^-))}{p(\tau)},\qquad F(\tau) = P[T\le\tau],\; F(\tau^-) = P[T<\tau].

TAIL-τ is the quadratic one, g(u) = u + A u (1 - u). Those of this module that have a name are computed without a
difference of nearly equal numbers, so that their factors are right however small p(τ) is.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jasgd.inputs.checks import function
from jasgd.rules.namespace import jnp
from jasgd.rules.protocol import Rule
from jasgd.rules.shown import shown

_GRID = 257  # shares at which a distortion is looked at
_NEAREST = 2.0**-24  # to 0 and 1, where slopes may be infinite


@shown
def distortion(g: Callable[[Any], Any]) -> Rule:
    r"""The rule of a distortion g: its mean slope over the staleness' own step of the distribution function.

    .. math:: C(\tau) = \frac{g(F(\tau)) - g(F(\tau^-))}{p(\tau)}

    E[C] = 1 under every law, since the sum telescopes, and C never rises with τ, since g is concave. Where the law has
    no mass, which no staleness has that was counted, C is the slope of g at F(τ).

    In float32 a difference of g is off by up to 2⁻²³, so C(τ) by 2⁻²³/p(τ), while E[C] stays 1; the distortions that
    have names, :func:`rank_power`, :func:`rank_exponential`, :func:`freshest_share` and :func:`~jasgd.rules.tail`, have
    no such error.

    Args:
      g: a function of a share u in [0, 1], written with ``jnp``; maps over arrays. It must be concave and never fall,
        with g(0) = 0 and g(1) = 1; this is looked at in 257 points. ``python -m theory.verify`` proves it, of a file
        that defines ``distortion(u)``.

    Returns:
      The rule; it reads the law.

    Raises:
      TypeError: where ``g`` is no function.
      ValueError: for a g that is seen to be no such function, naming where.

    Example:
      >>> import jasgd
      >>> law = jasgd.StalenessHistogram.from_staleness([0, 1, 1, 2])
      >>> [float(distortion(lambda u: u * (2 - u))(tau, law)) for tau in (0, 1, 2)]  # TAIL-τ
      [1.75, 1.0, 0.25]

    Source:
      Theorem F, docs/distortions.md; in finance g is the distortion of a spectral risk measure.
    """
    function("g", g, "u")
    _check(g)

    def rule(staleness: Any, law: Any, *, xp: Any = jnp) -> Any:
        import jax

        del xp
        start, mass = law.cdf(staleness, "strict"), law.probability(staleness)
        # The two ends of neighbouring steps are the same number, so that the sum telescopes in floats as well.
        gain = _float(g(law.cdf(staleness, "inclusive"))) - _float(g(start))
        middle = jnp.clip(start, _NEAREST, 1 - _NEAREST)
        slope = jax.jvp(lambda u: _float(g(u)), (middle,), (jnp.ones_like(middle),))[1]
        has_mass = mass > 0
        factor = jnp.where(has_mass, gain / jnp.where(has_mass, mass, 1.0), slope)
        return jnp.where(law.total > 0, jnp.maximum(factor, 0.0), 1.0)

    return rule


@shown
def rank_power(exponent: float = 2.0) -> Rule:
    r"""The distortion :math:`g(u) = 1 - (1 - u)^k`: about :math:`k\,P[T > \tau]^{k-1}`, at most k.

    With k = 2 it is TAIL-τ at A = 1; larger k favour the freshest further and dampen most of the others.

    Args:
      exponent: k ≥ 1; 1 is the constant step.

    Returns:
      The rule; it reads the law.

    Raises:
      ValueError: for an ``exponent`` below 1 or not finite.

    Example:
      >>> import jasgd
      >>> law = jasgd.StalenessHistogram.from_staleness([0, 1, 1, 2])
      >>> [round(float(rank_power(3)(tau, law)), 4) for tau in (0, 1, 2)]  # over steps of 1/4, 1/2, 1/4
      [2.3125, 0.8125, 0.0625]

    Source:
      Theorem F, docs/distortions.md; the dual power distortion of insurance.
    """
    if not (math.isfinite(exponent) and exponent >= 1):
        raise ValueError(f"exponent must be a finite number ≥ 1, got {exponent}")

    def rule(staleness: Any, law: Any, *, xp: Any = jnp) -> Any:
        start, mass = _step(law, staleness)
        staler = xp.maximum(1 - start, 0.0)  # P[T ≥ τ]
        part = xp.clip(mass / xp.where(staler > 0, staler, 1.0), 0.0, 1.0)
        # (1 - (1 - d)^k) / d, whose value at d = 0 is k.
        inside = xp.clip(part, _NEAREST, 1.0)
        slope = -xp.expm1(exponent * xp.log1p(-inside)) / inside
        return xp.where(law.total > 0, staler ** (exponent - 1) * slope, 1.0)

    rule.distortion = functools.partial(_power, exponent)  # type: ignore[attr-defined]
    return rule


@shown
def rank_exponential(rate: float = 1.0) -> Rule:
    r"""The distortion :math:`g(u) = (1 - e^{-ku}) / (1 - e^{-k})`: it falls exponentially with the rank.

    C lies between :math:`k/(e^k - 1)` and :math:`k/(1 - e^{-k})`. Unlike TAIL-τ at A = 1 it never comes near 0: with k
    one chooses how much a most stale gradient is worth.

    Args:
      rate: k > 0; near 0 it is the constant step.

    Returns:
      The rule; it reads the law.

    Raises:
      ValueError: for a ``rate`` that is not > 0 and finite.

    Example:
      >>> import jasgd
      >>> law = jasgd.StalenessHistogram.from_staleness([0, 1, 1, 2])
      >>> [round(float(rank_exponential(2.0)(tau, law)), 4) for tau in (0, 1, 2)]
      [1.8202, 0.8868, 0.4061]

    Source:
      Theorem F, docs/distortions.md; the exponential distortion of insurance.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"rate must be a finite number > 0, got {rate}")

    def rule(staleness: Any, law: Any, *, xp: Any = jnp) -> Any:
        start, mass = _step(law, staleness)
        inside = xp.maximum(rate * mass, _NEAREST)  # below it the quotient is 1
        mean_slope = rate / -math.expm1(-rate) * xp.exp(-rate * start) * -xp.expm1(-inside) / inside
        return xp.where(law.total > 0, mean_slope, 1.0)

    rule.distortion = functools.partial(_exponential, rate)  # type: ignore[attr-defined]
    return rule


@shown
def freshest_share(share: float = 0.5) -> Rule:
    r"""The distortion :math:`g(u) = \min(u/q, 1)`: the freshest share q of the gradients at 1/q, the others at 0.

    It is a threshold that finds its place by itself and keeps the overall step size: where a threshold would drop
    gradients, the steps of the others grow by as much. The staleness at which the share is full gets what is left.
    A factor of 0 is no drop: momentum and Adam still move.

    Args:
      share: q, 0 < q ≤ 1; 1 is the constant step.

    Returns:
      The rule; it reads the law.

    Raises:
      ValueError: for a ``share`` outside (0, 1].

    Example:
      >>> import jasgd
      >>> law = jasgd.StalenessHistogram.from_staleness([0, 1, 1, 2])
      >>> [float(freshest_share(0.5)(tau, law)) for tau in (0, 1, 2)]
      [2.0, 1.0, 0.0]

    Source:
      Theorem F, docs/distortions.md; the distortion of expected shortfall in finance.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {share}")

    def rule(staleness: Any, law: Any, *, xp: Any = jnp) -> Any:
        start, mass = _step(law, staleness)
        has_mass = mass > 0
        inside = xp.clip((share - start) / xp.where(has_mass, mass, 1.0), 0.0, 1.0)
        inside = xp.where(has_mass, inside, xp.where(start < share, 1.0, 0.0))
        return xp.where(law.total > 0, inside / share, 1.0)

    rule.distortion = functools.partial(_capped, share)  # type: ignore[attr-defined]
    return rule


def _power(exponent: Any, u: Any, *, xp: Any = jnp) -> Any:
    del xp
    return 1 - (1 - u) ** exponent


def _exponential(rate: Any, u: Any, *, xp: Any = jnp) -> Any:
    return (1 - xp.exp(-rate * u)) / (1 - xp.exp(-rate))


def _capped(share: Any, u: Any, *, xp: Any = jnp) -> Any:
    return xp.minimum(u / share, 1)


def _step(law: Any, staleness: Any) -> tuple[Any, Any]:
    """Where the staleness' step of the distribution function begins, and how high it is."""
    return law.cdf(staleness, "strict"), law.probability(staleness)


def _float(value: Any) -> Any:
    """A value of g in float32, also where g is a number whatever u is."""
    return jnp.asarray(value, jnp.float32)


def _check(g: Callable[[Any], Any]) -> None:
    """ValueError for a g that is seen not to be concave, rising from 0 to 1."""
    shares = np.linspace(0.0, 1.0, _GRID)
    values = np.asarray(g(shares))
    if values.shape != shares.shape:
        raise ValueError(f"g must map over arrays of shares, got shape {values.shape} for shape {shares.shape}")
    exact = values.dtype == np.float64
    slack = 1e-12 if exact else 4e-6  # of rounding
    values = values.astype(np.float64)
    at = functools.partial(_at, shares, values)
    if not np.isfinite(values).all():
        raise ValueError(f"g must be finite on [0, 1], got {at(int(np.argmin(np.isfinite(values))))}")
    if abs(values[0]) > slack or abs(values[-1] - 1) > slack:
        raise ValueError(f"g must go from g(0) = 0 to g(1) = 1, got {at(0)} and {at(_GRID - 1)}")
    steps = np.diff(values)
    if steps.min() < -slack:
        where = int(np.argmin(steps))
        raise ValueError(f"g must never fall, got {at(where)} and {at(where + 1)}")
    bends = np.diff(steps)
    if bends.max() > 2 * slack:
        where = int(np.argmax(bends))
        raise ValueError(
            "g must be concave, or a staler gradient would have a larger factor, "
            f"got {at(where)}, {at(where + 1)} and {at(where + 2)}"
        )


def _at(shares: np.ndarray, values: np.ndarray, place: int) -> str:
    return f"g({shares[place]:.4g}) = {values[place]:.4g}"

"""Step-size functions of the staleness alone: they dampen stale gradients and preserve no overall step size."""

from __future__ import annotations

import math
from typing import Any

from jasgd.rules.namespace import jnp
from jasgd.rules.protocol import Rule
from jasgd.rules.shown import shown


@shown
def constant(factor: float = 1.0) -> Rule:
    r""":math:`C(\tau) = c`: plain asynchronous SGD, at ``c`` times the step size.

    With ``c = 1`` the factor is known at compile time and no gradient is multiplied, so that the bits are those of
    the optimizer without the transformation.

    Args:
      factor: c ≥ 0.

    Returns:
      The rule.

    Raises:
      ValueError: for a negative or non-finite ``factor``.

    Example:
      >>> constant()(7)
      1.0
    """
    factor = _at_least("factor", factor, 0.0)

    def rule(staleness: Any, *, xp: Any = jnp) -> Any:
        del staleness, xp
        return factor

    return rule


@shown
def inverse() -> Rule:
    r""":math:`C(\tau) = 1 / (1 + \tau)`.

    Returns:
      The rule.

    Example:
      >>> float(inverse()(3))
      0.25

    Source:
      Zhang, Gupta, Lian, Liu, "Staleness-aware Async-SGD for distributed deep learning", IJCAI 2016, arXiv
      1511.05950, which divides by τ; the shift by one, which lets τ be 0, is that of the published ASAP.SGD code.
    """

    def rule(staleness: Any, *, xp: Any = jnp) -> Any:
        del xp
        return 1 / (1.0 + staleness)  # a float, since 1 + τ may be more than an int32 holds

    return rule


@shown
def power(exponent: float = 0.5) -> Rule:
    r""":math:`C(\tau) = (1 + \tau)^{-a}`; a = 1/2 is FedBuff's.

    Args:
      exponent: a ≥ 0.

    Returns:
      The rule.

    Raises:
      ValueError: for a negative or non-finite ``exponent``.

    Example:
      >>> float(power(0.5)(3))
      0.5

    Source:
      Xie, Koyejo, Gupta, "Asynchronous federated optimization", 2019, arXiv 1903.03934 (polynomial); Nguyen et al.,
      "Federated learning with buffered asynchronous aggregation", AISTATS 2022, arXiv 2106.06639 (a = 1/2).
    """
    exponent = _at_least("exponent", exponent, 0.0)

    def rule(staleness: Any, *, xp: Any = jnp) -> Any:
        return xp.exp(-exponent * xp.log(1.0 + staleness))

    return rule


@shown
def hinge(grace: float = 4.0, slope: float = 1.0) -> Rule:
    r""":math:`C(\tau) = 1 / (a \max(\tau - b, 0) + 1)`: full steps up to a staleness of b, then damped ones.

    Args:
      grace: b ≥ 0, in updates.
      slope: a ≥ 0, per update.

    Returns:
      The rule.

    Raises:
      ValueError: for a negative or non-finite argument.

    Example:
      >>> [float(hinge(grace=2, slope=0.5)(tau)) for tau in (0, 2, 4)]
      [1.0, 1.0, 0.5]

    Source:
      Xie, Koyejo, Gupta, "Asynchronous federated optimization", 2019, arXiv 1903.03934.
    """
    grace, slope = _at_least("grace", grace, 0.0), _at_least("slope", slope, 0.0)

    def rule(staleness: Any, *, xp: Any = jnp) -> Any:
        return 1 / (slope * xp.maximum(staleness - grace, 0) + 1)

    return rule


@shown
def exponential(beta: float | None = None, *, staleness_threshold: float | None = None) -> Rule:
    r""":math:`C(\tau) = e^{-\beta\tau}`, with :math:`\beta = \frac{2}{s}\ln(1 + \frac{s}{2})` for a threshold s.

    That β makes the factor at s/2 equal to the inverse rule's. The published ASAP.SGD code takes s = workers + 1 and
    rounds s/2 down.

    Args:
      beta: β ≥ 0, per update; or else
      staleness_threshold: s > 0, in updates; 16 where neither is given.

    Returns:
      The rule.

    Raises:
      ValueError: where both are given, or one is out of its range.

    Example:
      >>> round(float(exponential(staleness_threshold=8.0)(4)), 6)  # 1 / (1 + 8/2)
      0.2

    Source:
      Damaskinos et al., "FLeet: online federated learning via staleness awareness and performance prediction",
      Middleware 2020, arXiv 2006.07273; its similarity term, which needs label histograms, is left out.
    """
    if beta is not None and staleness_threshold is not None:
        raise ValueError(f"give beta or staleness_threshold, not both; got {beta} and {staleness_threshold}")
    if beta is None:
        s = 16.0 if staleness_threshold is None else _at_least("staleness_threshold", staleness_threshold, 0.0)
        if s == 0:
            raise ValueError("staleness_threshold must be > 0, got 0")
        beta = 2 / s * math.log1p(s / 2)
    rate = _at_least("beta", beta, 0.0)

    def rule(staleness: Any, *, xp: Any = jnp) -> Any:
        return xp.exp(-rate * staleness)

    return rule


@shown
def threshold(bound: float = 16.0) -> Rule:
    r""":math:`C(\tau) = 1` where :math:`\tau < R`, else 0.

    A factor of 0 is no drop: the version advances, and momentum or Adam still moves the parameters. To drop the
    gradient as the source does, use ``max_staleness`` of the scheme.

    Args:
      bound: R > 0, in updates.

    Returns:
      The rule.

    Raises:
      ValueError: for a ``bound`` that is not > 0 and finite.

    Example:
      >>> [float(threshold(2)(tau)) for tau in (0, 1, 2)]
      [1.0, 1.0, 0.0]

    Source:
      Maranjyan, Tyurin, Richtárik, "Ringmaster ASGD: the first asynchronous SGD with optimal time complexity",
      ICML 2025, arXiv 2501.16168.
    """
    bound = _at_least("bound", bound, 0.0)
    if bound == 0:
        raise ValueError("bound must be > 0, got 0: every factor would be 0")

    def rule(staleness: Any, *, xp: Any = jnp) -> Any:
        return xp.where(staleness < bound, 1.0, 0.0)

    return rule


def _at_least(name: str, value: float, least: float) -> float:
    if not math.isfinite(value) or value < least:
        raise ValueError(f"{name} must be a finite number ≥ {least:g}, got {value}")
    return float(value)


def computed_constant(factor: Any) -> Rule:
    """A constant step that is computed when it runs, as the steps of other rules are, also where it is 1.

    ``rules.constant()`` is known when compiled. Its commits then cost another time, which makes another execution:
    commits meet more or less often, staleness changes, and it is not the step size alone that differs.

    Args:
      factor: C, the same for every τ; may be traced.

    Returns:
      The rule.

    Example:
      >>> float(computed_constant(0.5)(3))
      0.5
    """

    def constant(staleness: Any) -> Any:
        del staleness
        import jax
        import numpy as np

        return factor if isinstance(factor, jax.Array) else np.float32(factor)

    return constant

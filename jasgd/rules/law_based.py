"""Step-size functions that come from the law of the execution itself: TAIL-τ, and any rule over its own mean."""

from __future__ import annotations

import math
from typing import Any

from jasgd.inputs.cdf_kinds import CDF_KINDS, CDFKind
from jasgd.rules.namespace import jnp
from jasgd.rules.protocol import Rule, evaluate
from jasgd.rules.shown import shown


@shown
def tail(amplitude: float = 1.0, cdf: CDFKind = "mid") -> Rule:
    r"""TAIL-τ: :math:`C(\tau) = 1 + A\,(1 - 2F(\tau))`, F the distribution function of the measured staleness.

    It favours gradients fresher than most and dampens staler ones. With the mid-distribution function
    :math:`F = P[T<\tau] + \frac12 P[T=\tau]` the mean E[C] is exactly 1, whatever the law. The strict one, which the
    published code uses, gives :math:`1 + A\sum_i p_i^2`, a larger mean step; the inclusive one
    :math:`1 - A\sum_i p_i^2`. Strict and inclusive are here to compare with.

    Args:
      amplitude: A in [0, 1]; the bound on :math:`|C - 1|`. At A = 1 a gradient staler than any remembered has factor 0.
      cdf: which distribution function.

    Returns:
      The rule; it reads the law.

    Raises:
      ValueError: for an ``amplitude`` outside [0, 1] or an unknown ``cdf``.

    Example:
      >>> import jasgd
      >>> law = jasgd.StalenessHistogram.from_staleness([0, 1, 1, 2])
      >>> [float(tail()(tau, law)) for tau in (0, 1, 2, 3)]
      [1.75, 1.0, 0.25, 0.0]

    Source:
      Bäckström, Papatriantafilou, Tsigas, "ASAP.SGD: instance-based adaptiveness to staleness in asynchronous SGD",
      ICML 2022, PMLR 162; the shape is read from its published C++ code, the mid-distribution form is ours.
    """
    if not (math.isfinite(amplitude) and 0 <= amplitude <= 1):
        raise ValueError(f"amplitude must lie in [0, 1], got {amplitude}")
    if cdf not in CDF_KINDS:
        raise ValueError(f"cdf must be one of {', '.join(CDF_KINDS)}, got {cdf!r}")

    def rule(staleness: Any, law: Any, *, xp: Any = jnp) -> Any:
        del xp
        return 1 + amplitude * (1 - 2 * law.cdf(staleness, cdf))

    return rule


@shown
def normalized(rule: Rule) -> Rule:
    r""":math:`C(\tau) / E[C]` under the measured law: the same shape, with the overall step size preserved.

    Args:
      rule: any rule C.

    Returns:
      The rule over its own mean; it reads the law. Where the whole law has C = 0 it stays 0, since no scale helps.

    Raises:
      TypeError: where ``rule`` is no rule.

    Example:
      >>> import jasgd
      >>> law = jasgd.StalenessHistogram.from_staleness([0, 1])
      >>> [round(float(normalized(jasgd.rules.inverse())(tau, law)), 6) for tau in (0, 1)]  # over 3/4
      [1.333333, 0.666667]
    """

    def over_its_mean(staleness: Any, law: Any, *, xp: Any = jnp) -> Any:
        mean = law.expect(lambda tau: evaluate(rule, tau, law, xp=xp))
        return evaluate(rule, staleness, law, xp=xp) / xp.where(mean > 0, mean, 1.0)

    if hasattr(rule, "distortion"):  # whose mean is 1 already
        over_its_mean.distortion = rule.distortion  # type: ignore[attr-defined]
    return over_its_mean

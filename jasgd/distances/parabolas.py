"""Step-size functions of the squared distance: the truncated parabola of Theorem H."""

from __future__ import annotations

import math
from typing import Any

from jasgd.inputs.checks import real
from jasgd.rules.namespace import jnp
from jasgd.rules.protocol import Rule
from jasgd.rules.shown import shown

NEWTON_STEPS = 6  # to a mean of 1 within a thousandth; the division by the mean does the rest


@shown
def parabola(kappa: float = 0.3) -> Rule:
    r"""A parabola in the distance: :math:`C(D) = \max(0, 1 - \kappa D^2/E[D^2])`, over its mean.

    At κ = 0 it is the constant step. The larger κ, the smaller the factor where the parameters have moved far; from
    :math:`D = \sqrt{E[D^2]/\kappa}` on it is 0. Its mean over the window is 1 to rounding.

    Args:
      kappa: κ ≥ 0. The best one grows with the staleness: in first runs from 0.1 with 2 workers to 1 with 128.

    Returns:
      The rule, for :func:`jasgd.distance_adaptive`; it reads the law of the distances. Where the parabola is 0 at all
      that it remembers, which is so for equal distances at κ ≥ 1, none of them is told apart and the factor is 1.

    Raises:
      ValueError: for a κ that is negative or not finite.

    Example:
      >>> from jasgd.distances.law import DistanceLaw
      >>> law = DistanceLaw.window(4).count(0.0).count(1.0).count(1.0)
      >>> [round(float(parabola(0.75)(distance, law)), 6) for distance in (0.0, 1.0)]  # 1 and -1/8 before the cut
      [3.0, 0.0]

    Source:
      The shape is the minimiser of the distance form of the convergence bound, see docs/distance.md.
    """
    kappa = real("kappa", kappa)
    if not (math.isfinite(kappa) and kappa >= 0):
        raise ValueError(f"kappa must be a finite number ≥ 0, got {kappa}")

    def rule(distance: Any, law: Any, *, xp: Any = jnp) -> Any:
        square, squares = law.squares(distance)
        level = law.mean_of(squares)
        return over_its_mean(law, level, kappa * square, kappa * squares, xp)

    rule.by_distance = True  # type: ignore[attr-defined]
    return rule


@shown
def measured_parabola() -> Rule:
    r"""The parabola :math:`C(D) = (a - \beta D^2/E[D^2])_+` with E[C] = 1, its bend β measured while the run goes on.

    This is the step-size function that minimises the distance form of the convergence bound (Theorem H) at a given mean
    step, with the curvature of the loss along the way from read to commit in the place of its largest one: see
    :meth:`jasgd.distances.curvature.Curvature.estimate`. β goes to 0 with the staleness, and C to the constant step.

    It must get the gradient itself, so its place is first in a chain; and it needs the loss, which the trainer hands
    over as ``value``. It costs no further gradient, but an inner product and a norm of the gradient in each update.

    Returns:
      The rule, for :func:`jasgd.distance_adaptive`, which measures and hands over β.

    Example:
      >>> from jasgd.distances.law import DistanceLaw
      >>> law = DistanceLaw.window(4).count(0.0).count(1.0)
      >>> [float(measured_parabola()(distance, law, bend)) for bend in (0.25, 4.0) for distance in (0.0, 1.0)]
      [1.25, 0.75, 2.0, 0.0]
    """

    def rule(distance: Any, law: Any, bend: Any = 0.0, *, xp: Any = jnp) -> Any:
        square, squares = law.squares(distance)
        mean = law.mean_of(squares)
        mean = xp.where(mean > 0, mean, 1)
        loss, losses = bend * square / mean, bend * squares / mean
        # The mean of what is left grows with a and is convex: Newton from above comes down to 1, in few steps.
        level = 1 + law.mean_of(losses)
        for _ in range(NEWTON_STEPS):
            left = xp.maximum(level - losses, 0)
            share = law.mean_of((left > 0).astype(left.dtype))
            level = level - xp.where(share > 0, (law.mean_of(left) - 1) / xp.where(share > 0, share, 1), 0)
        return over_its_mean(law, level, loss, losses, xp)

    rule.by_distance = rule.measures_bend = True  # type: ignore[attr-defined]
    return rule


def over_its_mean(law: Any, level: Any, loss: Any, losses: Any, xp: Any = jnp) -> Any:
    r"""What is left of a level, :math:`(a - x)_+`, over the mean of that for what a law remembers.

    Args:
      law: of the distances.
      level: a > 0; scalar.
      loss: x of the present distance.
      losses: x of each distance in ``law.support``.
      xp: namespace.

    Returns:
      The factor; 1 where nothing is left of any.
    """
    left = xp.maximum(level - loss, 0)
    mean = law.mean_of(xp.maximum(level - losses, 0))
    return xp.where(mean > 0, left / xp.where(mean > 0, mean, 1), 1)

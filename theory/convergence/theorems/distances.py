r"""Theorem H: bounds for one execution, from how far the parameters moved under each gradient; nothing about delays.

With :math:`D_k = |x_k - z_k|`, the distance between the parameters that commit k changes and those that its gradient
was computed on, and step sizes that may look at all that happened before, if every :math:`L\alpha_k \le 1`,

.. math:: \sum_k E[\alpha_k|\nabla f(x_k)|^2] \le 2\Delta + L^2\sum_k E[\alpha_kD_k^2] + L\sigma^2\sum_k E[\alpha_k^2],

and likewise for convex functions and under the Polyak-Łojasiewicz inequality. What is random on either side is
evaluated as it was in one execution, and divided by its :math:`\sum\alpha_k`, or by its
:math:`\prod(1-\mu\alpha_k)^{-1}`. Sums are of nonnegative doubles and are widened by what rounding can have done.
"""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb

from jasgd.showing import Shown
from theory.convergence.theorem import Theorem
from theory.convergence.windows import UNIT
from theory.decisions.verdict import Verdict


@dataclasses.dataclass(frozen=True, repr=False)
class DistanceCondition(Shown):
    """The step condition Lα_k ≤ 1 on an execution.

    Attributes:
      verdict: PROVED or REFUTED: the products of doubles are compared exactly.
      largest: the largest Lα_k.
      violated: the commits at which Lα_k > 1.
    """

    verdict: Verdict
    largest: float
    violated: np.ndarray

    def _facts(self) -> dict[str, Any]:
        return vars(self)


@dataclasses.dataclass(frozen=True)
class DistanceBound:
    """Theorem H on one execution; every number is rounded up.

    Attributes:
      value: of the right-hand side, for what ``bounds`` names.
      bounds: the left-hand side, as it was in this execution; the theorem orders the means of both over runs.
      start: the share that the starting point has in it.
      distance: the share of the distances D_k.
      noise: the share of gradient noise.
      condition: Lα_k ≤ 1, without which the theorem says nothing.
    """

    value: float
    bounds: str
    start: float
    distance: float
    noise: float
    condition: DistanceCondition


def distance_condition(step_sizes: np.ndarray, *, smoothness: float) -> DistanceCondition:
    """Judges whether every step size of an execution is at most 1/L.

    Args:
      step_sizes: α_k as they were applied, in [x]²/[f]; ≥ 0.
      smoothness: L, in [f]/[x]².

    Returns:
      The verdict and the commits where it fails.

    Raises:
      ValueError: for no step sizes, negative or non-finite ones, or an L that is not finite and > 0.

    Example:
      >>> condition = distance_condition(np.array([0.25, 0.5, 1.0]), smoothness=2.0)
      >>> condition.verdict.value, condition.largest, int(condition.violated[0])
      ('REFUTED', 2.0, 2)
    """
    alpha = _checked(step_sizes, smoothness)
    near = np.flatnonzero(smoothness * alpha > 1 - 1e-9)
    violated = [int(k) for k in near if Fraction(smoothness) * Fraction(alpha[k]) > 1]
    verdict = Verdict.REFUTED if violated else Verdict.PROVED
    return DistanceCondition(verdict, float(smoothness * alpha.max()), np.array(violated, np.int64))


def distance_bound(
    step_sizes: np.ndarray,
    distances: np.ndarray,
    *,
    smoothness: float,
    noise: float,
    gap: float | None = None,
    distance: float | None = None,
    mu: float | None = None,
) -> DistanceBound:
    r"""Evaluates Theorem H: non-convex with ``gap``, convex with ``distance``, with ``mu`` Polyak-Łojasiewicz.

    .. math:: \frac{2\Delta + \sum(L^2\alpha_kD_k^2 + L\sigma^2\alpha_k^2)}{\sum\alpha_k},\qquad
       \frac{D^2 + \sum(L\alpha_kD_k^2 + \sigma^2\alpha_k^2)}{2\sum\alpha_k},

    .. math:: P_K\Delta + \tfrac12\sum\tfrac{P_K}{P_{k+1}}(L^2\alpha_kD_k^2 + L\sigma^2\alpha_k^2),\qquad
       P_k = \prod_{i<k}(1-\mu\alpha_i).

    Args:
      step_sizes: α_k as they were applied, in [x]²/[f]; ≥ 0, one of them > 0.
      distances: D_k = \|x_k - z_k\|, in [x]; ≥ 0.
      smoothness: L, in [f]/[x]².
      noise: σ, in [f]/[x].
      gap: Δ = f(x₀) - inf f, in [f].
      distance: D = \|x₀ - x*\|, in [x], for a convex function.
      mu: the Polyak-Łojasiewicz constant, in [f]/[x]².

    Returns:
      The bound, its shares and the step condition that it needs.

    Raises:
      ValueError: for arrays of unequal length, entries that are negative or not finite, μα_k ≥ 1, step sizes that are
        all 0, or where none or both of ``gap`` and ``distance`` are given.

    Example:
      >>> bound = distance_bound(np.full(4, 0.5), np.array([0, 1, 1, 0]), smoothness=1.0, noise=1.0, gap=1.0)
      >>> round(bound.value, 9), round(bound.distance, 9), bound.condition.verdict.value  # (2 + 1 + 1) / 2
      (2.0, 0.5, 'PROVED')
    """
    if (gap is None) == (distance is None) or (mu is not None and gap is None):
        raise ValueError("give gap, or distance, or gap and mu")
    alpha = _checked(step_sizes, smoothness)
    moved = np.asarray(distances, np.float64)
    if moved.shape != alpha.shape or not (np.isfinite(moved).all() and moved.min() >= 0):
        raise ValueError("distances must be finite and ≥ 0, one for each step size")
    if not alpha.any():
        raise ValueError("every step size is 0")
    if mu is not None and not (mu > 0 and mu * alpha.max() < 1):
        raise ValueError(f"mu must be > 0 and below 1 over the largest step size, got {mu}")
    of_distance, of_noise = smoothness * alpha * moved**2, noise**2 * alpha**2  # as in the convex form
    slack = 16 * UNIT
    if mu is not None:
        kept = 1 - mu * alpha
        after = np.append(np.cumprod(kept[::-1])[::-1], 1.0)  # the product over k..K-1
        slack += 2 * UNIT * (len(alpha) + 2) / float(kept.min())
        scale, start, bounds = smoothness / 2 * after[1:], after[0] * gap, "f(x_K) − f*"
    elif gap is not None:
        total = math.fsum(alpha)
        scale, start, bounds = smoothness / total, 2 * gap / total, "Σ α_k|∇f(x_k)|² / Σ α_k"
    else:
        assert distance is not None
        total = 2 * math.fsum(alpha)
        scale, start, bounds = 1 / total, distance**2 / total, "Σ α_k(f(x_k) − f*) / Σ α_k"
    by_distance, by_noise = math.fsum(scale * of_distance), math.fsum(scale * of_noise)
    condition = distance_condition(alpha, smoothness=smoothness)
    widened = 1 + slack
    return DistanceBound(
        value=(start + by_distance + by_noise) * widened,
        bounds=bounds,
        start=start * widened,
        distance=by_distance * widened,
        noise=by_noise * widened,
        condition=condition,
    )


def _checked(step_sizes: np.ndarray, smoothness: float) -> np.ndarray:
    alpha = np.asarray(step_sizes, np.float64)
    if alpha.ndim != 1 or not len(alpha) or not (np.isfinite(alpha).all() and alpha.min() >= 0):
        raise ValueError("step sizes must be finite and ≥ 0, one for each commit, and at least one")
    if not 0 < smoothness < math.inf:
        raise ValueError(f"smoothness must be finite and > 0, got {smoothness}")
    return alpha


def _not_on_a_law(*_: object) -> arb:
    raise ValueError("Theorem H is evaluated on an execution: distances.distance_bound takes its arrays")


THEOREM = Theorem(
    key="distances",
    title="By distances (H)",
    statement="If Lα_k ≤ 1 for every commit, then with D_k = |x_k − z_k|\n"
    "Σ_k E[α_k|∇f(x_k)|²] ≤ 2Δ + L² Σ_k E[α_kD_k²] + Lσ² Σ_k E[α_k²];\n"
    "delays and step sizes may look at all that happened before the commit.",
    needs=("execution",),
    assumptions=lambda case, step: _not_on_a_law(),  # type: ignore[arg-type,return-value]
    bound=_not_on_a_law,
    largest_step=None,
    provenance="ours",
    source="docs/convergence.md, Theorem H",
)

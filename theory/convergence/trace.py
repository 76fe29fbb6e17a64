r"""Theorem E: bounds for one execution, from its delays and step sizes as they were; no law, no E[C] = 1.

For α_k ≥ 0 and delays that do not look at the noise, with the windows :math:`W_k = \{k-\min(\tau_k,k),\dots,k-1\}`,
:math:`S_k = \sum_{W_k}\alpha_j`, :math:`Q_k = \sum_{W_k}\alpha_j^2`, if for every j with α_j > 0

.. math:: L\alpha_j + 2L^2\sum_{k:\,j\in W_k}\alpha_kS_k \le 1, \tag{TR}

then :math:`\sum_k\alpha_kE|\nabla f(x_k)|^2 \le 2\Delta + L\sigma^2\sum_kN_k` with
:math:`N_k = \alpha_k^2 + 2L\alpha_kQ_k`, and likewise for convex functions and under the Polyak-Łojasiewicz inequality.
Where no read overtakes another, both 2s before L become 1. Sums are over nonnegative doubles and are widened by what
rounding can have done.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from flint import arb

from jasgd.showing import Shown
from theory.convergence.theorem import Theorem
from theory.convergence.windows import checked, is_in_order, lags, reader_sums, rounding, window_sums
from theory.decisions.verdict import Verdict

_HALVINGS = 16


@dataclasses.dataclass(frozen=True, repr=False)
class TraceCondition(Shown):
    """The step condition (TR) on an execution.

    Attributes:
      verdict: PROVED where every load is at most 1, REFUTED where one is above, UNKNOWN where rounding decides.
      load: the left side of (TR) for each commit, rounded up; 0 where α is 0; float64.
      binding: the commits with the largest loads, the largest first: where a smaller step size would help.
      violated: the commits whose load is above 1 for certain.
      in_order: whether no read overtakes another, so that the smaller constants hold.
    """

    verdict: Verdict
    load: np.ndarray
    binding: np.ndarray
    violated: np.ndarray
    in_order: bool

    def _facts(self) -> dict[str, Any]:
        return vars(self)


def trace_condition(
    staleness: np.ndarray,
    step_sizes: np.ndarray,
    *,
    smoothness: float,
    mu: float | None = None,
    most_binding: int = 10,
) -> TraceCondition:
    r"""Judges whether the step sizes of an execution are small enough for its delays.

    Args:
      staleness: τ_k of each commit, in the order of commits, in updates; integers ≥ 0.
      step_sizes: α_k = ηC(τ_k), in [x]²/[f]; ≥ 0.
      smoothness: L, in [f]/[x]².
      mu: the Polyak-Łojasiewicz constant for that theorem's condition, in which α_kS_k is divided by
        :math:`\prod_{i=j+1}^{k}(1-\mu\alpha_i)`; in [f]/[x]².
      most_binding: how many commits are named.

    Returns:
      The verdict, each commit's load, and the commits that bind.

    Raises:
      ValueError: for arrays of unequal length, negative or non-finite entries, or μα_k ≥ 1.

    Example:
      >>> condition = trace_condition(np.array([0, 1, 1, 1]), np.full(4, 0.5), smoothness=1.0)
      >>> condition.verdict.value, condition.in_order, condition.load.round(3).tolist(), condition.binding.tolist()
      ('PROVED', True, [0.75, 0.75, 0.75, 0.5], [0, 1, 2, 3])
    """
    tau, alpha = checked(staleness, step_sizes, smoothness, mu)
    in_order = is_in_order(tau)
    kept = _shrinkage(alpha, mu)
    linear, quadratic = _parts(tau, alpha, kept, smoothness, in_order)
    load, slack = linear + quadratic, rounding(tau, kept)
    above, below = load * (1 + slack), load * (1 - slack)
    violated = np.flatnonzero(below > 1)
    verdict = Verdict.REFUTED if len(violated) else Verdict.PROVED if (above <= 1).all() else Verdict.UNKNOWN
    binding = np.argsort(-above, kind="stable")[: min(most_binding, int((alpha > 0).sum()))]
    return TraceCondition(verdict, above, binding, violated, in_order)


def largest_scale(
    staleness: np.ndarray, step_sizes: np.ndarray, *, smoothness: float, mu: float | None = None
) -> float:
    """The largest factor by which every step size can be multiplied while (TR) holds, rounded down.

    Args:
      staleness: τ_k of each commit, in updates.
      step_sizes: α_k, in [x]²/[f].
      smoothness: L, in [f]/[x]².
      mu: the Polyak-Łojasiewicz constant, in [f]/[x]², for that theorem's condition; then found by halving to 2⁻¹⁶.

    Returns:
      The factor; infinite where every step size is 0.

    Raises:
      ValueError: as :func:`trace_condition`, but for μα_k ≥ 1.

    Example:
      >>> round(largest_scale(np.array([0, 1, 1, 1]), np.ones(4), smoothness=1.0), 6)  # s + s² = 1
      0.618034
    """
    tau, alpha = checked(staleness, step_sizes, smoothness, None)
    in_order = is_in_order(tau)
    linear, quadratic = _parts(tau, alpha, None, smoothness, in_order)
    if not linear.any():
        return math.inf
    a, b = linear[linear > 0], quadratic[linear > 0]
    plain = float((2 / (a + np.sqrt(a * a + 4 * b))).min() * (1 - rounding(tau, None)))
    if mu is None:
        return plain
    low, high = 0.0, min(plain, 1 / (mu * float(alpha.max())))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        scaled = middle * alpha
        kept = _shrinkage(scaled, mu)
        with np.errstate(over="ignore"):
            linear, quadratic = _parts(tau, scaled, kept, smoothness, in_order)
        holds = ((linear + quadratic) * (1 + rounding(tau, kept)) <= 1).all()
        low, high = (middle, high) if holds else (low, middle)
    return low


@dataclasses.dataclass(frozen=True)
class TraceBound:
    """A bound that holds for one execution; every number is rounded up, so that it bounds what it stands for.

    Attributes:
      value: of the right-hand side for the mean that ``bounds`` names.
      bounds: what is bounded.
      start: the share that the starting point has in it.
      noise: the share that gradient noise has in it.
      total_step: Σα_k, in [x]²/[f].
      condition: (TR), without which the bound need not hold.
    """

    value: float
    bounds: str
    start: float
    noise: float
    total_step: float
    condition: TraceCondition


def trace_bound(
    staleness: np.ndarray,
    step_sizes: np.ndarray,
    *,
    smoothness: float,
    noise: float,
    gap: float | None = None,
    distance: float | None = None,
    mu: float | None = None,
) -> TraceBound:
    r"""Evaluates Theorem E: non-convex with ``gap``, convex with ``distance``, with ``mu`` Polyak-Łojasiewicz.

    .. math:: \frac{\sum\alpha_kE|\nabla f(x_k)|^2}{\sum\alpha_k} \le \frac{2\Delta+L\sigma^2\sum N_k}{\sum\alpha_k},

    .. math:: \frac{\sum\alpha_kE[f(x_k)-f^*]}{\sum\alpha_k} \le \frac{D^2+\sigma^2\sum N_k}{2\sum\alpha_k},\quad
       E f(x_K)-f^* \le P_K\Delta + \frac{L\sigma^2}{2}\sum\frac{P_K}{P_{k+1}}N_k,

    with :math:`P_k = \prod_{i<k}(1-\mu\alpha_i)`.

    Args:
      staleness: τ_k of each commit, in updates.
      step_sizes: α_k, in [x]²/[f].
      smoothness: L, in [f]/[x]².
      noise: σ, in [f]/[x].
      gap: Δ = f(x₀) - inf f, in [f].
      distance: D = |x₀ - x*|, in [x], for a convex function.
      mu: the Polyak-Łojasiewicz constant, in [f]/[x]².

    Returns:
      The bound, its shares and the step condition that it needs.

    Raises:
      ValueError: as :func:`trace_condition`; where none or both of ``gap`` and ``distance`` are given, or every α is 0.

    Example:
      >>> bound = trace_bound(np.zeros(4, int), np.full(4, 0.5), smoothness=1.0, noise=1.0, gap=1.0)
      >>> round(bound.value, 9), bound.condition.verdict.value
      (1.5, 'PROVED')
    """
    if (gap is None) == (distance is None) or (mu is not None and gap is None):
        raise ValueError("give gap, or distance, or gap and mu")
    condition = trace_condition(staleness, step_sizes, smoothness=smoothness, mu=mu)
    tau, alpha = checked(staleness, step_sizes, smoothness, mu)
    if not (alpha > 0).any():
        raise ValueError("every step size is 0")
    split = 1.0 if condition.in_order else 2.0
    per_commit = alpha**2 + split * smoothness * alpha * window_sums(tau, alpha**2)
    kept = _shrinkage(alpha, mu)
    slack = rounding(tau, kept, commits=len(tau))
    total = math.fsum(alpha)
    if kept is not None:
        after = np.cumprod(kept[::-1])[::-1]  # the product over k..K-1
        weighted = per_commit * np.append(after[1:], 1.0)
        start, spread = after[0] * gap, smoothness * noise**2 / 2 * math.fsum(weighted)
        bounds = "E f(x_K) − f*"
    elif gap is not None:
        start, spread = 2 * gap / total, smoothness * noise**2 * math.fsum(per_commit) / total
        bounds = "Σ α_k E|∇f(x_k)|² / Σ α_k"
    else:
        assert distance is not None
        start, spread = distance**2 / (2 * total), noise**2 * math.fsum(per_commit) / (2 * total)
        bounds = "Σ α_k E[f(x_k) − f*] / Σ α_k"
    widened = 1 + slack
    value = (start + spread) * widened
    return TraceBound(value, bounds, start * widened, spread * widened, total, condition)


def _shrinkage(alpha: np.ndarray, mu: float | None) -> np.ndarray | None:
    return None if mu is None else 1 - mu * alpha


def _parts(
    tau: np.ndarray, alpha: np.ndarray, kept: np.ndarray | None, smoothness: float, in_order: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Both terms of (TR) for each commit: the one that is linear in the step sizes, and the one of the windows."""
    reach = window_sums(tau, alpha)
    if kept is None:
        carried = reader_sums(tau, alpha * reach)
    else:
        carried = np.zeros_like(alpha)
        grown = np.ones_like(alpha)  # 1/(1 - μα) over the commits j+1..k, for the j of the lag at hand
        for lag, active in lags(tau):
            grown[active] /= kept[active - lag + 1]
            carried[active - lag] += alpha[active] * reach[active] * grown[active]  # no commit twice
    split = 1.0 if in_order else 2.0
    return smoothness * alpha, np.where(alpha > 0, split * smoothness**2 * carried, 0.0)


def _not_on_a_law(*_: object) -> arb:
    raise ValueError("Theorem E is evaluated on an execution: theory.convergence.trace.trace_bound takes its arrays")


THEOREM = Theorem(
    key="trace",
    title="Trace form (E)",
    statement="If Lα_j + 2L² Σ_{k: j∈W_k} α_kS_k ≤ 1 for every commit j with α_j > 0, then with S_k = Σ_{W_k} α_j,\n"
    "Q_k = Σ_{W_k} α_j²:  Σ_k α_k E|∇f(x_k)|² ≤ 2Δ + Lσ² Σ_k (α_k² + 2Lα_kQ_k);\n"
    "where no read overtakes another, 2L² and 2L become L² and L.",
    needs=("execution",),
    assumptions=lambda case, step: _not_on_a_law(),  # type: ignore[arg-type,return-value]
    bound=_not_on_a_law,
    largest_step=None,
    provenance="ours",
    source="docs/convergence.md, Theorem E",
)

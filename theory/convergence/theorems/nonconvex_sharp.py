r"""Theorem A with better constants, for bounded staleness.

.. math:: \frac1K\sum_{k<K} E|\nabla f(x_k)|^2 \le \frac{1}{1+\theta/2}\Big[\frac{2\Delta}{\eta mK}
   + \frac{L\eta\sigma^2}{m} E[C^2](1 + 2(1+\theta)L\eta E[\tau C])\Big],

:math:`h = L\eta C_{\max}\max(1,R) \le 1/2`, :math:`\theta = (1-2h)(1+h)/(1+2h^2)`, m = E[C]. Never worse than A.

Example:
  >>> from theory.convergence.moments import Moments
  >>> case = Case(Moments.of_pmf({1: 1}, {0: 1, 1: 1}), {"L": 1, "sigma": 0, "delta": 1, "steps": fmpq(4)})
  >>> THEOREM.bound(case, fmpq(1, 2)), THEOREM.bound(case, fmpq(1, 4))
  (1, 36/23)
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import fmpq

from theory.convergence.assumptions import (
    SETTING,
    bounded_staleness,
    finite,
    mean_factor,
    nonnegative,
    step_condition,
)
from theory.convergence.moment_condition import startup_note
from theory.convergence.theorem import Case, Judged, Theorem
from theory.numbers.balls import Number


def _load(case: Case, step: fmpq) -> Number:
    return case["L"] * step * case.moment("largest_factor") * max(1, case.moment("largest_staleness"))


def _largest_step(case: Case) -> Number:
    return 1 / (2 * case["L"] * case.moment("largest_factor") * max(1, case.moment("largest_staleness")))


def _assumptions(case: Case, step: fmpq | None) -> Sequence[Judged]:
    inequality = "h = LηC_max·max(1,R) ≤ 1/2"
    return [
        *SETTING,
        bounded_staleness(case),
        nonnegative(case),
        mean_factor(case),
        finite(case, "largest_factor", "mean_square", "staleness_mean"),
        step_condition(step, lambda eta: _load(case, eta), fmpq(1, 2), inequality),
    ]


def _bound(case: Case, step: fmpq) -> Number:
    h, mean = _load(case, step), case.moment("mean")
    theta = (1 - 2 * h) * (1 + h) / (1 + 2 * h * h)
    start = 2 * case["delta"] / (step * mean * case["steps"])
    spread = 1 + 2 * (1 + theta) * case["L"] * step * case.moment("staleness_mean")
    noise = case["L"] * step * case["sigma"] ** 2 * case.moment("mean_square") * spread / mean
    return (start + noise) / (1 + theta / 2)


THEOREM = Theorem(
    key="nonconvex-sharp",
    title="Non-convex, sharper constants (A-sharp)",
    statement="If h = LηC_max·max(1,R) ≤ 1/2 and θ = (1 − 2h)(1 + h)/(1 + 2h²), then with m = E[C]\n"
    "(1/K) Σ_{k<K} E|∇f(x_k)|² ≤ [2Δ/(ηmK) + (Lησ²/m)·E[C²]·(1 + 2(1 + θ)LηE[τC])] / (1 + θ/2).",
    needs=("L", "sigma", "delta", "steps"),
    assumptions=_assumptions,
    bound=_bound,
    largest_step=_largest_step,
    notes=lambda case, step: [note + " (to Theorem A's bound)" for note in startup_note(case, step, 2)],
    provenance="ours",
    source="docs/convergence.md, Corollary A-sharp",
)

r"""Theorem D-PL: bounded gradients and the Polyak-Łojasiewicz inequality, both along the run.

.. math:: E f(x_K)-f^* \le (1-2\eta m\mu)^K\Delta
   + \frac{\eta L}{2\mu}\Big(GM\,E[\tau C] + \frac{M^2}{2m}E[C^2]\Big),\qquad \eta m \le \frac1{2\mu},\ m = E[C].

On all of ℝᵈ the assumptions would contradict each other unless f is constant; along a run they do not.

Example:
  >>> from theory.convergence.moments import Moments
  >>> numbers = {name: fmpq(1) for name in ("L", "mu", "delta", "G", "M", "steps")}
  >>> print(THEOREM.bound(Case(Moments.of_pmf({0: 1}, {0: 1}), numbers), fmpq(1, 2)))
  0.125000000000000
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import fmpq

from theory.convergence.assumptions import (
    DELAYS,
    SMOOTH,
    at_most,
    finite,
    mean_factor,
    nonnegative,
    not_steeper,
    step_condition,
)
from theory.convergence.theorem import Case, Judged, Theorem
from theory.convergence.theorems.bounded_gradients import ALONG_THE_RUN, UNBIASED, drift
from theory.numbers.balls import Number, ball

_PL = Judged("Polyak-Łojasiewicz", None, "along the run: |∇f(x_k)|² ≥ 2μ(f(x_k) − inf f) for every k < K")


def _assumptions(case: Case, step: fmpq | None) -> Sequence[Judged]:
    gap = 2 * case["mu"] * case["delta"]
    return [
        SMOOTH,
        UNBIASED,
        DELAYS,
        ALONG_THE_RUN,
        _PL,
        not_steeper(case),
        at_most("G large enough", lambda: gap, case["G"] ** 2, "2μΔ ≤ |∇f(x₀)|² ≤ G²"),
        at_most("M large enough", lambda: gap, case["M"] ** 2, "2μΔ ≤ E|g₀|² ≤ M²"),
        nonnegative(case),
        mean_factor(case),
        finite(case, "mean_square", "staleness_mean"),
        step_condition(step, lambda eta: 2 * eta * case.moment("mean") * case["mu"], fmpq(1), "2ηmμ ≤ 1"),
    ]


def _bound(case: Case, step: fmpq) -> Number:
    kept = ball(1 - 2 * step * case.moment("mean") * case["mu"]) ** case.steps
    return kept * case["delta"] + step * drift(case) / (2 * case["mu"])


THEOREM = Theorem(
    key="bounded-gradients-pl",
    title="Bounded gradients, Polyak-Łojasiewicz (D-PL)",
    statement="If along the run |∇f(x_k)| ≤ G, E|g_k|² ≤ M² and the Polyak-Łojasiewicz inequality hold, and 2ηmμ ≤ 1,\n"
    "m = E[C], then\n"
    "E f(x_K) − f* ≤ (1 − 2ηmμ)^K·Δ + (ηL/(2μ))·(GM·E[τC] + (M²/(2m))·E[C²]).",
    needs=("L", "mu", "delta", "G", "M", "steps"),
    assumptions=_assumptions,
    bound=_bound,
    largest_step=lambda case: 1 / (2 * case["mu"] * case.moment("mean")),
    provenance="ours",
    source="docs/convergence.md, Theorem D-PL",
)

r"""Mishchenko et al., Theorem 3.1: convex and smooth; a step size that falls with the delay.

.. math:: E[F(\tilde x)-F^*] \le \frac{180mLD^2}{K} + \frac{15\sigma D}{\sqrt K},\qquad
   \gamma_k = \min\Big\{\frac{1}{4L(\tau_k+1)}, \frac{1}{4mL}, \frac{D}{\sigma\sqrt K}\Big\},\ D = |x_0-x^*|.

Example:
  >>> from theory.convergence.moments import Moments
  >>> numbers = {name: fmpq(1) for name in ("L", "sigma", "distance", "workers")} | {"steps": fmpq(100)}
  >>> THEOREM.bound(Case(Moments.of_pmf({0: 1}, {0: 1}), numbers), fmpq(1, 10))
  33/10
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import fmpq

from theory.convergence.assumptions import CONVEX
from theory.convergence.theorem import Case, Judged
from theory.convergence.theorems.mishchenko.paper import (
    DELAYS,
    SAMPLES,
    SMOOTH,
    follows,
    prescribed,
    root,
    theorem,
    workers,
)
from theory.numbers.balls import Number, least


def _step(case: Case) -> Number:
    by_workers = 1 / (4 * case["workers"] * case["L"])
    if case["sigma"] == 0:
        return by_workers
    return least(by_workers, case["distance"] / (case["sigma"] * root(case["steps"])))


def _assumptions(case: Case, step: fmpq | None) -> Sequence[Judged]:
    base = step or fmpq(0)
    rule = follows(case, step, lambda tau: min(1 / (4 * case["L"] * (tau + 1)), base), "min{1/(4L(τ+1)), η}")
    return [SMOOTH, CONVEX, SAMPLES, DELAYS, workers(case), *prescribed(step, _step(case)), *rule]


def _bound(case: Case, step: fmpq) -> Number:
    del step
    start = 180 * case["workers"] * case["L"] * case["distance"] ** 2 / case["steps"]
    return start + 15 * case["sigma"] * case["distance"] / root(case["steps"])


THEOREM = theorem(
    "3.1",
    "Convex, delay-adaptive",
    "With γ_k = min{1/(4L(τ_k+1)), 1/(4mL), D/(σ√K)}, D = |x₀ − x*|, for x̃ drawn with probability proportional to\n"
    "the step size that its gradient is used with:  E[F(x̃) − F*] ≤ 180mLD²/K + 15σD/√K.",
    ("L", "sigma", "distance", "workers", "steps"),
    _assumptions,
    _bound,
    _step,
)

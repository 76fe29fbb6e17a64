r"""Mishchenko et al., Theorem 3.3: smooth, not necessarily convex; a step size that falls with the delay.

.. math:: E|\nabla F(\tilde x)|^2 \le \frac{81\Delta + 18mL\sigma^2\gamma^2}{K\gamma} + 6L\sigma^2\gamma,\qquad
   \gamma_k = \min\Big\{\frac{1}{4L(\tau_k+1)}, \gamma\Big\},\ \gamma \le \frac{1}{2mL},

as its proof has it. At :math:`\gamma = \min\{1/(2mL), \sqrt{\Delta/(KL\sigma^2)}\}` and K ≥ m that is at most
:math:`162mL\Delta/K + 105\sqrt{L\Delta\sigma^2/K}`, where the constants are worked out here.

Example:
  >>> from theory.convergence.moments import Moments
  >>> numbers = {name: fmpq(1) for name in ("L", "sigma", "delta", "workers")} | {"steps": fmpq(9)}
  >>> THEOREM.bound(Case(Moments.of_pmf({0: 1}, {0: 1}), numbers), fmpq(1, 3))
  89/3
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import fmpq

from theory.convergence.assumptions import at_most
from theory.convergence.theorem import Case, Judged
from theory.convergence.theorems.mishchenko.paper import DELAYS, SAMPLES, SMOOTH, follows, root, theorem, workers
from theory.numbers.balls import Number, least


def _most(case: Case) -> Number:
    return 1 / (2 * case["workers"] * case["L"])


def _step(case: Case) -> Number:
    if case["sigma"] == 0:
        return _most(case)
    return least(_most(case), root(case["delta"] / (case["steps"] * case["L"] * case["sigma"] ** 2)))


def _assumptions(case: Case, step: fmpq | None) -> Sequence[Judged]:
    base = step or fmpq(0)
    judged = [SMOOTH, SAMPLES, DELAYS, workers(case)]
    judged += follows(case, step, lambda tau: min(1 / (4 * case["L"] * (tau + 1)), base), "min{1/(4L(τ+1)), η}")
    if step is not None:
        judged.append(at_most("step condition", lambda: step, _most(case), "γ ≤ 1/(2mL)"))
    return judged


def _bound(case: Case, step: fmpq) -> Number:
    noise = case["L"] * case["sigma"] ** 2
    start = 81 * case["delta"] + 18 * case["workers"] * noise * step**2
    return start / (case["steps"] * step) + 6 * noise * step


THEOREM = theorem(
    "3.3",
    "Non-convex, delay-adaptive",
    "With γ_k = min{1/(4L(τ_k+1)), γ}, γ ≤ 1/(2mL), for x̃ drawn with probability proportional to the step size\n"
    "that its gradient is used with:  E|∇F(x̃)|² ≤ (81Δ + 18mLσ²γ²)/(Kγ) + 6Lσ²γ.",
    ("L", "sigma", "delta", "workers", "steps"),
    _assumptions,
    _bound,
    _step,
    _most,
)

r"""Mishchenko et al., Theorem 3.2: strongly convex and smooth; a step size that falls with the delay.

.. math:: E[F(\tilde x)-F^*] \le \frac{35D^2}{\gamma}\exp\Big(-\frac{K\mu\gamma}{504}\Big) + 252\sigma^2\gamma,\qquad
   \gamma_k = \min\Big\{\frac{e^{-\mu(\tau_k+1)/(4mL)}}{4L(\tau_k+1)}, \gamma\Big\},

as its proof has it, with :math:`\gamma = \min\{1/(8mL), 504\ln(e + \mu^2K^2D^2/\sigma^2)/(\mu K)\}`,
K ≥ 3m, D = |x₀ - x*|.

Example:
  >>> from theory.convergence.moments import Moments
  >>> numbers = {name: fmpq(1) for name in ("L", "mu", "sigma", "distance", "workers")} | {"steps": fmpq(4032)}
  >>> print(THEOREM.bound(Case(Moments.of_pmf({0: 1}, {0: 1}), numbers), fmpq(1, 8)).str(6, radius=False))
  134.506
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import arb, fmpq

from theory.convergence.assumptions import STRONGLY_CONVEX, at_most, not_steeper
from theory.convergence.theorem import Case, Judged
from theory.convergence.theorems.mishchenko.paper import DELAYS, SAMPLES, SMOOTH, follows, theorem, workers
from theory.numbers.balls import Number, ball, least


def _most(case: Case) -> Number:
    return 1 / (8 * case["workers"] * case["L"])


def _step(case: Case) -> Number:
    if case["sigma"] == 0:
        return _most(case)
    ratio = (case["mu"] * case["steps"] * case["distance"] / case["sigma"]) ** 2
    return least(_most(case), 504 * (arb(1).exp() + ratio).log() / (case["mu"] * case["steps"]))


def _rule(case: Case, base: fmpq, tau: int) -> Number:
    damped = ball(-case["mu"] * (tau + 1) / (4 * case["workers"] * case["L"])).exp() / (4 * case["L"] * (tau + 1))
    return base if damped > base else damped.min(ball(base))


def _assumptions(case: Case, step: fmpq | None) -> Sequence[Judged]:
    judged = [SMOOTH, STRONGLY_CONVEX, SAMPLES, DELAYS, workers(case), not_steeper(case)]
    judged.append(at_most("enough commits", lambda: 3 * case["workers"], case["steps"], "3m ≤ K"))
    written = "min{e^{−μ(τ+1)/(4mL)}/(4L(τ+1)), η}"
    judged += follows(case, step, lambda tau: _rule(case, step or fmpq(0), tau), written)
    if step is not None:
        judged.append(at_most("step condition", lambda: step, _most(case), "γ ≤ 1/(8mL)"))
    return judged


def _bound(case: Case, step: fmpq) -> Number:
    start = 35 * case["distance"] ** 2 / step * ball(-case["steps"] * case["mu"] * step / 504).exp()
    return start + 252 * case["sigma"] ** 2 * step


THEOREM = theorem(
    "3.2",
    "Strongly convex, delay-adaptive",
    "With γ_k = min{exp(−μ(τ_k+1)/(4mL))/(4L(τ_k+1)), γ}, γ ≤ 1/(8mL), K ≥ 3m, D = |x₀ − x*|,\n"
    "for the weighted mean x̃:  E[F(x̃) − F*] ≤ (35D²/γ)·exp(−Kμγ/504) + 252σ²γ.",
    ("L", "mu", "sigma", "distance", "workers", "steps"),
    _assumptions,
    _bound,
    _step,
    _most,
)

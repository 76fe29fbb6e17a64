r"""Mishchenko et al., Theorem 2: smooth, Lipschitz, not necessarily convex; a constant step size.

.. math:: E|\nabla F(\tilde x)|^2 \le \frac{4\Delta}{\gamma K} + 4\gamma L\sigma^2 + 2\gamma^2L^2m^2G^2,\quad
   \gamma \le \frac{1}{2mL},

as its proof has it; at :math:`\gamma = \min\{1/(2mL), \sqrt{\Delta/(L\sigma^2K)}, (\Delta/(L^2m^2G^2K))^{1/3}\}` that
is at most :math:`8mL\Delta/K + 8\sqrt{L\Delta\sigma^2/K} + 6(mL\Delta G/K)^{2/3}`; these constants are worked out here.

Example:
  >>> from theory.convergence.moments import Moments
  >>> numbers = {name: fmpq(1) for name in ("L", "G", "sigma", "delta", "workers")} | {"steps": fmpq(16)}
  >>> THEOREM.bound(Case(Moments.of_pmf({0: 1}, {0: 1}), numbers), fmpq(1, 4))
  17/8
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import fmpq

from theory.convergence.assumptions import at_most
from theory.convergence.theorem import Case, Judged
from theory.convergence.theorems.mishchenko.paper import DELAYS, SAMPLES, SMOOTH, follows, root, theorem, workers
from theory.numbers.balls import Number, least, power

_LIPSCHITZ = Judged("bounded gradients", None, "|∇F(x)| ≤ G for every x")


def _most(case: Case) -> Number:
    return 1 / (2 * case["workers"] * case["L"])


def _step(case: Case) -> Number:
    terms = [_most(case)]
    if case["sigma"] != 0:
        terms.append(root(case["delta"] / (case["L"] * case["sigma"] ** 2 * case["steps"])))
    if case["G"] != 0:
        squared = (case["L"] * case["workers"] * case["G"]) ** 2
        terms.append(power(case["delta"] / (squared * case["steps"]), fmpq(1, 3)))
    return least(*terms)


def _assumptions(case: Case, step: fmpq | None) -> Sequence[Judged]:
    judged = [SMOOTH, _LIPSCHITZ, SAMPLES, DELAYS, workers(case)]
    judged += follows(case, step, lambda tau: step or fmpq(0), "γ")
    if step is not None:
        judged.append(at_most("step condition", lambda: step, _most(case), "γ ≤ 1/(2mL)"))
    return judged


def _bound(case: Case, step: fmpq) -> Number:
    drift = 2 * (step * case["L"] * case["workers"] * case["G"]) ** 2
    return 4 * case["delta"] / (step * case["steps"]) + 4 * step * case["L"] * case["sigma"] ** 2 + drift


THEOREM = theorem(
    "2",
    "Non-convex, Lipschitz",
    "With a constant step size γ ≤ 1/(2mL), for an iterate x̃ drawn uniformly:\n"
    "E|∇F(x̃)|² ≤ 4Δ/(γK) + 4γLσ² + 2γ²L²m²G².",
    ("L", "sigma", "delta", "G", "workers", "steps"),
    _assumptions,
    _bound,
    _step,
    _most,
)

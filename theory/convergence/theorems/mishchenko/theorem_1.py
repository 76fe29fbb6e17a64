r"""Mishchenko et al., Theorem 1: convex, Lipschitz losses and a constant step size.

.. math:: E[F(\bar x)-F^*] \le 3GD\sqrt{m/K},\qquad \gamma = \frac{D}{G\sqrt{Km}},\ D = |x_0-x^*|.

Nothing is asked of the delays but that m workers make them.

Example:
  >>> from theory.convergence.moments import Moments
  >>> numbers = {"G": fmpq(1), "distance": fmpq(2), "workers": fmpq(4), "steps": fmpq(100)}
  >>> THEOREM.bound(Case(Moments.of_pmf({3: 1}, {3: 1}), numbers), fmpq(1, 10))
  6/5
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import fmpq

from theory.convergence.theorem import Case, Judged
from theory.convergence.theorems.mishchenko.paper import DELAYS, follows, prescribed, root, theorem, workers
from theory.numbers.balls import Number

_CONVEX = Judged("convex, Lipschitz losses", None, "each f(·; ξ) is convex and |g| ≤ G always")


def _step(case: Case) -> Number:
    return case["distance"] / (case["G"] * root(case["steps"] * case["workers"]))


def _assumptions(case: Case, step: fmpq | None) -> Sequence[Judged]:
    rule = follows(case, step, lambda tau: step or fmpq(0), "γ")
    return [_CONVEX, DELAYS, workers(case), *prescribed(step, _step(case)), *rule]


def _bound(case: Case, step: fmpq) -> Number:
    del step
    return 3 * case["G"] * case["distance"] * root(case["workers"] / case["steps"])


THEOREM = theorem(
    "1",
    "Convex, Lipschitz",
    "With the constant step size γ = D/(G√(Km)), D = |x₀ − x*|, for the mean iterate x̄:\nE[F(x̄) − F*] ≤ 3GD√(m/K).",
    ("G", "distance", "workers", "steps"),
    _assumptions,
    _bound,
    _step,
)

r"""Theorem A: the mean squared gradient of a smooth, not necessarily convex function.

.. math:: \frac1K\sum_{k<K} E|\nabla f(x_k)|^2 \le \frac{2\Delta}{\eta mK}
   + \frac{L\eta\sigma^2}{m} E[C^2](1 + 2L\eta E[\tau C]),\qquad m = E[C],

under condition (M) of ``moment_condition``. With no staleness both constants, 2 and 1, are attained.

Example:
  >>> from flint import fmpq
  >>> from theory.convergence.moments import Moments
  >>> case = Case(Moments.of_pmf({1: 1}, {0: 1, 1: 1}), {"L": 1, "sigma": 0, "delta": 1, "steps": fmpq(4)})
  >>> THEOREM.bound(case, fmpq(1, 2))
  1
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import fmpq

from theory.convergence import moment_condition
from theory.convergence.assumptions import SETTING, finite_moments
from theory.convergence.theorem import Case, Judged, Theorem
from theory.numbers.balls import Number


def _assumptions(case: Case, step: fmpq | None) -> Sequence[Judged]:
    return [*SETTING, *finite_moments(case), moment_condition.judged(case, step)]


def _bound(case: Case, step: fmpq) -> Number:
    mean = case.moment("mean")
    start = 2 * case["delta"] / (step * mean * case["steps"])
    return start + case["L"] * step * case["sigma"] ** 2 * moment_condition.noise_factor(case, step) / mean


THEOREM = Theorem(
    key="nonconvex",
    title="Non-convex (A)",
    statement="If LηC_max(1 + 2LηE[τ²C]) ≤ 1, then with m = E[C]\n"
    "(1/K) Σ_{k<K} E|∇f(x_k)|² ≤ 2Δ/(ηmK) + (Lησ²/m)·E[C²]·(1 + 2LηE[τC]).",
    needs=("L", "sigma", "delta", "steps"),
    assumptions=_assumptions,
    bound=_bound,
    largest_step=moment_condition.largest_step,
    notes=lambda case, step: moment_condition.startup_note(case, step, 2),
    provenance="ours",
    source="docs/convergence.md, Theorem A",
)

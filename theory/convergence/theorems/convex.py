r"""Theorem B: the mean value of a convex, smooth function, and of its mean iterate.

.. math:: \frac1K\sum_{k<K} E[f(x_k)-f^*] \le \frac{D^2}{2\eta mK}
   + \frac{\eta\sigma^2}{2m} E[C^2](1 + 2L\eta E[\tau C]),\qquad D = |x_0-x^*|,\ m = E[C],

under condition (M) of ``moment_condition``.

Example:
  >>> from theory.convergence.moments import Moments
  >>> case = Case(Moments.of_pmf({1: 1}, {0: 1, 1: 1}), {"L": 1, "sigma": 1, "distance": 2, "steps": fmpq(8)})
  >>> THEOREM.bound(case, fmpq(1, 2))
  1
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import fmpq

from theory.convergence import moment_condition
from theory.convergence.assumptions import CONVEX, SETTING, finite_moments
from theory.convergence.theorem import Case, Judged, Theorem
from theory.numbers.balls import Number


def _assumptions(case: Case, step: fmpq | None) -> Sequence[Judged]:
    return [*SETTING, CONVEX, *finite_moments(case), moment_condition.judged(case, step)]


def _bound(case: Case, step: fmpq) -> Number:
    mean = case.moment("mean")
    start = case["distance"] ** 2 / (2 * step * mean * case["steps"])
    return start + step * case["sigma"] ** 2 * moment_condition.noise_factor(case, step) / (2 * mean)


THEOREM = Theorem(
    key="convex",
    title="Convex (B)",
    statement="If LηC_max(1 + 2LηE[τ²C]) ≤ 1, then with m = E[C] and D = |x₀ − x*|\n"
    "(1/K) Σ_{k<K} E[f(x_k) − f*] ≤ D²/(2ηmK) + (ησ²/(2m))·E[C²]·(1 + 2LηE[τC]);\n"
    "the left side is at least E f(x̄) − f* for the mean iterate x̄.",
    needs=("L", "sigma", "distance", "steps"),
    assumptions=_assumptions,
    bound=_bound,
    largest_step=moment_condition.largest_step,
    notes=lambda case, step: moment_condition.startup_note(case, step, 1),
    provenance="ours",
    source="docs/convergence.md, Theorem B",
)

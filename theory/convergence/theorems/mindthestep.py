r"""A MindTheStep-type theorem: how long a strongly convex run can stay away from the minimiser by √ε.

.. math:: T \le 1 + \frac{\ln(D_0/\varepsilon)}{d},\qquad
   d = 2\mu E[\alpha] - \frac{2LM}{\sqrt\varepsilon}E[\tau\alpha]\sqrt{E[\alpha^2]}
       - \frac{M^2}{\varepsilon}E[\alpha^2] > 0

for every T ≥ 1 with :math:`E|x_t-x^*|^2 \ge \varepsilon` for all t < T; α = ηC(τ), :math:`D_0 = |x_0-x^*|^2`. Without
the 1 it is false: with ε = D₀ the hypothesis holds for T = 1 always.

Example:
  >>> from theory.convergence.moments import Moments
  >>> numbers = {name: fmpq(1) for name in ("L", "mu", "M", "eps", "distance")}
  >>> print(THEOREM.bound(Case(Moments.of_pmf({0: 1}, {0: 1}), numbers), fmpq(1)))
  1.00000000000000
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flint import arb, fmpq

from theory.convergence.assumptions import (
    DELAYS,
    NO_STEP,
    SMOOTH,
    STRONGLY_CONVEX,
    at_most,
    finite,
    mean_factor,
    nonnegative,
    not_steeper,
)
from theory.convergence.steps import compared
from theory.convergence.theorem import Case, Judged, Theorem
from theory.convergence.theorems.bounded_gradients import UNBIASED
from theory.decisions.verdict import Verdict
from theory.numbers.balls import Number, ball, power
from theory.numbers.decimals import shown

_ALONG_THE_RUN = Judged("bound along the run", None, "E|g_t|² ≤ M² given τ_t, for every t < T")


def _slowed(case: Case) -> Number:
    """The factor of η² in d."""
    second, square_root = case.moment("mean_square"), power(case["eps"], fmpq(1, 2))
    stale = 2 * case["L"] * case["M"] * case.moment("staleness_mean") * power(second, fmpq(1, 2)) / square_root
    return stale + case["M"] ** 2 * second / case["eps"]


def _decrease(case: Case, step: fmpq) -> Number:
    """The d of the theorem, per commit."""
    return 2 * case["mu"] * step * case.moment("mean") - step * step * _slowed(case)


def _most(case: Case) -> Number:
    return 2 * case["mu"] * case.moment("mean") / _slowed(case)


def _assumptions(case: Case, step: fmpq | None) -> Sequence[Judged]:
    judged = [
        SMOOTH,
        STRONGLY_CONVEX,
        UNBIASED,
        DELAYS,
        _ALONG_THE_RUN,
        not_steeper(case),
        at_most(
            "M large enough",
            lambda: (case["mu"] * case["distance"]) ** 2,
            case["M"] ** 2,
            "μ²|x₀ − x*|² ≤ E|g₀|² ≤ M²",
        ),
        nonnegative(case),
        mean_factor(case),
        finite(case, "mean_square", "staleness_mean"),
    ]
    if step is None:
        judged.append(NO_STEP)
    elif judged[-1].verdict is Verdict.PROVED:
        decrease = _decrease(case, step)
        not_positive = compared(decrease, fmpq(0))
        verdict = {Verdict.PROVED: Verdict.REFUTED, Verdict.REFUTED: Verdict.PROVED}.get(not_positive, Verdict.UNKNOWN)
        judged.append(Judged("step condition d > 0", verdict, f"d {shown(decrease)}"))
    return judged


def _bound(case: Case, step: fmpq) -> Number:
    start = case["distance"] ** 2
    decrease = _decrease(case, step)
    if compared(decrease, fmpq(0)) is not Verdict.REFUTED:
        return arb("+inf")
    if start < case["eps"]:
        return fmpq(0)  # already there
    return 1 + ball(start / case["eps"]).log() / decrease


def _notes(case: Case, step: fmpq) -> list[str]:
    value = ball(_bound(case, step))
    if not value.is_finite():
        return []
    commits = max(0, math.ceil(float((value - 1).upper())))
    return [f"E|x_t − x*|² ≤ ε for some t ≤ {commits}."]


THEOREM = Theorem(
    key="mindthestep",
    title="MindTheStep-type, strongly convex (section 9)",
    statement="If α = ηC(τ), d = 2μE[α] − 2LMε^{−1/2}·E[τα]·√E[α²] − M²ε⁻¹·E[α²] > 0, D₀ = |x₀ − x*|², and\n"
    "E|x_t − x*|² ≥ ε for every t < T, T ≥ 1, then T ≤ 1 + ln(D₀/ε)/d.",
    needs=("L", "mu", "M", "eps", "distance"),
    assumptions=_assumptions,
    bound=_bound,
    largest_step=_most,
    step_words="every step size below",
    default_step=lambda case: _most(case) / 2,
    has_free_step=False,
    provenance="ours",
    source="docs/convergence.md, MindTheStep-type theorem",
)

r"""Theorem C: linear convergence to a noise floor under the Polyak-Łojasiewicz inequality.

.. math:: E f(x_K)-f^* \le q^K\Delta + (1-q^K)\frac{L\eta\sigma^2}{2\mu m} E[C^2](1 + 2L\eta E[\tau C]),
   \quad q = 1-\eta m\mu,\ m = E[C],

under the condition of ``discounted_condition``; :math:`\eta C_{\max} \le (\sqrt2-1)/(L\max(1,R))` suffices.

Example:
  >>> from theory.convergence.moments import Moments
  >>> numbers = {"L": fmpq(1), "mu": fmpq(1), "sigma": fmpq(0), "delta": fmpq(8), "steps": fmpq(3)}
  >>> print(THEOREM.bound(Case(Moments.of_pmf({0: 1}, {0: 1}), numbers), fmpq(1, 2)))
  1.00000000000000
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import fmpq

from theory.convergence import discounted_condition
from theory.convergence.assumptions import PL, SETTING, finite_moments, not_steeper
from theory.convergence.moment_condition import noise_factor
from theory.convergence.theorem import Case, Judged, Theorem
from theory.numbers.balls import Number


def _assumptions(case: Case, step: fmpq | None) -> Sequence[Judged]:
    return [*SETTING, PL, not_steeper(case), *finite_moments(case), discounted_condition.judged(case, step)]


def _bound(case: Case, step: fmpq) -> Number:
    kept = discounted_condition.contraction(case, step)
    floor = case["L"] * step * case["sigma"] ** 2 * noise_factor(case, step) / (2 * case["mu"] * case.moment("mean"))
    return kept * case["delta"] + (1 - kept) * floor


THEOREM = Theorem(
    key="pl",
    title="Polyak-Łojasiewicz (C)",
    statement="If LηC_max(1 + 2Lη·E[Cτ Σ_{i=1}^{τ} q⁻ⁱ]) ≤ 1, q = 1 − ηmμ > 0, m = E[C]\n"
    "(LηC_max·max(1,R) ≤ √2 − 1 suffices), then\n"
    "E f(x_K) − f* ≤ q^K·Δ + (1 − q^K)·(Lησ²/(2μm))·E[C²]·(1 + 2LηE[τC]).",
    needs=("L", "mu", "sigma", "delta", "steps"),
    assumptions=_assumptions,
    bound=_bound,
    largest_step=discounted_condition.largest_step,
    provenance="ours",
    source="docs/convergence.md, Theorem C",
)

r"""Theorem A′, the count: how many commits bring the mean squared gradient to ε with a constant step size.

.. math:: \gamma = \min\Big\{\frac1{2L\max(1,R)}, \frac{\varepsilon}{4L\sigma^2}\Big\},\qquad
   K \ge \frac{4\max(1,R)L\Delta}{\varepsilon} + \frac{8\sigma^2L\Delta}{\varepsilon^2}
   \;\Rightarrow\; \frac1K\sum_{k<K}E|\nabla f(x_k)|^2 \le \varepsilon.

For any delays ≤ R that do not look at the noise. A scheme that applies a gradient only if its delay is *below* a
threshold has R = threshold - 1, and K counts applied gradients.

Example:
  >>> from theory.convergence.moments import Moments
  >>> numbers = {"L": fmpq(1), "sigma": fmpq(1), "delta": fmpq(1), "eps": fmpq(1, 2)}
  >>> THEOREM.bound(Case(Moments.of_pmf({3: 1}, {3: 1}), numbers), fmpq(1, 8))
  56
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import fmpq

from theory.convergence.assumptions import NO_STEP, NOISE, SMOOTH, at_most, bounded_staleness, constant_factor
from theory.convergence.theorem import Case, Judged, Theorem
from theory.decisions.verdict import Verdict
from theory.numbers.balls import Number

_DELAYS = Judged(
    "delays that do not look at the noise", None, "the delay sequence is fixed, or independent of the noise"
)


def _step(case: Case) -> Number:
    by_staleness = 1 / (2 * case["L"] * max(1, case.moment("largest_staleness")))
    if case["sigma"] == 0:
        return by_staleness
    return min(by_staleness, case["eps"] / (4 * case["L"] * case["sigma"] ** 2))


def _assumptions(case: Case, step: fmpq | None) -> Sequence[Judged]:
    judged = [
        SMOOTH,
        NOISE,
        _DELAYS,
        bounded_staleness(case),
        constant_factor(case, fmpq(1)),
    ]
    if step is None:
        judged.append(NO_STEP)
    elif judged[3].verdict is Verdict.PROVED:
        own_step = _step(case)
        verdict = Verdict.PROVED if step == own_step else Verdict.REFUTED
        judged.append(Judged("step size", verdict, f"γ = {step}; the theorem's is {own_step}"))
        if "steps" in case.numbers:
            inequality = "4·max(1,R)LΔ/ε + 8σ²LΔ/ε² ≤ K"
            judged.append(at_most("enough commits", lambda: _bound(case, step), case["steps"], inequality))
    return judged


def _bound(case: Case, step: fmpq) -> Number:
    del step
    first = 4 * max(1, case.moment("largest_staleness")) * case["L"] * case["delta"] / case["eps"]
    return first + 8 * case["sigma"] ** 2 * case["L"] * case["delta"] / case["eps"] ** 2


THEOREM = Theorem(
    key="threshold-count",
    title="Bounded delays, number of commits (A′)",
    statement="With C = 1, delays ≤ R and γ = min{1/(2L·max(1,R)), ε/(4Lσ²)}:\n"
    "K ≥ 4·max(1,R)LΔ/ε + 8σ²LΔ/ε² implies (1/K) Σ_{k<K} E|∇f(x_k)|² ≤ ε.",
    needs=("L", "sigma", "delta", "eps"),
    assumptions=_assumptions,
    bound=_bound,
    largest_step=_step,
    step_words="the theorem's step size",
    has_free_step=False,
    provenance="ours",
    source="docs/convergence.md, Theorem A′ (the quoted constants of the thresholded and tree-based methods, proved)",
)

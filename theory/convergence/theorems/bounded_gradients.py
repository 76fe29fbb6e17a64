r"""Theorem D: bounded gradients along the run; every step size is admissible.

.. math:: \frac1K\sum_{k<K} E|\nabla f(x_k)|^2 \le \frac{\Delta}{\eta mK}
   + \eta L\Big(GM\,E[\tau C] + \frac{M^2}{2m}E[C^2]\Big),\qquad m = E[C].

Staleness enters only by E[τC], and only linearly.

Example:
  >>> from theory.convergence.moments import Moments
  >>> numbers = {"L": fmpq(1), "delta": fmpq(1), "G": fmpq(1), "M": fmpq(1), "steps": fmpq(2)}
  >>> THEOREM.bound(Case(Moments.of_pmf({1: 1}, {1: 1}), numbers), fmpq(1, 2))
  7/4
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import fmpq

from theory.convergence.assumptions import DELAYS, NO_STEP, SMOOTH, finite, mean_factor, nonnegative
from theory.convergence.theorem import Case, Judged, Theorem
from theory.numbers.balls import Number, ball

UNBIASED = Judged("unbiased gradients", None, "given the past and τ_k, g_k has mean ∇f(z_k)")
ALONG_THE_RUN = Judged(
    "bounds along the run", None, "for every k < K: |∇f(x_k)| ≤ G, and E|g_k|² ≤ M² given the past and τ_k"
)


def drift(case: Case) -> Number:
    """The coefficient of η in the bound: L(GM·E[τC] + M²E[C²]/(2m)), times m of the theorem's left side."""
    second = case["M"] ** 2 * case.moment("mean_square") / (2 * case.moment("mean"))
    return case["L"] * (case["G"] * case["M"] * case.moment("staleness_mean") + second)


def _assumptions(case: Case, step: fmpq | None) -> Sequence[Judged]:
    return [
        SMOOTH,
        UNBIASED,
        DELAYS,
        ALONG_THE_RUN,
        nonnegative(case),
        mean_factor(case),
        finite(case, "mean_square", "staleness_mean"),
        *([NO_STEP] if step is None else []),
    ]


def _bound(case: Case, step: fmpq) -> Number:
    return case["delta"] / (step * case.moment("mean") * case["steps"]) + step * drift(case)


def _best_step(case: Case) -> Number:
    return (ball(case["delta"]) / (case.moment("mean") * case["steps"] * drift(case))).sqrt()


THEOREM = Theorem(
    key="bounded-gradients",
    title="Bounded gradients (D)",
    statement="If |∇f(x_k)| ≤ G and E|g_k|² ≤ M² along the run, then for every η > 0, with m = E[C]\n"
    "(1/K) Σ_{k<K} E|∇f(x_k)|² ≤ Δ/(ηmK) + ηL·(GM·E[τC] + (M²/(2m))·E[C²]).",
    needs=("L", "delta", "G", "M", "steps"),
    assumptions=_assumptions,
    bound=_bound,
    largest_step=None,
    default_step=_best_step,
    has_free_step=False,
    provenance="ours",
    source="docs/convergence.md, Theorem D",
)

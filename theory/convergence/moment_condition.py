r"""The step condition (M) of the non-convex and the convex theorem, and the noise factor V.

.. math:: L\eta C_{\max}(1 + 2L\eta E[\tau^2C]) \le 1,\qquad V = E[C^2](1 + 2L\eta E[\tau C]).

Staleness need not be bounded for it; where it is, by R, it follows from :math:`\eta C_{\max} \le 1/(2L\max(1,R))`.
"""

from __future__ import annotations

from flint import fmpq

from theory.convergence.assumptions import step_condition
from theory.convergence.theorem import Case, Judged
from theory.numbers.balls import Number, power
from theory.numbers.decimals import shown


def load(case: Case, step: fmpq) -> Number:
    """The left side of (M), which is at most 1 for an admissible step size."""
    scaled = case["L"] * step
    return scaled * case.moment("largest_factor") * (1 + 2 * scaled * case.moment("staleness_square_mean"))


def largest_step(case: Case) -> Number:
    r"""The root of (M) taken as an equation: :math:`2/(LC_{\max}(1 + \sqrt{1 + 8E[\tau^2C]/C_{\max}}))`.

    Args:
      case: step-size function, law and L.

    Returns:
      The largest admissible step size, in [x]²/[f].

    Raises:
      Unavailable: where C or E[τ²C] is not known to be finite.

    Example:
      >>> from theory.convergence.moments import Moments
      >>> largest_step(Case(Moments.of_pmf({1: 1}, {0: 1, 1: 1}), {"L": fmpq(1)}))
      1/2
    """
    largest, second = case.moment("largest_factor"), case.moment("staleness_square_mean")
    root = power(1 + 8 * second / largest, fmpq(1, 2))
    return 2 / (case["L"] * largest * (1 + root))


def judged(case: Case, step: fmpq | None) -> Judged:
    """Judges (M) at a step size."""
    inequality = "(M) LηC_max(1 + 2LηE[τ²C]) ≤ 1"
    return step_condition(step, lambda eta: load(case, eta), fmpq(1), inequality)


def noise_factor(case: Case, step: fmpq) -> Number:
    """The noise factor V."""
    return case.moment("mean_square") * (1 + 2 * case["L"] * step * case.moment("staleness_mean"))


def startup_note(case: Case, step: fmpq, factor: int) -> list[str]:
    """A note on the bound where C is evaluated at min(τ_k, k): the extra term of a run's first R commits."""
    last = case.moments.largest_staleness
    if last is None:
        return []
    extra = factor * step * case["sigma"] ** 2 * case.moment("largest_factor") ** 2 * last / case["steps"]
    extra = extra * (case["L"] if factor == 2 else 1) / case.moment("mean")
    when = "If C is evaluated at min(τ_k, k), never increases, and η ≤ 1/(2L·max(1,R)·C_max)"
    return [f"{when}: add {'2L' if factor == 2 else ''}ησ²C_max²R/(mK) {shown(extra)}."]

r"""The step condition of the linear-rate theorems: past gradients count more by :math:`q^{-i}`, i commits back.

.. math:: L\eta C_{\max}(1 + 2L\eta\,m_2(q)) \le 1,\quad m_2(q) = E\Big[C\tau\sum_{i=1}^{\tau}q^{-i}\Big],
   \quad q = 1 - \eta E[C]\mu.

It follows from :math:`L\eta C_{\max}\max(1,R) \le \sqrt2-1` where staleness is at most R.
"""

from __future__ import annotations

import math

from flint import arb, fmpq

from theory.convergence import moment_condition
from theory.convergence.assumptions import step_condition
from theory.convergence.steps import compared, round_down
from theory.convergence.theorem import Case, Judged, Unavailable
from theory.decisions.verdict import Verdict
from theory.numbers.balls import Number, Undecided, ball

_ROUNDS = 60
_CLOSE = 1e-9  # relative width at which the search ends


def rate(case: Case, step: fmpq) -> Number:
    """The rate q by which the error shrinks at each commit."""
    return 1 - step * case.moment("mean") * case["mu"]


def load(case: Case, step: fmpq) -> Number:
    """The left side of the condition, which is at most 1 for an admissible step size."""
    if case.moment("staleness_square_mean") == 0:
        return moment_condition.load(case, step)  # no gradient is stale: no window, and q = 0 is allowed as well
    scaled, q = case["L"] * step, rate(case, step)
    if compared(fmpq(0), q) is not Verdict.PROVED or compared(q, fmpq(0)) is not Verdict.REFUTED:
        raise Undecided("q = 1 − ηE[C]μ, which must be > 0")
    try:
        weighted = case.moments.weighted(q)
    except ArithmeticError as error:
        raise Unavailable(f"E[Cτ Σ_{{i≤τ}} q⁻ⁱ] was not enclosed: {error}") from error
    return scaled * case.moment("largest_factor") * (1 + 2 * scaled * weighted)


def largest_step(case: Case) -> Number:
    """The step size at which the condition is an equality, enclosed by a search: the left side rises with η.

    Args:
      case: step-size function, law, L and μ.

    Returns:
      A ball, in [x]²/[f]; its lower end is admissible for certain.

    Raises:
      Unavailable: where no admissible step size was found.

    Example:
      >>> from theory.convergence.moments import Moments
      >>> case = Case(Moments.of_pmf({1: 1}, {0: 1, 1: 1}), {"L": fmpq(1), "mu": fmpq(1)})
      >>> largest_step(case).str(7, radius=False)
      '0.4142136'
    """
    most = moment_condition.largest_step(case)
    if case.moment("staleness_square_mean") == 0:
        return most
    low, high = _bracket(case, ball(most), upper=True)  # (M) is implied: m₂(q) ≥ E[τ²C]
    if low == 0 or compared(load(case, _exact(low)), fmpq(1)) is not Verdict.PROVED:
        raise Unavailable("an admissible step size")
    if compared(load(case, _exact(high)), fmpq(1)) is not Verdict.REFUTED:  # a wide ball: C_max, mostly
        high = _bracket(case, ball(most), upper=False)[1]
    return arb(_exact(low)).union(arb(high))


def _bracket(case: Case, most: arb, *, upper: bool) -> tuple[float, float]:
    """Step sizes around the one at which the upper, or lower, end of the left side is 1."""
    low, high = 0.0, float(most.upper())
    low_excess, high_excess = -1.0, None
    guess = 0.75 * high
    for _ in range(_ROUNDS):
        excess = _excess(case, guess, upper=upper)
        if excess <= 0:
            low, low_excess = guess, excess
        else:
            high, high_excess = guess, excess
        if high - low < _CLOSE * high:
            break
        guess = _between(low, low_excess, high, high_excess)
    return low, high


def _between(low: float, low_excess: float, high: float, high_excess: float | None) -> float:
    """Where a line through both ends is 0, kept off the ends, so that the interval shrinks on both sides."""
    if high_excess is None or math.isinf(high_excess) or low == 0:
        return 0.5 * (low + high)
    share = -low_excess / (high_excess - low_excess)
    width = high - low
    # The curve is convex: the line's root lies below the true one. One step beyond it closes the other side.
    nudge = max(0.02 * min(share, 1 - share), 0.3 * _CLOSE)
    share = share + nudge if share < 1 - 2 * nudge else share - nudge
    return low + width * share


def _excess(case: Case, step: float, *, upper: bool) -> float:
    try:
        load_there = ball(load(case, _exact(step)))
    except (ArithmeticError, Undecided):
        return math.inf
    return float(load_there.upper() if upper else load_there.lower()) - 1


def _exact(step: float) -> fmpq:
    return round_down(arb(step), 14)


def judged(case: Case, step: fmpq | None) -> Judged:
    """Judges the condition at a step size."""
    inequality = "LηC_max(1 + 2Lη·E[Cτ Σ_{i≤τ} q⁻ⁱ]) ≤ 1"
    return step_condition(step, lambda eta: load(case, eta), fmpq(1), inequality)


def contraction(case: Case, step: fmpq) -> arb:
    """The share of the initial gap that is left after K commits: the power K of q."""
    return ball(rate(case, step)) ** case.steps

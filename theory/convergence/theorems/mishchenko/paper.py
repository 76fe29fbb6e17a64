"""Common parts of the theorems of Mishchenko, Bach, Even and Woodworth (NeurIPS 2022, arXiv 2206.07638).

Their staleness counts from 1: τ + 1 here. Their M is the number of workers, m here; their σ², L, Δ are as here, and
B = D = |x₀ - x*|: where the paper's statement prints B for a bound of the distance, its proofs use B².
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flint import fmpq

from theory.convergence.assumptions import NO_STEP, at_most
from theory.convergence.theorem import Case, Judged, Theorem
from theory.decisions.verdict import Verdict
from theory.numbers.balls import Number, ball, power, sign
from theory.numbers.decimals import shown

PAPER = "Mishchenko, Bach, Even, Woodworth 2022 (arXiv 2206.07638)"
SMOOTH = Judged("smooth objective", None, "F is L-smooth and bounded below")
SAMPLES = Judged("independent samples", None, "each gradient's sample is independent, of mean ∇F and variance ≤ σ²")
DELAYS = Judged(
    "delays independent of the data", None, "otherwise arbitrary, of m workers with one gradient each in work"
)


def root(value: Number) -> Number:
    """A square root, exact where it is rational."""
    return power(value, fmpq(1, 2))


def workers(case: Case) -> Judged:
    """Judges whether E[τ] ≤ m - 1, which holds for m busy workers whatever their speeds."""
    inequality = "m busy workers have E[τ] ≤ m − 1"
    return at_most("a law of m workers", lambda: case.moment("mean_staleness"), case["workers"] - 1, inequality)


def prescribed(step: fmpq | None, own_step: Number) -> list[Judged]:
    """Judges whether the base step size is the theorem's own, a root, to nine digits."""
    if step is None:
        return []
    near = abs(ball(step) - ball(own_step)) < ball(own_step) / 10**9
    verdict = Verdict.PROVED if near else Verdict.REFUTED
    return [Judged("base step size", verdict, f"η {shown(step)}; the theorem's {shown(own_step)}, to nine digits")]


def follows(case: Case, step: fmpq | None, rule: Callable[[int], Number], written: str) -> list[Judged]:
    """Judges whether ηC(τ) is the theorem's own step-size rule, wherever the law has mass.

    Args:
      case: step-size function, law and numbers.
      step: η.
      rule: the theorem's step size at a staleness (0 = fresh), for the η at hand.
      written: the rule, for people.
    """
    if step is None:
        return [NO_STEP]
    name = "the theorem's step sizes"
    for tau in case.moments.support:
        try:
            ours, theirs = step * case.moments.factor(tau), rule(tau)
            if sign(ours - theirs) != 0:
                difference = f"at τ = {tau} the function steps ηC {shown(ours)}, {written} {shown(theirs)}"
                return [Judged(name, Verdict.REFUTED, difference)]
        except ArithmeticError:
            return [Judged(name, Verdict.UNKNOWN, f"at τ = {tau} ηC and {written} could not be told apart")]
    if not case.moments.has_whole_support:
        return [Judged(name, Verdict.UNKNOWN, f"ηC(τ) is {written} as far as it was looked at")]
    return [Judged(name, Verdict.PROVED, f"ηC(τ) = {written} wherever the law has mass")]


def theorem(
    number: str,
    title: str,
    statement: str,
    needs: tuple[str, ...],
    assumptions: Callable[[Case, fmpq | None], Sequence[Judged]],
    bound: Callable[[Case, fmpq], Number],
    step: Callable[[Case], Number],
    most: Callable[[Case], Number] | None = None,
) -> Theorem:
    """Builds a theorem of the paper; ``most`` is the largest base step that its proof allows, if not ``step``."""
    return Theorem(
        key=f"mishchenko-{number}",
        title=f"{title} (Mishchenko et al., Theorem {number})",
        statement=statement,
        needs=needs,
        assumptions=assumptions,
        bound=bound,
        largest_step=most or step,
        default_step=step,
        step_words="the theorem's step size" if most is None else "largest base step size of its proof",
        has_free_step=most is not None,
        provenance=PAPER,
        source=f"Theorem {number} and its proof, as read in the paper",
    )

"""Conditions decided for every law at once: E[C] = 1, and C bounded."""

from __future__ import annotations

from fractions import Fraction

from flint import fmpq

from theory.analysis import equality, tails
from theory.analysis.means import mean_apart_from_one
from theory.analysis.pointwise import PointValues
from theory.analysis.supremum import size_from
from theory.decisions.counterexamples import suspects, under_small_laws, witness
from theory.decisions.question import Question
from theory.decisions.verdict import Finding, proved, refuted, unknown
from theory.formulas.formula import factored, mentions, reads_law
from theory.formulas.monomials import ONE
from theory.laws import FiniteLaw
from theory.numbers import ranges
from theory.numbers.balls import ball
from theory.numbers.decimals import digits_apart, ends, shown


def bounded(question: Question) -> Finding:
    """Whether C is bounded, which is the same as finite moments under every law with a finite mean.

    Where C is unbounded, masses 1/(τ_k 2^k) on points with C(τ_k) ≥ 4^k have a finite mean and E[τC] = ∞.
    """
    last = question.domain[1]
    if last is not None and question.setting.law is None and question.setting.is_fixed():
        return proved("finitely many finite values", argument="finite domain")
    for start in (0, 1, 4, 16, 64, 256):
        if last is not None and start > last:
            break
        try:
            bounds = size_from(question.formula, question.setting, start, last)
        except ArithmeticError:
            continue
        if bounds.high is not None:
            least = ranges.around(ball(bounds.high)).high
            written = shown(bounds.high).split(" ", 1)[1]
            of = "C up to a constant factor" if factored(question.formula)[0] else "C"
            return proved(f"|{of}| ≤ {written} from τ = {start} on", bound=str(least), start=start)
    falls = tails.find_falling(question.formula, question.setting, question.domain[0], question.latest_tail_start())
    above = tails.find_inequality(
        question.formula, question.setting, question.domain[0], question.latest_tail_start(), strict=False
    )
    if falls is not None and above is not None and PointValues(question.formula, question.setting).is_single:
        start = max(falls.start, above.start)
        if all(
            PointValues(question.formula, question.setting).is_finite(tau) for tau in range(question.domain[0], start)
        ):
            argument = f"C never increases from τ = {falls.start} on, and is not negative from τ = {above.start} on"
            return proved(f"bounded: {argument}", falls=list(falls), above=list(above))
    try:
        formula = question.formula
        if last is None and tails.growing(formula, question.setting, 64):
            return refuted("C is unbounded, so some law with a finite mean has E[τC] = ∞", unbounded=64)
    except ArithmeticError:
        pass
    return unknown("no bound of C was found")


def for_every_law(question: Question) -> Finding:
    """Searches for a law with E[C] ≠ 1; there is none only for C = 1 and for what is affine in F_mid and 1 at 1/2."""
    formula = question.formula
    if not reads_law(formula):
        for tau, instance, values in suspects(question, None):
            try:
                if values.compare(tau, Fraction(1)) == 0:
                    continue
                value = values.certain(tau)
            except ArithmeticError:
                continue
            return refuted(
                f"not for every law: under constant:{tau}, E[C] = C({tau}) {shown(value)}",
                **witness(instance.under(FiniteLaw({tau: Fraction(1)}, ["constant", str(tau)])), mean=ends(value)),
            )
    else:
        for instance in under_small_laws(question):
            try:
                mean = mean_apart_from_one(instance.formula, instance.setting)
            except ArithmeticError:
                continue
            if mean is not None:
                digits = digits_apart(mean, fmpq(1))
                told = f"{shown(mean, max(8, digits))}{gap_to_mid(instance)}"
                return refuted(
                    f"not for every law: under {instance.setting.law}, E[C] {told}",
                    **witness(instance, mean=ends(mean, max(15, digits))),
                )
    return unknown("neither an argument for every law nor a law against it was found")


def gap_to_mid(instance: Question) -> str:
    """A clause on the gap to F_mid: for φ affine in F, E[φ(F)] misses φ(1/2) by β/2 times Σp²."""
    if instance.setting.cdf == "mid" or not mentions(instance.formula, "F"):
        return ""
    line = equality.affine(instance.formula)
    if line is None:
        return ""
    slope = line[1].above if line[1].below == {ONE: Fraction(1)} else {}
    if set(slope) != {ONE}:
        return ""
    # E[F_strict] = 1/2 - Σp²/2, E[F_inclusive] = 1/2 + Σp²/2.
    gap = slope[ONE] / 2 * (-1 if instance.setting.cdf == "strict" else 1)
    size = "" if abs(gap) == 1 else f"{abs(gap)}·"
    return f": {'more' if gap > 0 else 'less'} by {size}Σp² than with F_mid"

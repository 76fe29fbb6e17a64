"""Arguments for every τ from some N on that rest on expansions: a sign, falling by steps or by ratios, and growth."""

from __future__ import annotations

from flint import arb, fmpq

from theory.analysis.dominance import resolved
from theory.analysis.evaluation import compiled
from theory.analysis.expansions.expansion import constant
from theory.analysis.expansions.of_formulas import expansion, scale_of, sign_of
from theory.analysis.expansions.series import Scale
from theory.analysis.expansions.steps import log_step, ratio, step
from theory.analysis.setting import Setting
from theory.formulas.formula import TAU, Formula, multiply
from theory.formulas.monomials import Unsupported
from theory.numbers.balls import Undecided, ball


def expanded_sign(formula: Formula, setting: Setting, first: int) -> int:
    """The sign that a formula has for every real τ ≥ ``first`` ≥ 2.

    Raises:
      Undecided: where its expansion does not show one from there on.
      Unsupported: where it has no expansion.
    """
    formula = resolved(formula, setting, first)
    return sign_of(formula, setting, scale_of(formula, first))


def falls_by_steps(formula: Formula, setting: Setting, first: int) -> bool:
    """Whether f(τ + 1) - f(τ) ≤ 0 for every τ ≥ ``first``."""
    formula = resolved(formula, setting, first)
    return step(formula, setting, scale_of(formula, first)).sign() <= 0


def falls_by_ratios(formula: Formula, setting: Setting, first: int) -> bool:
    """Whether f keeps one sign and |f(τ + 1)/f(τ)| is ≤ 1 for every τ ≥ ``first``, or ≥ 1 where f < 0."""
    formula = resolved(formula, setting, first)
    scale = scale_of(formula, first)
    return sign_of(formula, setting, scale) * _moves(formula, setting, scale) <= 0


def _moves(formula: Formula, setting: Setting, scale: Scale) -> int:
    """Whether the size of a formula that keeps its sign grows from each τ to the next (1), falls (-1) or stays (0)."""
    try:
        return (ratio(formula, setting, scale) - constant(fmpq(1), scale)).sign()
    except (Undecided, Unsupported):
        return log_step(formula, setting, scale).sign()


def growth(formula: Formula, setting: Setting, first: int) -> tuple[arb, fmpq, arb]:
    r"""K, a ≥ 0 and b ≥ 0 such that :math:`|f(\tau)| \le K\tau^a e^{b\tau}` for every τ ≥ ``first``.

    By the expansion of f, or as no ratio of neighbours is larger than e^b.
    """
    formula = resolved(formula, setting, first)
    scale = scale_of(formula, first)
    try:
        return *expansion(formula, setting, scale).growth(), arb(0)
    except (Undecided, Unsupported):
        if formula[0] == "product" and TAU in formula:
            parts = list(formula[1:])
            parts.remove(TAU)
            most, to, rate = growth(multiply(*parts), setting, first)
            return most, to + 1, rate
        if sign_of(formula, setting, scale) == 0:
            raise
        rate = arb(0)
        if _moves(formula, setting, scale) > 0:
            largest, to = ratio(formula, setting, scale).growth()
            if to > 0:
                raise
            rate = largest.log().max(rate)
        start = abs(ball(compiled(formula, setting)(first)))
        return (start * (-rate * first).exp()).upper(), fmpq(0), rate.upper()

r"""Expectations :math:`E[g(T)]` under a law, enclosed: a sum over a window of balls, and a bound of what is left out.

What lies beyond the window is at most :math:`K\sum_{i>M} p_i (1+i)^a e^{bi}`, once the formula is shown to be at most
:math:`K(1+\tau)^a e^{b\tau}` there; the ratio of neighbouring probabilities bounds that sum.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import flint
from flint import arb, fmpq

from theory.analysis.bounds_over import range_of
from theory.analysis.dominance import sign_from
from theory.analysis.evaluation import compiled
from theory.analysis.expansions.growth_bounds import GrowthBound, growth_bound
from theory.analysis.long_sums import LONG, long_sum
from theory.analysis.setting import Setting
from theory.formulas.formula import TAU, Formula, factored, multiply, number, substitute, subtract
from theory.laws.law import CDFKind, Law
from theory.numbers.balls import NotFinite, Number, Undecided, ball, sign
from theory.numbers.ranges import Range

_COARSER = 80  # bits that what is left out may be coarser than the balls
_FURTHER = 64  # how often a window is extended for a formula that grows


class Diverges(ArithmeticError):
    """The expectation is infinite, or does not exist; ``reason`` says how that is known, ``first`` from where on."""

    def __init__(self, reason: str, first: int) -> None:
        super().__init__(reason)
        self.reason, self.first = reason, first


@dataclasses.dataclass(frozen=True)
class FactorMoments:
    """Moments of a step-size function and the staleness under a law, enclosed."""

    mean: Number  # E[C]
    mean_square: Number  # E[C²]
    staleness_mean: Number  # E[τC], in updates


def expectation(formula: Formula, setting: Setting) -> Number:
    """E[formula] under the setting's law.

    Args:
      formula: a function of the staleness.
      setting: with a law.

    Returns:
      A ball that contains the expectation.

    Raises:
      Diverges: where it is infinite for certain.
      Undecided: where no enclosure is found.
    """
    value_at = compiled(formula, setting)
    window = _window([formula], setting)
    if isinstance(window.support, range) and window.is_long:
        return long_sum(formula, setting, window.support, [lambda value, tau: value])[0] * window.scale
    total = window.left_out[0]
    for tau in window.support:
        total += window.mass(tau) * ball(value_at(tau))
    return total * window.scale


def moments(formula: Formula, setting: Setting) -> FactorMoments:
    """Computes E[C], E[C²] and E[τC] in one pass over the law; it raises what :func:`expectation` does."""
    value_at = compiled(formula, setting)
    window = _window([formula, ("power", formula, number(2)), multiply(TAU, formula)], setting)
    if isinstance(window.support, range) and window.is_long:
        terms = [lambda value, tau: value, lambda value, tau: value * value, lambda value, tau: value * tau]
        sums = long_sum(formula, setting, window.support, terms)
        return FactorMoments(*(total * window.scale for total in sums))
    mean, square, staleness = window.left_out
    for tau in window.support:
        value = ball(value_at(tau))
        weighted = window.mass(tau) * value
        mean += weighted
        square += weighted * value
        staleness += weighted * tau
    return FactorMoments(mean * window.scale, square * window.scale, staleness * window.scale)


def scaled(known: FactorMoments, factor: Number) -> FactorMoments:
    """The moments of a constant times C."""
    return FactorMoments(known.mean * factor, known.mean_square * factor * factor, known.staleness_mean * factor)


@dataclasses.dataclass(frozen=True)
class _Window:
    """What is summed: staleness values, their masses over a common scale, and balls that hold what is left out."""

    support: Sequence[int]
    mass: Callable[[int], Number]
    left_out: list[arb]
    scale: Number = dataclasses.field(default_factory=lambda: fmpq(1))
    is_long: bool = False  # equal masses on many points


def _window(formulas: Sequence[Formula], setting: Setting) -> _Window:
    law = setting.law
    if law is None:
        raise Undecided("an expectation without a law")
    nothing = [arb(0) for _ in formulas]
    support = law.support()
    if isinstance(support, range):  # equal probabilities: one product at the end
        return _Window(support, lambda tau: fmpq(1), nothing, law.mass(support[0]), len(support) >= LONG)
    if support is not None:
        return _Window(support, law.mass, nothing)
    for formula in formulas:
        _refuse_divergence(formula, setting)
    start, stop = law.window()
    stop, above = _left_above([growth_bound(formula, setting, stop) for formula in formulas], law, stop)
    left_out = [arb(0, 1) * bound for bound in above]
    if start > law.first:
        below = law.below_window().union(arb(0))
        for place, formula in enumerate(formulas):
            left_out[place] += range_of(formula, setting, law.first, start - 1).ball() * below
    return _Window(range(start, stop + 1), law.mass, left_out)


def _left_above(bounds: list[GrowthBound], law: Law, stop: int) -> tuple[int, list[arb]]:
    """Extends a sum until what is left out is small beside 1: its last point, and bounds of what is left out."""
    small = arb(2) ** -max(16, flint.ctx.prec - _COARSER)
    for _ in range(_FURTHER):
        try:
            left_out = [b.scale.upper() * law.tail_bound(stop, b.power, b.rate) for b in bounds]
        except Undecided:
            left_out = []
        if left_out and all(bound < small for bound in left_out):
            return stop, left_out
        stop += max(8, stop // 8)
    raise Undecided("a tail that is not small where the sum has to end")


def _refuse_divergence(formula: Formula, setting: Setting) -> None:
    """Raises :class:`Diverges` where the terms of the expectation are shown not to vanish."""
    try:
        range_of(formula, setting, 1, None).ball()
        return  # bounded: nothing to refuse
    except (Undecided, NotFinite):
        pass
    for first in (1, 4, 16, 64, 256):
        if does_not_shrink(formula, setting, first):
            raise Diverges(f"its terms p(τ)·g(τ) do not shrink from τ = {first} on", first)


def does_not_shrink(formula: Formula, setting: Setting, first: int) -> bool:
    """Whether p(τ)·g(τ), under the setting's law, is shown to keep one sign and not to shrink from ``first`` ≥ 1 on."""
    weight = setting.one_law.weight()
    if weight is None:
        return False
    term = multiply(weight, formula)
    try:
        sign = sign_from(term, setting, first)
        return sign != 0 and sign_from(multiply(number(sign), subtract(shifted(term), term)), setting, first) >= 0
    except ArithmeticError:
        return False


def shifted(formula: Formula) -> Formula:
    """The formula at τ + 1."""
    return substitute(formula, ("sum", number(1), TAU))


class UnderLaw(Setting):
    """A setting whose means and moments are sums under its law, each computed once.

    Where the setting has no law, it is meant for every law, and a mean is undecided.
    """

    def __init__(
        self,
        parameters: Mapping[str, Range] | None = None,
        law: Law | None = None,
        cdf: CDFKind = "mid",
        *,
        on_support: bool = False,
    ) -> None:
        super().__init__(parameters, law, cdf, on_support=on_support)
        self._means: dict[Formula, Number] = {}
        self._moments: dict[Formula, FactorMoments] = {}

    def with_support(self) -> UnderLaw:
        """The same setting, for τ where the law puts mass."""
        other = UnderLaw(self.parameters, self.law, self.cdf, on_support=True)
        other._means, other._moments = self._means, self._moments
        return other

    def mean(self, formula: Formula) -> Number:
        """E[formula] under the law."""
        if self.law is None:
            raise Undecided("a mean without a law")
        if formula not in self._means:
            try:
                self._means[formula] = self.moments(formula).mean
            except ArithmeticError:  # E[C²] may be infinite where E[C] is not
                self._means[formula] = expectation(formula, self)
        return self._means[formula]

    def moments(self, formula: Formula) -> FactorMoments:
        """E[C], E[C²] and E[τC] under the law; see :func:`moments`."""
        if formula not in self._moments:
            constants, moving = factored(formula)
            if constants and moving:  # a constant times what may be known already
                factor = compiled(multiply(*constants), self)(0)
                try:
                    self._moments[formula] = scaled(self.moments(multiply(*moving)), factor)
                except Diverges:
                    if sign(factor) != 0:  # Undecided where it may be 0: 0 times what diverges is 0
                        raise
                    self._moments[formula] = FactorMoments(fmpq(0), fmpq(0), fmpq(0))
            else:
                self._moments[formula] = moments(formula, self)
        return self._moments[formula]

r"""Expectations :math:`E[g(T)]` under a law, enclosed: a sum over a window of balls, and a bound of what is left out.

What lies beyond the window is at most :math:`K\sum_{i>M} p_i (1+i)^a e^{bi}`, once the formula is shown to be at most
:math:`K(1+\tau)^a e^{b\tau}` there; the ratio of neighbouring probabilities bounds that sum.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction

from flint import arb, fmpq

from theory.analysis.dominance import sign_from
from theory.analysis.evaluation import compiled
from theory.analysis.setting import Setting, range_of
from theory.formulas.formula import TAU, Formula, is_constant, multiply, number, substitute, subtract
from theory.numbers import ranges
from theory.numbers.balls import NotFinite, Number, Undecided, ball

_FURTHER = 64  # how often a window is extended for a formula that grows


class Diverges(ArithmeticError):
    """The expectation is infinite, or does not exist; ``reason`` says how that is known, ``first`` from where on."""

    def __init__(self, reason: str, first: int) -> None:
        super().__init__(reason)
        self.reason, self.first = reason, first


@dataclasses.dataclass(frozen=True)
class Moments:
    """What the convergence bounds ask of a step-size function under a law; enclosures."""

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
    total = window.left_out[0]
    for tau in window.points:
        total += window.mass(tau) * ball(value_at(tau))
    return total * window.scale


def moments(formula: Formula, setting: Setting) -> Moments:
    """E[C], E[C²] and E[τC], in one pass over the law; it raises what :func:`expectation` does."""
    value_at = compiled(formula, setting)
    window = _window([formula, ("power", formula, number(2)), multiply(TAU, formula)], setting)
    mean, square, staleness = window.left_out
    for tau in window.points:
        value = ball(value_at(tau))
        weighted = window.mass(tau) * value
        mean += weighted
        square += weighted * value
        staleness += weighted * tau
    return Moments(mean * window.scale, square * window.scale, staleness * window.scale)


def scaled(found: Moments, factor: Number) -> Moments:
    """The moments of a constant times C."""
    return Moments(found.mean * factor, found.mean_square * factor * factor, found.staleness_mean * factor)


@dataclasses.dataclass(frozen=True)
class _Window:
    """What is summed: points, the mass of each over a common scale, and balls that hold what is left out."""

    points: Sequence[int]
    mass: Callable[[int], Number]
    left_out: list[arb]
    scale: Number = dataclasses.field(default_factory=lambda: fmpq(1))


def _window(formulas: Sequence[Formula], setting: Setting) -> _Window:
    law = setting.law
    if law is None:
        raise Undecided("an expectation without a law")
    nothing = [arb(0) for _ in formulas]
    points = law.points()
    if isinstance(points, range):  # equal probabilities: one product at the end
        return _Window(points, lambda tau: fmpq(1), nothing, law.mass(points[0]))
    if points is not None:
        return _Window(points, law.mass, nothing)
    for formula in formulas:
        _refuse_divergence(formula, setting)
    start, stop = law.window()
    stop, above = _left_above([growth(formula, setting, stop) for formula in formulas], law, stop)
    left_out = [arb(0, 1) * bound for bound in above]
    if start > law.first:
        below = law.below_window().union(arb(0))
        for place, formula in enumerate(formulas):
            left_out[place] += range_of(formula, setting, 0, start - 1).ball() * below
    return _Window(range(start, stop + 1), law.mass, left_out)


@dataclasses.dataclass(frozen=True)
class Growth:
    r"""A bound :math:`|f(\tau)| \le K(1+\tau)^a e^{b\tau}` for every τ from some point on."""

    scale: arb
    power: Fraction = Fraction(0)
    rate: arb = dataclasses.field(default_factory=lambda: arb(0))

    def __add__(self, other: Growth) -> Growth:
        return Growth(self.scale + other.scale, max(self.power, other.power), self.rate.max(other.rate))

    def __mul__(self, other: Growth) -> Growth:
        return Growth(self.scale * other.scale, self.power + other.power, self.rate + other.rate)


def growth(formula: Formula, setting: Setting, first: int) -> Growth:
    """How fast a formula can grow over τ ≥ ``first``; :class:`Undecided` where no bound is found."""
    try:
        bounds = ranges.absolute(range_of(formula, setting, first, None))
        if bounds.high is not None:
            return Growth(arb(bounds.high))
    except (Undecided, NotFinite):
        pass
    name, *parts = formula
    if name == "tau":
        return Growth(arb(1), Fraction(1))
    if name in ("sum", "min", "max", "product"):
        total = growth(parts[0], setting, first)
        for part in parts[1:]:
            other = growth(part, setting, first)
            total = total * other if name == "product" else total + other
        return total
    if name == "modulo":
        return growth(parts[1], setting, first)
    if name in ("abs", "floor"):
        inner = growth(parts[0], setting, first)
        return inner + Growth(arb(1)) if name == "floor" else inner
    if name == "where":
        return growth(parts[1], setting, first) + growth(parts[2], setting, first)
    if name == "log":
        inner, least = growth(parts[0], setting, first), range_of(parts[0], setting, first, None).low
        if least is None or least <= 0:
            raise Undecided("how a logarithm grows")
        return inner + Growth(abs(arb(least).log()).upper())  # |log x| is at most x, or |log| of the least x
    if name == "exp":
        return _exponential(_line(parts[0], setting, first))
    if name == "power" and is_constant(parts[1]):
        exponent = range_of(parts[1], setting, first, None).exact
        if exponent is not None and exponent > 0:
            inner, to = growth(parts[0], setting, first), Fraction(int(exponent.p), int(exponent.q))
            return Growth(inner.scale ** arb(exponent), inner.power * to, inner.rate * exponent)
    if name == "power" and is_constant(parts[0]):
        base = ranges.absolute(range_of(parts[0], setting, first, None))
        constant, slope = _line(parts[1], setting, first)
        return _exponential((constant * ranges.log(base).ball(), slope * ranges.log(base).ball()))
    raise Undecided(f"how {name} grows")


def _line(formula: Formula, setting: Setting, first: int) -> tuple[arb, arb]:
    """C and d with formula = c + dτ, balls."""
    if is_constant(formula):
        return range_of(formula, setting, first, None).ball(), arb(0)
    name, *parts = formula
    if formula == TAU:
        return arb(0), arb(1)
    if name == "sum":
        lines = [_line(part, setting, first) for part in parts]
        return sum((c for c, _ in lines), arb(0)), sum((d for _, d in lines), arb(0))
    if name == "product":
        moving = [part for part in parts if not is_constant(part)]
        if len(moving) == 1:
            constant, slope = _line(moving[0], setting, first)
            for part in parts:
                if is_constant(part):
                    factor = range_of(part, setting, first, None).ball()
                    constant, slope = constant * factor, slope * factor
            return constant, slope
    raise Undecided("how an exponential grows")


def _exponential(line: tuple[arb, arb]) -> Growth:
    constant, slope = line
    return Growth(constant.exp().upper(), Fraction(0), slope.upper().max(arb(0)))


def _left_above(bounds: list[Growth], law: object, stop: int) -> tuple[int, list[arb]]:
    """Further points to sum, until the rest is small beside one, and bounds of the rest."""
    for _ in range(_FURTHER):
        try:
            found = [b.scale.upper() * law.tail_bound(stop, b.power, b.rate) for b in bounds]  # type: ignore[attr-defined]
        except Undecided:
            found = []
        if found and all(bound < arb(2) ** -16 for bound in found):
            return stop, found
        stop += max(8, stop // 8)
    raise Undecided("a tail that is not small where the sum has to end")


def _refuse_divergence(formula: Formula, setting: Setting) -> None:
    """Raises :class:`Diverges` where the terms of the expectation are shown not to vanish."""
    weight = setting.law.weight()
    try:
        range_of(formula, setting, 1, None).ball()
        return  # bounded: nothing to refuse
    except (Undecided, NotFinite):
        pass
    if weight is None:
        return
    term = multiply(weight, formula)
    for first in (1, 4, 16, 64, 256):
        try:
            sign = sign_from(term, setting, first)
            rising = sign_from(multiply(number(sign), subtract(shifted(term), term)), setting, first)
        except ArithmeticError:
            continue
        if sign and rising >= 0:
            raise Diverges(f"its terms p(τ)·g(τ) do not shrink from τ = {first} on", first)


def shifted(formula: Formula) -> Formula:
    """The formula at τ + 1."""
    return substitute(formula, ("sum", number(1), TAU))

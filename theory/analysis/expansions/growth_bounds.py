"""Bounds of how fast a formula can grow, for what lies beyond the window of a sum."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

from flint import arb

from theory.analysis.bounds_over import range_of
from theory.analysis.expansions import signs
from theory.analysis.setting import Setting
from theory.formulas.formula import TAU, Formula, is_constant
from theory.numbers import range_functions, ranges
from theory.numbers.balls import NotFinite, Undecided
from theory.numbers.rationals import as_fraction


@dataclasses.dataclass(frozen=True)
class GrowthBound:
    r"""A bound :math:`|f(\tau)| \le K(1+\tau)^a e^{b\tau}` for every τ from some point on."""

    scale: arb
    power: Fraction = Fraction(0)
    rate: arb = dataclasses.field(default_factory=lambda: arb(0))

    def __add__(self, other: GrowthBound) -> GrowthBound:
        return GrowthBound(self.scale + other.scale, max(self.power, other.power), self.rate.max(other.rate))

    def __mul__(self, other: GrowthBound) -> GrowthBound:
        return GrowthBound(self.scale * other.scale, self.power + other.power, self.rate + other.rate)


def growth_bound(formula: Formula, setting: Setting, first: int) -> GrowthBound:
    """Bounds how fast a formula can grow over τ ≥ ``first``; :class:`Undecided` where no bound is found."""
    try:
        return _by_parts(formula, setting, first)
    except (Undecided, NotFinite) as error:
        try:
            scale, power, rate = signs.growth(formula, setting, first)
        except ArithmeticError:
            raise error from None
        return GrowthBound(scale, as_fraction(power), rate)


def _by_parts(formula: Formula, setting: Setting, first: int) -> GrowthBound:
    try:
        bounds = ranges.absolute(range_of(formula, setting, first, None))
        if bounds.high is not None:
            return GrowthBound(arb(bounds.high))
    except (Undecided, NotFinite):
        pass
    name, *parts = formula
    if name == "tau":
        return GrowthBound(arb(1), Fraction(1))
    if name in ("sum", "min", "max", "product"):
        total = _by_parts(parts[0], setting, first)
        for part in parts[1:]:
            other = _by_parts(part, setting, first)
            total = total * other if name == "product" else total + other
        return total
    if name == "modulo":
        return _by_parts(parts[1], setting, first)
    if name in ("abs", "floor"):
        inner = _by_parts(parts[0], setting, first)
        return inner + GrowthBound(arb(1)) if name == "floor" else inner
    if name == "where":
        return _by_parts(parts[1], setting, first) + _by_parts(parts[2], setting, first)
    if name == "log":
        inner, least = _by_parts(parts[0], setting, first), range_of(parts[0], setting, first, None).low
        if least is None or least <= 0:
            raise Undecided("how a logarithm grows")
        return inner + GrowthBound(abs(arb(least).log()).upper())  # |log x| is at most x, or |log| of the least x
    if name == "harmonic" and range_of(parts[0], setting, first, None).is_nonnegative():
        return GrowthBound(arb(2)) * _by_parts(parts[0], setting, first)  # concave, with the slope π²/6 at 0
    if name == "exp":
        return _exponential(_line(parts[0], setting, first))
    if name == "power" and is_constant(parts[1]):
        exponent = range_of(parts[1], setting, first, None).exact
        if exponent is not None and exponent > 0:
            inner, to = _by_parts(parts[0], setting, first), as_fraction(exponent)
            return GrowthBound(inner.scale ** arb(exponent), inner.power * to, inner.rate * exponent)
    if name == "power" and is_constant(parts[0]):
        base = ranges.absolute(range_of(parts[0], setting, first, None))
        constant, slope = _line(parts[1], setting, first)
        return _exponential((constant * range_functions.log(base).ball(), slope * range_functions.log(base).ball()))
    raise Undecided(f"how {name} grows")


def _line(formula: Formula, setting: Setting, first: int) -> tuple[arb, arb]:
    """The balls c and d with formula = c + dτ."""
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


def _exponential(line: tuple[arb, arb]) -> GrowthBound:
    constant, slope = line
    return GrowthBound(constant.exp().upper(), Fraction(0), slope.upper().max(arb(0)))

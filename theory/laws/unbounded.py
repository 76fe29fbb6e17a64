"""Laws with mass on every integer: Poisson, negative binomial (geometric), and Conway, Maxwell and Poisson's."""

from __future__ import annotations

import abc
import functools
import math
from fractions import Fraction
from typing import Any

from flint import arb

from theory.formulas import algebra
from theory.formulas.algebra import Quotient
from theory.formulas.formula import Formula, divide, multiply, number
from theory.formulas.monomials import ONE, Unsupported
from theory.laws.law import Law
from theory.numbers.balls import Number, Undecided, ball
from theory.numbers.rationals import as_fmpq

_TOLERANCES = ((40, 300_000), (20, 3_000_000))  # bits left outside, for windows up to so many points
_WINDOW = 60_000  # points of a window that leaves as little outside as is asked
_FURTHER = 10_000  # points that are kept beyond a window


class UnboundedLaw(Law):
    """A law with mass on every integer, whose ratio of neighbours has a bound from any point on."""

    first, last = 0, None
    left_out = 100  #: bits: a window leaves no more than 2^-100 outside

    @abc.abstractmethod
    def afresh(self) -> UnboundedLaw: ...

    def finer(self, bits: int) -> Law:
        law = self.afresh()
        law.left_out = bits + 4
        return law

    @abc.abstractmethod
    def ratio(self, tau: int) -> Number:
        """P[T = τ + 1] / P[T = τ]."""

    @abc.abstractmethod
    def mode(self) -> int:
        """A staleness at which the mass is about largest."""

    @abc.abstractmethod
    def mass_at_mode(self) -> arb:
        """P[T = mode]."""

    def ratio_bound(self, tau: int) -> arb:
        """An upper bound of the ratio at every point ≥ τ; it does not increase here."""
        return ball(self.ratio(tau))

    def tail_bound(self, after: int, power: Fraction, rate: arb) -> arb:
        start = after + 1
        growth = (arb(start + 2) / (start + 1)) ** arb(as_fmpq(power)) if power > 0 else arb(1)
        ratio = self.ratio_bound(start) * growth * rate.exp()
        if not ratio < 1:
            raise Undecided("terms that still grow at the end of the window")
        term = ball(self.mass(start)) * arb(start + 1) ** arb(as_fmpq(power)) * (rate * start).exp()
        return (term / (1 - ratio)).upper()

    def mass(self, tau: int) -> Number:
        start, masses = self._masses
        if tau < start:
            return arb(0).union(masses[0])
        if tau - start > len(masses) + _FURTHER:  # beyond the window the mass only shrinks
            return arb(0).union(masses[-1])
        while tau - start >= len(masses):
            masses.append(masses[-1] * self.ratio(start + len(masses) - 1))
        return masses[tau - start]

    def distribution(self, tau: int, kind: str) -> Number:
        if tau > self._bounds[1]:  # between P[T < τ] and 1, of whichever kind; no mass is needed there
            return ball(self._before(tau)).union(arb(1))
        return super().distribution(tau, kind)

    def window(self) -> tuple[int, int]:
        return self._bounds

    def below_window(self) -> arb:
        start, _ = self._bounds
        if start == 0:
            return arb(0)
        back = 1 / ball(self.ratio(start - 1))  # of one point and the next: smaller the further down
        return (ball(self.mass(start)) * back / (1 - back)).upper()

    @functools.cached_property
    def _masses(self) -> tuple[int, list[arb]]:
        start, stop = self._bounds
        mode, mass = self.mode(), self.mass_at_mode()
        down = [mass]
        for tau in range(mode - 1, start - 1, -1):
            down.append(down[-1] / self.ratio(tau))
        masses = down[::-1]
        for tau in range(mode, stop):
            masses.append(masses[-1] * self.ratio(tau))
        return start, masses

    @functools.cached_property
    def _bounds(self) -> tuple[int, int]:
        """From the mode outward until what is left is below a tolerance; a looser one for very wide laws."""
        for bits, most in ((self.left_out, _WINDOW), *_TOLERANCES):
            least = arb(2) ** -bits
            mode = self.mode()
            stop, term = mode, arb(1)
            while not (self.ratio_bound(stop) < 1 and term / (1 - self.ratio_bound(stop)) < least):
                term = term * self.ratio(stop)
                stop += 1
                if stop - mode > most:
                    break
            else:
                start, term = mode, arb(1)
                while start > 0:
                    back = 1 / ball(self.ratio(start - 1))
                    if back < 1 and term * back / (1 - back) < least:
                        break
                    term *= back
                    start -= 1
                return start, stop
        raise Undecided(f"{self} is too wide to sum")


class Poisson(UnboundedLaw):
    r""":math:`P[T=i] = e^{-\lambda}\lambda^i/i!`."""

    def __init__(self, rate: Fraction) -> None:
        self.rate, self._rate = rate, as_fmpq(rate)

    def to_json(self) -> list[Any]:
        return ["poisson", str(self.rate)]

    def afresh(self) -> Poisson:
        return Poisson(self.rate)

    def ratio(self, tau: int) -> Number:
        return arb(self._rate) / (tau + 1)

    def mode(self) -> int:
        return int(self.rate)

    def mass_at_mode(self) -> arb:
        mode, rate = self.mode(), arb(self._rate)
        return (mode * rate.log() - rate - (arb(mode) + 1).lgamma()).exp()

    def weight(self) -> Formula:
        tau = ("tau",)
        return divide(("power", number(self.rate), tau), ("factorial", tau))

    def exact_moment(self, falling: int, base: Quotient) -> Quotient:
        scaled = algebra.rational(self.rate) * base
        total = algebra.exponential((scaled - algebra.rational(self.rate)).as_sum())
        for _ in range(falling):
            total = total * scaled
        return total

    def exact_mass(self, tau: int) -> Quotient:
        front = algebra.rational(self.rate**tau / math.factorial(tau))
        return front * algebra.exponential({ONE: -self.rate})


class NegativeBinomial(UnboundedLaw):
    r""":math:`P[T=i] = \binom{i+r-1}{i} p^r (1-p)^i`; geometric for r = 1."""

    def __init__(self, size: Fraction, chance: Fraction) -> None:
        self.size, self.chance = size, chance
        self._size, self._fail = as_fmpq(size), as_fmpq(1 - chance)

    def to_json(self) -> list[Any]:
        if self.size == 1:
            return ["geometric", str(self.chance)]
        return ["negative_binomial", str(self.size), str(self.chance)]

    def afresh(self) -> NegativeBinomial:
        return NegativeBinomial(self.size, self.chance)

    def ratio(self, tau: int) -> Number:
        return arb(self._fail) * (tau + self._size) / (tau + 1)

    def ratio_bound(self, tau: int) -> arb:
        ratio = ball(self.ratio(tau))
        return ratio if self.size >= 1 else arb(self._fail)

    def mode(self) -> int:
        return max(0, int((self.size - 1) * (1 - self.chance) / self.chance))

    def mass_at_mode(self) -> arb:
        mode, size = self.mode(), arb(self._size)
        value = size * (1 - arb(self._fail)).log() + mode * arb(self._fail).log()
        if mode:
            value += (size + mode).lgamma() - size.lgamma() - (arb(mode) + 1).lgamma()
        return value.exp()

    def weight(self) -> Formula | None:
        if self.size.denominator != 1 or self.size > 30:
            return None
        tau = ("tau",)
        rising = [("sum", number(k), tau) for k in range(1, int(self.size))]
        return multiply(("power", number(1 - self.chance), tau), *rising)

    def exact_moment(self, falling: int, base: Quotient) -> Quotient:
        if self.size.denominator != 1:
            raise Unsupported("a negative binomial whose size is not whole")
        size, chance = int(self.size), algebra.rational(self.chance)
        failed = algebra.rational(1 - self.chance) * base
        below = (algebra.rational(1) - failed).inverse()
        total = algebra.rational(1)
        for _ in range(size):
            total = total * chance * below
        for step in range(falling):
            total = total * failed * below * algebra.rational(size + step)
        return total

    def exact_mass(self, tau: int) -> Quotient:
        if self.size.denominator != 1:
            raise Unsupported("a negative binomial whose size is not whole")
        choose = math.comb(tau + int(self.size) - 1, tau)
        return algebra.rational(choose * self.chance ** int(self.size) * (1 - self.chance) ** tau)


class CMP(UnboundedLaw):
    r""":math:`P[T=i] \propto \lambda^i/(i!)^\nu`, ν > 0; Poisson for ν = 1."""

    def __init__(self, rate: Fraction, decay: Fraction) -> None:
        self.rate, self.decay = rate, decay
        self._rate, self._decay = arb(as_fmpq(rate)), arb(as_fmpq(decay))

    def to_json(self) -> list[Any]:
        return ["cmp", str(self.rate), str(self.decay)]

    def afresh(self) -> CMP:
        return CMP(self.rate, self.decay)

    def ratio(self, tau: int) -> Number:
        return self._rate / arb(tau + 1) ** self._decay

    def mode(self) -> int:
        return int(float(self.rate) ** float(1 / self.decay))

    def mass_at_mode(self) -> arb:
        # Relative to the mode: one over the sum of all ratios to it, with bounds of what the window leaves out.
        start, stop = self._bounds
        mode, total, term = self.mode(), arb(1), arb(1)
        for tau in range(mode, stop):
            term = term * self.ratio(tau)
            total += term
        ratio = self.ratio_bound(stop)
        total += arb(0).union((term * ratio / (1 - ratio)).upper())
        term = arb(1)
        for tau in range(mode - 1, start - 1, -1):
            term = term / self.ratio(tau)
            total += term
        if start:
            back = 1 / ball(self.ratio(start - 1))
            total += arb(0).union((term * back / (1 - back)).upper())
        return 1 / total

    def weight(self) -> Formula | None:
        if self.decay.denominator != 1:
            return None
        tau = ("tau",)
        return divide(("power", number(self.rate), tau), ("power", ("factorial", tau), number(self.decay)))

r"""Laws of the staleness: probabilities, tails and generating functions, each exact or with a bound.

Laws are written ``name:number:number``; numbers are decimals or fractions and are taken exactly. ``geometric:p`` is
:math:`P[T=i] = p(1-p)^i`, i ≥ 0; ``negative_binomial:r:p`` :math:`\binom{i+r-1}{i}p^r(1-p)^i`; ``cmp:λ:ν``
(Conway, Maxwell, Poisson) is proportional to :math:`\lambda^i/(i!)^\nu`.
"""

from __future__ import annotations

import abc
import bisect
import functools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from flint import arb, fmpq, fmpz

from theory import algebra
from theory.algebra import Quotient
from theory.enclosure import Number, Undecided, ball
from theory.formula import Formula, divide, multiply, number

_TOLERANCES = ((100, 60_000), (40, 300_000), (20, 3_000_000))  # bits left outside, for windows up to so many points

_FURTHER = 10_000  # points that are kept beyond a window


class Law(abc.ABC):
    """A distribution on the integers ≥ 0."""

    first: int  #: the least staleness with mass
    last: int | None  #: the largest, None where there is none

    @abc.abstractmethod
    def to_json(self) -> list[Any]:
        """Name and exact numbers, for certificates."""

    @abc.abstractmethod
    def mass(self, tau: int) -> Number:
        """P[T = τ]."""

    @abc.abstractmethod
    def window(self) -> tuple[int, int]:
        """First and last staleness of a stretch that holds all the mass but a little."""

    @abc.abstractmethod
    def below_window(self) -> arb:
        """An upper bound of the mass before the window."""

    @abc.abstractmethod
    def tail_bound(self, after: int, power: Fraction, rate: arb) -> arb:
        r"""An upper bound of :math:`\sum_{i>M} p_i (1+i)^a e^{bi}`; :class:`Undecided` where M is too small."""

    def weight(self) -> Formula | None:
        """A formula proportional to the mass, where there is one, of unbounded laws."""
        return None

    def exact_moment(self, falling: int, base: Quotient) -> Quotient:
        r""":math:`E[T(T-1)\cdots(T-j+1)\,q^T]` exactly; :class:`algebra.Unsupported` where there is no closed form."""
        raise algebra.Unsupported(f"{self} has no generating function here")

    def exact_mass(self, tau: int) -> Quotient:
        """P[T = τ] exactly."""
        raise algebra.Unsupported(f"{self} has no exact probabilities here")

    def has_mass(self, tau: int) -> bool:
        """Whether P[T = τ] > 0."""
        return self.first <= tau and (self.last is None or tau <= self.last)

    def points(self) -> Sequence[int] | None:
        """Where the mass is, for bounded laws; else None."""
        return None if self.last is None else range(self.first, self.last + 1)

    def distribution(self, tau: int, kind: str) -> Number:
        """P[T < τ], plus half of P[T = τ] for ``"mid"`` and all of it for ``"inclusive"``."""
        here = self.mass(tau) if tau >= 0 else fmpq(0)
        before = self._before(tau)
        return before + here * {"strict": fmpq(0), "mid": fmpq(1, 2), "inclusive": fmpq(1)}[kind]

    def _before(self, tau: int) -> Number:
        start, sums = self._sums
        if tau <= start:
            return self.below_window().union(arb(0)) if tau > self.first else fmpq(0)
        if tau - start >= len(sums):
            # Beyond the window: between what the window holds, and 1.
            return ball(sums[-1]).union(arb(1)) if self.last is None or tau <= self.last else fmpq(1)
        return sums[tau - start]

    @functools.cached_property
    def _sums(self) -> tuple[int, list[Number]]:
        """P[T < τ] for each τ of the window and one more."""
        start, stop = self.window()
        below = self.below_window()
        total: Number = fmpq(0) if below == 0 else arb(0).union(below)
        sums = [total]
        for tau in range(start, stop + 1):
            total = total + self.mass(tau)
            sums.append(total)
        return start, sums

    def __str__(self) -> str:
        name, *rest = self.to_json()
        return ":".join([name, *map(str, rest)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Law) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(str(self))


class FiniteLaw(Law):
    """Rational probabilities on finitely many points."""

    def __init__(self, masses: dict[int, Fraction], written: list[Any]) -> None:
        self._written = written
        self._masses = {tau: algebra.as_fmpq(mass) for tau, mass in sorted(masses.items()) if mass}
        self._points = list(self._masses)
        self.first, self.last = self._points[0], self._points[-1]

    def to_json(self) -> list[Any]:
        return self._written

    def mass(self, tau: int) -> Number:
        return self._masses.get(tau, fmpq(0))

    def has_mass(self, tau: int) -> bool:
        return tau in self._masses

    def points(self) -> Sequence[int]:
        return self._points

    def window(self) -> tuple[int, int]:
        assert self.last is not None
        return self.first, self.last

    def below_window(self) -> arb:
        return arb(0)

    def _before(self, tau: int) -> Number:
        return self._cumulative[bisect.bisect_left(self._points, tau)]

    @functools.cached_property
    def _cumulative(self) -> list[fmpq]:
        total, sums = fmpq(0), [fmpq(0)]
        for mass in self._masses.values():
            total += mass
            sums.append(total)
        return sums

    def tail_bound(self, after: int, power: Fraction, rate: arb) -> arb:
        if self.last is not None and after >= self.last:
            return arb(0)
        raise Undecided("a tail inside a finite law")

    def exact_mass(self, tau: int) -> Quotient:
        mass = self.mass(tau)
        return algebra.rational(Fraction(int(mass.p), int(mass.q)))

    def __str__(self) -> str:
        name, *rest = self.to_json()
        if name == "counts":
            return f"counts of {sum(rest[0])} on {self.first}…{self.last}"
        return ":".join([name, *map(str, rest)])


class UniformLaw(Law):
    """The same probability on every integer of an interval."""

    def __init__(self, low: int, high: int) -> None:
        self.first, self.last = low, high
        self._mass = fmpq(1, high - low + 1)

    def to_json(self) -> list[Any]:
        return ["uniform", str(self.first), str(self.last)]

    def mass(self, tau: int) -> Number:
        return self._mass if self.has_mass(tau) else fmpq(0)

    def window(self) -> tuple[int, int]:
        assert self.last is not None
        return self.first, self.last

    def below_window(self) -> arb:
        return arb(0)

    def _before(self, tau: int) -> Number:
        assert self.last is not None
        return self._mass * (min(max(tau, self.first), self.last + 1) - self.first)

    def tail_bound(self, after: int, power: Fraction, rate: arb) -> arb:
        if self.last is not None and after >= self.last:
            return arb(0)
        raise Undecided("a tail inside a finite law")

    def exact_mass(self, tau: int) -> Quotient:
        mass = self.mass(tau)
        return algebra.rational(Fraction(int(mass.p), int(mass.q)))


class UnboundedLaw(Law):
    """A law with mass on every integer, whose ratio of neighbours has a bound from any point on."""

    first, last = 0, None

    @abc.abstractmethod
    def ratio(self, tau: int) -> Number:
        """P[T = τ + 1] / P[T = τ]."""

    @abc.abstractmethod
    def mode(self) -> int:
        """Where the mass is about largest."""

    @abc.abstractmethod
    def mass_at_mode(self) -> arb:
        """P[T = mode]."""

    def ratio_bound(self, tau: int) -> arb:
        """An upper bound of the ratio at every point ≥ τ; it does not increase here."""
        return ball(self.ratio(tau))

    def tail_bound(self, after: int, power: Fraction, rate: arb) -> arb:
        start = after + 1
        growth = (arb(start + 2) / (start + 1)) ** arb(algebra.as_fmpq(power)) if power > 0 else arb(1)
        ratio = self.ratio_bound(start) * growth * rate.exp()
        if not ratio < 1:
            raise Undecided("terms that still grow at the end of the window")
        term = ball(self.mass(start)) * arb(start + 1) ** arb(algebra.as_fmpq(power)) * (rate * start).exp()
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
        mode, at_mode = self.mode(), self.mass_at_mode()
        down = [at_mode]
        for tau in range(mode - 1, start - 1, -1):
            down.append(down[-1] / self.ratio(tau))
        masses = down[::-1]
        for tau in range(mode, stop):
            masses.append(masses[-1] * self.ratio(tau))
        return start, masses

    @functools.cached_property
    def _bounds(self) -> tuple[int, int]:
        """From the mode outward until what is left is below a tolerance; a looser one for very wide laws."""
        for bits, most in _TOLERANCES:
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
        self.rate, self._rate = rate, algebra.as_fmpq(rate)

    def to_json(self) -> list[Any]:
        return ["poisson", str(self.rate)]

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
        front = algebra.rational(self.rate**tau / int(fmpz.fac_ui(tau)))
        return front * algebra.exponential({algebra.ONE: -self.rate})


class NegativeBinomial(UnboundedLaw):
    r""":math:`P[T=i] = \binom{i+r-1}{i} p^r (1-p)^i`; geometric for r = 1."""

    def __init__(self, size: Fraction, chance: Fraction) -> None:
        self.size, self.chance = size, chance
        self._size, self._fail = algebra.as_fmpq(size), algebra.as_fmpq(1 - chance)

    def to_json(self) -> list[Any]:
        if self.size == 1:
            return ["geometric", str(self.chance)]
        return ["negative_binomial", str(self.size), str(self.chance)]

    def ratio(self, tau: int) -> Number:
        return arb(self._fail) * (tau + self._size) / (tau + 1)

    def ratio_bound(self, tau: int) -> arb:
        here = ball(self.ratio(tau))
        return here if self.size >= 1 else arb(self._fail)

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
            raise algebra.Unsupported("a negative binomial whose size is not whole")
        size, chance = int(self.size), algebra.rational(self.chance)
        failed = algebra.rational(1 - self.chance) * base
        below = (algebra.rational(1) - failed).inverse()
        total = algebra.rational(1)
        for step in range(size):
            total = total * chance * below
        for step in range(falling):
            total = total * failed * below * algebra.rational(size + step)
        return total

    def exact_mass(self, tau: int) -> Quotient:
        if self.size.denominator != 1:
            raise algebra.Unsupported("a negative binomial whose size is not whole")
        choose = int(fmpz.bin_uiui(tau + int(self.size) - 1, tau))
        return algebra.rational(choose * self.chance ** int(self.size) * (1 - self.chance) ** tau)


class CMP(UnboundedLaw):
    r""":math:`P[T=i] \propto \lambda^i/(i!)^\nu`, ν > 0; Poisson for ν = 1."""

    def __init__(self, rate: Fraction, decay: Fraction) -> None:
        self.rate, self.decay = rate, decay
        self._rate, self._decay = arb(algebra.as_fmpq(rate)), arb(algebra.as_fmpq(decay))

    def to_json(self) -> list[Any]:
        return ["cmp", str(self.rate), str(self.decay)]

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


class Mixture(Law):
    """A convex combination of laws."""

    def __init__(self, parts: list[tuple[Fraction, Law]]) -> None:
        self.parts = parts
        self._shares = [algebra.as_fmpq(share) for share, _ in parts]
        self.laws = [law for _, law in parts]
        self.first = min(law.first for law in self.laws)
        self.last = None if any(law.last is None for law in self.laws) else max(law.last or 0 for law in self.laws)

    def to_json(self) -> list[Any]:
        return ["mixture", [[str(share), law.to_json()] for share, law in self.parts]]

    def __str__(self) -> str:
        return "mixture:" + "+".join(f"{share}*{law}" for share, law in self.parts)

    def mass(self, tau: int) -> Number:
        total: Number = fmpq(0)
        for share, law in zip(self._shares, self.laws, strict=True):
            total = total + share * law.mass(tau)
        return total

    def has_mass(self, tau: int) -> bool:
        return any(law.has_mass(tau) for law in self.laws)

    def points(self) -> Sequence[int] | None:
        if self.last is None:
            return None
        return sorted({tau for law in self.laws for tau in law.points() or ()})

    def window(self) -> tuple[int, int]:
        bounds = [law.window() for law in self.laws]
        return min(low for low, _ in bounds), max(high for _, high in bounds)

    def below_window(self) -> arb:
        start, _ = self.window()
        total = arb(0)
        for share, law in zip(self._shares, self.laws, strict=True):
            if law.first < start:
                total += share * law.below_window()
        return total

    def distribution(self, tau: int, kind: str) -> Number:
        total: Number = fmpq(0)
        for share, law in zip(self._shares, self.laws, strict=True):
            total = total + share * law.distribution(tau, kind)
        return total

    def tail_bound(self, after: int, power: Fraction, rate: arb) -> arb:
        total = arb(0)
        for share, law in zip(self._shares, self.laws, strict=True):
            total += share * law.tail_bound(after, power, rate)
        return total

    def exact_moment(self, falling: int, base: Quotient) -> Quotient:
        total = algebra.rational(0)
        for share, law in self.parts:
            if law.last is not None:
                raise algebra.Unsupported("a mixture with a finite law")
            total = total + algebra.rational(share) * law.exact_moment(falling, base)
        return total

    def exact_mass(self, tau: int) -> Quotient:
        total = algebra.rational(0)
        for share, law in self.parts:
            total = total + algebra.rational(share) * law.exact_mass(tau)
        return total

"""Laws on finitely many staleness values: exact rationals."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from flint import arb, fmpq

from theory.formulas import algebra
from theory.formulas.algebra import Quotient
from theory.laws.law import Law
from theory.numbers.balls import Number, Undecided
from theory.numbers.rationals import as_fmpq


class BoundedLaw(Law):
    """A law with a largest staleness: its window is all of it."""

    def afresh(self) -> Law:
        return self  # exact: there is nothing to compute again

    def window(self) -> tuple[int, int]:
        assert self.last is not None
        return self.first, self.last

    def below_window(self) -> arb:
        return arb(0)

    def tail_bound(self, after: int, power: Fraction, rate: arb) -> arb:
        if self.last is not None and after >= self.last:
            return arb(0)
        raise Undecided("a tail inside a finite law")


class FiniteLaw(BoundedLaw):
    """Rational probabilities on finitely many points."""

    def __init__(self, masses: Mapping[int, Fraction | fmpq], written: list[Any]) -> None:
        self._written = written
        exact = ((tau, mass if isinstance(mass, fmpq) else as_fmpq(mass)) for tau, mass in sorted(masses.items()))
        self._masses = {tau: mass for tau, mass in exact if mass != 0}
        self._support = list(self._masses)
        self.first, self.last = self._support[0], self._support[-1]

    def to_json(self) -> list[Any]:
        return self._written

    def mass(self, tau: int) -> Number:
        return self._masses.get(tau, fmpq(0))

    def has_mass(self, tau: int) -> bool:
        return tau in self._masses

    def support(self) -> Sequence[int]:
        return self._support

    def _before(self, tau: int) -> Number:
        return self._cumulative[bisect.bisect_left(self._support, tau)]

    @functools.cached_property
    def _cumulative(self) -> list[fmpq]:
        total, sums = fmpq(0), [fmpq(0)]
        for mass in self._masses.values():
            total += mass
            sums.append(total)
        return sums

    def exact_mass(self, tau: int) -> Quotient:
        return algebra.from_fmpq(self._masses.get(tau, fmpq(0)))

    def __str__(self) -> str:
        name, *rest = self.to_json()
        if name == "counts":
            return f"counts of {sum(rest[0])} on {self.first}…{self.last}"
        return ":".join([name, *map(str, rest)])


class UniformLaw(BoundedLaw):
    """The same probability on every integer of an interval."""

    def __init__(self, low: int, high: int) -> None:
        self.first, self.last = low, high
        self._mass = fmpq(1, high - low + 1)

    def to_json(self) -> list[Any]:
        return ["uniform", str(self.first), str(self.last)]

    def mass(self, tau: int) -> Number:
        return self._mass if self.has_mass(tau) else fmpq(0)

    def _before(self, tau: int) -> Number:
        assert self.last is not None
        return self._mass * (min(max(tau, self.first), self.last + 1) - self.first)

    def exact_mass(self, tau: int) -> Quotient:
        return algebra.from_fmpq(self._mass if self.has_mass(tau) else fmpq(0))

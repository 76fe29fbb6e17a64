"""Convex combinations of laws."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from flint import arb, fmpq

from theory.formulas import algebra
from theory.formulas.algebra import Quotient
from theory.formulas.monomials import Unsupported
from theory.laws.law import Law
from theory.numbers.balls import Number
from theory.numbers.rationals import as_fmpq


class Mixture(Law):
    """A convex combination of laws."""

    def __init__(self, parts: list[tuple[Fraction, Law]]) -> None:
        self.parts = parts
        self._shares = [as_fmpq(share) for share, _ in parts]
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

    def support(self) -> Sequence[int] | None:
        if self.last is None:
            return None
        return sorted({tau for law in self.laws for tau in law.support() or ()})

    def afresh(self) -> Law:
        return Mixture([(share, law.afresh()) for share, law in self.parts])

    def finer(self, bits: int) -> Law:
        return Mixture([(share, law.finer(bits)) for share, law in self.parts])

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
                raise Unsupported("a mixture with a finite law")
            total = total + algebra.rational(share) * law.exact_moment(falling, base)
        return total

    def exact_mass(self, tau: int) -> Quotient:
        total = algebra.rational(0)
        for share, law in self.parts:
            total = total + algebra.rational(share) * law.exact_mass(tau)
        return total

"""The interface of a law of the staleness: probabilities, a window that holds nearly all, bounds of the rest."""

from __future__ import annotations

import abc
import functools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

from flint import arb, fmpq

from theory.formulas.algebra import Quotient
from theory.formulas.formula import Formula
from theory.formulas.monomials import Unsupported
from theory.numbers.balls import Number, ball

#: Which distribution function F is: P[T<τ] plus half of P[T=τ], none of it, or all of it.
CDFKind = Literal["mid", "strict", "inclusive"]
CDF_KINDS: tuple[CDFKind, ...] = ("mid", "strict", "inclusive")


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
        r"""An upper bound of :math:`\sum_{i>M} p_i (1+i)^a e^{bi}`; ``Undecided`` where M is too small."""

    @abc.abstractmethod
    def afresh(self) -> Law:
        """The same law, without values computed at another precision."""

    def finer(self, bits: int) -> Law:
        """The same law afresh, with a window that leaves so many bits outside where it is unbounded."""
        del bits
        return self.afresh()

    def weight(self) -> Formula | None:
        """A formula proportional to the mass, where there is one, of unbounded laws."""
        return None

    def exact_moment(self, falling: int, base: Quotient) -> Quotient:
        r""":math:`E[T(T-1)\cdots(T-j+1)\,q^T]` exactly; :class:`Unsupported` where there is no closed form."""
        raise Unsupported(f"{self} has no generating function here")

    def exact_mass(self, tau: int) -> Quotient:
        """P[T = τ] exactly."""
        raise Unsupported(f"{self} has no exact probabilities here")

    def has_mass(self, tau: int) -> bool:
        """Whether P[T = τ] > 0."""
        return self.first <= tau and (self.last is None or tau <= self.last)

    def support(self) -> Sequence[int] | None:
        """The staleness values with mass, for bounded laws; else None."""
        return None if self.last is None else range(self.first, self.last + 1)

    def distribution(self, tau: int, kind: str) -> Number:
        """P[T < τ], plus half of P[T = τ] for ``"mid"`` and all of it for ``"inclusive"``."""
        mass = self.mass(tau) if tau >= 0 else fmpq(0)
        before = self._before(tau)
        return before + mass * {"strict": fmpq(0), "mid": fmpq(1, 2), "inclusive": fmpq(1)}[kind]

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

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Law) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(str(self))

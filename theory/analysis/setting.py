"""The setting of an analysis: the range of each parameter, the law (or every law), and which CDF F is."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Self

from flint import fmpq

from theory.formulas.formula import Formula
from theory.laws.law import CDFKind, Law
from theory.numbers import ranges
from theory.numbers.balls import Number, Undecided
from theory.numbers.ranges import Range


class Setting(abc.ABC):
    """The parameters, the law and the kind of CDF that a formula is analysed with; a subclass computes means.

    Args:
      parameters: the range of each parameter.
      law: the law of the staleness; None for every law.
      cdf: what F is: ``"mid"`` is P[T<τ] + P[T=τ]/2, ``"strict"`` P[T<τ], ``"inclusive"`` P[T≤τ].
      on_support: whether τ is only meant where the law puts mass, which opens an end of F's range.
    """

    def __init__(
        self,
        parameters: Mapping[str, Range] | None = None,
        law: Law | None = None,
        cdf: CDFKind = "mid",
        *,
        on_support: bool = False,
    ) -> None:
        self.parameters = dict(parameters or {})
        self.law = law
        self.cdf: CDFKind = cdf
        self.on_support = on_support

    @property
    def one_law(self) -> Law:
        """The law; :class:`Undecided` where the setting is meant for every law."""
        if self.law is None:
            raise Undecided("one law is needed, not every law")
        return self.law

    def under(self, law: Law | None) -> Self:
        """The same setting under another law."""
        return type(self)(self.parameters, law, self.cdf, on_support=self.on_support)

    def afresh(self) -> Self:
        """The same setting, without values computed at another precision."""
        return self.under(None if self.law is None else self.law.afresh())

    @abc.abstractmethod
    def mean(self, formula: Formula) -> Number:
        """E[formula] under the law."""

    def is_fixed(self) -> bool:
        """Whether every parameter is one number."""
        return all(known.is_point() for known in self.parameters.values())

    def distribution(self, tau: int) -> Number:
        """F(τ) under the law."""
        if self.law is None:
            raise Undecided("F without a law")
        return self.law.distribution(tau, self.cdf)

    def distribution_range(self, first: int, last: int | None) -> Range:
        """The range of F(τ) for first ≤ τ ≤ last."""
        strict, inclusive = self.cdf == "strict", self.cdf == "inclusive"
        # Where τ has mass, some of it is not below τ, and some is not above.
        low_open = self.on_support and not strict
        high_open = self.on_support and not inclusive
        if self.law is None:
            return Range(fmpq(0), fmpq(1), low_open, high_open)
        if self.law.last is not None and first > self.law.last:
            return ranges.point(1)
        if last is not None and last < self.law.first:
            return ranges.point(0)
        high_open = high_open or self.law.last is None
        low = ranges.around(self.law.distribution(first, self.cdf)).low  # F never falls
        high = None if last is None else ranges.around(self.law.distribution(last, self.cdf)).high
        below, above = low is None or low <= 0, high is None or high >= 1
        return Range(
            fmpq(0) if below else low,
            fmpq(1) if above else high,
            below and low_open,
            above and high_open,
        )

    def parameter(self, name: str) -> Number:
        """A parameter as a number."""
        known = self.parameters[name]
        return known.ball() if known.exact is None else known.exact

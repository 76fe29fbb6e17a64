"""The factors that a distortion gives under a law, C(τ) = (g(F(τ)) - g(F(τ⁻)))/p(τ), enclosed and compared."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from flint import fmpq

from theory.analysis.evaluation import compiled
from theory.analysis.setting import Setting
from theory.distortions.slopes import Curve
from theory.formulas.algebra import algebraic
from theory.formulas.formula import F, Formula, U, divide, number, rewrite, subtract
from theory.formulas.monomials import Unsupported
from theory.laws import Law
from theory.laws.finite import BoundedLaw
from theory.numbers.balls import PRECISIONS, Number, Undecided, precision, sign
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fmpq, as_fraction


class _AtShare(Setting):
    """The argument of a distortion as a number."""

    def __init__(self, parameters: Mapping[str, Range]) -> None:
        super().__init__(parameters)
        self.share: Number = fmpq(0)

    def distribution(self, tau: int) -> Number:
        return self.share

    def mean(self, formula: Formula) -> Number:
        raise Undecided("a mean in a distortion")


class Factors:
    """C under one law, with single values of the parameters.

    Args:
      distortion: g, a formula in u.
      parameters: each a single number.
      law: of the staleness.
    """

    def __init__(self, distortion: Formula, parameters: Mapping[str, Range], law: Law) -> None:
        self.law = law
        self._laws: dict[int, Law] = {}  # at each precision
        self._curve = Curve(distortion, parameters)
        self._setting = _AtShare(parameters)
        # F is what the evaluation of formulas has for a number that is looked up.
        self._function = compiled(rewrite(distortion, lambda node: F if node == U else None), self._setting)

    def at(self, share: Number) -> Number:
        """The distortion's value g(u), at the precision of the context."""
        self._setting.share = share
        return self._function(0)

    def value(self, tau: int, bits: int = PRECISIONS[0]) -> Number:
        """C(τ), where the law has mass at τ, with so many bits."""
        with precision(bits):
            law = self._laws.setdefault(bits, self.law if bits == PRECISIONS[0] else self.law.afresh())
            gain = self.at(law.distribution(tau, "inclusive")) - self.at(law.distribution(tau, "strict"))
            return gain / law.mass(tau)

    def certain(self, tau: int) -> Number:
        """C(τ), with more bits where need be; NotFinite or Undecided where there is no value."""
        for bits in PRECISIONS[:-1]:
            try:
                return self.value(tau, bits)
            except Undecided:
                continue
        return self.value(tau, PRECISIONS[-1])

    def compare(self, tau: int, other: Fraction | int) -> int:
        """The sign of C(τ) minus a number that is a Fraction, or minus C at a staleness that is an int; exact.

        Raises:
          Undecided: where they cannot be told apart.
        """
        for bits in PRECISIONS:
            try:
                with precision(bits):
                    right = self.value(other, bits) if isinstance(other, int) else as_fmpq(other)
                    return sign(self.value(tau, bits) - right)
            except Undecided:
                continue
        if isinstance(self.law, BoundedLaw):
            right = self._formula(other) if isinstance(other, int) else number(other)
            try:
                if algebraic(subtract(self._formula(tau), right)).is_zero():
                    return 0
            except Unsupported:
                pass
        raise Undecided(f"C({tau}) and {f'C({other})' if isinstance(other, int) else other} cannot be told apart")

    def _formula(self, tau: int) -> Formula:
        """C(τ) under a bounded law, as a formula of numbers."""
        numbers = [*(self.law.distribution(tau, kind) for kind in ("inclusive", "strict")), self.law.mass(tau)]
        last, first, mass = (fmpq(one) for one in numbers if isinstance(one, fmpq))  # exact, as the law is bounded
        return divide(subtract(self._curve.value(last), self._curve.value(first)), number(as_fraction(mass)))

    def moments(self) -> tuple[Number, Number]:
        """E[C²] and E[τC] under a bounded law."""
        square: Number = fmpq(0)
        staleness: Number = fmpq(0)
        for tau in self.law.support() or ():
            value, mass = self.value(tau), self.law.mass(tau)
            square, staleness = square + mass * value * value, staleness + mass * tau * value
        return square, staleness

r"""The moments of a step-size function C and a law of the staleness that convergence theorems need, enclosed.

.. math:: E[C],\quad E[C^2],\quad E[\tau C],\quad E[\tau^2 C],\quad m_2(q) = E\Big[C\,\tau\sum_{i=1}^{\tau} q^{-i}\Big].
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from flint import arb, fmpq

from theory.decisions.verdict import Verdict
from theory.numbers.balls import Number, Undecided, ball, greatest, sign
from theory.numbers.rationals import as_fmpq

#: Points of a bounded law whose sums are kept as rationals.
MOST_EXACT = 4096


@dataclasses.dataclass(frozen=True)
class Moments:
    """Moments of a step-size function C under a law: rationals where they are known exactly, else balls.

    None stands for a moment that is infinite or not known.

    Attributes:
      mean: E[C].
      mean_square: E[C²].
      staleness_mean: E[τC], in updates.
      staleness_square_mean: E[τ²C], in updates².
      largest_factor: sup C over every argument at which C can be evaluated: each τ up to the largest, with mass or not,
        since a run's first commits have a smaller staleness than the law allows.
      nonnegative: whether C ≥ 0 wherever the law has mass.
      largest_staleness: R, in updates; None where the law is unbounded.
      mean_staleness: E[τ], in updates.
      weighted: m₂(q) for q in (0, 1]; it raises ArithmeticError where it finds no finite value.
      factor: C(τ).
      points: the staleness values with mass, or the first of them.
    """

    mean: Number | None
    mean_square: Number | None
    staleness_mean: Number | None
    staleness_square_mean: Number | None
    largest_factor: Number | None
    nonnegative: Verdict
    largest_staleness: int | None
    mean_staleness: Number | None
    weighted: Callable[[Number], Number]
    factor: Callable[[int], Number]
    support: Sequence[int]

    @property
    def has_whole_support(self) -> bool:
        """Whether ``support`` holds every staleness that has mass."""
        return self.largest_staleness is not None and self.support[-1] >= self.largest_staleness

    @classmethod
    def of_pmf(cls, pmf: Mapping[int, Fraction | int], factors: Mapping[int, Fraction | int]) -> Moments:
        """The moments under a law on finitely many points, exactly.

        Args:
          pmf: staleness in updates → probability; they sum to 1.
          factors: staleness in updates → C(τ), at least where the law has mass.

        Returns:
          The moments, as rationals.

        Raises:
          ValueError: where the probabilities are negative or do not sum to 1, or a factor is missing.

        Example:
          >>> m = Moments.of_pmf({0: Fraction(1, 2), 2: Fraction(1, 2)}, {0: Fraction(3, 2), 2: Fraction(1, 2)})
          >>> m.mean, m.mean_square, m.staleness_mean, m.staleness_square_mean, m.largest_staleness
          (1, 5/4, 1/2, 1, 2)
        """
        law = {tau: as_fmpq(Fraction(mass)) for tau, mass in sorted(pmf.items()) if mass}
        values = {tau: as_fmpq(Fraction(value)) for tau, value in factors.items()}
        if sum(law.values(), fmpq(0)) != 1 or min(law.values()) < 0:
            raise ValueError(f"probabilities must be ≥ 0 and sum to 1, got {list(map(str, law.values()))[:6]}")
        if not law.keys() <= values.keys():
            raise ValueError(f"no factor at staleness {min(law.keys() - values.keys())}")
        return summed(law, values.__getitem__, [value for tau, value in values.items() if tau <= max(law)])


def summed(law: Mapping[int, Number], factor: Callable[[int], Number], values: Sequence[Number]) -> Moments:
    """The moments as sums over a bounded law; ``values`` are C at every argument where it can be evaluated."""
    rows = [(tau, mass, factor(tau)) for tau, mass in law.items()]

    def total(term: Callable[[int, Number], Number]) -> Number:
        return sum((mass * term(tau, value) for tau, mass, value in rows), fmpq(0))

    def weighted(q: Number) -> Number:
        if max(law) == 0:
            return fmpq(0)
        back = 1 / ball(q)
        sums, power = [arb(0)], arb(1)
        for _ in range(max(law)):
            power *= back
            sums.append(sums[-1] + power)
        return total(lambda tau, value: tau * value * sums[tau])

    return Moments(
        mean=total(lambda tau, value: value),
        mean_square=total(lambda tau, value: value * value),
        staleness_mean=total(lambda tau, value: tau * value),
        staleness_square_mean=total(lambda tau, value: tau * tau * value),
        largest_factor=greatest(*values) if values else None,
        nonnegative=_all_nonnegative([value for _, _, value in rows]),
        largest_staleness=max(law),
        mean_staleness=total(lambda tau, value: fmpq(tau)),
        weighted=weighted,
        factor=factor,
        support=list(law),
    )


def _all_nonnegative(values: Sequence[Number]) -> Verdict:
    try:
        return Verdict.PROVED if all(sign(value) >= 0 for value in values) else Verdict.REFUTED
    except Undecided:
        return Verdict.UNKNOWN

"""Values of a formula at single staleness values: exact signs, and where to look for counterexamples."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction

from flint import fmpq

from theory.analysis.bounds_over import range_of
from theory.analysis.equality import at_staleness
from theory.analysis.evaluation import compiled
from theory.analysis.setting import Setting
from theory.formulas.algebra import algebraic
from theory.formulas.formula import Domain, Formula, nodes, reads_law, subtract
from theory.formulas.monomials import Unsupported
from theory.numbers import ranges
from theory.numbers.balls import PRECISIONS, NotFinite, Number, Undecided, precision, sign
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fmpq


class PointValues:
    """Values and signs of a formula at single staleness values, with as many bits as each needs.

    Args:
      formula: the formula.
      setting: what it is decided in; where it leaves parameters or the law open, signs come from ranges.
    """

    def __init__(self, formula: Formula, setting: Setting) -> None:
        self.formula, self.setting = formula, setting
        self._functions: dict[int, Callable[[int], Number]] = {}
        self.is_single = setting.is_fixed() and (setting.law is not None or not reads_law(formula))

    def value(self, tau: int, bits: int = PRECISIONS[0]) -> Number:
        """The value with so many bits; :class:`NotFinite` or :class:`Undecided` where there is none."""
        if bits not in self._functions:
            setting = self.setting if bits == PRECISIONS[0] else self.setting.afresh()
            self._functions[bits] = compiled(self.formula, setting)
        with precision(bits):
            return self._functions[bits](tau)

    def certain(self, tau: int) -> Number:
        """A finite value, with more bits where need be."""
        for bits in PRECISIONS[:-1]:
            try:
                return self.value(tau, bits)
            except Undecided:
                continue
        return self.value(tau, PRECISIONS[-1])

    def compare(self, tau: int, other: PointValues | Fraction, other_tau: int | None = None) -> int:
        """The sign of C(τ) minus a number, or minus another formula's value; exact, or :class:`Undecided`."""
        other_tau = tau if other_tau is None else other_tau
        for bits in PRECISIONS:
            try:
                with precision(bits):
                    right = other.value(other_tau, bits) if isinstance(other, PointValues) else as_fmpq(other)
                    return sign(self.value(tau, bits) - right)
            except Undecided:
                continue
        left = at_staleness(self.formula, tau, self.setting)
        right = (
            at_staleness(other.formula, other_tau, self.setting)
            if isinstance(other, PointValues)
            else ("number", other)
        )
        try:
            if algebraic(subtract(left, right)).is_zero():
                return 0
        except Unsupported:
            pass
        raise Undecided(f"C({tau}) and {'C' if isinstance(other, PointValues) else other} cannot be told apart")

    def range(self, tau: int) -> Range:
        """Bounds at one staleness, over all that the setting leaves open."""
        return range_of(self.formula, self.setting, tau, tau)

    def is_at_least(self, tau: int, number: Fraction, *, strict: bool) -> bool:
        """Whether C(τ) ≥ number, or > number where strict; False where that is not shown."""
        try:
            if self.is_single:
                return self.compare(tau, number) >= (1 if strict else 0)
            above = self.range(tau) - ranges.number(number)
            return above.is_positive() if strict else above.is_nonnegative()
        except ArithmeticError:
            return False

    def is_finite(self, tau: int) -> bool:
        """Whether C(τ) is shown to be a real, finite number."""
        try:
            if self.is_single:
                self.certain(tau)
            else:
                self.range(tau)
            return True
        except ArithmeticError:
            return False

    def does_not_rise(self, tau: int) -> bool:
        """Whether C(τ + 1) ≤ C(τ) is shown."""
        if not self.is_single:
            return False  # an argument for all τ has to decide
        try:
            return self.compare(tau, self, tau + 1) >= 0
        except ArithmeticError:
            return False


def probes(formula: Formula, domain: Domain, law_last: int | None = None, *, few: bool = False) -> Iterator[int]:
    """Where to look for counterexamples: the first 300, and around the formula's numbers and powers of two.

    With ``few``, the first 30 and single powers of two: what is enough to check a proof.
    """
    first, last = domain
    seen: set[int] = set()
    near = list(range(first, first + (30 if few else 300)))
    for node in nodes(formula):
        if node[0] == "number" and 2 < abs(node[1]) < 10**15:
            whole = abs(node[1].numerator // node[1].denominator)
            near.extend(range(whole - 3, whole + 4))
        if node[0] == "number" and 0 < abs(node[1]) < Fraction(1, 2):
            whole = abs(node[1].denominator // node[1].numerator)
            near.extend(range(whole - 3, whole + 4))
    if law_last is not None:
        near.extend(range(law_last - 1, law_last + 3))
    near.extend(first + 2**power for power in range(9, 41) if first > 2**8)
    for power in range(8, 41):
        near.extend(range(2**power, 2**power + (1 if few else 5)))
        near.extend(range(3 * 2 ** (power - 1), 3 * 2 ** (power - 1) + (1 if few else 5)))
    if last is not None:
        near.extend(range(last - 3, last + 1))
    for tau in near:
        if tau not in seen and tau >= first and (last is None or tau <= last):
            seen.add(tau)
            yield tau


def samples(parameters: dict[str, Range]) -> Iterator[dict[str, Range]]:
    """Single values of the parameters from inside their ranges, and those ends that belong to them."""
    choices = {name: [value for value in _inside(known) if known.holds(value)] for name, known in parameters.items()}
    for chosen in itertools.islice(itertools.product(*choices.values()), 60):
        yield {name: ranges.point(value) for name, value in zip(choices, chosen, strict=True)}


def _inside(known: Range) -> list[fmpq]:
    if known.exact is not None:
        return [known.exact]
    low, high = known.low, known.high
    steps = (fmpq(1), fmpq(0), fmpq(1, 10), fmpq(10), fmpq(1, 1000), fmpq(1000))
    if high is None and low is None:
        return [fmpq(0), fmpq(1), fmpq(-1), fmpq(1, 10), fmpq(-1, 10), fmpq(10), fmpq(-10)]
    if high is None and low is not None:
        return [low + step for step in steps]
    if low is None and high is not None:
        return [high - step for step in steps]
    assert low is not None
    assert high is not None
    shares = (fmpq(1, 2), fmpq(0), fmpq(1), fmpq(1, 10), fmpq(9, 10), fmpq(1, 1000))
    return [low + (high - low) * share for share in shares]


__all__ = ["Domain", "NotFinite", "PointValues", "probes", "samples"]

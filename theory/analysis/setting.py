"""What a formula is decided in: the range of each parameter, the law (or every law), and which CDF F is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flint import fmpq

from theory.analysis.evaluation import compiled
from theory.formulas.formula import TAU, Formula, factored, is_whole, multiply
from theory.laws.law import CDFKind
from theory.numbers import ranges
from theory.numbers.balls import Number, Undecided
from theory.numbers.ranges import Range


class Setting:
    """Parameters, law and kind of CDF.

    Args:
      parameters: the range of each parameter.
      law: the law of the staleness; None for every law.
      cdf: what F is: ``"mid"`` is P[T<τ] + P[T=τ]/2, ``"strict"`` P[T<τ], ``"inclusive"`` P[T≤τ].
      on_support: whether τ is only meant where the law puts mass, which opens an end of F's range.
    """

    def __init__(
        self,
        parameters: Mapping[str, Range] | None = None,
        law: Any = None,
        cdf: CDFKind = "mid",
        *,
        on_support: bool = False,
    ) -> None:
        self.parameters = dict(parameters or {})
        self.law = law
        self.cdf: CDFKind = cdf
        self.on_support = on_support
        self._means: dict[Formula, Number] = {}
        self._moments: dict[Formula, Any] = {}

    def with_support(self) -> Setting:
        """The same setting, for τ where the law puts mass."""
        other = Setting(self.parameters, self.law, self.cdf, on_support=True)
        other._means, other._moments = self._means, self._moments
        return other

    def under(self, law: Any) -> Setting:
        """The same under another law."""
        return Setting(self.parameters, law, self.cdf, on_support=self.on_support)

    def afresh(self) -> Setting:
        """The same, with nothing kept from balls of other bits."""
        from theory.laws.parsing import from_json

        return self.under(None if self.law is None else from_json(self.law.to_json()))

    def is_fixed(self) -> bool:
        """Whether every parameter is one number."""
        return all(known.is_point() for known in self.parameters.values())

    def distribution(self, tau: int) -> Number:
        """F(τ) under the law."""
        if self.law is None:
            raise Undecided("F without a law")
        return self.law.distribution(tau, self.cdf)

    def distribution_range(self, first: int, last: int | None) -> Range:
        """What F(τ) can be for first ≤ τ ≤ last."""
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

    def mean(self, formula: Formula) -> Number:
        """E[formula] under the law."""
        if self.law is None:
            raise Undecided("a mean without a law")
        if formula not in self._means:
            from theory.analysis.expectation import expectation

            try:
                self._means[formula] = self.moments(formula).mean
            except ArithmeticError:  # E[C²] may be infinite where E[C] is not
                self._means[formula] = expectation(formula, self)
        return self._means[formula]

    def moments(self, formula: Formula) -> Any:
        """E[C], E[C²] and E[τC] under the law; see :func:`theory.analysis.expectation.moments`."""
        if formula not in self._moments:
            from theory.analysis.expectation import moments, scaled

            constants, moving = factored(formula)
            if constants and moving:  # a constant times what may be known already
                factor = compiled(multiply(*constants), self)(0)
                self._moments[formula] = scaled(self.moments(multiply(*moving)), factor)
            else:
                self._moments[formula] = moments(formula, self)
        return self._moments[formula]


def range_of(formula: Formula, setting: Setting, first: int, last: int | None) -> Range:
    """Bounds of a formula over all real τ between two staleness values (parity terms: all integers).

    Args:
      formula: the formula.
      setting: what it is decided in.
      first: ≥ 0.
      last: the last staleness; None for every one from ``first`` on.

    Returns:
      A range that contains every value.

    Raises:
      Undecided: where no range is found, as for a divisor that may be 0.
      NotFinite: where some value is certainly no finite number.
    """

    def of(part: Formula) -> Range:
        return range_of(part, setting, first, last)

    name, *parts = formula
    if name == "number":
        return ranges.number(parts[0])
    if name == "pi":
        return ranges.around(_pi())
    if name == "tau":
        return Range(fmpq(first), None if last is None else fmpq(last), False, last is None)
    if name == "F":
        return setting.distribution_range(first, last)
    if name == "parameter":
        return setting.parameters[parts[0]]
    if name == "mean":
        return _mean_range(parts[0], setting)
    if name in ("infinite", "undefined"):
        raise Undecided("no value is given somewhere")
    if name == "where":
        return _where(parts, setting, first, last)
    if name == "power":
        base, exponent = parts
        if not _is_number(exponent) and _is_number(base) and base[1] < 0:
            if not is_whole(exponent):
                raise Undecided("a power of a negative number that may not be whole")
            size = ranges.power(ranges.number(-base[1]), of(exponent))  # a parity term: either sign
            return ranges.hull(size, -size)
        return ranges.power(of(base), of(exponent))
    if name == "modulo":
        return _remainder(parts, of)
    if name in ("sum", "product", "min", "max"):
        total = of(parts[0])
        for part in parts[1:]:
            other = of(part)
            if name == "sum":
                total = total + other
            elif name == "product":
                total = total * other
            else:
                total = (ranges.least if name == "min" else ranges.greatest)(total, other)
        return total
    inner = of(parts[0])
    if name in ("sin", "cos"):
        if inner == ranges.ZERO:
            return ranges.point(0 if name == "sin" else 1)
        return ranges.UNIT
    return _FUNCTIONS[name](inner)


def _remainder(parts: list[Formula], of: Callable[[Formula], Range]) -> Range:
    """Between 0 and the divisor; of whole numbers at most one less than it."""
    divisor, left = of(parts[1]), of(parts[0])
    if not divisor.is_positive() or divisor.high is None:
        raise Undecided("a remainder by what may not be positive")
    if left.exact is not None and divisor.exact is not None:
        return ranges.point(left.exact - divisor.exact * (left.exact / divisor.exact).floor())
    if is_whole(parts[0]) and is_whole(parts[1]):
        return Range(fmpq(0), divisor.high - 1)
    return Range(fmpq(0), divisor.high, False, True)


def _where(parts: list[Formula], setting: Setting, first: int, last: int | None) -> Range:
    holds, yes, no = parts
    cut = _cut(holds)
    if cut is not None:
        below, (lower, upper) = cut
        found = []
        for branch, (start, stop) in ((yes if below else no, (first, lower)), (no if below else yes, (upper, last))):
            start = max(start, first)
            stop = stop if last is None else last if stop is None else min(stop, last)
            if stop is None or start <= stop:
                found.append(range_of(branch, setting, start, stop))
        return found[0] if len(found) == 1 else ranges.hull(found[0], found[1])
    told = ranges.compare(holds, lambda part: range_of(part, setting, first, last))
    if told is None:
        return ranges.hull(range_of(yes, setting, first, last), range_of(no, setting, first, last))
    return range_of(yes if told else no, setting, first, last)


def _cut(holds: Formula) -> tuple[bool, tuple[int, int]] | None:
    """Whether a comparison of τ with a number holds below or above, and the integers beside the cut."""
    if holds[0] == "not":
        cut = _cut(holds[1])
        return None if cut is None else (not cut[0], cut[1])
    if holds[0] not in ("less", "at_most"):
        return None
    left, right = holds[1:]
    strict = holds[0] == "less"
    if left == TAU and _is_number(right):  # τ < c: the integers up to ⌈c⌉-1; τ ≤ c: up to ⌊c⌋
        c = right[1]
        lower = -((-c.numerator) // c.denominator) - 1 if strict else c.numerator // c.denominator
        return True, (lower, lower + 1)
    if right == TAU and _is_number(left):  # c < τ: the integers from ⌊c⌋+1; c ≤ τ: from ⌈c⌉
        c = left[1]
        upper = c.numerator // c.denominator + 1 if strict else -((-c.numerator) // c.denominator)
        return False, (upper - 1, upper)
    return None


def _is_number(formula: Formula) -> bool:
    return formula[0] == "number"


def _mean_range(formula: Formula, setting: Setting) -> Range:
    if setting.law is not None:
        return ranges.around(setting.mean(formula))
    # Every law: a mean lies where the values lie, and is finite under each law only where they are bounded.
    values = range_of(formula, setting, 0, None)
    if not values.is_bounded():
        raise Undecided("a mean that is infinite under some law")
    return values


def _pi() -> Number:
    from flint import arb

    return arb.pi()


_FUNCTIONS = {
    "exp": ranges.exp,
    "log": ranges.log,
    "abs": ranges.absolute,
    "floor": ranges.floor,
    "atan": ranges.atan,
    "factorial": ranges.factorial,
}

r"""Expansions: sums of power series times powers of log τ, :math:`\sum_q (\log\tau)^q S_q(x)`."""

from __future__ import annotations

import dataclasses

from flint import arb, fmpq

from theory.analysis.expansions import series
from theory.analysis.expansions.series import Scale, Series
from theory.formulas.monomials import Unsupported
from theory.numbers.balls import Number, Undecided, ball, sign, whole_power


@dataclasses.dataclass(frozen=True)
class Expansion:
    """A sum of series times powers of log τ, for every τ from the scale's first on."""

    scale: Scale
    parts: dict[int, Series]

    def __add__(self, other: Expansion) -> Expansion:
        parts = dict(self.parts)
        for q, part in other.parts.items():
            parts[q] = series.add(parts[q], part, self.scale) if q in parts else part
        return Expansion(self.scale, parts)

    def __mul__(self, other: Expansion) -> Expansion:
        total = Expansion(self.scale, {})
        for q, left in self.parts.items():
            for p, right in other.parts.items():
                total = total + Expansion(self.scale, {q + p: series.multiply(left, right, self.scale)})
        return total

    def scaled(self, factor: Number) -> Expansion:
        """A number times the expansion."""
        return Expansion(self.scale, {q: series.scaled(part, factor) for q, part in self.parts.items()})

    def __neg__(self) -> Expansion:
        return self.scaled(fmpq(-1))

    def __sub__(self, other: Expansion) -> Expansion:
        return self + -other

    def nonzero(self) -> dict[int, Series]:
        """The series that are not exactly 0, by the power of log τ."""
        return {q: part.stripped() for q, part in self.parts.items() if not part.is_zero()}

    def single(self) -> Series:
        """The only series, where there is no log τ."""
        parts = self.nonzero()
        if set(parts) != {0}:
            raise Unsupported("a logarithm of τ where a power series is needed")
        return parts[0]

    def exact(self) -> fmpq | None:
        """The rational that it is, where it is one."""
        parts = self.nonzero()
        if not parts:
            return fmpq(0)
        only = parts.get(0)
        if set(parts) != {0} or only is None or only.order != 0 or not series.vanishes(only.rest):
            return None
        value, *others = only.coefficients
        return value if isinstance(value, fmpq) and all(map(series.vanishes, others)) else None

    def raised(self, exponent: fmpq) -> Expansion:
        """The expansion to a rational power; it is then shown to be positive, or of one sign for a whole power."""
        if exponent.q == 1 and 0 <= exponent <= 4:  # also where there are logarithms
            total = constant(fmpq(1), self.scale)
            for _ in range(int(exponent.p)):
                total = total * self
            return total
        return Expansion(self.scale, {0: series.raised(self.single(), exponent, self.scale)})

    def log(self) -> Expansion:
        """The logarithm of what is shown to be positive."""
        order, first, u = series.leading(self.single(), self.scale)
        if sign(first) <= 0:
            raise Unsupported("the logarithm of what is not positive")
        parts = {0: series.log_one_plus(u, self.scale)}
        if not series.vanishes(first - 1):
            parts[0] = series.add(parts[0], series.constant(ball(first).log()), self.scale)
        if order:
            parts[1] = series.constant(fmpq(-order, self.scale.root))
        return Expansion(self.scale, parts)

    def exp(self) -> Expansion:
        """The exponential of c log τ + d and what vanishes."""
        parts = self.nonzero()
        front = fmpq(0)
        if 1 in parts:
            rate = Expansion(self.scale, {0: parts.pop(1)}).exact()
            if rate is None:
                raise Unsupported("the exponential of a product with log τ")
            front = -rate * self.scale.root
        if set(parts) - {0} or front.q != 1:
            raise Unsupported("an exponential that is no power of x")
        power = series.power_of_x(int(front.p))
        if not parts:
            return Expansion(self.scale, {0: power})
        only = parts[0]
        if only.order < 0:
            raise Unsupported("an exponential that grows or falls faster than any power")
        value, u = fmpq(0), only
        if only.order == 0:
            value, u = only.coefficients[0], Series(0, (fmpq(0), *only.coefficients[1:]), only.rest)
        result = series.multiply(power, series.exponential(u, self.scale), self.scale)
        return Expansion(
            self.scale, {0: result if series.vanishes(value) else series.scaled(result, ball(value).exp())}
        )

    def sign(self) -> int:
        """The sign for every τ from the scale's first on: that of the fastest term, which outweighs the others.

        Raises:
          Undecided: where the others may outweigh it, or its coefficient may be 0.
        """
        parts = self.nonzero()
        if not parts:
            return 0
        q, lead = min(parts.items(), key=lambda item: (item[1].order, -item[0]))
        if not lead.coefficients or (isinstance(lead.coefficients[0], arb) and lead.coefficients[0].contains(0)):
            raise Undecided("the first coefficient of an expansion may be 0")
        first, others = ball(lead.coefficients[0]), arb(0)
        for p, part in parts.items():
            for k, coefficient in enumerate((*part.coefficients, part.rest), part.order):
                if (p, k) != (q, lead.order) and not series.vanishes(coefficient):
                    others += abs(ball(coefficient) / first) * _largest(k - lead.order, p - q, self.scale)
        if not others < 1:
            raise Undecided("the other terms may outweigh the first one there")
        return sign(lead.coefficients[0])

    def growth(self) -> tuple[arb, fmpq]:
        r"""K and a ≥ 0 with :math:`|f(\tau)| \le K\tau^a`."""
        total, lowest = arb(0), min([0, *(part.order for part in self.nonzero().values())])
        most = max([0, *(q for q, part in self.nonzero().items() if part.order <= 0)])
        lowest -= self.scale.root if most > 0 else 0  # log τ to a power grows more slowly than τ
        for p, part in self.nonzero().items():
            for k, coefficient in enumerate((*part.coefficients, part.rest), part.order):
                if not series.vanishes(coefficient):
                    total += abs(ball(coefficient)) * _largest(k - lowest, p, self.scale)
        return total, fmpq(-lowest, self.scale.root)


def _largest(power: int, logs: int, scale: Scale) -> arb:
    r"""An upper bound of :math:`x^d (\log\tau)^p` over τ ≥ N ≥ 2, for d ≥ 0, and p ≤ 0 where d = 0."""
    start = arb(scale.first).log()
    if power < 0 or (power == 0 and logs > 0):
        raise Undecided("a term that grows faster than the first one")
    if logs <= 0:
        return (whole_power(scale.x, power) * whole_power(1 / start, -logs)).upper()
    peak = arb(logs * scale.root) / power  # log τ at which τ^(-d/m) (log τ)^p is largest
    at = peak if not start > peak else start
    return (arb(logs) * at.log() - at * power / scale.root).exp().upper()


def constant(value: Number, scale: Scale) -> Expansion:
    """The expansion of one number."""
    return Expansion(scale, {0: series.constant(value)})


def staleness(scale: Scale) -> Expansion:
    """The expansion of τ."""
    return Expansion(scale, {0: series.power_of_x(-scale.root)})

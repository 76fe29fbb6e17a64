"""Laws of the staleness: masses, their sums, and bounds of what lies beyond."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

if __package__ == "second_checker":  # run as a plain file
    from second_checker.boxes import ONE, ZERO, Box, Open, box, near, power  # pyrefly: ignore[missing-import]
else:
    from theory.certificates.second_checker.boxes import ONE, ZERO, Box, Open, box, near, power

MOST = 3000  # points of a law that is summed


class Law:
    """A law of the staleness: on finitely many points, or with masses that have a known ratio."""

    def __init__(self, name: str, *rest: Any) -> None:
        self.sums, self.points = [box(ZERO)], None
        numbers = [Fraction(n) for n in rest if isinstance(n, str)]
        if name == "counts":
            self.points = {tau: Fraction(n, sum(rest[0])) for tau, n in enumerate(rest[0]) if n}
        elif name in ("uniform", "constant"):
            if numbers[-1] - numbers[0] > 10 * MOST:
                raise Open("a law on many points")
            self.points = dict.fromkeys(range(int(rest[0]), int(rest[-1]) + 1), 1 / (numbers[-1] - numbers[0] + 1))
        elif name == "poisson":
            self.masses, self.ratio = [near("exp", box(-numbers[0]), (0,), 1)], lambda i: numbers[0] / (i + 1)
            self.most, self.step = self.ratio, lambda k: numbers[0]  # of all ratios from i on; of factorial moments
        elif name in ("geometric", "negative_binomial"):
            size, chance = [ONE, *numbers][-2:]
            self.masses, self.ratio = [power(box(chance), box(size))], lambda i: (1 - chance) * (i + size) / (i + 1)
            self.most, self.step = (
                lambda i: max(self.ratio(i), 1 - chance),
                lambda k: (size + k) * (1 - chance) / chance,
            )
        else:
            raise Open(f"the law {name}")

    def mass(self, tau: int) -> Box:
        """P[T = τ]."""
        if self.points is not None:
            return box(self.points.get(tau, ZERO))
        while len(self.masses) <= min(tau, MOST):
            self.masses.append(self.masses[-1] * box(self.ratio(len(self.masses) - 1)))
        return self.masses[tau] if tau <= MOST else box(ZERO, ONE)

    def below(self, tau: int) -> Box:
        """P[T < τ]."""
        if self.points is not None and tau > max(self.points):
            return box(ONE)
        while len(self.sums) <= min(tau, MOST):
            self.sums.append(self.sums[-1] + self.mass(len(self.sums) - 1))
        return self.sums[tau] if tau <= MOST else box(self.sums[MOST].low[0], ONE)

    def factorial_moments(self) -> Iterator[Fraction]:
        """E[T(T - 1)…] with 0, 1, 2, … factors, of laws on all integers."""
        yield (total := ONE)
        for k in itertools.count():
            total *= self.step(k)
            yield total

    def beyond(self, size: Fraction, degree: int) -> tuple[Fraction, int]:
        """A small bound of the sum of size·p(i)(1 + i)^degree over i > M, and M."""
        for stop in range(64, MOST, 16):
            ratio = self.most(stop + 1) * Fraction(stop + 3, stop + 2) ** degree
            left = self.mass(stop + 1).high[0] * size * (stop + 2) ** degree
            if ratio < 1 and left / (1 - ratio) < Fraction(1, 2**90):
                return left / (1 - ratio), stop
        raise Open("a law that is too wide")


@functools.cache
def law_of(text: str) -> Law:
    """The law that is written so, as JSON."""
    return Law(*json.loads(text))

r"""The identities that the theorems rest on, each as a statement that a machine checks: its residual must be 0.

``mean``: :math:`E[C_{strict}] = 1 + A\Sigma p^2`, :math:`E[C_{inclusive}] = 1 - A\Sigma p^2`, :math:`E[C_{mid}] = 1`.
``moments``: :math:`E[C_{mid}^2] = 1 + A^2(1-\Sigma p^3)/3`, :math:`E[\tau C_{mid}] = E[\tau] - \frac A2E|T-T'|`, and
:math:`C_{mid}(\tau) = 1 - A\,E\,\mathrm{sgn}(\tau-T')`. ``association``:
:math:`E[g]E[C] - E[gC] = \sum_{i<j}p_ip_j(g_j-g_i)(C_i-C_j)`, which is ≥ 0 for rising g and falling C.
``conservation``: m busy workers: staleness applied and staleness in work add up to (m - 1)T after T commits.

The first three are proved for each number of support points up to five: polynomials in p, A and the points, whose
difference vanishes once Σp = 1 is put in; and they are looked at exactly on random rational laws.
"""

from __future__ import annotations

import dataclasses
import heapq
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from theory.exit_codes import guarded

#: Anything that adds and multiplies: fractions, or elements of a polynomial ring.
Scalar = Any


@dataclasses.dataclass(frozen=True)
class LawWithFactors:
    """A law on increasing staleness values, an amplitude, and factors for ``association``.

    Attributes:
      staleness: t₁ < t₂ < …, in updates; numbers or symbols.
      masses: their probabilities, which sum to 1.
      amplitude: A.
      factors: C at each point, for ``association``.
    """

    staleness: Sequence[Scalar]
    masses: Sequence[Scalar]
    amplitude: Scalar
    factors: Sequence[Scalar]

    def tail(self, kind: str) -> list[Scalar]:
        """The values of C = 1 + A(1 - 2F) at each point, with F the strict, inclusive or mid CDF."""
        below, factors = 0 * self.amplitude, []
        for mass in self.masses:
            twice = {"strict": 2 * below, "inclusive": 2 * below + 2 * mass, "mid": 2 * below + mass}[kind]
            factors.append(1 + self.amplitude * (1 - twice))
            below = below + mass
        return factors

    def expect(self, values: Sequence[Scalar]) -> Scalar:
        """The expectation of values at the points."""
        return sum((p * v for p, v in zip(self.masses, values, strict=True)), 0 * self.amplitude)


def mean(law: LawWithFactors) -> list[Scalar]:
    """The residuals of E[C] with the three kinds of CDF: its value minus what it is claimed to be.

    Example:
      >>> mean(LawWithFactors([0, 1], [Fraction(1, 4), Fraction(3, 4)], Fraction(1, 2), [1, 1]))
      [Fraction(0, 1), Fraction(0, 1), Fraction(0, 1)]
    """
    gap = law.amplitude * law.expect(law.masses)
    claimed = {"strict": 1 + gap, "inclusive": 1 - gap, "mid": 1}
    return [law.expect(law.tail(kind)) - value for kind, value in claimed.items()]


def moments(law: LawWithFactors) -> list[Scalar]:
    """The residuals of E[C²], E[τC] and C itself with the mid CDF: their values minus their closed forms.

    Example:
      >>> moments(LawWithFactors([0, 3], [Fraction(1, 4), Fraction(3, 4)], Fraction(1), [1, 1]))[:2]
      [Fraction(0, 1), Fraction(0, 1)]
    """
    tail, p, t, a = law.tail("mid"), law.masses, law.staleness, law.amplitude
    cubes = law.expect([mass * mass for mass in p])
    # 3E[C²] = 3 + A²(1 - Σp³): without a division
    residuals = [3 * law.expect([c * c for c in tail]) - 3 - a * a * (1 - cubes)]
    pairs = sum((p[i] * p[j] * (t[j] - t[i]) for i in range(len(p)) for j in range(i + 1, len(p))), 0 * a)
    product = law.expect([x * c for x, c in zip(t, tail, strict=True)])
    residuals.append(product - law.expect(t) + a * pairs)  # Σ_{i<j} p_ip_j|t_j - t_i| = E|T - T'|/2
    for i in range(len(p)):
        sign = sum(p[:i], 0 * a) - sum(p[i + 1 :], 0 * a)  # E sgn(t_i - T')
        residuals.append(tail[i] - 1 + a * sign)
    return residuals


def association(law: LawWithFactors) -> list[Scalar]:
    """The residuals of E[g]E[C] - E[gC] minus its sum over pairs, for g = τ and g = τ².

    Example:
      >>> association(LawWithFactors([0, 3], [Fraction(1, 4), Fraction(3, 4)], Fraction(1), [2, Fraction(2, 3)]))
      [Fraction(0, 1), Fraction(0, 1)]
    """
    p, c = law.masses, law.factors
    residuals = []
    for power in (1, 2):
        g = [t**power for t in law.staleness]
        left = law.expect(g) * law.expect(c) - law.expect([x * y for x, y in zip(g, c, strict=True)])
        over = range(len(p))
        right = [p[i] * p[j] * (g[j] - g[i]) * (c[i] - c[j]) for i in over for j in over if i < j]
        residuals.append(left - sum(right, 0 * law.amplitude))
    return residuals


def conservation(workers: int, commits: int, seed: int) -> list[int]:
    """The residuals of an event-driven run: staleness applied plus staleness in work, minus (m - 1)T, at each commit.

    Args:
      workers: m; each always computes one gradient, with random times of a speed of its own.
      commits: T.
      seed: of the times.

    Returns:
      The residuals, whole numbers.

    Example:
      >>> set(conservation(workers=5, commits=100, seed=0))
      {0}
    """
    draw = random.Random(seed)
    speed = [draw.randint(1, 50) for _ in range(workers)]
    ends = [(draw.randint(1, 10 * speed[worker]), worker) for worker in range(workers)]
    heapq.heapify(ends)
    read, staleness_applied, residuals = [0] * workers, 0, []
    for version in range(commits):
        time, worker = heapq.heappop(ends)
        staleness_applied += version - read[worker]
        read[worker] = version + 1
        heapq.heappush(ends, (time + draw.randint(1, 10 * speed[worker]), worker))
        in_work = sum(version + 1 - version_read for version_read in read)
        residuals.append(staleness_applied + in_work - (workers - 1) * (version + 1))
    return residuals


#: The identities over laws, by name: each is a function of points that returns residuals.
IDENTITIES: dict[str, Callable[[LawWithFactors], list[Scalar]]] = {
    "mean": mean,
    "moments": moments,
    "association": association,
}


def is_proved(name: str, support: int) -> bool:
    """Whether an identity holds for every law on so many points: every residual is the zero polynomial.

    Args:
      name: of ``IDENTITIES``.
      support: number of points, ≥ 1.

    Returns:
      Whether every residual vanishes once the last probability is written as 1 minus the others.

    Example:
      >>> all(is_proved(name, support) for name in IDENTITIES for support in (2, 3))
      True
    """
    return all(residual == 0 for residual in IDENTITIES[name](_symbolic(support)))


def _symbolic(support: int) -> LawWithFactors:
    from sympy import QQ
    from sympy.polys.rings import ring

    names = [f"{letter}{i}" for letter in "tpc" for i in range(support)]
    _, *symbols = ring([*names, "A"], QQ)
    t, p, c = (symbols[k * support : (k + 1) * support] for k in range(3))
    return LawWithFactors(t, [*p[:-1], 1 - sum(p[:-1], 0 * p[0])], symbols[-1], c)


def random_law(seed: int, support: int) -> LawWithFactors:
    """A random law with rational probabilities, a random amplitude and random factors."""
    draw = random.Random(seed)
    counts = [draw.randint(1, 10_000) for _ in range(support)]
    masses = [Fraction(n, sum(counts)) for n in counts]
    staleness = sorted(draw.sample(range(500), support))
    amplitude = Fraction(draw.randint(0, 1000), 1000)
    return LawWithFactors(staleness, masses, amplitude, [Fraction(draw.randint(0, 4000), 1000) for _ in range(support)])


@guarded
def main() -> int:
    """Prints a table of the identities; 0 where every one holds."""
    from rich.console import Console
    from rich.table import Table

    table = Table("identity", "support points, all laws", "random rational laws", "largest residual")
    good = True
    for name, residuals in IDENTITIES.items():
        proved = [support for support in range(2, 6) if is_proved(name, support)]
        laws = [random_law(seed, 1 + seed % 40) for seed in range(100)]
        largest = max(abs(residual) for law in laws for residual in residuals(law))
        good &= proved == [2, 3, 4, 5] and largest == 0
        table.add_row(name, f"proved for {', '.join(map(str, proved)) or 'none'}", str(len(laws)), str(largest))
    runs = [(workers, seed) for workers in (1, 2, 7, 31) for seed in range(5)]
    largest = max(abs(residual) for workers, seed in runs for residual in conservation(workers, 500, seed))
    good &= largest == 0
    table.add_row("conservation", "by induction: docs/convergence.md", f"{len(runs)} runs of 500 commits", str(largest))
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(table)  # without a terminal Rich cuts at 80 columns
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())

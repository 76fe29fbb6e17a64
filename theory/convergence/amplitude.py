r"""The amplitude of TAIL that makes the noise factor least at a given step size.

TAIL, :math:`C(\tau) = 1 + A(1 - 2F_{mid}(\tau))`, has :math:`E[C^2] = 1 + bA^2` with b = (1 - Σp³)/3 < 1/3 and
:math:`E[\tau C] = E[\tau](1 - gA)` with Gini's coefficient g of the staleness, so that

.. math:: E[C^2](1 + 2L\eta E[\tau C]) = (1 + bA^2)(1 + c - cgA),\qquad c = 2L\eta E[\tau].
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from fractions import Fraction

from flint import arb, fmpq

from theory.convergence.steps import compared
from theory.decisions.verdict import Verdict
from theory.laws import Law
from theory.numbers.balls import Number, Undecided, ball, power
from theory.numbers.rationals import as_fmpq


def best_amplitude(spread: Number, gini: Number, load: Number) -> Number:
    r"""Computes the best amplitude A* on [0, 1], in the form that neither divides by 0 nor cancels.

    .. math:: A^* = \min\Big\{1, \frac{cg}{b(1+c) + \sqrt{b^2(1+c)^2 - 3bc^2g^2}}\Big\}

    It is 0 for g = 0 or c = 0, and 1 where the root is not real. The larger stationary point lies beyond 1, because
    b ≤ 1/3, so this is the least value on all of [0, 1]. It is least for the noise at this η only: the admissible step
    size depends on the amplitude too.

    Args:
      spread: b = (1 - Σp³)/3, in [0, 1/3].
      gini: g = E|T - T'|/(2E[T]), in [0, 1].
      load: c = 2LηE[τ] ≥ 0.

    Returns:
      A*, exact where it is rational.

    Raises:
      ValueError: for b outside [0, 1/3], g outside [0, 1], c < 0.
      Undecided: where the balls are too wide to decide whether the root is real.

    Example:
      >>> best_amplitude(fmpq(1, 4), fmpq(0), fmpq(1)), best_amplitude(fmpq(1, 3), fmpq(1, 2), fmpq(1, 10)).str(5)
      (0, '[0.068502 +/- 2.40e-7]')
    """
    for name, value, most in (("b", spread, fmpq(1, 3)), ("g", gini, fmpq(1)), ("c", load, None)):
        out = compared(fmpq(0), value) is Verdict.REFUTED
        if out or (most is not None and compared(value, most) is Verdict.REFUTED):
            raise ValueError(f"{name} must be {'≥ 0' if most is None else f'in [0, {most}]'}, got {value}")
    pull, front = load * gini, spread * (1 + load)
    if pull == 0:
        return fmpq(0)
    inside = front * front - 3 * spread * pull * pull
    real = compared(fmpq(0), inside)
    if real is Verdict.REFUTED:
        return fmpq(1)
    if real is Verdict.UNKNOWN:
        raise Undecided(f"the sign of {inside}")
    below = front + power(inside, fmpq(1, 2))
    if below == 0:  # b = 0: the factor only falls with A
        return fmpq(1)
    stationary = pull / below
    if isinstance(stationary, fmpq):
        return min(fmpq(1), stationary)
    return stationary.min(1)


def shape(pmf: Mapping[int, Fraction | int]) -> tuple[fmpq, fmpq, fmpq]:
    """Computes b, g and E[T] of a law on finitely many points, exactly.

    Args:
      pmf: staleness in updates → probability; they sum to 1.

    Returns:
      b = (1 - Σp³)/3, Gini's coefficient (0 where no gradient is stale), and the mean in updates.

    Example:
      >>> shape({0: Fraction(1, 2), 2: Fraction(1, 2)})
      (1/4, 1/2, 1)
    """
    masses = {tau: as_fmpq(Fraction(p)) for tau, p in sorted(pmf.items()) if p}
    spread = (1 - sum((p**3 for p in masses.values()), fmpq(0))) / 3
    mean = sum((tau * p for tau, p in masses.items()), fmpq(0))
    # E|T - T'| = 2 Σ F(t)(1 - F(t)) over the gaps between neighbouring points
    support, below, difference = list(masses), fmpq(0), fmpq(0)
    for tau, after in itertools.pairwise(support):
        below += masses[tau]
        difference += 2 * (after - tau) * below * (1 - below)
    return spread, difference / (2 * mean) if mean else fmpq(0), mean


def shape_of(law: Law) -> tuple[Number, Number, Number]:
    """Encloses b, g and E[T] of any law: sums over its window, and a bound of what lies outside.

    Args:
      law: of the staleness.

    Returns:
      b = (1 - Σp³)/3, Gini's coefficient (0 where no gradient is stale), and the mean in updates.

    Raises:
      Undecided: where the tail has no bound.

    Example:
      >>> from theory.laws.parsing import parse_law
      >>> b, g, mean = shape_of(parse_law("geometric:1/2"))
      >>> b.str(6, radius=False), g.str(6, radius=False), mean.str(6, radius=False)  # 2/7, 2/3, 1
      ('0.285714', '0.666667', '1.00000')
    """
    start, stop = law.window()
    above = arb(0) if law.last is not None else law.tail_bound(stop, Fraction(1), arb(0))
    below = ball(law.below_window())
    cubes, mean, difference, before = arb(0), arb(0), arb(0), below.union(arb(0))
    for tau in range(start, stop + 1):
        mass = ball(law.mass(tau))
        cubes, mean, before = cubes + mass**3, mean + tau * mass, before + mass
        difference += 2 * before * (1 - before) if tau < stop else 0
    # Outside: Σp³ is at most the mass there, E[T] and Σ F(1 - F) at most Σ p(1 + i) above, and start·mass below.
    cubes += (above + below).union(arb(0))
    mean += (above + start * below).union(arb(0))
    difference += 2 * (above + start * below).union(arb(0))
    return (1 - cubes) / 3, difference / (2 * mean) if mean != 0 else fmpq(0), mean


def noise_factor(amplitude: Number, spread: Number, gini: Number, load: Number) -> Number:
    """The factor of the noise, (1 + bA²)(1 + c - cgA).

    Args:
      amplitude: A.
      spread: b.
      gini: g.
      load: c.

    Returns:
      V.

    Example:
      >>> noise_factor(fmpq(1), fmpq(1, 4), fmpq(1, 2), fmpq(2))
      5/2
    """
    return (1 + spread * amplitude * amplitude) * (1 + load - load * gini * amplitude)

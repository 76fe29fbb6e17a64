r"""Sums of a formula over a long stretch of staleness values, by Taylor's theorem on blocks in place of one by one.

Around the middle m of a block, :math:`g(m + t) = \sum_{k<K} c_k t^k + c_K(\xi) t^K` with ξ in the block. The first
coefficients are balls at m, the last is one over the whole block, and the sums of :math:`t^k` over the points of a
block are known: with n points around 0, :math:`\sum t^k = 2B_{k+1}((n+1)/2)/(k+1)` for even k, and 0 for odd k.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flint
from flint import arb, arb_series, fmpq

from theory.analysis.bounds_over import compare, range_of
from theory.analysis.evaluation import compiled
from theory.analysis.setting import Setting
from theory.formulas.formula import Formula, mentions
from theory.numbers.balls import Undecided, ball
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fmpq

#: From so many points on, a sum is made by blocks.
LONG = 4_096
_ORDER = 32  # K, which is even
_SHORT = 64  # points of a block that is summed one by one
_MOST_BLOCKS = 2_000  # tried, before the rest is summed one by one
_SPARE = 24  # bits that a block's rest may be coarser than the balls

#: What is summed of a formula's values: functions of the value and of τ, of numbers or of series.
Terms = Sequence[Callable[..., Any]]


class _Block(NamedTuple):
    first: int
    last: int

    @property
    def points(self) -> int:
        return self.last - self.first + 1

    def halves(self) -> tuple[_Block, _Block]:
        middle = (self.first + self.last) // 2
        return _Block(self.first, middle), _Block(middle + 1, self.last)


def long_sum(formula: Formula, setting: Setting, support: range, terms: Terms) -> list[arb]:
    """Sums functions of a formula's value over a stretch of integers.

    Args:
      formula: C.
      setting: what it is decided in; F is that of a law with equal probabilities on the stretch.
      support: the stretch.
      terms: for each sum a function of C(τ) and τ, made of sums and products.

    Returns:
      A ball for each sum.

    Raises:
      NotFinite: where C has no finite value at some point.
      Undecided: where a value is not enclosed.

    Example:
      >>> from theory.analysis.expectation import UnderLaw
      >>> from theory.formulas.formula import ONE, TAU, add, divide
      >>> harmonic, = long_sum(divide(ONE, add(ONE, TAU)), UnderLaw(), range(10**6), [lambda value, tau: value])
      >>> harmonic.str(12, radius=False)
      '14.392726723'
    """
    value_at = compiled(formula, setting)
    totals = [arb(0) for _ in terms]
    waiting, tried = [_Block(support[0], support[-1])], 0
    moves_in_steps = any(mentions(formula, name) for name in ("modulo", "floor"))
    while waiting:
        block = waiting.pop()
        sums = None
        if block.points > _SHORT and tried < _MOST_BLOCKS and not moves_in_steps:
            tried += 1
            sums = _block_sums(formula, setting, support, block, terms)
            if sums is None:
                waiting += reversed(block.halves())
                continue
        if sums is None:
            sums = _one_by_one(value_at, block, terms)
        totals = [total + one for total, one in zip(totals, sums, strict=True)]
    return totals


def _one_by_one(value_at: Callable, block: _Block, terms: Terms) -> list[arb]:
    sums = [arb(0) for _ in terms]
    for tau in range(block.first, block.last + 1):
        value = ball(value_at(tau))
        for place, term in enumerate(terms):
            sums[place] += term(value, tau)
    return sums


class _Length:
    """Series of so many coefficients inside the context; no generator, as that of ``balls.precision`` is none."""

    def __enter__(self) -> None:
        self._before = flint.ctx.cap
        flint.ctx.cap = _ORDER + 1

    def __exit__(self, *_: object) -> None:
        flint.ctx.cap = self._before


def _block_sums(formula: Formula, setting: Setting, support: range, block: _Block, terms: Terms) -> list[arb] | None:
    """The sums over a block; None where a series is not found, or its rest is not small."""
    middle = arb(fmpq(block.first + block.last, 2))
    whole = arb(block.first).union(arb(block.last))
    with _Length():
        try:
            at_middle, over_block = (
                _series(formula, setting, support, block, arb_series([center, arb(1)])) for center in (middle, whole)
            )
        except (ArithmeticError, ValueError):  # the latter where a divisor may be 0
            return None
        sums, powers = [], _power_sums(block.points)
        for term in terms:
            near = _coefficients(term(at_middle, arb_series([middle, arb(1)])))
            last = _coefficients(term(over_block, arb_series([whole, arb(1)])))[_ORDER]
            total = sum((c * s for c, s in zip(near, powers[:_ORDER], strict=False)), arb(0))
            rest = last * powers[_ORDER]
            size = abs(total) + abs(near[0]) * block.points
            if not abs(rest).upper() <= size.lower() * arb(2) ** (_SPARE - flint.ctx.prec):
                return None
            sums.append(total + rest)
    return sums


def _coefficients(series: arb_series) -> list[arb]:
    known = list(series.coeffs()) if isinstance(series, arb_series) else [ball(series)]
    return known + [arb(0)] * (_ORDER + 1 - len(known))


@functools.lru_cache(maxsize=256)  # halves of halves have few lengths
def _powers(points: int, bits: int) -> tuple[arb, ...]:
    x = arb(fmpq(points + 1, 2))
    return tuple(arb(0) if k % 2 else 2 * x.bernoulli_poly(k + 1) / (k + 1) for k in range(_ORDER + 1))


def _power_sums(points: int) -> tuple[arb, ...]:
    return _powers(points, flint.ctx.prec)


def _series(formula: Formula, setting: Setting, support: range, block: _Block, tau: arb_series) -> arb_series:
    """The power series of a formula around a staleness, with its cases decided over the block."""

    def of(part: Formula) -> arb_series:
        return _series(part, setting, support, block, tau)

    def bounds(part: Formula) -> Range:
        return range_of(part, setting, block.first, block.last)

    name, *parts = formula
    if name == "tau":
        return tau
    if name == "number":
        return arb_series([arb(as_fmpq(parts[0]))])
    if name == "F":  # equal probabilities: F is a line on the support
        start, slope = setting.distribution(support[0]), setting.one_law.mass(support[0])
        return (tau - support[0]) * ball(slope) + ball(start)
    if name in ("pi", "parameter", "mean"):
        return arb_series([ball(compiled(formula, setting)(block.first))])
    if name in ("sum", "product"):
        total = of(parts[0])
        for part in parts[1:]:
            total = total + of(part) if name == "sum" else total * of(part)
        return total
    if name in ("min", "max"):
        best, *others = parts
        for other in others:
            less = compare(("at_most", best, other), bounds)
            if less is None:
                raise Undecided("which of two is less on a block")
            best = best if less == (name == "min") else other
        return of(best)
    if name == "where":
        holds = compare(parts[0], bounds)
        if holds is None:
            raise Undecided("a case that changes on a block")
        return of(parts[1] if holds else parts[2])
    if name == "abs":
        inside = bounds(parts[0])
        if inside.is_nonnegative() or inside.is_nonpositive():
            return of(parts[0]) if inside.is_nonnegative() else -of(parts[0])
    if name == "power":
        return _power(parts[0], parts[1], of, bounds)
    if name in ("exp", "sin", "cos", "atan"):
        return getattr(of(parts[0]), name)()
    if name in ("log", "factorial") and bounds(parts[0]).is_positive():
        return of(parts[0]).log() if name == "log" else (of(parts[0]) + 1).gamma()
    raise Undecided(f"no series of {name} on a block")


def _power(base: Formula, exponent: Formula, of: Callable, bounds: Callable) -> arb_series:
    if exponent[0] == "number" and exponent[1].denominator == 1:
        to, inside = int(exponent[1]), bounds(base)
        if to < 0 and not inside.is_zero_free():
            raise Undecided("whether a divisor is zero on a block")
        result, square, left = arb_series([arb(1)]), of(base), abs(to)
        while left:
            result, square, left = (result * square if left % 2 else result), square * square, left // 2
        return result if to >= 0 else 1 / result
    if not bounds(base).is_positive():
        raise Undecided("a power of what may not be positive on a block")
    return (of(exponent) * of(base).log()).exp()

"""The choice of an arm's learning rate in a cell: successive halving on the tuning seeds.

It is a pure function of the runs that are done: it says what is missing, or what the rate is. So it can be stopped and
goes on the same way, and a report finds the rate again.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.study import design, exploratory
from benchmarks.study.runs.cache import Key, key
from benchmarks.study.runs.outcomes import Numbers


class Tuned(NamedTuple):
    """Where tuning stands.

    Attributes:
      missing: the runs that it needs next; () where the rate is chosen.
      rate: the chosen one, NaN until then.
      at_edge: whether no larger or no smaller rate was tried than the best, since the extensions were used up.
    """

    missing: tuple[Key, ...]
    rate: float = math.nan
    at_edge: bool = False


def middle_rate(cell: design.Cell, arm: str) -> float:
    """The middle of the rates that tuning begins with."""
    rate = design.PROBLEMS[cell.problem].rates[cell.workers]
    rate *= exploratory.CHANGES[cell.change].rate if cell.change else 1.0
    return rate * max(1.0, design.INVERSE_PER_WORKER * cell.workers) if arm == "inverse" else rate


def tuned(cell: design.Cell, arm: str, runs: Mapping[Key, Numbers]) -> Tuned:
    """Where the tuning of an arm stands.

    First all rates of an octave's distance on the first seeds, with further ones while the best is at the edge; then
    the best and its neighbours, half octaves between them, on more seeds; then the two best on all.

    Args:
      cell: where.
      arm: of ``design.ARMS``.
      runs: those of the cell that are done.

    Returns:
      The runs that are missing, or the chosen rate.
    """
    middle = middle_rate(cell, arm)
    octaves = sorted(round(math.log2(share)) for share in design.FIRST_RATES)
    at_edge = False
    for extensions in range(design.MOST_EXTENSIONS + 1):
        rates = [middle * 2.0**octave for octave in octaves]
        if missing := _missing(arm, rates, design.FIRST_SEEDS, runs):
            return Tuned(missing)
        best = _best(arm, rates, design.FIRST_SEEDS, runs)[0]
        at_edge = best in (rates[0], rates[-1])
        if not at_edge or extensions == design.MOST_EXTENSIONS:
            break
        octaves = [octaves[0] - 1, *octaves] if best == rates[0] else [*octaves, octaves[-1] + 1]
    second = [best * share for share in design.SECOND_RATES]
    if missing := _missing(arm, second, design.SECOND_SEEDS, runs):
        return Tuned(missing)
    last = _best(arm, second, design.SECOND_SEEDS, runs)[: design.LAST_RATES]
    if missing := _missing(arm, last, design.LAST_SEEDS, runs):
        return Tuned(missing)
    return Tuned((), key(arm, _best(arm, last, design.LAST_SEEDS, runs)[0], 0).rate, at_edge)


def target_loss(runs: Mapping[Key, Numbers], rate: float) -> float:
    """The target of a cell, from the constant step's runs on the tuning seeds at its own rate."""
    finals = [runs[key(design.BASELINE, rate, seed)].final for seed in design.LAST_SEEDS]
    return design.TARGET * statistics.median(finals)


def range_of_rates(cell: design.Cell, arm: str, runs: Mapping[Key, Numbers]) -> float:
    """The width, in octaves, of the range of rates whose loss is at most ``design.WIDTH`` times the best.

    The loss is the geometric mean over the first tuning seeds, and between two rates that were tried its logarithm is
    linear in that of the rate. NaN while tuning is not done.
    """
    if math.isnan(tuned(cell, arm, runs).rate):
        return math.nan
    by_rate: dict[float, dict[int, float]] = {}
    for one, numbers in runs.items():
        if one.arm == arm and one.seed in design.FIRST_SEEDS:
            by_rate.setdefault(one.rate, {})[one.seed] = min(numbers.final, design.LOSS_CAP * numbers.initial)
    points = sorted(
        (math.log2(rate), statistics.fmean(map(math.log, losses.values())))
        for rate, losses in by_rate.items()
        if len(losses) == len(design.FIRST_SEEDS)
    )
    best = min(range(len(points)), key=lambda index: points[index][1])
    limit = points[best][1] + math.log(design.WIDTH)
    return _way(points[best:], limit) + _way([(-x, y) for x, y in points[best::-1]], limit)


def _way(points: list[tuple[float, float]], limit: float) -> float:
    """How far from the first point the line through all stays at or below the limit."""
    for (x, y), (next_x, next_y) in itertools.pairwise(points):
        if next_y > limit:
            return x - points[0][0] + (next_x - x) * (limit - y) / (next_y - y)
    return points[-1][0] - points[0][0]


def _missing(arm: str, rates: list[float], seeds: tuple[int, ...], runs: Mapping[Key, Numbers]) -> tuple[Key, ...]:
    return tuple(one for rate in rates for seed in seeds if (one := key(arm, rate, seed)) not in runs)


def _best(arm: str, rates: list[float], seeds: tuple[int, ...], runs: Mapping[Key, Numbers]) -> list[float]:
    """The rates, the best first: by how many runs diverged, then by the median final loss."""

    def rank(rate: float) -> tuple[int, float, float]:
        finals = [runs[key(arm, rate, seed)].final for seed in seeds]
        return sum(map(math.isinf, finals)), statistics.median(finals), rate

    return sorted(rates, key=rank)

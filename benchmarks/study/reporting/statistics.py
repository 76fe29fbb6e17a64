"""How the runs are judged: paired by seed, averaged over cells, with intervals, and Holm's correction over families."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from benchmarks.study import design
from benchmarks.study.plan import judged_keys
from benchmarks.study.runs import clusters
from benchmarks.study.runs.cache import Key
from benchmarks.study.runs.outcomes import Numbers
from benchmarks.study.tuning import target_loss, tuned
from jasgd.experiments.paired_tests import holm, paired_test, signed_rank_p

Measure = Callable[["Judged", Numbers], float]


@dataclasses.dataclass(frozen=True)
class Judged:
    """The judged runs of a cell, as far as they are there.

    Attributes:
      cell: which.
      target: its target loss.
      rates: the learning rate of each arm.
      at_edge: arms whose rate was at the edge of what was tried.
      runs: by stage and arm, the numbers of each judging seed; only where all seeds are there.
      updates: of a run.
    """

    cell: design.Cell
    target: float
    rates: dict[str, float]
    at_edge: tuple[str, ...]
    runs: dict[str, dict[str, list[Numbers]]]
    updates: int


def judged(cell: design.Cell, arms: Sequence[str], stages: Sequence[str], runs: Mapping[Key, Numbers]) -> Judged | None:
    """The judged runs of a cell; None where the constant step is not tuned yet."""
    found = {arm: tuned(cell, arm, runs) for arm in arms}
    rates = {arm: one.rate for arm, one in found.items() if not math.isnan(one.rate)}
    if design.BASELINE not in rates:
        return None
    complete = {
        stage: {
            arm: [runs[one] for one in keys]
            for arm, keys in judged_keys(cell, stage, arms, runs).items()
            if all(one in runs for one in keys)
        }
        for stage in stages
    }
    at_edge = tuple(arm for arm, one in found.items() if one.at_edge and arm in rates)
    target = target_loss(runs, rates[design.BASELINE])
    return Judged(cell, target, rates, at_edge, complete, clusters.updates_of(cell))


# What is measured of a run, the lower the better; log, so that means over cells are of ratios.


def log_final(of: Judged, one: Numbers) -> float:
    """Log of the final loss, which counts as at most ``design.LOSS_CAP`` times the initial one."""
    return math.log(min(one.final, design.LOSS_CAP * one.initial))


def log_updates(of: Judged, one: Numbers) -> float:
    """Log of the updates to the cell's target, which count as the run's length plus one where it was not reached."""
    return math.log(min(one.target, of.updates + 1.0))


def log_best(of: Judged, one: Numbers) -> float:
    """Log of the best level."""
    return math.log(min(one.best, design.LOSS_CAP * one.initial))


def runs_at(cells: Sequence[Judged], problem: str, workers: int, stage: str) -> dict[str, list[tuple[Judged, Numbers]]]:
    """By arm the runs of a stage, each with its cell, over all speeds; none where there are none."""
    place = [of for of in cells if (of.cell.problem, of.cell.workers) == (problem, workers)]
    return {arm: [(of, run) for of in place for run in of.runs[stage].get(arm, ())] for arm in design.ARMS}


def failed(of: Judged, one: Numbers) -> float:
    """1 where the run failed, else 0."""
    start = min(one.initial, design.GUESSING)
    return float(not start - one.final >= design.FAILED * (start - of.target))


def first_failing_rate(of: Judged, arm: str, runs: Mapping[Key, Numbers]) -> tuple[float, bool]:
    """The least learning rate at which a run on the first tuning seeds failed, or the largest that was tried.

    Returns:
      The rate, in octaves above the constant step's best, and whether a run failed at it.
    """
    of_first = {one: numbers for one, numbers in runs.items() if one.arm == arm and one.seed in design.FIRST_SEEDS}
    least = of.rates[arm]  # below its best rate an arm fails for the lack of steps, which is another matter
    above = [(one.rate, failed(of, of_first[one]) > 0) for one in sorted(of_first) if one.rate >= least]
    rate, lost = next((one for one in above if one[1]), above[-1])
    return math.log2(rate / of.rates[design.BASELINE]), lost


def paired(of: Judged, stage: str, arm: str, other: str, measure: Measure, other_stage: str = "") -> np.ndarray | None:
    """The differences of two arms, one a judging seed; None where the runs are not all there."""
    ones, others = of.runs[stage].get(arm), of.runs[other_stage or stage].get(other)
    if ones is None or others is None:
        return None
    return np.array([measure(of, a) - measure(of, b) for a, b in zip(ones, others, strict=True)])


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two arms over cells.

    Attributes:
      cells: whose runs are there.
      size: the mean over seeds of the differences that are averaged over cells, by Hodges and Lehmann.
      low: lower end of its 95 % interval.
      high: upper end.
      p: of the signed-rank test over seeds.
      corrected: by Holm over the family; NaN before that.
    """

    cells: int
    size: float
    low: float
    high: float
    p: float
    corrected: float = math.nan

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side."""
        return self.low > 0 or self.high < 0


def compared(differences: Iterable[np.ndarray | None]) -> Comparison | None:
    """The comparison over cells of :func:`paired`; None where there is no complete one."""
    there = [one for one in differences if one is not None]
    if not there:
        return None
    by_seed = np.mean(there, axis=0)
    # Differences of zero: the sizes are in the measure's unit, which is log or a share.
    values = dict(enumerate(by_seed.tolist()))
    test = paired_test(values, dict.fromkeys(values, 0.0))
    return Comparison(len(there), test.difference, test.low, test.high, signed_rank_p(by_seed))


def corrected(family: Mapping[object, Comparison | None]) -> dict[object, Comparison]:
    """The comparisons of a family that are there, with Holm's correction for as many as the whole family has."""
    there = {name: one for name, one in family.items() if one is not None}
    # Those that are missing count as hypotheses with p = 1, so that what comes later takes nothing back.
    p_values = holm([one.p for one in there.values()] + [1.0] * (len(family) - len(there)))
    return {
        name: dataclasses.replace(one, corrected=p)
        for (name, one), p in zip(there.items(), p_values[: len(there)], strict=True)
    }


NOT_INFERIOR, WIDE = "not inferior", "not inferior, wide"


def not_inferior(of: Judged, arm: str) -> tuple[str, Comparison] | None:
    """Whether an arm is not inferior to the constant step in a cell: a word for it, and the comparison."""
    result = compared([paired(of, design.OWN, arm, design.BASELINE, log_final)])
    if result is None:
        return None
    limit = math.log(design.INFERIOR)
    if result.low > limit:
        return "inferior", result
    wide = max(result.high - result.size, result.size - result.low) > design.UNDECIDED
    if result.high <= limit:
        return (WIDE if wide else NOT_INFERIOR), result
    return ("undecided" if wide else "not shown"), result

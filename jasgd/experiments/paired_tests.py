"""Two arms held against each other by pairs of equal seed: the seeds won, an exact p-value, and the size.

The p-value is that of Wilcoxon's signed-rank test given the sizes of the differences: under the null hypothesis each
pair's difference has either sign with probability 1/2. It is exact with ties as well.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np

LEVEL = 0.05  # of the chance to claim a difference where there is none
FEWEST_PAIRS = 6  # with which the test can reach that level: the smallest p-value of n pairs is 2/2^n
EFFECT = 1.2  # standard deviations of the paired difference for which the power is stated
RESAMPLES = 2000  # of the bootstrap


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """What the pairs of two arms say.

    Attributes:
      pairs: seeds with which both arms have a value.
      left_out: seeds with which one of the two has none, since its run did not end.
      lower: pairs in which the first arm has the lower value.
      higher: pairs in which it has the higher one; the rest are equal.
      p: the exact two-sided p-value of the signed-rank test; 1 without a difference.
      median: of the first arm's values in these pairs.
      other_median: of the other arm's.
      infinite: values of the first arm that are infinite, as of runs that diverged.
      other_infinite: those of the other arm.
      relative: whether the difference is relative to the other arm's value, which needs positive values; else it is
        in their unit.
      difference: the typical difference, by the Hodges-Lehmann estimator, which is on the side that the test is on;
        -0.3 is 30% lower where it is relative. NaN without pairs.
      low: lower end of its 95% bootstrap interval; NaN where an infinite value or fewer than two pairs prevent it.
      high: the upper end.
    """

    pairs: int
    left_out: int
    lower: int
    higher: int
    p: float
    median: float
    other_median: float
    infinite: int
    other_infinite: int
    relative: bool
    difference: float
    low: float
    high: float

    @property
    def side(self) -> int:
        """-1 where the first arm tends to be lower, 1 where it tends to be higher, 0 for neither."""
        return 0 if math.isnan(self.difference) else int(np.sign(self.difference))


def paired_test(values: Mapping[int, float], others: Mapping[int, float]) -> PairedTest:
    """Holds one arm against another, pair by pair.

    Args:
      values: the first arm's value of each seed, the lower the better; infinity for a run that diverged, which loses
        its pair against a finite one, and NaN for one without a value, whose pair is left out.
      others: those of the other arm; a seed that only one has is left out.

    Returns:
      The numbers.

    Example:
      >>> test = paired_test({s: 0.8 for s in range(8)}, {s: 1.0 + 0.01 * s for s in range(8)})
      >>> test.lower, test.pairs, test.p, round(test.difference, 2)
      (8, 8, 0.0078125, -0.23)
    """
    seeds = sorted(values.keys() | others.keys())
    both = [(float(values.get(seed, math.nan)), float(others.get(seed, math.nan))) for seed in seeds]
    kept = np.array([pair for pair in both if not any(map(math.isnan, pair))]).reshape(-1, 2)
    finite = kept[np.isfinite(kept)]
    relative = bool((finite > 0).all())
    shown = np.log(kept) if relative else kept
    with np.errstate(invalid="ignore"):
        differences = np.where(kept[:, 0] == kept[:, 1], 0.0, shown[:, 0] - shown[:, 1])
    size, low, high = _size(differences)
    size, low, high = (_change(x) if relative else x for x in (size, low, high))
    infinite, other_infinite = np.isinf(kept).sum(axis=0).tolist()
    return PairedTest(
        pairs=len(kept),
        left_out=len(both) - len(kept),
        lower=int((differences < 0).sum()),
        higher=int((differences > 0).sum()),
        p=signed_rank_p(differences),
        median=float(np.median(kept[:, 0])) if len(kept) else math.nan,
        other_median=float(np.median(kept[:, 1])) if len(kept) else math.nan,
        infinite=infinite,
        other_infinite=other_infinite,
        relative=relative,
        difference=size,
        low=low,
        high=high,
    )


def signed_rank_p(differences: Sequence[float] | np.ndarray) -> float:
    """The exact two-sided p-value of Wilcoxon's signed-rank test.

    Zeros are left out, equal sizes share their mean rank, and the distribution over all signs is that of these ranks.

    Args:
      differences: of each pair; infinite ones have the highest rank.

    Returns:
      The probability, under random signs, of a sum of ranks at least as far from its mean; 1 without any difference.

    Example:
      >>> signed_rank_p([-1.0, -2.0, -3.0, -4.0, -5.0]), signed_rank_p([1.0, -1.0])
      (0.0625, 1.0)
    """
    from scipy import stats  # which takes a while to import

    present = np.asarray(differences, dtype=np.float64)
    present = present[present != 0]
    twice = np.rint(2 * stats.rankdata(np.abs(present))).astype(int)  # mean ranks are multiples of a half
    probability = _distribution(tuple(sorted(twice.tolist())))
    of_positive = int(twice[present > 0].sum())
    least = min(of_positive, int(twice.sum()) - of_positive)
    return min(1.0, 2 * float(probability[: least + 1].sum()))


@functools.lru_cache(maxsize=64)
def _distribution(ranks: tuple[int, ...]) -> np.ndarray:
    """The probability of each sum of the ranks with a positive sign, from 0 on."""
    probability = np.ones(1)
    for rank in ranks:
        padding = np.zeros(rank)
        probability = (np.concatenate([probability, padding]) + np.concatenate([padding, probability])) / 2
    return probability


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number by Holm's step-down method (Scandinavian Journal of Statistics 6, 1979).

    Args:
      p_values: one for each hypothesis.

    Returns:
      The corrected ones in the same order: to claim what is at most 0.05 makes one wrong claim or more with a
      probability of at most 0.05.

    Example:
      >>> holm([0.03, 0.01, 0.04])
      [0.06, 0.03, 0.06]
    """
    corrected, least = [1.0] * len(p_values), 0.0
    for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - step) * p_values[index]))
        corrected[index] = least
    return corrected


@functools.lru_cache(maxsize=64)
def power(pairs: int, *, level: float = LEVEL, effect: float = EFFECT) -> float:
    """How likely the test claims a difference that is there.

    Args:
      pairs: number of pairs, ≥ 0.
      level: of the test, for instance 0.05 over the number of rules, which is the first level of Holm's method.
      effect: mean of the paired difference over its standard deviation; the differences are normal.

    Returns:
      The probability of p ≤ level in the direction of the difference, of 20,000 simulations with a fixed seed.

    Example:
      >>> power(5), power(10) > 0.8
      (0.0, True)
    """
    probability = np.cumsum(_distribution(tuple(range(1, pairs + 1))))
    critical = int(np.searchsorted(2 * probability, level * (1 + 1e-12), side="right")) - 1  # the largest sum to claim
    if critical < 0:
        return 0.0
    draws = np.random.default_rng(0).normal(effect, size=(20_000, pairs))
    ranks = np.argsort(np.argsort(np.abs(draws), axis=1), axis=1) + 1
    return float(((ranks * (draws < 0)).sum(axis=1) <= critical).mean())


def _size(differences: np.ndarray) -> tuple[float, float, float]:
    """The Hodges-Lehmann estimate, and the ends of its bootstrap interval."""
    if not len(differences):
        return math.nan, math.nan, math.nan
    estimate = float(_pseudo_median(differences))
    if len(differences) < 2 or not np.isfinite(differences).all():
        return estimate, math.nan, math.nan
    if np.ptp(differences) == 0:
        return estimate, estimate, estimate
    from scipy import stats

    interval = stats.bootstrap(
        (differences,),
        _pseudo_median,
        n_resamples=RESAMPLES,
        batch=max(1, 10**7 // len(differences) ** 2),  # means of two held at once
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return estimate, float(interval.low), float(interval.high)


def _change(log_ratio: float) -> float:
    return math.inf if log_ratio > 700 else math.expm1(log_ratio)  # beyond which it overflows


def _pseudo_median(differences: np.ndarray, axis: int = -1) -> np.ndarray:
    """The median of the means of all two differences, one and itself included; Hodges and Lehmann's estimator."""
    moved = np.moveaxis(np.asarray(differences), axis, -1)
    first, second = np.triu_indices(moved.shape[-1])
    with np.errstate(invalid="ignore"):
        means = (moved[..., first] + moved[..., second]) / 2
    return np.median(np.where(np.isnan(means), 0.0, means), axis=-1)  # NaN: of two infinities of different signs

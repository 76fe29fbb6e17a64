"""What a cell still needs: tuning of all arms, then the runs that are judged; a function of the runs that are done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.study import design
from benchmarks.study.runs.cache import Key, key
from benchmarks.study.runs.outcomes import Numbers
from benchmarks.study.tuning import target_loss, tuned

STAGES = ("own", "control", "same", "twice")  # tuning belongs to the first


class Wanted(NamedTuple):
    """Runs that are missing, all of one kind.

    Attributes:
      keys: which.
      target: the cell's target, NaN while tuning.
      judged: whether their accuracy and curve are kept.
    """

    keys: tuple[Key, ...]
    target: float = math.nan
    judged: bool = False


def own_rates(cell: design.Cell, arms: Sequence[str], runs: Mapping[Key, Numbers]) -> dict[str, float]:
    """The learning rate of each arm whose tuning is done."""
    rates = {arm: tuned(cell, arm, runs).rate for arm in arms}
    return {arm: rate for arm, rate in rates.items() if not math.isnan(rate)}


def judged_keys(
    cell: design.Cell, stage: str, arms: Sequence[str], runs: Mapping[Key, Numbers]
) -> dict[str, list[Key]]:
    """The runs of a stage, by arm, in the order of the judging seeds; what tuning has not settled yet is left out.

    Args:
      cell: where.
      stage: of ``STAGES``.
      arms: which.
      runs: those that are done.

    Returns:
      The keys; a control's under ``constant@`` and the name of its rule, where that one's run is done.
    """
    rates = own_rates(cell, arms, runs)
    if stage == design.OWN:
        return {arm: [key(arm, rate, seed) for seed in design.JUDGING_SEEDS] for arm, rate in rates.items()}
    if stage == design.CONTROL:
        controls: dict[str, list[Key]] = {}
        for arm, rate in rates.items():
            own = [runs.get(key(arm, rate, seed)) for seed in design.JUDGING_SEEDS]
            if arm != design.BASELINE and all(one is not None for one in own):
                label = f"{design.BASELINE}@{arm}"
                controls[label] = [
                    key(label, rate * one.mean_factor, seed)
                    for one, seed in zip(own, design.JUDGING_SEEDS, strict=True)
                    if one is not None
                ]
        return controls
    if design.BASELINE not in rates:
        return {}
    rate = rates[design.BASELINE] * (design.TWICE_FACTOR if stage == design.TWICE else 1.0)
    return {arm: [key(arm, rate, seed) for seed in design.JUDGING_SEEDS] for arm in arms}


def wanted(cell: design.Cell, stage: str, arms: Sequence[str], runs: Mapping[Key, Numbers]) -> Wanted:
    """The runs that a stage of a cell needs next; none where it is done.

    Args:
      cell: where.
      stage: of ``STAGES``; an earlier one must be done.
      arms: the constant step first.
      runs: those that are done.

    Returns:
      The runs.
    """
    for arm in arms:
        if missing := tuned(cell, arm, runs).missing:
            return Wanted(missing)
    target = target_loss(runs, own_rates(cell, [design.BASELINE], runs)[design.BASELINE])
    keys = [one for of_arm in judged_keys(cell, stage, arms, runs).values() for one in of_arm if one not in runs]
    return Wanted(tuple(dict.fromkeys(keys)), target, judged=stage == design.OWN)

"""Which step sizes a run took, and whether it was plain SGD: read off its replayed steps, where there is a replay."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from jasgd.showing import Shown
from theory.auditing.recorded_run import Commits, Recorded
from theory.auditing.remarks import Remark
from theory.auditing.replayed_steps import Replayed
from theory.decisions.verdict import Verdict

NAME = "plain SGD"
FORM = "x ← x − ηC(τ)g"


@dataclasses.dataclass(frozen=True, repr=False)
class StepSizes(Shown):
    """The step sizes α_k of a run, and how they are known.

    Attributes:
      values: α_k of each commit, in [x]²/[f]; None where they are not known.
      learning_rate: η, where α_k = ηC_k; None where it is not known, or not one.
      is_sgd: False where the run was not plain SGD, which the theorems are about.
      in_doubt: whether step sizes may have looked at the noise of their own gradients.
      remarks: on how they are known.
    """

    values: np.ndarray | None
    learning_rate: float | None
    is_sgd: bool
    in_doubt: bool
    remarks: tuple[Remark, ...]

    def _facts(self) -> dict[str, Any]:
        return vars(self)


def of_run(recorded: Recorded, commits: Commits, seen: Replayed | None, given: float | None) -> StepSizes:
    """Finds the step sizes of a run.

    Args:
      recorded: the run; its optimizer is believed only where nothing was replayed.
      commits: of its execution.
      seen: what a replay showed of each commit; None where there is none.
      given: η as it was given; None where it was not.

    Returns:
      The step sizes.
    """
    if seen is None:
        return _without_replay(recorded, commits, given)
    total, rate = len(seen.off), seen.learning_rate(commits.factor)
    if not seen.seen.any() or not math.isfinite(rate):
        text = "not known: the replayed steps are so short that rounding hides them"
        return _given(commits, given, Remark(NAME, Verdict.UNKNOWN, text))
    other = (seen.off > seen.allowed) | (seen.step_size * seen.gradient < -seen.allowed)
    left = _left_over(seen, rate * commits.factor)
    if other.any():
        text = (
            f"no: {int(other.sum()):,} of {total:,} replayed steps are not along their gradients, and the best "
            f"−ηC(τ)g leaves {left:.2g} of the steps' length, as momentum, Adam or weight decay do; the theorems "
            f"are about {FORM}"
        )
        return StepSizes(None, None, False, False, (Remark(NAME, Verdict.REFUTED, text, {"left_over": left}),))
    numbers = {"learning_rate": rate, "left_over": left}
    if not seen.fits(rate * commits.factor):
        lowest, highest = _range(seen, commits.factor)
        text = (
            f"each replayed step is along its gradient, but η lies between {lowest:.3g} and {highest:.3g}: a schedule, "
            f"which Theorems E and H allow, or clipping by the gradient's own length, which they do not"
        )
        remark = Remark(NAME, Verdict.UNKNOWN, text, {"lowest": lowest, "highest": highest, "left_over": left})
        return StepSizes(seen.step_size.clip(min=0), None, True, True, (remark,))
    text = (
        f"yes: each of the {total:,} replayed steps is −ηC(τ)g with η = {rate:.6g}; what is left over is {left:.1g} of "
        f"the steps' length, as rounding explains"
    )
    remarks = [Remark(NAME, Verdict.PROVED, text, numbers)]
    if given is not None and seen.fits(given * commits.factor):
        rate = given  # as it was written, which a fit can only come near
    elif given is not None:
        text = f"η = {given:g} was given, but the replayed steps have {rate:.6g}, which is taken here"
        remarks.append(Remark("learning rate", Verdict.REFUTED, text, {"given": given, "learning_rate": rate}))
    return StepSizes(rate * commits.factor, rate, True, False, tuple(remarks))


def _without_replay(recorded: Recorded, commits: Commits, given: float | None) -> StepSizes:
    if recorded.optimizer not in (None, "sgd"):
        text = f"no, as the run was given: {recorded.optimizer}; the theorems are about {FORM}"
        return StepSizes(None, None, False, False, (Remark(NAME, Verdict.REFUTED, text),))
    if recorded.optimizer is None:
        remark = Remark(NAME, None, f"not known, as no step was replayed: the theorems are about {FORM}")
    else:
        remark = Remark(NAME, Verdict.UNKNOWN, "as the run was given; no step was replayed to see it")
    return _given(commits, given, remark)


def _given(commits: Commits, given: float | None, remark: Remark) -> StepSizes:
    known = given is not None and bool(np.isfinite(commits.factor).all())
    return StepSizes(given * commits.factor if known else None, given, True, False, (remark,))  # type: ignore[operator]


def _left_over(seen: Replayed, step_sizes: np.ndarray) -> float:
    """The share of the steps' length that these step sizes leave over."""
    along = (seen.step_size - step_sizes) * seen.gradient  # at right angles to what is off the gradient
    return float(np.sqrt(np.sum(seen.off**2 + along**2) / np.sum(seen.length**2)))


def _range(seen: Replayed, factor: np.ndarray) -> tuple[float, float]:
    told = seen.seen & (factor > 0)
    rates = seen.step_size[told] / factor[told]
    return float(rates.min()), float(rates.max())

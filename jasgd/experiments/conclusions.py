"""Conclusions from the runs of a comparison: which rule is ahead of the constant step, and how sure that is.

Rules are judged by pairs of equal seed. *Ahead* is ahead of the constant step and of the control, a constant step of
the mean length that the rule took: both must hold (an intersection-union test), so the larger of the two p-values
counts, and nothing is corrected between them. Over the rules it is Holm's method that corrects.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jasgd.experiments.arms import BASELINE, Arm
from jasgd.experiments.paired_tests import EFFECT, FEWEST_PAIRS, LEVEL, PairedTest, holm, paired_test, power
from jasgd.showing import counted


class Verdict(enum.StrEnum):
    """What is said of a rule; each member equals its text."""

    AHEAD = "ahead"  # of the constant step and of the control
    BEHIND = "behind"  # the constant step
    UNCLEAR = "no clear difference"
    UNKNOWN = "cannot be compared"  # as there is no pair of runs that ended


@dataclasses.dataclass(frozen=True)
class Conclusion:
    """How one rule did.

    Attributes:
      arm: label of the rule's arm.
      verdict: what is claimed.
      constant: the rule against the constant step.
      control: the rule against its control; None where that was not run.
      p: the p-value that a claim needs: for *behind* that against the constant step; for *ahead* the larger of the
        two, and 1 where the control was not run or lies on the other side.
      corrected_p: the same by Holm's method over all rules.
      rules: their number.
    """

    arm: str
    verdict: Verdict
    constant: PairedTest
    control: PairedTest | None
    p: float
    corrected_p: float
    rules: int

    def record(self) -> dict[str, Any]:
        """The numbers, as values that :func:`jasgd.record.trees.to_json` takes."""
        return dataclasses.asdict(self) | {"verdict": str(self.verdict)}


def conclude(values: Mapping[str, Mapping[int, float]], arms: Sequence[Arm]) -> list[Conclusion]:
    """Judges every rule that was run beside the constant step.

    Args:
      values: for each arm's label and seed the number that is compared, the lower the better, usually the final
        training loss: infinity for a run that diverged, NaN for one that has none.
      arms: the arms; controls are not judged.

    Returns:
      A conclusion per rule, in their order; none without the constant step.

    Example:
      >>> arms = [Arm.parse(text) for text in ("constant", "tail", "constant@tail")]
      >>> losses = {"constant": [3, 4, 5, 6, 7, 8], "tail": [1, 2, 3, 4, 5, 6.5], "constant@tail": [3, 3, 4, 6, 6, 8]}
      >>> [rule] = conclude({arm: dict(enumerate(of_seeds)) for arm, of_seeds in losses.items()}, arms)
      >>> str(rule.verdict), rule.p, rule.constant.lower
      ('ahead', 0.03125, 6)
    """
    if not values.get(BASELINE):
        return []
    controls = {arm.mean_of: arm.label for arm in arms if arm.mean_of is not None}
    tests: dict[str, tuple[PairedTest, PairedTest | None]] = {}
    for arm in arms:
        if arm.mean_of is None and arm.label != BASELINE and values.get(arm.label):
            control = values.get(controls.get(arm.label, ""))
            own = values[arm.label]
            tests[arm.label] = paired_test(own, values[BASELINE]), paired_test(own, control) if control else None
    p_values = [_needed_p(*pair) for pair in tests.values()]
    corrected = holm(p_values)
    conclusions = []
    for (label, (constant, control)), p, after in zip(tests.items(), p_values, corrected, strict=True):
        verdict = Verdict.UNCLEAR
        if not constant.pairs:
            verdict = Verdict.UNKNOWN
        elif after <= LEVEL:
            verdict = Verdict.AHEAD if constant.side < 0 else Verdict.BEHIND
        conclusions.append(Conclusion(label, verdict, constant, control, p, after, len(tests)))
    return conclusions


def _needed_p(constant: PairedTest, control: PairedTest | None) -> float:
    if constant.side >= 0:
        return constant.p
    return max(constant.p, control.p) if control is not None and control.side < 0 else 1.0


def sentences(
    conclusions: Sequence[Conclusion],
    *,
    shared: str = "",
    what: str = "final training loss",
    lost: str = "diverged",
    factors: Mapping[str, tuple[float, float]] | None = None,
    staleness: Mapping[str, Mapping[int, float]] | None = None,
) -> list[str]:
    """The conclusions in words, then what pairs share, and the power of the design.

    Args:
      conclusions: of :func:`conclude`.
      shared: what the two runs of a pair share, in a sentence; left out where empty.
      what: is compared, with its unit.
      lost: what a run did whose value is infinite.
      factors: the realised E[C] of rules over the whole run and after its start, by label of the arm.
      staleness: the mean τ of each run, by label of the arm and seed, where the runs of a pair can differ in it.

    Returns:
      A sentence or two per rule, and two about the design; none without conclusions.

    Example:
      >>> arms = [Arm.parse(text) for text in ("constant", "tail")]
      >>> losses = {"constant": {0: 1.0, 1: 2.0}, "tail": {0: 0.9, 1: 2.2}}
      >>> sentence = sentences(conclude(losses, arms))[0]
      >>> sentence.partition(":")[0]
      'tail shows no clear difference from constant'
      >>> sentence.partition(". ")[2]
      'No difference can be claimed with 2 seeds: with fewer than 6 no signed-rank test reaches p ≤ 0.05.'
    """
    if not conclusions:
        return []
    lines = []
    for one in conclusions:
        facts = [_sentence(one, what, (factors or {}).get(one.arm)), *_remarks(one, lost), *_shift(one, staleness)]
        lines.append(". ".join(facts) + ".")
    pairs, rules = min(one.constant.pairs for one in conclusions), len(conclusions)
    lines += [shared] if shared else []
    if pairs >= FEWEST_PAIRS:
        holms = f" after Holm's correction for {rules} rules" if rules > 1 else ""
        least = power(pairs, level=LEVEL / rules)
        lines.append(
            f"Power: with {counted(pairs, 'seed')} such a test finds a difference of {EFFECT} standard deviations of "
            f"the pairs with a probability of {least:.0%}{holms}; with more seeds it finds smaller ones."
        )
    return lines


def in_brief(one: Conclusion) -> str:
    """A conclusion in one plain sentence; :func:`sentences` has all of it.

    Args:
      one: the conclusion.

    Returns:
      The verdict, how many seeds were won by how much, and the p-value after correction.

    Example:
      >>> arms = [Arm.parse(text) for text in ("constant", "tail")]
      >>> losses = {"constant": dict(enumerate([3, 4, 5, 6, 7, 8])), "tail": dict(enumerate([6, 8, 10, 12, 14, 16]))}
      >>> in_brief(conclude(losses, arms)[0]).partition("tail is behind: its ")[2]
      'final training loss is higher in 6 of 6 seeds, typically by 100%, than that of the constant step (p = 0.031).'
    """
    if one.verdict is Verdict.UNKNOWN:
        return f"{one.arm} and the constant step cannot be compared, as not all of their runs ended."
    head = {
        Verdict.AHEAD: "is ahead",
        Verdict.BEHIND: "is behind",
        Verdict.UNCLEAR: "shows no clear difference",
    }[one.verdict]
    text = f"{one.arm} {head}: its final training loss is {_won(one.constant)} of the constant step"
    if one.control is not None and one.control.pairs and one.verdict is not Verdict.BEHIND:
        text += f", and {_won(one.control)} of a constant step of the same mean"
    p = one.corrected_p if one.verdict is not Verdict.UNCLEAR else one.constant.p
    of = f" after correction for {one.rules} rules" if one.verdict is not Verdict.UNCLEAR and one.rules > 1 else ""
    return f"{text} (p = {p:.2g}{of})."


def _won(test: PairedTest) -> str:
    """How a rule did in one test, as in "lower in 9 of 10 seeds, typically by 12%, than that"."""
    if test.side == 0:
        return f"equal in {counted(test.pairs, 'seed')} to that"
    side, count = ("higher", test.higher) if test.side > 0 else ("lower", test.lower)
    shown = _shown(test.difference, test.relative).lstrip("+-")
    size = f", typically by {shown}," if math.isfinite(test.difference) else ""
    return f"{side} in {count} of {counted(test.pairs, 'seed')}{size} than that"


def _shift(one: Conclusion, staleness: Mapping[str, Mapping[int, float]] | None) -> list[str]:
    """Of a claim, whether the staleness differed as well: a rule changes what a commit costs, hence who meets whom."""
    if staleness is None or one.verdict not in (Verdict.AHEAD, Verdict.BEHIND):
        return []
    test = paired_test(staleness[one.arm], staleness[BASELINE])
    if test.p > LEVEL:
        return []
    means = f"mean τ {test.median:.2f} against {test.other_median:.2f}"
    return [f"Their staleness differed too: {means} (p = {test.p:.2g})"]


def _sentence(one: Conclusion, what: str, factors: tuple[float, float] | None) -> str:
    if one.verdict is Verdict.UNKNOWN:
        return f"{one.arm} and {BASELINE} cannot be compared, as not all of their runs ended"
    control = f"{BASELINE}@{one.arm}"
    head = {
        Verdict.AHEAD: f"is ahead of {BASELINE} and of {control}",
        Verdict.BEHIND: f"is behind {BASELINE}",
        Verdict.UNCLEAR: f"shows no clear difference from {BASELINE}",
    }[one.verdict]
    test = one.constant
    if one.verdict is Verdict.UNCLEAR and test.side < 0 and test.p <= LEVEL and one.control is not None:
        head = f"shows no clear difference from {BASELINE} and {control} together"
    text = f"{one.arm} {head}: its {what}, median {test.median:.3g} against {test.other_median:.3g}, is {_clause(test)}"
    if one.control is not None and one.control.pairs:
        mean = "" if factors is None else f", E[C] = {factors[0]:.2f}, after the start {factors[1]:.2f}"
        text += f"; against {control}, a constant step of the same mean{mean}, it is {_clause(one.control)}"
    return text


def _clause(test: PairedTest) -> str:
    """How a rule did in one test, as in "lower in 9 of 10 seeds (p = 0.0039; -12%, 95% interval -19% to -4%)"."""
    side, count = ("higher", test.higher) if test.side > 0 else ("lower", test.lower)
    equal = test.pairs - test.lower - test.higher
    if equal == test.pairs:
        return f"equal in {'all ' if equal > 1 else ''}{counted(equal, 'seed')}"
    ties = f" and equal in {equal}" if equal else ""
    size = _shown(test.difference, test.relative)
    if not math.isnan(test.low):
        size += f", 95% bootstrap interval {_shown(test.low, test.relative)} to {_shown(test.high, test.relative)}"
    return f"{side} in {count} of {counted(test.pairs, 'seed')}{ties} (p = {test.p:.2g}; {size})"


def _shown(difference: float, relative: bool) -> str:
    if not math.isfinite(difference):
        return "without bound"
    if not relative:
        return f"{difference:+.2g}"
    if difference >= 10:
        return f"{1 + difference:.0f} times"
    percent = 100 * difference
    return f"{percent:+.0f}%" if abs(percent) >= 10 else f"{percent:+.2g}%"


def _remarks(one: Conclusion, lost: str) -> list[str]:
    """What kept a claim from being made, and what the numbers leave out."""
    test, control, remarks = one.constant, one.control, []
    if one.verdict is Verdict.UNKNOWN:
        return []
    if test.infinite or test.other_infinite:
        runs = f"Of its runs {test.infinite} {lost}, of {BASELINE}'s {test.other_infinite}"
        remarks.append(f"{runs}: such a run loses its pair")
    if test.left_out:
        remarks.append(f"Not all runs ended, so {counted(test.left_out, 'seed')} had to be left out")
    if one.verdict is not Verdict.UNCLEAR:
        if one.rules > 1:
            remarks.append(f"Corrected for {one.rules} rules, p = {one.corrected_p:.2g}")
        return remarks
    fewest = min(test.pairs, control.pairs) if control is not None else test.pairs
    if fewest < FEWEST_PAIRS:
        few = f"No difference can be claimed with {counted(fewest, 'seed')}"
        remarks.append(f"{few}: with fewer than {FEWEST_PAIRS} no signed-rank test reaches p ≤ {LEVEL}")
    elif test.p > LEVEL:
        pass  # the p-value says it
    elif test.side < 0 and control is None:
        remarks.append(f"To be ahead, it must be so of {BASELINE}@{one.arm} as well, which was not run")
    elif test.side < 0 and control is not None and (control.side >= 0 or control.p > LEVEL):
        remarks.append("So what it gains over the constant step may be due to its mean step alone")
    else:
        remarks.append(f"Corrected for {one.rules} rules, p = {one.corrected_p:.2g}, more than {LEVEL}")
    return remarks

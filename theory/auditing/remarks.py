"""Remarks, the findings of an audit; comparisons of a bound with what was measured; and the sentence that sums up."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from jasgd.showing import Shown
from theory.auditing.dependence import Test
from theory.auditing.measuring.estimates import SIGMAS, Measured
from theory.decisions.verdict import Verdict

ODDS = 0.05  # below which a p-value is called evidence; never proof


@dataclasses.dataclass(frozen=True, repr=False)
class Remark(Shown):
    """One finding of an audit.

    Attributes:
      name: a few words.
      verdict: PROVED and REFUTED are arithmetic on the record, on the numbers that were given; what statistics and
        estimates suggest is UNKNOWN. None: a description, or an assumption that no record can settle.
      text: sentences, for people.
      numbers: the same for programs; values that JSON can hold.
    """

    name: str
    verdict: Verdict | None
    text: str
    numbers: dict[str, Any] = dataclasses.field(default_factory=dict)

    def _facts(self) -> dict[str, Any]:
        return {"name": self.name, "verdict": self.verdict, "text": self.text}

    @property
    def label(self) -> str:
        """The verdict, or nothing."""
        return "" if self.verdict is None else self.verdict.value


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A theorem's bound for a run, beside what was measured of what it bounds.

    Attributes:
      theorem: its letter.
      form: non-convex, convex or Polyak-Łojasiewicz.
      condition: the verdict on its step condition, by the numbers that there are.
      bound: the right side; its error is that of an estimated Δ.
      measured: the left side; None where it was not measured.
      doubts: why the bound is not one for certain, as clauses: numbers that are estimates, what is assumed.
      is_random: whether gradients had noise, so that the bound is for a mean over runs, of which this is one.
    """

    theorem: str
    form: str
    condition: Verdict
    bound: Measured
    measured: Measured | None
    doubts: tuple[str, ...]
    is_random: bool = True

    @property
    def share(self) -> float:
        """By Markov's inequality, the most of all runs that can come out as high as this one, were the theorem true.

        That is so of a left side that is never negative and a right side that is a number, as those of Theorem E are;
        of Theorem H both are random, and the share is 1.
        """
        if self.measured is None or self.theorem != "E":
            return 1.0
        lowest = self.measured.value - SIGMAS * self.measured.error
        return min(1.0, self.bound.value / lowest) if lowest > 0 else 1.0

    @property
    def result(self) -> str:
        """within, above, cannot tell or not measured; says nothing where the condition does not hold for certain."""
        if self.condition is not Verdict.PROVED:
            return "says nothing"
        if self.measured is None:
            return "not measured"
        result = self.measured.against(self.bound)
        if result == "above" and (self.doubts or (self.is_random and self.share >= ODDS)):
            return "cannot tell"
        return result

    def row(self) -> tuple[str, ...]:
        """The comparison as a row of a table."""
        holds = {Verdict.PROVED: "holds", Verdict.REFUTED: "fails", Verdict.UNKNOWN: "undecided"}[self.condition]
        measured = "" if self.measured is None else str(self.measured)
        return f"{self.theorem}, {self.form}", holds, f"{self.bound.value:.3g}", measured, self.result


def of_test(name: str, hypothesis: str, test: Test) -> Remark:
    """A statistical test as a remark: evidence against its null hypothesis, or none.

    Args:
      name: of the remark.
      hypothesis: the null hypothesis, as a clause.
      test: its result.

    Returns:
      The remark; UNKNOWN, as no p-value proves.

    Example:
      >>> of_test("workers", "τ does not depend on the worker", Test(0.5, 1.0, "means 3.0 to 3.1")).text
      'means 3.0 to 3.1: consistent with "τ does not depend on the worker" (p = 0.5)'
    """
    numbers = {"p_value": test.p_value, "statistic": test.statistic}
    if test.p_value != test.p_value:
        return Remark(name, Verdict.UNKNOWN, test.what, numbers)
    words = "evidence against" if test.p_value < ODDS else "consistent with"
    return Remark(name, Verdict.UNKNOWN, f'{test.what}: {words} "{hypothesis}" (p = {test.p_value:.2g})', numbers)


def summary(remarks: Sequence[Remark], comparisons: Sequence[Comparison]) -> str:
    """The result of an audit in one sentence.

    Args:
      remarks: all findings.
      comparisons: of the theorems that are about one execution.

    Returns:
      The sentence.

    Example:
      >>> summary([Remark("plain SGD", Verdict.REFUTED, "no: momentum")], [])
      'The theorems do not apply to this run, which was not plain SGD.'
    """
    by_name = {remark.name: remark for remark in remarks}
    wrong = by_name.get("conservation of staleness")
    if wrong is not None and wrong.verdict is Verdict.REFUTED:
        return "This record contradicts itself, so that nothing follows from it."
    if by_name["plain SGD"].verdict is Verdict.REFUTED:
        return "The theorems do not apply to this run, which was not plain SGD."
    if not comparisons:
        return f"No theorem could be held against this run: {_lacking(remarks)}."
    holding = [one for one in comparisons if one.condition is Verdict.PROVED]
    if not holding:
        alone = len(_letters(comparisons)) == 1
        says, condition = ("says", "its condition") if alone else ("say", "their conditions")
        by = (
            ", with an estimate of L,"
            if any("smoothness" in text for one in comparisons for text in one.doubts)
            else ""
        )
        verdicts = {one.condition for one in comparisons}
        why = f"its steps are too large{by} for {condition}"
        if verdicts == {Verdict.UNKNOWN}:
            why = f"whether its steps are too large{by} for {condition} is decided by rounding"
        elif Verdict.UNKNOWN in verdicts:
            why += ", or so nearly that rounding decides"
        return f"{_names(comparisons)} {says} nothing about this run: {why}."
    doubts = list(dict.fromkeys(doubt for one in holding for doubt in one.doubts))
    if by_name["plain SGD"].verdict is not Verdict.PROVED:
        doubts.append("if it was plain SGD")
    conditions, hold = ("condition", "holds") if len(_letters(holding)) == 1 else ("conditions", "hold")
    sentence = f"The step {conditions} of {_names(holding)} {hold} for this run, "
    return sentence + _compared(holding) + (f" ({'; '.join(doubts)})." if doubts else ".")


def _compared(holding: Sequence[Comparison]) -> str:
    results = {one.result for one in holding}
    bounds = "its bound" if len(holding) == 1 else "their bounds" if len(_letters(holding)) > 1 else "its bounds"
    if "above" in results:
        over = ", ".join(f"{one.theorem} ({one.form})" for one in holding if one.result == "above")
        return f"and what was measured is above the bound of {over}, so an assumption or a number is wrong"
    if results == {"not measured"}:
        return f"and what was to be within {bounds} was not measured"
    if "cannot tell" in results:
        return f"but whether what was measured is within {bounds} cannot be told in every case"
    return f"and what was measured is within {bounds}"


def _lacking(remarks: Sequence[Remark]) -> str:
    for remark in remarks:
        if remark.name == "infimum" or (remark.name.startswith("Theorem") and remark.verdict is Verdict.UNKNOWN):
            return remark.text
    return "nothing was given to evaluate one with"


def _letters(comparisons: Sequence[Comparison]) -> list[str]:
    return list(dict.fromkeys(one.theorem for one in comparisons))


def _names(comparisons: Sequence[Comparison]) -> str:
    letters = _letters(comparisons)
    return f"Theorem {letters[0]}" if len(letters) == 1 else f"Theorems {' and '.join(letters)}"

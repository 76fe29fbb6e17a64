"""Remarks: the findings of an audit, each with a verdict, or with none where it only describes."""

from __future__ import annotations

import dataclasses
from typing import Any

from jasgd.showing import Shown
from theory.auditing.dependence import Test
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

"""Questions about a step-size function: under which law, on which domain, with which bound."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

from flint import fmpq

from theory.analysis.expectation import UnderLaw
from theory.analysis.pointwise import PointValues
from theory.formulas.formula import Domain, Formula, divide
from theory.formulas.writing import digest, to_json
from theory.laws import Law
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fmpq

MOST_CHECKED = 2_000_001  # staleness values that are looked at one by one, where nothing else decides
FEW = 4_096  # so many are looked at one by one at once
_FARTHEST = 2**17  # where a tail begins at the latest, of far domains beyond their first staleness


@dataclasses.dataclass(frozen=True)
class Question:
    """A step-size function under one law.

    Attributes:
      formula: C.
      setting: law, parameters and kind of CDF.
      domain: first and last staleness; None for no last.
      amplitude: A.
    """

    formula: Formula
    setting: UnderLaw
    domain: Domain = (0, None)
    amplitude: Fraction = Fraction(1)

    def under(self, law: Law | None) -> Question:
        """The same question under another law."""
        return dataclasses.replace(self, setting=self.setting.under(law))

    def latest_tail_start(self) -> int:
        """The largest staleness at which a tail argument may begin; those before it are looked at one by one."""
        first, last = self.domain
        if not PointValues(self.formula, self.setting).is_single:
            return first
        farthest = _FARTHEST if first <= _FARTHEST else first + _FARTHEST
        return farthest if last is None else min(farthest, last)

    def to_json(self) -> dict[str, Any]:
        """The question as JSON data, exactly, for certificates."""
        law = self.setting.law
        return {
            "formula": to_json(self.formula),
            "cdf": self.setting.cdf,
            "domain": list(self.domain),
            "amplitude": str(self.amplitude),
            "parameters": {name: range_to_json(known) for name, known in sorted(self.setting.parameters.items())},
            "law": None if law is None else law.to_json(),
        }

    def digest(self) -> str:
        """SHA-256 of the question."""
        return digest(self.to_json())


def repaired(question: Question) -> Question:
    """The question about C / E[C]."""
    return dataclasses.replace(question, formula=divide(question.formula, ("mean", question.formula)))


def scaled(question: Question) -> Question | None:
    """The question about C, of one about C / E[C]; None for any other."""
    factors = question.formula[1:] if question.formula[0] == "product" else ()
    for factor in factors:
        if factor[0] == "power" and factor[1][0] == "mean":
            original = dataclasses.replace(question, formula=factor[1][1])
            if repaired(original).formula == question.formula:
                return original
    return None


def range_to_json(known: Range) -> list[Any]:
    """A range as JSON data: both ends, None for infinity, and whether each is excluded."""
    ends = [None if end is None else str(end) for end in (known.low, known.high)]
    return [*ends, known.low_open, known.high_open]


def end_from_json(end: str | None) -> fmpq | None:
    """An end of a range, None for infinity."""
    if end is None:
        return None
    return as_fmpq(Fraction(end))

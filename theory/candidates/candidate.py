"""Candidates: step-size functions from a user's file, or from the library's own rules.

A candidate file is Python, and loading it runs it, as importing a module does; nothing else is ever evaluated.
Decimals and quotients of integers in it are taken exactly as they are written: ``0.1`` and ``1/10`` are the same.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from jasgd.showing import Shown
from theory.formulas.formula import Domain, Formula, with_numbers
from theory.laws import Law
from theory.laws.law import CDFKind
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fraction


class CandidateError(ValueError):
    """A candidate that cannot be read.

    Args:
      text: what is wrong.
      line: the line of the candidate file that is meant, where there is one.
    """

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.line = line

    def within(self, name: str) -> CandidateError:
        """The same error with the name of the file, or of the option, and the line in front of its text."""
        return type(self)(f"{name}: {self}" if self.line is None else f"{name}:{self.line}: {self}")


class TooLong(CandidateError):
    """A number of more digits than are computed with."""


@dataclasses.dataclass(frozen=True, repr=False)
class Candidate(Shown):
    """A step-size function and what its author says of it.

    Attributes:
      name: for people, for instance the file's name.
      source: the text that it was made of.
      formula: C, or None where the checker has no words for it.
      untranslatable: why, in that case.
      cdf: which distribution function F is.
      laws: the laws that it names.
      domain: first and last staleness, None for no last.
      amplitude: A.
      parameters: the range of each, or the one number that it is.
      is_file: whether it was read from a file, and not made of a rule of the library.
      assumptions: what the file assumes of each, by the names that SymPy has for it.
    """

    name: str
    source: str
    formula: Formula | None
    untranslatable: str | None = None
    cdf: CDFKind = "mid"
    laws: tuple[Law, ...] = ()
    domain: Domain = (0, None)
    amplitude: Fraction = Fraction(1)
    parameters: Mapping[str, Range] = dataclasses.field(default_factory=dict)
    is_file: bool = True
    assumptions: Mapping[str, Mapping[str, bool]] = dataclasses.field(default_factory=dict)

    def _facts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "cdf": self.cdf,
            "laws": [str(law) for law in self.laws] or None,
            "domain": self.domain,
            "amplitude": str(self.amplitude),
            "parameters": list(self.parameters) or None,
            "untranslatable": self.untranslatable,
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the source."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    def with_parameters(self, values: Mapping[str, Range]) -> Candidate:
        """The candidate with other ranges of its parameters.

        Raises:
          CandidateError: for a parameter that it does not have.
        """
        for name in values:
            if name not in self.parameters:
                known = ", ".join(self.parameters) or "none"
                raise CandidateError(f"{self.name}: the parameters are {known}; got {name!r}")
        return dataclasses.replace(self, parameters={**self.parameters, **values})

    def with_fixed_parameters(self) -> Candidate:
        """The candidate with the numbers of its fixed parameters in its formula; the open ones stay parameters."""
        fixed = {name: as_fraction(known.exact) for name, known in self.parameters.items() if known.exact is not None}
        if self.formula is None or not fixed:
            return self
        still_open = {name: known for name, known in self.parameters.items() if name not in fixed}
        return dataclasses.replace(self, formula=with_numbers(self.formula, fixed), parameters=still_open)


def check_support(candidate: Candidate, law: Law) -> None:
    """Refuses a law with mass outside the candidate's domain."""
    first, last = candidate.domain
    if law.first < first or (last is not None and (law.last is None or law.last > last)):
        reach = "∞" if last is None else last
        raise CandidateError(f"{candidate.name}: the law {law} has mass outside the domain {first}…{reach}")

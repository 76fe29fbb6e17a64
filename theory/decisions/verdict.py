"""Verdicts: PROVED, REFUTED or UNKNOWN, with the reason and the evidence for each."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping
from typing import Any


class Verdict(enum.StrEnum):
    """The three verdicts that a condition can have."""

    PROVED = "PROVED"
    REFUTED = "REFUTED"
    UNKNOWN = "UNKNOWN"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A verdict on one condition under one law.

    Attributes:
      verdict: the verdict.
      because: one sentence for people.
      evidence: what a certificate carries: strings, integers, lists and dicts.
    """

    verdict: Verdict
    because: str
    evidence: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)


def needs_defined(condition: str, evidence: Mapping[str, Any]) -> bool:
    """Whether a proof holds only where C is defined: an algebra that cancels does not see a division by zero."""
    if condition == "magnitude":
        return evidence.get("argument") != "finite sum"
    return condition in ("positive", "decreasing", "amplitude") or (condition == "moments" and "mean" not in evidence)


#: What has to be proved of C for 0 < E[C] < ∞, under a law or under every law.
OF_THE_MEAN = ("defined", "positive", "moments")


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of several verdicts: REFUTED before UNKNOWN before PROVED.

    Example:
      >>> worst([Verdict.PROVED, Verdict.UNKNOWN]).value
      'UNKNOWN'
    """
    different = set(verdicts)
    return next((v for v in (Verdict.REFUTED, Verdict.UNKNOWN) if v in different), Verdict.PROVED)


def proved(because: str, **evidence: Any) -> Finding:
    """A finding that the condition holds."""
    return Finding(Verdict.PROVED, because, evidence)


def refuted(because: str, **evidence: Any) -> Finding:
    """A finding that the condition fails."""
    return Finding(Verdict.REFUTED, because, evidence)


def unknown(because: str) -> Finding:
    """A finding without a verdict, and why."""
    return Finding(Verdict.UNKNOWN, because)

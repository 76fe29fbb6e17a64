"""Verifying proofs about distortions: facts about slopes from their witnesses, and what lies before one by one."""

from __future__ import annotations

from typing import Any

from flint import fmpq

from theory.certificates.enclosures import rational
from theory.certificates.questions import whole
from theory.certificates.rejection import require, require_only
from theory.distortions.factors import Factors
from theory.distortions.question import FACTS, ZERO, DistortionQuestion, gain_is_one
from theory.distortions.tails import points_hold
from theory.numbers.balls import ball
from theory.numbers.rationals import as_fmpq

_MOST_POINTS = 100_000


def verify_distortion_proof(question: DistortionQuestion, condition: str, evidence: dict[str, Any]) -> None:
    """Verifies that a condition is proved; Rejected, or an error that says so, where it is not."""
    if condition == "magnitude":
        require(gain_is_one(question), "g(1) - g(0) is not shown to be 1")
    if "points" in evidence:
        _at_every_point(question, condition, evidence)
        return
    if "start" in evidence:
        low = _before(question, condition, evidence)
    else:
        require_only(evidence, "slopes")
        low = ZERO
    again = FACTS[condition](question, low, evidence["slopes"])
    require(again == evidence["slopes"], "the facts about slopes have other fields")


def _at_every_point(question: DistortionQuestion, condition: str, evidence: dict[str, Any]) -> None:
    require_only(evidence, "points")
    support = None if question.law is None else question.law.support()
    require(support is not None and question.is_fixed(), "a bounded law and single parameters are needed")
    assert support is not None
    assert question.law is not None
    require(evidence["points"] == len(support) <= _MOST_POINTS, "how many points there are")
    factors = Factors(question.distortion, question.parameters, question.law)
    require(points_hold(condition, factors, list(support), question.amplitude), "it does not hold at every point")


def _before(question: DistortionQuestion, condition: str, evidence: dict[str, Any]) -> fmpq:
    """The share from which facts about slopes decide, after a look at the points before."""
    require_only(evidence, "slopes", "start", "from")
    law, start, low = question.law, evidence["start"], as_fmpq(rational(evidence["from"]))
    require(law is not None and question.is_fixed(), "a law and single parameters are needed")
    assert law is not None
    require(whole(start) and law.first <= start <= law.first + _MOST_POINTS, "its start")
    require(0 <= low < 1 and bool(ball(law.distribution(start, "strict")) >= low), "the share before its start")
    before = [tau for tau in range(law.first, start + 1) if law.has_mass(tau)]
    factors = Factors(question.distortion, question.parameters, law)
    require(points_hold(condition, factors, before, question.amplitude), "it does not hold before its start")
    return low

"""Verifying proofs from their witnesses.

The argument that a claim names is applied at the start that it names, and what lies before is looked at one by one;
enclosures have to hold what is computed here. Any start and any enclosure with which that succeeds will do.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from theory.analysis import equality, tails
from theory.analysis.bounds_over import range_of
from theory.analysis.pointwise import PointValues
from theory.analysis.setting import Setting
from theory.analysis.supremum import size_from
from theory.certificates.enclosures import bound, contains, enclosure
from theory.certificates.questions import whole
from theory.certificates.rejection import Rejected, require, require_only
from theory.certificates.tails import EVERY_POINT, verify_falling, verify_inequality
from theory.decisions.question import MOST_CHECKED, Question, scaled
from theory.decisions.verdict import OF_THE_MEAN
from theory.formulas.formula import Formula, mentions, number, subtract
from theory.numbers.rationals import as_fraction


def _defined(question: Question, evidence: dict[str, Any]) -> None:
    require_only(evidence, "argument", "start")
    argument, start = evidence["argument"], evidence["start"]
    if argument == EVERY_POINT:
        require(question.domain[1] is not None and start == question.domain[1] + 1, "the tail")
    elif argument == "bounds":
        require(whole(start) and start >= 0, "its start")
        range_of(question.formula, question.setting, start, None)
    else:
        require(argument == "parts" and whole(start) and start >= 0, "its argument")
        shown = tails.is_defined(question.formula, question.setting, start)
        require(shown, "the argument for the tail does not hold")
    values = PointValues(question.formula, question.setting)
    _every(values.is_finite(tau) for tau in _before(question, start))


def _positive(question: Question, evidence: dict[str, Any]) -> None:
    law = question.setting.law
    support = law.support() if law is not None else None
    on_support = question.setting.with_support()
    if support is not None or (law is None and mentions(question.formula, "F")):
        require_only(evidence, "mass", "elsewhere")
        _inequality(question, question.formula, question.setting, evidence["elsewhere"], strict=False)
    else:
        require_only(evidence, "mass")
    if support is None:
        _inequality(question, question.formula, on_support, evidence["mass"], strict=True)
        return
    start = None
    if evidence["mass"] is not None:
        start = verify_inequality(question.formula, on_support, evidence["mass"], strict=True, last=question.domain[1])
    values = PointValues(question.formula, question.setting)
    one_by_one = itertools.takewhile(lambda tau: start is None or tau < start, support)
    _every(values.is_at_least(tau, Fraction(0), strict=True) for tau in one_by_one)


def _amplitude(question: Question, evidence: dict[str, Any]) -> None:
    require_only(evidence, "above", "below", *(["sup"] if "sup" in evidence else []))
    above = subtract(number(1 + question.amplitude), question.formula)
    below = subtract(question.formula, number(1 - question.amplitude))
    _inequality(question, above, question.setting, evidence["above"], strict=False)
    _inequality(question, below, question.setting, evidence["below"], strict=False)
    if "sup" in evidence:
        _supremum(question, evidence["sup"])


def _supremum(question: Question, claimed: dict[str, Any]) -> None:
    """Verifies an enclosure of sup|C - 1|: a value that reaches the least, and a bound of all values."""
    require_only(claimed, "least", "at", "most", "start")
    (first, last), start, at = question.domain, claimed["start"], claimed["at"]
    least, most = bound(claimed["least"]), bound(claimed["most"])
    distance = ("abs", subtract(question.formula, number(1)))
    distances, before = PointValues(distance, question.setting), _before(question, start)
    has_tail = last is None or start <= last
    tail = range_of(distance, question.setting, start, last) if has_tail else None
    if at is None:
        reached = least <= 0 or (tail is not None and tail.low is not None and tail.low >= least)
    else:
        require(whole(at) and at >= first and (last is None or at <= last), "the supremum's place is in the domain")
        reached = distances.is_at_least(at, as_fraction(least), strict=False)
    require(bool(reached), "the supremum does not reach its least")
    require(tail is None or (tail.high is not None and bool(tail.high <= most)), "the supremum is not bounded so")
    opposite = PointValues(subtract(number(as_fraction(most)), distance), question.setting)
    _every(opposite.is_at_least(tau, Fraction(0), strict=False) for tau in before)


def _inequality(question: Question, formula: Formula, setting: Setting, tail: Any, *, strict: bool) -> None:
    """Verifies an inequality on the whole domain: by an argument from a start on, before it point by point."""
    last = question.domain[1]
    if isinstance(tail, dict) and tail.get("argument") == EVERY_POINT:
        require(last is not None and tail == {"argument": EVERY_POINT, "start": last + 1}, "the tail")
        start = tail["start"]
    else:
        start = verify_inequality(formula, setting, tail, strict=strict, last=last)
    values = PointValues(formula, setting)
    _every(values.is_at_least(tau, Fraction(0), strict=strict) for tau in _before(question, start))


def _decreasing(question: Question, evidence: dict[str, Any]) -> None:
    require_only(evidence, "tail")
    tail, last = evidence["tail"], question.domain[1]
    if isinstance(tail, dict) and tail.get("argument") == EVERY_POINT:
        require(last is not None and tail == {"argument": EVERY_POINT, "start": last}, "the tail")
        start = tail["start"]
    else:
        start = verify_falling(question.formula, question.setting, tail)
    values = PointValues(question.formula, question.setting)
    _every(values.does_not_rise(tau) for tau in _before(question, start))


def _magnitude(question: Question, evidence: dict[str, Any]) -> None:
    require_only(evidence, "argument")
    argument = equality.proof_of_one(question.formula, question.setting)
    require(argument is not None and argument == evidence["argument"], "E[C] = 1 does not follow")


def _moments(question: Question, evidence: dict[str, Any]) -> None:
    argument = evidence.get("argument")
    if argument == "finite domain":
        require_only(evidence, "argument")
        require(question.domain[1] is not None, "the domain is not finite")
        require(question.setting.law is None and question.setting.is_fixed(), "not a finite question")
    elif argument == "falls":
        require_only(evidence, "argument", "falls", "above")
        _falls_to_zero(question, evidence["falls"], evidence["above"])
    elif argument == "bounds":
        require_only(evidence, "argument", "start", "most")
        start, last = evidence["start"], question.domain[1]
        require(whole(start) and start >= 0 and (last is None or start <= last), "its start")
        bounds = size_from(question.formula, question.setting, start, last)
        require(bounds.high is not None and bounds.high <= bound(evidence["most"]), "the bound does not hold")
    else:
        require_only(evidence, "mean", "mean_square", "staleness_mean")
        require(question.setting.is_fixed(), "a parameter is open")
        moments = question.setting.moments(question.formula)
        for name in ("mean", "mean_square", "staleness_mean"):
            claimed = enclosure(evidence[name])
            require(None not in claimed, f"the enclosure of {name} is not finite")
            require(contains(claimed, getattr(moments, name)), f"the enclosure of {name} does not hold")


def _falls_to_zero(question: Question, falls: Any, above: Any) -> None:
    """Verifies that C is bounded, as it falls from some point on and stays ≥ 0."""
    values = PointValues(question.formula, question.setting)
    require(values.is_single, "a function of τ alone is needed")
    starts = [
        verify_falling(question.formula, question.setting, falls),
        verify_inequality(question.formula, question.setting, above, strict=False),
    ]
    _every(values.is_finite(tau) for tau in _before(question, max(starts)))


def _or_scaled(condition: str) -> Callable[[Question, dict[str, Any]], None]:
    """Verifies evidence of its own, or that of C in place of that of C / E[C], with that of 0 < E[C] < ∞."""

    def verify(question: Question, evidence: dict[str, Any]) -> None:
        if "scaled" not in evidence:
            _PROOFS[condition](question, evidence)
            return
        require_only(evidence, "scaled")
        require_only(evidence["scaled"], *{*OF_THE_MEAN, *({condition} - {"magnitude"})})
        original = scaled(question)
        if original is None or condition == "amplitude":
            raise Rejected("it is not about C / E[C]")
        for name, one in evidence["scaled"].items():
            _PROOFS[name](original, one)

    return verify


_PROOFS: dict[str, Callable[[Question, dict[str, Any]], None]] = {
    "defined": _defined,
    "positive": _positive,
    "decreasing": _decreasing,
    "magnitude": _magnitude,
    "amplitude": _amplitude,
    "moments": _moments,
}
#: What verifies the evidence of a proof, by condition.
PROOFS = {condition: _or_scaled(condition) for condition in _PROOFS}


def _before(question: Question, start: Any) -> range:
    """The points of the domain before a start, which are not too many to be looked at."""
    first, last = question.domain
    require(whole(start) and start >= first, "a tail starts in the domain")
    require(last is None or start <= last + 1, "a tail starts in the domain")
    require(start - first < MOST_CHECKED, f"at most {MOST_CHECKED:,} points are looked at before a tail")
    return range(first, start)


def _every(checks: Iterable[bool]) -> None:
    require(all(checks), "it does not hold at every point before the tail")

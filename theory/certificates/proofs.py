"""Verifying proofs again.

The argument for the tail is applied once more at the start that it names, and no earlier start may do; what lies before
is looked at one by one; enclosures are computed again and have to agree to their last digit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from theory.analysis import equality, tails
from theory.analysis.pointwise import PointValues
from theory.analysis.setting import Setting
from theory.analysis.supremum import size_from, supremum_of_distance
from theory.analysis.tails import Tail
from theory.certificates.rejection import Rejected, require, require_only
from theory.decisions.question import FEW, Question
from theory.decisions.verdict import OF_THE_MEAN
from theory.formulas.formula import Formula, divide, mentions, number, subtract
from theory.numbers import ranges
from theory.numbers.balls import ball
from theory.numbers.decimals import ends


def _defined(question: Question, evidence: dict[str, Any]) -> None:
    require_only(evidence, "start")
    start, (first, last) = evidence["start"], question.domain
    first_start = None if last is None else last + 1
    if last is None or last - first > FEW:
        for candidate in tails.starts_from(first, question.latest_tail_start()):
            if tails.is_defined(question.formula, question.setting, candidate):
                first_start = candidate
                break
    require(start == first_start, "its start")
    values = PointValues(question.formula, question.setting)
    _every(values.is_finite(tau) for tau in range(first, start))


def _positive(question: Question, evidence: dict[str, Any]) -> None:
    law = question.setting.law
    support = law.support() if law is not None else None
    on_support = question.setting.with_support()
    if support is not None or (law is None and mentions(question.formula, "F")):
        require_only(evidence, "mass", "elsewhere")
        _inequality(question, question.formula, question.setting, Tail(*evidence["elsewhere"]), strict=False)
    else:
        require_only(evidence, "mass")
    if law is None or law.last is None or support is None:
        _inequality(question, question.formula, on_support, Tail(*evidence["mass"]), strict=True)
        return
    reach = min(dataclasses.replace(question, setting=on_support).latest_tail_start(), law.last)
    mass = tails.find_inequality(question.formula, on_support, law.first, reach, strict=True)
    require(evidence["mass"] == (mass and list(mass)), "the argument where the law has mass")
    values = PointValues(question.formula, question.setting)
    _every(values.is_at_least(tau, Fraction(0), strict=True) for tau in support if mass is None or tau < mass.start)


def _amplitude(question: Question, evidence: dict[str, Any]) -> None:
    size = supremum_of_distance(question.formula, question.setting, question.domain)
    require_only(evidence, "tails", *(["sup"] if size is not None else []))
    if size is not None:
        require(evidence["sup"] == size.ends, "the supremum")
    above = subtract(number(1 + question.amplitude), question.formula)
    below = subtract(question.formula, number(1 - question.amplitude))
    require(len(evidence["tails"]) == 2, "two inequalities are needed")
    for formula, tail in zip((above, below), evidence["tails"], strict=True):
        _inequality(question, formula, question.setting, Tail(*tail), strict=False)


def _inequality(question: Question, formula: Formula, setting: Setting, tail: Tail, *, strict: bool) -> None:
    """Verifies an inequality on the whole domain: by an argument from a start on, before it point by point."""
    first, last = question.domain
    values = PointValues(formula, setting)
    if tail.argument == "every point":
        require(last is not None and tail == Tail("every point", 1, last + 1), "the tail")
    else:
        earlier = _earlier(question, tails.INEQUALITIES, formula, tail)
        require(tails.inequality(formula, setting, tail, strict=strict), "the argument for the tail does not hold")
        require(not any(tails.inequality(formula, setting, one, strict=strict) for one in earlier), "an earlier start")
    _every(values.is_at_least(tau, Fraction(0), strict=strict) for tau in range(first, tail.start))


def _decreasing(question: Question, evidence: dict[str, Any]) -> None:
    require_only(evidence, "tail")
    tail, (first, last) = Tail(*evidence["tail"]), question.domain
    values = PointValues(question.formula, question.setting)
    if tail.argument == "every point":
        require(last is not None and tail == Tail("every point", 1, last), "the tail")
    else:
        earlier = _earlier(question, tails.FALLING, question.formula, tail)
        require(tails.falling(question.formula, question.setting, tail), "the argument for the tail does not hold")
        require(not any(tails.falling(question.formula, question.setting, one) for one in earlier), "an earlier start")
    _every(values.does_not_rise(tau) for tau in range(first, tail.start))


def _magnitude(question: Question, evidence: dict[str, Any]) -> None:
    require_only(evidence, "argument")
    argument = equality.proof_of_one(question.formula, question.setting)
    require(argument is not None and argument == evidence["argument"], "E[C] = 1 does not follow")


def _moments(question: Question, evidence: dict[str, Any]) -> None:
    if "argument" in evidence:
        require(
            evidence == {"argument": "finite domain"} and question.domain[1] is not None, "the domain is not finite"
        )
        require(question.setting.law is None and question.setting.is_fixed(), "not a finite question")
    elif "falls" in evidence:
        require_only(evidence, "falls", "above")
        _falls_to_zero(question, Tail(*evidence["falls"]), Tail(*evidence["above"]))
    elif "bound" in evidence:
        require_only(evidence, "bound", "start")
        starts = (0, 1, 4, 16, 64, 256)
        last = question.domain[1]
        require(evidence["start"] in starts and (last is None or evidence["start"] <= last), "its start")
        for start in starts[: starts.index(evidence["start"]) + 1]:
            try:
                bounds = size_from(question.formula, question.setting, start, question.domain[1])
            except ArithmeticError:
                continue
            if bounds.high is not None:
                require(start == evidence["start"], "an earlier start")
                require(str(ranges.around(ball(bounds.high)).high) == evidence["bound"], "the bound")
                return
        raise Rejected("no bound there")
    else:
        moments = question.setting.moments(question.formula)
        expected = {
            "mean": ends(moments.mean),
            "mean_square": ends(moments.mean_square),
            "staleness_mean": ends(moments.staleness_mean),
        }
        require(evidence == expected, "the enclosures")


def _falls_to_zero(question: Question, falls: Tail, above: Tail) -> None:
    """Verifies that C is bounded, as it falls from some point on and stays ≥ 0."""
    values = PointValues(question.formula, question.setting)
    require(values.is_single, "a function of τ alone is needed")
    earlier = _earlier(question, tails.FALLING, question.formula, falls)
    require(tails.falling(question.formula, question.setting, falls), "it is not shown to fall")
    require(not any(tails.falling(question.formula, question.setting, one) for one in earlier), "an earlier start")
    earlier = _earlier(question, tails.INEQUALITIES, question.formula, above)
    require(tails.inequality(question.formula, question.setting, above, strict=False), "it may be negative")
    require(
        not any(tails.inequality(question.formula, question.setting, one, strict=False) for one in earlier),
        "an earlier start",
    )
    _every(values.is_finite(tau) for tau in range(question.domain[0], max(falls.start, above.start)))


def _or_scaled(condition: str) -> Callable[[Question, dict[str, Any]], None]:
    """Verifies evidence of its own, or that of C in place of that of C / E[C], and that 0 < E[C] < ∞."""

    def verify(question: Question, evidence: dict[str, Any]) -> None:
        if set(evidence) != {"scaled"}:
            _PROOFS[condition](question, evidence)
            return
        factors = question.formula[1:] if question.formula[0] == "product" else ()
        means = [one[1][1] for one in factors if one[0] == "power" and one[1][0] == "mean"]
        original = [formula for formula in means if divide(formula, ("mean", formula)) == question.formula]
        require(len(original) == 1 and condition != "amplitude", "it is not C / E[C]")
        require_only(evidence["scaled"], *{*OF_THE_MEAN, *({condition} - {"magnitude"})})
        for name, one in evidence["scaled"].items():
            _PROOFS[name](dataclasses.replace(question, formula=original[0]), one)

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


def _earlier(question: Question, arguments: tuple[str, ...], formula: Formula, tail: Tail) -> list[Tail]:
    """The tails that come before one in the order in which they are tried."""
    before, most = [], question.latest_tail_start()
    for one in tails.candidates(arguments, formula, question.domain[0], most):
        if one == tail and tail.start <= most:
            return before
        if one.start <= most:
            before.append(one)
    raise Rejected(f"{tuple(tail)} is no tail that is tried")


def _every(checks: Iterable[bool]) -> None:
    require(all(checks), "it does not hold at every point before the tail")

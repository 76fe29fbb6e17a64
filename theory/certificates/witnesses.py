"""Witnesses: the evidence of a finding as a certificate carries it, so that verifying it needs no search.

What the prover says is completed: a tail by its constants, a value by an enclosure with as many digits as it takes to
decide, a sum that diverges by which moment it is.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from theory.analysis.bounds_over import range_of
from theory.analysis.pointwise import PointValues
from theory.analysis.tails import Tail
from theory.certificates.enclosures import above, around, below, decisive, enclosure, outward
from theory.certificates.refutations import MOMENTS, diverges_from, instance_of, not_one, not_positive, outside, rises
from theory.certificates.rejection import Rejected
from theory.certificates.tails import EVERY_POINT, falling_to_json, inequality_to_json
from theory.decisions.question import Question, scaled
from theory.decisions.verdict import Finding, Verdict
from theory.formulas.formula import number, subtract
from theory.numbers.balls import Undecided
from theory.numbers.rationals import as_fmpq, exact


def witness_of(question: Question, condition: str, finding: Finding) -> dict[str, Any]:
    """The evidence of a finding that is proved or refuted, as a certificate carries it.

    Args:
      question: what was asked.
      condition: its name.
      finding: PROVED or REFUTED.

    Returns:
      JSON data; docs/certificates.md says what each field means.

    Raises:
      Rejected: where the finding does not hold, or no witness of it can be written.
    """
    try:
        if finding.verdict is Verdict.PROVED:
            return _proof(question, condition, finding.evidence)
        return _refutation(question, condition, finding.evidence)
    except (ArithmeticError, RecursionError) as error:
        raise Rejected(f"no witness can be written: {type(error).__name__}: {error}") from error


def _proof(question: Question, condition: str, evidence: dict[str, Any]) -> dict[str, Any]:
    original = scaled(question) if "scaled" in evidence else None
    if original is None:
        return _PROOFS[condition](question, evidence)
    return {"scaled": {name: _PROOFS[name](original, one) for name, one in evidence["scaled"].items()}}


def _defined(question: Question, evidence: dict[str, Any]) -> dict[str, Any]:
    start, last = evidence["start"], question.domain[1]
    if last is not None and start > last:
        return {"argument": EVERY_POINT, "start": start}
    try:
        range_of(question.formula, question.setting, start, None)
    except (ArithmeticError, RecursionError):
        return {"argument": "parts", "start": start}
    return {"argument": "bounds", "start": start}


def _positive(question: Question, evidence: dict[str, Any]) -> dict[str, Any]:
    on_support, mass = question.setting.with_support(), evidence["mass"]
    found = {"mass": None if mass is None else _inequality(question.formula, on_support, mass)}
    if "elsewhere" in evidence:
        found["elsewhere"] = _inequality(question.formula, question.setting, evidence["elsewhere"])
    return found


def _decreasing(question: Question, evidence: dict[str, Any]) -> dict[str, Any]:
    return {"tail": _falling(question, evidence["tail"])}


def _magnitude(question: Question, evidence: dict[str, Any]) -> dict[str, Any]:
    return dict(evidence)


def _amplitude(question: Question, evidence: dict[str, Any]) -> dict[str, Any]:
    over, under = evidence["tails"]
    upper = subtract(number(1 + question.amplitude), question.formula)
    lower = subtract(question.formula, number(1 - question.amplitude))
    found = {
        "above": _inequality(upper, question.setting, over),
        "below": _inequality(lower, question.setting, under),
    }
    supremum = _supremum(question, evidence)
    return found if supremum is None else found | {"sup": supremum}


def _supremum(question: Question, evidence: dict[str, Any]) -> dict[str, Any] | None:
    if "sup" not in evidence or "inf" in evidence["sup"]:
        return None
    at, start = evidence["sup_at"], evidence["sup_from"]
    try:
        low, high = (as_fmpq(exact(end)) for end in evidence["sup"])
    except ValueError:  # thousands of digits: the claim, |C - 1| ≤ A, does without
        return None
    if low <= 0:  # a distance that the balls cannot tell from 0: it is no less
        return {"least": "0", "at": None, "most": above(high)[0], "start": start}
    return {"least": below(low)[0], "at": at, "most": above(high)[0], "start": start}


def _moments(question: Question, evidence: dict[str, Any]) -> dict[str, Any]:
    if "falls" in evidence:
        return {
            "argument": "falls",
            "falls": _falling(question, evidence["falls"]),
            "above": _inequality(question.formula, question.setting, evidence["above"]),
        }
    if "bound" in evidence:
        most = above(as_fmpq(exact(evidence["bound"])))[0]
        return {"argument": "bounds", "start": evidence["start"], "most": most}
    if "argument" in evidence:
        return dict(evidence)
    return {name: outward(evidence[name]) for name in MOMENTS}


_PROOFS: dict[str, Callable[[Question, dict[str, Any]], dict[str, Any]]] = {
    "defined": _defined,
    "positive": _positive,
    "decreasing": _decreasing,
    "magnitude": _magnitude,
    "amplitude": _amplitude,
    "moments": _moments,
}


def _inequality(formula: Any, setting: Any, tail: list[Any]) -> dict[str, Any]:
    if tail[0] == EVERY_POINT:
        return {"argument": EVERY_POINT, "start": tail[2]}
    return inequality_to_json(formula, setting, Tail(*tail))


def _falling(question: Question, tail: list[Any]) -> dict[str, Any]:
    if tail[0] == EVERY_POINT:
        return {"argument": EVERY_POINT, "start": tail[2]}
    return falling_to_json(question.formula, question.setting, Tail(*tail))


def _refutation(question: Question, condition: str, evidence: dict[str, Any]) -> dict[str, Any]:
    if "unbounded" in evidence:
        return {"unbounded": {"start": evidence["unbounded"]}}
    told = evidence["counterexample"]
    found: dict[str, Any] = {}
    if "law" in told and question.setting.law is None:
        found["law"] = told["law"]
    if question.setting.parameters:
        found["parameters"] = told["parameters"]
    instance, _ = instance_of(question, found)
    if "diverges" in told:
        return found | {"diverges": _divergence(instance, condition, told["diverges"])}
    if "mean" in told:
        mean = outward(told["mean"])
        return found | {"mean": mean if not_one(enclosure(mean)) else _mean(instance)}
    tau = told["tau"]
    if condition == "defined" or told.get("undefined"):
        return found | {"tau": tau, "undefined": True}
    decides = {"positive": not_positive(instance, tau), "amplitude": outside(instance), "decreasing": rises}[condition]
    names = ["value", "next"] if condition == "decreasing" else ["value"]
    written = [outward(told[name]) for name in names]
    if not decides(*map(enclosure, written)):
        values = PointValues(instance.formula, instance.setting)
        if condition == "positive" and values.compare(tau, Fraction(0)) == 0:
            written = [["0", "0"]]
        else:
            written = decisive(values, [tau, tau + 1][: len(names)], decides)
    return found | {"tau": tau} | dict(zip(names, written, strict=True))


def _mean(instance: Question) -> list[str | None]:
    law = instance.setting.one_law
    if law.first == law.last:
        return decisive(PointValues(instance.formula, instance.setting), [law.first], not_one)[0]
    written = around(instance.setting.mean(instance.formula), 30)
    if not not_one(enclosure(written)):
        raise Undecided("E[C] is too close to 1 to be written apart from it")
    return written


def _divergence(instance: Question, condition: str, first: int) -> dict[str, Any]:
    """Which moment diverges, from where on."""
    for of in MOMENTS if condition == "moments" else ("mean",):
        if diverges_from(instance.formula, instance.setting, of, first):
            return {"of": of, "start": first}
    raise Undecided("no moment is shown to diverge from there on")

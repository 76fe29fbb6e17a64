"""Verifying laws that violate a condition: C is computed from the masses, as it is defined."""

from __future__ import annotations

from typing import Any

from theory.certificates.enclosures import bound, contains_value, enclosure, rational
from theory.certificates.questions import law_on, whole
from theory.certificates.refutations import not_one, rises
from theory.certificates.rejection import Rejected, require, require_only
from theory.distortions.factors import Factors
from theory.distortions.question import FACTS, ZERO, DistortionQuestion
from theory.distortions.unbounded import gain_before_one, least_growth
from theory.laws import FiniteLaw, Law
from theory.numbers.balls import NotFinite
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fmpq, exact

_FARTHEST = 1_000_000  # how far the next point of a law may be


def verify_distortion_refutation(question: DistortionQuestion, condition: str, evidence: dict[str, Any]) -> None:
    """Verifies a counterexample; Rejected, or an error that says so, where it is none."""
    instance, own = instance_of(question, evidence)
    if "unbounded" in own:
        _is_unbounded(instance, condition, own)
    elif condition == "magnitude" and "undefined" not in own:
        _mean_is_not_one(instance, own)
    else:
        _at_a_point(instance, condition, own)


def instance_of(question: DistortionQuestion, evidence: dict[str, Any]) -> tuple[DistortionQuestion, dict[str, Any]]:
    """The question in the law and the parameters of a counterexample, and the evidence without these."""
    own, law = dict(evidence), question.law
    if "law" in own:
        require(law is None, "the question has a law")
        law = law_on((0, None), own.pop("law"))
    values = own.pop("parameters", {})
    require(isinstance(values, dict) and set(values) == set(question.parameters), "its parameters")
    chosen = {name: as_fmpq(rational(value)) for name, value in values.items()}
    for name, value in chosen.items():
        require(question.parameters[name].holds(value), f"{name} is outside its range")
    parameters = {name: Range(value, value) for name, value in chosen.items()}
    return DistortionQuestion(question.distortion, parameters, law, question.amplitude), own


def gain_of(instance: DistortionQuestion) -> Factors:
    """The factor g(1) - g(0) under a law on the one point 0."""
    return Factors(instance.distortion, instance.parameters, FiniteLaw({0: exact("1")}, ["constant", "0"]))


def next_point(law: Law, tau: int) -> int:
    """The next staleness with mass; Rejected where there is none, or it is very far."""
    last = tau + _FARTHEST if law.last is None else min(law.last, tau + _FARTHEST)
    for following in range(tau + 1, last + 1):
        if law.has_mass(following):
            return following
    raise Rejected("no point of the law follows")


def _law_of(instance: DistortionQuestion) -> Law:
    require(instance.law is not None, "a law is needed")
    assert instance.law is not None
    return instance.law


def _at_a_point(instance: DistortionQuestion, condition: str, own: dict[str, Any]) -> None:
    law = _law_of(instance)
    tau = own["tau"]
    require(whole(tau) and law.has_mass(tau), "the law has no mass there")
    factors: Any = Factors(instance.distortion, instance.parameters, law)
    if "undefined" in own:
        require_only(own, "tau", "undefined")
        require(own["undefined"] is True, "undefined is true")
        try:
            factors.certain(tau)
        except NotFinite:
            return
        raise Rejected("it has a value there")
    require_only(own, "tau", "value", *(["next"] if condition == "decreasing" else []))
    value = enclosure(own["value"])
    require(contains_value(value, factors, tau), f"the value at {tau} is not in its enclosure")
    if condition == "decreasing":
        after, following = enclosure(own["next"]), next_point(law, tau)
        require(contains_value(after, factors, following), f"the value at {following} is not in its enclosure")
        require(rises(value, after), "the values do not refute it")
    else:
        require(decides(condition, instance, value), "the value does not refute it")


def decides(condition: str, instance: DistortionQuestion, value: tuple) -> bool:
    """Whether an enclosure of C, where the law has mass, refutes ``positive`` or ``amplitude``."""
    low, high = value
    if condition == "positive":
        return high is not None and bool(high <= 0)
    least, most = (as_fmpq(1 + way * instance.amplitude) for way in (-1, 1))
    return condition == "amplitude" and ((low is not None and low > most) or (high is not None and high < least))


def _mean_is_not_one(instance: DistortionQuestion, own: dict[str, Any]) -> None:
    law = _law_of(instance)
    if "jump" in own:
        require_only(own, "jump")
        require_only(own["jump"], "from", "mean")
        require(law.last is None, "a law without end is needed")
        known = gain_before_one(instance, as_fmpq(rational(own["jump"]["from"])))
        require(known is not None, "g is not shown to jump")
        assert known is not None
        low, high = enclosure(own["jump"]["mean"])
        require(not_one((low, high)), "the bounds of E[C] do not refute it")
        least, most = (as_fmpq(exact(end)) for end in known)
        require((low is None or low <= least) and (high is None or most <= high), "the bounds of E[C]")
        return
    require_only(own, "mean", *(["slopes"] if law.last is None else []))
    claimed, gain = enclosure(own["mean"]), gain_of(instance)
    require(not_one(claimed), "the enclosure of E[C] does not refute it")
    values: Any = gain
    require(contains_value(claimed, values, 0), "g(1) - g(0) is not in its enclosure")
    if law.last is None:  # the gain is E[C] where g is continuous at 1
        FACTS["magnitude"](instance, ZERO, own["slopes"])


def _is_unbounded(instance: DistortionQuestion, condition: str, own: dict[str, Any]) -> None:
    require_only(own, "unbounded")
    require_only(own["unbounded"], "from", "power", "least")
    require(condition == "moments" and instance.law is None, f"{condition} is not refuted so")
    start, power = (as_fmpq(rational(own["unbounded"][name])) for name in ("from", "power"))
    require(0 <= start < 1, "from where on it grows")
    least = least_growth(instance, start, power)
    claimed = bound(own["unbounded"]["least"])
    require(least is not None and 0 < claimed <= least, "it is not shown to grow without bound")

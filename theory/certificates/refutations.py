"""Verifying counterexamples by evaluating them again."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from flint import fmpq

from theory.analysis import tails
from theory.analysis.expectation import Diverges, UnderLaw, moments
from theory.analysis.means import mean_apart_from_one
from theory.analysis.pointwise import PointValues
from theory.certificates.rejection import Rejected, require, require_only
from theory.decisions.question import Question, end_from_json
from theory.laws.parsing import from_json as law_from_json
from theory.numbers.balls import NotFinite, Number
from theory.numbers.decimals import digits_apart, ends
from theory.numbers.ranges import Range


def _refuted(violated: Callable[[Question, dict[str, Any]], None]) -> Callable[[Question, dict[str, Any]], None]:
    """Verifies a counterexample in the question's own law and parameters, or in single ones within them."""

    def again(question: Question, evidence: dict[str, Any]) -> None:
        if set(evidence) == {"unbounded"}:
            violated(question, evidence)
            return
        require_only(evidence, "counterexample")
        counterexample = dict(evidence["counterexample"])
        law = law_from_json(counterexample.pop("law")) if "law" in counterexample else None
        require(question.setting.law is None or law == question.setting.law, "another law than the question's")
        values = {name: end_from_json(value) for name, value in counterexample.pop("parameters", {}).items()}
        require(set(values) == set(question.setting.parameters), "its parameters")
        for name, value in values.items():
            require(value is not None and question.setting.parameters[name].holds(value), f"{name} outside its range")
        setting = question.setting
        if values or law != question.setting.law:
            setting = UnderLaw({n: Range(v, v) for n, v in values.items()}, law, question.setting.cdf)
        instance = Question(question.formula, setting, question.domain, question.amplitude)
        first, last = question.domain
        if "tau" in counterexample:
            require(
                counterexample["tau"] >= first and (last is None or counterexample["tau"] <= last), "outside the domain"
            )
        if counterexample.pop("undefined", False) is True:
            _is_undefined(instance, counterexample)
            wherever = violated in (_is_not_positive, _rises, _strays)
            require(wherever or law is None or law.has_mass(counterexample["tau"]), "the law has no mass there")
        else:
            violated(instance, counterexample)

    return again


def _is_undefined(instance: Question, counterexample: dict[str, Any]) -> None:
    require_only(counterexample, "tau")
    try:
        PointValues(instance.formula, instance.setting).certain(counterexample["tau"])
    except NotFinite:
        return
    raise Rejected("it has a value there")


def _is_not_positive(instance: Question, counterexample: dict[str, Any]) -> None:
    require_only(counterexample, "tau", "value")
    values, tau = PointValues(instance.formula, instance.setting), counterexample["tau"]
    has_mass = instance.setting.law is None or instance.setting.law.has_mass(tau)
    below = values.compare(tau, Fraction(0))
    require(below < 0 or (below == 0 and has_mass), "it is positive there")
    _same(counterexample["value"], values.certain(tau))


def _rises(instance: Question, counterexample: dict[str, Any]) -> None:
    require_only(counterexample, "tau", "value", "next")
    values, tau = PointValues(instance.formula, instance.setting), counterexample["tau"]
    require(instance.domain[1] is None or tau + 1 <= instance.domain[1], "outside the domain")
    require(values.compare(tau, values, tau + 1) < 0, "it does not rise there")
    _same(counterexample["value"], values.certain(tau))
    _same(counterexample["next"], values.certain(tau + 1))


def _mean_is_not_one(instance: Question, counterexample: dict[str, Any]) -> None:
    require(instance.setting.law is not None, "a law is needed")
    if "diverges" in counterexample:
        _is_infinite(instance, counterexample)
        return
    require_only(counterexample, "mean")
    mean = mean_apart_from_one(instance.formula, instance.setting)
    require(mean is not None, "E[C] cannot be told from 1")
    # Under one point the mean is a value, which is exact where it is rational.
    law = instance.setting.one_law
    single = law.support() is not None and law.first == law.last
    known = [mean, PointValues(instance.formula, instance.setting).certain(law.first)] if single else [mean]
    claimed = [ends(one, max(15, digits_apart(one, fmpq(1)))) for one in known if one is not None]
    require(counterexample["mean"] in claimed, "the enclosure of E[C]")


def _is_infinite(instance: Question, counterexample: dict[str, Any]) -> None:
    require_only(counterexample, "diverges")
    try:
        moments(instance.formula, instance.setting)
    except Diverges as error:
        require(error.first == counterexample["diverges"], "from where on it diverges")
        return
    raise Rejected("the moments are finite")


def _strays(instance: Question, counterexample: dict[str, Any]) -> None:
    require_only(counterexample, "tau", "value")
    values, tau = PointValues(instance.formula, instance.setting), counterexample["tau"]
    outside = values.compare(tau, 1 + instance.amplitude) > 0 or values.compare(tau, 1 - instance.amplitude) < 0
    require(outside, "it is within the amplitude there")
    _same(counterexample["value"], values.certain(tau))


def _no_moments(instance: Question, counterexample: dict[str, Any]) -> None:
    if "unbounded" in counterexample:
        require(
            counterexample == {"unbounded": 64} and instance.setting.law is None and instance.domain[1] is None,
            "how it is unbounded",
        )
        require(tails.growing(instance.formula, instance.setting, 64), "it is not shown to be unbounded")
    else:
        _is_infinite(instance, counterexample)


#: What verifies the evidence of a refutation, by condition.
COUNTEREXAMPLES: dict[str, Callable[[Question, dict[str, Any]], None]] = {
    "defined": _refuted(_is_undefined),
    "positive": _refuted(_is_not_positive),
    "decreasing": _refuted(_rises),
    "magnitude": _refuted(_mean_is_not_one),
    "amplitude": _refuted(_strays),
    "moments": _refuted(_no_moments),
}


def _same(claimed: list[str], value: Number) -> None:
    require(claimed == ends(value), f"the value there is in {ends(value)}")

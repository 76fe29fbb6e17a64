"""Counterexamples, evaluated again."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from flint import fmpq

from theory.analysis import tails
from theory.analysis.expectation import Diverges, UnderLaw, moments
from theory.analysis.pointwise import PointValues
from theory.certificates.rejection import Rejected, require, require_only
from theory.decisions.question import Question, end_from_json
from theory.laws.parsing import from_json as law_from_json
from theory.numbers import ranges
from theory.numbers.balls import NotFinite, Number, sign
from theory.numbers.decimals import ends
from theory.numbers.ranges import Range


def _refuted(violated: Callable[[Question, dict[str, Any]], None]) -> Callable[[Question, dict[str, Any]], None]:
    """Looks at a counterexample again: in the question's own law and parameters, or in single ones within them."""

    def again(asked: Question, evidence: dict[str, Any]) -> None:
        if set(evidence) == {"unbounded"}:
            violated(asked, evidence)
            return
        require_only(evidence, "counterexample")
        told = dict(evidence["counterexample"])
        law = law_from_json(told.pop("law")) if "law" in told else None
        require(asked.setting.law is None or law == asked.setting.law, "another law than the question's")
        values = {name: end_from_json(value) for name, value in told.pop("parameters", {}).items()}
        require(set(values) == set(asked.setting.parameters), "its parameters")
        for name, value in values.items():
            require(_holds(asked.setting.parameters[name], value), f"{name} outside its range")
        setting = asked.setting
        if values or law != asked.setting.law:
            setting = UnderLaw({n: Range(v, v) for n, v in values.items()}, law, asked.setting.cdf)
        at = Question(asked.formula, setting, asked.domain, asked.amplitude)
        first, last = asked.domain
        if "tau" in told:
            require(told["tau"] >= first and (last is None or told["tau"] <= last), "outside the domain")
        if told.pop("undefined", False) is True:
            _is_undefined(at, told)
            wherever = violated in (_is_not_positive, _rises, _strays)
            require(wherever or law is None or law.has_mass(told["tau"]), "the law has no mass there")
        else:
            violated(at, told)

    return again


def _holds(known: Range, value: fmpq | None) -> bool:
    if value is None:
        return False
    inside = ranges.point(value)
    above = known.low is None or (inside - ranges.point(known.low)).is_nonnegative()
    below = known.high is None or (ranges.point(known.high) - inside).is_nonnegative()
    return above and below


def _is_undefined(at: Question, told: dict[str, Any]) -> None:
    require_only(told, "tau")
    try:
        PointValues(at.formula, at.setting).certain(told["tau"])
    except NotFinite:
        return
    raise Rejected("it has a value there")


def _is_not_positive(at: Question, told: dict[str, Any]) -> None:
    require_only(told, "tau", "value")
    points, tau = PointValues(at.formula, at.setting), told["tau"]
    has_mass = at.setting.law is None or at.setting.law.has_mass(tau)
    below = points.compare(tau, Fraction(0))
    require(below < 0 or (below == 0 and has_mass), "it is positive there")
    _same(told["value"], points.certain(tau))


def _rises(at: Question, told: dict[str, Any]) -> None:
    require_only(told, "tau", "value", "next")
    points, tau = PointValues(at.formula, at.setting), told["tau"]
    require(at.domain[1] is None or tau + 1 <= at.domain[1], "outside the domain")
    require(points.compare(tau, points, tau + 1) < 0, "it does not rise there")
    _same(told["value"], points.certain(tau))
    _same(told["next"], points.certain(tau + 1))


def _mean_is_not_one(at: Question, told: dict[str, Any]) -> None:
    require(at.setting.law is not None, "a law is needed")
    if "diverges" in told:
        _is_infinite(at, told)
        return
    require_only(told, "mean")
    mean = at.setting.mean(at.formula)
    require(sign(mean - 1) != 0, "E[C] is 1")
    # Under one point the mean is a value, which is exact where it is rational.
    law = at.setting.one_law
    single = law.support() is not None and law.first == law.last
    exact = PointValues(at.formula, at.setting).certain(law.first) if single else mean
    require(told["mean"] in (ends(mean), ends(exact)), "the enclosure of E[C]")


def _is_infinite(at: Question, told: dict[str, Any]) -> None:
    require_only(told, "diverges")
    try:
        moments(at.formula, at.setting)
    except Diverges as error:
        require(error.first == told["diverges"], "from where on it diverges")
        return
    raise Rejected("the moments are finite")


def _strays(at: Question, told: dict[str, Any]) -> None:
    require_only(told, "tau", "value")
    points, tau = PointValues(at.formula, at.setting), told["tau"]
    outside = points.compare(tau, 1 + at.amplitude) > 0 or points.compare(tau, 1 - at.amplitude) < 0
    require(outside, "it is within the amplitude there")
    _same(told["value"], points.certain(tau))


def _no_moments(at: Question, told: dict[str, Any]) -> None:
    if "unbounded" in told:
        require(told == {"unbounded": 64} and at.setting.law is None and at.domain[1] is None, "how it is unbounded")
        require(tails.growing(at.formula, at.setting, 64), "it is not shown to be unbounded")
    else:
        _is_infinite(at, told)


#: What verifies the evidence of a refutation, by condition.
COUNTEREXAMPLES: dict[str, Callable[[Question, dict[str, Any]], None]] = {
    "defined": _refuted(_is_undefined),
    "positive": _refuted(_is_not_positive),
    "decreasing": _refuted(_rises),
    "magnitude": _refuted(_mean_is_not_one),
    "amplitude": _refuted(_strays),
    "moments": _refuted(_no_moments),
}


def _same(told: list[str], value: Number) -> None:
    require(told == ends(value), f"the value there is in {ends(value)}")

"""Verifying counterexamples by evaluating them again, in the law and the parameters that they name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from theory.analysis import tails
from theory.analysis.evaluation import compiled
from theory.analysis.expectation import UnderLaw, does_not_shrink
from theory.analysis.means import mean_apart_from_one
from theory.analysis.pointwise import PointValues
from theory.analysis.setting import Setting
from theory.certificates.enclosures import Enclosure, contains, contains_value, enclosure, rational
from theory.certificates.questions import law_on, whole
from theory.certificates.rejection import Rejected, require, require_only
from theory.decisions.question import Question
from theory.formulas.formula import TAU, Formula, factored, multiply, number
from theory.numbers.balls import NotFinite, sign
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fmpq

#: The moments by the names that certificates give them: what is expected, from C.
MOMENTS: dict[str, Callable[[Formula], Formula]] = {
    "mean": lambda formula: formula,
    "mean_square": lambda formula: ("power", formula, number(2)),
    "staleness_mean": lambda formula: multiply(TAU, formula),
}
#: Conditions that are about the values of C wherever they are, not about its mean.
_ABOUT_VALUES = ("defined", "positive", "decreasing", "amplitude")


def verify_refutation(question: Question, condition: str, evidence: dict[str, Any]) -> None:
    """Verifies a counterexample.

    Args:
      question: what it answers.
      condition: what it refutes.
      evidence: the counterexample.

    Raises:
      Rejected: where it is none.
    """
    if "unbounded" in evidence:
        _is_unbounded(question, condition, evidence)
        return
    instance, own = instance_of(question, evidence)
    if "tau" in own:
        _require_in_domain(question, own["tau"])
    if "undefined" in own:
        _is_undefined(instance, condition, own)
    elif "diverges" in own:
        _diverges(instance, condition, own)
    else:
        require(condition in _VALUES, f"{condition} is not refuted so")
        _VALUES[condition](instance, own)


def instance_of(question: Question, evidence: dict[str, Any]) -> tuple[Question, dict[str, Any]]:
    """The question in the law and the parameters of a counterexample, and the evidence without these."""
    own, setting = dict(evidence), question.setting
    law = setting.law
    if "law" in own:
        require(law is None, "the question has a law")
        law = law_on(question.domain, own.pop("law"))
    values = own.pop("parameters", {})
    require(isinstance(values, dict) and set(values) == set(setting.parameters), "its parameters")
    chosen = {name: as_fmpq(rational(value)) for name, value in values.items()}
    for name, value in chosen.items():
        require(setting.parameters[name].holds(value), f"{name} is outside its range")
    if law != setting.law or not setting.is_fixed():
        setting = UnderLaw({name: Range(value, value) for name, value in chosen.items()}, law, setting.cdf)
    return Question(question.formula, setting, question.domain, question.amplitude), own


def not_positive(instance: Question, tau: int) -> Callable[[Enclosure], bool]:
    """What an enclosure of C(τ) has to show: C < 0, or ≤ 0 where the law has mass."""
    law = instance.setting.law
    has_mass = law is None or law.has_mass(tau)
    return lambda value: value[1] is not None and (value[1] < 0 or (value[1] == 0 and has_mass))


def outside(instance: Question) -> Callable[[Enclosure], bool]:
    """What an enclosure of C(τ) has to show: that it is farther from 1 than the amplitude."""
    least, most = (as_fmpq(1 + way * instance.amplitude) for way in (-1, 1))
    return lambda value: (value[0] is not None and value[0] > most) or (value[1] is not None and value[1] < least)


def rises(value: Enclosure, after: Enclosure) -> bool:
    """What enclosures of C(τ) and C(τ+1) have to show: that the latter is larger."""
    return value[1] is not None and after[0] is not None and bool(value[1] < after[0])


def not_one(value: Enclosure) -> bool:
    """What an enclosure of E[C] has to show: that it is not 1."""
    return (value[0] is not None and value[0] > 1) or (value[1] is not None and value[1] < 1)


def diverges_from(formula: Formula, setting: Setting, of: str, start: int) -> bool:
    """Whether a moment's terms are shown to keep one sign and not to shrink from a start on; constants aside."""
    if does_not_shrink(MOMENTS[of](formula), setting, start):
        return True
    constants, moving = factored(formula)
    if not constants or not moving or sign(compiled(multiply(*constants), setting)(0)) == 0:
        return False
    return does_not_shrink(MOMENTS[of](multiply(*moving)), setting, start)


def _is_undefined(instance: Question, condition: str, own: dict[str, Any]) -> None:
    require_only(own, "tau", "undefined")
    law = instance.setting.law
    require(own["undefined"] is True, "undefined is true")
    require(condition in _ABOUT_VALUES or law is None or law.has_mass(own["tau"]), "the law has no mass there")
    try:
        PointValues(instance.formula, instance.setting).certain(own["tau"])
    except NotFinite:
        return
    raise Rejected("it has a value there")


def _is_not_positive(instance: Question, own: dict[str, Any]) -> None:
    require_only(own, "tau", "value")
    claimed = enclosure(own["value"])
    require(not_positive(instance, own["tau"])(claimed), "the value does not refute it")
    _require_value(instance, own["tau"], claimed)


def _rises(instance: Question, own: dict[str, Any]) -> None:
    require_only(own, "tau", "value", "next")
    tau = own["tau"]
    _require_in_domain(instance, tau + 1)
    value, after = enclosure(own["value"]), enclosure(own["next"])
    require(rises(value, after), "the values do not refute it")
    _require_value(instance, tau, value)
    _require_value(instance, tau + 1, after)


def _strays(instance: Question, own: dict[str, Any]) -> None:
    require_only(own, "tau", "value")
    claimed = enclosure(own["value"])
    require(outside(instance)(claimed), "the value does not refute it")
    _require_value(instance, own["tau"], claimed)


def _mean_is_not_one(instance: Question, own: dict[str, Any]) -> None:
    require_only(own, "mean")
    claimed, law = enclosure(own["mean"]), instance.setting.one_law
    require(not_one(claimed), "the enclosure of E[C] does not refute it")
    if law.first == law.last:  # under one point the mean is a value, which is exact where it is rational
        _require_value(instance, law.first, claimed)
    elif not _contains_ball(claimed, instance):  # exact, or finer than the balls
        mean = mean_apart_from_one(instance.formula, instance.setting)
        if mean is None:
            raise Rejected("E[C] cannot be told from 1")
        require(contains(claimed, mean), "the enclosure of E[C] does not hold")


def _contains_ball(claimed: Enclosure, instance: Question) -> bool:
    try:
        return contains(claimed, instance.setting.mean(instance.formula))
    except ArithmeticError:
        return False


def _diverges(instance: Question, condition: str, own: dict[str, Any]) -> None:
    require_only(own, "diverges")
    require_only(own["diverges"], "of", "start")
    of, start = own["diverges"]["of"], own["diverges"]["start"]
    require(condition == "moments" or (condition == "magnitude" and of == "mean"), f"{condition} is not refuted so")
    require(of in MOMENTS and whole(start) and start >= 1, "which moment, and from where on")
    require(diverges_from(instance.formula, instance.setting, of, start), "it is not shown to diverge from there on")


def _is_unbounded(question: Question, condition: str, evidence: dict[str, Any]) -> None:
    require_only(evidence, "unbounded")
    require_only(evidence["unbounded"], "start")
    start = evidence["unbounded"]["start"]
    require(condition == "moments" and question.setting.law is None, f"{condition} is not refuted so")
    require(question.domain[1] is None, "the domain has an end")
    require(whole(start) and start >= 1, "it starts at an integer ≥ 1")
    require(tails.growing(question.formula, question.setting, start), "it is not shown to be unbounded")


_VALUES: dict[str, Callable[[Question, dict[str, Any]], None]] = {
    "positive": _is_not_positive,
    "decreasing": _rises,
    "amplitude": _strays,
    "magnitude": _mean_is_not_one,
}


def _require_value(instance: Question, tau: int, claimed: Enclosure) -> None:
    values = PointValues(instance.formula, instance.setting)
    require(contains_value(claimed, values, tau), f"the value at {tau} is not in its enclosure")


def _require_in_domain(question: Question, tau: Any) -> None:
    first, last = question.domain
    require(whole(tau) and tau >= first and (last is None or tau <= last), "it is outside the domain")

"""Values that contradict a condition, each with all that is needed to evaluate it again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from fractions import Fraction

from theory.analysis.pointwise import PointValues
from theory.decisions.counterexamples import suspects, witness
from theory.decisions.question import Question
from theory.decisions.verdict import Finding, refuted
from theory.numbers.balls import NotFinite
from theory.numbers.decimals import ends, shown


def not_defined(question: Question, settled: int | None, *, few: bool = False) -> Finding | None:
    """A staleness at which C is no real, finite number; those from ``settled`` on need no look."""
    for tau, instance, instance_values in suspects(question, settled, few=few):
        try:
            instance_values.certain(tau)
        except NotFinite as error:
            return refuted(f"C({tau}) is not a real, finite number: {error}", **witness(instance, tau=tau))
        except ArithmeticError:
            continue
    return None


def not_positive(
    question: Question, settled: int | None, support: Sequence[int] = (), *, few: bool = False
) -> Finding | None:
    """A value that is negative, or 0 where the law has mass; ``support`` is looked at first."""
    suspected = suspects(question, settled, few=few)
    if question.setting.is_fixed():
        own_values = PointValues(question.formula, question.setting)
        suspected = itertools.chain(((tau, question, own_values) for tau in support), suspected)
    for tau, instance, values in suspected:
        try:
            sign_there = values.compare(tau, Fraction(0))
        except ArithmeticError:
            continue
        has_mass = instance.setting.law is None or instance.setting.law.has_mass(tau)
        if sign_there < 0 or (sign_there == 0 and has_mass):
            value = values.certain(tau)
            return refuted(
                f"C({tau}) {shown(value)}{'' if sign_there else ', where the law has mass'}",
                **witness(instance, tau=tau, value=ends(value)),
            )
    return None


def not_decreasing(question: Question, settled: int | None, *, few: bool = False) -> Finding | None:
    """Neighbours between which C rises."""
    for tau, instance, instance_values in suspects(question, settled, few=few):
        if question.domain[1] is not None and tau >= question.domain[1]:
            continue
        try:
            if instance_values.compare(tau, instance_values, tau + 1) >= 0:
                continue
            neighbours = instance_values.certain(tau), instance_values.certain(tau + 1)
        except ArithmeticError:
            continue
        return refuted(
            f"C({tau}) {shown(neighbours[0])} < C({tau + 1}) {shown(neighbours[1])}",
            **witness(instance, tau=tau, value=ends(neighbours[0]), next=ends(neighbours[1])),
        )
    return None


def not_within(question: Question, settled: int | None, *, few: bool = False) -> Finding | None:
    """A staleness at which C is farther from 1 than the amplitude."""
    bound = question.amplitude
    for tau, instance, instance_values in suspects(question, settled, few=few):
        try:
            if instance_values.compare(tau, 1 + bound) <= 0 and instance_values.compare(tau, 1 - bound) >= 0:
                continue
            value = instance_values.certain(tau)
        except ArithmeticError:
            continue
        return refuted(
            f"|C({tau}) - 1| > {bound}, as C({tau}) {shown(value)}", **witness(instance, tau=tau, value=ends(value))
        )
    return None


#: Searches for a value that contradicts a condition, also where a proof says that there is none.
CONTRADICTIONS: dict[str, Callable[..., Finding | None]] = {
    "defined": not_defined,
    "positive": not_positive,
    "decreasing": not_decreasing,
    "amplitude": not_within,
}

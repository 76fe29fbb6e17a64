"""Questions about a distortion: under which law, with which bound; and the facts about its slopes that answer them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from flint import fmpq

from theory.decisions.question import range_to_json
from theory.distortions.slopes import Curve, bounded_near_one, concave, defined, equals, rises
from theory.formulas.formula import Formula, U, multiply, number, subtract
from theory.formulas.writing import digest, to_json
from theory.laws import Law
from theory.numbers.ranges import Range

ZERO = fmpq(0)


@dataclasses.dataclass(frozen=True)
class DistortionQuestion:
    """A distortion g under one law, or under every law: C(τ) = (g(F(τ)) - g(F(τ⁻)))/p(τ), where the law has mass.

    Attributes:
      distortion: g, a formula in u.
      parameters: the range of each parameter.
      law: the law of the staleness; None for every law.
      amplitude: A.
    """

    distortion: Formula
    parameters: Mapping[str, Range]
    law: Law | None = None
    amplitude: Fraction = Fraction(1)

    def is_fixed(self) -> bool:
        """Whether every parameter is one number."""
        return all(known.is_point() for known in self.parameters.values())

    def curve(self, low: fmpq = ZERO) -> Curve:
        """The distortion on [low, 1]."""
        return Curve(self.distortion, self.parameters, low)

    def to_json(self) -> dict[str, Any]:
        """The question as JSON data, exactly, for certificates."""
        return {
            "distortion": to_json(self.distortion),
            "amplitude": str(self.amplitude),
            "parameters": {name: range_to_json(known) for name, known in sorted(self.parameters.items())},
            "law": None if self.law is None else self.law.to_json(),
        }

    def digest(self) -> str:
        """SHA-256 of the question."""
        return digest(self.to_json())


def _defined(question: DistortionQuestion, low: fmpq, given: Any) -> dict[str, Any]:
    return {"defined": defined(question.curve(low), _part(given, "defined"))}


def _positive(question: DistortionQuestion, low: fmpq, given: Any) -> dict[str, Any]:
    return {"rises": rises(question.curve(low), 1, _part(given, "rises"))}


def _decreasing(question: DistortionQuestion, low: fmpq, given: Any) -> dict[str, Any]:
    return {"concave": concave(question.curve(low), _part(given, "concave"))}


def _magnitude(question: DistortionQuestion, low: fmpq, given: Any) -> dict[str, Any]:
    """That E[C] is g(1) - g(0), also under laws without end; see :func:`gain_is_one` for its being 1."""
    curve = question.curve(low)
    if given is None:
        try:
            return {"bounded": bounded_near_one(curve)}
        except ArithmeticError:
            return {"rises": rises(curve, 2, jumps=False)}
    if "bounded" in given:
        return {"bounded": bounded_near_one(curve, _part(given, "bounded"))}
    return {"rises": rises(curve, 2, _part(given, "rises"), jumps=False)}


def _amplitude(question: DistortionQuestion, low: fmpq, given: Any) -> dict[str, Any]:
    lines = {"above": 1 + question.amplitude, "below": 1 - question.amplitude}
    found = {}
    for name, slope in lines.items():
        line = multiply(number(slope), U)
        gap = subtract(line, question.distortion) if name == "above" else subtract(question.distortion, line)
        found[name] = rises(Curve(gap, question.parameters, low), 2, _part(given, name))
    return found


def _moments(question: DistortionQuestion, low: fmpq, given: Any) -> dict[str, Any]:
    curve = question.curve(low)
    if given is None:
        try:
            return {"bounded": bounded_near_one(curve)}
        except ArithmeticError:
            return {"concave": concave(curve), "rises": rises(curve, 2)}
    if "bounded" in given:
        return {"bounded": bounded_near_one(curve, _part(given, "bounded"))}
    return {
        "concave": concave(curve, _part(given, "concave")),
        "rises": rises(curve, 2, _part(given, "rises")),
    }


def _part(given: Any, name: str) -> Any:
    return None if given is None else given[name]


#: What answers each condition under every law: facts about g on [low, 1], found, or verified where they are given.
FACTS: dict[str, Callable[[DistortionQuestion, fmpq, Any], dict[str, Any]]] = {
    "defined": _defined,
    "positive": _positive,
    "decreasing": _decreasing,
    "magnitude": _magnitude,
    "amplitude": _amplitude,
    "moments": _moments,
}


def gain_is_one(question: DistortionQuestion) -> bool:
    """Whether g(1) - g(0) is shown to be exactly 1, for all values of the parameters."""
    curve = question.curve()
    first, last = curve.value(ZERO), curve.value(fmpq(1))
    if equals(first, 0) and equals(last, 1):
        return True
    return equals(subtract(last, first), 1)

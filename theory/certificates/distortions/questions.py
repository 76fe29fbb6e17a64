"""Questions about distortions as certificates hold them, read as strictly as those about step-size functions."""

from __future__ import annotations

from typing import Any

from theory.certificates.enclosures import rational
from theory.certificates.questions import formula_from_json, law_on, parameters_from_json, written_parameters
from theory.certificates.rejection import require, require_only
from theory.distortions.question import DistortionQuestion
from theory.formulas.formula import nodes
from theory.formulas.writing import text

_NOT_OF_U = ("tau", "F", "mean")


def is_about_a_distortion(data: Any) -> bool:
    """Whether JSON data is meant as a question about a distortion."""
    return isinstance(data, dict) and "distortion" in data


def distortion_question_from_json(data: Any) -> DistortionQuestion:
    """The question that a certificate holds; Rejected where it is none."""
    require_only(data, "distortion", "amplitude", "parameters", "law", what="a question about a distortion")
    parameters = parameters_from_json(data["parameters"])
    require("u" not in parameters, "u is no name of a parameter here")
    distortion = formula_from_json(data["distortion"], parameters)
    for node in nodes(distortion):
        require(node[0] not in _NOT_OF_U, f"{node[0]} has no meaning in a distortion")
    law = None if data["law"] is None else law_on((0, None), data["law"])
    amplitude = rational(data["amplitude"])
    require(amplitude >= 0, "the amplitude is negative")
    question = DistortionQuestion(distortion, parameters, law, amplitude)
    require(question.to_json() == data, "the question is not in canonical form")
    return question


def text_of_distortion(question: DistortionQuestion) -> str:
    """A question about a distortion for people.

    Example:
      >>> from theory.formulas.formula import U
      >>> text_of_distortion(DistortionQuestion(U, {}))
      'g(u) = u, under every law, with amplitude 1'
    """
    written = f"g(u) = {text(question.distortion)}, under {question.law or 'every law'}"
    return f"{written}, with amplitude {question.amplitude}{written_parameters(question.parameters)}"

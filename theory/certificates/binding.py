"""Binding a certificate to a file: that its questions are those that the file asks when it is read again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from theory.candidates.candidate import Candidate, check_support
from theory.certificates.checker import Asked, Checked
from theory.certificates.rejection import Rejected
from theory.decisions.decision import asked_about, repaired
from theory.distortions.question import DistortionQuestion
from theory.formulas.writing import from_json, text
from theory.laws import Law


def require_same(checked: Checked, candidate: Candidate, laws: Sequence[Law]) -> None:
    """Rejects a certificate with a question that a candidate does not ask.

    Args:
      checked: what a certificate claims.
      candidate: what was read from the file.
      laws: the laws; those that the candidate names where there are none here; every law where neither has any.

    Raises:
      Rejected: with the first field that differs.
      CandidateError: for a law with mass outside the candidate's domain.
    """
    if not candidate.is_readable:
        raise Rejected(f"no formula was read from {candidate.name}: {candidate.untranslatable}")
    asked: list[Asked] = []
    for law in tuple(laws) or candidate.laws or (None,):
        if law is not None:
            check_support(candidate, law)
        question = asked_about(candidate, law)
        asked += [question] if isinstance(question, DistortionQuestion) else [question, repaired(question)]
    known = [question.to_json() for question in asked]
    for place, question in enumerate(checked.questions):
        if question.to_json() not in known:
            raise Rejected(f"question {place}: {_difference(question.to_json(), known, candidate.name)}")


def _difference(question: dict[str, Any], known: list[dict[str, Any]], name: str) -> str:
    """What tells a question from the one of the file that is most like it."""
    nearest = max(known, key=lambda one: sum(one.get(field) == value for field, value in question.items()))
    if nearest.keys() != question.keys():
        return f"it is about a {_kind(question)}, and {name} gives a {_kind(nearest)}"
    field = next(field for field in question if nearest[field] != question[field])
    return f"the {field} is {_shown(field, question)}, and {name} says {_shown(field, nearest)}"


def _kind(question: dict[str, Any]) -> str:
    return "distortion" if "distortion" in question else "step-size function"


def _shown(field: str, question: dict[str, Any]) -> str:
    if field in ("formula", "distortion"):
        return f"{'C(τ)' if field == 'formula' else 'g(u)'} = {text(from_json(question[field]))}"
    if field == "law" and question[field] is None:
        return "every law"
    return f"{question[field]}"

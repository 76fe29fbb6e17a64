"""Binding a certificate to a file: that its questions are those that the file asks when it is read again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from theory.candidates.candidate import Candidate, check_support
from theory.certificates.checker import Checked
from theory.certificates.rejection import Rejected
from theory.decisions.decision import question_about, repaired
from theory.decisions.question import Question
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
    if candidate.formula is None:
        raise Rejected(f"no formula was read from {candidate.name}: {candidate.untranslatable}")
    asked: list[Question] = []
    for law in tuple(laws) or candidate.laws or (None,):
        if law is not None:
            check_support(candidate, law)
        question = question_about(candidate, law)
        asked += [question, repaired(question)]
    known = [question.to_json() for question in asked]
    for place, question in enumerate(checked.questions):
        if question.to_json() not in known:
            raise Rejected(f"question {place}: {_difference(question.to_json(), known, candidate.name)}")


def _difference(question: dict[str, Any], known: list[dict[str, Any]], name: str) -> str:
    """What tells a question from the one of the file that is most like it."""
    nearest = max(known, key=lambda one: sum(one[field] == value for field, value in question.items()))
    field = next(field for field in ("formula", *question) if nearest[field] != question[field])
    return f"the {field} is {_shown(field, question)}, and {name} says {_shown(field, nearest)}"


def _shown(field: str, question: dict[str, Any]) -> str:
    if field == "formula":
        return f"C(τ) = {text(from_json(question[field]))}"
    if field == "law" and question[field] is None:
        return "every law"
    return f"{question[field]}"

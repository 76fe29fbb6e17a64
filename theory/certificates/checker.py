"""Certificates verified from their witnesses, claim by claim, without SymPy and without the prover's searches."""

from __future__ import annotations

import dataclasses
from typing import Any

from theory.certificates.proofs import PROOFS
from theory.certificates.questions import question_from_json, whole
from theory.certificates.refutations import verify_refutation
from theory.certificates.rejection import Rejected, require, require_only
from theory.decisions.question import Question
from theory.decisions.time_limit import OutOfTime, limited
from theory.decisions.verdict import needs_defined
from theory.formulas.writing import digest
from theory.numbers.balls import PRECISIONS, precision

#: The format that certificates name; another number is another format.
FORMAT = "jasgd theory certificate 2"
FIRST_FORMAT = "jasgd theory certificate 1"
MOST_CLAIMS = 1_000
#: Seconds for one claim.
LIMIT_S = 60.0
_UNREADABLE = (ArithmeticError, KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError)


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim that was verified.

    Attributes:
      place: of its question in the certificate.
      condition: what it is about.
      verdict: ``"PROVED"`` or ``"REFUTED"``.
    """

    place: int
    condition: str
    verdict: str


@dataclasses.dataclass(frozen=True)
class Checked:
    """What a certificate claims, all of it verified.

    Attributes:
      questions: what the claims are about.
      claims: the claims.
    """

    questions: tuple[Question, ...]
    claims: tuple[Claim, ...]

    def __len__(self) -> int:
        return len(self.claims)


def check(data: Any, *, limit_s: float = LIMIT_S) -> Checked:
    """Verifies a certificate.

    Args:
      data: the JSON data of a certificate.
      limit_s: seconds for each claim.

    Returns:
      What was verified.

    Raises:
      Rejected: where anything in it does not hold, or nothing is in it.
    """
    require(isinstance(data, dict), "a certificate is an object")
    first = data.get("format") == FIRST_FORMAT
    require(not first, "format 1 of certificates has no witnesses: verify again, with python -m theory.verify")
    require_only(data, "format", "versions", "candidate", "questions", "claims", "sha256", what="a certificate")
    require(data["format"] == FORMAT, f"format must be {FORMAT!r}, got {str(data['format'])[:60]!r}")
    body = {key: value for key, value in data.items() if key != "sha256"}
    require(data["sha256"] == digest(body), "its own hash does not fit")
    require_only(data["versions"], "jasgd", "python", "sympy", "python-flint", what="versions")
    require_only(data["candidate"], "name", "source", what="candidate")
    texts = (*data["versions"].values(), *data["candidate"].values())
    require(all(isinstance(text, str) for text in texts), "versions and candidate are texts")
    require(isinstance(data["questions"], list) and isinstance(data["claims"], list), "questions and claims are lists")
    require(len(data["claims"]) <= MOST_CLAIMS, f"a certificate has at most {MOST_CLAIMS:,} claims")
    require(len(data["claims"]) > 0, "it claims nothing, so nothing is verified")
    return _checked(data["questions"], data["claims"], limit_s)


def _checked(all_questions: list[Any], all_claims: list[Any], limit_s: float) -> Checked:
    questions, claims = [], []
    settings: dict[str, Question] = {}
    require(len(all_questions) <= len(all_claims), "there are more questions than claims")
    require(len({digest(one) for one in all_questions}) == len(all_questions), "a question is there twice")
    for place, one in enumerate(all_questions):
        questions.append(_within(f"question {place}", lambda one=one: question_of(one, settings), limit_s))
    for place, one in enumerate(all_claims):
        claims.append(_within(f"claim {place}", lambda one=one: _claim(one, questions), limit_s))
    about = {(claim.place, claim.condition) for claim in claims}
    require(len(about) == len(claims), "a claim is there twice")
    require({claim.place for claim in claims} == set(range(len(questions))), "a question has no claim")
    for place, (claim, one) in enumerate(zip(claims, all_claims, strict=True)):
        about_values = claim.verdict == "PROVED" and needs_defined(claim.condition, one["evidence"])
        shown = not about_values or Claim(claim.place, "defined", "PROVED") in claims
        require(shown, f"claim {place}: C may be undefined")
    return Checked(tuple(questions), tuple(claims))


def question_of(data: Any, settings: dict[str, Question]) -> Question:
    """The question of JSON data; one on another function under the same law shares what is known of that law."""
    question = question_from_json(data)
    known = digest({**data, "amplitude": None, "formula": None})
    return dataclasses.replace(question, setting=settings.setdefault(known, question).setting)


def verify_claim(question: Question, condition: str, verdict: str, evidence: Any) -> None:
    """Verifies one claim by itself; its conditions on other claims of a certificate aside.

    Args:
      question: what it is about, read from a certificate.
      condition: the condition.
      verdict: ``"PROVED"`` or ``"REFUTED"``.
      evidence: its witness.

    Raises:
      Rejected: where it does not hold, or cannot be read.
    """
    try:
        require(isinstance(evidence, dict), "evidence is an object")
        require(condition in PROOFS and verdict in ("PROVED", "REFUTED"), f"there is no claim {verdict, condition}")
        with precision(PRECISIONS[0]):
            if verdict == "PROVED":
                PROOFS[condition](question, evidence)
            else:
                verify_refutation(question, condition, evidence)
    except _UNREADABLE as error:
        raise _rejected(error) from error


def _claim(data: Any, questions: list[Question]) -> Claim:
    require_only(data, "question", "condition", "verdict", "evidence", what="a claim")
    place, condition, verdict = data["question"], data["condition"], data["verdict"]
    require(whole(place) and 0 <= place < len(questions), "there is no such question")
    require(isinstance(condition, str) and isinstance(verdict, str), "condition and verdict are texts")
    verify_claim(questions[place], condition, verdict, data["evidence"])
    return Claim(place, condition, verdict)


def _within(what: str, verified: Any, limit_s: float) -> Any:
    try:
        with limited(limit_s):
            return verified()
    except OutOfTime:
        raise Rejected(f"{what}: not verified within {limit_s:g} s") from None
    except _UNREADABLE as error:
        raise Rejected(f"{what}: {_rejected(error)}") from error


def _rejected(error: Exception) -> Rejected:
    if isinstance(error, Rejected):
        return error
    return Rejected(f"it cannot be read or verified: {type(error).__name__}: {str(error)[:200]}")

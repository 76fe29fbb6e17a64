"""Certificates verified again, claim by claim, without SymPy and without the prover."""

from __future__ import annotations

import dataclasses
import hashlib
from fractions import Fraction
from typing import Any

from theory.analysis.expectation import UnderLaw
from theory.certificates.proofs import PROOFS
from theory.certificates.refutations import COUNTEREXAMPLES
from theory.certificates.rejection import Rejected, require
from theory.decisions.question import Question, end_from_json
from theory.decisions.verdict import needs_defined
from theory.formulas.writing import digest, from_json
from theory.laws.law import CDF_KINDS
from theory.laws.parsing import from_json as law_from_json
from theory.numbers.balls import PRECISIONS, precision
from theory.numbers.ranges import Range

#: The format that certificates name; another number is another format.
FORMAT = "jasgd theory certificate 1"
_CHECKS = {("PROVED", name): verify for name, verify in PROOFS.items()} | {
    ("REFUTED", name): verify for name, verify in COUNTEREXAMPLES.items()
}


def check(data: Any) -> int:
    """Verifies a certificate.

    Args:
      data: the JSON data of a certificate.

    Returns:
      How many claims were verified.

    Raises:
      Rejected: where anything in it does not hold.
    """
    fields = {"format", "source", "source_sha256", "claims", "sha256"}
    require(isinstance(data, dict) and set(data) == fields, f"a certificate has the fields {sorted(fields)}")
    require(data["format"] == FORMAT, f"format must be {FORMAT!r}, got {data['format']!r}")
    body = {key: value for key, value in data.items() if key != "sha256"}
    require(data["sha256"] == digest(body), "its own hash does not fit")
    require(isinstance(data["source"], str), "source must be a text")
    require(
        data["source_sha256"] == hashlib.sha256(data["source"].encode()).hexdigest(), "the source's hash does not fit"
    )
    require(isinstance(data["claims"], list), "claims must be a list")
    seen, questions = set(), {}
    with precision(PRECISIONS[0]):
        for place, claim in enumerate(data["claims"]):
            try:
                seen.add(_verified(claim, questions))
            except Rejected as error:
                raise Rejected(f"claim {place}: {error}") from error
    require(len(seen) == len(data["claims"]), "a claim is there twice")
    defined = {c["question_sha256"] for c in data["claims"] if (c["condition"], c["verdict"]) == ("defined", "PROVED")}
    for place, claim in enumerate(data["claims"]):
        about_values = claim["verdict"] == "PROVED" and needs_defined(claim["condition"], claim["evidence"])
        require(not about_values or claim["question_sha256"] in defined, f"claim {place}: C may be undefined")
    return len(data["claims"])


def verify_claim(claim: dict[str, Any]) -> None:
    """Verifies one claim by itself; its conditions on other claims of a certificate aside.

    Raises:
      Rejected: where it does not hold, or cannot be read.
    """
    with precision(PRECISIONS[0]):
        _verified(claim, {})


def _verified(claim: dict[str, Any], questions: dict[str, Question]) -> tuple[str, str]:
    try:
        return _check_claim(claim, questions)
    except (ArithmeticError, KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError) as error:
        if isinstance(error, Rejected):
            raise
        raise Rejected(f"it cannot be read or verified: {type(error).__name__}: {error}") from error


def _check_claim(claim: dict[str, Any], questions: dict[str, Question]) -> tuple[str, str]:
    fields = {"condition", "verdict", "question", "question_sha256", "evidence", "evidence_sha256"}
    require(set(claim) == fields, f"a claim has the fields {sorted(fields)}")
    question = _question(claim["question"])
    require(question.to_json() == claim["question"], "the question is not in canonical form")
    require(question.digest() == claim["question_sha256"], "the question's hash does not fit")
    # Moments that are known already need not be summed again: the settings of claims on one function are shared.
    known = digest({**claim["question"], "amplitude": None, "formula": None})
    question = dataclasses.replace(question, setting=questions.setdefault(known, question).setting)
    require(digest(claim["evidence"]) == claim["evidence_sha256"], "the evidence's hash does not fit")
    key = (claim["verdict"], claim["condition"])
    require(key in _CHECKS, f"there is no claim {key}")
    _CHECKS[key](question, claim["evidence"])
    return claim["condition"], claim["question_sha256"]


def _question(data: dict[str, Any]) -> Question:
    parameters = {
        name: Range(end_from_json(low), end_from_json(high), bool(low_open), bool(high_open))
        for name, (low, high, low_open, high_open) in data["parameters"].items()
    }
    require(data["cdf"] in CDF_KINDS, f"cdf must be one of {', '.join(CDF_KINDS)}")
    law = None if data["law"] is None else law_from_json(data["law"])
    first, last = data["domain"]
    require(isinstance(first, int) and first >= 0 and (last is None or last >= first), "the domain is empty")
    setting = UnderLaw(parameters, law, data["cdf"])
    return Question(from_json(data["formula"]), setting, (first, last), Fraction(data["amplitude"]))

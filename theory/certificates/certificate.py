"""Writing certificates: what was proved or refuted, with the evidence, in canonical JSON that carries its own hash."""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

from jasgd.record.saving.files import write_whole
from theory.certificates.checker import FORMAT
from theory.decisions.decision import Decision, Report, question_about
from theory.decisions.question import Question
from theory.decisions.verdict import Verdict
from theory.formulas.writing import digest


def certificate(report: Report) -> dict[str, Any]:
    r"""The certificate of a report: every PROVED and REFUTED finding with its evidence.

    Args:
      report: the report.

    Returns:
      JSON data: ``format``; ``source`` and ``source_sha256``; ``claims``, each with the ``question`` (formula, law,
      domain, …), its ``question_sha256``, ``condition``, ``verdict``, ``evidence`` and ``evidence_sha256``; and the
      ``sha256`` of all that. ``python -m theory.check`` verifies it again. UNKNOWN claims nothing, and is left out.
    """
    claims = []
    if report.candidate.formula is not None:
        for place, law in enumerate(report.laws):
            claims += _claims(question_about(report.candidate, law), report.decisions, place)
        for repair in report.repairs:
            claims += _claims(repair.question, repair.decisions, 0)
    source = report.candidate.source
    body = {
        "format": FORMAT,
        "source": source,
        "source_sha256": hashlib.sha256(source.encode()).hexdigest(),
        "claims": claims,
    }
    return {**body, "sha256": digest(body)}


def save(data: dict[str, Any], path: str) -> None:
    """Writes a certificate; an old one stays as it was until the new one is there."""
    write_whole(pathlib.Path(path), (json.dumps(data, indent=1, sort_keys=True) + "\n").encode())


def _claims(question: Question, decisions: tuple[Decision, ...], place: int) -> list[dict[str, Any]]:
    claims = []
    for decision in decisions:
        _, finding = decision.findings[place]
        if finding.verdict is Verdict.UNKNOWN:
            continue
        claims.append(
            {
                "condition": decision.condition,
                "verdict": finding.verdict.value,
                "question": question.to_json(),
                "question_sha256": question.digest(),
                "evidence": finding.evidence,
                "evidence_sha256": digest(finding.evidence),
            }
        )
    return claims

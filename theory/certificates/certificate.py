"""Writing certificates: what was proved or refuted, with the evidence, in canonical JSON that carries its own hash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from jasgd.record.saving.files import write_whole
from theory.certificates.checker import FORMAT, verify_claim
from theory.certificates.rejection import Rejected
from theory.decisions.decision import Decision, Report, question_about
from theory.decisions.question import Question
from theory.decisions.time_limit import OutOfTime, limited
from theory.decisions.verdict import Finding, Verdict, unknown
from theory.formulas.writing import digest
from theory.laws import Law


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


def confirmed(report: Report, *, limit_s: float = 20.0) -> Report:
    """The report with UNKNOWN in place of each finding whose own certificate does not hold.

    Args:
      report: the report.
      limit_s: seconds for each finding; one that takes longer to verify than to decide stays as it is.

    Returns:
      The report; nothing that ``python -m theory.check`` would reject is left in it.
    """
    if report.candidate.formula is None:
        return report
    questions = {law: question_about(report.candidate, law) for law in report.laws}
    decisions = tuple(_confirmed(decision, questions, limit_s) for decision in report.decisions)
    repairs = tuple(
        dataclasses.replace(
            repair,
            decisions=tuple(_confirmed(one, {repair.law: repair.question}, limit_s) for one in repair.decisions),
        )
        for repair in report.repairs
    )
    return dataclasses.replace(report, decisions=decisions, repairs=repairs)


def _confirmed(decision: Decision, questions: Mapping[Law | None, Question], limit_s: float) -> Decision:
    findings = []
    for law, finding in decision.findings:
        why = (
            None
            if finding.verdict is Verdict.UNKNOWN
            else _rejection(questions[law], decision.condition, finding, limit_s)
        )
        if why is not None:
            finding = unknown(f"an error of this checker, as its own certificate is rejected: {why}")
        findings.append((law, finding))
    return dataclasses.replace(decision, findings=tuple(findings))


def _rejection(question: Question, condition: str, finding: Finding, limit_s: float) -> str | None:
    """Why a finding's claim is rejected; None where it holds, or where verifying it takes too long."""
    try:
        with limited(limit_s):
            verify_claim(_claim(question, condition, finding))
    except Rejected as error:
        return str(error)
    except OutOfTime:
        pass
    return None


def save(data: dict[str, Any], path: str) -> None:
    """Writes a certificate; an old one stays as it was until the new one is there."""
    write_whole(pathlib.Path(path), (json.dumps(data, indent=1, sort_keys=True) + "\n").encode())


def _claims(question: Question, decisions: tuple[Decision, ...], place: int) -> list[dict[str, Any]]:
    claims = []
    for decision in decisions:
        _, finding = decision.findings[place]
        if finding.verdict is Verdict.UNKNOWN:
            continue
        claims.append(_claim(question, decision.condition, finding))
    return claims


def _claim(question: Question, condition: str, finding: Finding) -> dict[str, Any]:
    return {
        "condition": condition,
        "verdict": finding.verdict.value,
        "question": question.to_json(),
        "question_sha256": question.digest(),
        "evidence": finding.evidence,
        "evidence_sha256": digest(finding.evidence),
    }

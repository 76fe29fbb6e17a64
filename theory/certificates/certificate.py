"""Writing certificates: what was proved or refuted, each with its witness, in canonical JSON."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
from typing import Any

import jasgd
from jasgd.record.saving.files import write_whole
from theory.certificates.checker import FORMAT, question_of, verify_claim
from theory.certificates.rejection import Rejected
from theory.certificates.witnesses import witness_of
from theory.decisions.decision import Decision, Report, question_about
from theory.decisions.question import Question
from theory.decisions.time_limit import OutOfTime, limited
from theory.decisions.verdict import Finding, Verdict, needs_defined, unknown
from theory.formulas.writing import digest
from theory.numbers.balls import PRECISIONS, precision

_ERROR = "an error of this checker, as its own certificate is rejected"


def certificate(report: Report) -> dict[str, Any]:
    """The certificate of a report: every PROVED and REFUTED finding with its witness.

    Args:
      report: the report.

    Returns:
      JSON data, in the format of docs/certificates.md. UNKNOWN claims nothing, and is left out.

    Raises:
      Rejected: for a finding that has no witness; :func:`confirmed` makes it UNKNOWN.
    """
    questions, claims = [], []
    for question, findings in _asked(report):
        decided = {name: one for name, one in findings.items() if one.verdict is not Verdict.UNKNOWN}
        if decided:
            questions.append(question.to_json())
        for condition, finding in decided.items():
            with precision(PRECISIONS[0]):
                evidence = witness_of(question, condition, finding)
            claims.append(
                {
                    "question": len(questions) - 1,
                    "condition": condition,
                    "verdict": finding.verdict.value,
                    "evidence": evidence,
                }
            )
    body = {
        "format": FORMAT,
        "versions": versions(),
        "candidate": {"name": report.candidate.name, "source": report.candidate.source},
        "questions": questions,
        "claims": claims,
    }
    return {**body, "sha256": digest(body)}


def versions() -> dict[str, str]:
    """The versions of what writes a certificate."""
    packages = {name: importlib.metadata.version(name) for name in ("sympy", "python-flint")}
    return {"jasgd": jasgd.__version__, "python": platform.python_version(), **packages}


def _asked(report: Report) -> list[tuple[Question, dict[str, Finding]]]:
    """Every question of a report, its repairs' too, with the findings on it."""
    if report.candidate.formula is None:
        return []
    asked = []
    for place, law in enumerate(report.laws):
        findings = {decision.condition: decision.findings[place][1] for decision in report.decisions}
        asked.append((question_about(report.candidate, law), findings))
    for repair in report.repairs:
        findings = {decision.condition: decision.findings[0][1] for decision in repair.decisions}
        asked.append((repair.question, findings))
    return asked


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
    settings: dict[str, Question] = {}
    by_law = {}
    for place, law in enumerate(report.laws):
        findings = {decision.condition: decision.findings[place][1] for decision in report.decisions}
        by_law[law] = _confirmed(question_about(report.candidate, law), findings, settings, limit_s)
    decisions = tuple(
        Decision(decision.condition, tuple((law, by_law[law][decision.condition]) for law in report.laws))
        for decision in report.decisions
    )
    repairs = []
    for repair in report.repairs:
        findings = {decision.condition: decision.findings[0][1] for decision in repair.decisions}
        after = _confirmed(repair.question, findings, settings, limit_s)
        repaired = tuple(Decision(name, ((repair.law, finding),)) for name, finding in after.items())
        repairs.append(dataclasses.replace(repair, decisions=repaired))
    return dataclasses.replace(report, decisions=decisions, repairs=tuple(repairs))


def _confirmed(
    question: Question, findings: dict[str, Finding], settings: dict[str, Question], limit_s: float
) -> dict[str, Finding]:
    """The findings on one question, after each was verified on the question as it is read from a certificate."""
    try:
        again = question_of(question.to_json(), settings)
    except (ValueError, ArithmeticError, RecursionError) as error:
        return {condition: _unless(f"{error}", finding) for condition, finding in findings.items()}
    kept = {
        condition: _unless(_rejection(question, again, condition, finding, limit_s), finding)
        for condition, finding in findings.items()
    }
    if "defined" in kept and kept["defined"].verdict is not Verdict.PROVED:
        for condition, finding in kept.items():
            if finding.verdict is Verdict.PROVED and needs_defined(condition, finding.evidence):
                kept[condition] = _unless("C may be undefined", finding)
    return kept


def _unless(why: str | None, finding: Finding) -> Finding:
    """The finding; UNKNOWN where there is a reason against it."""
    return finding if why is None or finding.verdict is Verdict.UNKNOWN else unknown(f"{_ERROR}: {why}")


def _rejection(question: Question, again: Question, condition: str, finding: Finding, limit_s: float) -> str | None:
    """Why a finding's claim is rejected; None where it holds, or where verifying it takes too long."""
    if finding.verdict is Verdict.UNKNOWN:
        return None
    try:
        with precision(PRECISIONS[0]), limited(limit_s):
            evidence = witness_of(question, condition, finding)
            verify_claim(again, condition, finding.verdict.value, evidence)
    except Rejected as error:
        return str(error)
    except OutOfTime:
        pass
    return None


def require_writable(path: str) -> None:
    """Raises OSError where no file can be written, before the work that would be lost."""
    target = pathlib.Path(path)
    folder = target.parent
    if target.is_dir() or not folder.is_dir() or not os.access(target if target.exists() else folder, os.W_OK):
        raise OSError(f"--certificate {path}: cannot be written there")


def save(data: dict[str, Any], path: str) -> None:
    """Writes a certificate; an old one stays as it was until the new one is there."""
    write_whole(pathlib.Path(path), (json.dumps(data, indent=1, sort_keys=True) + "\n").encode())

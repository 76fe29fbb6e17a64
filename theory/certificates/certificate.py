"""Writing certificates: what was proved or refuted, each with its witness, in canonical JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import platform
from typing import Any

import jasgd
from jasgd.record.saving.files import write_whole
from theory.certificates.checker import FORMAT
from theory.certificates.witnesses import witness_of
from theory.decisions.decision import Report, question_about
from theory.decisions.question import Question
from theory.decisions.verdict import Finding, Verdict
from theory.formulas.writing import digest
from theory.numbers.balls import PRECISIONS, precision


def certificate(report: Report) -> dict[str, Any]:
    """The certificate of a report: every PROVED and REFUTED finding with its witness.

    Args:
      report: the report.

    Returns:
      JSON data, in the format of docs/certificates.md. UNKNOWN claims nothing, and is left out.

    Raises:
      Rejected: for a finding that has no witness; :func:`theory.certificates.confirmation.confirmed` makes it UNKNOWN.
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


def require_writable(path: str) -> None:
    """Raises OSError where no file can be written, before the work that would be lost."""
    target = pathlib.Path(path)
    folder = target.parent
    if target.is_dir() or not folder.is_dir() or not os.access(target if target.exists() else folder, os.W_OK):
        raise OSError(f"--certificate {path}: cannot be written there")


def save(data: dict[str, Any], path: str) -> None:
    """Writes a certificate; an old one stays as it was until the new one is there."""
    write_whole(pathlib.Path(path), (json.dumps(data, indent=1, sort_keys=True) + "\n").encode())

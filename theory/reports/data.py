"""Reports as data, for other programs."""

from __future__ import annotations

from typing import Any

from theory.decisions.decision import Decision, Report
from theory.decisions.values_of_a_parameter import Values
from theory.formulas.latex import latex
from theory.formulas.writing import text
from theory.numbers.decimals import ends


def as_json(report: Report) -> dict[str, Any]:
    """The report as data; its keys are the names of the conditions."""
    repairs = [
        {
            "law": "every law" if repair.law is None else str(repair.law),
            "divide_by": "E[C]" if repair.mean is None else ends(repair.mean),
            "conditions": {decision.condition: _decision_json(decision) for decision in repair.decisions},
        }
        for repair in report.repairs
    ]
    formula = report.candidate.distortion if report.candidate.is_distortion else report.candidate.formula
    return {
        "candidate": report.candidate.name,
        "formula": None if report.candidate.formula is None else text(report.candidate.formula),
        "latex": None if formula is None else latex(formula),
        "distortion": None if report.candidate.distortion is None else text(report.candidate.distortion),
        "cdf": report.candidate.cdf,
        "verdict": report.verdict.value,
        "conditions": {decision.condition: _decision_json(decision) for decision in report.decisions},
        "repairs": repairs,
    }


def _decision_json(decision: Decision) -> dict[str, Any]:
    laws = [
        {
            "law": "every law" if law is None else str(law),
            "verdict": finding.verdict.value,
            "because": finding.because,
            "evidence": finding.evidence,
        }
        for law, finding in decision.findings
    ]
    return {"verdict": decision.verdict.value, "evidence": decision.because, "laws": laws}


def values_as_json(found: tuple[Values, ...]) -> list[dict[str, Any]]:
    """For which values of a parameter each condition holds, as data; numbers as text, exactly."""
    return [
        {
            "condition": one.condition,
            "law": "every law" if one.law is None else str(one.law),
            "proved": [
                {
                    "low": str(interval.low),
                    "high": None if interval.high is None else str(interval.high),
                    "low_open": interval.low_open,
                    "high_open": interval.high_open,
                }
                for interval in one.holds
            ],
            "refuted": [str(value) for value in one.refuted],
            "unknown": [str(value) for value in one.unknown],
            "mean_passes_1": [[str(end) for end in pair] for pair in one.passes],
        }
        for one in found
    ]

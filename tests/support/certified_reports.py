"""Whether all that a report says is in a certificate that the checker accepts."""

import json

from theory.certificates.certificate import certificate, confirmed
from theory.certificates.checker import check
from theory.certificates.reading import parse
from theory.decisions.decision import Report
from theory.decisions.verdict import Verdict


def not_certified(report: Report) -> list[str]:
    """The findings of a report whose own claim is rejected; a certificate of the others is checked from its text."""
    after = confirmed(report)
    lost, claims = [], 0
    decisions = zip(_decisions(report), _decisions(after), strict=True)
    for before, now in decisions:
        for (law, finding), (_, kept) in zip(before.findings, now.findings, strict=True):
            claims += kept.verdict is not Verdict.UNKNOWN
            if kept.verdict is not finding.verdict:
                lost.append(f"{before.condition} under {law}: {kept.because}")
    if claims:
        assert len(check(parse(json.dumps(certificate(after))))) == claims
    return lost


def _decisions(report):
    return [*report.decisions, *(decision for repair in report.repairs for decision in repair.decisions)]

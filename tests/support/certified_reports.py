"""Whether all that a report says is in a certificate that the checker accepts, and the second one does not deny."""

import json

from theory.certificates import independent
from theory.certificates.certificate import certificate, confirmed
from theory.certificates.checker import check
from theory.certificates.reading import parse
from theory.decisions.decision import Report
from theory.decisions.verdict import Verdict

second_opinions: list[tuple[bool, str]] = []  # of every claim so far: is it about every law; what is said of it


def share_confirmed(about_every_law: bool) -> float:
    """The share of the claims so far that the second checker confirms."""
    said = [answer for every, answer in second_opinions if every == about_every_law]
    return said.count(independent.CONFIRMED) / len(said)


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
        data = parse(json.dumps(certificate(after)))
        assert len(check(data)) == claims
        said = independent.check(data)
        assert [why for answer, why in said if answer == independent.CONTRADICTED] == []
        for (answer, _), claim in zip(said, data["claims"], strict=True):
            second_opinions.append((data["questions"][claim["question"]]["law"] is None, answer))
    return lost


def _decisions(report):
    return [*report.decisions, *(decision for repair in report.repairs for decision in repair.decisions)]

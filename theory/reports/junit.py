"""Verdicts as JUnit XML, which systems of continuous integration read."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from jasgd.record.saving.files import write_whole
from theory.decisions.decision import Report
from theory.decisions.verdict import Verdict

#: What an XML document cannot hold, even escaped.
_IMPOSSIBLE = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def junit(reports: Sequence[Report]) -> bytes:
    """The verdicts as a JUnit document: a suite for each candidate, a test for each condition and law.

    Args:
      reports: one for each candidate.

    Returns:
      XML as UTF-8. PROVED is a test that passed, REFUTED one that failed, and UNKNOWN one that ended in an error, each
      with its reason; so what is not proved is never green.
    """
    root = ElementTree.Element("testsuites", name="theory.verify")
    totals = dict.fromkeys(("tests", "failures", "errors"), 0)
    for report in reports:
        suite = ElementTree.SubElement(root, "testsuite", name=_text(report.candidate.name))
        counts = dict.fromkeys(totals, 0)
        for decision in report.decisions:
            for law, finding in decision.findings:
                under = "every law" if law is None else str(law)
                name, place = _text(f"{decision.condition} under {under}"), _text(report.candidate.name)
                case = ElementTree.SubElement(suite, "testcase", name=name, classname=place)
                counts["tests"] += 1
                if finding.verdict is not Verdict.PROVED:
                    kind = "failure" if finding.verdict is Verdict.REFUTED else "error"
                    counts[kind + "s"] += 1
                    because = _text(finding.because)
                    ElementTree.SubElement(case, kind, type=finding.verdict.value, message=because).text = because
        for name, count in counts.items():
            suite.set(name, str(count))
            totals[name] += count
    for name, count in totals.items():
        root.set(name, str(count))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def save_junit(reports: Sequence[Report], path: str) -> None:
    """Writes the document; an old one stays as it was until the new one is there."""
    write_whole(Path(path), junit(reports))


def _text(written: str) -> str:
    return _IMPOSSIBLE.sub("\N{REPLACEMENT CHARACTER}", written)

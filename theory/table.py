"""``python -m theory.table``: the verdicts on the library's own rules, rule × condition × law, as Markdown."""

from __future__ import annotations

import sys

from theory.candidates.loading import load
from theory.decisions.conditions import CONDITIONS
from theory.decisions.decision import Report, decide
from theory.decisions.verdict import Verdict
from theory.laws.parsing import from_json, parse_law

#: The rules, each with options that let it be verified; ``tail`` is given by each of its distribution functions.
RULES = (
    "constant",
    "inverse",
    "inverse:normalized=true",
    "power",
    "hinge",
    "exponential",
    "threshold",
    "mishchenko",
    "koloskova",
    "adadelay",
    "tail",
    "tail:amplitude=0.5",
    "tail:cdf=strict",
    "tail:cdf=inclusive",
    "tail_published:workers=8",
)
#: Counts of a run with eight workers, so that a measured law is among the laws.
MEASURED = [2, 5, 9, 14, 21, 33, 58, 96, 41, 17, 6, 2, 1]
LAWS = (
    parse_law("poisson:8"),
    parse_law("geometric:1/8"),
    parse_law("negative_binomial:3:1/4"),
    parse_law("uniform:0:30"),
    parse_law("constant:3"),
    from_json(["counts", MEASURED]),
)
_SIGNS = {Verdict.PROVED: "✓", Verdict.REFUTED: "✗", Verdict.UNKNOWN: "?"}


def reports() -> dict[str, tuple[Report, Report]]:
    """Reports on each rule: under the laws, and for every law."""
    return {
        name: (decide(load(f"jasgd.rules:{name}"), LAWS), decide(load(f"jasgd.rules:{name}"), [])) for name in RULES
    }


def markdown(reports: dict[str, tuple[Report, Report]]) -> str:
    """The reports as a Markdown table, one line for each rule and law; ✓ proved, ✗ refuted, ? unknown."""
    lines = [
        "| rule | law | " + " | ".join(CONDITIONS) + " |",
        "|---|---|" + ":-:|" * len(CONDITIONS),
    ]
    for name, (under_laws, every) in reports.items():
        for place, law in enumerate([None, *LAWS]):
            report = every if law is None else under_laws
            signs = [
                _SIGNS[decision.findings[0 if law is None else place - 1][1].verdict] for decision in report.decisions
            ]
            lines.append(
                f"| {'' if place else f'`{name}`'} | {'every law' if law is None else law} | {' | '.join(signs)} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown(reports()))

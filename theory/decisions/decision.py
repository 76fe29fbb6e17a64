"""All six conditions on a candidate under all its laws, each within a time limit, and the repair of its magnitude."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from jasgd.showing import Shown
from theory.analysis.expectation import UnderLaw
from theory.candidates.candidate import Candidate, check_support
from theory.decisions.conditions import CONDITIONS, where_undefined
from theory.decisions.contradictions import CONTRADICTIONS
from theory.decisions.counterexamples import in_full
from theory.decisions.question import Question, repaired
from theory.decisions.time_limit import OutOfTime, limited
from theory.decisions.verdict import OF_THE_MEAN, Finding, Verdict, needs_defined, proved, unknown, worst
from theory.distortions.conditions import decide as decide_distortion
from theory.distortions.question import DistortionQuestion
from theory.laws import Law
from theory.numbers.balls import PRECISIONS, Number, precision, sign


@dataclasses.dataclass(frozen=True, repr=False)
class Decision(Shown):
    """The verdict on one condition: the worst over the laws, and each law's own.

    Attributes:
      condition: its name.
      findings: law (None: every law) and finding.
    """

    condition: str
    findings: tuple[tuple[Law | None, Finding], ...]

    def _facts(self) -> dict[str, Any]:
        return {"condition": self.condition, "verdict": self.verdict, "because": self.because}

    @property
    def verdict(self) -> Verdict:
        """The worst of its findings."""
        return worst(finding.verdict for _, finding in self.findings)

    @property
    def because(self) -> str:
        """Why: the sentence of the first law whose verdict is the worst."""
        law, finding = next(pair for pair in self.findings if pair[1].verdict == self.verdict)
        return finding.because if len(self.findings) == 1 else f"under {law}: {finding.because}"


@dataclasses.dataclass(frozen=True, repr=False)
class Repair(Shown):
    """A candidate divided by its mean, which repairs its magnitude.

    Attributes:
      law: the law; None for every law.
      mean: the enclosed E[C] that it is divided by; None for every law, each of which has its own.
      question: C / E[C] under the law.
      decisions: the verdicts on it.
    """

    law: Law | None
    mean: Number | None
    question: Question
    decisions: tuple[Decision, ...]

    def _facts(self) -> dict[str, Any]:
        verdicts = {decision.condition: decision.verdict for decision in self.decisions}
        return {
            "law": None if self.law is None else str(self.law),
            "mean": None if self.mean is None else str(self.mean),
        } | verdicts


@dataclasses.dataclass(frozen=True, repr=False)
class Report(Shown):
    """All decisions on a candidate.

    Attributes:
      candidate: the candidate.
      laws: the laws it was asked under; one None for every law.
      decisions: one for each condition.
      repairs: for each law, where magnitude alone fails.
    """

    candidate: Candidate
    laws: tuple[Law | None, ...]
    decisions: tuple[Decision, ...]
    repairs: tuple[Repair, ...] = ()

    def _facts(self) -> dict[str, Any]:
        return {"candidate": self.candidate.name} | {one.condition: one.verdict for one in self.decisions}

    def _rows(self) -> list[dict[str, Any]]:
        return [decision._facts() for decision in self.decisions]

    @property
    def verdict(self) -> Verdict:
        """The worst of the conditions."""
        return worst(decision.verdict for decision in self.decisions)

    def __getitem__(self, condition: str) -> Decision:
        return next(decision for decision in self.decisions if decision.condition == condition)


def decide(candidate: Candidate, laws: Sequence[Law] = (), *, limit_s: float = 20.0, repair: bool = True) -> Report:
    """Decides the six conditions on a candidate.

    Args:
      candidate: the candidate.
      laws: the laws; those that the candidate names where there are none here; every law where neither has any.
      limit_s: seconds that one condition may take under one law; beyond that its verdict is UNKNOWN.
      repair: whether a candidate of which magnitude alone fails is also decided on divided by its mean.

    Returns:
      The report.

    Raises:
      CandidateError: for a law with mass outside the domain.

    Example:
      >>> from theory.candidates.loading import loads
      >>> report = decide(loads("from theory import tau" + chr(10) + "C = 1 / (1 + tau)"))
      >>> report["decreasing"].verdict.value, report["magnitude"].verdict.value
      ('PROVED', 'REFUTED')
    """
    all_laws: tuple[Law | None, ...] = tuple(laws) or candidate.laws or (None,)
    for law in all_laws:
        if law is not None:
            check_support(candidate, law)
    if not candidate.is_readable:
        finding = unknown(f"{candidate.untranslatable}")
        return Report(
            candidate,
            all_laws,
            tuple(Decision(name, tuple((law, finding) for law in all_laws)) for name in CONDITIONS),
        )
    if candidate.distortion is not None:
        asked = {law: distortion_question(candidate, law) for law in all_laws}
        each = {law: decide_distortion(question, limit_s) for law, question in asked.items()}
        decisions = tuple(Decision(name, tuple((law, each[law][name]) for law in all_laws)) for name in CONDITIONS)
        return Report(candidate, all_laws, decisions)
    questions = {law: question_about(candidate, law) for law in all_laws}
    each = {law: _all(questions[law], limit_s) for law in all_laws}
    decisions = tuple(Decision(name, tuple((law, each[law][name]) for law in all_laws)) for name in CONDITIONS)
    report = Report(candidate, all_laws, decisions)
    if not repair:
        return report
    return dataclasses.replace(report, repairs=tuple(_repairs(report, questions, limit_s)))


def question_about(candidate: Candidate, law: Law | None) -> Question:
    """The question about a candidate under a law; a parameter that is one number is that number in its formula."""
    candidate = candidate.with_fixed_parameters()
    if candidate.formula is None:
        raise ValueError(f"{candidate.name} has no formula: {candidate.untranslatable}")
    setting = UnderLaw(candidate.parameters, law, candidate.cdf)
    return Question(candidate.formula, setting, candidate.domain, candidate.amplitude)


def distortion_question(candidate: Candidate, law: Law | None) -> DistortionQuestion:
    """The question about a candidate's distortion under a law."""
    if candidate.distortion is None:
        raise ValueError(f"{candidate.name} has no distortion: {candidate.untranslatable}")
    return DistortionQuestion(candidate.distortion, candidate.parameters, law, candidate.amplitude)


def asked_about(candidate: Candidate, law: Law | None) -> Question | DistortionQuestion:
    """The question about a candidate under a law, whichever kind it is."""
    if candidate.distortion is not None:
        return distortion_question(candidate, law)
    return question_about(candidate, law)


def _repairs(report: Report, questions: dict[Law | None, Question], limit_s: float) -> Iterator[Repair]:
    """Repairs C by C / E[C] under the laws where magnitude alone is not proved."""
    for place, law in enumerate(report.laws):
        findings = {decision.condition: decision.findings[place][1] for decision in report.decisions}
        others = {findings[name].verdict for name in CONDITIONS if name not in ("magnitude", "amplitude")}
        if findings["magnitude"].verdict is Verdict.PROVED or others != {Verdict.PROVED}:
            continue
        question = questions[law]
        mean: Number | None = None
        if law is not None and question.setting.is_fixed():
            try:
                with precision(PRECISIONS[0]), limited(limit_s):
                    mean = question.setting.mean(question.formula)
                    if sign(mean) <= 0:
                        continue
            except (ArithmeticError, OutOfTime):
                continue
        again = repaired(question)
        decisions = (Decision(name, ((law, _of_repaired(name, again, findings, limit_s)),)) for name in CONDITIONS)
        yield Repair(law, mean, again, tuple(decisions))


def _of_repaired(name: str, question: Question, findings: dict[str, Finding], limit_s: float) -> Finding:
    """The finding on C / E[C]: what was proved of C holds of it, as a positive constant changes no sign and no order.

    E[C] is that: C is positive where the law has mass, and has finite moments.
    """
    has_numbers = name == "moments" and question.setting.law is not None and question.setting.is_fixed()
    if name == "amplitude" or has_numbers:
        return _within(name, question, limit_s)
    needed = {other: findings[other].evidence for other in (*OF_THE_MEAN, name) if other != "magnitude"}
    because = "E[C] / E[C] = 1" if name == "magnitude" else f"as of C, since 0 < E[C] < ∞: {findings[name].because}"
    return proved(because, scaled=needed)


def _all(question: Question, limit_s: float) -> dict[str, Finding]:
    """The findings on all conditions: an undefined value decides on most; where there may be one, little is proved."""
    findings = {"defined": _within("defined", question, limit_s)}
    for name in CONDITIONS:
        if name != "defined":
            undefined = where_undefined(name, question, findings["defined"])
            findings[name] = in_full(undefined, question) if undefined else _within(name, question, limit_s)
            holds = findings[name].verdict is Verdict.PROVED and needs_defined(name, findings[name].evidence)
            if holds and findings["defined"].verdict is not Verdict.PROVED:
                findings[name] = unknown(f"only where it is defined, which was not shown: {findings[name].because}")
    return findings


def _within(condition: str, question: Question, limit_s: float) -> Finding:
    try:
        with precision(PRECISIONS[0]), limited(limit_s):
            finding = CONDITIONS[condition](question)
    except OutOfTime:
        return unknown(f"not decided within {limit_s:g} s")
    except (ArithmeticError, RecursionError, MemoryError, ValueError) as error:  # ValueError: too long a number
        return unknown(f"{type(error).__name__}: {error}")
    return in_full(_looked_at_again(condition, question, finding, limit_s), question)


def _looked_at_again(condition: str, question: Question, finding: Finding, limit_s: float) -> Finding:
    """A proof, after a look for what contradicts it, also beyond the start of its tail."""
    if finding.verdict is not Verdict.PROVED or condition not in CONTRADICTIONS:
        return finding
    try:
        with precision(PRECISIONS[0]), limited(limit_s):
            against = CONTRADICTIONS[condition](question, None, few=True)
    except (OutOfTime, ArithmeticError, RecursionError, MemoryError, ValueError):
        return finding
    if against is None:
        return finding
    return unknown(f"an error of this checker, as its proof ({finding.because}) is contradicted: {against.because}")

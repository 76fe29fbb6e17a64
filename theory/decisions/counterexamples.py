"""Counterexamples: where to look for them, and what is kept of one as evidence."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from fractions import Fraction

from flint import fmpq

from theory.analysis.expectation import UnderLaw
from theory.analysis.pointwise import PointValues, probes, samples
from theory.decisions import remarkable
from theory.decisions.question import MOST_CHECKED, Question
from theory.decisions.verdict import Finding
from theory.formulas.formula import reads_law
from theory.laws import FiniteLaw
from theory.laws.parsing import from_json
from theory.numbers import ranges
from theory.numbers.ranges import Range


def with_single_parameters(question: Question) -> Iterator[Question]:
    """Yields the question itself, or the question with single values for its open parameters."""
    if question.setting.is_fixed():
        yield question
        return
    usual = list(samples(question.setting.parameters))
    special = remarkable.parameter_values(question.formula, question.setting.parameters)
    for chosen in (*usual, *({**usual[0], **_points(values)} for values in special if usual)):
        setting = UnderLaw(chosen, question.setting.law, question.setting.cdf)
        yield dataclasses.replace(question, setting=setting)


def _points(values: Mapping[str, fmpq]) -> dict[str, Range]:
    return {name: ranges.point(value) for name, value in values.items()}


def under_small_laws(question: Question) -> Iterator[Question]:
    """Yields the question under small laws, which may refute a claim about every law."""
    last = question.domain[1]
    for instance in with_single_parameters(question):
        for law in _small_laws():
            if law.last is not None and (last is None or law.last <= last) and law.first >= question.domain[0]:
                yield instance.under(law)


def _small_laws() -> Iterator[FiniteLaw]:
    for tau in (0, 1, 2, 5):
        yield FiniteLaw({tau: Fraction(1)}, ["constant", str(tau)])
    for counts in ([1, 1], [9, 1], [1, 9], [1, 2], [0, 1, 1], [1, 0, 0, 1], [1, 1, 1], [1, 2, 1], [3, 1, 1], [1, 1, 3]):
        total = sum(counts)
        yield FiniteLaw({tau: Fraction(n, total) for tau, n in enumerate(counts) if n}, ["counts", counts])
    for tau in (20, 100, 1000):  # what falls slowly is far from its mean only far out
        yield FiniteLaw({tau: Fraction(1)}, ["constant", str(tau)])


def suspects(
    question: Question, before: int | None, *, few: bool = False
) -> Iterator[tuple[int, Question, PointValues]]:
    """Yields staleness values and settings to look at; only those below ``before`` where the rest is settled."""
    single = PointValues(question.formula, question.setting).is_single
    if single or not (question.setting.law is None and reads_law(question.formula)):
        instances: Iterator[Question] = with_single_parameters(question)
    else:
        instances = under_small_laws(question)
    for instance in instances:
        law_last = instance.setting.law.last if instance.setting.law is not None else None
        staleness = _places(question, law_last, few=few)
        if before is not None and single:
            staleness = itertools.chain(range(question.domain[0], min(before, question.domain[0] + MOST_CHECKED)))
        elif not single:
            staleness = itertools.islice(staleness, 20 if few else 60)
        values = PointValues(instance.formula, instance.setting)
        for tau in staleness:
            yield tau, instance, values


def _places(question: Question, law_last: int | None, *, few: bool) -> Iterator[int]:
    """The first staleness values, then where the formula may do something of its own, then the usual probes."""
    first, last = question.domain
    usual = probes(question.formula, question.domain, law_last, few=few)
    near = list(itertools.islice(usual, 30))
    special = (tau for tau in remarkable.staleness(question.formula) if tau >= first and (last is None or tau <= last))
    yield from dict.fromkeys([*near, *special])
    yield from usual


def witness(instance: Question, **evidence: object) -> dict[str, object]:
    """The evidence of a counterexample: all that is needed to evaluate it again."""
    kept = dict(evidence)
    if instance.setting.law is not None:
        kept["law"] = instance.setting.law.to_json()
    if instance.setting.parameters:
        kept["parameters"] = {name: str(known.low) for name, known in instance.setting.parameters.items()}
    return {"counterexample": kept}


def in_full(finding: Finding, question: Question) -> Finding:
    """The finding, whose sentence says under which law and with which parameters, where that was open, C fails."""
    counterexample = finding.evidence.get("counterexample")
    if counterexample is None:
        return finding
    because = finding.because
    if question.setting.law is None and "law" in counterexample:
        law = str(from_json(counterexample["law"]))
        because += "" if law in because else f", under {law}"
    values = " and ".join(f"{name} = {value}" for name, value in sorted(counterexample.get("parameters", {}).items()))
    return dataclasses.replace(finding, because=f"{because}, with {values}" if values else because)

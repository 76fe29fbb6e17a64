"""Counterexamples: where to look for them, and what is kept of one as evidence."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from fractions import Fraction

from theory.analysis.expectation import UnderLaw
from theory.analysis.pointwise import PointValues, probes, samples
from theory.decisions.question import MOST_CHECKED, Question
from theory.formulas.formula import reads_law
from theory.laws import FiniteLaw


def with_single_parameters(question: Question) -> Iterator[Question]:
    """Yields the question itself, or the question with single values for its open parameters."""
    if question.setting.is_fixed():
        yield question
        return
    for chosen in samples(question.setting.parameters):
        setting = UnderLaw(chosen, question.setting.law, question.setting.cdf)
        yield dataclasses.replace(question, setting=setting)


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
        staleness = probes(question.formula, question.domain, law_last, few=few)
        if before is not None and single:
            staleness = itertools.chain(range(question.domain[0], min(before, question.domain[0] + MOST_CHECKED)))
        elif not single:
            staleness = itertools.islice(staleness, 20 if few else 60)
        values = PointValues(instance.formula, instance.setting)
        for tau in staleness:
            yield tau, instance, values


def witness(instance: Question, **evidence: object) -> dict[str, object]:
    """The evidence of a counterexample: all that is needed to evaluate it again."""
    kept = dict(evidence)
    if instance.setting.law is not None:
        kept["law"] = instance.setting.law.to_json()
    if instance.setting.parameters:
        kept["parameters"] = {name: str(known.low) for name, known in instance.setting.parameters.items()}
    return {"counterexample": kept}

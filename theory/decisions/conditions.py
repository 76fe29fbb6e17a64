r"""The six conditions on a step-size function C(τ), each proved, refuted by a counterexample, or left UNKNOWN.

``defined``: real and finite on the domain. ``positive``: C > 0 where the law has mass, ≥ 0 elsewhere in the domain.
``decreasing``: C(τ+1) ≤ C(τ) on the integers. ``magnitude``: E[C] = 1 exactly. ``amplitude``: sup|C-1| ≤ A.
``moments``: E[C], E[C²], E[τC] finite. Without a law each is meant for every law (``moments``: with a finite mean).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from flint import fmpq

from theory.analysis import equality, tails
from theory.analysis.expectation import Diverges
from theory.analysis.means import mean_apart_from_one
from theory.analysis.pointwise import PointValues, probes
from theory.analysis.supremum import Supremum, supremum_of_distance
from theory.analysis.tails import Tail
from theory.decisions.contradictions import not_decreasing, not_defined, not_positive, not_within
from theory.decisions.counterexamples import with_single_parameters, witness
from theory.decisions.every_law import bounded, for_every_law, gap_to_mid
from theory.decisions.question import FEW, MOST_CHECKED, Question
from theory.decisions.verdict import Finding, Verdict, proved, refuted, unknown
from theory.formulas.formula import Formula, mentions, number, subtract
from theory.laws.law import Law
from theory.laws.parsing import from_json as law_from_json
from theory.numbers.decimals import digits_apart, ends, shown


def defined(question: Question) -> Finding:
    """Whether C is a real, finite number at every integer of the domain."""
    values, (first, last) = PointValues(question.formula, question.setting), question.domain
    start = None
    if last is None or last - first > FEW:
        for candidate in tails.starts_from(first, question.latest_tail_start()):
            if tails.is_defined(question.formula, question.setting, candidate):
                start = candidate
                break
    if start is None and last is not None and last - first < MOST_CHECKED:
        start = last + 1
    refutation = not_defined(question, start)
    if refutation is not None:
        return refutation
    if start is None:
        return unknown("no argument was found that it is defined for every staleness")
    if not all(values.is_finite(tau) for tau in range(first, start)):
        return unknown("its value at some staleness could not be enclosed")
    return proved(_sentence("a real number", first, start, last, "its parts are defined there"), start=start)


def positive(question: Question) -> Finding:
    """Whether C > 0 where the law has mass, and ≥ 0 elsewhere in the domain."""
    law = question.setting.law
    if law is not None and law.last is not None:
        return _positive_on_support(question, law)
    on_support = dataclasses.replace(question, setting=question.setting.with_support())
    arguments = {"mass": _tail(on_support, question.formula, strict=True)}
    if law is None and mentions(question.formula, "F"):  # F can be 0 or 1 where a law has no mass
        arguments["elsewhere"] = _tail(question, question.formula, strict=False)
    return not_positive(question, _settled_from(arguments.values())) or _positive_by(question, arguments)


def _positive_on_support(question: Question, law: Law) -> Finding:
    """The condition under a bounded law: > 0 on its support, by an argument or one by one, and ≥ 0 elsewhere."""
    on_support = dataclasses.replace(question, setting=question.setting.with_support())
    reach = on_support.latest_tail_start() if law.last is None else min(on_support.latest_tail_start(), law.last)
    last = question.domain[1]
    mass = tails.find_inequality(question.formula, on_support.setting, law.first, reach, strict=True, last=last)
    one_by_one = [tau for tau in law.support() or () if mass is None or tau < mass.start]
    elsewhere = _tail(question, question.formula, strict=False)
    refutation = not_positive(question, _settled_from([elsewhere]), one_by_one)
    if refutation is not None:
        return refutation
    values = PointValues(question.formula, question.setting)
    if not all(values.is_at_least(tau, Fraction(0), strict=True) for tau in one_by_one):
        return unknown("its sign where the law has mass could not be decided")
    return _positive_by(question, {"elsewhere": elsewhere}, mass=mass and list(mass))


def _positive_by(question: Question, arguments: dict[str, Tail | None], **evidence: Any) -> Finding:
    """Proved, where each of the inequalities has its argument; the sentence is about the first."""
    shown_by = {name: tail for name, tail in arguments.items() if tail is not None}
    if len(shown_by) < len(arguments):
        return unknown("no argument was found for every staleness")
    main = next(iter(shown_by.values()))
    sentence = _sentence("positive", question.domain[0], main.start, question.domain[1], main.argument)
    return proved(sentence, **{name: list(tail) for name, tail in shown_by.items()}, **evidence)


def _settled_from(arguments: Iterable[Tail | None]) -> int | None:
    """From where on every inequality has an argument; None where one has none."""
    starts = [None if tail is None else tail.start for tail in arguments]
    return None if None in starts else max(start for start in starts if start is not None)


def decreasing(question: Question) -> Finding:
    """Whether C(τ + 1) ≤ C(τ) for all integers of the domain."""
    first, last = question.domain
    values = PointValues(question.formula, question.setting)
    tail: Tail | None = None
    if last is None or last - first > FEW or not values.is_single:
        tail = tails.find_falling(question.formula, question.setting, first, question.latest_tail_start())
    if tail is None and last is not None and last - first < MOST_CHECKED and values.is_single:
        tail = Tail("every point", 1, last)
    refutation = not_decreasing(question, None if tail is None else tail.start + 1)
    if refutation is not None:
        return refutation
    if tail is None:
        return unknown("no argument was found for every staleness, and no counterexample")
    if not all(values.does_not_rise(tau) for tau in range(first, tail.start)):
        return unknown("some neighbours could not be told apart")
    return proved(_sentence("never increases", first, tail.start, last, tail.argument), tail=list(tail))


def magnitude(question: Question) -> Finding:
    """Whether E[C] = 1 exactly."""
    law, formula = question.setting.law, question.formula
    try:
        argument = equality.proof_of_one(formula, question.setting)
        if argument is not None:
            return proved(f"E[C] = 1 exactly ({argument})", argument=argument)
    except (ArithmeticError, RecursionError):
        pass
    failed: Exception | None = None
    for instance in with_single_parameters(question):
        if law is None:
            break
        try:
            mean = mean_apart_from_one(instance.formula, instance.setting)
        except Diverges as error:
            return refuted(f"E[C] is infinite: {error}", **witness(instance, diverges=error.first))
        except (ArithmeticError, RecursionError) as error:
            failed = error
            continue
        if mean is not None:
            digits = digits_apart(mean, fmpq(1))
            because = f"E[C] {shown(mean, max(8, digits))}{gap_to_mid(instance)}"
            return refuted(because, **witness(instance, mean=ends(mean, max(15, digits))))
    if law is None:
        return for_every_law(question)
    if failed is not None:
        return unknown(f"E[C] was not enclosed: {failed}")
    return unknown("E[C] is 1 as far as it was computed, and no exact argument was found")


def amplitude(question: Question) -> Finding:
    """Whether sup |C - 1| ≤ A over the domain."""
    bound, formula = question.amplitude, question.formula
    above = subtract(number(1 + bound), formula)
    below = subtract(formula, number(1 - bound))
    arguments = [_tail(question, one, strict=False) for one in (above, below)]
    start = None if None in arguments else max(tail.start for tail in arguments if tail)
    refutation = not_within(question, start)
    if refutation is not None:
        return refutation
    size: Supremum | None = supremum_of_distance(question.formula, question.setting, question.domain)
    if start is None:
        return unknown("no argument was found for every staleness")
    distance = "" if size is None else f"; sup|C-1| {size}"
    evidence = {} if size is None else {"sup": size.ends, "sup_at": size.at, "sup_from": size.start}
    names = " and ".join(sorted({tail.argument for tail in arguments if tail}))
    return proved(f"|C-1| ≤ {bound} ({names}){distance}", **evidence, tails=[list(tail) for tail in arguments if tail])


def finite_moments(question: Question) -> Finding:
    """Whether E[C], E[C²] and E[τC] are finite; without a law, for every law with a finite mean."""
    if question.setting.law is None:
        return bounded(question)
    if not question.setting.is_fixed():
        finding = bounded(question)
        if finding.verdict is Verdict.PROVED:
            return finding
    for instance in with_single_parameters(question):
        try:
            known = instance.setting.moments(instance.formula)
        except Diverges as error:
            return refuted(f"a moment is infinite: {error}", **witness(instance, diverges=error.first))
        except (ArithmeticError, RecursionError) as error:
            return unknown(f"no enclosure was found: {error}")
        if question.setting.is_fixed():
            return proved(
                f"E[C] {shown(known.mean)}, E[C²] {shown(known.mean_square)}, E[τC] {shown(known.staleness_mean)}",
                mean=ends(known.mean),
                mean_square=ends(known.mean_square),
                staleness_mean=ends(known.staleness_mean),
            )
    return unknown("its parameters are open, and it was not shown to be bounded")


def where_undefined(condition: str, question: Question, finding: Finding) -> Finding | None:
    """Refutes another condition by an undefined value; means and moments only where the law has mass there."""
    counterexample = finding.evidence.get("counterexample")
    if finding.verdict is not Verdict.REFUTED or condition == "defined" or counterexample is None:
        return None
    tau = counterexample["tau"]
    law = law_from_json(counterexample["law"]) if "law" in counterexample else question.setting.law
    if condition in ("magnitude", "moments") and law is not None and not law.has_mass(tau):
        return None
    return refuted(f"C({tau}) is not a real, finite number", counterexample={**counterexample, "undefined": True})


#: The conditions by their names; each is a function of a question.
CONDITIONS: dict[str, Callable[[Question], Finding]] = {
    "defined": defined,
    "positive": positive,
    "decreasing": decreasing,
    "magnitude": magnitude,
    "amplitude": amplitude,
    "moments": finite_moments,
}


def _tail(question: Question, formula: Formula, *, strict: bool) -> Tail | None:
    """The tail on which an inequality holds, once all that lies before it holds point by point."""
    first, last = question.domain
    values = PointValues(formula, question.setting)
    most = question.latest_tail_start()
    tail = tails.find_inequality(formula, question.setting, first, most, strict=strict, last=last)
    if tail is None and last is not None and last - first < MOST_CHECKED and values.is_single:
        tail = Tail("every point", 1, last + 1)
    if tail is None:
        return None
    # The likely places first, the ends among them: where it fails, all others need no look.
    likely = (tau for tau in probes(formula, (first, last), few=True) if tau < tail.start)
    places = itertools.chain(likely, range(first, tail.start))
    return tail if all(values.is_at_least(tau, Fraction(0), strict=strict) for tau in places) else None


def _sentence(what: str, first: int, start: int, last: int | None, argument: str) -> str:
    if last is not None and start >= last:
        return f"{what}: all {last - first + 1} values were looked at"
    reach = f"τ ≥ {start}" if last is None else f"{start} ≤ τ ≤ {last}"
    checked = f"; τ < {start} one by one" if start > first else ""
    return f"{what} for {reach} ({argument}){checked}"

r"""The six conditions on a step-size function C(τ), each proved, refuted by a counterexample, or left UNKNOWN.

``defined``: real and finite on the domain. ``positive``: C > 0 where the law has mass, ≥ 0 elsewhere in the domain.
``decreasing``: C(τ+1) ≤ C(τ) on the integers. ``magnitude``: E[C] = 1 exactly. ``amplitude``: sup|C-1| ≤ A.
``moments``: E[C], E[C²], E[τC] finite. Without a law each is meant for every law (``moments``: with a finite mean).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from fractions import Fraction

from theory.analysis import equality, tails
from theory.analysis.expectation import Diverges
from theory.analysis.pointwise import PointValues
from theory.analysis.supremum import Supremum, supremum_of_distance
from theory.analysis.tails import Tail
from theory.decisions.counterexamples import to_look_at, with_single_parameters, witness
from theory.decisions.every_law import bounded, for_every_law, gap
from theory.decisions.question import FEW, MOST_CHECKED, Question
from theory.decisions.verdict import Finding, Verdict, proved, refuted, unknown
from theory.formulas.formula import Formula, mentions, number, subtract
from theory.numbers.balls import NotFinite, sign
from theory.numbers.decimals import ends, shown


def defined(question: Question) -> Finding:
    """Whether C is a real, finite number at every integer of the domain."""
    points, (first, last) = PointValues(question.formula, question.setting), question.domain
    start = None
    if last is None or last - first > FEW:
        for candidate in (first, *(s for s in tails.STARTS if first < s <= question.first_checked())):
            if tails.is_defined(question.formula, question.setting, candidate):
                start = candidate
                break
    if start is None and last is not None and last - first < MOST_CHECKED:
        start = last + 1
    for tau, at, here in to_look_at(question, start):
        try:
            here.certain(tau)
        except NotFinite as error:
            return refuted(f"C({tau}) is not a real, finite number: {error}", **witness(at, tau=tau))
        except ArithmeticError:
            continue
    if start is None:
        return unknown("no argument was found that it is defined for every staleness")
    if not all(points.is_finite(tau) for tau in range(first, start)):
        return unknown("its value at some staleness could not be enclosed")
    return proved(_told("a real number", first, start, last, "its parts are defined there"), start=start)


def positive(question: Question) -> Finding:
    """Whether C > 0 where the law has mass, and ≥ 0 elsewhere in the domain."""
    law = question.setting.law
    supported = law.points() if law is not None else None
    here = question.setting.with_support()
    found: dict[str, Tail] = {}
    mass: Tail | None = None
    if supported is None or law is None or law.last is None:  # every integer may have mass
        wanted = [("mass", here, True)]
        if law is None and mentions(question.formula, "F"):
            wanted.append(("elsewhere", question.setting, False))
    else:
        wanted = [("elsewhere", question.setting, False)]
        reach = dataclasses.replace(question, setting=here).first_checked()
        mass = tails.find_inequality(question.formula, here, law.first, min(reach, law.last), strict=True)
        supported = [tau for tau in supported if mass is None or tau < mass.start]
    for name, setting, strict in wanted:
        tail = _tail(dataclasses.replace(question, setting=setting), question.formula, strict=strict)
        if tail is not None:
            found[name] = tail
    before = None if len(found) < len(wanted) else max(tail.start for tail in found.values())
    looked = to_look_at(question, before)
    if supported is not None and question.setting.is_fixed():
        points = PointValues(question.formula, question.setting)
        looked = itertools.chain(((tau, question, points) for tau in supported), looked)
    for tau, at, here_at in looked:
        try:
            below = here_at.compare(tau, Fraction(0))
        except ArithmeticError:
            continue
        has_mass = at.setting.law is None or at.setting.law.has_mass(tau)
        if below < 0 or (below == 0 and has_mass):
            value = here_at.certain(tau)
            return refuted(
                f"C({tau}) {shown(value)}{'' if below else ', where the law has mass'}",
                **witness(at, tau=tau, value=ends(value)),
            )
    if supported is not None:
        points = PointValues(question.formula, question.setting)
        if not all(points.is_at_least(tau, Fraction(0), strict=True) for tau in supported):
            return unknown("its sign where the law has mass could not be decided")
    if len(found) < len(wanted):
        return unknown("no argument was found for every staleness")
    main = found[wanted[0][0]]
    told = _told("positive", question.domain[0], main.start, question.domain[1], main.argument)
    evidence = {name: list(tail) for name, tail in found.items()}
    return proved(told, **evidence) if supported is None else proved(told, **evidence, mass=mass and list(mass))


def decreasing(question: Question) -> Finding:
    """Whether C(τ + 1) ≤ C(τ) for all integers of the domain."""
    first, last = question.domain
    points = PointValues(question.formula, question.setting)
    tail: Tail | None = None
    if last is None or last - first > FEW or not points.is_single:
        tail = tails.find_falling(question.formula, question.setting, first, question.first_checked())
    if tail is None and last is not None and last - first < MOST_CHECKED and points.is_single:
        tail = Tail("every point", 1, last)
    for tau, at, here in to_look_at(question, None if tail is None else tail.start + 1):
        if last is not None and tau >= last:
            continue
        try:
            if here.compare(tau, here, tau + 1) >= 0:
                continue
            values = here.certain(tau), here.certain(tau + 1)
        except ArithmeticError:
            continue
        return refuted(
            f"C({tau}) {shown(values[0])} < C({tau + 1}) {shown(values[1])}",
            **witness(at, tau=tau, value=ends(values[0]), next=ends(values[1])),
        )
    if tail is None:
        return unknown("no argument was found for every staleness, and no counterexample")
    if not all(points.does_not_rise(tau) for tau in range(first, tail.start)):
        return unknown("some neighbours could not be told apart")
    return proved(_told("never increases", first, tail.start, last, tail.argument), tail=list(tail))


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
    for at in with_single_parameters(question):
        mean = None
        try:
            if at.setting.law is not None:
                mean = at.setting.mean(at.formula)
                if sign(mean - 1) != 0:
                    return refuted(f"E[C] {shown(mean)}{gap(at)}", **witness(at, mean=ends(mean)))
        except Diverges as error:
            return refuted(f"E[C] is infinite: {error}", **witness(at, diverges=error.first))
        except (ArithmeticError, RecursionError) as error:
            failed = error if mean is None else failed
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
    found = [_tail(question, one, strict=False) for one in (above, below)]
    start = None if None in found else max(tail.start for tail in found if tail)
    for tau, at, here in to_look_at(question, start):
        try:
            if here.compare(tau, 1 + bound) <= 0 and here.compare(tau, 1 - bound) >= 0:
                continue
            value = here.certain(tau)
        except ArithmeticError:
            continue
        return refuted(
            f"|C({tau}) - 1| > {bound}, as C({tau}) {shown(value)}", **witness(at, tau=tau, value=ends(value))
        )
    size: Supremum | None = supremum_of_distance(question.formula, question.setting, question.domain)
    if start is None:
        return unknown("no argument was found for every staleness")
    told = "" if size is None else f"; sup|C-1| {size}"
    evidence = {} if size is None else {"sup": size.ends}
    arguments = " and ".join(sorted({tail.argument for tail in found if tail}))
    return proved(f"|C-1| ≤ {bound} ({arguments}){told}", **evidence, tails=[list(tail) for tail in found if tail])


def finite_moments(question: Question) -> Finding:
    """Whether E[C], E[C²] and E[τC] are finite; without a law, for every law with a finite mean."""
    if question.setting.law is None:
        return bounded(question)
    if not question.setting.is_fixed():
        finding = bounded(question)
        if finding.verdict is Verdict.PROVED:
            return finding
    for at in with_single_parameters(question):
        try:
            found = at.setting.moments(at.formula)
        except Diverges as error:
            return refuted(f"a moment is infinite: {error}", **witness(at, diverges=error.first))
        except (ArithmeticError, RecursionError) as error:
            return unknown(f"no enclosure was found: {error}")
        if question.setting.is_fixed():
            return proved(
                f"E[C] {shown(found.mean)}, E[C²] {shown(found.mean_square)}, E[τC] {shown(found.staleness_mean)}",
                mean=ends(found.mean),
                mean_square=ends(found.mean_square),
                staleness_mean=ends(found.staleness_mean),
            )
    return unknown("its parameters are open, and it was not shown to be bounded")


def where_undefined(condition: str, question: Question, finding: Finding) -> Finding | None:
    """What an undefined value refutes: every condition at its place, moments where the law has mass there."""
    told = finding.evidence.get("counterexample")
    if finding.verdict is not Verdict.REFUTED or condition == "defined" or told is None:
        return None
    law, tau = question.setting.law, told["tau"]
    if condition in ("magnitude", "moments") and law is not None and not law.has_mass(tau):
        return None
    return refuted(f"C({tau}) is not a real, finite number", counterexample={**told, "undefined": True})


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
    """A tail on which an inequality holds, once all that lies before it was looked at."""
    first, last = question.domain
    points = PointValues(formula, question.setting)
    tail = tails.find_inequality(formula, question.setting, first, question.first_checked(), strict=strict)
    if tail is None and last is not None and last - first < MOST_CHECKED and points.is_single:
        tail = Tail("every point", 1, last + 1)
    if tail is None or not all(points.is_at_least(tau, Fraction(0), strict=strict) for tau in range(first, tail.start)):
        return None
    return tail


def _told(what: str, first: int, start: int, last: int | None, argument: str) -> str:
    if last is not None and start >= last:
        return f"{what}: all {last - first + 1} values were looked at"
    reach = f"τ ≥ {start}" if last is None else f"{start} ≤ τ ≤ {last}"
    checked = f"; τ < {start} one by one" if start > first else ""
    return f"{what} for {reach} ({argument}){checked}"

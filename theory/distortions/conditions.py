"""The six conditions on the step-size functions that a distortion makes, each proved, refuted by a law, or UNKNOWN.

They are meant where the law has mass: C is not given elsewhere. Under every law each follows from facts about the
slopes of g; under one law also from these facts from some share on, with what lies before looked at point by point.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from flint import fmpq

from theory.decisions.time_limit import OutOfTime, limited
from theory.decisions.verdict import Finding, Verdict, proved, refuted, unknown
from theory.distortions import witnesses
from theory.distortions.factors import Factors
from theory.distortions.question import FACTS, ZERO, DistortionQuestion, gain_is_one
from theory.distortions.tails import points_hold, starts
from theory.distortions.unbounded import grows_near_one, jumps_at_one
from theory.laws import FiniteLaw, Law
from theory.laws.parsing import parse_law
from theory.numbers.balls import PRECISIONS, NotFinite, precision
from theory.numbers.decimals import ends, shown
from theory.numbers.ranges import Range

_FAR = 200  # points of a law without end that are looked at for a counterexample
_MOST_POINTS = 100_000
MOST_EXACT = 4_096  # points of a law whose moments are added up
_BECAUSE = {
    "defined": "g is a real number on [0, 1]",
    "positive": "g rises strictly",
    "decreasing": "g is concave",
    "magnitude": "g(1) - g(0) = 1, and g is continuous at 1 and of bounded variation before it",
    "amplitude": "the slopes of g lie between {low} and {high}",
    "moments": "the slopes of g are bounded near 1",
}
_BY_SHAPE = "g never falls and is concave, so 0 ≤ C ≤ C at the first point, and E[τC] ≤ E[τ]"


def decide(question: DistortionQuestion, limit_s: float) -> dict[str, Finding]:
    """Decides the six conditions.

    Args:
      question: the distortion and the law.
      limit_s: seconds for each, after which it is UNKNOWN.

    Returns:
      A finding by the name of each condition.
    """
    findings: dict[str, Finding] = {}
    for name in FACTS:
        if findings and findings["defined"].verdict is Verdict.REFUTED:  # at a staleness with mass
            findings[name] = findings["defined"]
            continue
        try:
            with precision(PRECISIONS[0]), limited(limit_s):
                findings[name] = _decided(name, question)
        except OutOfTime:
            findings[name] = unknown(f"not decided within {limit_s:g} s")
        except (ArithmeticError, RecursionError, MemoryError, ValueError) as error:
            findings[name] = unknown(f"{type(error).__name__}: {error}")
        against = findings["defined"]
        if name != "defined" and findings[name].verdict is Verdict.PROVED and against.verdict is not Verdict.PROVED:
            findings[name] = unknown(f"only where g is defined, which was not shown: {findings[name].because}")
    return findings


def _decided(name: str, question: DistortionQuestion) -> Finding:
    finding, law = _without_numbers(name, question), question.law
    few = law is not None and law.last is not None and len(law.support() or ()) <= MOST_EXACT
    if name != "moments" or finding.verdict is not Verdict.PROVED or not few or not question.is_fixed():
        return finding
    assert law is not None
    square, staleness = Factors(question.distortion, question.parameters, law).moments()
    because = f"E[C²] {shown(square)}, E[τC] {shown(staleness)}; {finding.because}"
    return Finding(finding.verdict, because, finding.evidence)


def _without_numbers(name: str, question: DistortionQuestion) -> Finding:
    law = question.law
    if name == "magnitude" and not gain_is_one(question):
        return _not_one(question)
    try:
        facts = FACTS[name](question, ZERO, None)
        because = _BY_SHAPE if "concave" in facts and name == "moments" else _because(name, question)
        return proved(because, slopes=facts)
    except (ArithmeticError, RecursionError) as error:
        why = str(error)
    if law is None:
        return _refuted_by_a_law(name, question) or unknown(f"neither an argument nor a law against it: {why}")
    return _under_one_law(name, question, law) or unknown(f"not decided under this law: {why}")


def _because(name: str, question: DistortionQuestion) -> str:
    return _BECAUSE[name].format(low=1 - question.amplitude, high=1 + question.amplitude)


def _under_one_law(name: str, question: DistortionQuestion, law: Law) -> Finding | None:
    support = law.support()
    if support is not None and question.is_fixed() and len(support) <= _MOST_POINTS:
        against = _against(name, question, law, list(support))
        if against is not None:
            return against
        factors = Factors(question.distortion, question.parameters, law)
        if points_hold(name, factors, list(support), question.amplitude):
            return proved(f"at each of the {len(support)} points with mass", points=len(support))
        return None
    start, stop = law.window()
    near = [tau for tau in range(start, min(stop, start + _FAR) + 1) if law.has_mass(tau)]
    against = _against(name, question, law, near)
    if against is not None or not question.is_fixed():
        return against
    if name == "magnitude":
        return _jump(question, [law])
    for first, low in starts(law):
        factors = Factors(question.distortion, question.parameters, law)
        before = [tau for tau in range(law.first, first + 1) if law.has_mass(tau)]
        try:
            facts = FACTS[name](question, low, None)
        except (ArithmeticError, RecursionError):
            continue
        if points_hold(name, factors, before, question.amplitude):
            reach = f"for τ ≥ {first}, where u ≥ {float(low.p) / float(low.q):.4g}"
            because = f"{reach}, {_because(name, question)}; before, one by one"
            return proved(because, slopes=facts, start=first, **{"from": str(low)})
    return None


def _not_one(question: DistortionQuestion) -> Finding:
    law = FiniteLaw({0: Fraction(1)}, ["constant", "0"]) if question.law is None else question.law
    for parameters in witnesses.single(question):
        gain = Factors(question.distortion, parameters, FiniteLaw({0: Fraction(1)}, ["constant", "0"]))
        try:
            at_ends = [gain.at(fmpq(0)), gain.at(fmpq(1))]
            if gain.compare(0, Fraction(1)) == 0:
                continue
        except ArithmeticError:
            continue
        if law.last is None:  # E[C] is g(1) - g(0) where g is continuous at 1
            single = DistortionQuestion(question.distortion, parameters, law, question.amplitude)
            try:
                facts = FACTS["magnitude"](single, ZERO, None)
            except ArithmeticError:
                continue
        else:
            facts = None
        mean = gain.certain(0)
        values = f"as g(0) {shown(at_ends[0])} and g(1) {shown(at_ends[1])}{_with(parameters)}"
        sentence = f"E[C] = g(1) - g(0) {shown(mean)}, {values}"
        evidence = _witness(question, parameters, law, mean=ends(mean))
        if facts is not None:
            evidence["counterexample"]["slopes"] = facts
        return refuted(sentence, **evidence)
    return unknown("g(1) - g(0) was not shown to be 1, nor to be another number")


def _refuted_by_a_law(name: str, question: DistortionQuestion) -> Finding | None:
    if name == "magnitude":
        return _jump(question, [parse_law("geometric:1/2")])
    if name == "moments":
        return _unbounded(question)
    for parameters, law, _ in _suspects(name, question):
        instance = DistortionQuestion(question.distortion, parameters, law, question.amplitude)
        against = _against(name, instance, law, list(law.support() or ()), of=question)
        if against is not None:
            return against
    return None


def _suspects(name: str, question: DistortionQuestion) -> Iterator[tuple[dict[str, Range], FiniteLaw, int]]:
    if name == "defined":
        return witnesses.undefined(question)
    if name == "decreasing":
        return witnesses.kinks(question)
    if name == "positive":
        return witnesses.steps(question, Fraction(0), None)
    return witnesses.steps(question, 1 - question.amplitude, 1 + question.amplitude)


def _against(
    name: str, question: DistortionQuestion, law: Law, points: list[int], of: DistortionQuestion | None = None
) -> Finding | None:
    """A staleness at which a condition fails under a law, for single parameters."""
    asked = question if of is None else of
    check = {"defined": None, "positive": _falls, "decreasing": _rises, "amplitude": _strays}.get(name)
    for parameters in witnesses.single(question):
        factors = Factors(question.distortion, parameters, law)
        for place, tau in enumerate(points):
            try:
                if name == "defined":
                    factors.certain(tau)
                    continue
                following = points[place + 1] if place + 1 < len(points) else None
                found = None if check is None else check(factors, tau, following, question.amplitude)
            except NotFinite:
                if name != "defined":
                    continue
                sentence = f"C({tau}) is no real, finite number under {described(law)}{_with(parameters)}"
                return refuted(sentence, **_witness(asked, parameters, law, tau=tau, undefined=True))
            except ArithmeticError:
                continue
            if found is not None:
                sentence, values = found
                where = f"under {described(law)}{_with(parameters)}"
                return refuted(f"{sentence} {where}", **_witness(asked, parameters, law, **values))
    return None


def _falls(factors: Factors, tau: int, _: int | None, __: Fraction) -> tuple[str, dict[str, Any]] | None:
    if factors.compare(tau, Fraction(0)) > 0:
        return None
    value = factors.certain(tau)
    return f"C({tau}) {shown(value)}, where the law has mass,", {"tau": tau, "value": ends(value)}


def _rises(factors: Factors, tau: int, following: int | None, _: Fraction) -> tuple[str, dict[str, Any]] | None:
    if following is None or factors.compare(tau, following) >= 0:
        return None
    value, after = factors.certain(tau), factors.certain(following)
    sentence = f"C({tau}) {shown(value)} < C({following}) {shown(after)}"
    return sentence, {"tau": tau, "value": ends(value), "next": ends(after)}


def _strays(factors: Factors, tau: int, _: int | None, bound: Fraction) -> tuple[str, dict[str, Any]] | None:
    if factors.compare(tau, 1 + bound) <= 0 and factors.compare(tau, 1 - bound) >= 0:
        return None
    value = factors.certain(tau)
    return f"|C({tau}) - 1| > {bound}, as C({tau}) {shown(value)},", {"tau": tau, "value": ends(value)}


def _jump(question: DistortionQuestion, laws: list[Law]) -> Finding | None:
    """E[C] under a law without end, where g jumps at 1: what it gains before the jump."""
    for parameters in witnesses.single(question):
        found = jumps_at_one(DistortionQuestion(question.distortion, parameters))
        if found is not None and laws[0].last is None:
            start, gain = found
            sentence = (
                f"g jumps at 1: under {laws[0]}, E[C] lies in [{gain[0]}, {gain[1]}], if it exists{_with(parameters)}"
            )
            return refuted(sentence, **_witness(question, parameters, laws[0], jump={"from": start, "mean": gain}))
    return None


def _unbounded(question: DistortionQuestion) -> Finding | None:
    for parameters in witnesses.single(question):
        found = grows_near_one(DistortionQuestion(question.distortion, parameters))
        if found is not None:
            sentence = "the slopes of g grow without bound towards 1, so some law with a finite mean has E[τ|C|] = ∞"
            kept: dict[str, Any] = {"unbounded": found}
            if parameters:
                kept["parameters"] = {name: str(known.low) for name, known in parameters.items()}
            return refuted(sentence, counterexample=kept)
    return None


def _with(parameters: dict[str, Range]) -> str:
    """A clause with the values of parameters."""
    return "".join(f", {name} = {known.low}" for name, known in sorted(parameters.items()))


def _witness(question: DistortionQuestion, parameters: dict[str, Range], law: Law, **evidence: Any) -> dict[str, Any]:
    """The evidence of a counterexample: all that is needed to compute it again."""
    kept = dict(evidence)
    if question.law is None:
        kept["law"] = law.to_json()
    if parameters:
        kept["parameters"] = {name: str(known.low) for name, known in parameters.items()}
    return {"counterexample": kept}


def described(law: Law) -> str:
    """A law in a few words: its probabilities where they are few."""
    support = law.support()
    if support is None or len(support) > 4:
        return str(law)
    if len(support) == 1:
        return f"the law that is always {law.first}"
    masses = ", ".join(str(law.mass(tau)) for tau in support)
    return f"P = ({masses}) on {', '.join(map(str, support))}"

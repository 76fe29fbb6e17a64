"""``python -m theory.check certificate.json``: verifies a certificate again, without SymPy and without the prover.

Every claim is verified from its evidence: the argument for the tail is applied once more at the start that it names,
and no earlier start may do; what lies before is looked at one by one; counterexamples are evaluated again; enclosures
are computed again and have to agree to their last digit. The rest is hashes.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import pathlib
import sys
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from flint import fmpq

from theory import equality, ranges, tails
from theory.enclosure import PRECISIONS, NotFinite, Number, ball, precision, sign
from theory.expectation import Diverges, moments
from theory.extent import extent, size_from
from theory.formula import Formula, digest, from_json, mentions, number, subtract
from theory.laws import from_json as law_from_json
from theory.points import Points
from theory.question import FEW, Question
from theory.ranges import Range
from theory.setting import CDF_KINDS, Setting
from theory.tails import Tail
from theory.verdict import ends, needs_defined

FORMAT = "jasgd theory certificate 1"


class Rejected(ValueError):
    """A certificate that does not hold; the message says where and why."""


def check(data: Any) -> int:
    """Verifies a certificate.

    Args:
      data: the JSON data of a certificate.

    Returns:
      How many claims were verified.

    Raises:
      Rejected: where anything in it does not hold.
    """
    fields = {"format", "source", "source_sha256", "claims", "sha256"}
    _require(isinstance(data, dict) and set(data) == fields, f"a certificate has the fields {sorted(fields)}")
    _require(data["format"] == FORMAT, f"format must be {FORMAT!r}, got {data['format']!r}")
    body = {key: value for key, value in data.items() if key != "sha256"}
    _require(data["sha256"] == digest(body), "its own hash does not fit")
    _require(isinstance(data["source"], str), "source must be a text")
    _require(
        data["source_sha256"] == hashlib.sha256(data["source"].encode()).hexdigest(), "the source's hash does not fit"
    )
    _require(isinstance(data["claims"], list), "claims must be a list")
    seen, questions = set(), {}
    with precision(PRECISIONS[0]):
        for place, claim in enumerate(data["claims"]):
            try:
                seen.add(_check_claim(claim, questions))
            except Rejected as error:
                raise Rejected(f"claim {place}: {error}") from error
            except (ArithmeticError, KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                raise Rejected(f"claim {place} cannot be read or verified: {type(error).__name__}: {error}") from error
    _require(len(seen) == len(data["claims"]), "a claim is there twice")
    defined = {c["question_sha256"] for c in data["claims"] if (c["condition"], c["verdict"]) == ("defined", "PROVED")}
    for place, claim in enumerate(data["claims"]):
        about_values = claim["verdict"] == "PROVED" and needs_defined(claim["condition"], claim["evidence"])
        _require(not about_values or claim["question_sha256"] in defined, f"claim {place}: C may be undefined")
    return len(data["claims"])


def _check_claim(claim: dict[str, Any], questions: dict[str, Question]) -> tuple[str, str]:
    fields = {"condition", "verdict", "question", "question_sha256", "evidence", "evidence_sha256"}
    _require(set(claim) == fields, f"a claim has the fields {sorted(fields)}")
    asked = _question(claim["question"])
    _require(asked.to_json() == claim["question"], "the question is not in canonical form")
    _require(asked.digest() == claim["question_sha256"], "the question's hash does not fit")
    # Moments that are known already need not be summed again: the settings of claims on one function are shared.
    known = digest({**claim["question"], "amplitude": None, "formula": None})
    asked = dataclasses.replace(asked, setting=questions.setdefault(known, asked).setting)
    _require(digest(claim["evidence"]) == claim["evidence_sha256"], "the evidence's hash does not fit")
    key = (claim["verdict"], claim["condition"])
    _require(key in _CHECKS, f"there is no claim {key}")
    _CHECKS[key](asked, claim["evidence"])
    return claim["condition"], claim["question_sha256"]


def _question(data: dict[str, Any]) -> Question:
    parameters = {
        name: Range(_end(low), _end(high), bool(low_open), bool(high_open))
        for name, (low, high, low_open, high_open) in data["parameters"].items()
    }
    _require(data["cdf"] in CDF_KINDS, f"cdf must be one of {', '.join(CDF_KINDS)}")
    law = None if data["law"] is None else law_from_json(data["law"])
    first, last = data["domain"]
    _require(isinstance(first, int) and first >= 0 and (last is None or last >= first), "the domain is empty")
    setting = Setting(parameters, law, data["cdf"])
    return Question(from_json(data["formula"]), setting, (first, last), Fraction(data["amplitude"]))


def _end(told: str | None) -> fmpq | None:
    if told is None:
        return None
    value = Fraction(told)
    return fmpq(value.numerator, value.denominator)


def _defined(asked: Question, evidence: dict[str, Any]) -> None:
    _only(evidence, "start")
    start, (first, last) = evidence["start"], asked.domain
    first_start = None if last is None else last + 1
    if last is None or last - first > FEW:
        for at in (first, *(s for s in tails.STARTS if first < s <= asked.first_checked())):
            if tails.is_defined(asked.formula, asked.setting, at):
                first_start = at
                break
    _require(start == first_start, "its start")
    points = Points(asked.formula, asked.setting)
    _every(points.is_finite(tau) for tau in range(first, start))


def _positive(asked: Question, evidence: dict[str, Any]) -> None:
    law = asked.setting.law
    supported = law.points() if law is not None else None
    here = asked.setting.with_support()
    if supported is not None or (law is None and mentions(asked.formula, "F")):
        _only(evidence, "mass", "elsewhere")
        _inequality(asked, asked.formula, asked.setting, Tail(*evidence["elsewhere"]), strict=False)
    else:
        _only(evidence, "mass")
    if supported is None:
        _inequality(asked, asked.formula, here, Tail(*evidence["mass"]), strict=True)
        return
    reach = min(dataclasses.replace(asked, setting=here).first_checked(), law.last)
    mass = tails.find_inequality(asked.formula, here, law.first, reach, strict=True)
    _require(evidence["mass"] == (mass and list(mass)), "the argument where the law has mass")
    points = Points(asked.formula, asked.setting)
    _every(points.is_at_least(tau, Fraction(0), strict=True) for tau in supported if mass is None or tau < mass.start)


def _amplitude(asked: Question, evidence: dict[str, Any]) -> None:
    size = extent(asked.formula, asked.setting, asked.domain)
    _only(evidence, "tails", *(["sup"] if size is not None else []))
    if size is not None:
        _require(evidence["sup"] == size.ends, "the supremum")
    above = subtract(number(1 + asked.amplitude), asked.formula)
    below = subtract(asked.formula, number(1 - asked.amplitude))
    _require(len(evidence["tails"]) == 2, "two inequalities are needed")
    for formula, tail in zip((above, below), evidence["tails"], strict=True):
        _inequality(asked, formula, asked.setting, Tail(*tail), strict=False)


def _inequality(asked: Question, formula: Formula, setting: Setting, tail: Tail, *, strict: bool) -> None:
    """An inequality on the whole domain: by an argument from a start on, before it point by point."""
    first, last = asked.domain
    points = Points(formula, setting)
    if tail.argument == "every point":
        _require(last is not None and tail == Tail("every point", 1, last + 1), "the tail")
    else:
        earlier = _earlier(asked, tails.INEQUALITIES, formula, tail)
        _require(tails.inequality(formula, setting, tail, strict=strict), "the argument for the tail does not hold")
        _require(not any(tails.inequality(formula, setting, one, strict=strict) for one in earlier), "an earlier start")
    _every(points.is_at_least(tau, Fraction(0), strict=strict) for tau in range(first, tail.start))


def _decreasing(asked: Question, evidence: dict[str, Any]) -> None:
    _only(evidence, "tail")
    tail, (first, last) = Tail(*evidence["tail"]), asked.domain
    points = Points(asked.formula, asked.setting)
    if tail.argument == "every point":
        _require(last is not None and tail == Tail("every point", 1, last), "the tail")
    else:
        earlier = _earlier(asked, tails.FALLING, asked.formula, tail)
        _require(tails.falling(asked.formula, asked.setting, tail), "the argument for the tail does not hold")
        _require(not any(tails.falling(asked.formula, asked.setting, one) for one in earlier), "an earlier start")
    _every(points.does_not_rise(tau) for tau in range(first, tail.start))


def _magnitude(asked: Question, evidence: dict[str, Any]) -> None:
    _only(evidence, "argument")
    argument = equality.proof_of_one(asked.formula, asked.setting)
    _require(argument is not None and argument == evidence["argument"], "E[C] = 1 does not follow")


def _moments(asked: Question, evidence: dict[str, Any]) -> None:
    if "argument" in evidence:
        _require(evidence == {"argument": "finite domain"} and asked.domain[1] is not None, "the domain is not finite")
        _require(asked.setting.law is None and asked.setting.is_fixed(), "not a finite question")
    elif "falls" in evidence:
        _only(evidence, "falls", "above")
        _falls_to_zero(asked, Tail(*evidence["falls"]), Tail(*evidence["above"]))
    elif "bound" in evidence:
        _only(evidence, "bound", "start")
        starts = (0, 1, 4, 16, 64, 256)
        last = asked.domain[1]
        _require(evidence["start"] in starts and (last is None or evidence["start"] <= last), "its start")
        for start in starts[: starts.index(evidence["start"]) + 1]:
            try:
                bounds = size_from(asked.formula, asked.setting, start, asked.domain[1])
            except ArithmeticError:
                continue
            if bounds.high is not None:
                _require(start == evidence["start"], "an earlier start")
                _require(str(ranges.around(ball(bounds.high)).high) == evidence["bound"], "the bound")
                return
        raise Rejected("no bound there")
    else:
        found = asked.setting.moments(asked.formula)
        expected = {
            "mean": ends(found.mean),
            "mean_square": ends(found.mean_square),
            "staleness_mean": ends(found.staleness_mean),
        }
        _require(evidence == expected, "the enclosures")


def _falls_to_zero(asked: Question, falls: Tail, above: Tail) -> None:
    """Bounded by what it is where it begins to fall, as it stays ≥ 0."""
    points = Points(asked.formula, asked.setting)
    _require(points.is_single, "a function of τ alone is needed")
    earlier = _earlier(asked, tails.FALLING, asked.formula, falls)
    _require(tails.falling(asked.formula, asked.setting, falls), "it is not shown to fall")
    _require(not any(tails.falling(asked.formula, asked.setting, one) for one in earlier), "an earlier start")
    earlier = _earlier(asked, tails.INEQUALITIES, asked.formula, above)
    _require(tails.inequality(asked.formula, asked.setting, above, strict=False), "it may be negative")
    _require(
        not any(tails.inequality(asked.formula, asked.setting, one, strict=False) for one in earlier),
        "an earlier start",
    )
    _every(points.is_finite(tau) for tau in range(asked.domain[0], max(falls.start, above.start)))


def _refuted(violated: Callable[[Question, dict[str, Any]], None]) -> Callable[[Question, dict[str, Any]], None]:
    """Looks at a counterexample again: in the question's own law and parameters, or in single ones within them."""

    def again(asked: Question, evidence: dict[str, Any]) -> None:
        if set(evidence) == {"unbounded"}:
            violated(asked, evidence)
            return
        _only(evidence, "counterexample")
        told = dict(evidence["counterexample"])
        law = law_from_json(told.pop("law")) if "law" in told else None
        _require(asked.setting.law is None or law == asked.setting.law, "another law than the question's")
        values = {name: _end(value) for name, value in told.pop("parameters", {}).items()}
        _require(set(values) == set(asked.setting.parameters), "its parameters")
        for name, value in values.items():
            _require(_holds(asked.setting.parameters[name], value), f"{name} outside its range")
        setting = asked.setting
        if values or law != asked.setting.law:
            setting = Setting({n: Range(v, v) for n, v in values.items()}, law, asked.setting.cdf)
        at = Question(asked.formula, setting, asked.domain, asked.amplitude)
        first, last = asked.domain
        if "tau" in told:
            _require(told["tau"] >= first and (last is None or told["tau"] <= last), "outside the domain")
        if told.pop("undefined", False) is True:
            _is_undefined(at, told)
            wherever = violated in (_is_not_positive, _rises, _strays)
            _require(wherever or law is None or law.has_mass(told["tau"]), "the law has no mass there")
        else:
            violated(at, told)

    return again


def _holds(known: Range, value: fmpq | None) -> bool:
    if value is None:
        return False
    inside = ranges.point(value)
    above = known.low is None or (inside - ranges.point(known.low)).is_nonnegative()
    below = known.high is None or (ranges.point(known.high) - inside).is_nonnegative()
    return above and below


def _is_undefined(at: Question, told: dict[str, Any]) -> None:
    _only(told, "tau")
    try:
        Points(at.formula, at.setting).certain(told["tau"])
    except NotFinite:
        return
    raise Rejected("it has a value there")


def _is_not_positive(at: Question, told: dict[str, Any]) -> None:
    _only(told, "tau", "value")
    points, tau = Points(at.formula, at.setting), told["tau"]
    has_mass = at.setting.law is None or at.setting.law.has_mass(tau)
    below = points.compare(tau, Fraction(0))
    _require(below < 0 or (below == 0 and has_mass), "it is positive there")
    _same(told["value"], points.certain(tau))


def _rises(at: Question, told: dict[str, Any]) -> None:
    _only(told, "tau", "value", "next")
    points, tau = Points(at.formula, at.setting), told["tau"]
    _require(at.domain[1] is None or tau + 1 <= at.domain[1], "outside the domain")
    _require(points.compare(tau, points, tau + 1) < 0, "it does not rise there")
    _same(told["value"], points.certain(tau))
    _same(told["next"], points.certain(tau + 1))


def _mean_is_not_one(at: Question, told: dict[str, Any]) -> None:
    _require(at.setting.law is not None, "a law is needed")
    if "diverges" in told:
        _is_infinite(at, told)
        return
    _only(told, "mean")
    mean = at.setting.mean(at.formula)
    _require(sign(mean - 1) != 0, "E[C] is 1")
    # Under one point the mean is a value, which is exact where it is rational.
    single = at.setting.law.points() is not None and at.setting.law.first == at.setting.law.last
    exact = Points(at.formula, at.setting).certain(at.setting.law.first) if single else mean
    _require(told["mean"] in (ends(mean), ends(exact)), "the enclosure of E[C]")


def _is_infinite(at: Question, told: dict[str, Any]) -> None:
    _only(told, "diverges")
    try:
        moments(at.formula, at.setting)
    except Diverges as error:
        _require(error.first == told["diverges"], "from where on it diverges")
        return
    raise Rejected("the moments are finite")


def _strays(at: Question, told: dict[str, Any]) -> None:
    _only(told, "tau", "value")
    points, tau = Points(at.formula, at.setting), told["tau"]
    outside = points.compare(tau, 1 + at.amplitude) > 0 or points.compare(tau, 1 - at.amplitude) < 0
    _require(outside, "it is within the amplitude there")
    _same(told["value"], points.certain(tau))


def _no_moments(at: Question, told: dict[str, Any]) -> None:
    if "unbounded" in told:
        _require(told == {"unbounded": 64} and at.setting.law is None and at.domain[1] is None, "how it is unbounded")
        _require(tails.growing(at.formula, at.setting, 64), "it is not shown to be unbounded")
    else:
        _is_infinite(at, told)


_CHECKS: dict[tuple[str, str], Callable[[Question, dict[str, Any]], None]] = {
    ("PROVED", "defined"): _defined,
    ("PROVED", "positive"): _positive,
    ("PROVED", "decreasing"): _decreasing,
    ("PROVED", "magnitude"): _magnitude,
    ("PROVED", "amplitude"): _amplitude,
    ("PROVED", "moments"): _moments,
    ("REFUTED", "defined"): _refuted(_is_undefined),
    ("REFUTED", "positive"): _refuted(_is_not_positive),
    ("REFUTED", "decreasing"): _refuted(_rises),
    ("REFUTED", "magnitude"): _refuted(_mean_is_not_one),
    ("REFUTED", "amplitude"): _refuted(_strays),
    ("REFUTED", "moments"): _refuted(_no_moments),
}


def _earlier(asked: Question, arguments: tuple[str, ...], formula: Formula, tail: Tail) -> list[Tail]:
    """The tails that come before one in the order in which they are tried."""
    before, most = [], asked.first_checked()
    for one in tails.candidates(arguments, formula, asked.domain[0], most):
        if one == tail and tail.start <= most:
            return before
        if one.start <= most:
            before.append(one)
    raise Rejected(f"{tuple(tail)} is no tail that is tried")


def _same(told: list[str], value: Number) -> None:
    _require(told == ends(value), f"the value there is in {ends(value)}")


def _every(checks: Iterable[bool]) -> None:
    _require(all(checks), "it does not hold at every point before the tail")


def _only(evidence: dict[str, Any], *names: str) -> None:
    _require(isinstance(evidence, dict) and set(evidence) == set(names), f"the evidence is {sorted(names)}")


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Rejected(what)


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0 where every certificate holds, 1 where one does not, 3 where one cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m theory.check", description="Verifies certificates again.")
    parser.add_argument("certificates", nargs="+", metavar="certificate.json")
    code = 0
    for path in parser.parse_args(arguments).certificates:
        try:
            data = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            print(f"{path}: cannot be read: {error}", file=sys.stderr)
            return 3
        try:
            print(f"{path}: {check(data)} claims verified")
        except Rejected as error:
            print(f"{path}: REJECTED: {error}")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())

"""Questions as certificates hold them: each is read strictly, so that one that makes no sense has no answer."""

from __future__ import annotations

from typing import Any

from theory.analysis.expectation import UnderLaw
from theory.certificates.enclosures import rational
from theory.certificates.rejection import require, require_only
from theory.decisions.question import Question
from theory.formulas.formula import COMPARISONS, Domain, Formula, mentions, nodes
from theory.formulas.writing import from_json, text
from theory.laws import Law
from theory.laws.law import CDF_KINDS
from theory.laws.parsing import from_json as law_from_json
from theory.numbers.ranges import Range
from theory.numbers.rationals import as_fmpq

MOST_NODES = 20_000
#: What a formula is printed with: no parameter may have such a name.
_RESERVED = ("tau", "F", "mean", "pi", "E", "τ", "π")
_CONDITIONS = (*COMPARISONS, "not", "and", "or")


def question_from_json(data: Any) -> Question:
    """The question that a certificate holds.

    Args:
      data: what :meth:`theory.decisions.question.Question.to_json` wrote.

    Returns:
      The question.

    Raises:
      Rejected: where it is no question: an empty range, mass outside the domain, a parameter without a range, ….
    """
    require_only(data, "formula", "cdf", "domain", "amplitude", "parameters", "law")
    formula = from_json(data["formula"])
    for count, _ in enumerate(nodes(formula)):
        require(count < MOST_NODES, f"a formula has at most {MOST_NODES:,} nodes")
    _require_numbers(formula)
    require(data["cdf"] in CDF_KINDS, f"cdf must be one of {', '.join(CDF_KINDS)}")
    domain, parameters = _domain(data["domain"]), _parameters(data["parameters"])
    for node in nodes(formula):
        require(node[0] != "parameter" or node[1] in parameters, f"the parameter {node[1:]} has no range")
    law = None if data["law"] is None else law_on(domain, data["law"])
    amplitude = rational(data["amplitude"])
    require(amplitude >= 0, "the amplitude is negative")
    question = Question(formula, UnderLaw(parameters, law, data["cdf"]), domain, amplitude)
    require(question.to_json() == data, "the question is not in canonical form")
    return question


def text_of(question: Question) -> str:
    """A question for people: the formula, and all that the answer depends on.

    Example:
      >>> from theory.formulas.formula import ONE, TAU, add
      >>> print(text_of(Question(add(ONE, TAU), UnderLaw())))
      C(τ) = 1 + τ, under every law, for τ ≥ 0, with amplitude 1
    """
    (first, last), setting = question.domain, question.setting
    where = f"τ ≥ {first}" if last is None else f"{first} ≤ τ ≤ {last}"
    written = f"C(τ) = {text(question.formula)}, under {setting.law or 'every law'}, for {where}"
    written += f", with amplitude {question.amplitude}"
    for name, known in sorted(setting.parameters.items()):
        low, high = ("∞" if end is None else str(end) for end in (known.low, known.high))
        if known.is_point():
            written += f", {name} = {low}"
        else:
            opening, closing = "(" if known.low_open else "[", ")" if known.high_open else "]"
            written += f", {name} in {opening}{'-' if known.low is None else ''}{low}, {high}{closing}"
    if mentions(question.formula, "F"):
        written += f", F the {setting.cdf} distribution function"
    return written


def law_on(domain: Domain, data: Any) -> Law:
    """The law that a certificate holds, with its mass in the domain."""
    law, (first, last) = law_from_json(data), domain
    inside = law.first >= first and (last is None or (law.last is not None and law.last <= last))
    require(inside, "the law has mass outside the domain")
    return law


def whole(value: Any) -> bool:
    """Whether JSON data is an integer; ``true`` is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _domain(data: Any) -> Domain:
    require(isinstance(data, list) and len(data) == 2, "the domain is a list of first and last")
    first, last = data
    require(whole(first) and first >= 0 and (last is None or whole(last)), "the domain's ends are integers ≥ 0")
    require(last is None or last >= first, "the domain is empty")
    return first, last


def _parameters(data: Any) -> dict[str, Range]:
    require(isinstance(data, dict), "the parameters are an object")
    return {name: _range(name, ends) for name, ends in data.items()}


def _range(name: str, data: Any) -> Range:
    require(name.isidentifier() and name not in _RESERVED, f"{name[:40]!r} is no name of a parameter")
    require(isinstance(data, list) and len(data) == 4, f"the range of {name}: two ends, and whether each is excluded")
    low, high = (None if end is None else as_fmpq(rational(end)) for end in data[:2])
    require(all(isinstance(is_open, bool) for is_open in data[2:]), f"the range of {name}: open is true or false")
    known = Range(low, high, *data[2:])
    require((low is not None or known.low_open) and (high is not None or known.high_open), "infinity is in no range")
    if low is not None and high is not None:
        closed = not (known.low_open or known.high_open)
        require(low < high or (low == high and closed), f"the range of {name} is empty")
    return known


def _require_numbers(formula: Formula) -> None:
    """Rejects a comparison where a number is meant, and the other way round."""
    name, *parts = formula
    require(name not in _CONDITIONS, f"{name} is no number")
    if name in ("number", "parameter"):
        return
    if name == "where":
        _require_condition(parts.pop(0))
    for part in parts:
        _require_numbers(part)


def _require_condition(formula: Formula) -> None:
    name, *parts = formula
    require(name in _CONDITIONS, f"{name} is no comparison")
    for part in parts:
        _require_numbers(part) if name in COMPARISONS else _require_condition(part)

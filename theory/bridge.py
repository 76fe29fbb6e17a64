"""From a verified formula to a rule that trains: a table of float32, rounded from enclosures and verified again."""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb, fmpq

from jasgd.inputs.checks import integer
from theory.analysis.pointwise import PointValues
from theory.candidates.candidate import Candidate
from theory.candidates.loading import load
from theory.decisions.decision import Report, decide, question_about
from theory.decisions.question import Question
from theory.decisions.verdict import Verdict
from theory.formulas.formula import Formula, divide, reads_law
from theory.formulas.to_jax import evaluated
from theory.laws import Law
from theory.laws.parsing import parse_law
from theory.numbers.balls import PRECISIONS, ball, precision

_NEEDED = ("defined", "positive", "decreasing")
_ROUNDING = arb(2) ** -23  # twice what rounding to float32 can be off, relatively


def to_rule(
    candidate: str | Candidate,
    *,
    distribution: str | None = None,
    largest_staleness: int = 1023,
    normalized: bool = False,
) -> Any:
    r"""A rule for ``jasgd.staleness_adaptive`` from a candidate: what is verified is what runs.

    .. math:: \text{table}[\tau] = \mathrm{float32}(C(\min(\max(\tau, \tau_0), R)))

    where :math:`\tau_0` is the first staleness of the candidate's domain: a fresher gradient gets its factor.

    Args:
      candidate: a file, ``jasgd.rules:NAME``, or a loaded candidate. One that reads F, and is given no distribution,
        becomes a rule that reads the law of the execution; it is evaluated in float32, from verified properties that
        hold for every law.
      distribution: the law, as on the command line; that of the candidate where None.
      largest_staleness: R ≥ 0, in updates; a staler gradient gets C(R).
      normalized: divide by E[C] under the law, which then is needed.

    Returns:
      The rule, with the :class:`theory.decisions.decision.Report` as its attribute ``report``, and ``table``, where it
      has one, of shape (R + 1,), float32.

    Raises:
      ValueError: where C is not proved to be defined, positive and decreasing, where the floats do not have these
        properties (a factor that rounds to 0), or where E[C] changes by more than the rounding.

    Example:
      >>> rule = to_rule("jasgd.rules:inverse", distribution="poisson:8", normalized=True)
      >>> round(float(rule(0)), 4)  # over E[C] = (1 - e^-8) / 8
      8.0027
    """
    largest_staleness = integer("largest_staleness", largest_staleness, 0)
    loaded = load(candidate) if isinstance(candidate, str) else candidate
    laws = [parse_law(distribution)] if distribution is not None else list(loaded.laws[:1])
    if normalized and not laws:
        raise ValueError("normalized=True needs a distribution: E[C] is that under a law")
    report = decide(loaded, laws)
    _require_proved(report)
    law = laws[0] if laws else None
    question = question_about(loaded, law)
    if not question.setting.is_fixed():
        raise ValueError(f"{loaded.name}: give each parameter a value: {', '.join(question.setting.parameters)}")
    if law is None and reads_law(question.formula):
        return _reading_the_law(question.formula, loaded, report)
    if normalized:
        question = Question(
            divide(question.formula, ("mean", question.formula)), question.setting, question.domain, question.amplitude
        )
    first, last = question.domain
    largest = largest_staleness if last is None else min(largest_staleness, last)
    if largest < first:
        raise ValueError(
            f"largest_staleness must be ≥ {first}, where the domain of {loaded.name} begins, got {largest}"
        )
    with precision(PRECISIONS[0]):
        factor_values = PointValues(question.formula, question.setting)
        values = [ball(factor_values.certain(max(tau, first))) for tau in range(largest + 1)]
        table = np.array([np.float32(float(value.mid())) for value in values], np.float32)
        mean = arb(1) if law is None else ball(question.setting.mean(question.formula))
        _verify(table, values, law, mean, loaded.name)
    return _from_table(table, report)


def _require_proved(report: Report) -> None:
    for name in _NEEDED:
        if report[name].verdict is not Verdict.PROVED:
            raise ValueError(f"{report.candidate.name}: {name} is {report[name].verdict}: {report[name].because}")


def _verify(table: np.ndarray, values: list[arb], law: Law | None, mean: arb, name: str) -> None:
    """Verifies the floats themselves: positive, non-increasing, and with the mean of C within the rounding."""
    for tau, (rounded, value) in enumerate(zip(table, values, strict=True)):
        exact = arb(fmpq(*float(rounded).as_integer_ratio()))
        massless = law is not None and not law.has_mass(tau)
        if rounded <= 0 and not (massless and rounded == 0):
            raise ValueError(f"{name}: C({tau}) rounds to {rounded} in float32; take largest_staleness below {tau}")
        if not abs(exact - value) <= _ROUNDING * abs(value) + arb(2) ** -149:
            raise ValueError(f"{name}: C({tau}) is not rounded to {rounded}")
        if tau and rounded > table[tau - 1]:
            raise ValueError(f"{name}: rounded to float32, C({tau}) > C({tau - 1})")
    if law is None:
        return
    start, stop = law.window()
    clipped, covered = arb(0), arb(0)
    for tau in range(start, stop + 1):
        mass = law.mass(tau)
        clipped += mass * fmpq(*float(table[min(tau, len(table) - 1)]).as_integer_ratio())
        covered += mass
    left_out = abs(1 - covered) * fmpq(*float(table[0]).as_integer_ratio())
    if not abs(clipped - mean) <= 2 * _ROUNDING * mean + left_out:
        raise ValueError(
            f"{name}: E[C] under {law} is {mean.str(8, radius=False)}, "
            f"that of the table {clipped.str(8, radius=False)}; take a larger largest_staleness than {len(table) - 1}"
        )


def _from_table(table: np.ndarray, report: Report) -> Any:
    import jax.numpy as jnp

    def rule(staleness: Any) -> Any:
        return jnp.take(jnp.asarray(table), jnp.clip(staleness, 0, len(table) - 1))

    rule.table, rule.report = table, report  # type: ignore[attr-defined]
    return rule


def _reading_the_law(formula: Formula, candidate: Candidate, report: Report) -> Any:
    def rule(staleness: Any, law: Any) -> Any:
        return evaluated(formula, staleness, law.cdf(staleness, candidate.cdf))

    rule.report = report  # type: ignore[attr-defined]
    return rule

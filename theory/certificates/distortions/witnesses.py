"""The evidence of findings about distortions as certificates carry it: enclosures with as many digits as they need."""

from __future__ import annotations

from typing import Any

from theory.certificates.distortions.refutations import decides, gain_of, instance_of, next_point
from theory.certificates.enclosures import around, below, decisive
from theory.certificates.refutations import not_one, rises
from theory.certificates.rejection import Rejected
from theory.decisions.verdict import Finding, Verdict
from theory.distortions.factors import Factors
from theory.distortions.question import DistortionQuestion
from theory.numbers.rationals import as_fmpq, exact


def distortion_witness_of(question: DistortionQuestion, condition: str, finding: Finding) -> dict[str, Any]:
    """The evidence of a finding that is proved or refuted; Rejected where it cannot be written."""
    try:
        if finding.verdict is Verdict.PROVED:
            return finding.evidence
        return _refutation(question, condition, dict(finding.evidence["counterexample"]))
    except (ArithmeticError, RecursionError) as error:
        raise Rejected(f"no witness can be written: {type(error).__name__}: {error}") from error


def _refutation(question: DistortionQuestion, condition: str, found: dict[str, Any]) -> dict[str, Any]:
    instance, _ = instance_of(question, found)
    if "unbounded" in found:
        least = below(as_fmpq(exact(found["unbounded"]["least"])))[0]
        return {**found, "unbounded": {**found["unbounded"], "least": least}}
    if "jump" in found:
        ends = [around(as_fmpq(exact(end)))[place] for place, end in enumerate(found["jump"]["mean"])]
        return {**found, "jump": {**found["jump"], "mean": ends}}
    if "undefined" in found:
        return found
    if "mean" in found:
        gain: Any = gain_of(instance)
        return {**found, "mean": decisive(gain, [0], not_one)[0]}
    assert instance.law is not None
    factors: Any = Factors(instance.distortion, instance.parameters, instance.law)
    tau = found["tau"]
    if condition == "decreasing":
        value, after = decisive(factors, [tau, next_point(instance.law, tau)], rises)
        return {**found, "value": value, "next": after}
    if condition == "positive" and factors.compare(tau, exact("0")) == 0:
        return {**found, "value": ["0", "0"]}  # by algebra, where no enclosure decides
    return {**found, "value": decisive(factors, [tau], lambda value: decides(condition, instance, value))[0]}

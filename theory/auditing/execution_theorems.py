"""Theorems E and H, which are about one execution: their step conditions, and their bounds beside what was measured."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from jasgd.record.execution import Execution
from jasgd.showing import Shown
from theory.auditing.measuring.estimates import ROUNDING, Measured
from theory.auditing.problem_numbers import Numbers
from theory.auditing.recorded_run import Commits
from theory.auditing.remarks import Comparison, Remark
from theory.convergence.theorems.distances import distance_bound, distance_condition
from theory.convergence.trace import largest_scale, trace_bound, trace_condition
from theory.decisions.verdict import Verdict

NAMED = 3  # commits that bind


@dataclasses.dataclass(frozen=True, repr=False)
class Evidence(Shown):
    """What a run showed of its steps.

    Attributes:
      step_sizes: α_k, in [x]²/[f]; None where they are not known.
      distances: D_k, in [x]; None where nothing was replayed.
      in_doubt: whether step sizes may have looked at the noise of their own gradients.
      measured: what the theorems bound, by ``"gradient"``, ``"loss"`` and ``"final"``, where it is known.
      words: at which versions and by which mini-batches it was measured.
    """

    step_sizes: np.ndarray | None
    distances: np.ndarray | None
    in_doubt: bool
    measured: dict[str, Measured]
    words: str = ""

    def _facts(self) -> dict[str, Any]:
        return vars(self)


#: The forms of a theorem: the numbers that each takes, what its left side is of, and whether inf f is in that.
FORMS = {
    "non-convex": (("gap",), "gradient", False),
    "convex": (("distance",), "loss", True),
    "Polyak-Łojasiewicz": (("gap", "mu"), "final", True),
}


def step_conditions(execution: Execution, commits: Commits, numbers: Numbers, evidence: Evidence) -> list[Remark]:
    """Judges the step conditions of both theorems, and finds the largest learning rate for (TR).

    Args:
      execution: the record.
      commits: its commits.
      numbers: learning rate and smoothness.
      evidence: the step sizes.

    Returns:
      Remarks, or one that says what is missing.
    """
    name = "Theorem E, step condition"
    if missing := _missing(commits, numbers, evidence, "smoothness"):
        return [Remark(name, Verdict.UNKNOWN, missing)]
    alpha = evidence.step_sizes
    assert alpha is not None
    assert numbers.smoothness is not None
    smoothness = numbers.smoothness
    checked = trace_condition(commits.staleness, alpha, smoothness=smoothness)
    most = float(checked.load.max())
    by = _by(numbers, "smoothness", "L")
    holds = _holds(checked.verdict, len(checked.violated), len(alpha))
    binding = [_named(execution, commits, int(k), float(checked.load[k])) for k in checked.binding[:NAMED]]
    sentences = [
        f"{by}, Lα_j + {'' if checked.in_order else '2'}L²Σα_kS_k ≤ 1 {holds}; the largest load is {most:.3g}",
        "commits that bind: " + "; ".join(one["told"] for one in binding),
    ]
    estimated = "smoothness" in numbers.estimated
    told = {"largest_load": most, "violated": len(checked.violated), "in_order": checked.in_order, "binding": binding}
    remarks = [Remark(name, Verdict.UNKNOWN if estimated else checked.verdict, ". ".join(sentences), told)]
    scale = largest_scale(commits.staleness, alpha, smoothness=smoothness)
    if numbers.learning_rate is not None:
        admissible = scale * numbers.learning_rate
        text = (
            f"{by}, the step condition holds up to η = {admissible:.3g} with these factors and delays; η was "
            f"{numbers.learning_rate:g}"
        )
        values = {"admissible": admissible, "learning_rate": numbers.learning_rate}
        remarks.append(Remark("admissible learning rate", None, text, values))
    condition = distance_condition(alpha, smoothness=smoothness)
    holds = _holds(condition.verdict, len(condition.violated), len(alpha))
    remarks.append(
        Remark(
            "Theorem H, step condition",
            Verdict.UNKNOWN if estimated else condition.verdict,
            f"{by}, Lα_k ≤ 1 {holds}; the largest Lα_k is {condition.largest:.3g}",
            {"largest": condition.largest, "violated": len(condition.violated)},
        )
    )
    return remarks


def bounds(commits: Commits, numbers: Numbers, evidence: Evidence) -> tuple[list[Remark], list[Comparison]]:
    """Evaluates the bounds of both theorems for which the numbers suffice, beside what was measured.

    Args:
      commits: of the execution.
      numbers: of the problem.
      evidence: step sizes, distances, and what was measured.

    Returns:
      A remark for each bound, or one that says what is missing; and the comparisons.
    """
    if missing := _missing(commits, numbers, evidence, "smoothness", "noise"):
        return [Remark("Theorem E, bound", Verdict.UNKNOWN, missing)], []
    assert evidence.step_sizes is not None
    remarks, comparisons = [], []
    for form in FORMS:
        arguments = _arguments(numbers, evidence.step_sizes, form)
        if arguments is None:
            continue
        for evaluated in (_trace, _distance):
            if (found := evaluated(commits, numbers, evidence, form, arguments)) is not None:
                remarks.append(found[0])
                comparisons.append(found[1])
    if comparisons and evidence.distances is None:
        text = "not evaluated: how far the parameters moved under each gradient is known from a replay alone"
        remarks.append(Remark("Theorem H, bound", None, text))
    return remarks or [
        Remark("Theorem E, bound", Verdict.UNKNOWN, "needs gap, or distance, or gap and mu")
    ], comparisons


def usable_mu(numbers: Numbers, alpha: np.ndarray) -> float | None:
    """μ where it is given and below 1 over every step size, as the Polyak-Łojasiewicz forms need it."""
    return numbers.mu if numbers.mu is not None and numbers.mu * float(alpha.max()) < 1 else None


def _arguments(numbers: Numbers, alpha: np.ndarray, form: str) -> dict[str, Any] | None:
    names, _, _ = FORMS[form]
    arguments = {name: usable_mu(numbers, alpha) if name == "mu" else getattr(numbers, name) for name in names}
    if any(value is None for value in arguments.values()):
        return None
    return arguments | {"smoothness": numbers.smoothness, "noise": numbers.noise}


def _trace(
    commits: Commits, numbers: Numbers, evidence: Evidence, form: str, arguments: dict[str, Any]
) -> tuple[Remark, Comparison]:
    bound = trace_bound(commits.staleness, evidence.step_sizes, **arguments)  # type: ignore[arg-type]
    shares = f"{bound.start:.3g} from the start, {bound.noise:.3g} from noise"
    told = {"bound": bound.value, "start": bound.start, "noise": bound.noise}
    compared = _comparison("E", form, bound.condition.verdict, bound, numbers, evidence)
    blind = "for plain SGD on such an objective, if delays and step sizes do not look at the noise"
    return _remark(compared, f"{bound.bounds} ≤ {bound.value:.3g} ({shares})", blind, told, evidence), compared


def _distance(
    commits: Commits, numbers: Numbers, evidence: Evidence, form: str, arguments: dict[str, Any]
) -> tuple[Remark, Comparison] | None:
    if evidence.distances is None:
        return None
    moved = evidence.distances * (1 + ROUNDING)
    bound = distance_bound(evidence.step_sizes, moved, **arguments)  # type: ignore[arg-type]
    shares = f"{bound.start:.3g} from the start, {bound.distance:.3g} from distances, {bound.noise:.3g} from noise"
    told = {"bound": bound.value, "start": bound.start, "distance": bound.distance, "noise": bound.noise}
    compared = _comparison("H", form, bound.condition.verdict, bound, numbers, evidence)
    blind = (
        "in the mean over runs of both sides, for plain SGD on such an objective, if no delay or step size looks at "
        "the noise of its own gradient"
    )
    return _remark(compared, f"{bound.bounds} ≤ {bound.value:.3g} ({shares})", blind, told, evidence), compared


def _comparison(
    theorem: str, form: str, condition: Verdict, bound: Any, numbers: Numbers, evidence: Evidence
) -> Comparison:
    names, what, with_infimum = FORMS[form]
    estimated = numbers.estimated & {"smoothness", "noise", *names}
    doubts = []
    if estimated:
        doubts.append(f"with estimates of {', '.join(sorted(estimated))}")
    if numbers.assumption and ("gap" in estimated or (with_infimum and what in evidence.measured)):
        doubts.append(numbers.assumption)
    if evidence.in_doubt:
        doubts.append("if the learning rate was a schedule")
    of_gap = bound.start / numbers.gap if "gap" in names and numbers.gap else 0.0  # how the bound moves with Δ
    value = Measured(bound.value, of_gap * numbers.gap_error)
    is_random = numbers.noise != 0
    return Comparison(theorem, form, condition, value, evidence.measured.get(what), tuple(doubts), is_random)


def _remark(compared: Comparison, sentence: str, blind: str, told: dict[str, Any], evidence: Evidence) -> Remark:
    holds = compared.condition is Verdict.PROVED
    own = (
        "its own step condition, which has μ in it," if compared.form == "Polyak-Łojasiewicz" else "the step condition"
    )
    sentence += f", {blind}" if holds else f", if {own} held"
    if compared.measured is not None:
        sentence += f"; measured {compared.measured}"
        if evidence.words and compared.form != "Polyak-Łojasiewicz":
            sentence += f" at {evidence.words}"
        sentence += _words(compared)
        told |= {"measured": compared.measured.value, "error": compared.measured.error, "result": compared.result}
    if compared.doubts:
        sentence += f" ({'; '.join(compared.doubts)})"
    verdict = None if holds and not compared.doubts else Verdict.UNKNOWN  # sums alone prove nothing about a run
    return Remark(f"Theorem {compared.theorem}, {compared.form}", verdict, sentence, told)


def _words(compared: Comparison) -> str:
    """Where the measured value lies, in words, and what follows if it is above the bound."""
    assert compared.measured is not None
    if compared.result == "says nothing":
        return ""
    if (place := compared.measured.against(compared.bound)) != "above":
        return ": within the bound" if place == "within" else ": whether it is within the bound cannot be told"
    if not compared.is_random:
        return ": above the bound" + (", which may be wrong" if compared.doubts else "; something assumed is wrong")
    if compared.theorem != "E":
        return ": above the bound in this run, which cannot tell of the means over runs"
    share = f"{compared.share:.0%}" if compared.share >= 0.01 else "1%"
    return (
        f": above the bound, which is for the mean over runs: if all that is assumed is true, at most {share} of them "
        f"come out so high"
    )


def _missing(commits: Commits, numbers: Numbers, evidence: Evidence, *names: str) -> str:
    if commits.unfinished:
        return f"{commits.unfinished} commits did not end: what they changed is not known"
    if not len(commits.staleness):
        return "no gradient was applied"
    if not np.isfinite(commits.factor).all():
        return "no factor was recorded, as nothing was trained"
    alpha = evidence.step_sizes
    if commits.factor.min() < 0 or not commits.factor.any() or (alpha is not None and not alpha.any()):
        return "Theorems E and H are about step sizes ≥ 0, one of them > 0; these are not"
    lacking = ["learning_rate"] * (alpha is None) + [name for name in names if getattr(numbers, name) is None]
    return f"needs {', '.join(lacking)}" if lacking else ""


def _holds(verdict: Verdict, violated: int, commits: int) -> str:
    return {
        Verdict.PROVED: "holds at every commit",
        Verdict.REFUTED: f"fails at {violated:,} of {commits:,} commits",
        Verdict.UNKNOWN: "is decided by rounding",
    }[verdict]


def _by(numbers: Numbers, name: str, letter: str) -> str:
    value = getattr(numbers, name)
    return (
        f"with the local estimate {letter} = {value:.3g}"
        if name in numbers.estimated
        else f"given {letter} = {value:g}"
    )


def _named(execution: Execution, commits: Commits, commit: int, load: float) -> dict[str, Any]:
    row = int(commits.row[commit])
    version, worker = int(execution.version[row]), int(execution.worker[row])
    description = (
        f"version {version} (worker {worker}, ticket {int(execution.ticket[row])}, τ = {int(commits.staleness[commit])}"
    )
    time_s = float(execution.time_s[row])
    if math.isfinite(time_s):
        description += f", {time_s:.3g} s"
    return {"version": version, "worker": worker, "load": load, "told": f"{description}): load {load:.3g}"}

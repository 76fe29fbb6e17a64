"""The theorems, applied to one execution: Theorem E to its commits, the others to its empirical law."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from jasgd.record.execution import Execution
from theory.auditing.recorded_run import Commits
from theory.auditing.remarks import Remark
from theory.convergence.moments import Moments
from theory.convergence.theorem import Case, evaluate
from theory.convergence.theorems import THEOREMS
from theory.convergence.trace import largest_scale, trace_bound, trace_condition
from theory.decisions.verdict import Verdict
from theory.numbers.rationals import as_fmpq

MOST_POINTS = 400  # of an empirical law, on which moments are summed in exact rationals
NAMED = 3  # commits that bind


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Numbers of a problem that the theorems need; None where one is not known.

    Attributes:
      learning_rate: η, in [x]²/[f].
      smoothness: L, in [f]/[x]².
      noise: σ, in [f]/[x].
      gap: Δ = f(x₀) - inf f, in [f].
      distance: D = |x₀ - x*|, in [x].
      mu: the Polyak-Łojasiewicz constant, in [f]/[x]².
      estimated: names of those that are estimates, on which nothing can be proved.
    """

    learning_rate: float | None = None
    smoothness: float | None = None
    noise: float | None = None
    gap: float | None = None
    distance: float | None = None
    mu: float | None = None
    estimated: frozenset[str] = frozenset()


def step_condition(execution: Execution, commits: Commits, numbers: Numbers) -> list[Remark]:
    """Judges the step condition (TR) of Theorem E on recorded commits, and finds the largest learning rate for it.

    Args:
      execution: the record.
      commits: its commits.
      numbers: learning rate and smoothness.

    Returns:
      Two remarks, or one that says what is missing.
    """
    name = "Theorem E, step condition"
    if missing := _missing(commits, numbers, "learning_rate", "smoothness"):
        return [Remark(name, Verdict.UNKNOWN, missing)]
    assert numbers.learning_rate is not None
    assert numbers.smoothness is not None
    alpha = numbers.learning_rate * commits.factor
    checked = trace_condition(commits.staleness, alpha, smoothness=numbers.smoothness, mu=_usable_mu(numbers, alpha))
    most = float(checked.load.max())
    by = _by(numbers, "smoothness", "L")
    holds = {
        Verdict.PROVED: "holds at every commit",
        Verdict.REFUTED: f"fails at {len(checked.violated):,} of {len(checked.load):,} commits",
        Verdict.UNKNOWN: "is decided by rounding",
    }[checked.verdict]
    sentences = [f"{by}, Lα_j + {'' if checked.in_order else '2'}L²Σα_kS_k ≤ 1 {holds}; the largest load is {most:.3g}"]
    binding = [_named(execution, commits, int(k), float(checked.load[k])) for k in checked.binding[:NAMED]]
    sentences.append("commits that bind: " + "; ".join(one["told"] for one in binding))
    verdict = Verdict.UNKNOWN if "smoothness" in numbers.estimated else checked.verdict
    condition = Remark(
        name,
        verdict,
        ". ".join(sentences),
        {"largest_load": most, "violated": len(checked.violated), "in_order": checked.in_order, "binding": binding},
    )
    scale = largest_scale(commits.staleness, alpha, smoothness=numbers.smoothness)
    admissible = scale * numbers.learning_rate
    return [
        condition,
        Remark(
            "admissible learning rate",
            None,
            f"{by}, the step condition holds up to η = {admissible:.3g} with these factors and delays; η was "
            f"{numbers.learning_rate:g}",
            {"admissible": admissible, "learning_rate": numbers.learning_rate},
        ),
    ]


def bounds(commits: Commits, numbers: Numbers, measured: Mapping[str, float]) -> list[Remark]:
    """Evaluates the bounds of Theorem E for which the numbers suffice, beside what was measured.

    Args:
      commits: of the execution.
      numbers: of the problem.
      measured: what each bounds, by ``"gradient"``, ``"loss"`` and ``"final"``, the gap at the end, where it is known.

    Returns:
      A remark for each bound, or one that says what is missing.
    """
    if missing := _missing(commits, numbers, "learning_rate", "smoothness", "noise"):
        return [Remark("Theorem E, bound", Verdict.UNKNOWN, missing)]
    assert numbers.learning_rate is not None
    alpha = numbers.learning_rate * commits.factor
    mu = _usable_mu(numbers, alpha)
    cases = {
        "non-convex": ({"gap": numbers.gap}, "gradient"),
        "convex": ({"distance": numbers.distance}, "loss"),
        "Polyak-Łojasiewicz": ({"gap": numbers.gap, "mu": mu}, "final"),
    }
    remarks = []
    for title, (arguments, what) in cases.items():
        if any(value is None for value in arguments.values()):
            continue
        bound = trace_bound(commits.staleness, alpha, smoothness=numbers.smoothness, noise=numbers.noise, **arguments)  # type: ignore[arg-type]
        sentence = (
            f"{bound.bounds} ≤ {bound.value:.3g} ({bound.start:.3g} from the start, {bound.noise:.3g} from noise)"
        )
        if bound.condition.verdict is not Verdict.PROVED:
            sentence += ", if the step condition held"
        else:
            sentence += ", for plain SGD on such an objective, if delays do not look at the noise"
        if what in measured:
            sentence += f"; measured {measured[what]:.3g}"
        estimated = numbers.estimated & {"smoothness", "noise", *arguments}
        sure = bound.condition.verdict is Verdict.PROVED and not estimated
        values = {"bound": bound.value, "start": bound.start, "noise": bound.noise}
        if what in measured:
            values["measured"] = measured[what]
        verdict = None if sure else Verdict.UNKNOWN  # sums alone prove nothing about a run
        remarks.append(Remark(f"Theorem E, {title}", verdict, sentence + _estimates(estimated), values))
    return remarks or [Remark("Theorem E, bound", Verdict.UNKNOWN, "needs gap, or distance, or gap and mu")]


def theorems(commits: Commits, numbers: Numbers, workers: int, independence: Remark) -> list[Remark]:
    """Judges every other theorem, with the empirical law as its law and the mean factor at each τ as its C.

    Args:
      commits: of the execution.
      numbers: of the problem.
      workers: number of workers, 0 where there are none.
      independence: what the record says of the independence of the delays.

    Returns:
      A remark for each theorem: what of it is refuted, unknown or assumed.
    """
    values, index = np.unique(commits.staleness, return_inverse=True)
    if not 0 < len(values) <= MOST_POINTS or not np.isfinite(commits.factor).all():
        why = "no factor was recorded" if len(values) <= MOST_POINTS else f"the law has {len(values)} values"
        return [Remark("theorems on the empirical law", Verdict.UNKNOWN, f"not looked at: {why}")]
    counts = np.bincount(index)
    means = np.bincount(index, weights=commits.factor) / counts
    total = len(commits.staleness)
    moments = Moments.of_pmf(
        {int(tau): Fraction(int(n), total) for tau, n in zip(values, counts, strict=True)},
        {int(tau): Fraction(float(mean)).limit_denominator(10**9) for tau, mean in zip(values, means, strict=True)},
    )
    known = {
        "L": numbers.smoothness,
        "sigma": numbers.noise,
        "delta": numbers.gap,
        "distance": numbers.distance,
        "mu": numbers.mu,
        "steps": total,
        "workers": workers or None,
    }
    exact = {name: as_fmpq(Fraction(value)) for name, value in known.items() if value is not None}
    step = None if numbers.learning_rate is None else as_fmpq(Fraction(numbers.learning_rate))
    remarks = []
    for theorem in THEOREMS.values():
        if "execution" in theorem.needs:
            continue
        if missing := theorem.missing(exact):
            remarks.append(Remark(theorem.title, None, f"not looked at: needs {', '.join(missing)}"))
            continue
        judged = evaluate(theorem, Case(moments, exact), step).assumptions
        said: dict[str, list[str]] = {"REFUTED": [], "UNKNOWN": [], "ASSUMED": []}
        for one in judged:
            label = one.label
            if one.name == "independent staleness":
                label = "UNKNOWN"
            elif numbers.estimated and label != "ASSUMED" and ("step" in one.name or "μ" in one.name):
                label = "UNKNOWN"  # it takes numbers that are estimates
            if label in said:
                said[label].append(one.name)
        if "independent staleness" in said["UNKNOWN"]:
            said["UNKNOWN"].remove("independent staleness")
            said["UNKNOWN"].append(f"independent staleness ({independence.text})")
        verdict = Verdict.REFUTED if said["REFUTED"] else Verdict.UNKNOWN
        sentence = "; ".join(f"{label.lower()}: {', '.join(names)}" for label, names in said.items() if names)
        remarks.append(
            Remark(theorem.title, verdict, sentence, {label.lower(): names for label, names in said.items()})
        )
    return remarks


def _missing(commits: Commits, numbers: Numbers, *names: str) -> str:
    if commits.unfinished:
        return f"{commits.unfinished} commits did not end: what they changed is not known"
    if not len(commits.staleness):
        return "no gradient was applied"
    if not np.isfinite(commits.factor).all():
        return "no factor was recorded, as nothing was trained"
    if commits.factor.min() < 0 or not commits.factor.any():
        return "Theorem E is about step sizes ≥ 0, one of them > 0; these are not"
    lacking = [name for name in names if getattr(numbers, name) is None]
    return f"needs {', '.join(lacking)}" if lacking else ""


def _usable_mu(numbers: Numbers, alpha: np.ndarray) -> float | None:
    return numbers.mu if numbers.mu is not None and numbers.mu * float(alpha.max()) < 1 else None


def _by(numbers: Numbers, name: str, letter: str) -> str:
    value = getattr(numbers, name)
    return (
        f"with the local estimate {letter} = {value:.3g}"
        if name in numbers.estimated
        else f"given {letter} = {value:g}"
    )


def _estimates(estimated: frozenset[str]) -> str:
    return f" (with estimates of {', '.join(sorted(estimated))})" if estimated else ""


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

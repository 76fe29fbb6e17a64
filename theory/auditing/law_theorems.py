"""The theorems about independent delays of one law, applied to the empirical law of an execution."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from theory.auditing.problem_numbers import Numbers
from theory.auditing.recorded_run import Commits
from theory.auditing.remarks import Remark
from theory.convergence.moments import Moments
from theory.convergence.theorem import Case, evaluate
from theory.convergence.theorems import THEOREMS
from theory.decisions.verdict import Verdict
from theory.numbers.rationals import as_fmpq

MOST_POINTS = 400  # of an empirical law, on which moments are summed in exact rationals


def theorems(commits: Commits, numbers: Numbers, workers: int, independence: Remark) -> list[Remark]:
    """Judges every theorem but E and H, with the empirical law as its law and the mean factor at each τ as its C.

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

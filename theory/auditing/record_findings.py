"""What arithmetic and statistics say of a record by itself: whether it adds up, its law, and what depends on what."""

from __future__ import annotations

import numpy as np

from jasgd.record.execution import Execution
from theory.auditing import dependence
from theory.auditing.recorded_run import Commits, Recorded, overlap
from theory.auditing.remarks import Remark, of_test
from theory.decisions.verdict import Verdict

FEW = 50  # rows below which nothing is tested
TOLD = 0.1  # how far a worker's share of the step sizes is from that of the gradients before a remark says so


def refuse_nonfinite(recorded: Recorded) -> None:
    """Refuses a record in which a loss or a factor is nan or inf; where none at all was recorded, nothing was trained.

    Args:
      recorded: the run.

    Raises:
      ValueError: it names the column, the value and the row.
    """
    execution = recorded.execution
    for name in ("loss", "factor"):
        values = getattr(execution, name)
        wrong = np.flatnonzero(~np.isfinite(values))
        none_recorded = recorded.result is None and bool(np.isnan(values).all())
        if len(wrong) and not none_recorded:
            row = int(wrong[0])
            raise ValueError(
                f"{name} must be finite in a run that is audited, got {values[row]} in row {row} (version "
                f"{execution.version[row]}, worker {execution.worker[row]}, ticket {execution.ticket[row]})"
            )


def of_record(execution: Execution, commits: Commits, *, seed: int = 0) -> tuple[list[Remark], Remark | None]:
    """Looks at conservation, law and dependence.

    Args:
      execution: that is valid.
      commits: of it.
      seed: of permutations.

    Returns:
      The remarks, and the one on τ and the loss, where that was tested.
    """
    remarks, of_loss = [_conservation(execution), _law(execution)], None
    if len(execution) < FEW:
        text = f"{len(execution)} gradients are too few to test anything"
        return [*remarks, Remark("statistics", Verdict.UNKNOWN, text)], None
    remarks.append(
        of_test("stationarity", "the law of τ did not change", dependence.drift(commits.staleness, seed=seed))
    )
    remarks.append(_mean_factor(execution))
    if (execution.worker >= 0).any():
        tested = dependence.worker_dependence(execution.staleness, execution.worker)
        remarks.append(of_test("τ and the worker", "τ does not depend on the worker", tested))
        remarks += _shares(execution)
    if np.isfinite(execution.loss).all():
        tested = dependence.value_dependence(execution.staleness, execution.loss.astype(np.float64), seed=seed)
        of_loss = of_test("τ and the loss", "τ does not depend on the loss", tested)
        remarks.append(of_loss)
    return remarks, of_loss


def independence(execution: Execution) -> Remark:
    """Whether each τ is drawn on its own, as the theorems about a law assume."""
    if execution.workers == 0:
        return Remark("independence", None, "drawn so")
    if len(execution) < FEW:
        return Remark("independence", Verdict.UNKNOWN, "too few gradients")
    tested = dependence.independence(execution.staleness[Commits.of(execution).row])
    return of_test("independence", "each τ is drawn on its own", tested)


def of_reads(recorded: Recorded, commits: Commits, of_loss: Remark | None) -> list[Remark]:
    """What the theorems assume of reads and delays, and what of it a record shows.

    Args:
      recorded: the run.
      commits: of its execution.
      of_loss: the remark on τ and the loss, where that was tested.

    Returns:
      The remarks.
    """
    torn = is_torn(recorded.execution)
    reads = (
        "Hogwild's reads may be torn, and its additions lost: gradients need not be of any version"
        if torn
        else "each gradient is that of one version, as the scheme promises"
    )
    noise = (
        "Theorem E needs delays that do not look at the noise of the gradients, Theorem H that they do not look at "
        "that of their own gradient, which no record can prove"
    )
    largest = int(commits.staleness.max(initial=0))
    return [
        Remark("consistent reads", Verdict.UNKNOWN if torn else None, reads),
        Remark("delays and noise", Verdict.UNKNOWN, noise + ("" if of_loss is None else f"; {of_loss.text}")),
        Remark("bounded staleness", Verdict.PROVED, f"on this execution τ ≤ R = {largest}", {"largest": largest}),
    ]


def is_torn(execution: Execution) -> bool:
    """Whether reads may have been torn: under Hogwild with real threads."""
    scheme = str(execution.metadata.get("scheme", ""))
    return scheme.partition("(")[0] == "hogwild" and "generated" not in execution.metadata


def _conservation(execution: Execution) -> Remark:
    if execution.workers == 0:
        return Remark("conservation of staleness", None, "drawn independently: no worker's time to conserve")
    sums_by_kind = execution.conservation()
    total = sums_by_kind.pop("total")
    if early := overlap(execution):
        return Remark("conservation of staleness", Verdict.REFUTED, f"{early}: the record is wrong", sums_by_kind)
    sums = " + ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in sums_by_kind.items())
    text = f"{sums} = {total:,} = mT − N, exactly, and no worker read before it was done with the gradient before"
    return Remark("conservation of staleness", Verdict.PROVED, text, sums_by_kind | {"total": total})


def _law(execution: Execution) -> Remark:
    from jasgd.staleness import StalenessHistogram

    if not len(execution):
        return Remark("law", None, "no gradient was applied")
    law = {
        name: float(value)
        for name, value in StalenessHistogram.from_staleness(execution.staleness).statistics().items()
    }
    sentence = (
        f"τ has mean {law['mean']:.2f}, median {law['median']:g}, at most {law['max']:g}; Gini index "
        f"{law['gini']:.3f}, Σp² = {law['sum_p2']:.3f}; {len(execution.dropped):,} gradients were dropped"
    )
    return Remark("law", None, sentence, law | {"dropped": len(execution.dropped)})


def _mean_factor(execution: Execution) -> Remark:
    if not np.isfinite(execution.factor).all():
        return Remark("overall step size", None, "no factor was recorded, as nothing was trained")
    estimate = dependence.mean_with_error(execution.factor.astype(np.float64))
    away = abs(estimate.mean - 1) / estimate.error if estimate.error > 0 else 0.0 if estimate.mean == 1 else np.inf
    words = "consistent with E[C] = 1" if away <= 2 else f"{away:.1f} standard errors away from 1"
    sentence = f"the mean of C(τ) over this execution is {estimate.mean:.4f} ± {estimate.error:.4f}: {words}"
    return Remark("overall step size", Verdict.UNKNOWN, sentence, {"mean": estimate.mean, "error": estimate.error})


def _shares(execution: Execution) -> list[Remark]:
    """How the factors weigh the workers: where each has data of its own, by so much more or less do they count."""
    factors, ran = execution.factor.astype(np.float64), execution.worker >= 0
    if not np.isfinite(factors).all() or np.ptp(factors[ran]) == 0 or not factors[ran].sum() > 0:
        return []
    workers, place = np.unique(execution.worker[ran], return_inverse=True)
    commits = np.bincount(place) / ran.sum()
    steps = np.bincount(place, factors[ran]) / factors[ran].sum()
    low, high = int(np.argmin(steps / commits)), int(np.argmax(steps / commits))
    if steps[low] > (1 - TOLD) * commits[low] and steps[high] < (1 + TOLD) * commits[high]:
        return []
    shares = " and ".join(
        f"worker {workers[one]} has {100 * commits[one]:.1f} % of the gradients and {100 * steps[one]:.1f} % of the "
        "step sizes"
        for one in (low, high)
    )
    text = f"{shares}: where workers have data of their own, theirs count by so much less or more"
    numbers = {"least_ratio": float(steps[low] / commits[low]), "largest_ratio": float(steps[high] / commits[high])}
    return [Remark("shares of the workers", None, text, numbers)]

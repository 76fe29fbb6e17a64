"""audit(): the assumptions and bounds of the convergence theorems, judged on a recorded execution."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

from jasgd.record.execution import Execution
from jasgd.record.result import TrainResult
from jasgd.record.trees import to_json
from jasgd.showing import Shown
from theory.auditing import dependence
from theory.auditing.recorded_run import Commits, Recorded, overlap, params_along
from theory.auditing.remarks import Remark, of_test
from theory.auditing.theorems_on_record import Numbers, bounds, step_condition, theorems
from theory.decisions.verdict import Verdict, worst

__all__ = ["Audit", "audit", "audit_recorded"]

MEASURED_VERSIONS = 6  # versions at which the gradient is measured along the run
FEW = 50  # rows below which nothing is tested


@dataclasses.dataclass(frozen=True, repr=False)
class Audit(Shown):
    """The findings about an execution.

    Attributes:
      title: scheme, workers and commits.
      remarks: in the order of reading.
    """

    title: str
    remarks: tuple[Remark, ...]

    def _facts(self) -> dict[str, Any]:
        return {"title": self.title, "verdict": self.verdict, "remarks": len(self.remarks)}

    def _rows(self) -> list[dict[str, Any]]:
        return [remark._facts() for remark in self.remarks]

    @property
    def verdict(self) -> Verdict:
        """REFUTED before UNKNOWN before PROVED."""
        return worst(remark.verdict for remark in self.remarks if remark.verdict is not None)

    def text(self) -> str:
        """The findings for people, a paragraph each."""
        lines = [self.title]
        for remark in self.remarks:
            head = f"{remark.name} [{remark.label}]" if remark.label else remark.name
            lines += textwrap.wrap(f"{head}: {remark.text}", 116, initial_indent="  ", subsequent_indent="      ")
        return "\n".join(lines)

    def record(self) -> dict[str, Any]:
        """The findings for programs, as values that JSON can hold."""
        remarks = [
            {"name": one.name, "verdict": one.label or None, "told": one.text, "numbers": one.numbers}
            for one in self.remarks
        ]
        return to_json({"title": self.title, "verdict": self.verdict.value, "remarks": remarks})


def audit(
    run: TrainResult | Execution,
    loss_fn: Callable[..., Any] | None = None,
    tx: Any = None,
    batches: Callable[[int], Any] | None = None,
    *,
    learning_rate: float | None = None,
    optimizer: str | None = None,
    smoothness: float | None = None,
    noise: float | None = None,
    gap: float | None = None,
    infimum: float = 0.0,
    distance: float | None = None,
    mu: float | None = None,
    seed: int = 0,
) -> Audit:
    r"""Judges the assumptions of the convergence theorems on a recorded execution, and computes their bounds on it.

    .. math:: L\alpha_j + 2L^2\sum_{k:\,j\in W_k}\alpha_kS_k \le 1,\qquad \alpha_k = \eta\,C(\tau_k)

    is the step condition of Theorem E, which holds for this very sequence of delays, with no law. What is arithmetic on
    the record is PROVED or REFUTED, given the numbers that you give; what statistics or estimates suggest is UNKNOWN.

    Args:
      run: of :func:`jasgd.train` or :func:`jasgd.simulate`, or an execution alone.
      loss_fn: the loss of the run; with ``batches``, smoothness, noise and gap are estimated where they are not given.
      tx: its transformation; with it, gradients are measured along the run, by replaying it.
      batches: a function of a ticket, or a list or loader, which is begun anew where it ends.
      learning_rate: η of plain SGD, without which no step size is known; in [x]²/[f].
      optimizer: ``"sgd"`` where the run is known to be plain SGD, which the theorems are about; None: not known.
      smoothness: L, in [f]/[x]².
      noise: σ, in [f]/[x].
      gap: Δ = f(x₀) - inf f, in [f].
      infimum: below which the loss never is; for the estimate of the gap.
      distance: D = |x₀ - x*|, in [x].
      mu: the Polyak-Łojasiewicz constant, in [f]/[x]².
      seed: of permutations.

    Returns:
      The findings.

    Raises:
      ExecutionError: for a record that contradicts itself or was altered; it names the first such row.
      TypeError: where ``run`` is neither.
      ValueError: for a number that is not positive, or functions without the parameters of a run.

    Example:
      >>> from jasgd import cluster
      >>> execution = cluster.generate(cluster.Cluster(compute_s=1.0), scheme="hogwild", workers=2, steps=100)
      >>> execution = execution.replaced(factor=np.ones(100))
      >>> findings = audit(execution, learning_rate=0.1, smoothness=1.0, noise=1.0, gap=1.0)
      >>> [(one.label, one.text) for one in findings.remarks if one.name == "admissible learning rate"]
      [('', 'given L = 1, the step condition holds up to η = 0.618 with these factors and delays; η was 0.1')]
    """
    if not isinstance(run, (TrainResult, Execution)):
        raise TypeError(f"run must be a TrainResult or an Execution, got {type(run).__name__}")
    result = run if isinstance(run, TrainResult) else None
    execution = run if isinstance(run, Execution) else run.execution
    if (loss_fn is None) != (batches is None):
        raise ValueError("loss_fn and batches must be given together")
    if loss_fn is not None and (result is None or result.initial_params is None):
        raise ValueError("loss_fn needs a TrainResult with initial_params, at which it is looked at")
    numbers = Numbers(learning_rate, smoothness, noise, gap, distance, mu)
    for field in dataclasses.fields(numbers):
        value = getattr(numbers, field.name)
        if isinstance(value, (int, float)) and not (value > 0 or (field.name == "noise" and value == 0)):
            raise ValueError(f"{field.name} must be > 0, got {value}")
    recorded = Recorded(execution, result, loss_fn, batches, tx, learning_rate, optimizer)
    return audit_recorded(recorded, numbers, infimum=infimum, seed=seed)


def audit_recorded(recorded: Recorded, numbers: Numbers, *, infimum: float = 0.0, seed: int = 0) -> Audit:
    """Judges a run that was read from a folder, as :func:`audit` does.

    Args:
      recorded: of :func:`theory.auditing.recorded_run.load`.
      numbers: what is known of the problem.
      infimum: as of :func:`audit`, as is ``seed``.
      seed: of permutations.

    Returns:
      The findings.

    Raises:
      ExecutionError: as :func:`audit`.
    """
    execution = recorded.execution
    execution.validate()
    execution.unaltered()
    commits = Commits.of(execution)
    title = (
        f"{execution.metadata.get('scheme', 'execution')}, {execution.workers} workers, {execution.commits:,} commits"
    )
    remarks = [_conservation(execution), _law(execution)]
    of_loss = None
    if len(execution) >= FEW:
        remarks.append(
            of_test("stationarity", "the law of τ did not change", dependence.drift(commits.staleness, seed=seed))
        )
        remarks.append(_mean_factor(execution))
        if (execution.worker >= 0).any():
            tested = dependence.worker_dependence(execution.staleness, execution.worker)
            remarks.append(of_test("τ and the worker", "τ does not depend on the worker", tested))
        if np.isfinite(execution.loss).all():
            tested = dependence.value_dependence(execution.staleness, execution.loss.astype(np.float64), seed=seed)
            of_loss = of_test("τ and the loss", "τ does not depend on the loss", tested)
            remarks.append(of_loss)
    else:
        remarks.append(
            Remark("statistics", Verdict.UNKNOWN, f"{len(execution)} gradients are too few to test anything")
        )
    remarks += _execution_assumptions(recorded, commits, of_loss)
    numbers, measured, estimates = _estimate(recorded, commits, numbers, infimum)
    remarks += estimates
    remarks += step_condition(execution, commits, numbers)
    remarks += bounds(commits, numbers, measured)
    remarks += theorems(commits, numbers, execution.workers, _independence(execution))
    return Audit(title, tuple(remarks))


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


def _independence(execution: Execution) -> Remark:
    if execution.workers == 0:
        return Remark("independence", None, "drawn so")
    if len(execution) < FEW:
        return Remark("independence", Verdict.UNKNOWN, "too few gradients")
    tested = dependence.independence(execution.staleness[Commits.of(execution).row])
    return of_test("independence", "each τ is drawn on its own", tested)


def _execution_assumptions(recorded: Recorded, commits: Commits, of_loss: Remark | None) -> list[Remark]:
    scheme = str(recorded.execution.metadata.get("scheme", ""))
    torn = scheme.partition("(")[0] == "hogwild" and "generated" not in recorded.execution.metadata
    reads = (
        "Hogwild's reads may be torn, and its additions lost: gradients need not be of any version"
        if torn
        else "each gradient is that of one version, as the scheme promises"
    )
    optimizer = {
        None: (None, "not known: the theorems are about x ← x − ηC(τ)g"),
        "sgd": (Verdict.PROVED, "yes, as the run was given"),
    }.get(recorded.optimizer, (Verdict.REFUTED, f"no: {recorded.optimizer}; the theorems are about x ← x − ηC(τ)g"))
    noise = "Theorem E needs delays that do not look at the noise of the gradients, which no record can prove"
    largest = int(commits.staleness.max(initial=0))
    return [
        Remark("consistent reads", Verdict.UNKNOWN if torn else None, reads),
        Remark("plain SGD", *optimizer),
        Remark("delays and noise", Verdict.UNKNOWN, noise + ("" if of_loss is None else f"; {of_loss.text}")),
        Remark("bounded staleness", Verdict.PROVED, f"on this execution τ ≤ R = {largest}", {"largest": largest}),
    ]


def _estimate(
    recorded: Recorded, commits: Commits, numbers: Numbers, infimum: float
) -> tuple[Numbers, dict[str, float], list[Remark]]:
    """Fills in missing numbers by estimates, and measures what the bounds are about, with remarks on both."""
    if recorded.loss_fn is None or recorded.result is None:
        return (
            numbers,
            {},
            [Remark("estimates", None, recorded.missing or "no loss was given to estimate anything from")],
        )
    from theory.auditing.curvature import Probe

    has_aux = bool(recorded.execution.metadata.get("has_aux", False))
    probe = Probe(recorded.loss_fn, recorded.batches, has_aux=has_aux)  # type: ignore[arg-type]
    start, end = probe.estimate(recorded.result.initial_params), probe.estimate(recorded.result.params)
    estimates = {
        "smoothness": max(start.smoothness, end.smoothness),
        "noise": max(start.noise, end.noise),
        "gap": start.loss - infimum,
    }
    filled = {name: value for name, value in estimates.items() if getattr(numbers, name) is None and value > 0}
    numbers = dataclasses.replace(numbers, **filled, estimated=frozenset(filled))
    sentence = (
        f"from {start.batches} mini-batches at the first and the last parameters: L about {start.smoothness:.3g} and "
        f"{end.smoothness:.3g} (largest eigenvalue of the Hessian{_settled(start, end)}), σ {start.noise:.3g} and "
        f"{end.noise:.3g}, |∇f|² {start.gradient_square:.3g} and {end.gradient_square:.3g}, loss {start.loss:.3g} and "
        f"{end.loss:.3g}; Δ is at most {estimates['gap']:.3g} if the loss is nowhere below {infimum:g}. Elsewhere they "
        f"may be larger, and a network of ReLUs has no L"
    )
    remarks = [Remark("estimates", Verdict.UNKNOWN, sentence, {
        "first": dataclasses.asdict(start), "last": dataclasses.asdict(end)})]  # fmt: skip
    measured = {"final": end.loss - infimum}
    if np.isfinite(recorded.execution.loss).all() and len(recorded.execution):
        weights = commits.factor if np.isfinite(commits.factor).all() else np.ones(len(commits.row))
        measured["loss"] = float(np.average(recorded.execution.loss[commits.row], weights=weights)) - infimum
    if recorded.tx is not None and len(commits.row):
        versions = sorted({round(x) for x in np.linspace(0, recorded.execution.commits, MEASURED_VERSIONS)})
        squares = [
            probe.estimate(params, curvature=False).gradient_square for params in params_along(recorded, versions)
        ]
        measured["gradient"] = float(np.trapezoid(squares, versions) / max(versions[-1], 1))
        sentence = ", ".join(f"{square:.3g} at {version:,}" for version, square in zip(versions, squares, strict=True))
        remarks.append(Remark("squared gradient along the run", Verdict.UNKNOWN, f"by replaying it: {sentence}"))
    return numbers, measured, remarks


def _settled(*estimates: Any) -> str:
    return "" if all(estimate.converged for estimate in estimates) else ", the power iteration not settled"

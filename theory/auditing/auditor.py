"""audit(): the assumptions and bounds of the convergence theorems, judged on a recorded execution."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable
from typing import Any

from jasgd.inputs.checks import integer
from jasgd.record.execution import Execution
from jasgd.record.result import TrainResult
from jasgd.record.trees import to_json
from jasgd.showing import Shown
from theory.auditing import execution_theorems, law_theorems, problem_numbers, record_findings, step_sizes
from theory.auditing.measuring.versions import LEAST
from theory.auditing.problem_numbers import Ends, Numbers
from theory.auditing.recorded_run import Commits, Recorded
from theory.auditing.remarks import Comparison, Remark, summary
from theory.decisions.verdict import Verdict, worst

__all__ = ["Audit", "audit", "audit_recorded"]

VERSIONS = 1000  # at most measured, unless the caller says otherwise
_COLUMNS = ("theorem", "condition", "bound", "measured", "result")


@dataclasses.dataclass(frozen=True, repr=False)
class Audit(Shown):
    """The findings about an execution.

    Attributes:
      title: scheme, workers and commits.
      remarks: in the order of reading.
      comparisons: bounds beside what was measured.
    """

    title: str
    remarks: tuple[Remark, ...]
    comparisons: tuple[Comparison, ...] = ()

    def _facts(self) -> dict[str, Any]:
        return {"title": self.title, "verdict": self.verdict, "remarks": len(self.remarks)}

    def _rows(self) -> list[dict[str, Any]]:
        return [remark._facts() for remark in self.remarks]

    @property
    def verdict(self) -> Verdict:
        """REFUTED before UNKNOWN before PROVED."""
        return worst(remark.verdict for remark in self.remarks if remark.verdict is not None)

    @property
    def summary(self) -> str:
        """The result in one sentence."""
        return summary(self.remarks, self.comparisons)

    def text(self) -> str:
        """The findings for people: the result in one sentence, a table of the bounds, and a paragraph a finding."""
        lines = [*textwrap.wrap(self.summary, 116), self.title]
        if self.comparisons:
            rows = [_COLUMNS, *(comparison.row() for comparison in self.comparisons)]
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            for row in rows:
                cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                lines.append(("  " + "  ".join(cells)).rstrip())
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
        bounds = [dict(zip(_COLUMNS, one.row(), strict=True)) for one in self.comparisons]
        verdict = self.verdict.value
        return to_json(
            {"summary": self.summary, "title": self.title, "verdict": verdict, "bounds": bounds, "remarks": remarks}
        )


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
    infimum: float | None = None,
    distance: float | None = None,
    mu: float | None = None,
    versions: int = VERSIONS,
    seed: int = 0,
) -> Audit:
    r"""Judges the assumptions of the convergence theorems on a recorded execution, and computes their bounds on it.

    .. math:: L\alpha_j + 2L^2\sum_{k:\,j\in W_k}\alpha_kS_k \le 1,\qquad \alpha_k = \eta\,C(\tau_k)

    is the step condition of Theorem E, which holds for this very sequence of delays, with no law; that of Theorem H,
    which takes the distances between reads and commits, is :math:`L\alpha_k \le 1`. What is arithmetic on the record is
    PROVED or REFUTED, given the numbers that you give; what statistics or estimates suggest is UNKNOWN.

    Args:
      run: of :func:`jasgd.train` or :func:`jasgd.simulate`, or an execution alone.
      loss_fn: the loss of the run; with ``batches``, smoothness, noise and gap are estimated where they are not given.
      tx: its transformation; with it the run is replayed, which shows the step sizes that it took, the distances of
        Theorem H, and what the theorems bound.
      batches: a function of a ticket, or a list or loader, which is begun anew where it ends.
      learning_rate: η of plain SGD, without which no step size is known where nothing is replayed; in [x]²/[f].
      optimizer: ``"sgd"`` where the run is known to be plain SGD, which the theorems are about; None: not known. A
        replay sees it by itself.
      smoothness: L, in [f]/[x]².
      noise: σ, in [f]/[x].
      gap: Δ = f(x₀) - inf f, in [f].
      infimum: inf f, in [f]; None: 0 is assumed, and what follows says so.
      distance: D = ‖x₀ - x*‖, in [x].
      mu: the Polyak-Łojasiewicz constant, in [f]/[x]².
      versions: at most as many are measured, ≥ 100: all, or a sample with the weights of the theorems.
      seed: of permutations, and of the versions and mini-batches that are drawn.

    Returns:
      The findings.

    Raises:
      ExecutionError: for a record that contradicts itself or was altered; it names the first such row.
      TypeError: where ``run`` is neither, or a number is none.
      ValueError: for a number that is not finite or not positive, a loss, factor or gradient that is not finite,
        functions without the parameters of a run, or batches that can be gone through once only.

    Example:
      >>> import numpy as np
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
    if loss_fn is not None and result is not None and result.model_state is not None:
        raise ValueError(
            "loss_fn must be left out for a run with a model_state, as theorems are about functions of parameters alone"
        )
    allowed = problem_numbers.allowed
    numbers = Numbers(
        learning_rate=allowed("learning_rate", learning_rate),
        smoothness=allowed("smoothness", smoothness),
        noise=allowed("noise", noise),
        gap=allowed("gap", gap),
        distance=allowed("distance", distance),
        mu=allowed("mu", mu),
        infimum=allowed("infimum", infimum),
    )
    recorded = Recorded(execution, result, loss_fn, batches, tx, learning_rate, optimizer)
    return audit_recorded(recorded, numbers, versions=versions, seed=seed)


def audit_recorded(recorded: Recorded, numbers: Numbers, *, versions: int = VERSIONS, seed: int = 0) -> Audit:
    """Judges a run that was read from a folder, as :func:`audit` does.

    Args:
      recorded: of :func:`theory.auditing.recorded_run.load`.
      numbers: what is known of the problem.
      versions: as of :func:`audit`.
      seed: as of :func:`audit`.

    Returns:
      The findings.

    Raises:
      ExecutionError: as :func:`audit`, as is ValueError.
    """
    versions = integer("versions", versions, LEAST)
    execution = recorded.execution
    execution.validate()
    execution.unaltered()
    record_findings.refuse_nonfinite(recorded)
    commits = Commits.of(execution)
    title = (
        f"{execution.metadata.get('scheme', 'execution')}, {execution.workers} workers, {execution.commits:,} commits"
    )
    remarks, of_loss = record_findings.of_record(execution, commits, seed=seed)
    remarks += record_findings.of_reads(recorded, commits, of_loss)
    numbers, taken, evidence, found = _observed(recorded, commits, numbers, versions, seed)
    remarks += found
    if not taken.is_sgd:
        remarks.append(Remark("theorems", None, "none is looked at, as none is about such steps"))
        return Audit(title, tuple(remarks))
    remarks += execution_theorems.step_conditions(execution, commits, numbers, evidence)
    bounds, comparisons = execution_theorems.bounds(commits, numbers, evidence)
    remarks += bounds
    remarks += law_theorems.theorems(commits, numbers, execution.workers, record_findings.independence(execution))
    return Audit(title, tuple(remarks), tuple(comparisons))


def _observed(
    recorded: Recorded, commits: Commits, numbers: Numbers, versions: int, seed: int
) -> tuple[Numbers, step_sizes.StepSizes, execution_theorems.Evidence, list[Remark]]:
    """What a replay and mini-batches show of a run: numbers, step sizes, what the theorems bound, and remarks on it."""
    seen, along, ends, remarks = None, None, None, []
    if recorded.loss_fn is None or recorded.result is None:
        text = recorded.missing or "no loss was given to estimate anything from"
        remarks.append(Remark("estimates", None, text))
    else:
        from theory.auditing.measuring.curvature import BATCHES, Probe
        from theory.auditing.measuring.mini_batches import Pool
        from theory.auditing.replayed_steps import begun, bits, steps, watched

        pool = Pool(recorded.batches, 1 + int(recorded.execution.ticket.max(initial=-1)), seed)
        has_aux = bool(recorded.execution.metadata.get("has_aux", False))
        probe = Probe(recorded.loss_fn, pool.drawn(BATCHES), has_aux=has_aux)
        numbers, ends, remarks = problem_numbers.filled(recorded, numbers, pool, probe)
        if recorded.tx is not None and len(commits.row):
            rerun = begun(recorded)
            seen, along = watched(steps(rerun), commits.factor, pool, probe.gradient, versions=versions, seed=seed)
            remarks.append(bits(rerun, torn=record_findings.is_torn(recorded.execution)))
    taken = step_sizes.of_run(recorded, commits, seen, numbers.learning_rate)
    numbers = dataclasses.replace(numbers, learning_rate=taken.learning_rate)
    evidence = execution_theorems.Evidence(
        taken.values,
        None if seen is None else seen.distance,
        taken.in_doubt,
        _measured(along, ends),
        "" if along is None else along.words,
    )
    return numbers, taken, evidence, [*taken.remarks, *remarks]


def _measured(along: Any, ends: Ends | None) -> dict[str, Any]:
    if ends is None:
        return {}
    measured = {"final": ends.last.minus(ends.infimum)}
    if along is not None:
        measured |= {"gradient": along.squared_gradient, "loss": along.loss.minus(ends.infimum)}
    return measured

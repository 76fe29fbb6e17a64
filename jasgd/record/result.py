"""The result of a run: parameters, optimizer state, the execution, and how it ended."""

from __future__ import annotations

import dataclasses
import enum
import json
from pathlib import Path
from typing import Any

import numpy as np

from jasgd.record.execution import DROP_REASONS, Execution
from jasgd.record.timings import load_timings, save_timings
from jasgd.record.trees import load_tree, save_tree, to_json
from jasgd.staleness import StalenessHistogram


class Outcome(enum.StrEnum):
    """How a run ended; each member equals its text, so ``result.outcome == "finished"`` holds."""

    FINISHED = "finished"  # the steps were taken, or the time was up
    CONVERGED = "converged"  # the target loss was reached
    DIVERGED = "diverged"  # a loss was not finite, or parameters were not
    STOPPED = "stopped"  # Ctrl-C
    FAILED = "failed"  # a worker, the batches or the evaluation raised


@dataclasses.dataclass(frozen=True)
class StuckWorker:
    """A worker that did not end when the run did; it lives on as a daemon, and its late commit changes nothing."""

    worker: int
    stack: str  # where it was, as a traceback


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """All that happened in a run.

    Attributes:
      params: the parameters at the end, in the structure that they came in; where those are not finite, and for
        ``diverged``, the last good ones: the newest that a finite loss was computed on, or else some from before the
        commit that made them not finite. All finite.
      opt_state: the optimizer state at the end; of a run that diverged it may hold numbers that are not finite:
        to go on with ``params``, make a new one.
      execution: which version each applied gradient was computed on, and everything else per gradient.
      outcome: how the run ended.
      message: the same in a sentence.
      evaluations: what ``evaluate`` said, each with ``time_s`` and ``version``.
      aux: column per scalar of ``loss_fn``'s aux, in the order of the execution's rows; empty without.
      counters: what the scheme counted.
      duration_s: from the start of the workers to the end of the last commit, in seconds.
      error: the exception of a failed run, or one that a worker raised when the run had ended; or None.
      traceback: that exception as text, empty without one.
      stuck: workers that did not end.
      initial_params: the parameters that the run began with, which :func:`jasgd.replay` begins with as well; None where
        they were not kept.
      timings: how long each gradient took in seconds, float64: ``batch_s`` from the end of the worker's gradient before
        until its mini-batch was drawn, ``read_s``, ``compute_s`` until the loss was there, and ``commit_s`` with all
        waiting and retries; in the order of the execution's rows, and with the prefix ``dropped.`` in that of its
        dropped ones. They leave no time between them. Empty for a folder of an earlier version.
    """

    params: Any
    opt_state: Any
    execution: Execution
    outcome: Outcome
    message: str
    evaluations: list[dict[str, float]]
    aux: dict[str, np.ndarray]
    counters: dict[str, int]
    duration_s: float
    error: BaseException | None = None
    traceback: str = ""
    stuck: tuple[StuckWorker, ...] = ()
    initial_params: Any = None
    timings: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def law(self) -> StalenessHistogram:
        """The staleness distribution of the whole execution."""
        return StalenessHistogram.from_staleness(self.execution.staleness)

    @property
    def metrics(self) -> dict[str, float]:
        """The run in numbers, by name; losses are means over the last 100 applied gradients.

        E[C] and E[τC] are those realised: means over the applied gradients. What the scheme counted and the last
        evaluation come after; a name that is taken is left out, and is in ``counters`` or ``evaluations`` alone.
        """
        ex, law = self.execution, self.law.statistics()
        factor = ex.factor.astype(np.float64)
        applied = len(ex) > 0
        metrics = {
            "updates": ex.commits,
            "gradients": len(ex),
            "duration_s": self.duration_s,
            "updates_per_s": ex.commits / self.duration_s if self.duration_s > 0 else float("nan"),
            "first_loss": float(ex.loss[0]) if applied else float("nan"),
            "last_loss": float(np.mean(ex.loss[-100:])) if applied else float("nan"),
            "mean_factor": float(factor.mean()) if applied else float("nan"),
            "mean_square_factor": float((factor**2).mean()) if applied else float("nan"),
            "mean_staleness_factor": float((ex.staleness * factor).mean()) if applied else float("nan"),
            "mean_tries": float(ex.tries.mean()) if applied else float("nan"),
            **{f"staleness_{name}": law[name] for name in ("mean", "median", "max", "sum_p2", "sum_p3", "gini")},
            **{f"dropped_{why}": int(np.sum(ex.dropped.reason == i)) for i, why in enumerate(DROP_REASONS)},
        }
        for more in (self.counters, self.evaluations[-1] if self.evaluations else {}):
            metrics |= {name: value for name, value in more.items() if name not in metrics}
        return metrics

    def summary(self) -> str:
        """A few lines for people.

        Returns:
          The outcome and the numbers that matter most.
        """
        m = self.metrics
        lines = [
            f"{self.outcome}: {self.message}",
            f"  {m['updates']} updates in {self.duration_s:.2f} s ({m['updates_per_s']:.0f}/s), "
            f"{self.execution.metadata.get('scheme')}, {self.execution.workers} workers",
            f"  loss {m['first_loss']:.4f} → {m['last_loss']:.4f}",
            f"  staleness: mean {m['staleness_mean']:.2f}, max {m['staleness_max']}, Gini {m['staleness_gini']:.3f}; "
            f"E[C] {m['mean_factor']:.3f}; dropped {len(self.execution.dropped)}",
        ]
        if self.evaluations:
            last = {k: v for k, v in self.evaluations[-1].items() if k not in ("time_s", "version")}
            lines.append("  evaluated: " + ", ".join(f"{name} {value:.4f}" for name, value in last.items()))
        lines += [f"  worker {w.worker} did not end" for w in self.stuck]
        return "\n".join(lines)

    def stopped_at_end(self) -> TrainResult:
        """The same, of a run that had ended well by itself when Ctrl-C came, before it could be given back."""
        if self.outcome not in (Outcome.FINISHED, Outcome.CONVERGED):
            return self
        message = f"{self.message}, then stopped by Ctrl-C"
        return dataclasses.replace(self, outcome=Outcome.STOPPED, message=message)

    def save(self, folder: str | Path) -> Path:
        """Writes the result into a folder: arrays as .npz, everything else as JSON; nothing is pickled.

        Args:
          folder: made if it does not exist.

        Returns:
          The folder.

        Raises:
          OSError: where it cannot be written.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.execution.save(folder / "execution.npz")
        save_tree(folder / "params.npz", self.params)
        save_tree(folder / "opt_state.npz", self.opt_state)
        if self.initial_params is not None:
            save_tree(folder / "initial_params.npz", self.initial_params)
        # With a prefix, since NumPy takes some names for its own arguments.
        columns: dict[str, Any] = {f"aux.{name}": column for name, column in self.aux.items()}
        np.savez_compressed(folder / "aux.npz", **columns)
        save_timings(folder / "timings.npz", self.timings)
        record = {
            "outcome": str(self.outcome),
            "message": self.message,
            "metrics": self.metrics,
            "evaluations": self.evaluations,
            "counters": self.counters,
            "duration_s": self.duration_s,
            "traceback": self.traceback,
            "stuck": [dataclasses.asdict(worker) for worker in self.stuck],
            "metadata": self.execution.metadata,
        }
        (folder / "result.json").write_text(json.dumps(to_json(record), indent=2, sort_keys=True) + "\n")
        return folder

    @classmethod
    def load(cls, folder: str | Path, *, params_like: Any = None, opt_state_like: Any = None) -> TrainResult:
        """Reads what :meth:`save` wrote.

        Args:
          folder: where it was saved.
          params_like: a pytree in whose structure the parameters are put, the initial ones too; without it they are a
            dict by path.
          opt_state_like: the same for the optimizer state, for instance ``tx.init(params)``.

        Returns:
          The result; ``error`` is None, what it said is in ``traceback``.

        Raises:
          OSError: where a file is missing.
          ExecutionError: where the execution was altered.
          ValueError: where the leaves do not fit the given structure.
        """
        folder = Path(folder)
        record = json.loads((folder / "result.json").read_text())
        initial = folder / "initial_params.npz"
        with np.load(folder / "aux.npz", allow_pickle=False) as aux:
            columns = {name.removeprefix("aux."): aux[name] for name in aux.files}
        return cls(
            params=load_tree(folder / "params.npz", params_like),
            opt_state=load_tree(folder / "opt_state.npz", opt_state_like),
            execution=Execution.load(folder / "execution.npz"),
            outcome=Outcome(record["outcome"]),
            message=record["message"],
            evaluations=[{k: float("nan") if v is None else v for k, v in e.items()} for e in record["evaluations"]],
            aux=columns,
            counters=record["counters"],
            duration_s=float("nan") if record["duration_s"] is None else record["duration_s"],
            traceback=record["traceback"],
            stuck=tuple(StuckWorker(**worker) for worker in record["stuck"]),
            initial_params=load_tree(initial, params_like) if initial.exists() else None,
            timings=load_timings(folder / "timings.npz"),
        )


class TrainingError(RuntimeError):
    """A run failed or diverged; ``result`` holds what there was by then, parameters included."""

    def __init__(self, result: TrainResult):
        super().__init__(result.message)
        self.result = result

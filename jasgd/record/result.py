"""The result of a run: parameters, optimizer state, the execution, and how it ended."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jasgd.presenting.summary import rounds_words, scheme_words, staleness_words, wrapped
from jasgd.record.execution import DROP_REASONS, Execution
from jasgd.record.remarks import state_remarks
from jasgd.record.saving.arrays import SavedRunError
from jasgd.record.saving.folder import Draft, replacing
from jasgd.record.saving.manifest import VERSION, SavedFolder, read_whole
from jasgd.record.start_of_run import mean_factor_after_start
from jasgd.record.trees import digest, load_tree, save_tree, to_json
from jasgd.showing import Shown
from jasgd.staleness import StalenessHistogram

if TYPE_CHECKING:
    from pandas import DataFrame

    from jasgd.presenting.pictures.of_runs import Figures

KIND = "run"
BY_CTRL_C = "stopped by Ctrl-C"
RESULT, EXECUTION, INITIAL = "result.json", "execution.npz", "initial_params.npz"
STATE, INITIAL_STATE = "model_state.npz", "initial_model_state.npz"  # there is none of a run without model state


class Outcome(enum.StrEnum):
    """How a run ended; each member equals its text, so ``result.outcome == "finished"`` holds."""

    FINISHED = "finished"  # the steps were taken, or the time was up
    CONVERGED = "converged"  # the target loss was reached
    DIVERGED = "diverged"  # a loss was not finite, or parameters were not
    STOPPED = "stopped"  # Ctrl-C, or a callback that gave a reason
    FAILED = "failed"  # a worker, the batches, the evaluation or a callback raised


@dataclasses.dataclass(frozen=True, repr=False)
class StuckWorker(Shown):
    """A worker that did not end when the run did; it lives on as a daemon, and its late commit changes nothing."""

    worker: int
    stack: str  # where it was, as a traceback

    def _facts(self) -> dict[str, Any]:
        return {"worker": self.worker, "at": self.stack.strip().rpartition("\n")[2]}


@dataclasses.dataclass(frozen=True, repr=False)
class TrainResult(Shown):
    """All that happened in a run.

    Attributes:
      params: the parameters at the end, in the structure that they came in; where those are not finite, and for
        ``diverged``, the last good ones: the newest that a finite loss was computed on, or else some from before the
        commit that made them not finite. All finite. They are those that the transformation updates: where it keeps
        others to evaluate, such as an average, ``summary`` says where.
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
      model_state: what the loss made beside the parameters, as it was published with them; None where there is none.
      initial_model_state: what it was at the beginning.
      initial_params: the parameters that the run began with, which :func:`jasgd.replay` begins with as well; None where
        they were not kept.
      timings: how long each gradient took in seconds, float64: ``batch_s`` from the end of the worker's gradient before
        until its mini-batch was drawn, ``read_s``, ``compute_s`` until the loss was there, and ``commit_s`` with all
        waiting and retries; in the order of the execution's rows, and with the prefix ``dropped.`` in that of its
        dropped ones. They leave no time between them. Empty for a folder of an earlier version.
      interrupted: whether Ctrl-C came before the result was given back, also to a run that failed or diverged: who
        trains one after another ends there.
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
    interrupted: bool = False
    model_state: Any = None
    initial_model_state: Any = None

    def _facts(self) -> dict[str, Any]:
        losses, staleness = self.execution.loss, self.execution.staleness
        last = self.evaluations[-1] if self.evaluations else {}
        loss = f"{losses[0]:.4g} → {losses[-100:].mean(dtype=np.float64):.4g}" if len(losses) else None
        return {
            "outcome": self.outcome,
            "updates": self.execution.commits,
            "workers": self.execution.metadata.get("workers"),
            "scheme": self.execution.metadata.get("scheme"),
            "loss": loss,
            "mean_staleness": staleness.mean() if len(staleness) else None,
            "dropped": len(self.execution.dropped) or None,
            "evaluation": {k: v for k, v in last.items() if k not in ("time_s", "version")} or None,
            "duration_s": self.duration_s,
            "params": self.params,
            "model_state": self.model_state,
        }

    @property
    def law(self) -> StalenessHistogram:
        """The staleness distribution of the whole execution."""
        return StalenessHistogram.from_staleness(self.execution.staleness)

    @property
    def metrics(self) -> dict[str, float]:
        """The run in numbers, by name; losses are means over the last 100 applied gradients.

        E[C] and E[τC] are those realised: means over the applied gradients. ``mean_factor_after_start`` leaves out the
        start: a tenth of the updates, or two for each worker where that is more, but at most half of them. What the
        scheme counted and the last evaluation come after; a name that is taken is left out, and is in ``counters`` or
        ``evaluations`` alone.
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
            "mean_factor_after_start": mean_factor_after_start(ex),
            "mean_square_factor": float((factor**2).mean()) if applied else float("nan"),
            "mean_staleness_factor": float((ex.staleness * factor).mean()) if applied else float("nan"),
            "mean_tries": float(ex.tries.mean()) if applied else float("nan"),
            **{f"staleness_{name}": law[name] for name in ("mean", "median", "max", "sum_p2", "sum_p3", "gini")},
            **{f"dropped_{why}": int(np.sum(ex.dropped.reason == i)) for i, why in enumerate(DROP_REASONS)},
        }
        for more in (self.counters, self.evaluations[-1] if self.evaluations else {}):
            metrics |= {name: value for name, value in more.items() if name not in metrics}
        return metrics

    @property
    def remarks(self) -> list[str]:
        """What the optimizer state adds, in sentences: what τ counts, what was cut, and where other parameters are."""
        return state_remarks(self.opt_state, self.execution.commits)

    def summary(self) -> str:
        """A few lines for people, of 80 characters at most.

        Returns:
          The outcome, how fast and how stale the run was, whether its rounds were native, or why not, and its losses.
        """
        m = self.metrics
        lines = [
            f"{self.outcome}: {self.message}",
            f"{m['updates']} updates in {self.duration_s:.2f} s ({m['updates_per_s']:.0f}/s), "
            f"{scheme_words(self.execution)}",
            *filter(None, [rounds_words(self.execution.metadata)]),
            f"loss {m['first_loss']:.4f} → {m['last_loss']:.4f}",
            staleness_words(self.execution, m),
            f"step size: E[C] {m['mean_factor']:.3f}, after the start {m['mean_factor_after_start']:.3f}; "
            f"dropped {len(self.execution.dropped)}",
        ]
        if self.evaluations:
            last = {k: v for k, v in self.evaluations[-1].items() if k not in ("time_s", "version")}
            lines.append("evaluated: " + ", ".join(f"{name} {value:.4f}" for name, value in last.items()))
        if (shapes := self.execution.metadata.get("batch_shapes", 1)) > 1:
            waited_s = self.execution.metadata.get("batch_shapes_waited_s")
            took = "" if waited_s is None else f": workers waited {waited_s:.2f} s in all for it"
            lines.append(f"compiled for {shapes} shapes of mini-batches, all but the first during the run{took}")
        lines += self.remarks
        lines += [f"worker {w.worker} did not end" for w in self.stuck]
        return wrapped(lines)

    def to_pandas(self, *, dropped: bool = False) -> DataFrame:
        """The gradients as a table of pandas, one a row, with all that was kept of each.

        Args:
          dropped: whether to list the gradients that were dropped, with the ``reason`` in words, in place of those
            that were applied.

        Returns:
          A ``pandas.DataFrame``: the columns of :meth:`jasgd.Execution.to_pandas`; of each scalar of aux a column with
          the prefix ``aux.``, which dropped gradients do not have; and the ``timings`` in seconds.

        Raises:
          ImportError: without pandas, naming the extra.
          TypeError: where ``dropped`` is not True or False.
        """
        from jasgd.presenting.dataframes import frame_of

        rows = self.execution.to_pandas(dropped=dropped)
        prefix, aux = ("dropped.", {}) if dropped else ("", self.aux)
        timings = {name: column for name, column in self.timings.items() if name.startswith("dropped.") == dropped}
        more = {f"aux.{name}": column for name, column in aux.items()}
        more |= {name.removeprefix(prefix): column for name, column in timings.items()}
        return rows.join(frame_of(more)) if more else rows

    def plot(self) -> Figures:
        """Draws the run; :func:`jasgd.report.figures` does so in other sizes and themes, and of other results as well.

        Returns:
          The figures of Matplotlib by name, which a notebook shows: ``"loss"``, ``"evaluations"``, ``"timeline"``,
          ``"staleness"`` and ``"step_size"``, the last two also over time. Each can be changed, or saved with
          ``savefig``. What a run has nothing for is left out; of one that applied no gradient there are none.

        Raises:
          ImportError: without Matplotlib, naming the extra.
        """
        from jasgd.presenting.pictures.of_runs import Figures, drawn
        from jasgd.presenting.pictures.style import style_of

        return Figures((name, picture.figure) for name, picture in drawn(self, style_of("light", 5.5)).items())

    def after_ctrl_c(self, by: str = BY_CTRL_C) -> TrainResult:
        """The same, of a run that Ctrl-C has ended, or that had ended by itself when it came.

        One that had ended well is ``stopped``; one that failed or diverged stays so.

        Args:
          by: how its message says that, where it was another signal.

        Returns:
          The result.
        """
        outcome, message = self.outcome, self.message
        if outcome in (Outcome.FINISHED, Outcome.CONVERGED):
            outcome, message = Outcome.STOPPED, f"{message}, then {by}"
        elif by not in message:
            message += f"; then {by.rpartition(' ')[2]} came"
        return dataclasses.replace(self, outcome=outcome, message=message, interrupted=True)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Writes the result into a folder: arrays as .npz, everything else as JSON; nothing is pickled.

        The folder holds the old result or the new one whole, at whatever point the process is killed. ``params.npz``,
        ``opt_state.npz``, ``initial_params.npz``, and ``model_state.npz`` and ``initial_model_state.npz`` of a run with
        a model state, have their leaves under their paths: ``np.load(file)[path]`` is a leaf in its dtype; one that
        NumPy does not have, such as bfloat16, is bytes of that size until ``.view(dtype)``. ``manifest.json`` has the
        dtypes, shapes and digests of all.

        Args:
          folder: made if it does not exist.
          overwrite: whether a result that was saved there is replaced, with its pictures and all else that jasgd wrote.

        Returns:
          The folder.

        Raises:
          FileExistsError: where the folder has files already; with ``overwrite``, where it has some that jasgd did not
            save there, which it never removes.
          OSError: where it cannot be written; the folder is then as it was.
        """
        with replacing(folder, kind=KIND, overwrite=overwrite) as draft:
            self.write(draft)
        return Path(folder)

    def write(self, draft: Draft) -> None:
        """Writes the result into a folder that is saved together with other files.

        Args:
          draft: of the folder.
        """
        self.execution.save(draft.path / EXECUTION)
        for name, tree in (("params", self.params), ("opt_state", self.opt_state)):
            save_tree(draft, f"{name}.npz", tree)
        kept = ((INITIAL, self.initial_params), (STATE, self.model_state), (INITIAL_STATE, self.initial_model_state))
        for name, tree in kept:
            if tree is not None:
                save_tree(draft, name, tree)
        draft.arrays("aux.npz", self.aux)
        draft.arrays("timings.npz", self.timings)
        record = {
            "version": VERSION,
            "outcome": str(self.outcome),
            "message": self.message,
            "metrics": self.metrics,
            "evaluations": self.evaluations,
            "counters": self.counters,
            "duration_s": self.duration_s,
            "traceback": self.traceback,
            "stuck": [dataclasses.asdict(worker) for worker in self.stuck],
            "interrupted": self.interrupted,
            "metadata": self.execution.metadata,
        }
        draft.json(RESULT, to_json(record))

    @classmethod
    def load(
        cls, folder: str | Path, *, params_like: Any = None, opt_state_like: Any = None, model_state_like: Any = None
    ) -> TrainResult:
        """Reads what :meth:`save` wrote, in this version or an earlier one.

        Leaves go by their paths into the given structures, whose shapes and dtypes they must have: nothing is cast.

        Args:
          folder: where it was saved.
          params_like: a pytree in whose structure the parameters are put, the initial ones too; its leaves may be
            ``jax.ShapeDtypeStruct``. Without it they are a dict of NumPy arrays by path.
          opt_state_like: the same for the optimizer state, for instance ``tx.init(params)``.
          model_state_like: the same for the model state, the initial one too.

        Returns:
          The result; ``error`` is None, what it said is in ``traceback``.

        Raises:
          FileNotFoundError: where there is no folder.
          SavedRunError: where a file is missing, or damaged; it names the file.
          ExecutionError: where the execution was altered.
          ValueError: where a given structure has other leaves, or of other shapes or dtypes, or nodes of other types;
            it names the leaf or the node; or where it is one of a model state, and the run has none.
        """
        return read_whole(folder, lambda saved: _read(saved, params_like, opt_state_like, model_state_like))


def _read(saved: SavedFolder, params_like: Any, opt_state_like: Any, model_state_like: Any) -> TrainResult:
    path = saved.folder / RESULT
    if saved.kind not in (None, KIND):
        raise SavedRunError(f"{saved.folder} is no run, a {saved.kind} was saved there")
    record = saved.json(RESULT)
    if saved.manifest is None and isinstance(record, dict) and "version" in record:
        raise SavedRunError(f"{saved.folder / 'manifest.json'} is missing")
    with saved.open(EXECUTION, verify=False) as file:
        execution = Execution.read(file, saved.folder / EXECUTION)  # which names the row that was altered
        saved.verify(EXECUTION, file)
    if saved.manifest is None:
        _check_digests(saved, execution.metadata)
    if model_state_like is not None and STATE not in saved:
        raise ValueError(f"model_state_like must be left out for {saved.folder}, which has no model state")
    trees = {"params": params_like, "opt_state": opt_state_like}
    try:
        fields = {
            "outcome": Outcome(record["outcome"]),
            "message": record["message"],
            "evaluations": [{k: float("nan") if v is None else v for k, v in e.items()} for e in record["evaluations"]],
            "counters": record["counters"],
            "duration_s": float("nan") if record["duration_s"] is None else record["duration_s"],
            "traceback": record["traceback"],
            "stuck": tuple(StuckWorker(**worker) for worker in record["stuck"]),
            "interrupted": bool(record.get("interrupted", record["outcome"] == Outcome.STOPPED)),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SavedRunError(f"{path} is not what jasgd wrote: {type(error).__name__}: {error}") from error
    return TrainResult(
        **{name: load_tree(saved, f"{name}.npz", like) for name, like in trees.items()},
        execution=execution,
        # Version 1 had a prefix, for names that NumPy takes for its own arguments.
        aux={k.removeprefix("aux.") if saved.manifest is None else k: v for k, v in saved.arrays("aux.npz").items()},
        initial_params=load_tree(saved, INITIAL, params_like) if INITIAL in saved else None,
        model_state=load_tree(saved, STATE, model_state_like) if STATE in saved else None,
        initial_model_state=load_tree(saved, INITIAL_STATE, model_state_like) if INITIAL_STATE in saved else None,
        timings=saved.arrays("timings.npz") if "timings.npz" in saved else {},
        **fields,
    )


def _check_digests(saved: SavedFolder, metadata: dict[str, Any]) -> None:
    """Version 1 has no digests but those of whole trees in the execution's metadata."""
    digests = {"params.npz": "final_params", "opt_state.npz": "final_opt_state", INITIAL: "initial_params"}
    for file, name in digests.items():
        if file in saved and name in metadata:
            leaves = load_tree(saved, file, None)
            if digest(list(leaves.values())) != metadata[name]:
                raise SavedRunError(f"{saved.folder / file} was altered since the run, or belongs to another one")


class TrainingError(RuntimeError):
    """A run failed or diverged; ``result`` holds what there was by then, parameters included."""

    def __init__(self, result: TrainResult):
        super().__init__(result.message)
        self.result = result

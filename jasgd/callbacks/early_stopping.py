"""Ends a run that does not get better any more."""

from __future__ import annotations

import math
from typing import Literal

from jasgd.callbacks.callback import Callback, RunOptions
from jasgd.callbacks.recent_progress import RECENT
from jasgd.callbacks.state import RunState
from jasgd.inputs.checks import chosen, integer, real


class EarlyStopping(Callback):
    """Ends a run as ``stopped`` where a number has not got better for so many evaluations in a row.

    With ``of="training"`` the number is the mean loss of the last 100 applied gradients, which needs no ``evaluate``;
    it is looked at when 100 more were applied, and counts as an evaluation each time. The run keeps the parameters of
    its end, not those of the best evaluation. Of a run that is resumed the evaluations from before count, so that one
    which was stopped for lack of patience stops at once; looks at the training loss begin anew.

    Args:
      name: of a number that ``evaluate`` gives, such as ``"loss"`` or ``"accuracy"``; ``"loss"`` for training.
      patience: evaluations in a row that may be no better than the best before, ≥ 1.
      min_delta: by how much a value must be better than the best to count, ≥ 0.
      mode: ``"min"`` where lower is better, ``"max"`` where higher is.
      of: ``"evaluation"`` or ``"training"``.

    Raises:
      TypeError, ValueError: for arguments that cannot work.

    Example:
      >>> EarlyStopping("accuracy", patience=5, mode="max")
      EarlyStopping('accuracy', patience=5, min_delta=0, mode='max', of='evaluation')
    """

    def __init__(
        self,
        name: str = "loss",
        *,
        patience: int,
        min_delta: float = 0.0,
        mode: Literal["min", "max"] = "min",
        of: Literal["evaluation", "training"] = "evaluation",
    ):
        if not isinstance(name, str) or not name:
            raise TypeError(f"name must be the name of a number that evaluate gives, got {name!r}")
        self.patience = integer("patience", patience, 1, unit="evaluations")
        self.min_delta = real("min_delta", min_delta, "a number ≥ 0")
        if not 0 <= self.min_delta < math.inf:
            raise ValueError(f"min_delta must be a finite number ≥ 0, got {min_delta!r}")
        chosen("mode", mode, ("min", "max"))
        chosen("of", of, ("evaluation", "training"))
        if of == "training" and name != "loss":
            raise ValueError(f"name must be 'loss' where of is 'training', got {name!r}")
        self.name, self.mode, self.of = name, mode, of
        self._forget()

    def __repr__(self) -> str:
        return (
            f"EarlyStopping({self.name!r}, patience={self.patience}, min_delta={self.min_delta:g}, "
            f"mode={self.mode!r}, of={self.of!r})"
        )

    def _forget(self) -> None:
        self._best, self._since, self._waited = math.nan, "", 0
        self._next = RECENT  # version from which on the training loss is looked at

    def check(self, options: RunOptions) -> None:
        """Refuses a run without the evaluation that is waited for."""
        if self.of == "evaluation" and not options.evaluates:
            raise ValueError(
                f"callbacks: {self!r} needs evaluate, which gives {self.name!r}; or of='training', for the loss of "
                f"recent gradients"
            )

    def on_start(self, state: RunState) -> None:
        """Begins anew, so that one object may serve several runs, or goes on as the evaluations from before tell."""
        self._forget()
        self._next = state.version + RECENT
        if self.of == "evaluation":
            for evaluation in state.evaluations:
                if self.name in evaluation:
                    self._look(state, evaluation[self.name], "evaluations", evaluation["version"], evaluation["time_s"])

    def on_evaluation(self, state: RunState) -> None:
        """Looks at the number of an evaluation."""
        if self.of != "evaluation":
            return
        evaluation = state.evaluation or {}
        if self.name not in evaluation:
            names = ", ".join(repr(name) for name in evaluation if name not in ("time_s", "version"))
            raise ValueError(f"evaluate must give {self.name!r} for {self!r}, got {names}")
        self._look(state, evaluation[self.name], "evaluations", state.version, state.time_s)

    def on_progress(self, state: RunState) -> None:
        """Looks at the training loss, where enough gradients were applied since."""
        if self.of == "training" and state.version >= self._next:
            self._next = state.version + RECENT
            self._look(state, state.loss, f"looks at the last {RECENT} gradients", state.version, state.time_s)

    def _look(self, state: RunState, value: float, unit: str, version: float, time_s: float) -> None:
        lower = self.mode == "min"
        better = value < self._best - self.min_delta if lower else value > self._best + self.min_delta
        if better or (math.isnan(self._best) and not math.isnan(value)):
            self._best, self._waited = value, 0
            self._since = f"version {version:.0f} ({time_s:.1f} s)"
            return
        self._waited += 1
        if self._waited < self.patience:
            return
        what = self.name if self.of == "evaluation" else "training loss"
        if math.isnan(self._best):
            state.stop(f"the {what} was NaN in {self._waited} {unit} in a row")
            return
        by = f" by more than {self.min_delta:g}" if self.min_delta else ""
        state.stop(
            f"the {what} has not {'fallen below' if lower else 'risen above'} {self._best:.6g}{by} since "
            f"{self._since}: {self._waited} {unit} in a row were no better, the last was {value:.6g}"
        )

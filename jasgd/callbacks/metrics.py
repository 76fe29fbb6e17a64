"""Hands the numbers of a run to a logger: anything that is called as ``log(numbers, step=version)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jasgd.callbacks.callback import Callback
from jasgd.callbacks.state import RunState
from jasgd.inputs.checks import function, positive


class Logged(Callback):
    """A base of loggers: the run's numbers every so many seconds, those of each evaluation, and once more at the end.

    Steps are versions, and never fall: a snapshot that was evaluated may be newer than the newest row.

    Args:
      every_s: seconds between two writes, > 0.
    """

    def __init__(self, every_s: float):
        self._every_s = positive("every_s", every_s)
        self._next_s, self._step, self._written = 0.0, 0, -1

    def write(self, numbers: dict[str, float], step: int, state: RunState) -> None:
        """Writes numbers at a step.

        Args:
          numbers: by name.
          step: commits so far.
          state: of the run.
        """
        raise NotImplementedError

    def on_start(self, state: RunState) -> None:
        """Begins anew, so that one object may serve several runs one after another."""
        self._next_s, self._step, self._written = 0.0, state.version, -1

    def on_progress(self, state: RunState) -> None:
        """Writes the numbers of recent gradients, where the time has come."""
        if state.time_s >= self._next_s and state.version != self._written:
            self._next_s = state.time_s + self._every_s
            self._write(state.metrics, state)
            self._written = state.version

    def on_evaluation(self, state: RunState) -> None:
        """Writes the numbers of the evaluation."""
        self._write(state.evaluated, state)

    def on_end(self, state: RunState) -> None:
        """Writes the numbers of the last gradients, unless they were."""
        if state.version != self._written:
            self._write(state.metrics, state)

    def _write(self, numbers: dict[str, float], state: RunState) -> None:
        self._step = max(self._step, state.version)
        if numbers:
            self.write(numbers, self._step, state)


class Metrics(Logged):
    """Calls ``log(numbers, step=version)``, as W&B, trackio and MLflow have it; docs/callbacks.md has recipes.

    The numbers are those of :attr:`RunState.metrics`, such as ``train/loss`` and ``staleness/p90``, about every
    ``every_s`` seconds, and those of each evaluation, such as ``evaluation/loss``.

    Args:
      log: called as ``log(numbers, step=version)``, numbers a dict of names to floats.
      every_s: seconds between two calls, > 0.

    Raises:
      TypeError, ValueError: for arguments that cannot work.

    Example:
      >>> seen = []
      >>> Metrics(lambda numbers, step: seen.append(step))
      Metrics(<lambda>, every_s=1)
    """

    def __init__(self, log: Callable[..., Any], *, every_s: float = 1.0):
        function("log", log, "numbers, step")
        super().__init__(every_s)
        self._log = log

    def __repr__(self) -> str:
        return f"Metrics({getattr(self._log, '__name__', type(self._log).__name__)}, every_s={self._every_s:g})"

    def write(self, numbers: dict[str, float], step: int, state: RunState) -> None:
        """Calls the logger."""
        self._log(numbers, step=step)

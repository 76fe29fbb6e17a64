"""What ``evaluate`` gives of a run's snapshots, while it goes on and at its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from jasgd.core.messages import Snapshot
from jasgd.record.evaluations import named_numbers
from jasgd.training.run import Run


class Evaluator:
    """Calls ``evaluate`` on snapshots and keeps what it gave.

    Args:
      run: the run.
      function: ``evaluate`` of :func:`jasgd.train`, None for none.
      needs_loss: whether a ``loss`` must be among what it gives, as for a target loss.

    Attributes:
      evaluations: what it gave, each with ``time_s`` and ``version``.
    """

    def __init__(self, run: Run, function: Callable[..., float | Mapping[str, float]] | None, *, needs_loss: bool):
        self.evaluations: list[dict[str, float]] = []
        self._run, self._function, self._needs_loss = run, function, needs_loss

    def evaluate(self, snapshot_of: Callable[[], Snapshot]) -> None:
        """Evaluates a snapshot, which is taken only where there is something to evaluate with."""
        if self._function is None:
            return
        snapshot = snapshot_of()
        time_s = self._run.ledger.now()
        given = self._run.compiled.evaluated(self._function, snapshot.params, snapshot.state)
        numbers = named_numbers(given, {"time_s", "version"})
        if "loss" not in numbers and self._needs_loss:
            raise ValueError(f"evaluate must give a 'loss' for target_loss to be reached, got {sorted(numbers)}")
        self.evaluations.append({"time_s": time_s, "version": snapshot.version, **numbers})

    @property
    def loss(self) -> float:
        """Of the last evaluation; NaN before there is one."""
        return self.evaluations[-1]["loss"] if self.evaluations else math.nan

    def oddities(self) -> str:
        """Says where the last evaluation gave numbers that are not finite: training losses need not have shown it."""
        last: dict[str, Any] = self.evaluations[-1] if self.evaluations else {}
        odd = {name: value for name, value in last.items() if not math.isfinite(value)}
        numbers = ", ".join(f"{name} {value}" for name, value in odd.items())
        return f"; but evaluate gave {numbers} at version {last['version']}" if odd else ""

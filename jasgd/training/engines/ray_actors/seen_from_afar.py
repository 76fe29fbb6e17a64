"""A run as callbacks see it in the process that called ``train``, where it is carried out by a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jasgd.core.compiled import Compiled
from jasgd.core.ledger import Ledger
from jasgd.core.messages import Committed, Dropped, Gradient, Snapshot, View
from jasgd.core.scheme import Scheme
from jasgd.record.execution import Execution, row_dtype
from jasgd.record.result import Outcome, TrainResult
from jasgd.record.timings import Phases
from jasgd.training.aux_columns import AuxColumns
from jasgd.training.callback_calls import CallbackCalls, CallbackError
from jasgd.training.engines.carrying_out import Watching
from jasgd.training.engines.ray_actors.events import Event
from jasgd.training.interrupts import Interrupts
from jasgd.training.run import Run

Ask = Callable[..., Any]  # asks the server, see Forwarding.ask


class CallbacksHere:
    """Calls the callbacks of a run for the events that the server tells of.

    Args:
      watching: the callbacks.
      compiled: the traced functions of this process.
      workers: number of workers, ≥ 1.
      name: of the scheme.
      ask: asks the server.
      stop: has it end the run for a reason.
    """

    def __init__(
        self, watching: Watching, compiled: Compiled, workers: int, name: str, ask: Ask, stop: Callable[[str], None]
    ):
        self._ledger = _Ledger(workers, ask)
        self._run = _Run(compiled, self._ledger, name, ask, stop)
        self.calls = CallbackCalls(watching.callbacks, watching.on_progress, self._run, watching.options)
        self._snapshot: Any = _Snapshot(ask)
        self._has_begun = False

    def see_to(self, event: Event) -> CallbackError | None:
        """Calls the callbacks for an event.

        Args:
          event: what the server told.

        Returns:
          What one of them raised.
        """
        calls = self.calls
        self._ledger.event, self._snapshot.version = event, event.version
        calls.evaluations = event.evaluations
        if event.has_started:
            calls.begin()
        try:
            if event.name == "on_start":
                if not self._has_begun:  # else the server was begun anew
                    self._has_begun = True
                    calls.start()
            elif event.name == "on_progress":
                calls.progress()
            elif event.name == "on_evaluation":
                calls.evaluation(self._snapshot)
            else:
                calls.note_checkpoint(event.checkpoint, self._snapshot)
                calls.checkpoints()
        except CallbackError as error:
            return error
        return None

    def end(self, result: TrainResult, interrupts: Interrupts) -> TrainResult:
        """Calls ``on_end``, where there was ``on_start``; nothing is asked of a server any more.

        Args:
          result: of the run.
          interrupts: the context of Ctrl-C that this is called in.

        Returns:
          The result; a failed one where a callback raised.
        """
        if not self._has_begun:  # as where a run that is gone on with was over already
            return result
        self._ledger.result = self._run.result = result
        return self.calls.end(result, interrupts)


class _Snapshot:
    """Parameters and optimizer state that are fetched when they are asked for."""

    def __init__(self, ask: Ask):
        self._ask, self.version = ask, 0

    @property
    def params(self) -> Any:
        return self._ask("snapshot")[1]

    @property
    def state(self) -> Any:
        return self._ask("snapshot")[2]


class _Ledger(Ledger):
    """The numbers of the last event, and rows of the server's ledger; once there is a result, those of the result."""

    def __init__(self, workers: int, ask: Ask):
        super().__init__(workers)
        self._ask = ask
        self.event: Event | None = None
        self.result: TrainResult | None = None

    def now(self) -> float:
        if self.result is not None:
            return self.result.duration_s
        return 0.0 if self.event is None else self.event.now_s

    def recent(self, count: int) -> np.ndarray:
        if self.result is not None:
            return _last_rows(self.result.execution, count)
        event = self.event
        if event is None or (count > len(event.recent) and event.counts[0] > len(event.recent)):
            return self._ask("rows", count)
        return event.recent[-count:]

    @property
    def counts(self) -> tuple[int, int]:
        if self.result is not None:
            return len(self.result.execution), len(self.result.execution.dropped)
        return (0, 0) if self.event is None else self.event.counts


def _last_rows(execution: Execution, count: int) -> np.ndarray:
    rows = np.zeros(min(count, len(execution)), row_dtype(dropped=False))
    for name in rows.dtype.names or ():
        rows[name] = getattr(execution, name)[len(execution) - len(rows) :]
    return rows


class _Scheme(Scheme):
    """Gives the parameters of the event that is being seen to; it neither reads nor commits."""

    def __init__(self, ask: Ask):
        self._ask = ask

    def read(self, worker: int) -> View:
        raise NotImplementedError("workers read at the server")

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        raise NotImplementedError("workers commit at the server")

    def snapshot(self) -> Snapshot:
        return Snapshot(*self._ask("snapshot"))


class _Run(Run):
    """What callbacks ask of a run."""

    def __init__(self, compiled: Compiled, ledger: Ledger, name: str, ask: Ask, stop: Callable[[str], None]):
        super().__init__(_Scheme(ask), compiled, ledger, _no_batches, check_finite=False, name=name)
        self._stop = stop
        self.result: TrainResult | None = None
        aux: AuxColumns = _Aux(self, ask)
        phases: Phases = _Phases(self, ask)
        self.aux, self.phases = aux, phases

    def finish(self, outcome: Outcome, message: str, error: BaseException | None = None) -> None:
        self._stop(message)


def _no_batches(ticket: int, worker: int) -> Any:
    raise NotImplementedError("workers draw mini-batches in their own processes")


class _Aux(AuxColumns):
    def __init__(self, run: _Run, ask: Ask):
        super().__init__(1)
        self._of, self._ask = run, ask

    def newest(self, count: int) -> dict[str, np.ndarray]:
        result = self._of.result
        return self._ask("aux", count) if result is None else _ends(result.aux, count)


class _Phases(Phases):
    def __init__(self, run: _Run, ask: Ask):
        super().__init__(1)
        self._of, self._ask = run, ask

    def newest(self, count: int) -> dict[str, np.ndarray]:
        result = self._of.result
        return self._ask("timings", count) if result is None else _ends(result.timings, count)


def _ends(columns: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """The last numbers of the columns of applied gradients."""
    return {name: column[-count:] for name, column in columns.items() if not name.startswith("dropped.")}

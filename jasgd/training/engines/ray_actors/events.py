"""The server's side of callbacks: it tells the process that called ``train`` of each event, and waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jasgd.callbacks.callback import Callback
from jasgd.callbacks.recent_progress import RECENT
from jasgd.callbacks.state import RunState
from jasgd.record.trees import plain
from jasgd.training.callback_calls import CallbackError
from jasgd.training.run import Run

WAIT_S = 5.0  # how long a call that asks for an event waits, before it is answered that there is none


class Event(NamedTuple):
    """An event of a run, with the numbers that a callback is given at once.

    Attributes:
      name: of the callback's method.
      has_started: whether the clock has started.
      now_s: what the clock shows.
      offset_s: what it showed when it was started.
      counts: gradients that were applied and dropped.
      recent: the last rows of applied gradients.
      version: of the parameters that can be asked for.
      evaluations: all so far.
      checkpoint: folder of the newest one, None before there is one.
    """

    name: str
    has_started: bool
    now_s: float
    offset_s: float
    counts: tuple[int, int]
    recent: np.ndarray
    version: int
    evaluations: list[dict[str, float]]
    checkpoint: Any


class Forwarding(Callback):
    """Hands each event on, and holds it until it was seen to; an error of a callback there is raised here.

    Guarantees. One thread calls the events; :meth:`next_event`, :meth:`ask` and :meth:`seen` may be called by any.

    Args:
      run_of: gives the run, None before there is one.
    """

    def __init__(self, run_of: Callable[[], Run | None]):
        self._run_of = run_of
        self._changed = threading.Condition()
        self._event: Event | None = None  # to be handed on
        self._state: RunState | None = None  # of the one that is held
        self._error: CallbackError | None = None
        self._has_started = False

    def on_start(self, state: RunState) -> None:
        """Hands it on."""
        self._hand_on("on_start", state)
        self._has_started = True

    def on_progress(self, state: RunState) -> None:
        """Hands it on."""
        self._hand_on("on_progress", state)

    def on_evaluation(self, state: RunState) -> None:
        """Hands it on."""
        self._hand_on("on_evaluation", state)

    def on_checkpoint(self, state: RunState) -> None:
        """Hands it on."""
        self._hand_on("on_checkpoint", state)

    def _hand_on(self, name: str, state: RunState) -> None:
        run = self._run_of()
        assert run is not None
        ledger = run.ledger
        event = Event(
            name,
            self._has_started,
            state.time_s,
            ledger.offset_s,
            ledger.counts,
            ledger.recent(RECENT),
            state.version,
            list(state.evaluations),
            state.checkpoint,
        )
        with self._changed:
            self._event, self._state, self._error = event, state, None
            self._changed.notify_all()
            while self._state is not None:  # the process that sees to it ends this one where it dies
                self._changed.wait()
            if self._error is not None:
                raise self._error

    def next_event(self) -> Event | None:
        """The event that waits to be seen to, or None where none comes for a while."""
        with self._changed:
            self._changed.wait_for(lambda: self._event is not None, timeout=WAIT_S)
            event, self._event = self._event, None
            return event

    def ask(self, what: str, *arguments: Any) -> Any:
        """What a callback asks for: ``rows``, ``aux``, ``timings``, each of so many gradients, or ``snapshot``."""
        run, state = self._run_of(), self._state
        if run is None:
            raise ValueError("the run has not begun")
        if what == "snapshot":
            if state is None:
                raise ValueError("parameters can be asked for while an event is seen to")
            leaves = (*jax.tree.leaves(state.params), *jax.tree.leaves(state.model_state))
            version, opt_state = state.version, state.opt_state
            return version, tuple(map(plain, leaves)), tuple(map(plain, jax.tree.leaves(opt_state)))
        sources = {"rows": run.ledger.recent, "aux": run.aux.newest, "timings": run.phases.newest}
        return sources[what](*arguments)

    def seen(self, error: CallbackError | None) -> None:
        """Lets the run go on after an event, or fail of what a callback raised."""
        with self._changed:
            self._state, self._error = None, error
            self._changed.notify_all()

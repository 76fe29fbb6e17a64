"""Ctrl-C while a run ends: the first ends the run, and what comes later is held until the result exists."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

HELD = b"Ctrl-C: the run has ended, and what there is of it is being kept; a moment\n"


class Interrupts:
    """A context in which Ctrl-C raises KeyboardInterrupt where it is :meth:`taken`, and is held elsewhere.

    What it raises is raised once: later ones are held until :meth:`taken` is entered again, so that no second one comes
    while the first is being handled. The handler that was there before is called by this one, and is put back at the
    end. In a thread that is not the main one, which no signal comes to, and where Ctrl-C is ignored, it does nothing.

    Attributes:
      held: how many were held.

    Example:
      >>> with Interrupts() as interrupts:
      ...     try:
      ...         with interrupts.taken():
      ...             signal.raise_signal(signal.SIGINT)
      ...     except KeyboardInterrupt:
      ...         print("stopped")
      stopped
    """

    def __init__(self) -> None:
        self.held = 0
        self._takes = False
        self._previous: Any = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous):
                self._previous = previous
                signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """A context in which the first Ctrl-C raises KeyboardInterrupt."""
        self._takes = True
        try:
            yield
        finally:
            self._takes = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        takes, self._takes = self._takes, False  # before anything is raised
        try:
            self._previous(number, frame)
        except KeyboardInterrupt:
            if takes:
                raise
            self.held += 1
            if self.held == 1:
                with contextlib.suppress(OSError):
                    os.write(2, HELD)  # sys.stderr may be in the middle of a write
        else:
            self._takes = takes  # a handler of the caller's own, which raises nothing

"""A time limit on the decision of one condition."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from theory.candidates.interruption import Interrupted

_AGAIN_S = 1.0  # after which it is raised again: a callback of the garbage collector swallows what is raised in it


class OutOfTime(Interrupted):  # not an Exception: nothing on the way may take it for an arithmetic failure
    """The time limit of one condition is over."""


@contextlib.contextmanager
def limited(limit_s: float) -> Iterator[None]:
    """Raises :class:`OutOfTime` inside after so many seconds; no limit outside the main thread or without signals."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    is_running = True

    def over(number: int, frame: FrameType | None) -> None:
        del number, frame
        if is_running:
            raise OutOfTime

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, limit_s, _AGAIN_S)
    try:
        try:
            yield
        finally:
            is_running = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

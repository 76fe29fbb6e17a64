"""A time limit on the decision of one condition."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from theory.candidates.interruption import Interrupted

_AGAIN_S = 1.0  # after which it is raised again, should anything on the way have swallowed it
_SOON_S = 0.01  # after which it is raised again where Python has lost it


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

    def lost(unraisable: sys.UnraisableHookArgs) -> None:
        """What a finaliser raises, or a callback of the garbage collector or of a weak reference, is lost there."""
        if not isinstance(unraisable.exc_value, OutOfTime):
            reported(unraisable)
        elif is_running:
            signal.setitimer(signal.ITIMER_REAL, _SOON_S, _AGAIN_S)

    reported, sys.unraisablehook = sys.unraisablehook, lost
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
        sys.unraisablehook = reported

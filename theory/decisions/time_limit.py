"""A time limit on the decision of one condition."""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from theory.candidates.interruption import Interrupted

_AGAIN_S = 1.0  # after which it is raised again, should anything on the way have swallowed it
_SOON_S = 0.01  # after which it is raised where it was not, in what Python calls while it collects garbage


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
        del number
        if is_running and _collects_garbage(frame):
            signal.setitimer(signal.ITIMER_REAL, _SOON_S, _AGAIN_S)
        elif is_running:
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


def _collects_garbage(frame: FrameType | None) -> bool:
    """Whether a frame is inside of what Python calls while it collects garbage, where all that is raised is lost."""
    callbacks = {getattr(callback, "__code__", None) for callback in gc.callbacks}
    while frame is not None:
        if frame.f_code in callbacks or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False

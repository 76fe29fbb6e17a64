"""The time limit of a condition, where Python loses what is raised."""

import gc
import os
import signal
import sys
import weakref

import pytest

from theory.decisions.time_limit import OutOfTime, limited


def collect_and_wait(place, kept):
    if "garbage" in place:
        gc.collect()
    else:
        kept.clear()
    while True:  # the limit ends it right after, and not after a minute
        pass


@pytest.mark.parametrize(
    "place", ["a callback of the garbage collector", "a finaliser", "a callback of a weak reference"]
)
def test_no_limit_is_lost_in_what_is_called_while_garbage_is_collected(place):
    """The alarm comes inside of it; the test fails where what was raised there is reported, or lost for a minute."""
    came = []

    def alarm(*_):
        if not came:
            came.append(True)
            os.kill(os.getpid(), signal.SIGALRM)

    class Finalised:
        def __del__(self):
            if place == "a finaliser":
                alarm()

    kept = [Finalised()]
    reference = weakref.ref(kept[0], alarm) if "weak" in place else None
    callbacks = [alarm] if "garbage" in place else []
    gc.callbacks.extend(callbacks)
    try:
        with pytest.raises(OutOfTime), limited(60):
            collect_and_wait(place, kept)
    finally:
        for callback in callbacks:
            gc.callbacks.remove(callback)
    assert came
    del reference


def test_what_else_is_lost_is_reported_as_before(monkeypatch):
    class Raising:
        def __del__(self):
            raise ValueError("of its own")

    reported = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.append(str(unraisable.exc_value)))
    before = sys.unraisablehook
    with limited(60):
        Raising()
    assert reported == ["of its own"]
    assert sys.unraisablehook is before

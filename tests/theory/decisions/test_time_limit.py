"""The time limit of a condition, where Python loses what is raised."""

import gc
import os
import signal

import pytest

from theory.decisions.time_limit import OutOfTime, limited


def collect_and_wait(place, finalised):
    if "callback" in place:
        gc.collect()
    else:
        finalised.clear()
    while True:  # the limit ends it right after, and not after a minute
        pass


@pytest.mark.parametrize("place", ["a callback of the garbage collector", "a finaliser"])
def test_no_limit_is_lost_in_what_is_called_while_garbage_is_collected(place):
    """The alarm comes inside of it; the test fails where something was raised there, which Python would report."""
    came = []

    def alarm(*_):
        if not came:
            came.append(True)
            os.kill(os.getpid(), signal.SIGALRM)

    class Finalised:
        def __del__(self):
            alarm()

    callbacks = [alarm] if "callback" in place else []
    gc.callbacks.extend(callbacks)
    try:
        with pytest.raises(OutOfTime), limited(60):
            collect_and_wait(place, [Finalised()])
    finally:
        for callback in callbacks:
            gc.callbacks.remove(callback)
    assert came

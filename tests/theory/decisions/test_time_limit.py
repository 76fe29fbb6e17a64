"""The time limit of a condition, where Python loses what is raised."""

import gc
import os
import signal

import pytest

from theory.decisions.time_limit import OutOfTime, limited


def until_out_of_time():
    while True:
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

    gc.callbacks.append(alarm) if "callback" in place else None
    try:
        with pytest.raises(OutOfTime), limited(60):
            if "callback" in place:
                gc.collect()
            else:
                Finalised()
            until_out_of_time()  # raised right after, and not after a minute
    finally:
        if alarm in gc.callbacks:
            gc.callbacks.remove(alarm)
    assert came

"""JAX is configured once, as a user would, before any test computes."""

import signal
import threading

import pytest

import jasgd

jasgd.configure_cpu()

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start as well; some test it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_thread_left():
    """Fails a test that leaves a worker's thread running."""
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and t.name.startswith("jasgd-worker")]
    for thread in left:
        thread.join(5)
    assert not [t.name for t in left if t.is_alive()]

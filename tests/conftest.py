"""What every test here is held to: it leaves no thread, and its module no compiled programs."""

import contextlib
import threading

import jax
import pytest


@pytest.fixture(autouse=True)
def no_thread_left():
    """Fails a test that leaves a worker's thread running."""
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and t.name.startswith("jasgd-worker")]
    for thread in left:
        with contextlib.suppress(RuntimeError):  # Ctrl-C came while it was being started
            thread.join(5)
    assert not [t.name for t in left if t.is_alive()]


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_are_let_go():
    """JAX keeps every program that it compiled; without this a process that runs all tests takes several GB."""
    yield
    jax.clear_caches()

"""JAX is configured once, as a user would, before any test computes; what was compiled is shared between tests."""

import atexit
import contextlib
import os
import shutil
import signal
import tempfile
import threading

import hypothesis
import jax
import pytest

import jasgd

jasgd.configure_cpu()

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

# Many tests compile the same programs. What one test has compiled, later ones take from a folder of this run alone,
# whichever worker of pytest-xdist they run in. A process that a test starts compiles all itself, as a user's does.
if "JASGD_TESTS_COMPILED" not in os.environ:
    os.environ["JASGD_TESTS_COMPILED"] = tempfile.mkdtemp(prefix="jasgd-tests-compiled-")
    atexit.register(shutil.rmtree, os.environ["JASGD_TESTS_COMPILED"], ignore_errors=True)
jax.config.update("jax_compilation_cache_dir", os.environ["JASGD_TESTS_COMPILED"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

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
        with contextlib.suppress(RuntimeError):  # Ctrl-C came while it was being started
            thread.join(5)
    assert not [t.name for t in left if t.is_alive()]


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_are_let_go():
    """JAX keeps every program that it compiled; without this a process that runs all tests takes several GB."""
    yield
    jax.clear_caches()

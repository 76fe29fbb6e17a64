"""The store of native rounds: reads and commits one by one, its lock, and its memory."""

import gc
import os
import threading
import time
import types
import weakref
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import needs_compiler
from support.native_rounds import ASYNCHRONOUS, NAMES, native, store
from support.problems import counting

import jasgd
from jasgd.core.messages import Closed
from jasgd.schemes.native import build
from jasgd.schemes.native.build import CannotCompile, library
from jasgd.schemes.native.store import BUSY, DONE

pytestmark = needs_compiler


@pytest.mark.parametrize("name", ASYNCHRONOUS)
def test_whoever_computes_the_gradient_itself_reads_and_commits(name):
    scheme, gradient = store(name)
    first, second = gradient(0), gradient(1)
    done = [scheme.commit(first), scheme.commit(second)]
    assert [(d.version, d.staleness, d.factor, d.tries) for d in done] == [(0, 0, 1.0, 1), (1, 1, 1.0, 1)]
    version, params, _ = scheme.snapshot()
    assert version == 2
    np.testing.assert_array_equal(params[0], 2.0)
    np.testing.assert_array_equal(first.view.params[0], 0.0)  # no thread writes to what was read
    late = gradient(0)
    scheme.close("enough")
    with pytest.raises(Closed, match="enough"):
        scheme.commit(late)
    assert scheme.snapshot().version == 2


def test_a_function_in_a_thread_of_xla_s_pool_does_not_wait_for_the_lock():
    """There it could wait for itself: the thread that has the lock may need the pool to let go of it."""
    scheme, gradient = store("locked")
    computed, done = gradient(1), []
    scheme._library.JasgdWait(scheme._store, 0)  # as if worker 0 were between Begin and End
    assert not scheme._entered[1]  # so a thread that commits for it is none of its own
    thread = threading.Thread(target=lambda: done.append(scheme.commit(computed)))
    thread.start()
    deadline = time.monotonic() + 30
    while scheme._answer(1).attempts < 1:  # until its first attempt has ended
        assert time.monotonic() < deadline
    assert scheme._answer(1).status == BUSY
    assert not done
    scheme._library.JasgdAbandon(scheme._store, 0)
    thread.join(30)
    assert scheme._answer(1).status == DONE
    assert [(d.version, d.tries) for d in done] == [(0, 1)]
    np.testing.assert_array_equal(scheme.snapshot().params[0], 1.0)


def test_memory_stays_flat():
    held = []
    big = 1 << 18  # components: 1 MiB, of which 4,000 fresh ones would be 4 GiB

    def resident(_):
        held.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
        return 0.0

    jasgd.train(lambda w, b: jnp.vdot(w, w), jnp.ones(big), optax.sgd(0.01), lambda t: np.float32(0),
                scheme=native("leashed"), workers=3, steps=4000, evaluate=resident, evaluate_every_s=0.2)  # fmt: skip
    assert held[-1] - held[1] < 64 << 20


def test_a_store_is_freed_with_its_scheme():
    freed = []
    scheme, gradient = store("leashed")
    scheme.commit(gradient(0))
    weakref.finalize(scheme, freed.append, True)
    del scheme, gradient
    gc.collect()  # what is compiled refers to the scheme
    assert freed


def test_python_and_native_code_read_one_clock_in_the_same_steps():
    """The kind: times of two clocks, which are never read at once, taken for times of one."""
    clock = library()
    assert clock.JasgdClock().decode() == time.get_clock_info("perf_counter").implementation
    before = time.perf_counter()
    for _ in range(20_000):  # also where both read the same nanosecond
        its = clock.JasgdNow()
        after = time.perf_counter()
        assert before <= its <= after
        before = after


def test_where_python_reads_another_clock_rounds_are_not_native(monkeypatch):
    info = types.SimpleNamespace(implementation="an hourglass")
    monkeypatch.setattr("jasgd.schemes.native.build.time", types.SimpleNamespace(get_clock_info=lambda _: info))
    build._loaded.cache_clear()
    try:
        with pytest.raises(CannotCompile, match=r"native must be False where time\.perf_counter reads an hourglass"):
            library()
    finally:
        build._loaded.cache_clear()


@pytest.mark.parametrize("name", NAMES)
def test_phases_follow_each_other_whatever_interrupts_the_thread_that_sets_a_run_up(name, monkeypatch):
    """Each reading of Python's clock comes a while after the one before, as where the processor is lost there."""
    counter = time.perf_counter

    def interrupted():
        until = counter() + 2e-4
        while counter() < until:
            pass
        return counter()

    params, loss_fn, batches = counting(64)
    with monkeypatch.context() as context:
        context.setattr(time, "perf_counter", interrupted)
        result = jasgd.train(
            loss_fn, params, optax.sgd(1.0), batches, scheme=native(name), workers=2, steps=20, has_aux=True
        )
    assert all((column >= 0).all() for column in result.timings.values())

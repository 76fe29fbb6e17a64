"""Schemes whose rounds are one compiled call: the same promises, and what is theirs alone.

Rounds have no points to wait at; where an interleaving matters, a callback in the transformation or the loss, which
runs in the worker's own thread, waits.
"""

import ctypes
import functools
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import same_bits
from support.every_scheme import needs_compiler
from support.optax_loop import optimizers
from support.problems import counting, network

import jasgd
from jasgd.core.admission import admit
from jasgd.core.ledger import Ledger
from jasgd.core.messages import Closed, Gradient
from jasgd.core.scheme import Setup
from jasgd.schemes.native import build as native_build
from jasgd.schemes.native.store import BUSY, DONE, NativeStore
from jasgd.schemes.selection import WITH_NATIVE

NAMES = list(WITH_NATIVE)
ASYNCHRONOUS = [name for name in NAMES if name != "synchronous"]
pytestmark = needs_compiler


def native(name, **options):
    return jasgd.schemes.named(name, native=True, **options)


def tail(*more):
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), *(more or (optax.sgd(0.05),)))


def count(scheme, *, workers, steps, size=4096, rule=None):
    params, loss_fn, batches = counting(size)
    tx = optax.chain(jasgd.staleness_adaptive(rule or jasgd.rules.constant()), optax.sgd(1.0))
    return jasgd.train(loss_fn, params, tx, batches, scheme=scheme, workers=workers, steps=steps, has_aux=True)


@pytest.mark.newest
@pytest.mark.parametrize("name", ["locked", "leashed", "synchronous"])
def test_versions_form_a_chain_and_staleness_is_what_the_parameters_say(name):
    steps, rows = (10_000, 1) if name != "synchronous" else (2_000, 8)
    result = count(native(name), workers=8, steps=steps)
    execution = result.execution
    assert execution.version.tolist() == [k for k in range(steps) for _ in range(rows)]
    assert len(set(execution.ticket.tolist())) == steps * rows
    for leaf in jax.tree.leaves(result.params):
        assert np.unique(np.asarray(leaf)).tolist() == [steps]  # no lost update
    np.testing.assert_array_equal(result.aux["min"], result.aux["max"])  # no torn read
    np.testing.assert_array_equal(execution.version_read, result.aux["min"].astype(np.int64))
    np.testing.assert_array_equal(execution.staleness, execution.version - execution.loss.astype(np.int64))
    told = execution.conservation()
    assert told["applied"] + told["dropped"] + told["in_flight"] + told["gaps"] == told["total"] == (8 - rows) * steps
    assert (execution.staleness.max() > 0) == (name != "synchronous")
    assert int(np.asarray(result.opt_state[0].law.updates)) == steps


@pytest.mark.newest
def test_hogwild_claims_each_version_once_and_tells_the_staleness_of_the_claims():
    steps = 10_000
    result = count(native("hogwild"), workers=8, steps=steps)
    execution = result.execution
    execution.validate()
    assert execution.version.tolist() == list(range(steps))
    np.testing.assert_array_equal(execution.staleness, execution.version - execution.version_read)
    assert execution.staleness.max() > 0
    assert (result.aux["min"] <= execution.version_read + 8).all()  # others may add between claim and copy
    assert 0 < float(result.params["a"].max()) <= steps  # an add may be lost, none is made twice
    assert set(result.counters) == {"overlapped_reads", "lost_state_updates"}
    applied = steps - int(np.asarray(result.opt_state[0].law.updates))
    assert applied == result.counters["lost_state_updates"]


@pytest.mark.newest
@pytest.mark.parametrize("optimizer", optimizers())
@pytest.mark.parametrize("name", NAMES)
def test_one_worker_computes_the_bits_of_the_sequential_run(name, optimizer):
    params, loss_fn, batches = network()
    tx = tail(optimizers()[optimizer]())
    runs = [
        jasgd.train(loss_fn, params, tx, batches, scheme=s, workers=1, steps=120) for s in ("sequential", native(name))
    ]
    if name != "hogwild":  # which adds an update that was rounded, where the others may round once
        assert same_bits(runs[0].params, runs[1].params)
        assert same_bits(runs[0].opt_state, runs[1].opt_state)
        np.testing.assert_array_equal(runs[0].execution.loss, runs[1].execution.loss)
    else:
        threads = jasgd.train(loss_fn, params, tx, batches, scheme="hogwild", workers=1, steps=120)
        assert same_bits(threads.params, runs[1].params)
        assert same_bits(threads.opt_state, runs[1].opt_state)


@pytest.mark.parametrize("name", NAMES)
def test_a_transformation_gets_the_current_and_the_read_parameters(name):
    """With one worker the two are the same; the replays of several workers are in test_replayer.py."""
    seen = []

    def update(updates, state, params=None, *, read_params, staleness, value, **extra):
        jax.debug.callback(lambda *given: seen.append(given), params["w"][0], read_params["w"][0], value, ordered=False)
        return jax.tree.map(lambda p, g: 1.0 + 0 * p + 0 * g, params, updates), state

    tx = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    result = jasgd.train(lambda p, b: p["w"].sum() + b, {"w": jnp.zeros(3)}, tx, lambda t: np.float32(0.5),
                         scheme=native(name), workers=1, steps=4)  # fmt: skip
    jax.effects_barrier()
    warm = 3  # calls before the clock starts
    assert [tuple(map(float, row)) for row in seen[warm:]] == [(k, k, 3 * k + 0.5) for k in range(4)]
    np.testing.assert_array_equal(result.params["w"], 4.0)


def test_an_update_that_lost_is_computed_again_or_dropped():
    """Worker 0 waits in its first update until worker 1 has committed two of its own."""
    dropped = conflict(native("leashed", persistence=0))
    drops = dropped.execution.dropped
    assert (drops.worker[0], drops.tries[0], drops.version_read[0]) == (0, 1, 0)
    assert drops.staleness[0] == drops.version[0] >= 2
    assert dropped.metrics["dropped_contended"] == len(drops)
    retried = conflict(native("leashed")).execution
    first = int(np.flatnonzero(retried.worker == 0)[0])
    assert len(retried.dropped) == 0
    assert (retried.version_read[first], retried.tries[first] >= 2) == (0, True)
    # Computed again on the newest, with the staleness that it had there.
    assert retried.staleness[first] == retried.version[first] >= 2
    np.testing.assert_allclose(retried.factor, 1 / (1.0 + retried.staleness), rtol=1e-6)
    np.testing.assert_allclose(
        dropped.params, dropped.execution.factor.sum(), rtol=1e-5
    )  # no trace of what was dropped


def conflict(scheme):
    first, behind = threading.Event(), threading.Event()
    counts = {"jasgd-worker-0": 0, "jasgd-worker-1": 0}

    def called(_):
        name = threading.current_thread().name
        if name not in counts:  # while the trainer warms up
            return np.float32(0)
        counts[name] += 1
        if name == "jasgd-worker-0" and counts[name] == 1:
            first.set()
            assert behind.wait(30)
        if name == "jasgd-worker-1" and counts[name] == 3:  # its third update, so that two are committed
            behind.set()
        return np.float32(0)

    def batches(ticket):
        if threading.current_thread().name == "jasgd-worker-1":
            assert first.wait(30)
        return np.float32(1)

    def update(updates, state, params=None, *, staleness, **extra):
        # Asks for the staleness, so that it cannot be called before that is known.
        zero = jax.pure_callback(called, jax.ShapeDtypeStruct((), jnp.float32), staleness)
        return jax.tree.map(lambda u: -u + zero, updates), state

    tx = optax.chain(
        jasgd.staleness_adaptive(lambda staleness, law: 1 / (1.0 + staleness)),
        optax.GradientTransformationExtraArgs(optax.init_empty_state, update),
    )
    return jasgd.train(lambda w, b: -b * w.sum(), jnp.zeros(4), tx, batches, scheme=scheme, workers=2, steps=40)


@pytest.mark.parametrize("name", ASYNCHRONOUS)
def test_gradients_that_are_too_stale_are_dropped_and_leave_no_trace(name):
    result = count(native(name, max_staleness=2), workers=8, steps=2000, size=512)
    drops = result.execution.dropped
    assert result.execution.staleness.max() <= 2
    assert (drops.staleness > 2).all()
    assert (drops.staleness == drops.version - drops.version_read).all()
    told = result.execution.conservation()
    assert told["applied"] + told["dropped"] + told["in_flight"] + told["gaps"] == told["total"] == 7 * 2000
    if name != "hogwild":
        assert np.unique(np.asarray(result.params["a"])).tolist() == [2000]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_logged_is_read_and_committed_with_the_parameters_that_were_read(name):
    """Delay compensation asks for them; one worker's are the current ones, so it changes nothing."""
    params, loss_fn, batches = network()
    events, results = [], []
    for first in ((jasgd.delay_compensated(0.5),), ()):
        tx = optax.chain(*first, jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.05))
        scheme = jasgd.testing.logged(native(name), events)
        results.append(jasgd.train(loss_fn, params, tx, batches, scheme=scheme, workers=1, steps=20))
        assert not results[-1].execution.metadata["native"]  # its reads and commits are called one by one
    assert sum(event.kind == "read" for event in events) >= 40
    for ours, theirs in zip(*(jax.tree.leaves(result.params) for result in results), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_back_is_as_free_to_move_between_devices_as_what_went_in(name):
    device = jax.devices("cpu")[0]
    for start in (jnp.ones(3), jax.device_put(jnp.ones(3), device)):
        result = jasgd.train(lambda w, b: jnp.sum(w**2), start, optax.sgd(0.1), lambda t: np.float32(0), workers=1,
                             scheme=native(name), steps=3)  # fmt: skip
        assert result.params.committed == start.committed


def store(name, *, workers=2, rule=None):
    """A scheme with the counting problem's parameters, and what makes a worker's gradient, which adds 1."""
    params, loss_fn, batches = counting(64)
    tx = optax.chain(jasgd.staleness_adaptive(rule or jasgd.rules.constant()), optax.sgd(1.0))
    compiled, leaves, state = admit(loss_fn, params, tx, batches(0), has_aux=True)
    setup = Setup(leaves, state, compiled, Ledger(workers), workers, batch=batches(0))
    scheme = jasgd.schemes.selection.make(native(name), setup)

    def gradient(worker):
        view = scheme.read(worker)
        loss, _, grads = compiled.gradient(view.params, batches(0))
        return Gradient(worker, 7, view, grads, loss, float(loss))

    return scheme, gradient


@pytest.mark.parametrize("name", ASYNCHRONOUS)
def test_whoever_computes_the_gradient_itself_reads_and_commits(name):
    scheme, gradient = store(name)
    first, second = gradient(0), gradient(1)
    done = [scheme.commit(first), scheme.commit(second)]
    assert [(d.version, d.staleness, d.factor, d.tries) for d in done] == [(0, 0, 1.0, 1), (1, 1, 1.0, 1)]
    version, params, _ = scheme.snapshot()
    assert version == 2
    np.testing.assert_array_equal(params[0], 2.0)
    np.testing.assert_array_equal(first.view.params[0], 0.0)  # nobody writes to what was read
    late = gradient(0)
    scheme.close("enough")
    with pytest.raises(Closed, match="enough"):
        scheme.commit(late)
    assert scheme.snapshot().version == 2


def test_a_function_in_a_thread_of_xla_s_pool_does_not_wait_for_the_lock():
    """There it could wait for itself: the thread that has the lock may need the pool to let go of it."""
    scheme, gradient = store("locked")
    given, done = gradient(1), []
    scheme._library.JasgdWait(scheme._store, 0)  # as if worker 0 were between Begin and End
    assert not scheme._entered[1]  # so a thread that commits for it is none of its own
    thread = threading.Thread(target=lambda: done.append(scheme.commit(given)))
    thread.start()
    deadline = time.monotonic() + 30
    while scheme._told(1).attempts < 1:  # until its first attempt has ended
        assert time.monotonic() < deadline
    assert scheme._told(1).status == BUSY
    assert not done
    scheme._library.JasgdAbandon(scheme._store, 0)
    thread.join(30)
    assert scheme._told(1).status == DONE
    assert [(d.version, d.tries) for d in done] == [(0, 1)]
    np.testing.assert_array_equal(scheme.snapshot().params[0], 1.0)


def in_threads(*bodies):
    """What each body returns or raises; each runs in a thread of its own."""
    told = [None] * len(bodies)

    def run(number):
        try:
            told[number] = bodies[number]()
        except Exception as error:
            told[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return told


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline


def waiting(scheme):
    """How many workers of a synchronous scheme wait for the others: none has seen its gradient taken yet."""
    return scheme._library.JasgdArrived(scheme._store)


@pytest.mark.newest
def test_synchronous_workers_that_compute_the_gradient_themselves_meet():
    scheme, gradient = store("synchronous", workers=3)
    first = [gradient(worker) for worker in range(3)]
    told = in_threads(*(functools.partial(scheme.commit, given) for given in first))
    assert [(d.version, d.staleness, d.factor, d.tries) for d in told] == [(0, 0, 1.0, 1)] * 3
    version, params, _ = scheme.snapshot()
    assert version == 1
    np.testing.assert_array_equal(params[0], 1.0)  # the mean of three times 1
    np.testing.assert_array_equal(first[0].view.params[0], 0.0)
    assert scheme._ledger.execution({}).loss.tolist() == [first[0].loss_value] * 3
    with pytest.raises(ValueError, match="view must be of this round's version 1, got 0"):
        scheme.commit(first[0])
    scheme.close("enough")
    with pytest.raises(Closed, match="enough"):
        scheme.commit(first[0])


def test_a_synchronous_worker_that_is_late_computes_the_update_of_its_round_and_not_of_the_next_state():
    """Worker 1 goes on from the barrier only when worker 0 has published; the factor says what it computed on."""
    scheme, gradient = store("synchronous", rule=lambda staleness, law: 1.0 / law.updates)
    again, order = scheme._again, []

    def late(who):
        if int(who[2]) == 1:
            until(lambda: scheme.snapshot().version == len(order) // 2 + 1)
        order.append(int(who[2]))
        return again(who)

    scheme._again = late
    for version in range(3):
        told = in_threads(*(functools.partial(scheme.commit, gradient(worker)) for worker in range(2)))
        assert [(d.version, d.factor) for d in told] == [(version, pytest.approx(1 / (version + 1)))] * 2
    assert order == [0, 1] * 3


def test_closing_gives_up_a_synchronous_round_that_has_not_met_and_wakes_who_waits():
    scheme, gradient = store("synchronous", workers=3)

    def close():
        until(lambda: waiting(scheme) == 2)
        scheme.close("enough")

    told = in_threads(*(functools.partial(scheme.commit, gradient(worker)) for worker in range(2)), close)
    assert [str(error) for error in told[:2]] == ["enough", "enough"]
    assert all(isinstance(error, Closed) for error in told[:2])
    with pytest.raises(Closed, match="enough"):
        scheme.commit(gradient(2))
    assert scheme.snapshot().version == 0


@pytest.mark.newest
@pytest.mark.parametrize("workers", [2, 3])
def test_a_function_in_a_thread_of_xla_s_pool_does_not_wait_for_the_other_synchronous_workers(workers, monkeypatch):
    """The others may need that thread; so rounds meet in the worker's own, and to the same bits."""
    params, loss_fn, batches = network()
    tx = tail(optax.sgd(0.05, momentum=0.9))

    def run(scheme):
        return jasgd.train(loss_fn, params, tx, batches, scheme=scheme, workers=workers, steps=40)

    expected = run(native("synchronous"))
    monkeypatch.setattr(NativeStore, "_enter", lambda self, worker: None)  # so no thread is known for a worker's own
    result = run(native("synchronous"))
    for ran in (run(jasgd.schemes.synchronous(native=False)), result):
        assert same_bits(ran.params, expected.params)
        assert same_bits(ran.opt_state, expected.opt_state)
        assert ran.execution.staleness.tolist() == [0] * (40 * workers)
        assert sorted(ran.execution.ticket.tolist()) == list(range(40 * workers))


def synchronous_runs(loss_fn, params, tx, batches, **options):
    """The same in Python's rounds and in native ones."""
    options = {"workers": 2, "steps": 20} | options
    return [
        jasgd.train(loss_fn, params, tx, batches, scheme=jasgd.schemes.synchronous(native=native), **options)
        for native in (False, True)
    ]


def by_ticket(execution):
    return execution.loss[np.argsort(execution.ticket)].tolist()


@pytest.mark.parametrize("later", [np.ones((5, 3), np.float32), jnp.ones((2, 3)), np.float32(1)], ids=lambda b: type(b))
def test_synchronous_workers_go_on_where_a_batch_is_of_another_kind_than_the_first(later):
    """JAX has whoever calls with a new kind of array wait for the first such call to end, which is in the barrier."""

    def batches(ticket):
        return np.ones((2, 3), np.float32) if ticket < 6 else later

    runs = synchronous_runs(lambda w, b: jnp.mean((w - b) ** 2), jnp.zeros(3), optax.sgd(0.1), batches, time_limit_s=60)
    assert [run.execution.commits for run in runs] == [20, 20]
    assert same_bits(*(run.params for run in runs))


def test_synchronous_workers_whose_threads_lack_a_setting_of_the_caller_s_go_on():
    with jax.threefry_partitionable(not jax.config.jax_threefry_partitionable):
        _, result = synchronous_runs(lambda w, b: jnp.mean((w - b) ** 2), jnp.zeros(3), optax.sgd(0.1), lambda t: 1.0,
                                     time_limit_s=60)  # fmt: skip
    assert result.execution.commits == 20


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("name", ["lars", "lamb", "adaptive_grad_clip", "compensated"])
def test_what_gradient_and_update_both_need_is_computed_as_in_two_calls(name, workers):
    params, plain, batches = network()

    def loss_fn(params, batch):  # its gradient and the update both need the norms of the parameters
        return plain(params, batch) + sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params)) / 6

    by_loss = optax.GradientTransformationExtraArgs(
        optax.init_empty_state, lambda u, s, p=None, *, value, **extra: (jax.tree.map(lambda g: g * value, u), s)
    )
    tx = {
        "lars": optax.chain(by_loss, optax.lars(0.1, weight_decay=0.01)),
        "lamb": optax.chain(by_loss, optax.lamb(0.01, weight_decay=0.01)),
        "adaptive_grad_clip": optax.chain(by_loss, optax.adaptive_grad_clip(0.01), optax.sgd(0.05)),
        "compensated": optax.chain(jasgd.delay_compensated(0.5), optax.sgd(0.05, momentum=0.9)),
    }[name]
    expected, result = synchronous_runs(loss_fn, params, tx, batches, workers=workers)
    assert by_ticket(result.execution) == by_ticket(expected.execution)
    assert same_bits(result.params, expected.params)


def test_a_gradient_that_was_applied_has_a_row_though_its_worker_fails_in_its_own_update():
    calls = {}

    def failing(value):
        name = threading.current_thread().name
        calls[name] = calls.get(name, 0) + 1
        if name == "jasgd-worker-1" and calls[name] == 6:
            until(lambda: made[0].snapshot().version == 6)
            raise OSError("no disk")
        return np.float32(-0.1)

    def update(updates, state, params=None, *, value, **extra):
        # Asks for the mean loss, so that it is called behind the barrier.
        factor = jax.pure_callback(failing, jax.ShapeDtypeStruct((), jnp.float32), value)
        return jax.tree.map(lambda u: factor * u, updates), state

    def factory(setup):
        made.append(native("synchronous")(setup))
        return made[-1]

    made, tx = [], optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    params, loss_fn, batches = network()
    result = jasgd.train(loss_fn, params, tx, batches, scheme=factory, workers=2, steps=99, throw=False)
    assert result.outcome == "failed"
    assert "no disk" in result.message
    execution = result.execution
    execution.validate()
    assert execution.version.tolist() == [k for k in range(6) for _ in range(2)]
    assert sorted(execution.ticket.tolist())[:10] == list(range(10))
    assert (execution.factor == 1).all()
    row = int(np.flatnonzero((execution.version == 5) & (execution.worker == 1))[0])
    batch = batches(int(execution.ticket[row]))
    calls.clear()
    before = jasgd.replay(result, loss_fn, tx, batches, upto=5)
    assert np.float32(execution.loss[row]) == jax.jit(loss_fn)(before.params, batch)


def test_the_newest_parameters_with_a_finite_loss_are_found_though_it_was_computed_last():
    """Tickets 4 and 5 are of one round: the first is not finite, and the other's loss comes when the run is over."""

    def hold(ticket):
        in_run = threading.current_thread().name.startswith("jasgd-worker")
        if in_run and int(ticket) == 4:
            assert computing.wait(30)
        if in_run and int(ticket) == 5:
            computing.set()
            until(lambda: made[0]._ledger.closed)
        return np.float32(0)

    def loss_fn(w, ticket):
        held = jax.pure_callback(hold, jax.ShapeDtypeStruct((), jnp.float32), ticket)
        return jnp.sum(w**2) + held + jnp.where(ticket == 4, jnp.nan, 0.0)

    def factory(setup):
        made.append(native("synchronous")(setup))
        return made[-1]

    made, computing = [], threading.Event()
    result = jasgd.train(loss_fn, jnp.ones(3), optax.sgd(0.1), lambda ticket: np.int32(ticket), scheme=factory,
                         workers=2, steps=99, throw=False)  # fmt: skip
    assert result.outcome == "diverged"
    assert result.execution.commits == 2
    assert result.execution.metadata["params_version"] == 2


def test_many_leaves_which_xla_spreads_over_its_pool_train_under_every_scheme():
    params = {str(i): jnp.zeros((i + 1, 3)) for i in range(20)}
    tx = tail(optax.sgd(1e-2, momentum=0.5))
    for name in NAMES:
        result = jasgd.train(
            lambda p, b: sum(jnp.sum((leaf - b) ** 2) for leaf in p.values()), params, tx, lambda t: np.float32(1),
            scheme=native(name), workers=6, steps=300,
        )  # fmt: skip
        result.execution.validate()
        assert result.execution.loss[-1] < 0.5 * result.execution.loss[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_that_is_not_finite_ends_the_run_with_the_last_good_parameters(name):
    def loss_fn(w, b):
        return jnp.sum(w) / b

    def batches(ticket):
        return np.float32(0 if ticket == 30 else 1)

    def run(scheme):
        return jasgd.train(
            loss_fn, jnp.ones(3), optax.sgd(0.5), batches, scheme=scheme, workers=1, steps=99, throw=False
        )

    expected, result = run(name), run(native(name))
    assert result.outcome == "diverged"
    assert result.message == expected.message
    assert result.execution.metadata["params_version"] == expected.execution.metadata["params_version"] == 29
    np.testing.assert_array_equal(result.params, expected.params)
    through = jasgd.train(loss_fn, jnp.ones(3), optax.apply_if_finite(optax.sgd(0.5), 5), batches, scheme=native(name),
                          workers=1, steps=60, on_nonfinite="pass")  # fmt: skip
    assert through.outcome == "finished"
    assert np.isfinite(through.params).all()
    assert not np.isfinite(through.execution.loss[30])


@pytest.mark.parametrize("name", NAMES)
def test_an_update_that_raises_keeps_nobody_waiting(name):
    calls = iter(range(10**6))

    def failing(_):
        if threading.current_thread().name.startswith("jasgd-worker") and next(calls) == 20:
            raise OSError("no disk")
        return np.float32(0)

    def update(updates, state, params=None, *, staleness, **extra):
        zero = jax.pure_callback(failing, jax.ShapeDtypeStruct((), jnp.float32), staleness)  # so behind its Begin
        return jax.tree.map(lambda u: -0.1 * u + zero, updates), state

    tx = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    result = jasgd.train(lambda w, b: jnp.sum(w**2), jnp.ones(3), tx, lambda t: np.float32(0), scheme=native(name),
                         workers=4, steps=400, throw=False)  # fmt: skip
    assert (result.outcome, result.stuck) == ("failed", ())
    assert "no disk" in result.message
    assert np.isfinite(result.params).all()
    # 19 updates have ended before; three may be under way, and of four that begin together one at least is published.
    assert len(result.execution) >= 4


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_target_and_time_limit_end_a_run(name):
    params, loss_fn, batches = network()
    evaluate = jax.jit(lambda p: loss_fn(p, batches(10**6)))
    options = {"scheme": native(name), "workers": 3, "evaluate": evaluate, "evaluate_every_s": 0.02}
    reached = jasgd.train(loss_fn, params, tail(), batches, target_loss=0.5, time_limit_s=60, **options)
    assert reached.outcome == "converged"
    assert reached.evaluations[-1]["loss"] <= 0.6
    limited = jasgd.train(loss_fn, params, tail(), batches, time_limit_s=0.3, **options)
    assert limited.outcome == "finished"
    limited.execution.validate()
    assert limited.evaluations[-1]["version"] == limited.execution.commits
    total = sum(np.nansum(limited.timings[name]) for name in ("batch_s", "read_s", "compute_s", "commit_s"))
    assert 0.5 < total / (3 * limited.duration_s) < 1.2


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


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (
            lambda: jasgd.schemes.named("sequential", native=True),
            "scheme 'sequential' has no options; got 'native'",
        ),
        (lambda: native("synchronous", max_staleness=1), "has the options native; got 'max_staleness'"),
        (
            lambda: jasgd.schemes.named("leashed", native="yes"),
            "native must be true, false or none, got 'yes'",
        ),
        (
            lambda: jasgd.schemes.locked(reading="carry", native=True),
            "reading must be 'copy' or 'reference' with native rounds, got 'carry'",
        ),
        (lambda: native("leashed", persistence=-1), "persistence must be an integer ≥ 0"),
        (lambda: native("hogwild", max_staleness=-1), "max_staleness must be an integer ≥ 0"),
        (lambda: jasgd.testing.watched(native("locked"), lambda point, worker: None), "for a scheme that is watched"),
    ],
)
def test_what_cannot_work_is_refused(factory, message):
    with pytest.raises(ValueError, match=message):
        jasgd.train(lambda w, b: jnp.sum(w**2), jnp.ones(2), optax.sgd(0.1), lambda t: 0.0, scheme=factory(), workers=1,
                    steps=1)  # fmt: skip


def test_arrays_that_it_cannot_hold_are_refused():
    def train(scheme, params, tx):
        return jasgd.train(lambda w, b: jnp.sum(w.astype(jnp.float32) ** 2), params, tx, lambda t: 0.0,
                           scheme=native(scheme), workers=1, steps=3)  # fmt: skip

    with pytest.raises(ValueError, match="'hogwild' unless all parameters are float32 or all float64, got bfloat16"):
        train("hogwild", jnp.ones(2, jnp.bfloat16), optax.sgd(0.1))
    assert train("locked", jnp.ones(2, jnp.bfloat16), optax.sgd(0.1)).params.dtype == jnp.bfloat16
    keyed = optax.GradientTransformationExtraArgs(
        lambda params: jax.random.key(0), lambda u, s, p=None, **extra: (u, s)
    )
    with pytest.raises(ValueError, match="native must be False for arrays of dtype key"):
        train("leashed", jnp.ones(2), keyed)


def test_the_library_is_compiled_once_and_kept(tmp_path, monkeypatch):
    file = native_build.compiled(tmp_path / "made")
    assert file.parent == tmp_path / "made"
    assert ctypes.CDLL(str(file)).JasgdNow
    monkeypatch.setenv("CXX", "false")  # a compiler that fails
    assert native_build.compiled(tmp_path / "made") == file  # is not asked again
    with pytest.raises(RuntimeError, match="native must be False, as false could not compile"):
        native_build.compiled(tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RuntimeError, match="no-such-compiler could not compile"):
        native_build.compiled(tmp_path / "other")
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        RuntimeError, match=r"there is no C\+\+ compiler: none of c\+\+, g\+\+, clang\+\+ is on the path"
    ):
        native_build.compiled(tmp_path / "other")


def test_a_library_that_is_not_whole_is_compiled_again(tmp_path):
    script = """
import jasgd; jasgd.configure_cpu()
import jax.numpy as jnp, optax
from jasgd.schemes.native import build
file = build.compiled(build.cache_folder())
file.write_bytes(b"cut off")
result = jasgd.train(lambda w, b: (w ** 2).sum(), jnp.ones(3), optax.sgd(0.1), lambda t: 0.0, workers=2, steps=9)
print(result.execution.metadata["native"], result.execution.metadata["why_not_native"], len(file.read_bytes()) > 10_000)
"""
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=environment)
    assert told.stdout.split() == ["True", "True"], told.stderr


def test_a_folder_that_cannot_be_written_to_is_no_obstacle(tmp_path):
    (tmp_path / "file").write_text("")
    file = native_build.compiled(tmp_path / "file" / "native")  # no folder can be made in a file
    try:
        assert ctypes.CDLL(str(file)).JasgdNow
    finally:
        file.unlink()


@pytest.mark.parametrize("name", ["leashed", "synchronous"])
def test_workers_whose_dispatch_is_asynchronous_are_waited_for(name):
    script = f"""
import warnings; warnings.simplefilter("ignore")
import jax.numpy as jnp, optax, jasgd
result = jasgd.train(lambda w, b: ((w - b) ** 2).sum(), jnp.zeros(3), optax.sgd(0.1), lambda t: jnp.ones(3),
                     scheme=jasgd.schemes.{name}(native=True), workers=3, steps=200)
result.execution.validate()
print(result.outcome.value, round(float(result.params[0]), 3))
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert told.stdout.split() == ["finished", "1.0"], told.stderr

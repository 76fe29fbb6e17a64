"""Native synchronous rounds: workers meet in compiled code, to the bits of Python's rounds, and none waits for ever."""

import functools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import same_bits
from support.every_scheme import needs_compiler
from support.native_rounds import in_threads, native, store, tail, until
from support.problems import network

import jasgd
from jasgd.core.messages import Closed
from jasgd.schemes.native.store import NativeStore

pytestmark = needs_compiler


def waiting(scheme):
    """How many workers of a synchronous scheme wait for the others: none has seen its gradient taken yet."""
    return scheme._library.JasgdArrived(scheme._store)


@pytest.mark.newest
def test_synchronous_workers_that_compute_the_gradient_themselves_meet():
    scheme, gradient = store("synchronous", workers=3)
    first = [gradient(worker) for worker in range(3)]
    outcomes = in_threads(*(functools.partial(scheme.commit, computed) for computed in first))
    assert [(d.version, d.staleness, d.factor, d.tries) for d in outcomes] == [(0, 0, 1.0, 1)] * 3
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

    def late(caller):
        if int(caller[2]) == 1:
            until(lambda: scheme.snapshot().version == len(order) // 2 + 1)
        order.append(int(caller[2]))
        return again(caller)

    scheme._again = late
    for version in range(3):
        outcomes = in_threads(*(functools.partial(scheme.commit, gradient(worker)) for worker in range(2)))
        assert [(d.version, d.factor) for d in outcomes] == [(version, pytest.approx(1 / (version + 1)))] * 2
    assert order == [0, 1] * 3


def test_closing_gives_up_a_synchronous_round_that_has_not_met_and_wakes_who_waits():
    scheme, gradient = store("synchronous", workers=3)

    def close():
        until(lambda: waiting(scheme) == 2)
        scheme.close("enough")

    outcomes = in_threads(*(functools.partial(scheme.commit, gradient(worker)) for worker in range(2)), close)
    assert [str(error) for error in outcomes[:2]] == ["enough", "enough"]
    assert all(isinstance(error, Closed) for error in outcomes[:2])
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


@pytest.mark.filterwarnings("ignore:batches are of 2 shapes:RuntimeWarning")  # what it is about
@pytest.mark.parametrize("later", [np.ones((5, 3), np.float32), jnp.ones((2, 3)), np.float32(1)], ids=lambda b: type(b))
def test_synchronous_workers_go_on_where_a_batch_is_of_another_kind_than_the_first(later):
    """A call with a new kind of array waits in JAX for the first such call to end, which is in the barrier."""

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
            until(lambda: instances[0].snapshot().version == 6)
            raise OSError("no disk")
        return np.float32(-0.1)

    def update(updates, state, params=None, *, value, **extra):
        # Asks for the mean loss, so that it is called after the barrier.
        factor = jax.pure_callback(failing, jax.ShapeDtypeStruct((), jnp.float32), value)
        return jax.tree.map(lambda u: factor * u, updates), state

    def factory(setup):
        instances.append(native("synchronous")(setup))
        return instances[-1]

    instances, tx = [], optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
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
            until(lambda: instances[0]._ledger.closed)
        return np.float32(0)

    def loss_fn(w, ticket):
        held = jax.pure_callback(hold, jax.ShapeDtypeStruct((), jnp.float32), ticket)
        return jnp.sum(w**2) + held + jnp.where(ticket == 4, jnp.nan, 0.0)

    def factory(setup):
        instances.append(native("synchronous")(setup))
        return instances[-1]

    instances, computing = [], threading.Event()
    result = jasgd.train(loss_fn, jnp.ones(3), optax.sgd(0.1), lambda ticket: np.int32(ticket), scheme=factory,
                         workers=2, steps=99, throw=False)  # fmt: skip
    assert result.outcome == "diverged"
    assert result.execution.commits == 2
    assert result.execution.metadata["params_version"] == 2

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
from jasgd.training.run import Run

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


def test_the_worker_that_comes_last_computes_the_update_for_all():
    scheme, gradient = store("synchronous", rule=lambda staleness, law: 1.0 / law.updates)
    again, computed = scheme._again, []

    def counted(caller):
        computed.append(int(caller[2]))
        return again(caller)

    scheme._again = counted
    for version in range(3):

        def last(version=version):
            until(lambda: waiting(scheme) == 1)
            return scheme.commit(gradient(version % 2))

        outcomes = in_threads(functools.partial(scheme.commit, gradient(1 - version % 2)), last)
        assert [(d.version, d.factor) for d in outcomes] == [(version, pytest.approx(1 / (version + 1)))] * 2
    assert computed == [0, 1, 0]


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


@pytest.mark.parametrize("own_threads", [True, False])
def test_waiting_for_the_update_of_a_round_is_no_time_of_the_next_gradient(own_threads, monkeypatch):
    if not own_threads:  # a read does not wait then; its worker does, before the rows are gathered again
        monkeypatch.setattr(NativeStore, "_enter", lambda self, worker: None)
    waited, note = [], Run.note_handed_in
    monkeypatch.setattr(Run, "note_handed_in", lambda run, *args: waited.append(note(run, *args)) or waited[-1])
    rows = np.random.default_rng(0).normal(size=(512, 300)).astype(np.float32)
    batches = jasgd.minibatches(rows, batch_size=256, seed=0)
    result = jasgd.train(lambda w, b: jnp.mean(jnp.tanh(b @ w @ w) ** 2), jnp.eye(300), optax.sgd(0.1), batches,
                         scheme=native("synchronous"), workers=2, steps=50)  # fmt: skip
    assert max(waited) > 0
    phases = np.array([result.timings[name] for name in ("batch_s", "read_s", "compute_s", "commit_s")])
    assert (phases >= 0).all()
    worked_s = [phases[:, result.execution.worker == worker].sum() for worker in range(2)]
    assert max(worked_s) <= result.duration_s * 1.01 + 0.01


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


def own_scheme(change=lambda scheme: None):
    """A factory of the scheme, which changes what it makes, and a list of what it has made."""

    def factory(setup):
        instances.append(native("synchronous")(setup))
        change(instances[-1])
        return instances[-1]

    instances = []
    return factory, instances


def test_a_gradient_that_was_applied_has_a_row_though_the_worker_that_writes_it_fails():
    def fail_once(scheme):
        record = scheme._record

        def failing(version, factor):
            if version == 5 and threading.current_thread().name.startswith("jasgd-worker"):
                raise OSError("no disk")
            record(version, factor)

        scheme._record = failing

    params, loss_fn, batches = network()
    tx = optax.sgd(0.1)
    factory, _ = own_scheme(fail_once)
    result = jasgd.train(loss_fn, params, tx, batches, scheme=factory, workers=2, steps=99, throw=False)
    assert result.outcome == "failed"
    assert "no disk" in result.message
    execution = result.execution
    execution.validate()
    assert execution.version.tolist() == [k for k in range(6) for _ in range(2)]
    assert sorted(execution.ticket.tolist()) == list(range(12))
    assert (execution.factor == 1).all()
    before = jasgd.replay(result, loss_fn, tx, batches, upto=5)
    row = int(np.flatnonzero(execution.ticket == 11)[0])
    assert np.float32(execution.loss[row]) == jax.jit(loss_fn)(before.params, batches(11))


def test_a_round_whose_update_fails_is_given_up_as_a_whole():
    calls = []

    def failing(value):
        calls.append(threading.current_thread().name)
        if len([name for name in calls if name.startswith("jasgd-worker")]) == 6:
            raise OSError("no disk")
        return np.float32(-0.1)

    def update(updates, state, params=None, *, value, **extra):
        factor = jax.pure_callback(failing, jax.ShapeDtypeStruct((), jnp.float32), value)
        return jax.tree.map(lambda u: factor * u, updates), state

    tx = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    params, loss_fn, batches = network()
    result = jasgd.train(loss_fn, params, tx, batches, scheme=native("synchronous"), workers=2, steps=99, throw=False)
    assert result.outcome == "failed"
    assert "no disk" in result.message
    execution = result.execution
    execution.validate()
    assert execution.version.tolist() == [k for k in range(5) for _ in range(2)]
    assert sorted(execution.metadata["in_flight"]) == [[0, 5], [1, 5]]


def test_no_worker_takes_a_ticket_of_a_round_that_others_have_not_begun():
    """Worker B is held before its ticket of round 1, until the other has handed in its gradient of that round."""
    taken, entered = [], threading.Event()

    def hold(scheme):
        record = scheme._record

        def held(version, factor):
            record(version, factor)
            if version == 0 and threading.current_thread().name.startswith("jasgd-worker"):
                until(lambda: waiting(scheme) == 1)
                assert not entered.wait(0.2)  # a ticket that is B's

        scheme._record = held

    params, loss_fn, draw = network()

    def batches(ticket):
        if threading.current_thread().name.startswith("jasgd-worker"):
            taken.append(ticket)
            if len(taken) == 4:
                entered.set()
        return draw(ticket)

    factory, _ = own_scheme(hold)
    result = jasgd.train(loss_fn, params, optax.sgd(0.1), batches, scheme=factory, workers=2, steps=5)
    execution = result.execution
    assert execution.version[np.argsort(execution.ticket)].tolist() == [k for k in range(5) for _ in range(2)]


def test_batches_that_end_while_a_gradient_waits_for_others_do_not_undo_its_round():
    asked, closed = threading.Event(), threading.Event()

    def tell(scheme):
        close = scheme.close

        def told(reason):
            close(reason)
            closed.set()

        scheme.close = told

    def hold(ticket):
        if int(ticket) in (4, 5) and threading.current_thread().name.startswith("jasgd-worker"):
            held.append(int(ticket))
            if len(held) == 2:  # the last of this round computes on until the other has asked for the next ticket
                assert asked.wait(30)
                closed.wait(0.3)
        return np.float32(0)

    def loss_fn(w, ticket):
        return jnp.sum(w**2) + jax.pure_callback(hold, jax.ShapeDtypeStruct((), jnp.float32), ticket)

    def batches(ticket):
        if ticket >= 6:
            asked.set()
            raise OSError("no more")
        return np.int32(ticket)

    held, (factory, _) = [], own_scheme(tell)
    options = {"scheme": factory, "workers": 2, "steps": 99, "throw": False}
    result = jasgd.train(loss_fn, jnp.ones(3), optax.sgd(0.1), batches, **options)
    assert "no more" in result.message
    assert result.execution.commits == 3
    assert sorted(result.execution.ticket.tolist()) == list(range(6))


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

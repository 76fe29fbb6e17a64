"""Schemes whose rounds are one compiled call: the same promises as in Python, and what is theirs alone.

Rounds have no points to wait at; where an interleaving matters, a callback in the transformation or the loss, which
runs in the worker's own thread, waits.
"""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import same_bits
from support.every_scheme import needs_compiler
from support.native_rounds import ASYNCHRONOUS, NAMES, native, tail
from support.optax_loop import optimizers
from support.problems import counting, network
from support.python_process import run_python

import jasgd

pytestmark = needs_compiler


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
    balance = execution.conservation()
    assert (
        balance["applied"] + balance["dropped"] + balance["in_flight"] + balance["gaps"]
        == balance["total"]
        == (8 - rows) * steps
    )
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
    # Others may add between its claim and its copy; what a copy shows was claimed before its own gradient's version.
    assert (result.aux["max"] <= execution.version).all()
    assert 0 < float(result.params["a"].max()) <= steps  # an add may be lost, none is made twice
    assert set(result.counters) == {"overlapped_reads", "lost_state_updates"}
    applied = steps - int(np.asarray(result.opt_state[0].law.updates))
    assert applied == result.counters["lost_state_updates"]


def test_a_hogwild_read_takes_the_number_of_claims():
    """With one worker nothing comes between: each read is of the version that its commit then claims."""
    result = count(native("hogwild"), workers=1, steps=50)
    assert result.execution.version_read.tolist() == list(range(50))
    np.testing.assert_array_equal(result.aux["min"], result.execution.version_read)


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
        jax.debug.callback(
            lambda *values: seen.append(values), params["w"][0], read_params["w"][0], value, ordered=False
        )
        return jax.tree.map(lambda p, g: 1.0 + 0 * p + 0 * g, params, updates), state

    tx = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    result = jasgd.train(lambda p, b: p["w"].sum() + b, {"w": jnp.zeros(3)}, tx, lambda t: np.float32(0.5),
                         scheme=native(name), workers=1, steps=4)  # fmt: skip
    jax.effects_barrier()
    warm = 2 if name == "synchronous" else 3  # calls before the clock starts
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
    first, overtaken, gone_on = threading.Event(), threading.Event(), threading.Event()
    counts = {"jasgd-worker-0": 0, "jasgd-worker-1": 0}

    def called(_):
        name = threading.current_thread().name
        if name not in counts:
            if not any(thread.name in counts for thread in threading.enumerate()):  # while the trainer warms up
                return np.float32(0)
            # A thread of XLA's pool: of worker 1 while worker 0 waits here, and before that of worker 0.
            name = "jasgd-worker-1" if first.is_set() and not overtaken.is_set() else "jasgd-worker-0"
        if name == "jasgd-worker-1":  # which draws no batch, and so does not wait there, if it gets the first ticket
            assert first.wait(30)
        counts[name] += 1
        if name == "jasgd-worker-0" and counts[name] == 1:
            first.set()
            assert overtaken.wait(30)
        if name == "jasgd-worker-1" and counts[name] == 3:  # its third update, so that two are committed
            overtaken.set()
        return np.float32(0)

    def batches(ticket):
        if threading.current_thread().name == "jasgd-worker-1":
            assert first.wait(30)
            # It goes on when worker 0 is done with its first gradient: it might take all steps before else.
            assert not overtaken.is_set() or gone_on.wait(30)
        elif overtaken.is_set():
            gone_on.set()
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
    balance = result.execution.conservation()
    assert (
        balance["applied"] + balance["dropped"] + balance["in_flight"] + balance["gaps"] == balance["total"] == 7 * 2000
    )
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
        zero = jax.pure_callback(failing, jax.ShapeDtypeStruct((), jnp.float32), staleness)  # so after its Begin
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
    process = run_python("-c", script)
    assert process.stdout.split() == ["finished", "1.0"], process.stderr

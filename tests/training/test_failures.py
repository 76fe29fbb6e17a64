"""A run in which something goes wrong says what it was, and keeps what was learned until then."""

import itertools
import re
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, ids
from support.training_runs import mean_square, train

import jasgd
from jasgd import TrainResult

PARALLEL = [name for name in EVERY if name != "sequential"]


def failing(call, error="the disk is gone"):
    """A transformation whose update raises when it is called for the ``call``-th time."""
    calls = itertools.count(1)

    def check(x):
        if next(calls) == call:
            raise OSError(error)
        return x

    def update(updates, state, params=None, **extra):
        del params, extra
        value = jax.pure_callback(check, jax.ShapeDtypeStruct((), jnp.float32), jnp.float32(0))
        return jax.tree.map(lambda u: -0.05 * u + 0 * value, updates), state + 1

    return optax.GradientTransformationExtraArgs(lambda params: jnp.zeros((), jnp.int32), update)


@pytest.mark.parametrize("scheme", ids(EVERY))
def test_an_update_that_fails_ends_the_run_with_its_error_and_the_parameters(scheme, tmp_path):
    workers = 1 if scheme == "sequential" else 3
    result = train(failing(20), scheme=EVERY[scheme], workers=workers, steps=100_000)
    assert result.outcome == "failed"
    assert "the disk is gone" in result.traceback
    # How far the others get before the one that failed has said so, is up to the system's scheduler.
    assert 0 < result.execution.commits < 50_000
    assert np.isfinite(result.params).all()
    assert float(mean_square(result.params, 1.0)) < 1
    loaded = TrainResult.load(result.save(tmp_path))
    assert len(loaded.execution) == len(result.execution)
    if scheme == "locked":  # without native rounds its state was given away to the update that failed
        assert result.opt_state is None
        assert result.execution.metadata["params_version"] > 0
    else:
        assert int(result.opt_state) > 0


def test_a_hole_that_a_failed_hogwild_commit_leaves_is_recorded(tmp_path):
    """The failing update waits until others have claimed later versions and committed."""
    later, calls = threading.Event(), itertools.count(1)

    class Noted(jasgd.schemes.Hogwild):
        def commit(self, gradient):
            done = super().commit(gradient)
            if done.version > 200:
                later.set()
            return done

    def check(x):
        if next(calls) == 30:
            assert later.wait(60)
            raise OSError("the disk is gone")
        return x

    def update(updates, state, params=None, **extra):
        value = jax.pure_callback(check, jax.ShapeDtypeStruct((), jnp.float32), jnp.float32(0))
        return jax.tree.map(lambda u: -0.05 * u + 0 * value, updates), state

    tx = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    result = train(tx, scheme=Noted, workers=3, steps=100_000)
    assert result.outcome == "failed"
    (hole,) = result.execution.metadata["unfinished"]
    assert hole not in result.execution.version
    assert len(result.execution) == result.execution.commits - 1
    balance = TrainResult.load(result.save(tmp_path)).execution.conservation()
    assert balance["applied"] + balance["dropped"] + balance["in_flight"] + balance["gaps"] == balance["total"]
    # Any other gap is still found.
    with pytest.raises(jasgd.ExecutionError, match="does not follow"):
        type(result.execution)(
            **{**vars(result.execution), "metadata": result.execution.metadata | {"unfinished": []}}
        ).validate()


# --- threads, keys, iterators


@pytest.mark.parametrize("scheme", ids(PARALLEL))
def test_workers_compute_under_the_settings_of_the_thread_that_called(scheme):
    enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    seen = set()

    def batches(ticket):
        if threading.current_thread().name.startswith("jasgd-worker"):
            seen.add(jax.config.jax_default_matmul_precision)
        return np.ones(3)

    with enable_x64(True), jax.default_matmul_precision("highest"):
        result = train(batches=batches, start=jnp.zeros(3, jnp.float64), scheme=EVERY[scheme])
    assert result.params.dtype == jnp.float64
    assert seen == {"highest"}
    assert jax.config.jax_default_matmul_precision is None


@pytest.mark.parametrize("scheme", ["synchronous", "locked", "hogwild", "leashed"])
def test_a_typed_random_key_in_the_optimizer_state_is_no_obstacle(scheme, tmp_path):
    tx = optax.noisy_sgd(0.05, key=jax.random.key(3))
    result = train(tx, scheme=scheme, throw=True)
    folder = result.save(tmp_path)
    loaded = TrainResult.load(folder, params_like=jnp.zeros(3), opt_state_like=tx.init(jnp.zeros(3)))
    keys = [leaf for leaf in jax.tree.leaves(loaded.opt_state) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
    assert len(keys) == 1
    expected = next(x for x in jax.tree.leaves(result.opt_state) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key))
    np.testing.assert_array_equal(jax.random.key_data(keys[0]), jax.random.key_data(expected))


def test_an_iterator_may_use_its_memory_again():
    """Every batch is its ticket, written into one aligned buffer; the loss is the batch."""
    buffer = jasgd.data.aligned_empty((50_000,), np.float32)

    def items():
        for i in itertools.count():
            buffer[:] = i
            yield buffer

    result = jasgd.train(
        lambda w, b: jnp.mean(b) + 0 * jnp.sum(w), jnp.zeros(3), optax.sgd(0.1), items(), workers=4, steps=300
    )
    np.testing.assert_allclose(result.execution.loss, result.execution.ticket, rtol=1e-5)


def test_numpy_integers_are_integers(tmp_path):
    result = train(workers=np.int64(2), steps=np.int32(20), seed=np.int64(5))
    assert TrainResult.load(result.save(tmp_path)).execution.metadata["seed"] == 5


# --- the door


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"start": jnp.zeros(3, jnp.complex64)}, TypeError, "params must be of a floating-point dtype, got complex64"),
        (
            {"scheme": jasgd.schemes.leashed(persistence=float("inf"))},
            ValueError,
            "persistence must be .* got inf",
        ),
        ({"scheme": jasgd.schemes.leashed(persistence=1.0)}, ValueError, r"persistence must be .* got 1\.0"),
        ({"steps": None, "time_limit_s": float("inf")}, ValueError, "time_limit_s must be finite, or None"),
        ({"batches": iter(())}, jasgd.BatchesExhausted, "batches ran out: the iterator ended after 0 items"),
    ],
)
def test_what_cannot_work_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        train(**options)


@pytest.mark.parametrize("name", ["version", "time_s"])
def test_an_evaluation_cannot_take_the_record_s_own_names(name):
    result = train(evaluate=lambda w: {"loss": 0.0, name: -7.0})
    assert result.outcome == "failed"
    assert f"evaluate must give names other than time_s and version, got ['{name}']" in result.message


@pytest.mark.parametrize(
    ("evaluation", "got"),
    [
        ((0.5, 0.9), "tuple"),
        (jnp.ones(1), r"float32\[1\]"),
        (np.ones((1, 1)), r"float64\[1, 1\]"),
        (None, "NoneType"),
        ("low", "str"),
        ({"loss": 0.5, "accuracy": (1, 2)}, "tuple for 'accuracy'"),
    ],
)
def test_an_evaluation_that_is_no_number_names_evaluate(evaluation, got):
    result = train(evaluate=lambda w: evaluation)
    assert result.outcome == "failed"
    message = rf"evaluate must give a number, or a mapping of names to numbers, got {got}$"
    assert re.search(message, result.message)
    assert isinstance(result.error, TypeError)


@pytest.mark.parametrize("evaluation", [1, True, np.float32(1), jnp.ones(()), np.ones((), np.int32)])
def test_an_evaluation_may_be_any_scalar(evaluation):
    assert train(evaluate=lambda w: evaluation).evaluations[0]["loss"] == 1.0


def test_minibatches_take_jax_arrays_and_refuse_a_size_that_is_no_integer():
    images, labels = jasgd.minibatches((jnp.ones((6, 2)), jnp.arange(6)), 4)(0)
    assert (type(images), images.shape, labels.dtype) == (np.ndarray, (4, 2), np.int32)
    for size in (2.0, True, 0, 7):
        with pytest.raises(ValueError, match="batch_size must be an integer in 1…6"):
            jasgd.minibatches((np.ones(6),), size)


def test_ctrl_c_in_the_last_evaluation_is_not_swallowed():
    calls = itertools.count()

    def evaluate(params):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return 1.0

    result = train(evaluate=evaluate, evaluate_every_s=100)
    assert result.outcome == "stopped"
    assert "all 40 steps were taken, then stopped by Ctrl-C" in result.message
    assert result.execution.commits == 40


@pytest.mark.parametrize("scheme", ids(PARALLEL))
def test_an_update_that_never_ends_is_named_and_does_not_keep_the_run(scheme, monkeypatch):
    monkeypatch.setattr(jasgd.training.engines.supervisor, "GRACE_S", 0.2)
    monkeypatch.setattr(jasgd.core.scheme, "HELD_S", 0.2)
    release, calls = threading.Event(), itertools.count(1)

    def never_ending_update(x):
        if next(calls) == 10:
            release.wait(60)
        return x

    def update(updates, state, params=None, **extra):
        value = jax.pure_callback(never_ending_update, jax.ShapeDtypeStruct((), jnp.float32), jnp.float32(0))
        return jax.tree.map(lambda u: -0.05 * u + 0 * value, updates), state

    tx = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    try:
        result = train(tx, scheme=EVERY[scheme], steps=None, time_limit_s=0.5)
        assert any("never_ending_update" in worker.stack or "commit" in worker.stack for worker in result.stuck)
        assert "could not be stopped" in result.message
        in_flight = {worker for worker, _ in result.execution.metadata["in_flight"]}
        assert all(w.worker in in_flight or "in read" in w.stack for w in result.stuck)  # who waits to read has nothing
        assert np.isfinite(result.params).all()
        rows = len(result.execution)
    finally:
        release.set()
    assert len(result.execution) == rows
    # Its own mutex guards what would be read at the end; native rounds guard no reading of what is current.
    assert result.outcome == ("failed" if scheme == "locked" else "finished")

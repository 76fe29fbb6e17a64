"""Runs of the same functions compile them once, let go of them with the functions, and never run a stale one."""

import functools
import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.compilations import compilations

import jasgd
from jasgd.cluster import Cluster, exponential
from jasgd.compiling.fingerprints import fingerprint
from jasgd.compiling.shared_runs import _compiled
from jasgd.compiling.weak_functions import WeakFunction


def make_loss(scale=1.0):
    def loss_fn(w, batch):
        return jnp.mean((scale * w - batch) ** 2)

    return loss_fn


def make_tx(rate=0.1):
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.inverse()), optax.sgd(rate, momentum=0.5))


def batches(ticket):
    return jnp.full(3, 1.0 + ticket % 2)


def trained(loss_fn, tx, *, scheme="leashed", workers=2, steps=20, **more):
    return jasgd.train(loss_fn, jnp.zeros(3), tx, batches, scheme=scheme, workers=workers, steps=steps, **more)


SCHEMES = [
    "leashed", "leashed:native=false", "locked", "locked:native=false", "hogwild", "hogwild:native=false",
    "synchronous", "synchronous:native=false",
]  # fmt: skip


@pytest.mark.newest
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_second_train_compiles_nothing(scheme):
    loss_fn, tx = make_loss(), make_tx()
    with compilations() as first:
        trained(loss_fn, tx, scheme=scheme)
    with compilations() as second:
        trained(loss_fn, tx, scheme=scheme)
    assert first
    assert second == []


def test_a_second_replay_compiles_nothing_and_comes_to_the_same_bits():
    loss_fn, tx = make_loss(), make_tx()
    result = trained(loss_fn, tx)
    assert jasgd.replay(result, loss_fn, tx, batches).exact
    with compilations() as second:
        assert jasgd.replay(result, loss_fn, tx, batches).exact
    assert second == []


@pytest.mark.parametrize("lanes", ["threads", "vmap"])
@pytest.mark.parametrize("rates", [None, (0.1, 0.2)])
def test_a_second_simulation_compiles_nothing_and_comes_to_the_same_bits(lanes, rates):
    loss_fn, tx = make_loss(), make_tx() if rates is None else make_tx
    arrays = jasgd.minibatches(np.arange(60, dtype=np.float32).reshape(20, 3) / 60, 4, seed=0)

    def simulated():
        return jasgd.simulate(
            loss_fn, jnp.zeros(3), tx, arrays, cluster=Cluster(compute_s=exponential(1.0)), workers=4, steps=30,
            seeds=(0, 1), learning_rates=rates, lanes=lanes,
        )  # fmt: skip

    first = simulated()
    with compilations() as names:
        second = simulated()
    assert names == []
    for one, other in zip(first, second, strict=True):
        assert np.asarray(one.params).tobytes() == np.asarray(other.params).tobytes()


def test_a_loss_with_a_key_and_a_model_state_is_compiled_once():
    def loss_fn(w, batch, key, model_state):
        noise = jax.random.normal(key, w.shape)
        return jnp.mean((w + 0.01 * noise - batch) ** 2), {"seen": model_state["seen"] + 1}

    tx, merge = make_tx(), jasgd.moving_averages(0.9)
    more = {"model_state": {"seen": jnp.zeros((), jnp.int32)}, "merge": merge}
    trained(loss_fn, tx, **more)
    with compilations() as second:
        result = trained(loss_fn, tx, **more)
    assert second == []
    assert jasgd.replay(result, loss_fn, tx, batches, merge=merge).exact


def test_functions_that_are_made_alike_are_not_taken_for_each_other():
    tx = make_tx()
    one, other = (trained(make_loss(scale), tx, workers=1) for scale in (1.0, 2.0))
    assert not np.allclose(one.params, other.params)


class Scaled:
    """Losses that are equal to each other whatever they compute."""

    def __init__(self, scale):
        self.scale = scale

    def __eq__(self, other):
        return isinstance(other, Scaled)

    def __hash__(self):
        return 0

    def loss(self, w, batch):
        return jnp.mean((self.scale * w - batch) ** 2)


def test_a_method_is_the_same_as_long_as_its_object_is():
    one, other, tx = Scaled(1.0), Scaled(2.0), make_tx()
    first = trained(one.loss, tx, workers=1)
    with compilations() as names:
        second = trained(one.loss, tx, workers=1)
    assert names == []
    assert np.asarray(first.params).tobytes() == np.asarray(second.params).tobytes()
    assert not np.allclose(trained(other.loss, tx, workers=1).params, first.params)  # of an object that is equal
    one.scale = 2.0
    assert not np.allclose(trained(one.loss, tx, workers=1).params, first.params)  # of the same, which was changed


def test_a_partial_is_the_same_as_long_as_it_is_the_same_object():
    def loss(w, batch, *, scale):
        return jnp.mean((scale * w - batch) ** 2)

    one, other, tx = functools.partial(loss, scale=1.0), functools.partial(loss, scale=2.0), make_tx()
    first = trained(one, tx, workers=1)
    with compilations() as names:
        trained(one, tx, workers=1)
    assert names == []
    assert not np.allclose(trained(other, tx, workers=1).params, first.params)


@pytest.mark.parametrize("scheme", ["leashed", "leashed:native=false"])
def test_a_variable_that_was_changed_is_not_missed(scheme):
    settings, data = {"scale": 1.0}, np.ones(3, np.float32)

    def loss_fn(w, batch):
        return jnp.mean((settings["scale"] * w - batch * data) ** 2)

    tx = make_tx()
    first = trained(loss_fn, tx, scheme=scheme, workers=1)
    settings["scale"] = 2.0
    second = trained(loss_fn, tx, scheme=scheme, workers=1)
    data[:] = 3.0  # where it lies
    third = trained(loss_fn, tx, scheme=scheme, workers=1)
    assert not np.allclose(first.params, second.params)
    assert not np.allclose(second.params, third.params)
    settings["scale"], data[:] = 1.0, 1.0
    with compilations() as names:
        again = trained(loss_fn, tx, scheme=scheme, workers=1)
    assert names == []  # the first was kept
    assert np.asarray(again.params).tobytes() == np.asarray(first.params).tobytes()


@pytest.mark.newest
def test_a_variable_of_a_transformation_or_of_a_derivative_is_not_missed():
    settings = {"rate": 0.1, "slope": 1.0}

    @jax.custom_vjp
    def scaled(x):
        return x

    scaled.defvjp(lambda x: (x, None), lambda _, g: (settings["slope"] * g,))

    def loss_fn(w, batch):
        return jnp.mean((scaled(w) - batch) ** 2)

    def update(grads, state, params=None, **extras):
        return jax.tree.map(lambda g: -settings["rate"] * g, grads), state

    tx = optax.GradientTransformationExtraArgs(lambda params: (), update)
    results = [trained(loss_fn, tx, workers=1)]
    settings["rate"] = 0.2
    results.append(trained(loss_fn, tx, workers=1))
    settings["slope"] = 0.0
    results.append(trained(loss_fn, tx, workers=1))
    assert not np.allclose(results[0].params, results[1].params)
    assert np.allclose(results[2].params, 0.0)


def test_shapes_dtypes_and_settings_of_jax_are_not_mixed_up():
    loss_fn, tx = make_loss(), make_tx()
    trained(loss_fn, tx, workers=1)
    wide = jasgd.train(loss_fn, jnp.zeros(5), tx, lambda ticket: jnp.ones(5), workers=1, steps=5)
    assert wide.params.shape == (5,)
    half = jasgd.train(
        loss_fn, jnp.zeros(3, jnp.bfloat16), tx, lambda ticket: jnp.ones(3, jnp.bfloat16), workers=1, steps=5
    )
    assert half.params.dtype == jnp.bfloat16
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        double = jasgd.train(
            loss_fn, jnp.zeros(3, jnp.float64), tx, lambda ticket: jnp.ones(3, jnp.float64), workers=1, steps=5
        )
    assert double.params.dtype == jnp.float64
    with compilations() as names:
        trained(loss_fn, tx, workers=1)
    assert names == []


@pytest.mark.newest
@pytest.mark.parametrize("scheme", ["leashed", "leashed:native=false", "synchronous"])
def test_nothing_is_kept_once_a_function_is_gone(scheme):
    def capturing(captured):
        def loss_fn(w, batch):
            return jnp.mean((w - captured * batch) ** 2)

        return loss_fn, weakref.ref(captured)

    (loss_fn, captured), tx = capturing(jnp.ones(3)), make_tx()
    gc.collect()
    before = len(_compiled)
    trained(loss_fn, tx, scheme=scheme)
    assert len(_compiled) == before + 1
    gone = [weakref.ref(loss_fn), captured, weakref.ref(tx.update)]
    made = weakref.ref(list(_compiled._families.values())[-1].variants[-1][1])
    del loss_fn
    gc.collect()
    assert [one() is None for one in gone] == [True, True, False]  # the transformation is still held here
    assert len(_compiled) == before
    assert made() is None
    del tx
    gc.collect()
    assert gone[2]() is None


def test_a_run_holds_its_functions_itself():
    """Who makes a run and forgets its functions can go on with it."""
    result = trained(loss_fn := make_loss(), tx := make_tx())
    from jasgd.replaying.rerun import Rerun

    rerun = Rerun(result, loss_fn, tx, batches, upto=None, strict=True, device=None)
    del loss_fn, tx
    gc.collect()
    assert len(list(rerun.commits())) == 20
    assert not rerun.differences


def test_callbacks_to_the_host_are_compiled_anew():
    limit = [1.0]

    def loss_fn(w, batch):
        def clipped(x, bound=limit[0]):
            return np.minimum(x, np.float32(bound))

        target = jax.pure_callback(clipped, jax.ShapeDtypeStruct((3,), np.float32), batch)
        return jnp.mean((w - jax.lax.stop_gradient(target)) ** 2)

    tx = optax.sgd(0.5)
    first = trained(loss_fn, tx, workers=1)
    limit[0] = 0.0
    second = trained(loss_fn, tx, workers=1)
    assert np.allclose(second.params, 0.0)
    assert not np.allclose(first.params, 0.0)


def test_batch_shapes_are_those_of_the_run_alone():
    loss_fn, tx = make_loss(), make_tx()

    def of_two_shapes(ticket):
        return jnp.ones((1 + ticket % 2, 3))

    with pytest.warns(jasgd.warning_types.BatchShapesWarning):
        first = jasgd.train(loss_fn, jnp.zeros(3), tx, of_two_shapes, workers=1, steps=10)
    assert first.execution.metadata["batch_shapes"] == 2
    second = jasgd.train(loss_fn, jnp.zeros(3), tx, lambda ticket: jnp.ones((1, 3)), workers=1, steps=10)
    assert "batch_shapes" not in second.execution.metadata


def test_fingerprints_tell_operations_constants_and_types_apart():
    x = jnp.arange(4.0)
    programs = [
        jax.make_jaxpr(function)(x)
        for function in (
            lambda x: x + 1, lambda x: x + 2, lambda x: x - 1, lambda x: jnp.sum(x), lambda x: jnp.sum(x[::2]),
            lambda x: jax.lax.scan(lambda c, y: (c + y, c), 0.0, x)[0],
            lambda x: jax.lax.scan(lambda c, y: (c - y, c), 0.0, x)[0],
            lambda x: x + np.arange(4.0, dtype=np.float32), lambda x: x + np.ones(4, np.float32),
            lambda x: x + jnp.zeros(4) @ np.ones((4, 40), jnp.bfloat16)[:, :4],
            lambda x: x + jnp.zeros(4) @ np.zeros((4, 40), jnp.bfloat16)[:, :4],
        )
    ]  # fmt: skip
    prints = [fingerprint(program) for program in programs]
    assert None not in prints
    assert all((one == other) is (i == j) for i, one in enumerate(prints) for j, other in enumerate(prints))


def test_a_weak_function_says_when_it_is_gone():
    scaled = Scaled(1.0)
    weak = WeakFunction(scaled.loss)
    assert weak.is_of(scaled.loss)
    assert not weak.is_of(Scaled(1.0).loss)
    del scaled
    assert weak.is_gone
    with pytest.raises(ReferenceError):
        weak(1.0, 1.0)

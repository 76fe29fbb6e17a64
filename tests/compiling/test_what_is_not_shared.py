"""Runs of the same functions do not share what these would compute differently now, nor keep much memory for it."""

import functools
import gc
import threading
import warnings
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.compilations import compilations
from support.every_scheme import EVERY, ids, needs_compiler
from support.training_runs import of

import jasgd
from jasgd.compiling.fingerprints import fingerprint
from jasgd.compiling.sharing import Shared
from jasgd.schemes.native import NativeLeashed
from jasgd.warning_types import BatchShapesWarning

TX = optax.sgd(0.1)


def of_two_shapes(ticket):
    return jnp.ones((1 + ticket % 2, 3))


def trained(loss_fn, batches=lambda ticket: jnp.ones(3), **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BatchShapesWarning)
        return jasgd.train(loss_fn, jnp.zeros(3), TX, batches, **{"workers": 1, "steps": 10} | options)


def same_bits(one, other):
    return np.asarray(one.params).tobytes() == np.asarray(other.params).tobytes()


@pytest.mark.newest
@pytest.mark.parametrize("scheme", ids(EVERY))
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_variable_that_is_read_for_another_shape_alone_is_not_missed(scheme, accumulate):
    settings = {"scale": 1.0}

    def loss_fn(w, batch):
        return jnp.mean(((settings["scale"] if len(batch) == 2 else 1.0) * w - batch) ** 2)

    options = of(scheme) | {"workers": 1, "accumulate": accumulate}
    first = trained(loss_fn, of_two_shapes, **options)
    settings["scale"] = 5.0
    second = trained(loss_fn, of_two_shapes, **options)
    anew = trained(lambda w, batch: loss_fn(w, batch), of_two_shapes, **options)
    assert same_bits(second, anew)
    assert not np.allclose(first.params, second.params)
    with compilations() as names:
        again = trained(loss_fn, of_two_shapes, **options)
    assert names == []  # neither shape
    assert same_bits(again, second)


def test_a_call_of_the_host_for_another_shape_alone_is_compiled_anew():
    bounds = [1.0]

    def loss_fn(w, batch):
        if len(batch) == 2:
            bound = np.float32(bounds[0])
            batch = jax.pure_callback(lambda x: np.minimum(x, bound), jax.ShapeDtypeStruct((2, 3), np.float32), batch)
            batch = jax.lax.stop_gradient(batch)
        return jnp.mean((w - batch) ** 2)

    first = trained(loss_fn, of_two_shapes)
    bounds[0] = 0.0
    assert not np.allclose(first.params, trained(loss_fn, of_two_shapes).params)


@needs_compiler
def test_rounds_of_a_scheme_of_ones_own_are_traced_for_each_of_its_objects():
    class Scaling(NativeLeashed):
        def __init__(self, setup, *, scale):
            self.scale = scale
            super().__init__(setup)

        def _traced_round(self, caller, batch):
            return super()._traced_round(caller, self.scale * batch)

    def loss_fn(w, batch):
        return jnp.mean((w - batch) ** 2)

    one, other = (trained(loss_fn, scheme=functools.partial(Scaling, scale=scale)) for scale in (1.0, 3.0))
    np.testing.assert_allclose(3 * one.params, other.params, rtol=1e-5)


@pytest.mark.parametrize("scheme", ids(EVERY))
def test_accumulated_and_single_mini_batches_are_not_taken_for_each_other(scheme):
    def loss_fn(w, batch):
        return jnp.mean((w - batch) ** 2)

    batches = jasgd.minibatches(np.arange(60, dtype=np.float32).reshape(20, 3) / 60, 2)
    expected, results = {}, {}
    for count in (1, 3, 1, 3):
        options = of(scheme) | {"workers": 1, "accumulate": count}
        results.setdefault(count, []).append(trained(loss_fn, batches, **options))
        expected[count] = trained(lambda w, batch: loss_fn(w, batch), batches, **options)
    for count, (one, other) in results.items():
        assert same_bits(one, other)
        assert same_bits(one, expected[count])


def test_of_functions_that_captured_much_only_the_newest_are_kept():
    captured = {}

    def loss_fn(w, batch):
        return jnp.mean((w - batch) ** 2) + 1e-9 * jnp.sum(captured["data"])

    held = []
    for number in range(4):
        captured["data"] = jnp.full((600, 600), float(number))
        held.append(weakref.ref(captured["data"]))
        trained(loss_fn)
    gc.collect()
    assert [ref() is not None for ref in held] == [False, False, False, True]
    with compilations() as names:
        trained(loss_fn)
    assert names == []


def test_small_and_large_are_kept_apart():
    def function():
        return None

    shared: Shared[object] = Shared()
    small = shared.get([function], 0, lambda weak: object())
    large = [shared.get([function], number, lambda weak: object(), is_large=True) for number in (1, 2)]
    assert shared.get([function], 0, lambda weak: None) is small
    assert shared.get([function], 2, lambda weak: None) is large[1]
    assert len(shared) == 2
    shared.forget([function], small)
    assert len(shared) == 1


def test_trace_time_warnings_and_errors_come_again_in_every_run():
    dim = [3]

    def loss_fn(w, batch):
        warnings.warn("traced", UserWarning, stacklevel=2)
        return jnp.mean((w - batch) ** 2) if dim[0] == 3 else (w - batch) ** 2

    for _ in range(2):
        with pytest.warns(UserWarning, match="traced"):
            trained(loss_fn)
    dim[0] = 1
    with pytest.warns(UserWarning, match="traced"), pytest.raises(TypeError, match="loss_fn must return a floating"):
        trained(loss_fn)


def test_another_precision_of_products_is_not_missed():
    def loss_fn(w, batch):
        return jnp.mean((batch @ w) ** 2)

    programs = []
    for precision in ("float32", "bfloat16"):
        with jax.default_matmul_precision(precision):
            programs.append(fingerprint(jax.make_jaxpr(lambda w: loss_fn(w, jnp.ones((2, 3))))(jnp.ones(3))))
    assert programs[0] != programs[1]


@pytest.mark.parametrize("scheme", ids(EVERY))
def test_runs_of_the_same_functions_at_once_have_their_own_mini_batches(scheme):
    images = np.random.default_rng(0).integers(0, 255, (400, 20), dtype=np.uint8)
    labels = np.arange(400)

    def loss_fn(w, batch):
        x, y = batch
        return jnp.mean((x / 255.0 @ w - y / 400.0) ** 2), jnp.sum(y)

    begin, results = threading.Barrier(3), {}

    def run(number):
        batches = jasgd.minibatches((images, labels), 16, seed=number)
        begin.wait()
        options = {"workers": 2, "steps": 40} | of(scheme)
        results[number] = jasgd.train(loss_fn, jnp.zeros(20), TX, batches, has_aux=True, **options)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, result in results.items():
        batches = jasgd.minibatches((images, labels), 16, seed=number)
        sums = [np.sum(batches(ticket)[1]) for ticket in result.execution.ticket.tolist()]
        assert result.aux["aux"].tolist() == sums
    assert len(results) == 3

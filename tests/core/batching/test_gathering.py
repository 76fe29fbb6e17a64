"""Gathered mini-batches are those that the function of a ticket draws, bit by bit, in memory that is used again."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import needs_compiler

import jasgd
from jasgd.core.admission import admit
from jasgd.core.batching.gathering import CONVERTED_BYTES, DeviceRows, HostRows, hands_batch_on, row_source
from jasgd.core.batching.micro_batches import completed, gathered_together, ticket_batches
from jasgd.data import Minibatches, as_batches, rows_drawn

LEAF = jnp.zeros(3)
RANDOM = np.random.default_rng(0)
ARRAYS = {
    "images": (RANDOM.standard_normal((50, 5, 3), np.float32), np.arange(50, dtype=np.int32)),
    "dict": {"x": RANDOM.standard_normal((50, 7), np.float32), "y": RANDOM.integers(0, 9, 50)},
    "unaligned": RANDOM.standard_normal((51, 4), np.float32).ravel()[2:202].reshape(50, 4),
    "every other row": RANDOM.standard_normal((100, 4), np.float32)[::2],
    "reversed": RANDOM.standard_normal((50, 4), np.float32)[::-1],
    "bytes": RANDOM.integers(0, 255, (50, 3), np.uint8),
    "double": RANDOM.standard_normal((50, 2)),
    "half": RANDOM.standard_normal((50, 3)).astype(jnp.bfloat16),
    "truth": RANDOM.integers(0, 2, 50).astype(bool),
    "empty rows": (np.zeros((50, 0), np.float32), np.arange(50.0)),
}


def source_of(batches, **options):
    return row_source(*rows_drawn(as_batches(batches, **options)))


def same(batch, drawn):
    """Whether both are the same to JAX."""
    assert jax.tree.structure(batch) == jax.tree.structure(drawn)
    for one, other in zip(jax.tree.leaves(batch), jax.tree.leaves(drawn), strict=True):
        dtype = jax.dtypes.canonicalize_dtype(other.dtype)
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other).astype(dtype), strict=True)


def through_round(source, workers):
    """What a native round has as its mini-batch."""
    from jasgd.core.batching.native_rows import NativeRows, gathered
    from jasgd.schemes.native.build import library

    library()
    rows = NativeRows(source, workers, LEAF)
    compiled = jax.jit(lambda batch: gathered(jnp.zeros(4, jnp.int32), batch)[1])
    return lambda ticket, worker: compiled(rows(ticket, worker))


WAYS = {
    "host": lambda source, workers: HostRows(source, workers, LEAF),
    "device": lambda source, workers: DeviceRows(source, [LEAF] * workers),
    "round": through_round,
}


@pytest.mark.parametrize("way", ["host", "device", pytest.param("round", marks=needs_compiler)])
@pytest.mark.parametrize("arrays", ARRAYS)
@pytest.mark.parametrize("shuffle", ["epoch", "never"])
def test_the_same_mini_batches_as_are_drawn(way, arrays, shuffle):
    batches = jasgd.minibatches(ARRAYS[arrays], 8, seed=3, shuffle=shuffle)
    gather = WAYS[way](source_of(batches), 2)
    for ticket in (0, 7, 3, 11, 0):
        for worker in (1, 0):
            same(gather(ticket, worker), batches(ticket))


@pytest.mark.parametrize("way", ["host", "device", pytest.param("round", marks=needs_compiler)])
@pytest.mark.parametrize("asks", [False, True])
def test_several_at_once_are_those_of_the_function_of_a_ticket(way, asks):
    def loss_fn(params, batch, key):
        del params, batch, key

    loss_fn = loss_fn if asks else lambda params, batch: None
    batches = jasgd.minibatches(ARRAYS["images"], 8, seed=3)
    expected = ticket_batches(loss_fn, as_batches(batches), 7, 3).batch_of
    gather = completed(loss_fn, 7, 3)(WAYS[way](gathered_together(source_of(batches), 3), 2))
    for ticket in (0, 5, 1):
        same(gather(ticket, 1), expected(ticket, 1))


def test_each_worker_has_memory_of_its_own_and_uses_it_again():
    batches = jasgd.minibatches(ARRAYS["unaligned"], 8)
    gather = HostRows(source_of(batches), 2, LEAF)
    first, others = gather(0, 0), gather(1, 1)
    same(first, batches(0))  # which the other worker has not touched
    assert gather(2, 0).unsafe_buffer_pointer() == first.unsafe_buffer_pointer() != others.unsafe_buffer_pointer()


def test_large_arrays_are_not_held_twice():
    mapped = np.zeros((50, 4), np.float32)
    labels = np.arange(50)  # int64, which JAX computes with as int32
    assert source_of(jasgd.minibatches(mapped, 8)).arrays[0] is mapped
    converted = source_of(jasgd.minibatches((mapped, labels), 8)).arrays
    assert converted[0] is mapped
    assert converted[1].dtype == np.int32
    large = np.lib.stride_tricks.as_strided(np.zeros(1), (2, CONVERTED_BYTES // 8), (0, 0))
    assert row_source(jasgd.minibatches(large, 1), lambda ticket: None) is None  # drawn row by row


def test_rows_that_are_not_contiguous_are_drawn_by_numpy():
    assert source_of(jasgd.minibatches(np.zeros((50, 4, 3), np.float32).transpose(0, 2, 1), 8)) is None


def test_only_the_librarys_own_mini_batches_are_gathered():
    class Brighter(Minibatches):
        def __call__(self, ticket):
            return tuple(1 + leaf for leaf in super().__call__(ticket))

    brighter = Brighter((np.zeros((8, 2), np.float32),), 4, 0, "epoch")
    assert rows_drawn(as_batches(brighter)) is rows_drawn(as_batches(lambda ticket: ticket)) is None
    assert rows_drawn(as_batches([1.0])) is None


def test_a_gradient_that_is_a_leaf_of_the_mini_batch_is_found():
    @jax.custom_vjp
    def product(w, x):
        return jnp.vdot(w, x)

    product.defvjp(lambda w, x: (jnp.vdot(w, x), x), lambda x, g: (x, jnp.zeros_like(x)))
    batch = np.ones(3, np.float32)
    for loss_fn, expected in ((product, True), (lambda w, x: jnp.vdot(w, x), False)):
        compiled, leaves, _ = admit(loss_fn, jnp.zeros(3), optax.sgd(0.1), batch)
        assert hands_batch_on(compiled, leaves, batch) is expected

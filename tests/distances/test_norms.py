"""How far parameters lie apart: every dtype and size of number, and nothing written to memory on the way."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd.distances.norms import along, distance, norm

DTYPES = ["float16", "bfloat16", "float32", "int32", "complex64"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_leaves_of_every_dtype_are_summed_in_float32(dtype):
    here, there = {"a": jnp.array([3, 0], dtype), "b": jnp.zeros((), dtype)}, {
        "a": jnp.array([0, 4], dtype), "b": jnp.zeros((), dtype),
    }  # fmt: skip
    for found, expected in ((norm(here), 3), (distance(here, there), 5), (along(here, here, there), 9)):
        assert (float(found), found.dtype, found.shape) == (expected, jnp.float32, ())
    many = jnp.full(4096, 60, dtype)  # whose sum of squares is beyond float16
    assert float(norm(many)) == 60 * 64


def test_complex_numbers_count_with_both_parts():
    here, there = jnp.complex64([3 + 1j]), jnp.complex64([0 - 3j])
    assert float(norm(here - there)) == float(distance(here, there)) == 5
    assert float(along(jnp.complex64([1j]), here, there)) == 4


@pytest.mark.parametrize("scale", [1e-37, 1e-30, 1e-15, 1.0, 1e15, 1e30, 5e37])
def test_no_size_of_number_overflows_or_vanishes(scale):
    for compute in (norm, jax.jit(norm), lambda x: jax.vmap(norm)(jnp.stack([x, jnp.zeros(2)]))[0]):
        assert float(compute(jnp.float32([3 * scale, 4 * scale]))) == pytest.approx(5 * scale, rel=1e-6)


def test_what_is_not_finite_shows_and_nothing_is_zero():
    numbers = [[np.inf, 1], [np.nan, 1], [np.nan, np.inf], [3e38, 3e38]]
    assert [str(float(norm(jnp.float32(x)))) for x in numbers] == ["inf", "nan", "nan", "inf"]
    for empty in ((), {}, jnp.zeros((0, 3)), [jnp.zeros(2), jnp.zeros(0)]):
        assert float(norm(empty)) == float(distance(empty, empty)) == float(along(empty, empty, empty)) == 0


@pytest.mark.parametrize("rule", ["tail", "parabola", "measured_parabola", "tail:measure=path"])
def test_an_update_writes_no_difference_of_parameters_to_memory(rule):
    """It took twice the time: what is needed besides the new parameters is sums."""
    sizes = (256, 128, 128, 64, 10)
    params = [(jnp.ones((a, b)), jnp.ones(b)) for a, b in itertools.pairwise(sizes)]
    tx = optax.chain(jasgd.distance_adaptive(rule), optax.sgd(0.1))

    def update(params, state, read, grads):
        steps, state = tx.update(
            grads, state, params, read_params=read, staleness=jnp.int32(3), value=jnp.float32(1)
        )  # fmt: skip
        return optax.apply_updates(params, steps), state

    compiled = jax.jit(update, donate_argnums=(0, 1)).lower(params, tx.init(params), params, params).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 0.3 * optax.tree.size(params) * 4

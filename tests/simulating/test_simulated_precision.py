"""Simulations in single, half and mixed precision: the types are those of the parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import assert_close
from support.problems import smooth
from support.reference_loop import follow
from support.simulations import OPTIMIZERS, by_value, full, simulated, x64

import jasgd
from jasgd import rules


def test_the_first_updates_agree_in_single_precision():
    params, loss_fn, batches = smooth()
    tx = OPTIMIZERS["momentum"](rules.constant())
    (run,) = simulated(tx, workers=5, steps=6)
    assert_close(run.params, follow(loss_fn, params, tx, batches, run.execution).params[-1], 1e-6)
    (run,) = simulated(optax.sgd(0.05), scheme="synchronous", workers=1, steps=6)
    assert_close(run.params, follow(loss_fn, params, optax.sgd(0.05), batches, run.execution).params[-1], 1e-6)


@pytest.mark.parametrize(
    ("dtype", "scheme"),
    [
        (jnp.bfloat16, "synchronous"),
        full(jnp.bfloat16, "leashed"),
        full(jnp.float16, "leashed"),
        full(jnp.float16, "synchronous"),
    ],
)
def test_half_precision(dtype, scheme):
    problem = smooth(dtype=dtype)
    params, loss_fn, batches = problem
    tx = optax.chain(by_value(), optax.sgd(0.02, momentum=0.9))
    (run,) = simulated(tx, problem, scheme=scheme, workers=3, steps=8)
    assert {leaf.dtype for leaf in jax.tree.leaves(run.params)} == {jnp.dtype(dtype)}
    expected = follow(loss_fn, params, tx, batches, run.execution)
    for leaf, other in zip(jax.tree.leaves(run.params), jax.tree.leaves(expected.params[-1]), strict=True):
        np.testing.assert_allclose(np.float32(leaf), np.float32(other), rtol=0.1, atol=0.05)
    np.testing.assert_allclose(run.execution.loss, expected.losses, rtol=0.05)


def test_single_precision_parameters_in_a_session_of_double_precision():
    seen = set()

    def noted(grads, state, params=None, *, value, **extra):
        seen.add(value.dtype)
        return grads, jnp.minimum(state, value)  # of float32, as its loss is

    remembering = optax.GradientTransformationExtraArgs(lambda params: jnp.full((), 9.0, jnp.float32), noted)
    with x64():
        problem = smooth(dtype=jnp.float32)
        tx = optax.chain(remembering, OPTIMIZERS["sgd"](rules.tail()))
        (run,) = simulated(tx, problem, scheme="synchronous", steps=10)
        assert {leaf.dtype for leaf in jax.tree.leaves(run.params)} == {np.dtype(np.float32)}
        expected = follow(problem[1], problem[0], tx, problem[2], run.execution)
        assert_close((run.params, run.opt_state), (expected.params[-1], expected.states[-1]), 1e-4)
    assert seen == {np.dtype(np.float32)}


def test_the_types_of_a_strict_session():
    params, loss_fn, batches = smooth()
    tx = OPTIMIZERS["momentum"](rules.inverse())
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        (run,) = simulated(tx, (params, loss_fn, batches), scheme="synchronous", steps=8)
    assert_close(run.params, follow(loss_fn, params, tx, batches, run.execution).params[-1], 1e-5)


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_a_step_size_has_the_precision_and_the_weak_type_of_pythons_numbers(lanes):
    def make(size):
        return optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(size, momentum=0.9))

    with x64():
        params, loss_fn, batches = smooth()
        runs = simulated(make, seeds=[4, 2], learning_rates=[0.04, 0.03], lanes=lanes)
        expected = follow(loss_fn, params, make(0.03), batches, runs[2, 0.03].execution)
        assert_close(runs[2, 0.03].params, expected.params[-1])
    dtypes = []

    def noted(size):
        dtypes.append((jnp.result_type(size * jnp.ones((), jnp.bfloat16)), jnp.result_type(size)))
        return optax.sgd(size)

    simulated(noted, smooth(dtype=jnp.bfloat16), learning_rates=[0.1, 0.2], steps=3, lanes=lanes)
    assert {dtype for dtype, _ in dtypes} == {jnp.dtype(jnp.bfloat16)}

"""Batches whose shapes change are compiled while the run goes on: that is said, in every kind of round."""

import warnings

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import needs_compiler

import jasgd


def loss_fn(w, batch):
    return jnp.mean((w - batch["x"]) ** 2)


def train(sizes, *, native=False, steps=None, dtypes=(np.float32,), **options):
    def batches(ticket):
        return {"x": np.ones((sizes[ticket % len(sizes)], 1), dtypes[ticket % len(dtypes)])}

    scheme = jasgd.schemes.locked(native=native)
    steps = steps or len(sizes)
    return jasgd.train(
        loss_fn, jnp.zeros(3), optax.sgd(0.05), batches, scheme=scheme, workers=1, steps=steps, **options
    )


@pytest.mark.parametrize("native", [pytest.param(True, marks=needs_compiler), False])
def test_shapes_that_change_are_told_once_with_the_shapes_and_their_count(native):
    with pytest.warns(RuntimeWarning, match=r"float32\[4, 1\].*float32\[3, 1\].*pad") as caught:
        result = train([4, 3, 2, 4, 3], native=native, steps=10)
    assert len([w for w in caught if "compiled" in str(w.message)]) == 1
    assert caught[0].filename == __file__
    assert result.execution.metadata["batch_shapes"] == 3
    assert "3 shapes of mini-batches" in result.summary()


def test_another_dtype_is_compiled_as_well():
    with pytest.warns(RuntimeWarning, match=r"float32\[4, 1\].*int32\[4, 1\]"):
        train([4], dtypes=(np.float32, np.int32), steps=4)


def test_one_shape_is_not_told():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = train([4], steps=10)
    assert "batch_shapes" not in result.execution.metadata
    assert "shapes" not in result.summary()


def test_a_warning_that_is_an_error_ends_the_run_as_failed():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        result = train([4, 3], steps=50, throw=False)
    assert result.outcome == "failed"
    assert isinstance(result.error, RuntimeWarning)

"""Batches whose shapes change are compiled while the run goes on: that is said, in every kind of round."""

import time
import types
import warnings

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import needs_compiler

import jasgd
from jasgd.training.engines.new_shapes import NewShapes


def loss_fn(w, batch):
    return jnp.mean((w - batch["x"]) ** 2)


def train(sizes, *, native=False, steps=None, dtypes=(np.float32,), loss=None, **options):
    def batches(ticket):
        return {"x": np.ones((sizes[ticket % len(sizes)], 1), dtypes[ticket % len(dtypes)])}

    scheme = jasgd.schemes.locked(native=native)
    steps = steps or len(sizes)
    return jasgd.train(
        loss or loss_fn, jnp.zeros(3), optax.sgd(0.05), batches, scheme=scheme, workers=1, steps=steps, **options
    )


@pytest.mark.parametrize("native", [pytest.param(True, marks=needs_compiler), False])
def test_shapes_that_change_are_told_once_with_the_shapes_and_their_count(native):
    with pytest.warns(RuntimeWarning, match=r"float32\[4, 1\].*float32\[3, 1\].*pad") as caught:
        result = train([4, 3, 2, 4, 3], native=native, steps=10)
    assert len([w for w in caught if "compiled" in str(w.message)]) == 1
    assert caught[0].filename == __file__
    assert result.execution.metadata["batch_shapes"] == 3
    assert "3 shapes of mini-batches" in " ".join(result.summary().split())


def test_another_dtype_is_compiled_as_well():
    with pytest.warns(RuntimeWarning, match=r"float32\[4, 1\].*int32\[4, 1\]"):
        train([4], dtypes=(np.float32, np.int32), steps=4)


def test_one_shape_is_not_told():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = train([4], steps=10)
    assert "batch_shapes" not in result.execution.metadata
    assert "shapes" not in " ".join(result.summary().split())


def test_a_warning_that_is_an_error_ends_the_run_as_failed():
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        result = train([4, 3], steps=50, throw=False)
    assert result.outcome == "failed"
    assert isinstance(result.error, RuntimeWarning)


def compiling(seconds):
    """A loss that takes so long to be traced, and so to be compiled, for each new shape."""

    def slow(w, batch):
        time.sleep(seconds)
        return loss_fn(w, batch)

    return slow


@pytest.mark.filterwarnings("ignore:batches are of")
@pytest.mark.parametrize("native", [pytest.param(True, marks=needs_compiler), False])
def test_how_long_workers_waited_for_new_shapes_is_measured(native):
    result = train([4, 3, 4, 2, 4, 3, 2], native=native, steps=30, loss=compiling(0.1))
    waited_s = result.execution.metadata["batch_shapes_waited_s"]
    assert 0.2 <= waited_s <= result.duration_s  # two new shapes, and one worker
    assert f"3 shapes of mini-batches, all but the first during the run: workers waited {waited_s:.2f} s in all" in (
        " ".join(result.summary().split())
    )


def test_who_waits_for_another_to_compile_is_counted_and_who_has_a_known_shape_is_not():
    shapes = NewShapes(types.SimpleNamespace(batch_shapes={"first": None, "second": None}), workers=4)
    known, new = np.ones(4), np.ones(3)
    shapes.expect(known)
    shapes.note(0, known, 0.0, 10.0)
    assert shapes.waited_s == 0.0
    shapes.note(1, new, 1.0, 3.0)  # compiles
    shapes.note(2, new, 2.0, 3.5)  # and has waited for it
    assert shapes.waited_s == 3.5
    shapes.note(3, new, 3.0, 9.0)  # begins afterwards
    shapes.note(1, new, 4.0, 9.0)
    assert shapes.waited_s == 3.5
    shapes.note(1, np.ones(3, np.float32), 9.0, 10.0)
    assert shapes.waited_s == 4.5


def test_each_device_compiles_for_itself():
    shapes = NewShapes(types.SimpleNamespace(batch_shapes={"first": None, "second": None}), workers=3)
    shapes.expect(np.ones(4), ["one", "other", "one"])
    for worker in range(3):
        shapes.note(worker, np.ones(4), 0.0, 1.0)
    assert shapes.waited_s == 0.0
    shapes.note(0, np.ones(3), 0.0, 1.0)
    shapes.note(2, np.ones(3), 1.5, 9.0)  # for whom worker 0 has compiled
    assert shapes.waited_s == 1.0
    shapes.note(1, np.ones(3), 2.0, 3.0)
    assert shapes.waited_s == 2.0


def test_with_one_shape_nothing_is_asked_of_a_mini_batch():
    shapes = NewShapes(types.SimpleNamespace(batch_shapes={"first": None}), workers=1)
    shapes.note(0, object(), 0.0, 1.0)
    assert shapes.waited_s == 0.0

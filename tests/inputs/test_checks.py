"""Whole numbers as arguments: which are taken, wherever one is expected, and what is said of the others."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
import theory
from jasgd.inputs.checks import integer, is_integer


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3), jnp.int32(3)])
def test_whole_numbers_of_python_numpy_and_jax_are_taken(value):
    taken = integer("steps", value, 1)
    assert (taken, type(taken)) == (3, int)


@pytest.mark.parametrize(
    "value",
    [
        True,
        np.True_,
        np.array(True),
        jnp.array(True),
        3.0,
        np.float64(3),
        "3",
        None,
        [3],
        np.array([3, 3]),
        jnp.ones(2),
    ],
)
def test_bools_and_what_is_no_whole_number_are_refused(value):
    assert not is_integer(value)
    with pytest.raises(ValueError, match=r"^steps must be an integer ≥ 1 in updates, or None, got "):
        integer("steps", value, 1, unit="in updates", optional=True)


def test_a_number_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match=r"^steps must be an integer ≥ 1, got 0$"):
        integer("steps", 0, 1)


def train(**options):
    return jasgd.train(
        lambda w, batch: jnp.mean((w - batch) ** 2), jnp.zeros(2), optax.sgd(0.1), lambda ticket: np.float32(1),
        **({"workers": 1, "steps": 5, "scheme": "leashed"} | options),
    )  # fmt: skip


@pytest.mark.parametrize(
    "options",
    [
        {"workers": np.int64(1)},
        {"steps": np.int32(5)},
        {"seed": np.int64(2)},
        {"scheme": jasgd.schemes.leashed(persistence=np.int64(3), max_staleness=np.int64(3))},
    ],
    ids=lambda options: next(iter(options)),
)
def test_runs_take_whole_numbers_of_numpy_and_can_be_saved(options, tmp_path):
    result = train(**options)
    assert result.execution.commits == 5
    result.save(tmp_path)
    assert jasgd.TrainResult.load(tmp_path).execution.workers == 1


@pytest.mark.parametrize("options", [{"workers": True}, {"steps": True}, {"seed": True}])
def test_runs_refuse_bools(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))} must be an integer.*, got True$"):
        train(**options)


def test_the_checker_takes_whole_numbers_of_numpy():
    rule = theory.to_rule("jasgd.rules:inverse", largest_staleness=np.int64(8))
    assert rule.table.shape == (9,)
    with pytest.raises(ValueError, match=r"^largest_staleness must be an integer ≥ 0, got True$"):
        theory.to_rule("jasgd.rules:inverse", largest_staleness=True)

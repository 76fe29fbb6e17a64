"""One's own loss in comparisons and sweeps: a task of a seed, and what is no task."""

import jax.numpy as jnp
import numpy as np
import pytest

import jasgd
from jasgd.cluster import Cluster

CLUSTERS = {"equal": Cluster(compute_s=1.0)}


def loss_fn(w, batch):
    return ((w - batch) ** 2).mean()


def task(seed, **more):
    return jasgd.Task(loss_fn, jnp.zeros(3), lambda ticket: np.full(3, 1.0 + seed, np.float32), **more)


def distance(w):
    return {"distance": float(jnp.abs(w - 1).max()), "accuracy": float(jnp.abs(w - 1).max() < 0.1)}


def compared(problem, **options):
    return jasgd.compare(problem, ["constant"], [0, 1], workers=1, learning_rate=0.5, steps=300, **options)


def swept(problem, **options):
    options = {"workers": [1, 3], "clusters": CLUSTERS, "learning_rates": [0.5], "steps": 300} | options
    return jasgd.sweep(problem, ["constant"], [0, 1], **options)


@pytest.mark.parametrize("run", [compared, swept])
def test_loss_parameters_and_batches_are_enough(run):
    result = run(task)
    assert result.problem == "own loss"
    assert all(row["final_loss"].median < 0.1 for row in result.rows)
    assert not any(row["test_accuracy"].count for row in result.rows)
    assert result.reading()
    assert run(lambda seed: task(seed, name="mine")).problem == "mine"


def test_what_evaluate_gives_is_in_the_rows():
    rows = [*compared(lambda seed: task(0, evaluate=distance)).rows]
    rows += swept(lambda seed: task(0, evaluate=distance), evaluate=True).rows
    assert [row["test_accuracy"].median for row in rows] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("run", [compared, swept])
def test_what_gives_no_task_is_refused_with_what_it_lacks(run):
    with pytest.raises(TypeError, match=r"jasgd\.Task\(loss_fn, params, batches\), got .*without loss_fn and params"):
        run(lambda seed: (loss_fn, jnp.zeros(3)))


def test_a_sweep_cannot_evaluate_without_a_function_for_it():
    with pytest.raises(ValueError, match="evaluate must be False for a problem without a function evaluate"):
        swept(task, evaluate=True)


def test_a_line_shows_what_it_is():
    assert repr(task(0)) == "Task(name=own loss, params=float32[3])"

"""The kind: saving and going on each work, and do not beside another feature of a run."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd


def loss_fn(w, batch):
    return jnp.mean((w - batch) ** 2)


def batches(ticket):
    return np.random.default_rng(ticket).normal(size=6).astype(np.float32)


def train(loss=loss_fn, draw=batches, **options):
    options = {"scheme": "sequential", "workers": 1} | options
    return jasgd.train(loss, jnp.zeros(6), optax.sgd(0.05, momentum=0.9), draw, **options)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def test_a_model_state_that_is_not_finite_keeps_nothing_from_being_saved(folder):
    def with_state(w, batch, model_state):
        return loss_fn(w, batch), {"most": model_state["most"], "count": model_state["count"] + 1}

    options = {"model_state": {"most": jnp.full(2, -jnp.inf), "count": jnp.int32(0)}, "resume": folder}
    options |= {"checkpoint": jasgd.Checkpoints(folder, every_steps=5)}
    for steps in (10, 20):
        result = train(with_state, steps=steps, **options)
    assert [part["from_version"] for part in result.execution.metadata["parts"]] == [0, 10]
    assert int(result.model_state["count"]) == 20

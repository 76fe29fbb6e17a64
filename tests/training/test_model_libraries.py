"""Residual networks of Flax and Equinox with BatchNorm and dropout train as the plain loop does, and replay exactly."""

import functools
import importlib.util
import re
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from support.every_scheme import EVERY

import jasgd

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
LIBRARIES = ("nnx", "equinox")
SCHEMES = ("synchronous", "locked", "hogwild", "leashed")


@pytest.fixture
def configured(monkeypatch):
    monkeypatch.setattr(jasgd, "configure_cpu", lambda: None)  # the tests are configured already


def load(library):
    name = f"batchnorm_dropout_{library}"
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Task


def accuracies(task, scheme, gradients, seed=0):
    """With running statistics after so many gradients, and whether the replay is exact."""
    workers = 1 if scheme == "sequential" else 2
    steps = gradients // 2 if scheme == "synchronous" else gradients
    result, tx = task.train(EVERY[scheme], workers, steps, seed)
    assert len(result.execution) == gradients
    exact = scheme == "hogwild" or jasgd.replay(result, task.loss_fn, tx, task.batches).exact
    return result.evaluations[-1]["accuracy"], exact


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_residual_network_learns_and_replays(configured, library):
    accuracy, exact = accuracies(load(library)(), "leashed", 240)
    assert exact
    assert accuracy > 0.6


@functools.cache
def median_accuracy(library, scheme):
    """Of three seeds, after as many gradients as suffice for the larger steps of synchronous workers to settle."""
    found = [accuracies(load(library)(seed=seed), scheme, 3000, seed) for seed in range(3)]
    assert all(exact for _, exact in found)
    return float(np.median([accuracy for accuracy, _ in found]))


@pytest.mark.full
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("library", LIBRARIES)
def test_running_statistics_serve_as_well_as_those_of_the_plain_loop(configured, library, scheme):
    plain = median_accuracy(library, "sequential")
    assert plain > 0.93
    assert median_accuracy(library, scheme) >= plain - 0.02


def refusal(params, loss_fn=lambda params, batch: jnp.zeros(()), **options):
    with pytest.raises((TypeError, ValueError)) as caught:
        jasgd.train(loss_fn, params, optax.sgd(0.1), np.float32, workers=1, steps=1, **options)
    return str(caught.value)


class Normalizing(nnx.Module):
    def __init__(self):
        self.norm = nnx.BatchNorm(3, rngs=nnx.Rngs(0))


def asks(params, batch, model_state):
    return jnp.zeros(()), model_state


def test_a_model_that_is_handed_over_whole_is_refused_with_the_call_that_parts_it():
    eqx = pytest.importorskip("equinox")
    split = re.escape("nnx.split(model, nnx.Param, ...)")
    model = Normalizing()
    assert re.search(f"params must be the parameters alone, got nnx.BatchStat among them.*{split}", refusal(model))
    assert re.search(f"got nnx.BatchStat among them.*{split}", refusal(nnx.state(model)))
    assert re.search(f"got a whole nnx.Module: .*{split}", refusal(jnp.ones(1), asks, model_state=model))
    whole = refusal(jnp.ones(1), asks, model_state=nnx.state(model))
    assert re.search(f"model_state must not have parameters, got some nnx.Param: .*{split}", whole)
    assert "variables.pop('params')" in refusal(nn.Dense(3))
    variables = nn.BatchNorm(use_running_average=False).init(jax.random.key(0), jnp.ones((2, 3)))
    assert "variables.pop('params')" in refusal(variables)
    mlp = eqx.nn.MLP(2, 2, 3, 1, key=jax.random.key(0))
    assert "params, static = eqx.partition(model, eqx.is_inexact_array)" in refusal(mlp)


def test_a_model_without_state_may_still_be_handed_over_as_the_pytree_that_it_is():
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    _, params = nnx.split(model)
    result = jasgd.train(lambda p, batch: jnp.mean(p["kernel"][...] ** 2), params, optax.sgd(0.1), np.float32,
                         workers=1, steps=2)  # fmt: skip
    assert result.outcome == "finished"

"""What users' functions return or raise when they are traced, before a run: refused or noted with the way out."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd


def never(ticket):
    pytest.fail("an argument was refused too late: a batch was drawn")


def loss(params, batch):
    return jnp.mean((params["w"] - batch) ** 2) + params["b"] ** 2


TREE = {"w": jnp.zeros(3), "b": jnp.zeros(())}
RETURNS = {
    "aux without has_aux": (lambda p, b: (loss(p, b), {"a": 1.0}), False, "pass has_aux=True, or return the loss alon"),
    "has_aux without aux": (loss, True, "with has_aux=True, got float32[]: leave has_aux out, or return both"),
    "a list": (lambda p, b: [loss(p, b), 1.0], True, "return a tuple of the two"),
    "one number": (lambda p, b: loss(p, b)[None], False, "got float32[1]: take its .mean(), or its only number wi"),
    "several": (lambda p, b: p["w"], False, "got float32[3]: take its .mean()"),
    "integer": (lambda p, b: jnp.int32(1), False, "got int32[]: int32 has no gradient"),
    "complex": (lambda p, b: loss(p, b) + 1j, False, "got complex64[]: take its .real"),
    "nothing": (lambda p, b: None, False, "got None: a return is missing"),
    "dict": (lambda p, b: {"loss": loss(p, b)}, False, "got {'loss': 'float32[]'}: return the loss alone, or (lo"),
    "gradient": (jax.grad(loss), False, "pass the loss itself, and not jax.grad of it"),
    "value and gradient": (jax.value_and_grad(loss), False, "pass the loss itself, and not jax.value_and_grad of it"),
    "logits as aux": (lambda p, b: (loss(p, b), p["w"]), True, "aux of loss_fn must be a scalar, got float32[3]"),
}  # fmt: skip


@pytest.mark.parametrize("name", RETURNS)
def test_what_a_loss_returns_is_refused_with_the_way_out(name):
    loss_fn, has_aux, message = RETURNS[name]
    with pytest.raises(TypeError, match=re.escape(message)):
        jasgd.train(
            loss_fn, TREE, optax.sgd(0.1), lambda ticket: np.ones(3, np.float32), workers=1, steps=1, has_aux=has_aux
        )


NOTED = {
    "swapped": (
        {"loss_fn": lambda batch, params: params["w"].sum()},
        "traced, before the run, with params {'b': 'float32[]', 'w': 'float32[3]'} and the batch float32[3]",
    ),
    "numbers": ({"loss_fn": lambda p, b: float(loss(p, b))}, "loss_fn(params, batch) failed while it was traced"),
    "batches": ({"batches": lambda ticket: [np.ones(3)][1]}, "batches must be a function of a ticket, or an "),
    "mask": ({"tx": optax.masked(optax.sgd(0.1), {"x": True})}, "tx.init(params) failed before the run, with params"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTED)
def test_an_error_of_the_users_own_code_is_noted_with_where_it_came_about(name):
    changed, note = NOTED[name]
    good = {"loss_fn": loss, "params": TREE, "tx": optax.sgd(0.1), "batches": lambda ticket: np.ones(3, np.float32)}
    with pytest.raises(Exception) as raised:  # noqa: PT011, whatever the user's code raises
        jasgd.train(**good | changed, workers=1, steps=1)
    assert any(note in one for one in raised.value.__notes__)


def test_parameters_that_are_traced_or_deleted_are_refused():
    def run(params):
        return jasgd.train(loss, params, optax.sgd(0.1), never, workers=1, steps=1).params

    with pytest.raises(TypeError, match=r"must be a concrete array, got a traced one: runs cannot start in jax\.jit"):
        jax.jit(run)(TREE)
    gone = jnp.ones(3)
    gone.delete()
    with pytest.raises(ValueError, match=r"params\['w'\] must hold its numbers, got an array that was deleted"):
        run(TREE | {"w": gone})


def test_the_difference_of_large_trees_is_named_and_not_the_trees():
    params = {f"layer{i}": jnp.zeros((3, 3)) for i in range(200)}

    def update(updates, state, params=None, **extra):
        return updates | {"layer7": updates["layer7"][:2]}, state

    tx = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    with pytest.raises(
        TypeError, match=r"updates like params, got float32\[2, 3\] for float32\[3, 3\] at \['layer7'\]$"
    ):
        jasgd.train(lambda p, b: p["layer0"].sum(), params, tx, lambda ticket: 0.0, workers=1, steps=1)


@pytest.mark.parametrize("device", ["cpu", "cpu:0", "CPU", 0, np.int64(0), jax.devices("cpu")[0]])
def test_a_device_may_be_named(device):
    from jasgd.core.devices import as_device

    assert as_device(device) == jax.devices("cpu")[0]


def test_a_run_on_a_named_device_records_it():
    def plain(params, batch):
        return jnp.sum(params**2)

    result = jasgd.train(plain, jnp.ones(2), optax.sgd(0.1), lambda ticket: 0.0, workers=1, steps=2, device="cpu")
    assert result.execution.metadata["environment"]["platform"] == "cpu"
    assert jasgd.replay(result, plain, optax.sgd(0.1), lambda ticket: 0.0, device="cpu:0").exact

"""Runs that diverged: they are replayed to their end, and the first commit that is not finite is found."""

import jax.numpy as jnp
import numpy as np
import optax
from support.agreement import same_bits

import jasgd
from jasgd.replaying.nonfinite import first_nonfinite


def diverging(workers=3):
    """A run whose parameters grow at every commit until they are too large."""
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.constant()), optax.sgd(12.0))

    def loss_fn(params, batch):
        return jnp.mean(params["w"] ** 2) * batch

    return {"w": jnp.ones(4)}, loss_fn, tx, lambda ticket: np.float32(1), workers


def test_a_diverged_run_comes_to_its_last_good_parameters_and_to_its_end():
    params, loss_fn, tx, batches, workers = diverging()
    result = jasgd.train(loss_fn, params, tx, batches, workers=workers, steps=10**5, throw=False)
    assert result.outcome == "diverged"
    again = jasgd.replay(result, loss_fn, tx, batches)
    assert again.exact, again.difference
    assert again.compared == ("params", "opt_state")
    good = result.execution.metadata["params_version"]
    assert same_bits(jasgd.replay(result, loss_fn, tx, batches, upto=good).params, result.params)


def test_the_first_commit_that_is_not_finite_is_found():
    params, loss_fn, tx, batches, workers = diverging()
    result = jasgd.train(loss_fn, params, tx, batches, workers=workers, steps=400, on_nonfinite="pass")
    first = first_nonfinite(result, loss_fn, tx, batches)
    assert first.where == ("params['w']",)
    before = jasgd.replay(result, loss_fn, tx, batches, upto=first.version)
    after = jasgd.replay(result, loss_fn, tx, batches, upto=first.version + 1)
    assert before.exact
    assert after.exact
    assert np.isfinite(before.params["w"]).all()
    assert not np.isfinite(after.params["w"]).all()
    assert not first.gradient or not np.isfinite(result.execution.loss[first.row])
    assert first_nonfinite(result, loss_fn, tx, batches, upto=first.version) is None


def test_a_gradient_that_is_not_finite_is_told_from_an_update_that_is_not():
    def loss_fn(w, batch):
        return jnp.sqrt(w).sum() * batch  # the slope at 0 is infinite

    tx, batches = optax.sgd(0.0), lambda ticket: np.float32(ticket == 7)
    result = jasgd.train(loss_fn, jnp.zeros(2), tx, batches, workers=1, steps=9, on_nonfinite="pass")
    first = first_nonfinite(result, loss_fn, tx, batches)
    assert first is not None
    assert first.gradient

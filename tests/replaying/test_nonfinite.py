"""Runs that diverged: they are replayed to their end, and the first commit that is not finite is found."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import same_bits

import jasgd
from jasgd.replaying.nonfinite import NonFiniteLoss, describe_nonfinite, ended_badly, first_nonfinite


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
    result = jasgd.train(loss_fn, params, tx, batches, workers=workers, steps=400, on_nonfinite="pass", throw=False)
    assert result.outcome == "diverged"
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
    result = jasgd.train(loss_fn, jnp.zeros(2), tx, batches, workers=1, steps=9, on_nonfinite="pass", throw=False)
    first = first_nonfinite(result, loss_fn, tx, batches)
    assert first is not None
    assert first.gradient


@pytest.mark.parametrize("bad", [0, 7])
def test_a_loss_that_ended_the_run_is_named_though_every_version_is_finite(bad, tmp_path):
    """Kind: a tool that says all is well, and has not looked at what ended the run."""

    def loss_fn(params, batch):
        return jnp.mean((params["w"] - batch) ** 2) + jnp.sum(params["b"])

    params, tx = {"w": jnp.ones(4), "b": jnp.zeros(2)}, optax.sgd(0.01)
    batches = lambda ticket: np.float32(np.nan if ticket == bad else 1)  # noqa: E731
    result = jasgd.train(loss_fn, params, tx, batches, workers=1, steps=30, throw=False)
    assert result.outcome == "diverged"
    loaded = jasgd.TrainResult.load(result.save(tmp_path), params_like=params)
    for run in (result, loaded):
        first = first_nonfinite(run, loss_fn, tx, batches)
        assert isinstance(first, NonFiniteLoss)
        assert (first.version, first.ticket, first.worker, first.recorded) == (bad, bad, 0, "nan")
        assert np.isnan(first.loss)
        assert first.where == ("gradient['w']",)
        assert ended_badly(first, run)
        text = describe_nonfinite(first, run)
        assert f"the parameters of every version up to {bad} are finite" in text
        assert f"the loss of ticket {bad} at version {bad} (worker 0) was nan" in text
    if bad:
        assert first_nonfinite(result, loss_fn, tx, batches, upto=3) is None
        assert not ended_badly(None, result, upto=3)
    cured = first_nonfinite(result, loss_fn, tx, lambda ticket: np.float32(1), strict=False)
    assert np.isfinite(cured.loss)
    assert "what made it so is not in the record" in describe_nonfinite(cured, result)
    del result.execution.metadata["divergence"]  # as of runs from before it was recorded
    assert first_nonfinite(result, loss_fn, tx, batches) is None
    assert ended_badly(None, result)
    assert "the run diverged, and its record does not say at which gradient" in describe_nonfinite(None, result)

"""Runs whose workers gather their mini-batches compute on those that ``batches`` gives for the ticket."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, ids, needs_compiler
from support.training_runs import of

import jasgd
from jasgd.schemes.native import NativeLeashed

ROWS = np.random.default_rng(1).standard_normal((40, 6)).astype(np.float32)
LABELS = np.arange(40)


def loss_fn(w, batch):
    rows, labels = batch
    # Both are what they are only for one mini-batch, whatever the parameters were.
    return jnp.mean((rows @ w) ** 2), {"labels": jnp.sum(labels * labels), "rows": jnp.sum(rows)}


def run(scheme, batches, **options):
    options = {"steps": 60, "has_aux": True} | of(scheme) | options
    return jasgd.train(loss_fn, jnp.ones(6), optax.sgd(0.01), batches, **options)


@pytest.mark.parametrize("scheme", ids(EVERY))
@pytest.mark.parametrize("accumulate", [1, 3])
def test_every_gradient_is_of_the_mini_batches_of_its_ticket(scheme, accumulate):
    batches = jasgd.minibatches((ROWS, LABELS), 4, seed=2)
    result = run(scheme, batches, accumulate=accumulate)
    for row, ticket in enumerate(result.execution.ticket.tolist()):
        drawn = [batches(number) for number in range(accumulate * ticket, accumulate * (ticket + 1))]
        assert result.aux["labels"][row] == sum(np.sum(labels**2) for _, labels in drawn)
        expected = np.mean([np.sum(rows, dtype=np.float64) for rows, _ in drawn])
        np.testing.assert_allclose(result.aux["rows"][row], expected, atol=1e-4)


@pytest.mark.parametrize("scheme", ids(name for name in EVERY if not name.startswith("hogwild")))
@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_replay_that_draws_mini_batches_one_by_one_has_the_same_bits(scheme, accumulate):
    batches = jasgd.minibatches((ROWS, LABELS), 4, seed=2)
    result = run(scheme, batches, accumulate=accumulate)
    again = jasgd.replay(result, loss_fn, optax.sgd(0.01), lambda ticket: batches(ticket))
    assert again.exact, again.difference


@pytest.mark.parametrize("scheme", ids(EVERY))
def test_the_times_of_a_gradient_follow_each_other(scheme):
    timings = run(scheme, jasgd.minibatches((ROWS, LABELS), 4)).timings
    assert all((timings[f"{phase}_s"] >= 0).all() for phase in ("batch", "read", "compute", "commit"))


@needs_compiler
def test_a_native_scheme_of_ones_own_is_given_the_mini_batch_itself():
    seen = []

    class Own(NativeLeashed):
        def round(self, worker, ticket, batch, check_finite):
            seen.append((ticket, batch))
            return super().round(worker, ticket, batch, check_finite)

    batches = jasgd.minibatches((ROWS, LABELS), 4)
    jasgd.train(loss_fn, jnp.ones(6), optax.sgd(0.01), batches, scheme=Own, workers=1, steps=5, has_aux=True)
    for ticket, batch in seen:
        np.testing.assert_array_equal(batch[1], batches(ticket)[1])
    assert [ticket for ticket, _ in seen] == list(range(5))

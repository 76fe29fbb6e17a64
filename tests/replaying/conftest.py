"""A recorded run that the tests of replay share."""

import pytest
from support.problems import network
from support.recorded_runs import tail

import jasgd


@pytest.fixture(scope="module")
def recorded():
    """A run of four workers, and what it was given."""
    params, loss_fn, batches = network()
    arguments = loss_fn, tail(), batches
    return jasgd.train(loss_fn, params, arguments[1], batches, workers=4, steps=120), arguments

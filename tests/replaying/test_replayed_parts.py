"""A run that several parts have made is replayed part by part: each by the program of its scheme."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd import schemes

SHARED = schemes.hogwild(native=False)  # commits in place, in NumPy, with other bits than compiled ones


def loss_fn(w, batch):
    return jnp.mean((w - batch) ** 2)


def batches(ticket):
    return np.random.default_rng(ticket).normal(size=33).astype(np.float32)


def tx():
    return optax.chain(jasgd.staleness_adaptive("tail"), optax.sgd(0.037, momentum=0.9))


@pytest.mark.parametrize("scheme", [schemes.leashed(native=False), schemes.locked(native=False), "sequential"])
@pytest.mark.parametrize("shared_first", [True, False])
def test_each_part_is_replayed_by_the_program_of_its_scheme(scheme, shared_first):
    result = None
    parts = [SHARED, scheme, SHARED] if shared_first else [scheme, SHARED, scheme]
    for i, part in enumerate(parts):
        result = jasgd.train(
            loss_fn, jnp.zeros(33), tx(), batches, scheme=part, workers=1, steps=30 * (i + 1), resume=result
        )
    assert [part["from_version"] for part in result.execution.metadata["parts"]] == [0, 30, 60]
    again = jasgd.replay(result, loss_fn, tx(), batches)
    assert again.exact, again.summary()

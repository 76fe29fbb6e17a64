"""What the tests of the checker share."""

import pytest


@pytest.fixture
def recorded_execution(tmp_path):
    """A short run of three workers: its file, and the staleness of its updates."""
    import jax.numpy as jnp
    import optax

    import jasgd

    result = jasgd.train(
        lambda params, batch: jnp.sum((params - batch) ** 2),
        jnp.zeros(3),
        optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.01)),
        lambda ticket: jnp.full(3, ticket % 5, jnp.float32),
        scheme="leashed",
        workers=3,
        steps=60,
    )
    path = tmp_path / "execution.npz"
    result.execution.save(path)
    return path, [int(tau) for tau in result.execution.staleness]

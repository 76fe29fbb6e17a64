"""Workers and parameters as processes of their own, on this machine or a cluster: the same training, the same record.

    python examples/ray_cluster.py             # a Ray of this machine, started and ended with the run
    python examples/ray_cluster.py auto        # the cluster that this machine belongs to (ray start --head ...)

The run is saved while it goes on, so it goes on where the server's process or its machine dies.
"""

import sys
import tempfile

import jasgd

jasgd.configure_cpu()

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402


def loss_fn(params, batch):
    hidden = jnp.tanh(batch["x"] @ params["in"])
    return jnp.mean((hidden @ params["out"] - batch["y"]) ** 2)


def batches(ticket):
    inputs = np.random.default_rng(ticket).normal(size=(32, 4)).astype(np.float32)
    return {"x": inputs, "y": np.sin(inputs.sum(axis=1))}


def main(address=None):
    rng = np.random.default_rng(0)
    params = {
        "in": jnp.asarray(rng.normal(0, 0.5, (4, 32)), jnp.float32),
        "out": jnp.asarray(rng.normal(0, 0.2, 32), jnp.float32),
    }
    tx = optax.chain(jasgd.staleness_adaptive("tail"), optax.sgd(0.1))
    engine = jasgd.engines.ray(address, cpus_per_worker=1)
    with tempfile.TemporaryDirectory() as folder:  # on a cluster, one that all its machines share
        result = jasgd.train(
            loss_fn, params, tx, batches, workers=2, steps=600, engine=engine,
            checkpoint=jasgd.Checkpoints(folder, every_steps=100),
        )  # fmt: skip
    print(result.summary())
    print(jasgd.replay(result, loss_fn, tx, batches).summary())


if __name__ == "__main__":
    main(*sys.argv[1:2])

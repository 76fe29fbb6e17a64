"""Small problems that several tests train on."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax


def network(seed: int = 0, sizes=(12, 16, 16, 4)):
    """Parameters, loss and batches of a small classifier on data from a seed, in a nested dict as users have it."""
    rng = np.random.default_rng(seed)
    layers = {
        f"dense{i}": {"kernel": jnp.asarray(rng.normal(0, (2 / m) ** 0.5, (m, n)), jnp.float32), "bias": jnp.zeros(n)}
        for i, (m, n) in enumerate(itertools.pairwise(sizes))
    }
    inputs = rng.normal(size=(256, sizes[0])).astype(np.float32)
    labels = (inputs @ rng.normal(size=(sizes[0], sizes[-1]))).argmax(axis=1).astype(np.int32)

    def loss_fn(params, batch):
        x, y = batch
        *hidden, last = sorted(params)
        for name in hidden:
            x = jax.nn.relu(x @ params[name]["kernel"] + params[name]["bias"])
        logits = x @ params[last]["kernel"] + params[last]["bias"]
        return optax.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    def batches(ticket):
        rows = np.random.default_rng([seed, ticket]).integers(0, len(inputs), 16)
        return inputs[rows], labels[rows]

    return layers, loss_fn, batches


def counting(size: int = 4096):
    """A problem whose parameters count the updates: gradient -1, learning rate 1, so that every component of version
    k is k, and the loss of a gradient says, without the ledger, which version it was computed on."""

    def loss_fn(params, batch):
        smallest = jnp.minimum(params["a"].min(), params["b"].min())
        largest = jnp.maximum(params["a"].max(), params["b"].max())
        # The value is the version; the gradient with respect to every component is -1.
        total = params["a"].sum() + params["b"].sum()
        loss = smallest - (total - jax.lax.stop_gradient(total))
        loss = loss - smallest + jax.lax.stop_gradient(smallest)
        return loss, {"min": smallest, "max": largest}

    params = {"a": jnp.zeros(size), "b": jnp.zeros((3, size // 2))}
    return params, loss_fn, lambda ticket: np.float32(0)


class Task:
    """A problem as ``jasgd.experiments.comparison.compare`` wants it, small."""

    name = "network"

    def __init__(self, seed):
        self.params, self.loss_fn, self.batches = network(seed)

    def evaluate(self, params):
        return {"loss": self.loss_fn(params, self.batches(10**6)), "accuracy": 0.5}


class Parabola:
    """A problem that compiles fast."""

    name = "parabola"

    def __init__(self, seed):
        self.params = jnp.full(8, 1.0 + seed)

    def loss_fn(self, params, batch):
        return jnp.mean((params - batch) ** 2)

    def batches(self, ticket):
        return np.zeros(8, np.float32)

    def evaluate(self, params):
        return {"loss": float(self.loss_fn(params, self.batches(0)))}


def smooth(seed=0, dtype=None):
    """Parameters, loss and batches of a small smooth problem, whose parameters have a scalar among them."""
    return _smooth(seed, jnp.dtype(dtype or jnp.result_type(float)))


@functools.cache
def _smooth(seed, dtype):
    rng = np.random.default_rng(seed)
    params = {"layers": [rng.normal(size=(3, 4)), rng.normal(size=4)], "offset": np.zeros(())}

    def loss_fn(params, batch):
        hidden = jnp.tanh(batch["x"] @ params["layers"][0])
        return jnp.mean((hidden @ params["layers"][1] + params["offset"] - batch["y"]) ** 2)

    def batches(ticket):
        inputs = np.random.default_rng([seed, ticket]).normal(size=(8, 3))
        return {"x": inputs.astype(dtype), "y": np.sin(inputs.sum(axis=1)).astype(dtype)}

    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params), loss_fn, batches

"""A small network with batch normalisation written out, whose state has a leaf of every kind, and what it must become.

The reference follows the rows of an execution in Python, and owes the compiled functions nothing but the loss.
"""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jasgd

DECAY = 0.9
#: the point of each scheme at which a worker has read and not yet decided on its staleness, and holds no mutex
HAS_READ = {"locked": "commit", "leashed": "read", "hogwild": "copied"}


class Overtaken:
    """Worker 1 reads, worker 0 commits three gradients, then worker 1 commits its first, and then any may go on."""

    def __init__(self, scheme):
        self._point, self._arrivals, self._condition = HAS_READ[scheme], [0, 0], threading.Condition()

    def __call__(self, point, worker):
        if point != self._point:
            return
        with self._condition:
            self._arrivals[worker] += 1
            arrivals = self._arrivals
            self._condition.notify_all()
            waits_for = {(1, 1): lambda: arrivals[0] >= 4, (0, 1): lambda: arrivals[1] >= 1,
                         (0, 4): lambda: arrivals[1] >= 2}.get((worker, arrivals[worker]))  # fmt: skip
            if waits_for is not None:
                assert self._condition.wait_for(waits_for, 60)


def normalized():
    """``(params, model_state, loss_fn, batches)``; the loss asks for its model state, and returns aux."""
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 3.0, (60, 6)).astype(np.float32)
    y = (x @ rng.normal(size=(6, 1))).astype(np.float32)
    # Means of either sign, and none near 0, where values of 3 leave nothing but rounding to compare.
    w1 = np.abs(rng.normal(size=(6, 5))) * np.array([1, -1, 1, -1, 1])
    params = {"w1": jnp.asarray(w1, jnp.float32), "w2": jnp.ones((5, 1)), "scale": jnp.ones(5)}
    model_state = {
        "average": {"mean": jnp.zeros(5), "var": jnp.ones(5)},
        "count": jnp.uint32(3),
        "hits": jnp.zeros(5, jnp.int8),
        "key": jax.random.key(7),
        "most": jnp.full((), -jnp.inf),
        "seen": jnp.asarray(False),
    }

    def loss_fn(params, batch, model_state):
        h = batch["x"] @ params["w1"]
        mean, var = h.mean(axis=0), h.var(axis=0)
        out = (params["scale"] * (h - mean) / jnp.sqrt(var + 1e-5)) @ params["w2"]
        average = model_state["average"]
        new = {
            "average": {
                "mean": DECAY * average["mean"] + (1 - DECAY) * mean,
                "var": DECAY * average["var"] + (1 - DECAY) * var,
            },
            "count": model_state["count"] + 1,
            "hits": model_state["hits"] + (mean > 0).astype(jnp.int8),
            "key": jax.random.fold_in(model_state["key"], 1),
            "most": jnp.maximum(model_state["most"], h.max()),
            "seen": jnp.asarray(True),
        }
        return jnp.mean((out - batch["y"]) ** 2), (new, {"read": model_state["count"]})

    return params, model_state, loss_fn, jasgd.minibatches({"x": x, "y": y}, 10)


def transformation():
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.01, momentum=0.5))


def plain(state):
    """The leaves as NumPy arrays, a key as its data."""
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    return jax.tree.map(lambda leaf: np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf), state)


def followed(result, loss_fn, tx, batches, merge=None):
    """What the model state of a run must be: its rows one after another, by the loss alone and NumPy's arithmetic."""
    gradient, update = jax.jit(jax.value_and_grad(loss_fn, has_aux=True)), jax.jit(tx.update)
    ex = result.execution
    params, state = result.initial_params, tx.init(result.initial_params)
    published, versions = result.initial_model_state, {}
    for version in range(ex.commits):
        versions[version] = params, published
        rows = np.flatnonzero(ex.version == version)
        news, grads, reads = [], [], []
        for row in rows:
            read_params, read = versions[int(ex.version_read[row])]
            (_, (new, _)), grad = gradient(read_params, batches(int(ex.ticket[row])), model_state=read)
            news.append(new), grads.append(grad), reads.append(read)
        mean = jax.tree.map(lambda *g: sum(g[1:], g[0]) / len(g), *grads)
        tau = np.int32(version - int(ex.version_read[rows[0]]))
        updates, state = update(mean, state, params, staleness=tau, value=np.float32(0))
        params = optax.apply_updates(params, updates)
        published = (merge or by_default)(published, news, reads)
    return published


def by_default(published, news, reads):
    """The published state after a commit of one or several new ones, as the documentation has it."""

    def one(before, *both):
        new, read = both[: len(news)], both[len(news) :]
        if jnp.issubdtype(before.dtype, jnp.inexact):
            return sum(new[1:], new[0]) / len(new) if len(new) > 1 else new[0]
        if jnp.issubdtype(before.dtype, jnp.integer):
            return before + sum([n - r for n, r in zip(new, read, strict=True)][1:], new[0] - read[0])
        return new[-1]

    return jax.tree.map(one, published, *news, *reads)

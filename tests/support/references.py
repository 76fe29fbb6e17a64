"""What a simulation is held against: a loop that keeps every version in a list. As a script, digests of simulations.

python tests/support/references.py LANES
"""

import functools
import json
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jasgd

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))
    warnings.simplefilter("error")
    jasgd.configure_cpu()

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jasgd.cluster import Cluster, exponential, lognormal
from jasgd.record.trees import digest

#: Reads and commits overlap in all manners.
CLUSTER = Cluster(compute_s=lognormal(1.0, 0.7), read_s=exponential(0.2), commit_s=exponential(0.2))


def x64() -> Any:
    """Double precision, in which two ways to compile the same updates stay close for a while."""
    return jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64(True)


def full(*values):
    """Parameters of a test for ``make test-full`` alone."""
    return pytest.param(*values, marks=pytest.mark.full)


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


class Followed(NamedTuple):
    """A run as the loop finds it; by version and by row."""

    params: list[Any]  # of every version
    states: list[Any]
    losses: list[float]  # of every row
    factors: list[float]
    aux: list[Any]


@functools.cache
def _gradient(loss_fn, has_aux):
    return jax.jit(jax.value_and_grad(loss_fn, has_aux=has_aux))


@functools.cache
def _apply(tx):
    extra = optax.with_extra_args_support(tx)

    @jax.jit
    def apply(params, state, grads, staleness, value, read):
        updates, state = extra.update(grads, state, params, staleness=staleness, value=value, read_params=read)
        return optax.apply_updates(params, updates), state

    return apply


def follow(loss_fn, params, tx, batches, execution, *, has_aux=False, upto=None) -> Followed:
    """Each gradient on the version that it was computed on, each commit one call of the transformation."""
    gradient, apply = _gradient(loss_fn, has_aux), _apply(tx)
    versions, states, losses, factors, aux = [params], [tx.init(params)], [], [], []
    for version in range(execution.commits if upto is None else upto):
        rows = np.flatnonzero(execution.version == version).tolist()
        if not rows:  # a commit that did not end
            versions.append(versions[-1])
            states.append(states[-1])
            continue
        read = versions[execution.version_read[rows[0]]]
        told = [gradient(versions[execution.version_read[row]], batches(int(execution.ticket[row]))) for row in rows]
        values = [value[0] if has_aux else value for value, _ in told]
        mean = jax.tree.map(lambda *parts: sum(parts) / len(parts), *(grads for _, grads in told))
        tau = np.int32(version - execution.version_read[rows[0]])
        made, state = apply(versions[-1], states[-1], mean, tau, sum(values) / len(values), read)
        versions.append(made)
        states.append(state)
        losses += map(float, values)
        factors += [float(optax.tree.get(state, "factor", 1.0))] * len(rows)
        aux += [value[1] for value, _ in told if has_aux]
    return Followed(versions, states, losses, factors, aux)


def assert_close(found, expected, rtol=1e-9):
    """Leaf by leaf; of a leaf that is no array to NumPy, its data."""
    leaves, others = ([jasgd.record.trees.plain(leaf) for leaf in jax.tree.leaves(tree)] for tree in (found, expected))
    assert len(leaves) == len(others)
    for leaf, other in zip(leaves, others, strict=True):
        assert (leaf.dtype, leaf.shape) == (other.dtype, other.shape)
        np.testing.assert_allclose(leaf, other, rtol=rtol, atol=rtol)


def digests(*, lanes="threads", seeds=(3, 1)):
    """What a simulation comes to, bit by bit."""
    params, loss_fn, batches = smooth()
    told = jasgd.simulate(
        loss_fn, params, lambda size: optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(size)),
        batches, cluster=CLUSTER, workers=5, steps=80, seeds=seeds, step_sizes=[0.01, 0.03], lanes=lanes,
    )  # fmt: skip
    return [[digest(run.params), digest(run.opt_state), *run.execution.hashes().values()] for run in told]


if __name__ == "__main__":
    json.dump(digests(lanes=sys.argv[1]), sys.stdout)

"""What simulations are held against: a loop that keeps every version in a list."""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
import optax


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
        gradients = [
            gradient(versions[execution.version_read[row]], batches(int(execution.ticket[row]))) for row in rows
        ]
        values = [value[0] if has_aux else value for value, _ in gradients]
        mean = jax.tree.map(lambda *parts: sum(parts) / len(parts), *(grads for _, grads in gradients))
        tau = np.int32(version - execution.version_read[rows[0]])
        updated, state = apply(versions[-1], states[-1], mean, tau, sum(values) / len(values), read)
        versions.append(updated)
        states.append(state)
        losses += map(float, values)
        factors += [float(optax.tree.get(state, "factor", 1.0))] * len(rows)
        aux += [value[1] for value, _ in gradients if has_aux]
    return Followed(versions, states, losses, factors, aux)

"""The loop that Optax's documentation shows, and the optimizers that runs are held against it with."""

import jax
import jax.numpy as jnp
import optax


def optimizers():
    """The optimizers of the bit-for-bit promises, by name."""
    return {
        "sgd": lambda: optax.sgd(0.05),
        "momentum": lambda: optax.sgd(0.05, momentum=0.9),
        "adam": lambda: optax.adam(1e-2),
    }


def plain_optax(loss_fn, params, tx, tickets):
    """The loop that Optax's documentation shows: a jitted gradient, and a jitted update with apply_updates.

    ``tickets`` yields the batches of one step each as a list; several are averaged in order.
    """
    gradient = jax.jit(jax.value_and_grad(loss_fn))

    @jax.jit
    def apply(params, state, grads):
        mean = grads[0]
        for other in grads[1:]:
            mean = jax.tree.map(jnp.add, mean, other)
        if len(grads) > 1:
            mean = jax.tree.map(lambda g: g / len(grads), mean)
        updates, state = tx.update(mean, state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for batches in tickets:
        grads = [gradient(params, batch)[1] for batch in batches]
        params, state = apply(params, state, grads)
    return params, state


def moved(tx, taus=(3, 0)):
    """How far gradients of 1 with these values of staleness move a scalar."""
    state, total = tx.init(jnp.zeros(())), 0.0
    for tau in taus:
        updates, state = tx.update(jnp.ones(()), state, jnp.zeros(()), staleness=tau)
        total += float(updates)
    return total

"""Runs side by side that several tests simulate, and problems for them."""

import jax.numpy as jnp
import numpy as np
import optax
from support.problems import smooth
from support.simulations import CLUSTER

import jasgd
from jasgd import cluster, rules

PLAIN = optax.sgd(0.03, momentum=0.5)


def adaptive(size=0.03):
    return optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(size, momentum=0.5))


def simulated(tx=None, problem=None, **options):
    """Four workers' 40 steps on the smooth problem, unless ``options`` say otherwise."""
    params, loss_fn, batches = problem or smooth()
    settings = {"cluster": CLUSTER, "workers": 4, "steps": 40} if "execution" not in options else {}
    return jasgd.simulate(loss_fn, params, PLAIN if tx is None else tx, batches, **(settings | options))


def of_other_lengths(seed):
    """Another number of workers, of slots, of steps, and of commits for each seed; one is synchronous."""
    scheme = "synchronous" if seed == 2 else "hogwild"
    return cluster.generate(CLUSTER, scheme=scheme, workers=2 + 3 * seed, steps=[11, 64, 30][seed], seed=seed)


def diverging(bad_ticket):
    """A problem whose loss is not finite for one ticket of some seeds."""
    params, smooth_loss, smooth_batches = smooth()

    def loss_fn(params, batch):
        return jnp.where(batch["bad"], jnp.inf, smooth_loss(params, batch)), params["offset"]

    def batches(seed):
        return lambda ticket: smooth_batches(ticket) | {"bad": np.bool_(ticket == bad_ticket.get(seed))}

    return params, loss_fn, jasgd.by_seed(batches)

"""A small quadratic problem, and runs of every scheme on it."""

import jax.numpy as jnp
import numpy as np
import optax
from support.every_scheme import EVERY

import jasgd
from jasgd import rules

SCHEMES = list(EVERY)
ASYNCHRONOUS = [name for name in SCHEMES if name != "sequential" and not name.startswith("synchronous")]


def quadratic(params, batch):
    return 0.5 * jnp.sum((params["w"] - batch) ** 2)


def start():
    return {"w": jnp.zeros(8)}


def ones(ticket):
    return np.ones(8, np.float32)


def adaptive(learning_rate=0.05, rule=None):
    return optax.chain(jasgd.staleness_adaptive(rule or rules.tail()), optax.sgd(learning_rate))


def of(scheme):
    """Options of ``jasgd.train``: the scheme of that name, with workers."""
    return {"scheme": EVERY[scheme], "workers": workers_of(scheme)}


def workers_of(scheme):
    return 1 if scheme == "sequential" else 4


def mean_square(w, b):
    return jnp.mean((w - b) ** 2)


def train(tx=None, batches=lambda ticket: np.float32(1), start=None, **options):
    """A short run on three parameters, which returns its result also where it fails."""
    options = {"workers": 2, "steps": 40, "throw": False} | options
    return jasgd.train(mean_square, jnp.zeros(3) if start is None else start, tx or optax.sgd(0.05), batches, **options)

"""What the tests of simulations share: a cluster, double precision, and the problem that they simulate."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import assert_close
from support.problems import smooth
from support.reference_loop import follow

import jasgd
from jasgd import cluster, rules, schemes
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


def digests(*, lanes="threads", seeds=(3, 1)):
    """What a simulation comes to, bit by bit."""
    params, loss_fn, batches = smooth()
    runs = jasgd.simulate(
        loss_fn, params, lambda size: optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(size)),
        batches, cluster=CLUSTER, workers=5, steps=80, seeds=seeds, learning_rates=[0.01, 0.03], lanes=lanes,
    )  # fmt: skip
    return [[digest(run.params), digest(run.opt_state), *run.execution.hashes().values()] for run in runs]


STEPS = 60
SCHEMES = {
    "sequential": "sequential",
    "synchronous": "synchronous",
    "locked": "locked",
    "hogwild": "hogwild",
    "leashed": schemes.leashed(persistence=1, max_staleness=6),
    "bounded": cluster.bounded_staleness(slack=2),
    "k_of_n": cluster.k_of_n(k=2),
}
OPTIMIZERS = {
    "sgd": lambda rule: optax.chain(jasgd.staleness_adaptive(rule), optax.sgd(0.05)),
    "momentum": lambda rule: optax.chain(jasgd.staleness_adaptive(rule), optax.sgd(0.02, momentum=0.9)),
    "adam": lambda rule: optax.chain(optax.adam(1e-2), jasgd.staleness_adaptive(rule)),
}
RULES = {
    "constant": rules.constant,
    "tail": rules.tail,
    "exponential": lambda: rules.normalized(rules.exponential(beta=0.1)),
}


def simulated(tx, problem=None, **options):
    params, loss_fn, batches = problem or smooth()
    settings = {"cluster": CLUSTER, "workers": 4, "steps": STEPS} if "execution" not in options else {}
    return jasgd.simulate(loss_fn, params, tx, batches, **(settings | options))


def held_against_the_loop(tx, problem=None, *, rtol=1e-9, **options):
    """A simulation of one seed in double precision, and the loop; both after they were found to agree."""
    with x64():
        problem = problem or smooth()
        (run,) = simulated(tx, problem, **options)
        params, loss_fn, batches = problem
        has_aux = options.get("has_aux", False)
        expected = follow(loss_fn, params, tx, batches, run.execution, has_aux=has_aux)
        assert_close(run.params, expected.params[-1], rtol)
        assert_close(run.opt_state, expected.states[-1], rtol)
    assert jax.tree.structure(run.params) == jax.tree.structure(params)
    assert jax.tree.structure(run.opt_state) == jax.tree.structure(expected.states[-1])
    np.testing.assert_allclose(run.execution.loss, expected.losses, rtol=1e-6)
    np.testing.assert_allclose(run.execution.factor, expected.factors, rtol=1e-6)
    return run, expected


def held_against_its_replay(run, tx, problem=None, *, rtol=1e-9):
    with x64():
        _, loss_fn, batches = problem or smooth()
        again = jasgd.replay(run, loss_fn, tx, batches)
        assert again.compared == ("params", "opt_state")
        assert_close(run.params, again.params, rtol)
        assert_close(run.opt_state, again.opt_state, rtol)
    return again


def with_aux():
    params, loss_fn, batches = smooth()

    def loss_and_aux(params, batch):
        loss = loss_fn(params, batch)
        return loss, {"offset": params["offset"], "more": (2.0 * loss, jnp.int32(batch["y"].sum() > 0))}

    return params, loss_and_aux, batches


def by_value():
    """Scales by the loss that the gradient came with, and counts in integers."""

    def update(grads, state, params=None, *, value, **extra):
        del params, extra
        count, best = state
        scaled = jax.tree.map(lambda g: g / (1.0 + value).astype(g.dtype), grads)
        return scaled, (count + 1, jnp.minimum(best, value).astype(best.dtype))

    def init(params):
        return jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, jax.tree.leaves(params)[0].dtype)

    return optax.GradientTransformationExtraArgs(init, update)

"""Why the mean factor of a run is not exactly 1: its staleness, put through the rule again in other orders.

    python benchmarks/orders.py                     # five runs with threads, then simulated workers
    python benchmarks/orders.py --threads 2 --runs 3

A run's staleness goes through TAIL-τ as it was; in any order; with the order within blocks of updates changed alone,
which keeps what drifts over longer times; and with the order of the blocks changed alone, which keeps what is next to
each other. Of each the mean of C(τ), and its standard deviation over the orders.
"""

import argparse

import numpy as np

import jasgd

jasgd.configure_cpu()  # before anything that starts JAX

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402

from jasgd import cluster, problems  # noqa: E402

BLOCK = 50
SPEEDS = {"equal": None, "σ = 1.2": cluster.lognormal(1.0, 1.2)}
tx = jasgd.staleness_adaptive("tail")


@jax.jit
def mean_factor(staleness):
    """The mean of C(τ), where the law is measured on the way."""

    def step(state, tau):
        _, state = tx.update(jnp.ones(()), state, staleness=tau)
        return state, state.factor

    return jax.lax.scan(step, tx.init(jnp.zeros(())), staleness)[1].mean()


def report(name, execution, orders):
    rng = np.random.default_rng(0)
    tau = execution.staleness.astype(np.int32)
    blocks = [tau[start : start + BLOCK] for start in range(0, len(tau), BLOCK)]
    others = {
        "any order": lambda: rng.permutation(tau),
        "within blocks": lambda: np.concatenate([rng.permutation(block) for block in blocks]),
        "of blocks": lambda: np.concatenate([blocks[place] for place in rng.permutation(len(blocks))]),
    }
    line = [f"{name:28} as it was {float(mean_factor(tau)):.3f}"]
    for title, order in others.items():
        means = [float(mean_factor(order())) for _ in range(orders)]
        line.append(f"{title} {np.mean(means):.3f} ± {np.std(means):.3f}")
    print("   ".join(line), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="*", default=[32, 64], help="that are simulated")
    parser.add_argument("--orders", type=int, default=20)
    options = parser.parse_args()
    digits = problems.load("digits", "mlp", batch_size=32, seed=0)
    training = optax.chain(jasgd.staleness_adaptive("tail"), optax.sgd(0.05))
    for run in range(options.runs):
        result = jasgd.train(
            digits.loss_fn, digits.params, training, digits.batches, workers=options.threads, steps=1500
        )
        report(f"{options.threads} threads, run {run + 1}", result.execution, options.orders)
    for workers in options.workers:
        for name, speeds in SPEEDS.items():
            one = cluster.Cluster(compute_s=cluster.gamma(0.01, 4), **({} if speeds is None else {"speeds": speeds}))
            execution = cluster.generate(one, workers=workers, steps=1000)
            report(f"{workers} simulated, {name}", execution, options.orders)


if __name__ == "__main__":
    main()

"""What steps by distance cost: time of an update over that with TAIL by staleness, in turn, in one process.

    python benchmarks/distance.py [PAIRS]

An MLP of 135,000 parameters is trained on noise, by two workers under Leashed-SGD, and as a simulation of eight. Each
ratio is of two runs that follow each other, and the order within a pair alternates.
"""

import itertools
import statistics
import sys
import time

import jasgd

jasgd.configure_cpu()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from jasgd.cluster import Cluster, gamma  # noqa: E402

SIZES = (784, 128, 128, 128, 10)
PAIRS, BATCH, STEPS = 15, 32, 400
RULES = ("tail", "parabola:kappa=0.3", "measured_parabola", "tail:measure=path")


def loss_fn(params, batch):
    x, y = batch
    for w, b in params[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = params[-1]
    return optax.softmax_cross_entropy_with_integer_labels(x @ w + b, y).mean()


RNG = np.random.default_rng(0)
PARAMS = [(jnp.asarray(RNG.normal(0, 0.05, (a, b)), jnp.float32), jnp.zeros(b)) for a, b in itertools.pairwise(SIZES)]
DATA = RNG.normal(size=(BATCH, 784)).astype(np.float32), RNG.integers(0, 10, BATCH)
EXECUTION = jasgd.cluster.generate(Cluster(compute_s=gamma(1.0, 4.0)), scheme="leashed", workers=8, steps=STEPS)


def threads(tx):
    result = jasgd.train(loss_fn, PARAMS, tx, lambda ticket: DATA, workers=2, steps=STEPS)
    return result.duration_s / STEPS


def simulation(tx):
    begun = time.perf_counter()
    jasgd.simulate(loss_fn, PARAMS, tx, lambda ticket: DATA, execution=EXECUTION)
    return (time.perf_counter() - begun) / STEPS


def main(pairs):
    by_staleness = optax.chain(jasgd.staleness_adaptive("tail"), optax.sgd(0.01))
    for run, rule in itertools.product((threads, simulation), RULES):
        by_distance = optax.chain(jasgd.distance_adaptive(rule), optax.sgd(0.01))
        ratios, times = [], []
        for pair in range(pairs):
            took = {}
            for tx in (by_staleness, by_distance) if pair % 2 else (by_distance, by_staleness):
                took[tx is by_distance] = run(tx)
            ratios.append(took[True] / took[False])
            times.append(took[False])
        low, *_, high = sorted(ratios)
        ratio, tail_us = statistics.median(ratios), 1e6 * statistics.median(times)
        place = f"{low:.3f} to {high:.3f}, {pairs} pairs"
        print(f"{run.__name__}, {rule}: {ratio:.3f} of TAIL's {tail_us:.0f} µs an update ({place})", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS)

"""Prints digests of simulations as JSON: what a simulation comes to, bit by bit.

python tests/support/digests_script.py LANES
"""

import json
import sys

import jasgd

if __name__ == "__main__":
    jasgd.configure_cpu()

import json
import sys

import optax

import jasgd
from jasgd.record.trees import digest


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

"""Executions of clusters drawn at random, by number."""

from __future__ import annotations

import random

import numpy as np

from jasgd import cluster, schemes
from jasgd.cluster import Cluster, Pauses, Stragglers, exponential, gamma, lognormal
from jasgd.record.execution import Execution, row_dtype

SCHEMES = {
    "synchronous": lambda draw, workers: "synchronous",
    "locked": lambda draw, workers: schemes.locked(max_staleness=draw.choice([None, 2])),
    "hogwild": lambda draw, workers: "hogwild",
    "leashed": lambda draw, workers: schemes.leashed(
        persistence=draw.choice([None, 0, 2]), max_staleness=draw.choice([None, 5])
    ),
    "bounded": lambda draw, workers: cluster.bounded_staleness(slack=draw.randrange(4)),
    "k_of_n": lambda draw, workers: cluster.k_of_n(k=draw.randint(1, workers)),
}


def drawn(index: int) -> Execution:
    """An execution of a cluster at random, by number; some have versions whose commits did not end."""
    draw = random.Random(index)
    workers = draw.choice([1, 2, 3, 5, 8, 16, 40])
    scheme = sorted(SCHEMES)[index % len(SCHEMES)]
    model = Cluster(
        compute_s=draw.choice([exponential(1.0), lognormal(1.0, 1.5), gamma(1.0, 4.0), 1.0]),
        read_s=draw.choice([0.0, 0.1]),
        commit_s=draw.choice([0.0, 0.05, exponential(0.3)]),
        stragglers=draw.choice([None, Stragglers(probability=0.05, slowdown=30.0)]),
        pauses=draw.choice([None, Pauses(every_s=5.0, duration_s=20.0)]),
        leaves_s={w: 9.0 + w for w in range(1, workers, 3)} if draw.random() < 0.3 else {},
    )
    steps = draw.choice([1, 2, 7, 150])
    execution = cluster.generate(model, scheme=SCHEMES[scheme](draw, workers), workers=workers, steps=steps, seed=index)
    if scheme == "hogwild" and steps > 2:
        lost = sorted(draw.sample(range(steps), draw.randint(1, min(steps - 1, 9))))
        return without(execution, lost)
    return execution


def without(execution: Execution, lost: list[int]) -> Execution:
    """As Hogwild would have left it, had these commits not ended."""
    rows = np.zeros(len(execution), row_dtype(dropped=False))
    for name in rows.dtype.names:
        rows[name] = getattr(execution, name)
    rows = rows[~np.isin(execution.version, lost)]
    metadata = execution.metadata | {"unfinished": lost}
    return Execution.from_rows(rows, np.zeros(0, row_dtype(dropped=True)), metadata)

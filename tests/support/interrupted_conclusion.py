"""A script: trains until Ctrl-C, says when it concludes, and goes on when it is told to; prints what came of it."""

import sys

import jax.numpy as jnp
import numpy as np
import optax

import jasgd
from jasgd.training.engines import carrying_out

conclude = carrying_out.conclude


def slowly(*arguments):
    print("concluding", flush=True)
    sys.stdin.readline()
    return conclude(*arguments)


def on_progress(progress):
    if progress.updates > 20:
        print("training", flush=True)


if __name__ == "__main__":
    carrying_out.conclude = slowly
    result = jasgd.train(
        lambda w, batch: jnp.mean((w - batch) ** 2), jnp.zeros(3), optax.sgd(0.05), lambda ticket: np.float32(1),
        scheme=jasgd.schemes.leashed(native=False), workers=2, time_limit_s=600, on_progress=on_progress,
    )  # fmt: skip
    print(f"{result.outcome}: {result.message}; {result.execution.commits > 20}", flush=True)

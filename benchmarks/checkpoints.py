"""What checkpoints cost: updates a second with a save every second over those without, in turn, in one process.

    python benchmarks/checkpoints.py

Two workers train an MLP of 135,000 parameters on noise under Leashed-SGD. Runs with and without checkpoints take turns,
and each ratio is of two runs that follow each other. Then how long a save takes after few updates and after many.
"""

import itertools
import statistics
import tempfile
import time

import jasgd

jasgd.configure_cpu()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from jasgd.training.checkpointing import saving  # noqa: E402

SIZES = (784, 128, 128, 128, 10)
SECONDS, PAIRS, BATCH = 5.0, 5, 128


def loss_fn(params, batch):
    x, y = batch
    for w, b in params[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = params[-1]
    return optax.softmax_cross_entropy_with_integer_labels(x @ w + b, y).mean()


def rate(checkpoint, **stops):
    rng = np.random.default_rng(0)
    params = [
        (jnp.asarray(rng.normal(0, 0.05, (a, b)), jnp.float32), jnp.zeros(b)) for a, b in itertools.pairwise(SIZES)
    ]
    batch = rng.normal(size=(BATCH, 784)).astype(np.float32), rng.integers(0, 10, BATCH)
    tx = optax.chain(jasgd.staleness_adaptive("tail"), optax.sgd(0.01))
    result = jasgd.train(loss_fn, params, tx, lambda ticket: batch, workers=2, checkpoint=checkpoint, **stops)
    return result.metrics["updates_per_s"]


def costs_of_workers():
    ratios = []
    for pair in range(PAIRS):
        rates = {}
        for saved in (True, False) if pair % 2 else (False, True):
            with tempfile.TemporaryDirectory() as folder:
                checkpoint = jasgd.Checkpoints(folder, every_s=1.0) if saved else None
                rates[saved] = rate(checkpoint, time_limit_s=SECONDS)
        ratios.append(rates[True] / rates[False])
    low, *_, high = sorted(ratios)
    print(f"a save a second: {statistics.median(ratios):.3f} of the updates ({low:.3f}–{high:.3f}, {PAIRS} pairs)")


def costs_of_saves(updates):
    """How long saves take near so many updates of a small problem, in ms."""
    durations, save = [], saving.Checkpointing._save

    def timed(self, snapshot, *, ended):
        began = time.perf_counter()
        save(self, snapshot, ended=ended)
        if self._run.ledger.newest_version > updates / 2:
            durations.append(1000 * (time.perf_counter() - began))

    saving.Checkpointing._save = timed
    try:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = jasgd.Checkpoints(folder, every_steps=max(1000, updates // 100), rows_on_disk=True)
            jasgd.train(lambda w, b: ((w - b) ** 2).sum(), jnp.zeros(10), optax.sgd(1e-3), lambda ticket: np.float32(1),
                        workers=2, steps=updates, checkpoint=checkpoint)  # fmt: skip
    finally:
        saving.Checkpointing._save = save
    print(f"{updates:>9,} updates: a save takes {statistics.median(durations):.0f} ms (median of {len(durations)})")


if __name__ == "__main__":
    costs_of_workers()
    for updates in (10**4, 10**5, 10**6):
        costs_of_saves(updates)

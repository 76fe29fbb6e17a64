"""What it costs to look at the parameters that every commit makes, beside the same run without.

Two runs after each other are a pair, in an order that changes from pair to pair. Printed is the median of the pairs'
ratios of updates a second, without over with, and a 95 % bootstrap interval of that median. In native rounds looking
is compiled into the copy: ``JASGD_HEALTH_BEFORE`` names a folder with the code before it, a checkout of an earlier
commit, which a second process runs by turns with this one. Without it Python's rounds alone are compared.

    JASGD_HEALTH_BEFORE=../before python benchmarks/health_cost.py --pairs 15 --seconds 2
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ARMS = {
    "leashed, native": ("leashed", True), "locked, native": ("locked", True), "hogwild, native": ("hogwild", True),
    "leashed": ("leashed", False), "locked": ("locked", False), "hogwild": ("hogwild", False),
}  # fmt: skip
SIZES = (784, 128, 128, 128, 10)


def serve() -> None:
    """Trains as each line of standard input says, and prints the updates a second; one process for all pairs."""
    import jasgd

    jasgd.configure_cpu()
    import jax
    import jax.numpy as jnp
    import optax

    rng = np.random.default_rng(0)
    params = [
        {"kernel": jnp.asarray(rng.normal(0, (2 / m) ** 0.5, (m, n)), jnp.float32), "bias": jnp.zeros(n)}
        for m, n in itertools.pairwise(SIZES)
    ]

    def loss_fn(params, batch):
        x, y = batch
        for layer in params[:-1]:
            x = jax.nn.relu(x @ layer["kernel"] + layer["bias"])
        logits = x @ params[-1]["kernel"] + params[-1]["bias"]
        return optax.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.005))
    drawn = {}
    for line in sys.stdin:
        name, native, batch, workers, seconds, looks = json.loads(line)
        if batch not in drawn:
            drawn[batch] = [
                (rng.normal(size=(batch, SIZES[0])).astype(np.float32), rng.integers(0, 10, batch).astype(np.int32))
                for _ in range(32)
            ]
        scheme = jasgd.schemes.named(name, native=native)
        if not looks:
            scheme = blind(scheme)
        result = jasgd.train(
            loss_fn, params, tx, cycled(drawn[batch]), scheme=scheme, workers=workers,
            time_limit_s=seconds,
        )  # fmt: skip
        print(json.dumps(result.execution.commits / result.duration_s), flush=True)


def cycled(batches):
    return lambda ticket: batches[ticket % len(batches)]


def blind(factory):
    """The scheme in Python's rounds, whose ledger looks at nothing."""

    def make(setup):
        scheme = factory(setup)
        setup.ledger.check_made = lambda *_, **__: None
        return scheme

    return make


def started(folder: str | None) -> subprocess.Popen:
    path = os.pathsep.join([folder or str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip


def rate(process: subprocess.Popen, *question: object) -> float:
    """Updates a second of one run."""
    process.stdin.write(json.dumps(question) + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def interval(ratios: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """Of the median, with 95 %."""
    medians = np.median(rng.choice(ratios, (10_000, len(ratios))), axis=1)
    return float(np.quantile(medians, 0.025)), float(np.quantile(medians, 0.975))


def main() -> None:
    """Prints a line for each scheme and batch size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one run")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 128])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--serve", action="store_true", help="for the processes that this one starts")
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    before, rng = os.environ.get("JASGD_HEALTH_BEFORE"), np.random.default_rng(0)
    now = started(None)
    then = started(before) if before else None
    for arm in arguments.arms:
        name, native = ARMS[arm]
        if native and then is None:
            print(f"{arm}: needs JASGD_HEALTH_BEFORE")
            continue
        for batch in arguments.batches:
            question = [name, native, batch, arguments.workers, arguments.seconds]
            other = then or now
            rate(now, *question[:-1], 0.5, True), rate(other, *question[:-1], 0.5, then is not None)  # compiles
            ratios = []
            for pair in range(arguments.pairs):
                turns = [(now, True), (other, then is not None)]
                rates = {turn: rate(turn[0], *question, turn[1]) for turn in (turns if pair % 2 else turns[::-1])}
                ratios.append(rates[turns[1]] / rates[turns[0]])
            low, high = interval(np.array(ratios), rng)
            cost, low, high = (100 * (r - 1) for r in (float(np.median(ratios)), low, high))
            print(f"{arm}, batch {batch}: looking costs {cost:+.1f} % ({low:+.1f} … {high:+.1f})", flush=True)
    for process in (now, then):
        if process is not None:
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    main()

"""How near the staleness of a generated execution is to that of the run whose times it was made of.

    python benchmarks/laws.py                       # 1 and 2 workers, batches of 32 and 128, digits/mlp
    python benchmarks/laws.py --workers 4 8         # more workers than processors

Each repetition trains with threads, once for every arm in turn, makes a cluster of the times that this very run
measured (``jasgd.cluster.measured_from``), and generates as many commits. Told is the Bhattacharyya distance of the two
empirical laws, -ln Σ √(p_i q_i), by median over repetitions with its range: for times at their time of the run, in
their order, and drawn at random; and, as a measure for these, that of the run to the same arm's run before. "others" is
the share of the machine that other processes took meanwhile: where it is far from 0, there are fewer processors than
the machine has. The goal is a distance of at most 0.05 where there are as many processors as workers.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np

import jasgd

jasgd.configure_cpu()  # before anything that starts JAX

import optax  # noqa: E402

from jasgd import cluster, problems, rules  # noqa: E402
from jasgd.fits import bhattacharyya  # noqa: E402

ORDERS = ("timed", "recorded", "drawn")


def distance(one, other):
    """Between the empirical laws of two executions' staleness."""
    laws = [np.bincount(execution.staleness) / len(execution) for execution in (one, other)]
    longest = max(map(len, laws))
    return bhattacharyya(*(np.pad(law, (0, longest - len(law))) for law in laws))


def processor_seconds():
    """Seconds that all processors have had so far, and those in which they worked; (0, 0) where nobody says."""
    path = Path("/proc/stat")
    if not path.exists():
        return 0.0, 0.0
    ticks = [int(field) for field in path.read_text().splitlines()[0].split()[1:9]]
    per_second = os.sysconf("SC_CLK_TCK")
    return sum(ticks) / per_second, (sum(ticks) - ticks[3] - ticks[4]) / per_second


def one_run(problem, scheme, workers, steps):
    """A run with threads, and the share of the machine that other processes took."""
    tx = optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(0.01))
    before, mine = processor_seconds(), time.process_time()
    result = jasgd.train(
        problem.loss_fn,
        problem.params,
        tx,
        problem.batches,
        scheme=jasgd.schemes.named(scheme, native=False),
        workers=workers,
        steps=steps,
    )
    mine, after = time.process_time() - mine, processor_seconds()
    had, worked = after[0] - before[0], after[1] - before[1]
    return result, max(0.0, worked - mine) / had if had > 0 else float("nan")


def measure(options):
    loaded = {b: problems.load(options.dataset, options.model, batch_size=b) for b in options.batches}
    arms = [(b, m, s) for b in options.batches for m in options.workers for s in options.schemes]
    rows = {arm: [] for arm in arms}
    before = {}
    for _ in range(options.repetitions):
        for arm in arms:
            batch, workers, scheme = arm
            result, others = one_run(loaded[batch], scheme, workers, options.steps)
            run = result.execution
            row = {"others": others, "mean τ": float(run.staleness.mean()), "tries": float(run.tries.mean())}
            for order in ORDERS:
                model = cluster.measured_from(result, order=order)
                generated = cluster.generate(model, scheme=scheme, workers=workers, steps=options.steps)
                row[order] = distance(run, generated)
                row[f"mean τ, {order}"] = float(generated.staleness.mean())
            if arm in before:
                row["run before"] = distance(run, before[arm])
            before[arm] = run
            rows[arm].append(row)
    return rows


def cell(values):
    if not values:
        return "–"
    return f"{statistics.median(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--schemes", nargs="+", default=["locked", "hogwild", "leashed"])
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    measured = measure(options)
    print(f"{options.dataset}/{options.model}, {options.steps} commits, {os.cpu_count()} processors")
    columns = [*ORDERS, "run before"]
    print(f"{'batch':>5} {'m':>2} {'scheme':8} {'others':>7} {'mean τ':>7} " + " ".join(f"{c:>21}" for c in columns))
    for (batch, workers, scheme), rows in measured.items():
        others, mean = (statistics.median(row[name] for row in rows) for name in ("others", "mean τ"))
        cells = " ".join(f"{cell([row[c] for row in rows if c in row]):>21}" for c in columns)
        print(f"{batch:5} {workers:2} {scheme:8} {others:7.0%} {mean:7.2f} {cells}")
    if options.json:
        rows = [
            {"batch": b, "workers": m, "scheme": s, "repetitions": repetitions}
            for (b, m, s), repetitions in measured.items()
        ]
        Path(options.json).write_text(json.dumps({"options": vars(options), "arms": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""What a simulated update costs beside one of a sequential compiled scan, and what an execution costs to generate.

    python benchmarks/simulation.py            # the 3-layer MLP with 134,794 parameters, batch 32

Both scans take their mini-batches from arrays on the device and run in the same chunks. Each repetition runs the
sequential scan right before and right behind every simulation, and a ratio is taken within a repetition. Making the
slots is counted, compiling is not. Told are the median over repetitions and the range. Goals: at most 1.15 with 32
workers and 1.3 with 1,000; an execution of 10⁶ commits of 1,000 workers without contention in under 2 s.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import jasgd

jasgd.configure_cpu()  # before anything that starts JAX

import jax  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from jasgd import cluster, problems  # noqa: E402
from jasgd.door import admit  # noqa: E402
from jasgd.feed import feed  # noqa: E402
from jasgd.lanes import Lane, Task, run_in_threads  # noqa: E402
from jasgd.scan import Program  # noqa: E402
from jasgd.schedule import schedule  # noqa: E402

CHUNK = 1000
SCHEMES = {
    "hogwild": {},
    "locked": {"commit_s": 0.0001, "read_s": 0.0001},
    "leashed:persistence=4": {"commit_s": 0.0001},
    "bounded_staleness:slack=4": {},
    "synchronous": {},
    "k_of_n:k=8": {},
}


class Bench:
    """One problem, trained sequentially and along executions."""

    def __init__(self, dataset, model, batch):
        self.problem = problems.load(dataset, model, batch_size=batch)
        self.compiled, self.leaves, self.state = admit(
            self.problem.loss_fn, self.problem.params, optax.sgd(0.01), self.problem.batches(0)
        )
        self.feed = feed([self.problem.batches], CHUNK)
        self.program = Program(self.compiled, None, self.feed.take)
        self.scan = jax.jit(self._sequential)

    def _sequential(self, leaves, state, shared, rows):
        def step(carry, row):
            leaves, state = carry
            loss, _, grads = self.compiled.gradient(leaves, self.feed.take(shared, row))
            leaves, state, _ = self.compiled.applied(leaves, state, grads, np.int32(0), loss, ())
            return (leaves, state), loss

        return jax.lax.scan(step, (leaves, state), rows)

    def sequential(self, steps):
        """Seconds for the reference."""
        started, carry = time.perf_counter(), (self.leaves, self.state)
        for start in range(0, steps, CHUNK):
            carry, losses = self.scan(*carry, self.feed.shared, self.feed.given(0, np.arange(start, start + CHUNK)))
            np.asarray(losses)
        jax.block_until_ready(carry)
        return time.perf_counter() - started

    def lane(self, workers, steps):
        """The job of a simulation."""
        model = cluster.Cluster(compute_s=cluster.gamma(0.01, 4))
        execution = cluster.generate(model, scheme="hogwild", workers=workers, steps=steps)
        task = Task(self.program, self.feed, None, None, True, None, self.problem.batches(0), chunk=CHUNK)
        return task, Lane(0, None, 0, execution, schedule(execution), self.leaves, self.state)

    def simulated(self, job):
        """Seconds for a simulation."""
        started = time.perf_counter()
        run_in_threads([job])
        return time.perf_counter() - started


def ratios(options):
    bench = Bench(options.dataset, options.model, options.batch)
    jobs = {workers: bench.lane(workers, options.steps) for workers in options.workers}
    bench.sequential(CHUNK)
    for job in jobs.values():
        bench.simulated(job)  # compiles
    told = {workers: [] for workers in jobs}
    plain = []
    for _ in range(options.repetitions):
        for workers, job in jobs.items():
            before = bench.sequential(options.steps)
            seconds = bench.simulated(job)
            after = bench.sequential(options.steps)
            told[workers].append(2 * seconds / (before + after))
            plain += [before, after]
    return {"plain_s": plain, "ratios": told}


def memory(options):
    """Peak memory of a simulation above that of one worker's, over what its versions alive hold; each in a process."""
    peaks = {}
    for workers in (1, *options.workers):
        command = [
            sys.executable,
            __file__,
            "--peak",
            str(workers),
            "--dataset",
            options.dataset,
            "--model",
            options.model,
        ]
        peaks[workers] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return peaks


def peak(workers, dataset, model):
    bench = Bench(dataset, model, 32)
    bench.simulated(bench.lane(workers, 2 * CHUNK))
    size = sum(leaf.nbytes for leaf in bench.leaves)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / size)  # in parameter vectors


def generation(repetitions):
    """Seconds to generate executions, by scheme and number of workers."""
    told = {}
    for scheme, times in SCHEMES.items():
        for workers in (8, 1000):
            steps = 1_000_000 if scheme == "hogwild" else 20_000
            model = cluster.Cluster(compute_s=cluster.gamma(0.01, 4), **times)
            seconds = []
            for _ in range(repetitions):
                started = time.perf_counter()
                cluster.generate(model, scheme=scheme, workers=workers, steps=steps)
                seconds.append(time.perf_counter() - started)
            told[f"{scheme}, {workers} workers, {steps:,} commits"] = seconds
    return told


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--workers", type=int, nargs="+", default=[32, 1000])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--peak", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak is not None:
        return peak(options.peak, options.dataset, options.model)
    made = generation(min(3, options.repetitions))
    for name, seconds in made.items():
        print(f"generated {name}: {statistics.median(seconds):.3f} s ({min(seconds):.3f}–{max(seconds):.3f})")
    told = ratios(options)
    per_update = 1e6 * statistics.median(told["plain_s"]) / options.steps
    print(f"{options.dataset}/{options.model}, batch {options.batch}: sequential scan {per_update:.0f} µs an update")
    for workers, values in told["ratios"].items():
        print(f"{workers:6} workers: {statistics.median(values):.3f} ({min(values):.3f}–{max(values):.3f})")
    peaks = memory(options)
    for workers in options.workers:
        above = peaks[workers] - peaks[1]
        alive = f"{above:.1f} parameter vectors above one worker's, of {workers - 1} more versions alive"
        print(f"{workers:6} workers: peak memory {alive}: {above / (workers - 1):.2f}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(told | {"generation_s": made, "peaks": peaks, "options": vars(options)}, file, indent=2)
    return None


if __name__ == "__main__":
    main()

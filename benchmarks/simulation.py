"""What a simulated update costs beside one of a sequential compiled scan, in time and memory.

    python benchmarks/simulation.py            # the 3-layer MLP with 134,794 parameters, batch 32

Both scans take their mini-batches from arrays on the device and run in the same chunks. Each repetition runs the
sequential scan right before and right behind every simulation, and a ratio is taken within a repetition. Making the
slots is counted, compiling is not. Told are the median over repetitions and the range. Goals: at most 1.15 with 32
workers and 1.25 with 1,000, and at most 1.2 parameter vectors for each version alive. (benchmarks/cluster.py times the
making of executions.)
"""

import argparse
import json
import math
import statistics
import time

import jasgd

jasgd.configure_cpu()  # before anything that starts JAX

import jax  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from jasgd import cluster, problems  # noqa: E402
from jasgd.core.admission import admit  # noqa: E402
from jasgd.simulating.lanes import run_in_threads  # noqa: E402
from jasgd.simulating.preparation import Lane, SimulationTask  # noqa: E402
from jasgd.simulating.scan import Program, steps_of  # noqa: E402
from jasgd.simulating.scan_batches import batches_for_scans  # noqa: E402
from jasgd.simulating.schedule import schedule  # noqa: E402

CHUNK = 1000


class Bench:
    """One problem, trained sequentially and along executions."""

    def __init__(self, dataset, model, batch):
        self.problem = problems.load(dataset, model, batch_size=batch)
        self.compiled, self.leaves, self.state = admit(
            self.problem.loss_fn, self.problem.params, optax.sgd(1e-5), self.problem.batches(0)
        )
        self.batches = batches_for_scans([self.problem.batches], CHUNK)
        self.program = Program(self.compiled, None, self.batches.take)
        self.scan = jax.jit(self._sequential)

    def _sequential(self, leaves, state, shared, rows):
        def step(carry, row):
            leaves, state = carry
            loss, _, grads = self.compiled.gradient(leaves, self.batches.take(shared, row))
            leaves, state, _ = self.compiled.traced_apply(leaves, state, grads, np.int32(0), loss, ())
            return (leaves, state), loss

        return jax.lax.scan(step, (leaves, state), rows)

    def drawn(self, start):
        """The mini-batches of a chunk."""
        return self.batches.draw(0, np.arange(start, start + CHUNK), np.zeros(CHUNK, np.int64))

    def sequential(self, steps):
        """Seconds for the reference."""
        started, carry = time.perf_counter(), (self.leaves, self.state)
        for start in range(0, steps, CHUNK):
            carry, losses = self.scan(*carry, self.batches.shared, self.drawn(start))
            np.asarray(losses)
        jax.block_until_ready(carry)
        return time.perf_counter() - started

    def lane(self, workers, steps):
        """The job of a simulation."""
        model = cluster.Cluster(compute_s=cluster.gamma(0.01, 4))
        execution = cluster.generate(model, scheme="hogwild", workers=workers, steps=steps)
        task = SimulationTask(
            self.program, self.batches, None, None, True, None, self.problem.batches(0), slots=0, chunk=CHUNK
        )
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
    by_workers = {workers: [] for workers in jobs}
    plain = []
    for _ in range(options.repetitions):
        for workers, job in jobs.items():
            before = bench.sequential(options.steps)
            seconds = bench.simulated(job)
            after = bench.sequential(options.steps)
            by_workers[workers].append(2 * seconds / (before + after))
            plain += [before, after]
    return {"plain_s": plain, "ratios": by_workers}


def memory(options):
    """What the scan holds at most, in parameter vectors: arguments, results and temporaries, by XLA's account."""
    bench = Bench(options.dataset, options.model, options.batch)
    held = {}
    for workers in options.workers:
        _, lane = bench.lane(workers, 10 * CHUNK)
        carry = bench.program.begin(bench.leaves, bench.state, lane.plan.slots)
        batch = bench.drawn(0)
        steps = steps_of(lane.plan, 0, CHUNK, CHUNK, batch)
        shared = jax.eval_shape(lambda: bench.batches.shared)
        used = bench.program.run.lower(carry, shared, steps, None, grouped=False).compile().memory_analysis()
        data = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves((shared, steps)))
        total = used.argument_size_in_bytes + used.output_size_in_bytes + used.temp_size_in_bytes
        size = sum(leaf.nbytes for leaf in bench.leaves)
        held[workers] = (total - used.alias_size_in_bytes - data) / size
    return held


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--workers", type=int, nargs="+", default=[32, 1000])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    measured = ratios(options)
    per_update = 1e6 * statistics.median(measured["plain_s"]) / options.steps
    print(f"{options.dataset}/{options.model}, batch {options.batch}: sequential scan {per_update:.0f} µs an update")
    for workers, values in measured["ratios"].items():
        print(f"{workers:6} workers: {statistics.median(values):.3f} ({min(values):.3f}–{max(values):.3f})")
    held = memory(options)
    for workers, vectors in held.items():
        share = vectors / (workers + 1)
        print(f"{workers:6} workers: {vectors:.1f} parameter vectors for {workers + 1} versions: {share:.2f}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(measured | {"parameter_vectors": held, "options": vars(options)}, file, indent=2)


if __name__ == "__main__":
    main()

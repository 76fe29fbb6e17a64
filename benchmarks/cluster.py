"""What it costs to generate an execution: seconds for a million commits, and microseconds for each event-driven one.

    python benchmarks/cluster.py

A gradient that is dropped costs as much as one that is applied, so "a gradient" is either.
"""

import time

from jasgd import cluster

COMPUTE = cluster.gamma(mean_s=0.010, shape=4)


def seconds(model, scheme, workers, steps):
    start = time.perf_counter()
    execution = cluster.generate(model, scheme=scheme, workers=workers, steps=steps)
    return time.perf_counter() - start, execution


def main():
    print("No contention: one sort, and nothing is simulated event by event.")
    for workers in (8, 1000, 10_000):
        took, execution = seconds(cluster.Cluster(compute_s=COMPUTE), "leashed", workers, 1_000_000)
        print(
            f"{workers:6} workers, {execution.commits} commits in {took:.2f} s, mean τ {execution.staleness.mean():.2f}"
        )

    print("\nReads of 1 µs and commits of 2 µs on shared cores, event by event.")
    for workers in (8, 1000):
        model = cluster.Cluster(compute_s=COMPUTE, read_s=1e-6, commit_s=2e-6, cores=max(workers // 2, 1))
        backup = cluster.k_of_n(k=workers * 7 // 8)
        schemes = ["hogwild", "locked", "leashed", "bounded_staleness", "synchronous", backup]
        for scheme in schemes:
            rounds = scheme in ("synchronous", backup)
            took, execution = seconds(model, scheme, workers, max(60_000 // workers, 50) if rounds else 60_000)
            per_commit, per_gradient = took / execution.commits, took / (len(execution) + len(execution.dropped))
            print(
                f"{workers:6} workers, {execution.metadata['scheme']:28} {1e6 * per_commit:9.1f} µs a commit, "
                f"{1e6 * per_gradient:5.1f} µs a gradient"
            )


if __name__ == "__main__":
    main()

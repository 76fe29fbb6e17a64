"""A cluster that you do not have: who reads and commits when, and what that does to training.

    python examples/simulated_cluster.py

You will see that contention, not only the number of workers, makes the staleness distribution: behind one lock that is
held for a while the commits queue, while Leashed-SGD tries again and again, and drops what it tried too often. Then 32
workers of unequal speeds train on handwritten digits with two step-size functions, three seeds each, in a few seconds.
"""

import jasgd

jasgd.configure_cpu()
jasgd.keep_compiled()  # a second start compiles nothing, see docs/start.md

import optax  # noqa: E402

from jasgd import cluster, problems, rules  # noqa: E402

busy = cluster.Cluster(
    compute_s=cluster.gamma(mean_s=0.010, shape=4),
    commit_s=0.0005,
    stragglers=cluster.Stragglers(probability=0.01, slowdown=10),
)
print("scheme                 workers  commits/s  mean τ  largest   Gini  tries  dropped")
for scheme in ("hogwild", "locked", "leashed:persistence=2", "bounded_staleness:slack=1"):
    for workers in (8, 64):
        execution = cluster.generate(busy, scheme=scheme, workers=workers, steps=5000)
        law = jasgd.StalenessHistogram.from_staleness(execution.staleness).statistics()
        print(
            f"{execution.metadata['scheme']:26} {workers:3} {5000 / execution.time_s[-1]:10.0f} {law['mean']:7.1f} "
            f"{law['max']:8} {law['gini']:6.2f} {execution.tries.mean():6.2f} {len(execution.dropped):8}"
        )
        balance = execution.conservation()
        total = balance.pop("total")
        assert sum(balance.values()) == total  # mT - N: every commit makes each worker but its own staler by one

problem = problems.load("digits", "mlp", batch_size=32, seed=0)
unequal = cluster.Cluster(compute_s=cluster.gamma(0.010, 4), speeds=cluster.lognormal(1.0, 0.7))
print("\nrule          final training loss of three seeds     E[C]")
for name, rule in {"constant": rules.constant(), "tail": rules.tail()}.items():
    runs = jasgd.simulate(
        problem.loss_fn,
        problem.params,
        optax.chain(jasgd.staleness_adaptive(rule), optax.sgd(0.02)),
        problem.batches,
        cluster=unequal,
        scheme="leashed",
        workers=32,
        steps=800,
        seeds=range(3),
    )
    losses = "  ".join(f"{run.execution.loss[-100:].mean():9.4f}" for run in runs)
    means = sum(float(run.execution.factor.mean()) for run in runs) / len(runs)
    print(f"{name:12} {losses} {means:12.3f}")
print("\nThe same seed is the same execution for both rules, so nothing but the step size differs.")

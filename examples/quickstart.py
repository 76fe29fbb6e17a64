"""Asynchronous SGD with a step size that adapts to staleness, in two dozen lines.

    python examples/quickstart.py

Eight threads train a small network on handwritten digits under Leashed-SGD; how stale their gradients are is up to your
machine. Then the same training with 32 simulated workers of unequal speed, which are stale on any machine: you will see
how stale, and that TAIL-τ kept the overall step size, E[C] near 1, with longer steps for fresh gradients.
"""

import itertools

import jasgd

jasgd.configure_cpu()  # one worker, one thread; before anything else of JAX
jasgd.keep_compiled()  # a second start compiles nothing, see docs/start.md

import numpy as np  # noqa: E402
import optax  # noqa: E402

from jasgd import fits, problems, rules  # noqa: E402

problem = problems.load("digits", "mlp", batch_size=32, seed=0)
tx = optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(0.02))
result = jasgd.train(
    problem.loss_fn,
    problem.params,
    tx,
    problem.batches,
    scheme="leashed",
    workers=8,
    steps=1500,
    evaluate=problem.evaluate,
)
print(result.summary())

cluster = jasgd.Cluster(compute_s="gamma:mean_s=0.01,shape=4", speeds="lognormal:sigma=1.2")
last = {}
for rule in ("constant", "tail"):
    tx = optax.chain(jasgd.staleness_adaptive(rule), optax.sgd(0.02))
    simulated = jasgd.simulate(
        problem.loss_fn, problem.params, tx, problem.batches, cluster=cluster, scheme="leashed", workers=32, steps=1500
    )[0]
    last[rule] = simulated.metrics["last_loss"]
print(f"\n32 simulated workers:\n{simulated.summary()}")
print(
    f"  with the constant step the loss ended at {last['constant']:.4f}; one seed is no proof: jasgd demo compares 16"
)

print("\nHow stale their gradients were:")
execution = simulated.execution
edges = [0, 1, 10, 20, 30, 40, 60, 10**9]
for low, high in itertools.pairwise(edges):
    share = np.mean((execution.staleness >= low) & (execution.staleness < high))
    name = f"τ = {low}" if high == low + 1 else f"τ from {low}" if high == edges[-1] else f"τ from {low} to {high - 1}"
    print(f"  {name:<15} {share:6.1%}  {'█' * round(60 * share)}")

best = fits.fit(simulated.law)[0]
print(f"\nThe nearest model of that distribution is {best}, at a Bhattacharyya distance of {best.distance:.4f}.")

# Which gradients are fresh for this run, and which are stale, is relative: its own deciles say so.
low, high = (int(tau) for tau in np.quantile(execution.staleness, [0.1, 0.9]))
fresh, stale = execution.factor[execution.staleness <= low], execution.factor[execution.staleness >= high]
print(
    f"Gradients with τ ≤ {low} were applied with {fresh.mean():.2f} times the learning rate, those with τ ≥ {high} "
    f"with {stale.mean():.2f}; all of them with E[C] = {execution.factor.mean():.2f}."
)

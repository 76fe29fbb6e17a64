"""Asynchronous SGD with a step size that adapts to staleness, in a dozen lines.

    python examples/quickstart.py

Eight workers train a small network on handwritten digits under Leashed-SGD. You will see how the loss fell, how stale
the gradients were, and that TAIL-τ kept the overall step size: E[C] is near 1.
"""

import jasgd

jasgd.configure_cpu()  # one worker, one thread; before anything else of JAX

import numpy as np  # noqa: E402
import optax  # noqa: E402

from jasgd import fits, problems, rules  # noqa: E402

problem = problems.load("digits", "mlp", batch_size=32, seed=0)
tx = optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(0.05))
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

print("\nHow stale the gradients were:")
execution = result.execution
shares = result.law.probability(np.arange(10)).tolist()
for tau, share in enumerate(shares):
    print(f"  τ = {tau}  {share:6.1%}  {'█' * round(100 * share)}")
print(f"  τ ≥ 10 {1 - sum(shares):6.1%}")

best = fits.fit(result.law)[0]
print(f"\nThe nearest model of that distribution is {best}, at a Bhattacharyya distance of {best.distance:.4f}.")

# Which gradients are fresh for this run, and which are stale, is relative: its own deciles say so.
low, high = (int(tau) for tau in np.quantile(execution.staleness, [0.1, 0.9]))
fresh, stale = execution.factor[execution.staleness <= low], execution.factor[execution.staleness >= high]
print(
    f"Gradients with τ ≤ {low} were applied with {fresh.mean():.2f} times the learning rate, those with τ ≥ {high} "
    f"with {stale.mean():.2f}; all of them with E[C] = {execution.factor.mean():.2f}."
)

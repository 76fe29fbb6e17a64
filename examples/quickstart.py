"""Asynchronous SGD with a step size that adapts to staleness, in a dozen lines.

    python examples/quickstart.py

Eight workers train a small network on handwritten digits under Leashed-SGD. You will see how the loss fell, how stale
the gradients were, and that TAIL-τ kept the overall step size: E[C] is near 1.
"""

import jasgd

jasgd.configure_cpu()  # one worker, one thread; before anything else of JAX

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
shares = result.law.pmf
for tau in range(10):
    print(f"  τ = {tau}  {float(shares[tau]):6.1%}  {'█' * round(100 * float(shares[tau]))}")
print(f"  τ ≥ 10 {float(shares[10:].sum()):6.1%}")

best = fits.fit(result.law)[0]
print(f"\nThe nearest model of that distribution is {best}, at a Bhattacharyya distance of {best.distance:.4f}.")
fresh, stale = execution.factor[execution.staleness == 0], execution.factor[execution.staleness >= 10]
print(
    f"Fresh gradients were applied with {fresh.mean():.2f} times the learning rate, those with τ ≥ 10 with "
    f"{stale.mean():.2f}; all of them with {execution.factor.mean():.2f} on average."
)

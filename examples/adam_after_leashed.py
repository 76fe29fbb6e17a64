"""Adam under Leashed-SGD, with the staleness factor in its right place: behind Adam.

    python examples/adam_after_leashed.py

Adam divides by the size of recent gradients, so a factor in front of it is divided away again; behind it, it scales the
step. You will see this first on one gradient, then in training with a bound on the retries of a publication.
"""

import jasgd

jasgd.configure_cpu()

import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402

from jasgd import problems, rules  # noqa: E402

LEARNING_RATE = 1e-3
before = optax.chain(jasgd.staleness_adaptive(rules.inverse()), optax.adam(LEARNING_RATE))
behind = optax.chain(optax.adam(LEARNING_RATE), jasgd.staleness_adaptive(rules.inverse()))


def step_at(tx, staleness):
    """How far one gradient of that staleness moves a parameter, in learning rates; C(τ) = 1/(1 + τ) was asked for."""
    updates, _ = tx.update(jnp.float32(2.0), tx.init(jnp.float32(0.0)), jnp.float32(0.0), staleness=staleness)
    return abs(float(updates)) / LEARNING_RATE


print("A step in learning rates, where C(τ) = 1/(1 + τ) is wanted:")
for tau in (0, 1, 3, 9):
    told = f"before Adam {step_at(before, tau):.2f}   behind it {step_at(behind, tau):.2f}"
    print(f"  τ = {tau}   C = {1 / (1 + tau):.2f}   {told}")

problem = problems.load("digits", "mlp", batch_size=32, seed=0)
result = jasgd.train(
    problem.loss_fn,
    problem.params,
    optax.chain(optax.adam(LEARNING_RATE), jasgd.staleness_adaptive(rules.tail())),
    problem.batches,
    scheme=jasgd.schemes.leashed(persistence=2),  # a gradient that was overtaken three times is dropped
    workers=8,
    steps=1000,
    evaluate=problem.evaluate,
)
print(f"\n{result.summary()}")
# Adam's moments are part of each published snapshot, so the optimizer state counts the gradients that were applied.
counted = int(optax.tree.get(result.opt_state, "count"))
dropped = len(result.execution.dropped)
print(f"Adam counted {counted} gradients; {result.execution.commits} were applied, and {dropped} dropped.")

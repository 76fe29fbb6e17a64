"""Adam under Leashed-SGD, with the staleness factor in its right place: after Adam.

    python examples/adam_after_leashed.py

Adam divides by the size of recent gradients, so a factor before it is divided away again; after it, it scales the
step. You will see this first on single gradients, then train with a bound on the retries of a publication.
"""

import jasgd

jasgd.configure_cpu()
jasgd.keep_compiled()  # a second start compiles nothing, see docs/start.md

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from jasgd import problems, rules  # noqa: E402

LEARNING_RATE = 1e-3
before = optax.chain(jasgd.staleness_adaptive(rules.inverse()), optax.adam(LEARNING_RATE))
after = optax.chain(optax.adam(LEARNING_RATE), jasgd.staleness_adaptive(rules.inverse()))


def step_at(tx, staleness, usual):
    """How far, in learning rates, a gradient of that staleness moves a parameter, after 300 of the usual staleness."""
    update, params = jax.jit(tx.update), jnp.float32(0.0)
    state = tx.init(params)
    for tau in [usual] * 300 + [staleness]:
        step, state = update(jnp.float32(2.0), state, params, staleness=np.int32(tau))
    return abs(float(step)) / LEARNING_RATE


print("A step in learning rates, where C(τ) = 1/(1 + τ) is wanted:")
print("              one stale gradient among fresh ones   all equally stale")
for tau in (0, 1, 3, 9):
    one, all_ = [f"before Adam {step_at(before, tau, u):.2f}, after {step_at(after, tau, u):.2f}" for u in (0, tau)]
    print(f"  τ = {tau} C = {1 / (1 + tau):.2f}   {one}      {all_}")

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
execution = result.execution
print(f"\n{result.summary()}")
print(f"Published at the first, second and third try: {np.bincount(execution.tries, minlength=4)[1:].tolist()}.")
print(f"Dropped after three lost tries: {np.sum(execution.dropped.tries == 3)}.")
# Adam's moments are part of each published snapshot, so a lost try leaves no trace in them.
print(f"Adam counted {optax.tree.get(result.opt_state, 'count')} gradients; {execution.commits} were applied.")

"""Your own step-size function: any function of τ, or of τ and the law, is a rule.

    python examples/own_rule.py

Two rules of our own are tried, and each over its mean. You will see that a rule which only dampens makes the overall
step size shrink, E[C] < 1, that ``normalized`` repairs this, and what both do to training.
"""

import jasgd

jasgd.configure_cpu()

import jax.numpy as jnp  # noqa: E402
import optax  # noqa: E402

from jasgd import problems, rules  # noqa: E402


def harmonic(staleness):
    """C(τ) = 1 / (1 + τ/2): a function of τ alone. It is traced, so it is written with operators and jnp."""
    return 1 / (1 + staleness / 2)


def stalest_third_halved(staleness, law):
    """A gradient that is staler than two thirds of all counts half: a function of τ and the measured law."""
    return jnp.where(law.cdf(staleness) > 2 / 3, 0.5, 1.0)


def train(rule):
    problem = problems.load("digits", "mlp", batch_size=32, seed=0)
    tx = optax.chain(jasgd.staleness_adaptive(rule), optax.sgd(0.02))
    return jasgd.train(problem.loss_fn, problem.params, tx, problem.batches, workers=8, steps=600)


print(f"{'rule':34} {'E[C]':>6} {'E[C²]':>6} {'E[τC]':>6}   realised E[C]   training loss")
for name, rule in {
    "constant": rules.constant(),
    "harmonic": harmonic,
    "normalized(harmonic)": rules.normalized(harmonic),
    "stalest_third_halved": stalest_third_halved,
    "normalized(stalest_third_halved)": rules.normalized(stalest_third_halved),
}.items():
    result = train(rule)
    # What the rule is worth under the distribution that was measured in this very run.
    mean, mean_square, mean_staleness = (float(x) for x in rules.step_size_moments(rule, result.law))
    realised, loss = result.metrics["mean_factor"], result.metrics["last_loss"]
    print(f"{name:34} {mean:6.3f} {mean_square:6.3f} {mean_staleness:6.3f}   {realised:13.3f}   {loss:13.4f}")
print(
    "\nUnder its own law a normalized rule has E[C] = 1; realised, it is as near as the law was known at each update."
)

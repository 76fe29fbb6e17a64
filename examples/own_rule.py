"""Your own step-size function: any function of τ, or of τ and the law, is a rule.

    python examples/own_rule.py

Two rules of our own are tried, and each over its mean. You will see that a rule which only dampens makes the overall
step size shrink, E[C] < 1, so that training falls behind, and that ``normalized`` repairs both.
"""

import jasgd

jasgd.configure_cpu()
jasgd.keep_compiled()  # a second start compiles nothing, see docs/start.md

import optax  # noqa: E402

from jasgd import problems, rules  # noqa: E402


def harmonic(staleness):
    """C(τ) = 1 / (1 + τ/2): a function of τ alone. It is traced, so it has operators and jnp, and no ``if``."""
    return 1 / (1 + staleness / 2)


def relative(staleness, law):
    """C(τ) = 1 / (1 + τ / (1 + E[T])): a function of τ and of the law that was measured so far."""
    return 1 / (1 + staleness / (1 + law.mean()))


problem = problems.load("digits", "mlp", batch_size=32, seed=0)
CLUSTER = jasgd.Cluster(compute_s="gamma:mean_s=0.01,shape=2", speeds="lognormal:sigma=0.7")


def train(rule):
    law = jasgd.StalenessHistogram.window(
        100
    )  # short, as the run is: a rule that reads the law then follows it closely
    tx = optax.chain(jasgd.staleness_adaptive(rule, law), optax.sgd(0.003))
    # Simulated, so that every machine has the same staleness; jasgd.train takes the same arguments, for threads.
    (result,) = jasgd.simulate(
        problem.loss_fn, problem.params, tx, problem.batches, cluster=CLUSTER, workers=8, steps=400
    )
    return result


print(f"{'rule':22} {'E[C]':>6} {'E[C²]':>6} {'E[τC]':>6}   realised E[C]   training loss")
for name, rule in {
    "constant": rules.constant(),
    "harmonic": harmonic,
    "normalized(harmonic)": rules.normalized(harmonic),
    "relative": relative,
    "normalized(relative)": rules.normalized(relative),
}.items():
    result = train(rule)
    execution = result.execution
    # The moments under the distribution of the whole run, and the mean of the factors that were applied.
    mean, mean_square, mean_staleness = (float(x) for x in rules.step_size_moments(rule, result.law))
    realised, loss = execution.factor.mean(), execution.loss[-100:].mean()
    print(f"{name:22} {mean:6.3f} {mean_square:6.3f} {mean_staleness:6.3f}   {realised:13.3f}   {loss:13.4f}")
print(
    "\nA normalized rule has E[C] = 1 under the law; realised, it is as near as recent updates resemble the next one.\n"
    "The learning rate is small, so the loss says how far a run got: as far as its realised E[C] let it."
)

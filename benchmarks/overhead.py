"""What one worker costs beyond the plain Optax loop, as a ratio measured side by side in one run.

    python benchmarks/overhead.py            # the 3-layer MLP on digits, batch 128

The plain loop is the one of Optax's documentation: a jitted gradient, then a jitted update with apply_updates, over the
same tickets. Each repetition runs the loop and every scheme with one worker in turn; a ratio is taken within a
repetition, so that a machine whose speed drifts does not matter; printed are the median over repetitions and the range.
The goal is a ratio of at most 1.15 for every scheme. All rounds are Python's: benchmarks/throughput.py has native ones.
"""

import argparse
import json
import statistics

import jasgd

jasgd.configure_cpu()  # before anything that starts JAX

import optax  # noqa: E402
from limits import plain_loop  # noqa: E402

from jasgd import problems, rules, schemes  # noqa: E402

SCHEMES = {name: schemes.named(name) for name in ("sequential", "synchronous")} | {
    name: schemes.named(name, native=False) for name in ("locked", "hogwild", "leashed")
}


def one_worker(problem, tx, steps, scheme):
    """Seconds from the start of the one worker to its last commit."""
    return jasgd.train(
        problem.loss_fn, problem.params, tx, problem.batches, scheme=scheme, workers=1, steps=steps
    ).duration_s


def measure(dataset, model, batch, steps, repetitions):
    problem = problems.load(dataset, model, batch_size=batch)
    sgd = optax.sgd(0.01)
    arms = {
        f"{scheme_name}, {name}": (scheme, optax.chain(jasgd.staleness_adaptive(rule), sgd))
        for scheme_name, scheme in SCHEMES.items()
        for name, rule in (("constant", rules.constant()), ("tail", rules.tail()))
    }
    ratios = {arm: [] for arm in arms}
    plain = []
    for _ in range(repetitions):
        for arm, (scheme, tx) in arms.items():
            # The loop right before and right behind, so that drift cancels to first order.
            before = plain_loop(problem, sgd, steps)
            seconds = one_worker(problem, tx, steps, scheme)
            after = plain_loop(problem, sgd, steps)
            ratios[arm].append(2 * seconds / (before + after))
            plain += [before, after]
    return plain, ratios


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args()
    plain, ratios = measure(options.dataset, options.model, options.batch, options.steps, options.repetitions)
    per_second = options.steps / statistics.median(plain)
    print(f"{options.dataset}/{options.model}, batch {options.batch}: plain Optax loop {per_second:.0f} updates/s")
    print(f"{'one worker':28}{'time / plain loop':>18}   range")
    for arm, values in ratios.items():
        print(f"{arm:28}{statistics.median(values):18.3f}   {min(values):.3f}–{max(values):.3f}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"plain_s": plain, "ratios": ratios, "options": vars(options)}, file, indent=2)


if __name__ == "__main__":
    main()

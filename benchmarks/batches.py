"""What drawing mini-batches costs: updates per second of a scheme that draws them, against the same on one mini-batch.

    python benchmarks/batches.py                                      # some minutes on two processors
    python benchmarks/batches.py --batches 128 --schemes leashed --repetitions 3

Each repetition runs both arms in turn, in changing order, and a ratio is taken within it, so that a machine whose speed
drifts does not matter; printed are the median over repetitions and the range. Beside it stands the ratio of processor
time per update, of the process, which neighbours disturb less: that of a run but for one of a quarter of its length, so
that its start is not in it. As ``function`` the mini-batches come from a function of the user's own, which is what
drawing cost before rows were gathered by the round.
"""

import argparse
import statistics
import time

import jasgd

jasgd.configure_cpu()  # before anything that starts JAX

import optax  # noqa: E402

from jasgd import problems, rules  # noqa: E402

RATE = 1e-5  # small enough not to diverge
GOALS = {16: 0.93, 128: 0.97, 512: 0.99}
SCHEMES = ("leashed", "locked", "hogwild", "synchronous")
STEPS = {16: 4000, 128: 1200, 512: 400}  # some half a second each


class Place:
    """One problem, scheme and number of workers."""

    def __init__(self, dataset, model, batch, scheme, workers):
        self.problem = problems.load(dataset, model, batch_size=batch)
        self.scheme, self.workers = scheme, workers
        self.tx = optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(RATE))
        self.steps = STEPS.get(batch, 1000) // (workers if scheme.startswith("synchronous") else 1)
        one, draw = self.problem.batches(0), self.problem.batches
        self.arms = {"one": lambda ticket: one, "drawn": draw, "function": lambda ticket: draw(ticket)}
        for batches in self.arms.values():  # what is compiled, later runs share
            self.train(batches, workers)

    def train(self, batches, steps):
        """Seconds of processor time, updates, and seconds by the run's own clock."""
        before = time.process_time()
        result = jasgd.train(
            self.problem.loss_fn, self.problem.params, self.tx, batches, scheme=self.scheme, workers=self.workers,
            steps=steps,
        )  # fmt: skip
        return time.process_time() - before, len(result.execution), result.duration_s

    def measured(self, batches):
        """Updates per second, and seconds of processor time per update."""
        short, whole = (self.train(batches, steps) for steps in (self.steps // 4, self.steps))
        return whole[1] / whole[2], (whole[0] - short[0]) / (whole[1] - short[1])

    def repetition(self, number):
        """Of each arm what was measured; every second time in the other order."""
        names = list(self.arms)[:: 1 if number % 2 else -1]
        return {name: self.measured(self.arms[name]) for name in names}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--model", default="mlp")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 128, 512])
    parser.add_argument("--schemes", nargs="+", default=["leashed"], help=f"some of {', '.join(SCHEMES)}")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=7)
    chosen = parser.parse_args()
    for batch in chosen.batches:
        for scheme in chosen.schemes:
            place = Place(chosen.dataset, chosen.model, batch, scheme, chosen.workers)
            repetitions = [place.repetition(number) for number in range(chosen.repetitions)]
            for arm in ("drawn", "function"):
                rates = [one[arm][0] / one["one"][0] for one in repetitions]
                costs = [one["one"][1] / one[arm][1] for one in repetitions]
                goal = f", goal {GOALS[batch]:.2f}" if arm == "drawn" and batch in GOALS else ""
                print(
                    f"{scheme:12} batch {batch:4} {arm:9} updates {statistics.median(rates):.3f} ({min(rates):.3f}–"
                    f"{max(rates):.3f}{goal}), processor time {statistics.median(costs):.3f} "
                    f"({min(costs):.3f}–{max(costs):.3f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()

"""Runs that end when they are good enough, or do not get better any more.

    python examples/early_stopping.py

The first run is ended by a callback of one's own, as soon as nine of ten digits of the test set are read; the callback
also keeps the best parameters that it has seen. The second is ended by EarlyStopping, when the test loss has not fallen
for five evaluations in a row. What happened meanwhile is written as JSON lines, which any tool can read.
"""

import json
import tempfile
from pathlib import Path

import jasgd

jasgd.configure_cpu()
jasgd.keep_compiled()  # a second start compiles nothing, see docs/start.md

import optax  # noqa: E402

from jasgd import problems  # noqa: E402
from jasgd.callbacks import Callback, EarlyStopping, JsonLines  # noqa: E402


class GoodEnough(Callback):
    """Ends the run when the accuracy is reached, and keeps the best parameters."""

    def __init__(self, accuracy):
        self.accuracy, self.best, self.params = accuracy, -1.0, None

    def on_evaluation(self, state):
        """Looks at the accuracy on the test set."""
        accuracy = state.evaluation["accuracy"]
        if accuracy > self.best:
            self.best, self.params = accuracy, state.params  # those that were evaluated
        if accuracy >= self.accuracy:
            state.stop(f"accuracy {accuracy:.3f} is good enough, at version {state.version}")


problem = problems.load("digits", "mlp", batch_size=32, seed=0)


def train(learning_rate, callbacks):
    tx = optax.chain(jasgd.staleness_adaptive("tail"), optax.sgd(learning_rate, momentum=0.9))
    return jasgd.train(
        problem.loss_fn,
        problem.params,
        tx,
        problem.batches,
        workers=4,
        time_limit_s=30,
        evaluate=problem.evaluate,
        evaluate_every_s=0.05,
        callbacks=callbacks,
    )


good_enough = GoodEnough(accuracy=0.9)
result = train(0.01, [good_enough])
print(f"{result.outcome}: {result.message}")
print(f"The best parameters read {good_enough.best:.1%} of the test set.")

with tempfile.TemporaryDirectory() as folder:
    log = Path(folder) / "log.jsonl"
    result = train(0.02, [EarlyStopping("loss", patience=5), JsonLines(log, every_s=0.2)])
    print(f"\n{result.outcome}: {result.message}")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
losses = [line["evaluation/loss"] for line in lines if line["event"] == "evaluation"]
staleness = [line["staleness/p90"] for line in lines if line["event"] == "progress" and "staleness/p90" in line]
print(f"{len(losses)} evaluations: the loss was {losses[0]:.3f} at first, {min(losses):.3f} at best.")
print(f"Nine of ten gradients were at most {max(staleness):.0f} updates stale.")

"""What parameters in hundreds of arrays cost, and the memory that stays with the process after ten runs.

    python benchmarks/arrays.py

10⁶ parameters in 8 and in 512 arrays, SGD behind a step size that adapts, one thread: processor time of a commit and of
a whole update (read, gradient, commit), in Python's rounds and in native ones, whichever ``jasgd.train`` would choose.
Each repetition measures all in turn, and a ratio is taken within it, so that a machine whose speed drifts does not
matter; printed are medians over repetitions. Python's commits look at one of 16 for numbers that are not finite, as a
run's do where looking is felt; native ones at all, while they copy. A native commit cannot be had without its round:
told is the second attempt at one, which copies the gradient once more. The goal is that a commit of 512 arrays takes at
most 4 times that of 8, each in the rounds that ``jasgd.train`` chooses for them.

Ten runs of a model of 32 MB, leashed, four workers, in a process of their own: the goal is 1.2 GB resident afterwards.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import jasgd

jasgd.configure_cpu()  # before anything that starts JAX

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from jasgd import rules, schemes  # noqa: E402
from jasgd.core.admission import admit  # noqa: E402
from jasgd.core.finiteness import are_finite  # noqa: E402
from jasgd.core.ledger import Ledger  # noqa: E402
from jasgd.core.messages import Gradient, View  # noqa: E402
from jasgd.core.scheme import NativeScheme, Setup  # noqa: E402
from jasgd.schemes.native.finite import native_look  # noqa: E402
from jasgd.schemes.selection import make  # noqa: E402

SCHEMES, SIZE, ARRAYS, BATCH = ("locked", "hogwild", "leashed"), 10**6, (8, 512), np.float32(1)
GOAL, MOST_RESIDENT = 4.0, 1.2e9
CHOSEN = {8: "Python's", 512: "native"}


def loss_fn(params, batch):
    """Any loss: only its parameters' shapes matter here."""
    return sum(jnp.sum(leaf) for leaf in params) * batch


def processor_s(call, prepare=lambda: None, calls=32):
    """Processor time of a call on what ``prepare`` gives, the mean over as many as Python's commits look at one of."""
    spent = 0.0
    for _ in range(calls):
        given = prepare()
        before = time.process_time()
        call(given)
        spent += time.process_time() - before
        del given
    return spent / calls


class Arm:
    """A scheme as ``jasgd.train`` makes it, with parameters in so many arrays."""

    def __init__(self, scheme, arrays, native):
        params = [jnp.zeros(part.size) for part in np.array_split(np.zeros(SIZE), arrays)]
        tx = optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(1e-5))
        self.compiled, leaves, state = admit(loss_fn, params, tx, BATCH)
        ledger = Ledger(1)
        setup = Setup(leaves, state, self.compiled, ledger, 1, batch=BATCH)
        self.scheme = make(schemes.named(scheme, native=native), setup)
        self.tickets = 0
        if isinstance(self.scheme, NativeScheme):
            self.scheme.rehearse()
            self.scheme._offer(self.scheme._store, 0, self.gradient(View(0, leaves)))
        else:
            self.scheme.reuse_memory()
            ledger.health.look_with(native_look(leaves) or are_finite)
            self.scheme.warm_up(self.gradient(View(0, leaves)))
            ledger.health.adapt(leaves, 1, gradient_s=0.0)

    def gradient(self, view=None):
        """One that is computed on what is read now; its memory is the scheme's to write to."""
        view = view or self.scheme.read(0)
        loss, _, grads = self.compiled.gradient(view.params, BATCH)
        return Gradient(0, 0, view, grads, loss, float(np.asarray(loss)))

    def costs(self):
        """Processor time of a commit and of an update, in seconds."""
        scheme = self.scheme
        if not isinstance(scheme, NativeScheme):
            commit = processor_s(scheme.commit, self.gradient)
            return {"commit": commit, "update": processor_s(lambda _: scheme.commit(self.gradient()))}
        caller = scheme._callers[False][0]
        update = processor_s(lambda _: scheme.round(0, 0, BATCH, True))
        attempt = processor_s(lambda _: scheme._again(caller))
        scheme._attempts[0] += 32
        return {"commit": attempt, "update": update}


def measured_arrays(repetitions):
    """For each scheme, rounds and number of arrays the costs of each repetition."""
    arms = {
        (scheme, rounds, arrays): Arm(scheme, arrays, rounds == "native")
        for scheme in SCHEMES
        for rounds in ("Python's", "native")
        for arrays in ARRAYS
    }
    costs = {arm: [] for arm in arms}
    for _ in range(repetitions + 1):
        for name, arm in arms.items():
            costs[name].append(arm.costs())
    return {name: each[1:] for name, each in costs.items()}  # the first is no better than a rehearsal


def tell_arrays(costs):
    """Prints a table, and gives the ratios of a commit in what is chosen."""
    few, many = ARRAYS
    ratios = {}
    print(f"{SIZE:,} parameters, processor time in µs: {few} arrays, {many} arrays, and how many times as much")
    for scheme in SCHEMES:
        for what in ("commit", "update"):
            for rounds in ("Python's", "native"):
                pairs = [(a[what], b[what]) for a, b in zip(*(costs[scheme, rounds, n] for n in ARRAYS), strict=True)]
                a, b, ratio = map(statistics.median, zip(*((a, b, b / a) for a, b in pairs), strict=True))
                print(f"{scheme:>8} {what}, {rounds:>8} rounds: {1e6 * a:7.0f} {1e6 * b:7.0f} {ratio:6.2f}")
            chosen = zip(*(costs[scheme, CHOSEN[n], n] for n in ARRAYS), strict=True)
            ratio = statistics.median(b[what] / a[what] for a, b in chosen)
            missed = "!" if what == "commit" and ratio > GOAL else ""
            print(f"{scheme:>8} {what}, in the rounds that train chooses: {ratio:.2f}{missed}", flush=True)
            ratios[f"{scheme}, {what}"] = ratio
    return ratios


def resident():
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def train_ten_times(optimizer):
    """Prints the bytes resident after each of ten runs: what the process of :func:`measured_memory` does."""
    sizes = ((784, 2048), (2048, 2048), (2048, 1024), (1024, 10))
    params = [jnp.full(size, 0.01) for size in sizes]

    def loss(params, batch):
        x = batch[0][:, None] * jnp.ones((1, 784))
        for w in params[:-1]:
            x = jnp.tanh(x @ w)
        return jnp.mean((x @ params[-1]) ** 2)

    tx = {"sgd": optax.sgd(0.01), "momentum": optax.sgd(0.01, 0.9), "adam": optax.adam(1e-3)}[optimizer]
    batches = jasgd.minibatches((np.arange(64, dtype=np.float32),), 16)
    for _ in range(10):
        jasgd.train(loss, params, tx, batches, workers=4, steps=40, scheme="leashed")
        print(resident(), flush=True)


def measured_memory(optimizer):
    """Bytes resident after each of ten runs in a process of their own."""
    told = subprocess.run(
        [sys.executable, __file__, "--runs-of", optimizer], check=True, capture_output=True, text=True
    )
    return list(map(int, told.stdout.split()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--runs-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.runs_of:
        return train_ten_times(options.runs_of)
    costs = measured_arrays(options.repetitions)
    ratios = tell_arrays(costs)
    print("\nMB resident after each of ten runs of a model of 32 MB, leashed, 4 workers; ! is above the goal")
    memory = {}
    for optimizer in ("sgd", "momentum", "adam"):
        memory[optimizer] = measured_memory(optimizer)
        missed = "!" if memory[optimizer][-1] > MOST_RESIDENT else ""
        print(
            f"{optimizer:>8}: " + " ".join(f"{bytes_ / 1e6:.0f}" for bytes_ in memory[optimizer]) + missed, flush=True
        )
    if options.json:
        named = {", ".join(map(str, name)): each for name, each in costs.items()}
        options.json.write_text(json.dumps({"costs": named, "ratios": ratios, "resident": memory}, indent=2))


if __name__ == "__main__":
    main()

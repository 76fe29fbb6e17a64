"""What a read and a commit cost as the parameters grow, beside a plain copy of the same bytes.

    python benchmarks/scaling.py                 # 10⁴ … 10⁸ parameters, and 10⁶ parameters in 1 … 512 arrays

One thread calls a scheme's ``read`` and ``commit`` with a gradient that is computed already, SGD behind a step size
that adapts. A copy reads and writes each byte once; a commit of SGD must read parameters and gradient and write
parameters, one and a half times as much. Told is each one's share of the copy's bandwidth for the bytes that it must
move, and how much memory a run of m workers takes at its peak, in vectors of parameters. The goal for a commit at 10⁷
parameters is one half. The state of SGD is some numbers, and the gradient timed here has no temporary memory, so that
all that is measured is parameters and gradients. These are Python's rounds; how native ones fare beside them as the
parameters grow is measured on whole runs with two workers.
"""

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import jasgd

jasgd.configure_cpu()  # before anything that starts JAX

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from jasgd import rules, schemes  # noqa: E402
from jasgd.core.admission import admit  # noqa: E402
from jasgd.core.ledger import Ledger  # noqa: E402
from jasgd.core.messages import Gradient, View  # noqa: E402
from jasgd.core.scheme import Setup  # noqa: E402
from jasgd.schemes.selection import make  # noqa: E402

SCHEMES = ("locked", "hogwild", "leashed")
BYTES = 4  # of a parameter
MOVED = {"read": 2, "commit": 3}  # vectors that go through the processor, at least
GOAL, AT = 0.5, 10**7
GIVEN = 2  # vectors: the caller's array, and the initial parameters on the device, which the result has
MOST = {"locked": (2, 1), "hogwild": (3, 1), "leashed": (3, 1)}  # vectors for each worker, and besides


def loss_fn(params, batch):
    """Any loss: only its parameters' shapes matter here."""
    return sum(jnp.sum(leaf) for leaf in params.values()) * batch


def median_s(call, prepare=lambda: None, least_s=0.3, most=300):
    """Seconds of a call on what ``prepare`` gives, the median over as many as take ``least_s``."""
    times, spent = [], 0.0
    while len(times) < 5 or (spent < least_s and len(times) < most):
        arguments = prepare()
        before = time.perf_counter()
        call() if arguments is None else call(arguments)
        times.append(time.perf_counter() - before)
        spent += times[-1]
        del arguments
    return statistics.median(times)


class Ready:
    """A scheme as ``jasgd.train`` makes it, with parameters of a size."""

    def __init__(self, scheme, size, leaves):
        parts = {str(i): jnp.zeros(part.size) for i, part in enumerate(np.array_split(np.zeros(size), leaves))}
        tx = optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(1e-5))
        self.compiled, params, state = admit(loss_fn, parts, tx, np.float32(1))
        self.scheme = make(schemes.named(scheme), Setup(params, state, self.compiled, Ledger(1), 1))
        self.scheme.reuse_memory()
        self.scheme.warm_up(self.gradient(View(0, params)))

    def gradient(self, view=None):
        """One that is computed on what is read now; its memory is the scheme's to write to."""
        view = view or self.scheme.read(0)
        loss, _, grads = self.compiled.gradient(view.params, np.float32(1))
        return Gradient(0, 0, view, grads, loss, 0.0)


def copy_s(size):
    """Seconds of copying as many bytes as the parameters have, into memory that is there already."""
    source, target = np.ones(size, np.float32), np.zeros(size, np.float32)
    return median_s(lambda: np.copyto(target, source))


def cost(scheme, size, leaves):
    """Seconds of a read and of a commit."""
    ready = Ready(scheme, size, leaves)
    return {
        "read": median_s(lambda: ready.scheme.read(0)),
        "commit": median_s(ready.scheme.commit, ready.gradient),
    }


def peak_vectors(scheme, workers, size=10**7):
    """Most memory of a run beyond what the process had before, in vectors of parameters; in a process of its own.

    Arrays of 40 MB: what is smaller than 32 MiB glibc may keep for itself when it is given back.
    """
    code = [sys.executable, __file__, "--memory-of", scheme, "--workers", str(workers), "--size", str(size)]
    return float(subprocess.run(code, check=True, capture_output=True, text=True).stdout)


def quadratic(params, batch):
    """A loss whose gradient costs next to nothing."""
    return 0.5e-6 * jnp.vdot(params["w"], params["w"]) * batch


def native_over_python(scheme, size, repetitions=3):
    """Updates per second in native rounds over those in Python's, by repetition."""
    tx = optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(1e-5))
    steps = min(3000, max(60, int(5e7 / size)))

    def seconds(native):
        factory = schemes.named(scheme, native=native)
        return jasgd.train(quadratic, {"w": jnp.ones(size)}, tx, lambda ticket: np.float32(1), scheme=factory,
                           workers=2, steps=steps).duration_s  # fmt: skip

    return [seconds(False) / seconds(True) for _ in range(repetitions)]


def train_and_tell_memory(scheme, workers, size):
    """What the process of :func:`peak_vectors` does."""
    sampled, over = [0], threading.Event()

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    def watch():
        while not over.wait(0.0005):
            sampled[0] = max(sampled[0], resident())

    tx = optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(1e-5))
    small, train = {"w": jnp.ones(10)}, jasgd.train
    train(quadratic, small, tx, lambda ticket: np.float32(1), scheme=scheme, workers=workers, steps=20)
    before, watcher = resident(), threading.Thread(target=watch)
    watcher.start()
    train(quadratic, {"w": np.ones(size, np.float32)}, tx, lambda ticket: np.float32(1), scheme=scheme,
          workers=workers, steps=60 * workers)  # fmt: skip
    over.set()
    watcher.join()
    print((sampled[0] - before) / (size * BYTES) - GIVEN)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10**k for k in range(4, 9)], help="of the parameters")
    parser.add_argument("--leaves", type=int, nargs="+", default=[1, 8, 64, 512], help="numbers of arrays")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=2, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        return train_and_tell_memory(options.memory_of, options.workers, options.size)
    measured = {"sizes": {}, "native": {}, "leaves": {}, "memory": {}}
    print("share of a copy's bandwidth, for the bytes that must be moved; in brackets µs")
    print(f"{'parameters':>12}{'copy':>14}" + "".join(f"{s + ' ' + w:>22}" for s in SCHEMES for w in MOVED))
    for size in options.sizes:
        plain = copy_s(size)
        line, measured["sizes"][size] = f"{size:12}{1e6 * plain:11.0f} µs", {"copy_s": plain}
        for scheme in SCHEMES:
            for what, seconds in cost(scheme, size, leaves=1).items():
                share = plain / 2 * MOVED[what] / seconds
                measured["sizes"][size][f"{scheme} {what}"] = {"seconds": seconds, "share": share}
                missed = "!" if (what, size) == ("commit", AT) and share < GOAL else ""
                line += f"{f'{share:.2f}{missed} ({1e6 * seconds:.0f})':>22}"
        print(line, flush=True)
    print("\nupdates per second of two workers in native rounds, over those in Python's: median (range)")
    for size in (size for size in options.sizes if size <= AT):
        measured["native"][size] = {scheme: sorted(native_over_python(scheme, size)) for scheme in SCHEMES}
        ratios = (
            f"{s} {statistics.median(r):.2f} ({r[0]:.2f}–{r[-1]:.2f})" for s, r in measured["native"][size].items()
        )
        print(f"{size:12}: " + "; ".join(ratios), flush=True)
    print(f"\n10⁶ parameters in several arrays: µs of a commit; ! is below the goal of {GOAL}")
    for leaves in options.leaves:
        measured["leaves"][leaves] = {scheme: cost(scheme, 10**6, leaves) for scheme in SCHEMES}
        figures = (
            f"{s} {1e6 * c['commit']:.0f}, read {1e6 * c['read']:.0f}" for s, c in measured["leaves"][leaves].items()
        )
        print(f"{leaves:12} arrays: " + "; ".join(figures), flush=True)
    print(
        "\npeak memory of a run in vectors of parameters, beside the caller's and the initial ones; ! is above the goal"
    )
    for scheme, workers in itertools.product(SCHEMES, (1, 2, 8)):
        vectors, (each, besides) = peak_vectors(scheme, workers), MOST[scheme]
        measured["memory"][f"{scheme}, {workers}"] = vectors
        goal = each * workers + besides
        print(f"{scheme:>12}, {workers} workers: {vectors:5.1f}{'!' * (vectors > goal):1}  goal {goal}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(measured, indent=2))


if __name__ == "__main__":
    main()

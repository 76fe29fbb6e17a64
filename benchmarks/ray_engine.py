"""The engine "ray" against one raw exchange of the same bytes, and against threads; how soon a death is noticed.

    python benchmarks/ray_engine.py [--repetitions 3] [--seconds 5] [--kills 3]

Two workers, leashed, gradients of batch 32, in turn within each repetition: a raw exchange (two actors that send leaves
of the gradient's shapes to a third and get leaves of the parameters' shapes back, without any computation), the same
with the gradient computed, ``engine="ray"``, and threads in Python's rounds. Updates per second; ratios are within a
repetition. The goals are 0.8 of the raw exchange at 135,000 parameters, and 0.7 of threads at 10⁷. Ray is started
here, with ``max_direct_call_object_size`` and a store whose memory is there from the start.

Then processes are killed with SIGKILL: from the kill to where ``jasgd.train`` says that it begins another one, for a
worker and for the server.

The name is not ray.py, which Python would import in place of Ray.
"""

import argparse
import itertools
import logging
import os
import signal
import statistics
import tempfile
import threading
import time
import warnings
from pathlib import Path

os.environ["RAY_preallocate_plasma_memory"] = "1"  # read where Ray is started

import jasgd

jasgd.configure_cpu()

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
import ray  # noqa: E402

SIZES = {"135,000": (784, 128, 128, 128, 10), "10,000,000": (784, 2800, 2700, 100, 10)}
BATCH, WORKERS = 32, 2


def loss_fn(params, batch):
    x, y = batch
    for w, b in params[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = params[-1]
    return optax.softmax_cross_entropy_with_integer_labels(x @ w + b, y).mean()


def start(sizes):
    rng = np.random.default_rng(0)
    return [(jnp.asarray(rng.normal(0, 0.05, (a, b)), jnp.float32), jnp.zeros(b)) for a, b in itertools.pairwise(sizes)]


def batch_of(ticket):
    rng = np.random.default_rng(ticket % 64)
    return rng.normal(size=(BATCH, 784)).astype(np.float32), rng.integers(0, 10, BATCH)


BATCHES = [batch_of(ticket) for ticket in range(64)]


def batches(ticket):
    return BATCHES[ticket % 64]


def tx():
    return optax.chain(jasgd.staleness_adaptive("tail"), optax.sgd(0.001))


class RawServer:
    def __init__(self, leaves):
        self.leaves = leaves

    def exchange(self, leaves):
        return self.leaves

    def nothing(self):
        pass


class RawWorker:
    def __init__(self, leaves, computes):
        jasgd.configure_cpu()
        self.leaves, self.computes = leaves, computes
        self.gradient = jax.jit(jax.value_and_grad(loss_fn))
        self.structure = jax.tree.structure(start(SIZES["135,000"]))
        self.step(leaves, 0)

    def step(self, leaves, ticket):
        if not self.computes:
            return self.leaves
        loss, grads = self.gradient(jax.tree.unflatten(self.structure, leaves), batches(ticket))
        float(np.asarray(loss))
        return tuple(map(np.asarray, jax.tree.leaves(grads)))

    def ready(self):
        pass

    def exchange(self, server, seconds):
        until, count, leaves = time.perf_counter() + seconds, 0, self.leaves
        while time.perf_counter() < until:
            leaves = ray.get(server.exchange.remote(self.step(leaves, count)))
            count += 1
        return count / seconds


def raw_rate(sizes, seconds, *, computes):
    leaves = tuple(map(np.asarray, jax.tree.leaves(start(sizes))))
    server = ray.remote(RawServer).options(num_cpus=0, max_concurrency=WORKERS + 4).remote(leaves)
    workers = [ray.remote(RawWorker).options(num_cpus=1).remote(leaves, computes) for _ in range(WORKERS)]
    ray.get([worker.ready.remote() for worker in workers])
    ray.get([worker.exchange.remote(server, min(1.0, seconds)) for worker in workers])  # the store's pages
    rate = sum(ray.get([worker.exchange.remote(server, seconds) for worker in workers]))
    for actor in (server, *workers):
        ray.kill(actor)
    return rate


def train_rate(sizes, seconds, engine):
    result = jasgd.train(
        loss_fn, start(sizes), tx(), batches, scheme="leashed:native=false", workers=WORKERS, time_limit_s=seconds,
        engine=engine,
    )  # fmt: skip
    times = result.execution.time_s
    began = times[len(times) // 5]  # after what is slow at first
    return (times > began).sum() / (times.max() - began)


def round_trip_s():
    server = ray.remote(RawServer).options(num_cpus=0).remote(())
    ray.get(server.nothing.remote())
    began = time.perf_counter()
    for _ in range(500):
        ray.get(server.nothing.remote())
    ray.kill(server)
    return (time.perf_counter() - began) / 500


class Says:
    """Mini-batches that say which process draws them."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def __call__(self, ticket):
        if ticket == 300:
            (self.folder / f"worker-{os.getpid()}").touch()
        return batches(ticket)


class Evaluates:
    """An evaluation that says which process the server is."""

    def __init__(self, folder):
        self.folder, self.calls = Path(folder), 0

    def __call__(self, params):
        self.calls += 1
        if self.calls == 2:
            (self.folder / f"server-{os.getpid()}").touch()
        return 0.0


def noticed(kind):
    """Seconds from a kill to its notice, and the commits that it cost."""
    with tempfile.TemporaryDirectory() as folder:
        times = {}

        class Listening(logging.Handler):
            def emit(self, record):
                times.setdefault("noticed", time.time())

        def kill():
            while not (said := list(Path(folder).glob(f"{kind}-*"))):
                time.sleep(0.01)
            time.sleep(0.5)
            times["killed"] = time.time()
            os.kill(int(said[0].name.partition("-")[2]), signal.SIGKILL)

        thread, handler = threading.Thread(target=kill), Listening()
        logging.getLogger("jasgd.ray").addHandler(handler)
        thread.start()
        result = jasgd.train(
            loss_fn, start(SIZES["135,000"]), tx(), Says(folder), workers=WORKERS, time_limit_s=8.0, engine="ray",
            checkpoint=jasgd.Checkpoints(Path(folder) / "checkpoints", every_steps=100), evaluate=Evaluates(folder),
            evaluate_every_steps=300,
        )  # fmt: skip
        thread.join()
        logging.getLogger("jasgd.ray").removeHandler(handler)
        assert jasgd.replay(result, loss_fn, tx(), batches).exact
        return times["noticed"] - times["killed"], result


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="jr-")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init("local", num_cpus=4, include_dashboard=False, logging_level="ERROR", _temp_dir=folder,
                 log_to_driver=False, object_store_memory=2 * 10**9,
                 _system_config={"max_direct_call_object_size": 1_000_000})  # fmt: skip
    print(f"one call without arguments and back: {1000 * round_trip_s():.2f} ms", flush=True)
    for name, sizes in SIZES.items():
        rates = {"raw": [], "raw, with gradients": [], "ray": [], "threads": []}
        for _ in range(options.repetitions):
            rates["raw"].append(raw_rate(sizes, options.seconds, computes=False))
            rates["raw, with gradients"].append(raw_rate(sizes, options.seconds, computes=True))
            rates["ray"].append(train_rate(sizes, options.seconds, "ray"))
            rates["threads"].append(train_rate(sizes, options.seconds, "threads"))
        print(f"{name} parameters, updates per second of {WORKERS} workers:")
        for kind, several in rates.items():
            ratios = [r / other for r, other in zip(rates["ray"], several, strict=True)]
            print(f"  {kind:20} {spread(several):28} ray / this: {spread(ratios)}", flush=True)
    for kind in ("worker", "server"):
        found = [noticed(kind) for _ in range(options.kills)]
        if found:
            print(f"SIGKILL of a {kind}: noticed after {spread([s for s, _ in found])} s; all {len(found)} runs replay")
    ray.shutdown()


if __name__ == "__main__":
    main()

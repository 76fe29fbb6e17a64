"""Small runs with the engine "ray", and functions in them that end the process that calls them."""

import contextlib
import os
import shutil
import signal
import tempfile
import threading
import time
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax

import jasgd
from jasgd.record.checkpoints.layout import saves_in

ENGINE = jasgd.engines.ray(cpus_per_worker=1, start_limit_s=240)


@contextlib.contextmanager
def ray_session(**options):
    """A Ray of its own, in a folder of its own, of which nothing is left after it."""
    import ray

    folder = tempfile.mkdtemp(prefix="jr-")  # short, since sockets in it have names of at most 107 bytes
    options = {"num_cpus": 4, "_system_config": {"max_direct_call_object_size": 1_000_000}} | options
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init("local", include_dashboard=False, logging_level="ERROR", _temp_dir=folder, **options)
        yield ray
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def loss_fn(params, batch):
    return jnp.mean((params["w"] @ params["v"] - batch) ** 2), jnp.sum(params["w"])


def start():
    rng = np.random.default_rng(0)
    return {"w": jnp.asarray(rng.normal(size=(4, 8)), jnp.float32), "v": jnp.asarray(rng.normal(size=8), jnp.float32)}


def tx():
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.01, momentum=0.9))


class Once:
    """Ends the process that calls it, the first time in a run that it is told to."""

    def __init__(self, folder, name):
        self.path = Path(folder) / name

    def __call__(self):
        try:
            self.path.touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


class Drawn:
    """Mini-batches of a ticket; the process that draws one of some tickets first dies of it.

    Args:
      tickets: how many an epoch has.
      deadly: tickets that end a process, once each.
      folder: for what is known of that.
    """

    def __init__(self, tickets, *, deadly=(), folder=None):
        self.batches_per_epoch, self.deadly, self.folder = tickets, frozenset(deadly), folder

    def __call__(self, ticket):
        if ticket in self.deadly:
            Once(self.folder, f"ticket-{ticket}")()
        return np.random.default_rng(ticket).normal(size=4).astype(np.float32)


class Gated(Drawn):
    """Mini-batches that say which process draws them, and of which the last are drawn only once something was killed.

    Args:
      tickets: how many an epoch has.
      folder: where the process is said, and ``killed`` is waited for, for a minute at most.
    """

    def __call__(self, ticket):
        if ticket >= 20:
            (Path(self.folder) / f"worker-{os.getpid()}").touch()
        if ticket >= self.batches_per_epoch - 50:
            until = time.monotonic() + 60
            while not (Path(self.folder) / "killed").exists() and time.monotonic() < until:
                time.sleep(0.01)
        return super().__call__(ticket)


class Evaluated:
    """An evaluation, which the server calls: it says which process that is, and may end it.

    Args:
      folder: where that is said.
      dies: whether the second evaluation that any server makes ends its process.
      after: a folder that must have a complete checkpoint before that, for a minute at most; None for none.
    """

    def __init__(self, folder, *, dies=False, after=None):
        self.folder, self.dies, self.after, self.calls = Path(folder), dies, after, 0

    def __call__(self, params):
        self.calls += 1
        if self.calls > 1:  # not of the evaluation of what the run begins with
            (self.folder / f"server-{os.getpid()}").touch()
            if self.dies:
                until = time.monotonic() + 60
                while self.after is not None and not saves_in(self.after) and time.monotonic() < until:
                    time.sleep(0.01)
                Once(self.folder, "died")()
        return float(params["v"].sum())


def killing(folder, kind, after_s):
    """A thread that kills the first process of a kind that says which it is, so many seconds after that."""

    def kill():
        until = time.monotonic() + 120
        while time.monotonic() < until:
            if said := sorted(folder.glob(f"{kind}-*")):
                time.sleep(after_s)  # not to order anything: whatever the process is at, what follows must hold
                os.kill(int(said[0].name.partition("-")[2]), signal.SIGKILL)
                (folder / "killed").touch()
                return
            time.sleep(0.005)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def train(batches, *, scheme="leashed", workers=2, engine=ENGINE, **options):
    return jasgd.train(
        loss_fn, start(), tx(), batches, scheme=scheme, workers=workers, has_aux=True, engine=engine, **options
    )


def check_record(result, batches):
    """What a run of whole epochs must have, whatever died in it: each ticket once, and, but for Hogwild, its bits."""
    execution = result.execution
    assert result.outcome == "finished", result.message
    execution.validate()
    every = np.concatenate([execution.ticket, execution.dropped.ticket])
    assert np.sort(every).tolist() == list(range(batches.batches_per_epoch))
    balance = execution.conservation()
    assert balance["total"] == sum(balance[name] for name in ("applied", "dropped", "in_flight", "gaps"))
    assert np.isfinite(result.aux["aux"]).all()
    for part in execution.metadata.get("parts", [])[1:]:  # the clock goes on where the server was begun anew
        is_before = execution.version < part["from_version"]
        assert execution.time_s[is_before].max() < execution.time_s[~is_before].min()
    if "hogwild" not in execution.metadata["scheme"]:
        again = jasgd.replay(result, loss_fn, tx(), Drawn(batches.batches_per_epoch))
        assert again.exact, again.summary()

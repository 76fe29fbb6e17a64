"""Runs that are killed, with SIGKILL, at a named point within a save or at a random moment, and gone on with.

A script, since it forks, before JAX has begun anything: ``python killed_runs.py SCHEME FOLDER COUNT`` kills so many
runs, each at another moment, and goes on with each; it prints as JSON how many died within a save, and at any moment.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
from support.every_scheme import EVERY

import jasgd
from jasgd.record.checkpoints import layout, segments, writing
from jasgd.record.saving import folder as saving
from jasgd.record.saving import pending
from jasgd.training.checkpointing.saving import Checkpointing

STEPS = 600
#: where a process may be told to die: a module or class, and the function in it
POINTS = {
    "snapshot": (Checkpointing, "_await_rows"),  # it has been taken
    "sealed": (Checkpointing, "_seal"),
    "rows written": (segments, "write_whole"),
    "before the folder": (writing, "replacing"),
    "a tree": (writing, "save_tree"),
    "put on the disk": (saving, "_put_on_disk"),
    "commit": (pending, "sync_folder"),
    "moved": (saving, "finish"),
    "old ones removed": (writing, "remove_old"),
    "one removed": (layout, "_remove"),
}


def loss_fn(params, batch):
    return jnp.mean((params["w"] @ params["v"] - batch) ** 2), jnp.sum(params["w"])


def start():
    rng = np.random.default_rng(0)
    return {"w": jnp.asarray(rng.normal(size=(4, 8)), jnp.float32), "v": jnp.asarray(rng.normal(size=8), jnp.float32)}


def batches(ticket):
    return np.random.default_rng(ticket).normal(size=4).astype(np.float32)


def tx():
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.01, momentum=0.9))


def workers_of(scheme):
    return 1 if scheme == "sequential" else 3


def train(scheme, folder=None, *, steps=STEPS, **options):
    """The run, with checkpoints in a folder from which it goes on."""
    if folder is not None:
        options = {"checkpoint": jasgd.Checkpoints(folder, every_steps=20), "resume": folder} | options
    options = {"workers": workers_of(scheme), "evaluate": lambda params: float(params["v"].sum())} | options
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return jasgd.train(loss_fn, start(), tx(), batches, scheme=EVERY[scheme], steps=steps, has_aux=True, **options)


def dying_before(number, function):
    left = [number]

    def dying(*args, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)

    return dying


def forked(function, *arguments, after_s=None):
    """The status of a child that calls the function, killed after so many seconds once it trains."""
    ready, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            jasgd.configure_cpu()
            function(lambda: os.write(write, b"."), *arguments)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(write)
    if after_s is not None:
        os.read(ready, 1)
        time.sleep(after_s)  # not to order anything: whatever it is at, what follows must hold
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    os.close(ready)
    return status


def first_part(say, scheme, folder, point="", number=0):
    if point:
        holder, name = POINTS[point]
        setattr(holder, name, dying_before(number, getattr(holder, name)))
    os.fsync = lambda descriptor: None  # a kill loses nothing that was written, and the disk takes its time
    train(scheme, folder, evaluate=lambda params: say() and float(params["v"].sum()))


def last_part(say, scheme, folder):
    """Goes on with a run, and looks whether nothing was lost or applied twice, and all has the bits it should have."""
    result = train(scheme, folder)
    execution = result.execution
    assert result.outcome == "finished", result.message
    assert execution.commits == STEPS
    execution.validate()
    every = np.concatenate([execution.ticket, execution.dropped.ticket])
    assert len(np.unique(every)) == len(every)
    assert len(execution) == STEPS * (workers_of(scheme) if "synchronous" in scheme else 1)
    assert np.isfinite(result.aux["aux"]).all()
    assert np.isfinite(result.timings["compute_s"]).mean() > 0.95
    balance = execution.conservation()
    assert balance["total"] == sum(balance[name] for name in ("applied", "dropped", "in_flight", "gaps"))
    versions = [evaluation["version"] for evaluation in result.evaluations]
    assert versions == sorted(set(versions)), versions
    assert (np.diff([evaluation["time_s"] for evaluation in result.evaluations]) >= 0).all()
    assert 1 <= len(layout.saves_in(folder)) <= 3  # one too many, where it was killed before it removed that
    if "hogwild" not in scheme:
        again = jasgd.replay(result, loss_fn, tx(), batches)
        assert again.exact, again.summary()
    if scheme == "sequential" or "synchronous" in scheme:
        whole = train(scheme)
        assert all(result.params[name].tobytes() == whole.params[name].tobytes() for name in "wv")
        assert execution.loss.tobytes() == whole.execution.loss.tobytes() or "synchronous" in scheme
        assert np.array_equal(np.sort(execution.ticket), np.sort(whole.execution.ticket))
    same = train(scheme, folder)  # which has ended
    assert same.execution.hashes() == execution.hashes()
    assert same.message == result.message


def main(scheme, folder, count):
    chance = random.Random(scheme)
    points = chance.sample(list(POINTS), len(POINTS))
    died = {"within a save": 0, "at any moment": 0}
    for i in range(count):
        shutil.rmtree(folder, ignore_errors=True)
        number, point = chance.randrange(1, 4), points[i % len(points)]
        if i == 0:  # one that is reached in any run, however quick it is
            number, point = 1, next(point for point in points if point != "one removed")
        if i % 2:
            status = forked(first_part, scheme, folder, after_s=chance.random() * 0.4)
        else:
            status = forked(first_part, scheme, folder, point, number)
        assert status in (0, signal.SIGKILL), status
        died["at any moment" if i % 2 else "within a save"] += status != 0
        if i % 3 == 0:  # the part that goes on may be killed as well
            forked(first_part, scheme, folder, "a tree", 5)
        assert forked(last_part, scheme, folder) == 0, (scheme, i, point, number)
    print(json.dumps(died))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))

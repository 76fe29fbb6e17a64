"""Runs that are killed, with SIGKILL, at a named point within a save or at a random moment, and gone on with.

A script, since it forks, before JAX has begun anything: ``python killed_runs.py SCHEME FOLDER COUNT`` kills so many
runs, each at another moment, and goes on with each; it prints as JSON how many died within a save, at any moment, and
as they went on after that. However quick a machine is, each kill of the first two kinds comes before the end of its
run: a run does not get more than a few tickets ahead of its saves, and one that is killed from outside waits for it.
``SCHEME FOLDER COUNT FIRST`` begins with kill number ``FIRST`` of the same sequence.
"""

import json
import os
import random
import shutil
import signal
import sys
import threading
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
AHEAD = 40  # commits whose tickets a run may draw between two saves
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


def train(scheme, folder=None, *, draw=batches, **options):
    """The run, with checkpoints in a folder from which it goes on."""
    if folder is not None:
        options = {"checkpoint": jasgd.Checkpoints(folder, every_steps=20), "resume": folder} | options
    options = {"workers": workers_of(scheme), "evaluate": lambda params: float(params["v"].sum())} | options
    options["evaluate_every_steps"] = 50
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return jasgd.train(loss_fn, start(), tx(), draw, scheme=EVERY[scheme], steps=STEPS, has_aux=True, **options)


class Paced:
    """Mini-batches of which only so many are drawn between two saves, so that a run has many saves however quick it is.

    Args:
      rows: gradients of a commit.
      say: called with each ticket that is drawn.
      last: the last commit whose tickets are drawn; the ones after that are waited for for ever.
    """

    def __init__(self, rows, say=lambda ticket: None, last=STEPS):
        self._most, self._say, self._end = AHEAD * rows, say, last * rows
        self._drawn, self._changed = 0, threading.Condition()

    def note_save(self):
        with self._changed:
            self._drawn = 0
            self._changed.notify_all()

    def __call__(self, ticket):
        self._say(ticket)
        with self._changed:
            # A limit, since tickets whose gradients are dropped bring no save nearer.
            self._changed.wait_for(lambda: self._drawn < self._most, timeout=20)
            self._changed.wait_for(lambda: ticket < self._end)
            self._drawn += 1
        return batches(ticket)


def rows_of(scheme):
    return workers_of(scheme) if "synchronous" in scheme else 1


def dying_before(number, function, armed):
    left = [number]

    def dying(*args, **options):
        left[0] -= armed()
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)

    return dying


def forked(function, *arguments, after_s=None):
    """The status of a child that calls the function, killed so many seconds after it says that it may be."""
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


def killed_within_a_save(say, scheme, folder, point, number):
    """Dies before it comes to a point for the time of that number; of number 0, within its last save."""
    ending, end = threading.Event(), Checkpointing.end

    def noted_end(checkpointing, snapshot):
        ending.set()
        end(checkpointing, snapshot)

    holder, name = POINTS[point]
    armed = ending.is_set if number == 0 else lambda: True
    Checkpointing.end = noted_end
    setattr(holder, name, dying_before(max(number, 1), getattr(holder, name), armed))
    train_slowly(scheme, folder, Paced(rows_of(scheme)))


def killed_at_any_moment(say, scheme, folder, at):
    """Says that it draws a ticket, or at -1 that it evaluates what it begins with; and comes to no end."""
    paced = Paced(rows_of(scheme), lambda ticket: ticket == at and say(), last=STEPS - 10)
    train_slowly(scheme, folder, paced, evaluate=lambda params: (at < 0 and say(), float(params["v"].sum()))[1])


def train_slowly(scheme, folder, paced, **options):
    save = writing.CheckpointFolder.save

    def noted_save(*args):
        path = save(*args)
        paced.note_save()
        return path

    writing.CheckpointFolder.save = noted_save
    os.fsync = lambda descriptor: None  # a kill loses nothing that was written, and the disk takes its time
    train(scheme, folder, draw=paced, **options)


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
    assert versions[:-1] == sorted(set(versions[:-1])), versions
    assert versions[-2] <= versions[-1] == STEPS, versions  # the end is evaluated, whatever was before
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


def main(scheme, folder, count, first=0):
    chance = random.Random(scheme)
    points = chance.sample(list(POINTS), len(POINTS))
    died = {"within a save": 0, "at any moment": 0, "going on": 0}
    for i in range(first + count):
        number, point, at = chance.randrange(4), points[i // 2 % len(points)], chance.randrange(-1, STEPS - 10)
        after_s = chance.random() * 0.03
        if i < first:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        if i % 2:
            status = forked(killed_at_any_moment, scheme, folder, at * rows_of(scheme), after_s=after_s)
        else:
            status = forked(killed_within_a_save, scheme, folder, point, number)
        assert status in (0, signal.SIGKILL), status
        died["at any moment" if i % 2 else "within a save"] += status == signal.SIGKILL
        if i % 3 == 0:  # the part that goes on may be killed as well, where it is long enough
            status = forked(killed_within_a_save, scheme, folder, "a tree", 5)
            assert status in (0, signal.SIGKILL), status
            died["going on"] += status == signal.SIGKILL
        assert forked(last_part, scheme, folder) == 0, (scheme, i, point, number, at)
    print(json.dumps(died))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))

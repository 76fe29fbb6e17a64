"""Saves that are killed, with SIGKILL, before each of their calls of the operating system and at random points.

A script, since it forks: ``python killed_saves.py WHAT FOLDER`` prints as JSON what was there after each kill. Nothing
in it computes with JAX, whose threads would not survive a fork.
"""

import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
from support.saved_runs import VERSIONS

import jasgd
from jasgd.record.saving.folder import check_free
from jasgd.record.saving.gathering import gathering
from jasgd.record.saving.manifest import located, read_whole

RANDOM_KILLS = {"run": 30, "collection": 15, "first collection": 10, "execution": 20}
#: every so many-th call, up to the commit; from there on every one
STRIDE = {"run": 1, "collection": 20, "first collection": 20, "execution": 1}
#: what Python's auditing calls those that matter to files
CALLS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.listdir", "os.scandir", "fcntl.flock", "sync"}


def run(name):
    return jasgd.TrainResult.load(VERSIONS / "version-1" / name)


def fingerprint(result):
    """Numbers that differ between any two files of the two runs."""
    trees = {name: getattr(result, name) for name in ("params", "opt_state", "initial_params", "aux", "timings")}
    sums = {name: [[k, v.tobytes().hex()[:40]] for k, v in tree.items()] for name, tree in trees.items()}
    return json.dumps([sums, result.execution.hashes(), result.message, result.counters, result.duration_s])


def load_run(folder):
    return fingerprint(jasgd.TrainResult.load(folder))


def load_first(folder):
    """The same, of one that replaces nothing: as long as it is not sealed each of its runs is there whole, or not."""
    if located(folder / "manifest.json").exists():
        return load_collection(folder)
    for name in ("a/1", "a/2", "c/1"):
        try:
            saved = read_whole(folder / name, lambda saved: [saved.arrays(file)["x"] for file in saved.manifest or ()])
        except FileNotFoundError:
            continue
        assert [array.tolist() for array in saved] in ([], [[2, 2], [2, 2]]), (name, saved)
    return "not sealed"


def load_collection(folder):
    """What is in the runs of a collection, each of which is whole, or not there."""
    loaded = {}
    for name in ("a/1", "a/2", "b/1", "c/1"):
        try:
            loaded[name] = read_whole(
                folder / name, lambda saved: {file: saved.arrays(file)["x"].tolist() for file in saved.manifest or ()}
            )
        except (FileNotFoundError, jasgd.SavedRunError) as error:
            loaded[name] = type(error).__name__
    number = read_whole(folder, lambda saved: saved.json("all.json"))
    if number == 2:  # the new one has no such run, and the old one's is there until it is removed
        assert loaded.pop("b/1") in ({"one.npz": [1, 1], "of-1.npz": [1, 1]}, {}, "SavedRunError", "FileNotFoundError")
    return json.dumps([loaded, number])


def collect(folder, names, number, **options):
    with gathering(folder, **options) as work:
        for name in names:
            with work.replacing(name, kind="run") as draft:
                for file in ("one.npz", f"of-{number}.npz"):
                    draft.arrays(file, {"x": np.full(2, number)})
        with work.sealing(kind="comparison") as draft:
            draft.json("all.json", number)


NATIVE = run("native")
#: what → the old save, the new one, and how it is loaded
SAVES = {
    "run": (
        lambda folder: run("threads").save(folder),
        lambda folder: NATIVE.save(folder, overwrite=True),
        load_run,
    ),
    "collection": (
        lambda folder: collect(folder, ["a/1", "a/2", "b/1"], 1),
        lambda folder: collect(folder, ["a/1", "a/2", "c/1"], 2, overwrite=True),
        load_collection,
    ),
    "first collection": (
        lambda folder: None,
        lambda folder: collect(folder, ["a/1", "a/2", "c/1"], 2, overwrite=True),
        load_first,
    ),
    "execution": (
        lambda folder: run("threads").execution.save(folder / "x.npz"),
        lambda folder: NATIVE.execution.save(folder / "x.npz"),
        lambda folder: json.dumps(jasgd.Execution.load(folder / "x.npz").hashes()),
    ),
}


class Countdown:
    """Kills the process before the call of that number; of the operating system's, or of any function in C."""

    def __init__(self, number):
        self.left = number

    def count(self, *_):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event, arguments):
        if event in CALLS:
            self.count()

    def profile(self, frame, event, argument):
        if event in ("c_call", "c_return"):
            self.count()


def killed(save, number, *, audited):
    """Whether the child was killed before it had saved; and how many calls were left to the kill if not."""
    child = os.fork()
    if child == 0:
        countdown = Countdown(number)
        if audited:
            os.fsync = countdown.count
            sys.addaudithook(countdown.audit)
        else:
            sys.setprofile(countdown.profile)
        save()
        sys.setprofile(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFSIGNALED(status)


def count_calls(save):
    countdown = Countdown(-1)
    sys.setprofile(countdown.profile)
    save()
    sys.setprofile(None)
    return -1 - countdown.left


def main(what, folder):
    os.fsync = lambda descriptor: None  # a kill loses nothing that was written, and the disk takes its time
    folder.mkdir(parents=True, exist_ok=True)
    save_old, save_new, load = SAVES[what]
    old, new, place = folder / "old", folder / "new", folder / "place"
    for each in (old, new):
        each.mkdir()
        save_old(each)
    calls = count_calls(lambda: save_new(new))
    names = {"old": load(old), "new": load(new)}
    there = {"old": [], "new": []}
    chance = random.Random(1)
    points = [(chance.randrange(1, calls), False) for _ in range(RANDOM_KILLS[what])]
    call, stride = 1, STRIDE[what]
    while True:
        number, audited = points.pop() if points else (call, True)
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(old, place)
        if not killed(lambda: save_new(place), number, audited=audited) and audited:
            break  # all calls were tried
        found = load(place)
        outcome = next((name for name, content in names.items() if content == found), None)
        assert outcome, (what, number, audited, found, sorted(map(str, place.rglob("*"))))
        there[outcome].append(number)
        if audited and outcome == "new" and stride > 1:
            call, stride = call - stride + 1, 1
        else:
            call += stride * audited
        if what != "execution" and (outcome == "new" or number % 5 == 0):
            check_free(place, overwrite=True)  # as a command does before it computes anything
            assert load(place) == found, number
        if number % 4 == 0:  # the next save may be killed as well
            killed(lambda: save_new(place), chance.randrange(1, calls), audited=False)
            assert load(place) in ({names["new"]} if outcome == "new" else set(names.values())), number
        if number % 5 == 0:  # what was left does not hinder the next save, which clears it away
            save_new(place)
            assert load(place) == names["new"], number
            assert sorted(p.relative_to(place) for p in place.rglob("*")) == sorted(
                p.relative_to(new) for p in new.rglob("*")
            ), number
    json.dump({name: len(kills) for name, kills in there.items()} | {"steps": number - 1}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

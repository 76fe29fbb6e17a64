"""The kind: a save that disturbs the run, or an end of the run that loses what could be saved."""

import os
import signal
import threading

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import ids
from support.native_rounds import in_threads, native, until
from support.training_runs import SCHEMES

import jasgd
from jasgd.core.admission import admit
from jasgd.core.ledger import Ledger
from jasgd.core.messages import Gradient
from jasgd.core.scheme import Setup
from jasgd.record.checkpoints import writing
from jasgd.record.checkpoints.layout import OPT_STATE, PARAMS, saves_in
from jasgd.record.checkpoints.reading import newest
from jasgd.schemes.selection import make
from jasgd.testing import watched


def batches(ticket):
    return np.random.default_rng(ticket).normal(size=6).astype(np.float32)


def train(folder, steps=None, draw=batches, **options):
    options = {"scheme": "leashed", "workers": 2, "throw": False} | options
    if folder is not None:
        options = {"checkpoint": jasgd.Checkpoints(folder)} | options
    return jasgd.train(lambda w, b: jnp.mean((w - b) ** 2), jnp.zeros(6), optax.sgd(0.05), draw, steps=steps, **options)


def saved(folder):
    return newest(folder, {PARAMS: jnp.zeros(6), OPT_STATE: optax.sgd(0.05).init(jnp.zeros(6))})


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def after(updates, function):
    """An ``on_progress`` that calls a function once, when so many updates were taken."""
    called = []

    def look(progress):
        if progress.updates >= updates and not called:
            called.append(True)
            function()

    return look


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_a_last_checkpoint_that_has_all(folder, number):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    press = after(50, lambda: signal.raise_signal(number))
    result = train(folder, time_limit_s=60, on_progress=press, sigterm=True)
    name = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}[number]
    assert (result.outcome, result.message, result.interrupted) == ("stopped", f"stopped by {name}", True)
    state = saved(folder)
    assert (state.version, state.outcome, state.message) == (result.execution.commits, "stopped", result.message)
    assert np.array_equal(state.trees[PARAMS], result.params)
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    longer = train(folder, result.execution.commits + 10, resume=folder)
    assert (longer.outcome, longer.execution.commits) == ("finished", result.execution.commits + 10)


def test_where_ctrl_c_is_ignored_sigterm_ends_the_run_all_the_same(folder):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:

        def both():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)

        result = train(folder, time_limit_s=60, on_progress=after(50, both), sigterm=True)
        assert result.message == "stopped by SIGTERM"
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_sigterm_is_refused():
    (error,) = in_threads(lambda: train(None, 5, sigterm=True))
    assert isinstance(error, ValueError)
    assert "sigterm must be False in a thread that is not the main one" in str(error)


def test_a_worker_that_raises_leaves_a_checkpoint_of_all_that_was_committed(folder):
    def failing(ticket):
        if ticket == 60:
            raise OSError("the disk is gone")
        return batches(ticket)

    result = train(folder, 500, failing)
    assert result.outcome == "failed"
    assert saved(folder).version == result.execution.commits
    longer = train(folder, 100, resume=folder, workers=1)  # with two the other one may take all steps that are left
    assert longer.outcome == "finished"
    assert 60 in longer.execution.ticket
    assert len(np.unique(longer.execution.ticket)) == 100


def test_a_run_that_diverges_keeps_its_last_good_checkpoint(folder):
    def growing(ticket):
        return batches(ticket) if ticket < 1200 else np.full(6, np.inf, np.float32)

    kept = jasgd.Checkpoints(folder, every_steps=100)
    result = train(folder, 5000, growing, checkpoint=kept, scheme="sequential", workers=1)
    assert result.outcome == "diverged"
    state = saved(folder)
    assert state.outcome is None
    assert 100 <= state.version <= 1200
    assert np.isfinite(state.trees[PARAMS]).all()
    assert train(folder, state.version + 5, resume=folder, scheme="sequential", workers=1).outcome == "finished"


@pytest.mark.parametrize("at", ["write_segment", "save_tree", "replacing"])
def test_a_checkpoint_that_cannot_be_written_is_a_warning_and_the_next_one_has_its_rows(folder, monkeypatch, at):
    write, fails = getattr(writing, at), []

    def failing(*args, **options):
        if folder.exists() and (folder / "run.json").exists() and len(fails) < 2:
            fails.append(at)
            raise OSError(28, "No space left on device", str(folder))
        return write(*args, **options)

    monkeypatch.setattr(writing, at, failing)
    kept = jasgd.Checkpoints(folder, every_steps=50)
    # Until two have failed; then the run ends.
    with pytest.warns(jasgd.warning_types.CheckpointWarning, match="could not be saved: .*No space left on device"):
        result = train(folder, time_limit_s=60, checkpoint=kept, on_progress=lambda progress: stop(fails))
    assert result.outcome == "stopped"
    assert len(fails) == 2
    again = train(folder, result.execution.commits, resume=folder)
    assert again.execution.hashes() == result.execution.hashes()
    assert len(again.timings["read_s"]) == len(again.execution)


def stop(fails):
    if len(fails) == 2:
        raise KeyboardInterrupt


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="Permission denied"):
        train(tmp_path / "checkpoints", 5)


def test_a_folder_that_is_a_file_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        train(tmp_path / "file", 5)


def test_a_slow_disk_keeps_no_worker_from_its_steps(folder, monkeypatch):
    """The disk does not answer until the run has come to its end."""
    ended, write = threading.Event(), writing.write_segment

    def slow(*args):
        assert ended.wait(60)
        return write(*args)

    monkeypatch.setattr(writing, "write_segment", slow)
    kept = jasgd.Checkpoints(folder, every_steps=20)
    seen = []

    def look(progress):
        seen.append(progress.updates)
        if progress.updates == 2000:
            ended.set()

    result = train(folder, 2000, checkpoint=kept, on_progress=look)
    ended.set()
    assert result.outcome == "finished"
    assert saved(folder).version == 2000


@pytest.mark.parametrize("scheme", ids([name for name in SCHEMES if "hogwild" in name]))
def test_hogwilds_commits_wait_for_a_whole_copy(scheme):
    """A checkpoint waits for commits that have claimed a version and not added, and new claims wait for it."""
    is_native = "native" in scheme
    params, added, go_on = {"a": jnp.zeros(100_000)}, threading.Event(), threading.Event()

    def stall(point, worker):
        if worker == 0 and point == "add 0":
            added.set()
            assert go_on.wait(60)

    factory = native("hogwild") if is_native else watched(jasgd.schemes.hogwild(), stall)
    compiled, leaves, state = admit(lambda w, b: -w["a"].sum(), params, optax.sgd(1.0), np.float32(0), has_aux=False)
    scheme = make(factory, Setup(leaves, state, compiled, Ledger(2), 2, batch=np.float32(0)))

    def commit(worker):
        view = scheme.read(worker)
        loss, _, grads = compiled.gradient(view.params, np.float32(0))
        return scheme.commit(Gradient(worker, worker, view, grads, loss, float(loss)))

    if is_native:
        for _ in range(20):
            commit(0)
        snapshots, _ = in_threads(
            lambda: [scheme.whole_snapshot() for _ in range(200)], lambda: [commit(1) for _ in range(300)]
        )
    else:

        def saving():
            assert added.wait(60)
            threading.Timer(0.05, go_on.set).start()  # it must be waiting for whatever is under way
            return [scheme.whole_snapshot()]

        def second():
            until(lambda: scheme._pauses or go_on.is_set())
            return commit(1)

        _, snapshots, _ = in_threads(lambda: commit(0), saving, second)
    for snapshot in snapshots:
        assert np.unique(np.asarray(snapshot.params[0])).tolist() == [float(snapshot.version)]


def test_a_scheme_of_ones_own_goes_on_and_one_that_ignores_the_version_is_refused(folder):
    class Newest(jasgd.schemes.Scheme):
        name = "newest"
        begins = True

        def __init__(self, setup):
            super().__init__(setup)
            version = setup.version if self.begins else 0
            self._current = jasgd.schemes.Snapshot(version, setup.params, setup.state)
            self._mutex = threading.Lock()

        def read(self, worker):
            current = self._current
            self._ledger.note_read(worker, current.version)
            return jasgd.schemes.View(current.version, current.params)

        def commit(self, gradient):
            with self._mutex:
                base = self._current
                self._ledger.require_open(base.version)
                tau = self._ledger.staleness_between(gradient.view.version, base.version)
                self._current, factor = self.successor(base, gradient, tau)
            return self._ledger.record_applied(gradient, base.version, tau, factor)

        def snapshot(self):
            return self._current

    kept = jasgd.Checkpoints(folder, every_steps=20)
    train(folder, 200, scheme=Newest, workers=3, checkpoint=kept)
    result = train(folder, 400, scheme=Newest, workers=3, checkpoint=kept, resume=folder)
    assert result.outcome == "finished", result.message
    assert len(np.unique(result.execution.ticket)) == 400
    assert len(saves_in(folder)) == 2

    class Forgets(Newest):
        begins = False

    with pytest.raises(ValueError, match=r"scheme 'newest' must begin with setup.version, 400, and begins with 0"):
        train(folder, 500, scheme=Forgets, workers=3, resume=folder)

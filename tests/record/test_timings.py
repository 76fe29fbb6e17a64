"""How long the phases of each gradient took: a row for each, whole, and where the time belongs."""

import dataclasses
import shutil
import threading
import time

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.saved_runs import VERSIONS

import jasgd
from jasgd.data import BatchesExhausted
from jasgd.record.timings import PHASES, Phases
from jasgd.schemes import Leashed, Locked
from jasgd.schemes.factories import parse_scheme
from jasgd.testing import Interleaving, watched

SCHEMES = list(jasgd.schemes.SCHEMES)
COLUMNS = [*PHASES, *(f"dropped.{name}" for name in PHASES)]


def test_the_newest_phases_are_those_that_ended_last_whoever_made_them():
    phases = Phases(workers=2)
    assert all(len(column) == 0 for column in phases.newest(3).values())
    for ticket in range(10):
        end = float(ticket if ticket % 2 else 2 * ticket)
        phases.note(ticket % 2, ticket, end - 4, end - 3, end - 2, end - 1, end - ticket / 16)
    ends = sorted((float(k if k % 2 else 2 * k) - k / 16, k) for k in range(10))
    newest = phases.newest(3)
    assert list(newest) == list(PHASES)
    np.testing.assert_allclose(newest["commit_s"], [1 - k / 16 for _, k in ends[-3:]])


def quadratic(w, b):
    return jnp.mean((w - b) ** 2)


def train(batches=lambda ticket: np.float32(1), **options):
    options = {"workers": 2, "steps": 60} | options
    return jasgd.train(quadratic, jnp.zeros(3), optax.sgd(0.05), batches, **options)


def busy_s(result, worker):
    """Seconds that a worker's gradients took, dropped ones included."""
    tables = [("", result.execution.worker), ("dropped.", result.execution.dropped.worker)]
    return sum(result.timings[prefix + name][column == worker].sum() for prefix, column in tables for name in PHASES)


@pytest.mark.newest
@pytest.mark.parametrize("scheme", [*SCHEMES, "leashed:persistence=0"])
def test_every_gradient_has_its_phases_and_they_fit_into_the_run(scheme):
    workers = 1 if scheme == "sequential" else 3
    started = time.perf_counter()
    result = train(scheme=parse_scheme(scheme), workers=workers, steps=200)
    took = time.perf_counter() - started
    assert list(result.timings) == COLUMNS
    execution = result.execution
    for name, column in result.timings.items():
        assert column.dtype == np.float64
        assert len(column) == len(execution.dropped if name.startswith("dropped.") else execution)
        assert (column >= 0).all()  # so that none is missing either
    for worker in range(workers):
        rows = np.concatenate([execution.time_s[execution.worker == worker],
                               execution.dropped.time_s[execution.dropped.worker == worker]])  # fmt: skip
        if not len(rows):  # others took all steps before it had a processor, which a barrier alone rules out
            assert scheme != "synchronous"
            assert busy_s(result, worker) == 0
            continue
        assert 0 < busy_s(result, worker) < took
        # Without a gap: to where its last commit was done, which is but a moment after its row.
        assert busy_s(result, worker) >= rows.max() - rows.min()


def spin(seconds):
    """Takes at least so long; returns how long."""
    began = time.perf_counter()
    while (took := time.perf_counter() - began) < seconds:
        pass
    return took


def test_time_to_draw_and_to_read_is_in_the_row_of_its_ticket():
    class SlowRead(Leashed):
        def read(self, worker):
            if drawn and drawn[-1] == 11:
                took[11] = spin(0.02)
            return super().read(worker)

    def batches(ticket):
        drawn.append(ticket)
        if ticket == 7:
            took[7] = spin(0.02)
        return np.float32(1)

    drawn, took = [], {}
    result = train(batches, scheme=SlowRead, workers=1, steps=30)
    row_of = {int(ticket): row for row, ticket in enumerate(result.execution.ticket)}
    assert result.timings["batch_s"][row_of[7]] >= took[7]
    assert result.timings["read_s"][row_of[11]] >= took[11]


def test_waiting_for_the_lock_is_time_of_the_commit_and_not_of_the_gradient():
    """Worker 1's first commit finds the mutex held, as by a peer that takes its time."""

    class Contended(Locked):
        def read(self, worker):
            view = super().read(worker)
            if worker == 1 and not waited:
                read.append(time.perf_counter())
            return view

        def commit(self, gradient):
            if gradient.worker == 0:
                done.wait(60)  # so that the run does not end before
                return super().commit(gradient)
            if not waited:
                computed = time.perf_counter() - read[-1]
                with self._mutex:
                    waited.append((gradient.ticket, computed, spin(0.05)))
            committed = super().commit(gradient)
            done.set()
            return committed

    read, waited, done = [], [], threading.Event()
    result = train(scheme=Contended)
    ((ticket, computed, seconds),) = waited
    (row,) = np.flatnonzero(result.execution.ticket == ticket)
    assert result.timings["commit_s"][row] >= seconds
    assert result.timings["compute_s"][row] <= computed


def overtaken(persistence):
    """Worker 1 publishes between worker 0's base and publication; how long worker 0 waited for that."""
    again = [(0, "base"), (0, "publish")] * persistence
    begins = [(0, "read"), (1, "read"), (0, "base"), (1, "base"), (1, "publish"), (1, "read")]
    interleaving = Interleaving([*begins, (0, "publish"), (0, "lost"), *again, (0, "read"), (1, "base")])
    waited = []

    def noted(point, worker):
        began = time.perf_counter()
        interleaving(point, worker)
        if (point, worker) == ("publish", 0):
            waited.append(time.perf_counter() - began)

    result = train(scheme=watched(jasgd.schemes.leashed(persistence=persistence), noted))
    assert interleaving.complete
    return result, waited[0]


def test_retries_and_drops_are_time_of_the_commit():
    result, waited = overtaken(persistence=1)
    row = np.flatnonzero(result.execution.worker == 0)[0]
    assert result.execution.tries[row] == 2
    assert result.timings["commit_s"][row] > waited
    result, waited = overtaken(persistence=0)
    row = np.flatnonzero(result.execution.dropped.worker == 0)[0]
    assert result.timings["dropped.commit_s"][row] > waited


def test_a_gradient_that_was_under_way_at_the_end_leaves_no_row():
    """Worker 1's first commit waits until the run is over: it raises Closed, and has a ticket that no row has."""
    came, over = threading.Event(), threading.Event()

    class Late(Leashed):
        def commit(self, gradient):
            if gradient.worker == 1:
                late.append(gradient.ticket)
                came.set()
                over.wait(60)
            else:
                came.wait(60)
            return super().commit(gradient)

        def close(self, reason):
            super().close(reason)
            over.set()

    late = []
    result = train(scheme=Late, steps=50)
    assert result.execution.commits == 50
    assert late[0] not in result.execution.ticket
    assert all(len(result.timings[name]) == 50 for name in PHASES)
    assert all(np.isfinite(result.timings[name]).all() for name in PHASES)


def test_a_commit_that_raises_behind_its_row_is_not_measured_and_the_others_are():
    class Raising(Leashed):
        def commit(self, gradient):
            done = super().commit(gradient)
            if done.version == 20:
                raise OSError("after the row")
            return done

    result = train(scheme=Raising, workers=3, throw=False)
    assert result.outcome == "failed"
    missing = np.isnan(result.timings["commit_s"])
    assert result.execution.version[missing].tolist() == [20]
    assert np.isfinite(result.timings["compute_s"][~missing]).all()


def test_an_iterator_that_ends_and_workers_that_draw_nothing_leave_rows_alone():
    result = train(iter(np.ones(30, np.float32)), workers=3, steps=31, throw=False)
    assert isinstance(result.error, BatchesExhausted)
    assert len(result.execution) == 30
    assert all(np.isfinite(result.timings[name]).all() and len(result.timings[name]) == 30 for name in PHASES)


def test_tickets_are_matched_in_any_order():
    phases = Phases(workers=3)
    for worker, ticket in ((0, 5), (2, 3), (0, 0), (2, 9)):
        began = 100.0 * ticket
        phases.note(worker, ticket, began, began + 1, began + 3, began + 6, began + 10 + ticket)
    timings = phases.of(np.array([9, 4, 0, 5, 10]))
    np.testing.assert_array_equal(timings["batch_s"], [1, np.nan, 1, 1, np.nan])
    np.testing.assert_array_equal(timings["read_s"], [2, np.nan, 2, 2, np.nan])
    np.testing.assert_array_equal(timings["compute_s"], [3, np.nan, 3, 3, np.nan])
    np.testing.assert_array_equal(timings["commit_s"], [13, np.nan, 4, 9, np.nan])
    assert [len(column) for column in phases.of(np.zeros(0, np.int64)).values()] == [0, 0, 0, 0]
    assert np.isnan(Phases(workers=1).of(np.arange(2))["read_s"]).all()


def test_saved_and_loaded_they_are_the_same_and_earlier_folders_have_none(tmp_path):
    result, _ = overtaken(persistence=0)
    assert len(result.timings["dropped.batch_s"]) == len(result.execution.dropped) > 0
    loaded = jasgd.TrainResult.load(result.save(tmp_path / "run"))
    assert list(loaded.timings) == COLUMNS
    for name, column in result.timings.items():
        assert loaded.timings[name].dtype == np.float64
        np.testing.assert_array_equal(loaded.timings[name], column)
    shutil.copytree(VERSIONS / "version-1" / "native", tmp_path / "first")
    (tmp_path / "first" / "timings.npz").unlink()
    earlier = jasgd.TrainResult.load(tmp_path / "first")
    assert earlier.timings == {}
    # Saved over the folder of another run it does not keep that one's timings.
    assert jasgd.TrainResult.load(earlier.save(tmp_path / "run", overwrite=True)).timings == {}
    assert dataclasses.replace(result, timings={}).metrics.keys() == result.metrics.keys()

"""Kind: a Ctrl-C that is lost, or means another thing within another context. Each is a real SIGINT to this process."""

import contextlib
import dataclasses
import signal
import sys
import threading
import weakref

import jax
import numpy as np
import pytest
from support.training_runs import train

import jasgd
import jasgd.record.result
import jasgd.training.engines.carrying_out
import jasgd.training.engines.threads
from jasgd.training.engines.threads import WorkerThreads
from jasgd.training.interrupts import Interrupts


def press(*_):
    signal.raise_signal(signal.SIGINT)


# --- the context


def test_a_ctrl_c_that_was_held_is_raised_where_the_next_one_would_be():
    with Interrupts() as interrupts:
        with pytest.raises(KeyboardInterrupt), interrupts.taken():
            press()
        press()
        press()
        assert interrupts.held == 2
        with pytest.raises(KeyboardInterrupt), interrupts.taken():
            pytest.fail("the second was lost")
        assert interrupts.held == 0
        with interrupts.taken():
            pass


def test_one_that_comes_before_anything_was_begun_is_raised_at_the_beginning(capfd):
    with Interrupts() as interrupts:
        press()
        with pytest.raises(KeyboardInterrupt), interrupts.taken():
            pytest.fail("it was lost")
        assert capfd.readouterr().err == ""  # nothing is being kept
        press()
        press()
        assert capfd.readouterr().err == "Ctrl-C: the run has ended, and what there is of it is being kept; a moment\n"


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_innermost_context_decides_and_tells_the_outer_ones_what_it_held(depth):
    before = signal.getsignal(signal.SIGINT)

    def nested(outer):
        if len(outer) == depth:
            with Interrupts() as inner:
                for _ in range(2):
                    with pytest.raises(KeyboardInterrupt), inner.taken():
                        press()
                press()
                assert (inner.held, [one.held for one in outer]) == (1, [0] * depth)
            press()  # there is what the inner one has come to, which must not be lost on its way out
            assert outer[-1].held == 2
            return
        with Interrupts() as one, one.taken():
            nested([*outer, one])
        assert one.held == 2

    nested([])
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("in_taken", [False, True])
def test_a_ctrl_c_on_the_way_out_of_the_inner_context_is_held_by_the_outer_one(when, in_taken, monkeypatch):
    """Just before, and just after the handler is put back: there is what is to be kept, and nobody has it yet."""
    put_back = signal.signal

    def pressed(*args):
        for _ in [None] * (when == "before"):
            press()
        put_back(*args)
        for _ in [None] * (when == "after"):
            press()

    with Interrupts() as outer, outer.taken() if in_taken else contextlib.nullcontext():
        with Interrupts():
            monkeypatch.setattr(signal, "signal", pressed)
        monkeypatch.undo()
        assert outer.held == 1
        with pytest.raises(KeyboardInterrupt), outer.taken():
            pytest.fail("it was lost")


def test_a_context_that_held_nothing_leaves_the_outer_one_nothing():
    with Interrupts() as outer:
        with Interrupts() as inner, pytest.raises(KeyboardInterrupt), inner.taken():
            press()
        assert outer.held == 0
        with pytest.raises(KeyboardInterrupt), outer.taken():
            press()


def test_what_follows_a_result_is_cut_short_and_what_was_held_stays_held():
    with Interrupts() as outer:
        with Interrupts() as interrupts:
            press()
            reached = []
            for _ in range(2):
                with interrupts.cut_short():
                    reached.append("begun")  # though one was held
                    press()
                    reached.append("not cut short")
            with interrupts.cut_short():
                swallowed()
                reached.append("swallowed")
            with pytest.raises(ValueError, match="at fault"), interrupts.cut_short():
                raise ValueError("at fault")
            press()
            assert interrupts.held == 5
            assert reached == ["begun", "begun", "swallowed"]
        assert outer.held == 5


def test_a_handler_of_the_caller_s_own_that_raises_nothing_at_first_may_raise_later():
    pressed = []

    def second_time(number, frame):
        pressed.append(number)
        if len(pressed) == 2:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, second_time)
    try:
        with Interrupts() as outer, outer.taken(), Interrupts() as inner:
            with pytest.raises(KeyboardInterrupt), inner.taken():
                press(press())
            assert (inner.held, outer.held, len(pressed)) == (0, 0, 2)
    finally:
        signal.signal(signal.SIGINT, before)


def swallowed():
    """Ctrl-C in the callback of a weak reference, as JAX has by the thousand: Python prints what is raised there."""
    thing = threading.Event()
    reference = weakref.ref(thing, press)
    del thing
    assert reference() is None


def test_one_that_python_swallows_in_a_callback_is_held(monkeypatch):
    printed = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    hook = sys.unraisablehook
    with Interrupts() as outer:
        with outer.taken():
            swallowed()
            assert outer.held == 1
            with pytest.raises(KeyboardInterrupt):  # it is not deaf to the next one
                press()
        with pytest.raises(KeyboardInterrupt), outer.taken():
            pytest.fail("it was lost")
        with outer.taken():
            swallowed()
            with Interrupts() as inner, pytest.raises(KeyboardInterrupt), inner.taken():  # which begins meanwhile
                pytest.fail("it was lost")
            with Interrupts() as inner, inner.taken():
                swallowed()
        assert (inner.held, outer.held, printed) == (1, 1, [])
    assert sys.unraisablehook is hook
    swallowed()
    assert [one.exc_type for one in printed] == [KeyboardInterrupt]


def test_one_that_python_swallows_while_a_run_is_watched_ends_it():
    result = train(steps=None, time_limit_s=5, on_progress=lambda progress: swallowed())
    assert (result.outcome, result.interrupted) == ("stopped", True)


# --- the runs


def batches_of(outcome, gate):
    """Mini-batches with which a run ends so, once the gate is open; it is closed for the first three tickets only."""

    def batches(ticket):
        if ticket > 3:
            assert gate.wait(60)
        if ticket == 20 and outcome == "failed":
            raise OSError("the disk is gone")
        return np.float32(np.nan if ticket == 20 and outcome == "diverged" else 1)

    return batches


PLACES = ["while it is watched", "join", "settle", "the last report", "conclude"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("outcome", ["finished", "diverged", "failed"])
def test_ctrl_c_at_the_end_of_a_run_is_in_its_result_however_it_has_ended(outcome, place, monkeypatch):
    gate, over = threading.Event(), threading.Event()
    if place != "while it is watched":
        gate.set()

    class Noted(jasgd.schemes.Leashed):
        def close(self, reason):
            super().close(reason)
            over.set()

    def on_progress(progress):
        if place == "while it is watched" and not over.is_set():
            gate.set()
            assert over.wait(60)  # the run has ended by itself, of which the thread that watches knows nothing yet
            press()
        if place == "the last report" and over.is_set():
            press()

    def pressing(function):
        return lambda *args: (press(), function(*args))[1]

    if place == "join":
        monkeypatch.setattr(WorkerThreads, "join", lambda self, limit_s: press())
        monkeypatch.setattr(WorkerThreads, "stuck", lambda self: [t.join(60) for t in self._threads] and ())
    if place == "settle":
        monkeypatch.setattr(jasgd.training.engines.supervisor, "settle", pressing(jasgd.training.ending.settle))
    if place == "conclude":
        monkeypatch.setattr(
            jasgd.training.engines.carrying_out, "conclude", pressing(jasgd.training.engines.carrying_out.conclude)
        )
    result = train(batches=batches_of(outcome, gate), scheme=Noted, workers=1, on_progress=on_progress)
    assert result.interrupted
    assert result.outcome == ("stopped" if outcome == "finished" else outcome)
    assert result.message.count("Ctrl-C") == 1


def test_a_run_that_was_stopped_and_then_failed_keeps_both():
    """The scheme says at the end that it is broken."""

    def broken(self):
        raise ValueError("at fault")

    scheme = type("Broken", (jasgd.schemes.Leashed,), {"note_in_flight": broken})
    result = train(scheme=scheme, steps=10**6, on_progress=lambda progress: press())
    assert (result.outcome, result.interrupted) == ("failed", True)
    assert "stopped by Ctrl-C" in result.message


def test_a_run_without_ctrl_c_was_not_interrupted():
    assert not train().interrupted


def test_a_ctrl_c_before_the_workers_are_started_ends_the_run(monkeypatch):
    """There it was held, and the run went on to its end."""
    supervisor = jasgd.training.engines.carrying_out.Supervisor

    class Pressed(supervisor):
        def __init__(self, *args):
            press()
            super().__init__(*args)

    monkeypatch.setattr(jasgd.training.engines.carrying_out, "Supervisor", Pressed)
    result = train(steps=None, time_limit_s=3)
    assert (result.outcome, len(result.execution)) == ("stopped", 0)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("place", ["join", "the last evaluation"])
def test_the_second_ctrl_c_cuts_the_end_short_within_another_context_as_well(place, nested, monkeypatch):
    pressed, cut = [], []

    def pressing(where):
        pressed.append(where)
        try:
            press()
        except KeyboardInterrupt:
            cut.append(where)
            raise

    def evaluate(w):
        if pressed and place == "the last evaluation":
            pressing(place)
        return float(jax.numpy.sum(w))

    join = WorkerThreads.join

    def joining(self, limit_s):
        join(self, limit_s)
        if place == "join":
            pressing(place)

    monkeypatch.setattr(WorkerThreads, "join", joining)
    options = {"steps": 10**8, "evaluate": evaluate, "evaluate_every_s": 500.0}
    on_progress = lambda progress: pressed or pressing("training")  # noqa: E731
    if nested:
        with Interrupts() as outer, outer.taken():
            result = train(**options, on_progress=on_progress)
        assert outer.held == 0
    else:
        result = train(**options, on_progress=on_progress)
    assert (result.outcome, result.message) == ("stopped", "stopped by Ctrl-C")
    assert cut == ["training", place]
    assert len(result.evaluations) == 1
    assert len(result.execution) == result.execution.commits


def test_a_ctrl_c_that_a_callback_has_caught_does_not_make_the_run_deaf_to_the_next():
    caught = []

    def on_progress(progress):
        try:
            press()
        except KeyboardInterrupt:
            if caught:
                raise
            caught.append(progress)

    result = train(steps=None, time_limit_s=5, on_progress=on_progress)
    assert (result.outcome, result.message, len(caught)) == ("stopped", "stopped by Ctrl-C", 1)


def test_ctrl_c_comes_to_the_main_thread_alone_and_not_to_a_run_in_another():
    results, begun, pressed = [], threading.Event(), threading.Event()

    def on_progress(progress):
        begun.set()
        assert pressed.wait(60)

    thread = threading.Thread(
        target=lambda: results.append(train(on_progress=on_progress, time_limit_s=0.2, steps=None))
    )
    thread.start()
    assert begun.wait(60)
    try:
        with pytest.raises(KeyboardInterrupt):
            press()
    finally:
        pressed.set()
        thread.join(60)
    assert (results[0].outcome, results[0].interrupted) == ("finished", False)


@pytest.mark.parametrize("earlier", [False, True])
def test_it_is_saved_with_the_run_and_earlier_folders_say_it_by_their_outcome(tmp_path, earlier, monkeypatch):
    """Those of earlier versions do not have it, and said of a run that failed or diverged nothing."""
    to_json = jasgd.record.result.to_json
    if earlier:
        without = lambda record: to_json({key: value for key, value in record.items() if key != "interrupted"})  # noqa: E731
        monkeypatch.setattr(jasgd.record.result, "to_json", without)
    finished = train()
    for outcome, interrupted in (("finished", False), ("stopped", True), ("failed", True), ("failed", False)):
        result = dataclasses.replace(finished, outcome=jasgd.Outcome(outcome), interrupted=interrupted)
        result.save(tmp_path / "run", overwrite=True)
        loaded = jasgd.TrainResult.load(tmp_path / "run").interrupted
        assert loaded is (outcome == "stopped" if earlier else interrupted)

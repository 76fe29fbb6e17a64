"""Simulations that report their progress, fail or are interrupted: the caller receives it, and no thread is left."""

import concurrent.futures
import itertools
import os
import signal
import threading
import time

import optax
import pytest
from support.lanes import simulated
from support.problems import smooth
from support.simulations import full


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_progress_is_told_to_the_thread_that_called_up_to_the_end(lanes):
    reports = []

    def note(*args):
        reports.append((*args, threading.get_ident()))

    simulated(
        optax.sgd(0.01),
        seeds=range(3),
        lanes=lanes,
        on_progress=note,
    )
    assert reports[-1][:2] == (120, 120)
    assert [one[0] for one in reports] == sorted(one[0] for one in reports)
    assert {one[2] for one in reports} == {threading.get_ident()}


class Odd(Exception):
    """An exception that nothing else raises."""


def raising(name, after):
    """A problem and options for ``simulate``, one of whose functions fails after so many calls."""
    params, loss_fn, batches = smooth()
    calls = itertools.count()

    def fail(function):
        def failing(*args):
            if next(calls) >= after:
                raise Odd(name)
            return function(*args)

        return failing

    options = {"evaluate": lambda params: 0.0, "evaluate_every_steps": 5, "on_progress": lambda done, of: None}
    if name in options:
        options[name] = fail(options[name])
    problem = params, fail(loss_fn) if name == "loss_fn" else loss_fn, fail(batches) if name == "batches" else batches
    return problem, options


FAILING = [("loss_fn", 0), ("loss_fn", 1), ("batches", 0), ("batches", 30), ("evaluate", 4), ("on_progress", 0)]


@pytest.mark.parametrize(
    ("name", "after", "lanes"),
    [(*failing, "threads") for failing in FAILING] + [full(*failing, "vmap") for failing in FAILING],
)
def test_what_is_raised_inside_reaches_the_caller_and_nothing_is_left_running(name, after, lanes):
    problem, options = raising(name, after)
    before, started = set(threading.enumerate()), time.perf_counter()
    with pytest.raises(Odd, match=name):
        simulated(problem=problem, seeds=range(5), lanes=lanes, **options)
    assert time.perf_counter() - started < 20
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_ctrl_c_ends_a_simulation(lanes):
    def interrupt(done, of):
        if done:
            raise KeyboardInterrupt

    before, done = set(threading.enumerate()), []

    def batches(ticket):
        done.append(ticket)
        return smooth()[2](ticket)

    with pytest.raises(KeyboardInterrupt):
        simulated(problem=(*smooth()[:2], batches), steps=20_000, seeds=range(4), lanes=lanes, on_progress=interrupt)
    assert set(threading.enumerate()) <= before
    assert len(done) < 20_000  # of 80,000


def test_ctrl_c_while_the_runs_are_begun_ends_a_simulation(monkeypatch):
    submit, submitted, done = concurrent.futures.ThreadPoolExecutor.submit, [], []

    def pressing(self, *args):
        submitted.append(submit(self, *args))
        if len(submitted) == 5:
            signal.raise_signal(signal.SIGINT)
        return submitted[-1]

    def batches(ticket):
        done.append(ticket)
        return smooth()[2](ticket)

    monkeypatch.setattr(concurrent.futures.ThreadPoolExecutor, "submit", pressing)
    with pytest.raises(KeyboardInterrupt):
        simulated(problem=(*smooth()[:2], batches), steps=5_000, seeds=range(8), lanes="threads")
    assert len(submitted) == 5
    assert len(done) < 4 * 5_000


def test_ctrl_c_of_a_person_ends_a_simulation():
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        simulated(steps=2_000, seeds=range(2000))
    assert time.perf_counter() - started < 15

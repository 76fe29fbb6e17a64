"""Runs that end early: a worker that raises or hangs, a loss that is not finite, Ctrl-C, a callback that raises."""

import os
import queue
import signal
import threading
import time

import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, NATIVE, ids
from support.training_runs import ASYNCHRONOUS, SCHEMES, adaptive, of, ones, quadratic, start, workers_of

import jasgd
from jasgd import rules


@pytest.mark.parametrize("scheme", ids(SCHEMES))
def test_a_worker_that_raises_ends_the_run_with_its_traceback(scheme):
    raised_at, raising = [], queue.Queue()

    def batches(ticket):
        if ticket == 30:
            raised_at.append(time.perf_counter())
            raising.put(threading.current_thread())
            raise OSError("the disk is gone")
        if ticket > 30:  # no worker commits one of these before the run is over
            raiser = raising.get(timeout=30)
            raising.put(raiser)
            raiser.join(30)
        return ones(ticket)

    with pytest.raises(jasgd.TrainingError, match="raised OSError: the disk is gone") as caught:
        jasgd.train(quadratic, start(), adaptive(), batches, **of(scheme), steps=10**6)
    assert time.perf_counter() - raised_at[0] < 1.5  # one gradient, here microseconds, and a second
    result = caught.value.result
    assert result.outcome == "failed"
    assert isinstance(caught.value.__cause__, OSError)
    assert result.error is caught.value.__cause__
    assert "in batches" in result.traceback
    assert result.execution.commits <= 30
    assert not result.stuck
    silent = jasgd.train(
        quadratic,
        start(),
        adaptive(),
        batches,
        scheme=EVERY[scheme],
        workers=workers_of(scheme),
        steps=10**6,
        throw=False,
    )
    assert silent.outcome == "failed"


@pytest.mark.parametrize("scheme", ["locked", "leashed", "synchronous", "hogwild", *ids(["synchronous, native"])])
def test_a_loss_that_is_not_finite_ends_the_run_with_the_last_good_parameters(scheme):
    # Diverges by itself: a learning rate far beyond stability.
    with pytest.raises(jasgd.TrainingError) as caught:
        jasgd.train(
            quadratic,
            start(),
            adaptive(1e6, rules.constant()),
            ones,
            scheme=NATIVE.get(scheme, scheme),
            workers=3,
            steps=10**6,
        )
    result = caught.value.result
    assert result.outcome == "diverged"
    assert (
        f"at version {result.execution.metadata['params_version'] + 1}" in result.message or "is inf" in result.message
    )
    assert np.isfinite(np.asarray(result.params["w"])).all()
    assert np.isfinite(float(quadratic(result.params, ones(0))))
    assert np.isfinite(result.execution.loss).all()


def test_a_bad_batch_diverges_and_is_not_applied():
    def batches(ticket):
        return np.full(8, np.nan if ticket == 50 else 1, np.float32)

    result = jasgd.train(quadratic, start(), adaptive(), batches, workers=1, steps=100, throw=False)
    assert result.outcome == "diverged"
    assert "version 50 (ticket 50, worker 0) is nan" in result.message
    assert result.execution.commits == 50
    # The last good ones are those that ticket 49's finite loss was computed on.
    good = jasgd.train(quadratic, start(), adaptive(), batches, workers=1, steps=49)
    np.testing.assert_array_equal(np.asarray(result.params["w"]), np.asarray(good.params["w"]))


def test_pass_leaves_non_finite_losses_to_apply_if_finite():
    def batches(ticket):
        return np.full(8, np.nan if ticket % 5 == 0 else 1, np.float32)

    tx = optax.apply_if_finite(adaptive(), max_consecutive_errors=1000)
    result = jasgd.train(quadratic, start(), tx, batches, workers=2, steps=200, on_nonfinite="pass")
    assert result.outcome == "finished"
    assert np.isfinite(np.asarray(result.params["w"])).all()
    bad = int(np.isnan(result.execution.loss).sum())
    assert bad == int(result.opt_state.total_notfinite) > 0
    assert int(result.opt_state.inner_state[0].law.updates) == 200 - bad


def test_ctrl_c_stops_gracefully_with_what_was_learned():
    def batches(ticket):
        if ticket == 200:
            os.kill(os.getpid(), signal.SIGINT)
        return ones(ticket)

    result = jasgd.train(quadratic, start(), adaptive(), batches, workers=3, steps=10**7)
    assert result.outcome == "stopped"
    assert result.message == "stopped by Ctrl-C"
    assert result.execution.commits >= 190
    assert float(quadratic(result.params, ones(0))) < 1
    result.execution.validate()


@pytest.mark.parametrize("scheme", ids(ASYNCHRONOUS))
def test_a_worker_that_cannot_be_stopped_is_named_and_its_late_commit_changes_nothing(scheme, monkeypatch):
    monkeypatch.setattr(jasgd.training.engines.supervisor, "GRACE_S", 0.2)
    release, schemes = threading.Event(), []

    def batches(ticket):
        if ticket == 5:
            never_ending_io(release)
        return ones(ticket)

    def factory(setup):
        schemes.append(EVERY[scheme](setup))
        return schemes[-1]

    try:
        result = jasgd.train(quadratic, start(), adaptive(), batches, scheme=factory, workers=2, steps=50)
        assert result.outcome == "finished"
        (stuck,) = result.stuck
        assert f"worker {stuck.worker} could not be stopped" in result.message
        assert "never_ending_io" in stuck.stack
        before = schemes[0].snapshot()
    finally:
        release.set()
    late = next(t for t in threading.enumerate() if t.name == f"jasgd-worker-{stuck.worker}")
    assert late.daemon
    late.join(10)
    after = schemes[0].snapshot()
    assert after.version == before.version == 50
    for a, b in zip(after.params, before.params, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def never_ending_io(release):
    release.wait(60)


def test_evaluation_that_raises_fails_the_run_with_its_traceback():
    def evaluate(params):
        raise ZeroDivisionError("no test set")

    with pytest.raises(jasgd.TrainingError, match="ZeroDivisionError") as caught:
        jasgd.train(quadratic, start(), adaptive(), ones, workers=2, steps=10, evaluate=evaluate)
    assert "in evaluate" in caught.value.result.traceback


@pytest.mark.parametrize("when", ["while the workers run", "at the last report"])
def test_an_on_progress_that_raises_fails_the_run_and_keeps_what_was_learned(when):
    reports = []

    def on_progress(progress):
        reports.append(progress)
        if when == "while the workers run" or progress.updates == 2000:
            raise OSError("no space left on the display")

    result = jasgd.train(
        quadratic, start(), adaptive(), ones, workers=2, steps=2000, on_progress=on_progress, throw=False
    )
    assert result.outcome == "failed"
    assert "no space left on the display" in result.message
    assert isinstance(result.error, OSError)
    assert len(result.execution) == result.execution.commits > 0


@pytest.mark.parametrize("presses", [1, 2, 3])
def test_ctrl_c_again_while_the_run_ends_still_gives_the_result(presses):
    """The first ends the run; the next come in the last evaluation and the last report, which they cut short."""
    pressed, evaluated = [], []

    def press():
        pressed.append(None)
        if len(pressed) <= presses:
            os.kill(os.getpid(), signal.SIGINT)

    def on_progress(progress):
        if progress.updates > 50:
            press()

    def evaluate(params):
        if evaluated and pressed:
            press()
        evaluated.append(params)
        return 1.0

    result = jasgd.train(
        quadratic, start(), adaptive(), ones, workers=2, time_limit_s=100, on_progress=on_progress,
        evaluate=evaluate, evaluate_every_s=200,
    )  # fmt: skip
    assert result.outcome == "stopped"
    assert result.message == "stopped by Ctrl-C"
    assert result.execution.commits > 50
    assert len(result.evaluations) == (2 if presses == 1 else 1)

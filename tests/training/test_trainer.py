"""How a run ends, and what it leaves behind: stop conditions, evaluation, failures, Ctrl-C, workers that hang."""

import itertools
import os
import queue
import signal
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, NATIVE, ids
from support.problems import network

import jasgd
from jasgd import rules

SCHEMES = list(EVERY)
ASYNCHRONOUS = [name for name in SCHEMES if name != "sequential" and not name.startswith("synchronous")]


def quadratic(params, batch):
    return 0.5 * jnp.sum((params["w"] - batch) ** 2)


def start():
    return {"w": jnp.zeros(8)}


def ones(ticket):
    return np.ones(8, np.float32)


def adaptive(learning_rate=0.05, rule=None):
    return optax.chain(jasgd.staleness_adaptive(rule or rules.tail()), optax.sgd(learning_rate))


def of(scheme):
    return {"scheme": EVERY[scheme], "workers": workers_of(scheme)}


def workers_of(scheme):
    return 1 if scheme == "sequential" else 4


@pytest.mark.newest
@pytest.mark.parametrize("scheme", ids(SCHEMES))
def test_steps_are_commits_exactly(scheme):
    result = jasgd.train(quadratic, start(), adaptive(), ones, **of(scheme), steps=137)
    assert result.outcome == "finished"
    assert result.execution.commits == 137
    assert result.message == "all 137 steps were taken"
    assert "137 updates" in result.summary()
    assert result.params["w"].shape == (8,)
    assert isinstance(result.params["w"], jax.Array)


@pytest.mark.parametrize("scheme", ids(SCHEMES))
def test_a_time_limit_ends_the_run(scheme):
    result = jasgd.train(quadratic, start(), adaptive(), ones, **of(scheme), time_limit_s=0.2)
    assert result.outcome == "finished"
    assert result.message == "the time limit of 0.2 s was reached"
    assert 0.15 < result.duration_s < 5
    assert result.execution.commits > 0


def test_a_target_on_the_training_loss_ends_the_run():
    result = jasgd.train(quadratic, start(), adaptive(), ones, workers=2, target_loss=0.01, time_limit_s=60)
    assert result.outcome == "converged"
    assert result.metrics["last_loss"] < 0.05
    assert len(result.execution) >= 100


def test_a_target_on_the_evaluated_loss_ends_the_run_and_evaluations_are_kept():
    def evaluate(params):
        return {"loss": float(quadratic(params, ones(0))), "distance": float(jnp.linalg.norm(params["w"] - 1))}

    result = jasgd.train(
        quadratic, start(), adaptive(0.01), ones, workers=2, target_loss=0.5, time_limit_s=60, evaluate=evaluate,
        evaluate_every_s=0.01,
    )  # fmt: skip
    assert result.outcome == "converged"
    first, *_, last = result.evaluations
    assert first == {"time_s": 0.0, "version": 0, "loss": 4.0, "distance": pytest.approx(8**0.5)}
    assert last["loss"] <= 0.5
    versions = [e["version"] for e in result.evaluations]
    assert versions == sorted(versions)
    assert result.metrics["distance"] == last["distance"]


def test_evaluation_does_not_stop_the_workers():
    went_on = []

    def evaluate(params):
        if not went_on and running.is_set():
            before = progress[0]
            done = threading.Event()
            waiting.append((before + 20, done))
            went_on.append(done.wait(30))  # 20 more gradients are computed while this evaluation lasts
        return 0.0

    progress, waiting, running = [0], [], threading.Event()

    def batches(ticket):
        if threading.current_thread().name.startswith("jasgd-worker"):
            running.set()
        progress[0] = max(progress[0], ticket)
        if waiting and ticket >= waiting[0][0]:
            waiting[0][1].set()
        return ones(ticket)

    jasgd.train(
        quadratic, start(), adaptive(), batches, workers=2, time_limit_s=1.0, evaluate=evaluate, evaluate_every_s=0.05
    )
    assert went_on == [True]


@pytest.mark.parametrize("scheme", ids(SCHEMES))
def test_aux_is_kept_for_every_applied_gradient(scheme):
    def loss_fn(params, batch):
        loss = quadratic(params, batch)
        return loss, {"twice": 2 * loss, "where": (batch[0],)}

    result = jasgd.train(
        loss_fn, start(), adaptive(), lambda t: np.full(8, t, np.float32), **of(scheme),
        steps=40, has_aux=True,
    )  # fmt: skip
    np.testing.assert_allclose(result.aux["twice"], 2 * result.execution.loss, rtol=1e-6)
    np.testing.assert_array_equal(result.aux["where/0"], result.execution.ticket)


def test_an_aux_that_is_one_scalar_is_named_aux():
    def loss_fn(params, batch):
        loss = quadratic(params, batch)
        return loss, 2 * loss

    result = jasgd.train(loss_fn, start(), adaptive(), ones, workers=1, steps=5, has_aux=True)
    np.testing.assert_allclose(result.aux["aux"], 2 * result.execution.loss, rtol=1e-6)


def test_progress_is_told_by_the_calling_thread():
    told, threads = [], set()

    def on_progress(progress):
        told.append(progress)
        threads.add(threading.current_thread())

    jasgd.train(quadratic, start(), adaptive(), ones, workers=2, steps=3000, on_progress=on_progress)
    assert threads == {threading.current_thread()}
    assert told[-1].updates == 3000
    assert told[-1].updates_per_s > 0
    assert all(p.time_s <= q.time_s for p, q in itertools.pairwise(told))


@pytest.mark.parametrize("scheme", ids(SCHEMES))
def test_a_worker_that_raises_ends_the_run_with_its_traceback(scheme):
    raised_at, raising = [], queue.Queue()

    def batches(ticket):
        if ticket == 30:
            raised_at.append(time.perf_counter())
            raising.put(threading.current_thread())
            raise OSError("the disk is gone")
        if ticket > 30:  # nobody commits one of these before the run is over
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


@pytest.mark.parametrize("scheme", ids(SCHEMES))
def test_an_iterator_is_pulled_item_by_item_and_running_out_is_an_error_that_says_so(scheme):
    workers = workers_of(scheme)
    per_step = workers if scheme.startswith("synchronous") else 1
    items = [np.full(8, i, np.float32) for i in range(30 * per_step)]
    enough = jasgd.train(quadratic, start(), adaptive(), iter(items), scheme=EVERY[scheme], workers=workers, steps=30)
    assert enough.outcome == "finished"
    assert sorted(enough.execution.ticket.tolist()) == list(range(30 * per_step))
    with pytest.raises(jasgd.TrainingError, match=f"batches ran out: the iterator ended after {30 * per_step} items"):
        jasgd.train(quadratic, start(), adaptive(), iter(items), scheme=EVERY[scheme], workers=workers, steps=31)


def test_evaluation_that_raises_fails_the_run_with_its_traceback():
    def evaluate(params):
        raise ZeroDivisionError("no test set")

    with pytest.raises(jasgd.TrainingError, match="ZeroDivisionError") as caught:
        jasgd.train(quadratic, start(), adaptive(), ones, workers=2, steps=10, evaluate=evaluate)
    assert "in evaluate" in caught.value.result.traceback


def test_nothing_compiles_once_the_workers_run():
    """Compile logs of two runs with and without their second half are of one length."""
    import logging

    class Compilations(logging.Handler):
        def __init__(self):
            super().__init__()
            self.told = []

        def emit(self, record):
            if "Compiling" in record.getMessage() and threading.current_thread().name.startswith("jasgd-worker"):
                self.told.append(record.getMessage())

    handler = Compilations()
    logger = logging.getLogger("jax._src.interpreters.pxla")
    logger.addHandler(handler)
    try:
        with jax.log_compiles():
            for scheme in SCHEMES:
                params, loss_fn, batches = network()
                tx = optax.chain(adaptive(), optax.adam(1e-3))
                jasgd.train(loss_fn, params, tx, batches, **of(scheme), steps=30)
    finally:
        logger.removeHandler(handler)
    assert handler.told == []


def test_the_law_follows_workers_that_join_and_training_goes_on():
    """8 of 12 workers wait in their batches until 4 workers have taken 600 updates; then all take part."""
    updates, joined, window = [0], threading.Event(), 200

    def batches(ticket):
        name = threading.current_thread().name
        if name.startswith("jasgd-worker") and int(name.rsplit("-", 1)[1]) >= 4:
            joined.wait(60)
        return big(ticket)

    def big(ticket):
        return np.ones(200_000, np.float32)

    def on_commit(gradient_version):
        updates[0] = gradient_version
        if gradient_version >= 600:
            joined.set()

    class Noted(jasgd.schemes.Leashed):
        def commit(self, gradient):
            done = super().commit(gradient)
            on_commit(done.version)
            return done

    tx = optax.chain(jasgd.staleness_adaptive(rules.tail(), jasgd.StalenessHistogram.window(window)), optax.sgd(1e-3))
    result = jasgd.train(
        lambda w, b: 0.5 * jnp.mean((w - b) ** 2), jnp.zeros(200_000), tx, batches, scheme=Noted, workers=12, steps=2000
    )
    execution = result.execution
    assert set(execution.worker[:600].tolist()) <= set(range(4))
    assert len(set(execution.worker[1000:].tolist())) == 12
    before, after = execution.staleness[300:600].mean(), execution.staleness[1200:].mean()
    assert after > 1.5 * before
    # The law at the end is exactly that of the last window, so nothing of the 4 workers is left in it.
    law = result.opt_state[0].law
    recent = np.bincount(np.minimum(execution.staleness[-window:], law.bins), minlength=law.bins + 1)
    np.testing.assert_array_equal(np.asarray(law.weights), recent)
    assert float(execution.factor[1200:].mean()) == pytest.approx(1, abs=0.1)


def test_a_law_sampled_once_lets_the_step_size_vanish_when_workers_join_and_a_window_does_not():
    rng = np.random.default_rng(0)
    tau = np.concatenate([rng.poisson(3, 1000), rng.poisson(11, 1000)]).astype(np.int32)

    def mean_factor(law):
        tx = jasgd.staleness_adaptive(rules.tail(), law)

        def step(state, t):
            _, state = tx.update(jnp.zeros(()), state, staleness=t)
            return state, state.factor

        return float(jax.lax.scan(step, tx.init(jnp.zeros(())), jnp.asarray(tau))[1][1300:].mean())

    assert mean_factor(jasgd.StalenessHistogram.one_shot(100, 600)) < 0.1
    assert mean_factor(jasgd.StalenessHistogram.window(200)) == pytest.approx(1, abs=0.05)
    assert mean_factor(jasgd.StalenessHistogram.decay(100)) == pytest.approx(1, abs=0.05)


def autocorrelated_standard_error(x, batches=40):
    """Standard error of a mean by batch means, which allows for autocorrelation within a batch."""
    means = x[: len(x) // batches * batches].reshape(batches, -1).mean(axis=1)
    return means.std(ddof=1) / batches**0.5


@pytest.mark.parametrize("scheme", ids(ASYNCHRONOUS))
def test_over_a_stationary_execution_the_mean_factor_is_one_and_strict_exceeds_it(scheme):
    params, loss_fn, batches = network()
    tau = jasgd.train(
        loss_fn, params, adaptive(0.01), batches, scheme=EVERY[scheme], workers=6, steps=8000
    ).execution.staleness[1000:]  # fmt: skip

    def realised(kind):
        tx = jasgd.staleness_adaptive(rules.tail(cdf=kind), jasgd.StalenessHistogram.window(1024))

        def step(state, t):
            _, state = tx.update(jnp.zeros(()), state, staleness=t)
            return state, (state.factor, state.law.sum_p2())

        _, (factor, s2) = jax.lax.scan(step, tx.init(jnp.zeros(())), jnp.asarray(tau, jnp.int32))
        return np.asarray(factor, np.float64)[1024:], np.asarray(s2)[1024:]

    mid, s2 = realised("mid")
    strict, _ = realised("strict")
    assert abs(mid.mean() - 1) <= 4 * autocorrelated_standard_error(mid)
    excess = strict.mean() - mid.mean()
    # With a window of N that contains the value itself, strict exceeds mid by the mean of p(τ): A·Σp².
    assert excess == pytest.approx(s2.mean(), rel=0.1)
    assert excess > 0.01


@pytest.mark.parametrize("when", ["while the workers run", "at the last report"])
def test_an_on_progress_that_raises_fails_the_run_and_keeps_what_was_learned(when):
    told = []

    def on_progress(progress):
        told.append(progress)
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

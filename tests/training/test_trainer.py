"""How a run ends and what its result holds: steps, time limits, targets, evaluations, aux, progress."""

import itertools
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.every_scheme import EVERY, ids
from support.training_runs import SCHEMES, adaptive, of, ones, quadratic, start, workers_of

import jasgd


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
    began = time.perf_counter()
    result = jasgd.train(quadratic, start(), adaptive(), ones, **of(scheme), time_limit_s=0.2)
    assert time.perf_counter() - began >= 0.2
    assert result.outcome == "finished"
    assert result.message == "the time limit of 0.2 s was reached"
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
    reports, threads = [], set()

    def on_progress(progress):
        reports.append(progress)
        threads.add(threading.current_thread())

    jasgd.train(quadratic, start(), adaptive(), ones, workers=2, steps=3000, on_progress=on_progress)
    assert threads == {threading.current_thread()}
    assert reports[-1].updates == 3000
    assert reports[-1].updates_per_s > 0
    assert all(p.time_s <= q.time_s for p, q in itertools.pairwise(reports))


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

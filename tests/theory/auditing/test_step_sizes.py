"""Whether a run was plain SGD, and with which learning rate, is read off its steps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from theory.auditing.measuring.mini_batches import Pool
from theory.auditing.recorded_run import Commits, Recorded
from theory.auditing.replayed_steps import Step, watched
from theory.auditing.step_sizes import of_run
from theory.decisions.verdict import Verdict

STEPS, SCALES = 60, np.array([2.0, 0.5], np.float32)
FACTOR = np.tile([1.5, 0.5, 1.0], STEPS // 3)
COMMITS = Commits(np.zeros(STEPS, np.int64), FACTOR, np.arange(STEPS), 0)


def taken(update, start=(1.0, -2.0)):
    """The steps of a run whose update is a function of k, x, the noisy gradient and the update before."""
    noise = np.random.default_rng(0).normal(0, 0.3, (STEPS, 2)).astype(np.float32)
    x, before = np.array(start, np.float32), np.zeros(2, np.float32)
    for k in range(STEPS):
        gradient = SCALES * x + noise[k]
        before = np.asarray(update(k, x, gradient, before), np.float32)
        yield Step(k, x, x + before, (x,), (gradient,))
        x = x + before


UPDATES = {
    "plain": lambda k, x, g, d: -0.05 * FACTOR[k] * g,
    "momentum": lambda k, x, g, d: 0.3 * d - 0.05 * FACTOR[k] * g,
    "weight decay": lambda k, x, g, d: -0.05 * FACTOR[k] * (g + 0.1 * x),
    "signs": lambda k, x, g, d: -0.05 * np.sign(g),
    "ascent": lambda k, x, g, d: 0.05 * FACTOR[k] * g,
    "schedule": lambda k, x, g, d: -0.05 / (1 + k) * FACTOR[k] * g,
    "clipping": lambda k, x, g, d: -0.05 * FACTOR[k] * g / max(1, np.linalg.norm(g)),
    "unscaled": lambda k, x, g, d: -0.05 * g,
}


def watched_steps(name, **more):
    pool = Pool([np.zeros(2, np.float32)], STEPS)
    return watched(
        taken(UPDATES[name] if isinstance(name, str) else name, **more),
        FACTOR, pool, lambda x, batch: (SCALES @ x**2 / 2, SCALES * x), versions=1000,
    )  # fmt: skip


def found(name, given=None, **more):
    seen, _ = watched_steps(name, **more)
    return of_run(Recorded(None, optimizer="sgd"), COMMITS, seen, given)


def test_a_learning_rate_is_read_off_the_steps():
    steps = found("plain")
    assert steps.is_sgd
    assert not steps.in_doubt
    assert steps.remarks[0].verdict is Verdict.PROVED
    assert steps.learning_rate == pytest.approx(0.05, rel=1e-5)
    np.testing.assert_allclose(steps.values, 0.05 * FACTOR, rtol=1e-5)
    assert steps.remarks[0].numbers["left_over"] < 1e-5


def test_a_learning_rate_that_was_given_is_taken_where_the_steps_have_it():
    assert found("plain", 0.05).learning_rate == 0.05
    wrong = found("plain", 0.051)
    assert wrong.learning_rate == pytest.approx(0.05, rel=1e-5)
    assert [one.verdict for one in wrong.remarks] == [Verdict.PROVED, Verdict.REFUTED]
    assert wrong.remarks[1].text.startswith("η = 0.051 was given, but the replayed steps have 0.05")


@pytest.mark.parametrize("name", ["momentum", "weight decay", "signs", "ascent"])
def test_what_is_not_plain_sgd_is_seen_whatever_the_record_says(name):
    steps = found(name, 0.05)
    assert not steps.is_sgd
    assert steps.values is None
    assert steps.remarks[0].verdict is Verdict.REFUTED
    assert "the theorems are about" in steps.remarks[0].text


@pytest.mark.parametrize("name", ["schedule", "clipping", "unscaled"])
def test_steps_along_the_gradient_with_other_lengths_are_doubted(name):
    steps = found(name, 0.05)
    assert steps.is_sgd
    assert steps.in_doubt
    assert steps.learning_rate is None
    assert steps.remarks[0].verdict is Verdict.UNKNOWN
    assert "a schedule" in steps.remarks[0].text


def test_the_step_sizes_of_a_schedule_are_those_that_were_applied():
    np.testing.assert_allclose(found("schedule").values, 0.05 * FACTOR / np.arange(1, STEPS + 1), rtol=1e-3)


def test_under_a_schedule_means_have_the_weights_of_the_steps():
    _, along = watched_steps("schedule")
    squares = np.array([np.sum((SCALES * step.before) ** 2) for step in taken(UPDATES["schedule"])])
    alpha = FACTOR / np.arange(1, STEPS + 1)
    assert along.squared_gradient.value == pytest.approx(alpha @ squares / alpha.sum(), rel=1e-3)
    assert along.squared_gradient.value != pytest.approx(FACTOR @ squares / FACTOR.sum(), rel=0.1)


def test_steps_that_rounding_hides_tell_nothing():
    steps = found(lambda k, x, g, d: -1e-9 * g, 0.05, start=(1e3, -1e3))
    assert steps.remarks[0].verdict is Verdict.UNKNOWN
    assert "rounding hides them" in steps.remarks[0].text


@pytest.mark.parametrize(
    ("optimizer", "verdict", "is_sgd"),
    [("sgd", Verdict.UNKNOWN, True), (None, None, True), ("adam", Verdict.REFUTED, False)],
)
def test_without_a_replay_plain_sgd_is_not_proved(optimizer, verdict, is_sgd):
    steps = of_run(Recorded(None, optimizer=optimizer), COMMITS, None, 0.05)
    assert (steps.remarks[0].verdict, steps.is_sgd) == (verdict, is_sgd)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_is_refused_by_its_commit(value):
    def update(k, x, g, d):
        return np.full(2, value) if k == 7 else -0.05 * g

    with pytest.raises(ValueError, match="the gradient or step of commit 7 is not finite"):
        found(update)


def test_the_distances_are_those_of_the_views():
    path = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    steps = [Step(k, path[k], path[k + 1], (path[0], path[k]), (path[k], path[k])) for k in range(4)]
    pool = Pool([np.zeros(3, np.float32)], 4)
    seen, _ = watched(steps, np.ones(4), pool, lambda x, batch: (0.0, x), versions=1000)
    np.testing.assert_allclose(seen.distance, np.linalg.norm(path[:4] - path[0], axis=1), rtol=1e-5, atol=1e-6)

"""When a run is evaluated: by the clock, by commits, and the same under the names of the API and the command line."""

import inspect
import threading

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd.cli.compare import Compare
from jasgd.cli.simulate import Simulate
from jasgd.cli.train import Train
from jasgd.training.evaluation_times import EvaluationTimes


def quadratic(w, batch):
    return jnp.sum((w - batch) ** 2)


def test_without_a_choice_one_evaluation_a_second_is_due():
    times = EvaluationTimes(None, None)
    assert [times.is_due(now, 10**9) for now in (0.99, 1.0)] == [False, True]


def test_whichever_comes_first_is_due_and_both_begin_anew_after_it():
    times = EvaluationTimes(10.0, 100)
    assert times.is_due(10.0, 3)
    assert times.is_due(1.0, 100)
    times.evaluated(5.0, 130)  # late: the mark at 100 is past, the next is a multiple again
    assert not times.is_due(14.9, 199)
    assert times.is_due(15.0, 130)
    assert times.is_due(5.1, 200)


def test_a_run_that_goes_on_is_evaluated_at_its_own_next_multiple():
    times = EvaluationTimes(None, 100, version=1050)
    assert [times.is_due(0.0, version) for version in (1051, 1099, 1100)] == [False, False, True]


@pytest.mark.parametrize("scheme", ["sequential", "synchronous", "leashed"])
def test_a_run_is_evaluated_every_so_many_commits_while_it_goes_on(scheme):
    """The workers wait at a ticket until the second evaluation, which no clock would bring about."""
    seen, evaluated = [], threading.Event()

    def evaluate(w):
        seen.append(np.array(w))
        if len(seen) == 2:
            evaluated.set()
        return float(jnp.sum(w))

    def batches(ticket):
        if ticket >= 50:
            assert evaluated.wait(120)
        return np.ones(2, np.float32)

    result = jasgd.train(
        quadratic, jnp.zeros(2), optax.sgd(0.01), batches, scheme=scheme, workers=1, steps=60, evaluate=evaluate,
        evaluate_every_s=1e6, evaluate_every_steps=40,
    )  # fmt: skip
    assert result.outcome == "finished"
    first, second, last = (e["version"] for e in result.evaluations)
    assert (first, last) == (0, 60)
    assert 40 <= second <= 50


def test_simulated_updates_are_counted_exactly():
    model = jasgd.Cluster(compute_s=1.0)
    (run,) = jasgd.simulate(
        quadratic, jnp.zeros(2), optax.sgd(0.01), lambda ticket: np.ones(2, np.float32), cluster=model, workers=2,
        steps=7, evaluate=lambda w: 0.0, evaluate_every_steps=3,
    )  # fmt: skip
    assert [e["version"] for e in run.evaluations] == [0, 3, 6, 7]


def default_of(function, name):
    return inspect.signature(function).parameters[name].default


@pytest.mark.parametrize("name", ["workers", "evaluate_every_s", "evaluate_every_steps"])
@pytest.mark.parametrize(("function", "command"), [(jasgd.train, Train), (jasgd.compare, Compare)])
def test_functions_and_commands_have_the_same_defaults(function, command, name):
    assert default_of(function, name) == default_of(command, name)
    assert default_of(function, name) is not inspect.Parameter.empty


def test_the_default_numbers_of_workers_are_one(capsys):
    assert default_of(jasgd.train, "workers") == 8
    assert default_of(jasgd.sweep, "workers") == default_of(Simulate, "workers")
    arguments = quadratic, jnp.zeros(2), optax.sgd(0.01), lambda ticket: np.ones(2, np.float32)
    assert jasgd.train(*arguments, steps=9).execution.workers == 8
    (run,) = jasgd.simulate(*arguments, cluster=jasgd.Cluster(compute_s=1.0), steps=9)
    assert run.execution.workers == 8

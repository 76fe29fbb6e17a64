"""Parameters that lie in the optimizer state: evaluate can have them, and the result says that there are some."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd.record.remarks import SCHEDULE_FREE


class AverageState(NamedTuple):
    average_params: Any


def parameter_average(decay):
    def update(updates, state, params=None, **extra_args):
        new = optax.apply_updates(params, updates)
        return updates, AverageState(optax.incremental_update(new, state.average_params, 1 - decay))

    return optax.GradientTransformationExtraArgs(AverageState, update)


def loss_fn(w, batch):
    return jnp.mean((w["w"] - batch) ** 2)


def run(tx, *, call=jasgd.train, steps=30, params=None, **options):
    params = {"w": jnp.zeros(3)} if params is None else params
    options = {"workers": 2} | options
    return call(loss_fn, params, tx, np.float32, steps=steps, **options)


def test_evaluate_is_given_the_optimizer_state_of_the_snapshot_it_asks_for():
    seen = []

    def evaluate(params, opt_state):
        seen.append((params, opt_state))
        return 0.0

    tx = optax.chain(optax.sgd(0.1), parameter_average(0.9))
    result = run(tx, workers=1, evaluate=evaluate, scheme="locked")
    params, state = seen[-1]
    np.testing.assert_array_equal(params["w"], result.params["w"])
    np.testing.assert_array_equal(state[-1].average_params["w"], result.opt_state[-1].average_params["w"])
    np.testing.assert_array_equal(seen[0][1][-1].average_params["w"], 0.0)


def test_the_average_of_the_parameters_is_that_of_their_versions():
    tx = optax.chain(optax.sgd(0.1), parameter_average(0.9))
    result = run(tx, steps=12)
    average = np.zeros(3)
    for version in range(12):
        average = 0.9 * average + 0.1 * np.asarray(
            jasgd.replay(result, loss_fn, tx, np.float32, upto=version + 1).params["w"]
        )
    np.testing.assert_allclose(result.opt_state[-1].average_params["w"], average, rtol=1e-5)


def test_a_simulations_evaluate_may_ask_for_it_too():
    tx = optax.chain(optax.sgd(0.1), parameter_average(0.9))
    (simulated,) = run(tx, call=jasgd.simulate, cluster=jasgd.Cluster(compute_s=1.0),
                       evaluate=lambda params, opt_state: opt_state[-1].average_params["w"][0])  # fmt: skip
    assert simulated.evaluations[-1]["loss"] == float(simulated.opt_state[-1].average_params["w"][0])
    assert simulated.evaluations[0]["loss"] == 0


@pytest.mark.parametrize("loaded", [False, True])
def test_the_summary_says_where_other_parameters_are(loaded, tmp_path):
    cases = {
        "params are those that the optimizer updates; others are in opt_state[1].average_params: "
        "evaluate(params, opt_state) can take them": optax.chain(optax.sgd(0.1), parameter_average(0.9)),
        SCHEDULE_FREE: optax.contrib.schedule_free(optax.sgd(0.1), 0.1),
    }
    for number, (words, tx) in enumerate(cases.items()):
        result = run(tx)
        if loaded:
            result = jasgd.TrainResult.load(result.save(tmp_path / str(number)))
        assert result.remarks == [words]
        assert words in " ".join(result.summary().split())


def test_what_the_summary_says_of_schedule_free_can_be_called():
    result = run(optax.contrib.schedule_free(optax.sgd(0.1), 0.1))
    averaged = optax.contrib.schedule_free_eval_params(result.opt_state, result.params)
    assert jax.tree.structure(averaged) == jax.tree.structure(result.params)


@pytest.mark.parametrize("tx", [optax.adam(0.1), optax.sgd(0.1, momentum=0.9), optax.ema(0.9)])
def test_a_state_without_parameters_is_not_spoken_of(tx):
    assert run(tx, steps=3).remarks == []

"""What simulate refuses before it computes: each message names the argument, its value and what is allowed."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.lanes import adaptive, of_other_lengths, simulated
from support.simulations import CLUSTER

import jasgd

BAD = [
    ({"seeds": ()}, ValueError, "seeds must be one or more integers ≥ 0, and each once"),
    ({"seeds": [1, 1]}, ValueError, "seeds must be .* each once"),
    ({"seeds": [-1]}, ValueError, "seeds must be"),
    ({"seeds": [1.0]}, ValueError, "seeds must be"),
    ({"seeds": [True]}, ValueError, "seeds must be"),
    ({"seeds": 5}, TypeError, "seeds must be a sequence of numbers, got 5"),
    ({"seeds": [2**64]}, ValueError, "seed must be < 2"),
    ({"learning_rates": [0.1]}, TypeError, "tx must be a function of a learning rate where learning_rates are given"),
    ({"learning_rates": [0.1], "tx": None}, TypeError, "tx must be a function of a learning rate .* NoneType"),
    ({"learning_rates": 0.1, "tx": optax.sgd}, TypeError, "learning_rates must be a sequence of numbers, got 0.1"),
    ({"learning_rates": [], "tx": optax.sgd}, ValueError, "learning_rates must be one or more finite numbers"),
    ({"learning_rates": [0.1, 0.1], "tx": optax.sgd}, ValueError, "learning_rates must be .* each once"),
    ({"learning_rates": [float("nan")], "tx": optax.sgd}, ValueError, "learning_rates must be .* finite"),
    ({"learning_rates": ["a"], "tx": optax.sgd}, ValueError, "learning_rates must be .* finite numbers"),
    ({"tx": optax.sgd}, ValueError, "learning_rates must be given where tx is a function"),
    ({"tx": lambda size: size, "learning_rates": [0.1]}, TypeError, "tx must be an Optax gradient transformation"),
    ({"tx": 3}, TypeError, "tx must be an Optax gradient transformation"),
    ({"tx": optax.chain(optax.MultiSteps(adaptive(), 2))}, TypeError, "tx must hand 'staleness' on"),
    ({"cluster": None}, ValueError, "cluster must be given, or an execution"),
    ({"workers": None, "steps": None}, ValueError, "steps must be given, or an execution, or a recorded run"),
    ({"cluster": 3}, TypeError, "cluster must be a jasgd.Cluster"),
    ({"workers": 0}, ValueError, "workers must be an integer ≥ 1"),
    ({"steps": 1.5}, ValueError, "steps must be an integer ≥ 1"),
    ({"scheme": "none"}, ValueError, "scheme"),
    ({"evaluate_every_steps": 0}, ValueError, "evaluate_every_steps must be an integer ≥ 1"),
    ({"evaluate_every_steps": 2.0}, ValueError, "evaluate_every_steps must be an integer ≥ 1"),
    ({"evaluate": 3}, TypeError, "evaluate must be a function of params or None, got int"),
    ({"evaluate": lambda params: "low"}, TypeError, "evaluate must give a number"),
    ({"evaluate": lambda params: {"version": 1}}, ValueError, "evaluate must give names other than"),
    ({"on_progress": 3}, TypeError, "on_progress must be a function or None, got int"),
    ({"on_nonfinite": "go"}, ValueError, "on_nonfinite must be 'stop' or 'pass'"),
    ({"lanes": "many"}, ValueError, "lanes must be 'auto', 'threads' or 'vmap'"),
    ({"execution": 3}, ValueError, "cluster, workers, steps must be left out where an execution is given"),
    ({"batches": iter([])}, TypeError, "batches must be a function of a ticket, or by_seed of such, got list_iterator"),
    ({"batches": jasgd.by_seed(lambda seed: [1])}, TypeError, "batches must be a function .* got list"),
    ({"params": {}}, ValueError, "params must have at least one array"),
    (
        {"params": jasgd.by_seed(lambda seed: jnp.zeros(2 + seed))},
        ValueError,
        "params must have the same .* every seed",
    ),
    ({"params": jasgd.by_seed(lambda seed: {"a": jnp.zeros(2)} if seed else jnp.zeros(2))}, ValueError, "params must"),
    ({"params": jasgd.by_seed(lambda seed: jnp.zeros(2, [jnp.bfloat16, float][seed]))}, ValueError, "params must have"),
    ({"loss_fn": lambda w, b: w - b}, TypeError, r"loss_fn must return a floating-point scalar, got float32\[2\]"),
    ({"loss_fn": lambda w, b: (w.sum(), 1.0)}, TypeError, "loss_fn must return a floating-point scalar"),
    ({"loss_fn": 3}, TypeError, "loss_fn must be a function"),
    ({"has_aux": True}, TypeError, r"loss_fn must return \(loss, aux\)"),
]


@pytest.mark.parametrize(("options", "error", "message"), BAD)
def test_what_cannot_work_is_refused_at_the_door(options, error, message):
    arguments = {
        "loss_fn": lambda w, b: jnp.sum((w - b) ** 2), "params": jnp.zeros(2), "tx": optax.sgd(0.1),
        "batches": lambda ticket: np.ones(2, np.float32), "cluster": CLUSTER, "workers": 2, "steps": 3, "seeds": [0, 1],
    }  # fmt: skip
    with pytest.raises(error, match=message):
        jasgd.simulate(**arguments | options)


@pytest.mark.parametrize(
    ("execution", "options", "error", "message"),
    [
        (3, {}, TypeError, "execution must be an Execution, or by_seed of such, got int"),
        (jasgd.by_seed(lambda seed: None), {}, TypeError, "execution must be an Execution, .* got NoneType"),
        (of_other_lengths(0), {"scheme": "hogwild"}, ValueError, "scheme must be left out"),
        (of_other_lengths(0), {"workers": 3}, ValueError, "workers must be left out"),
        (
            jasgd.record.truncation.truncated(of_other_lengths(0), 0),
            {},
            ValueError,
            "execution must have one row or more",
        ),
    ],
)
def test_an_execution_that_cannot_be_followed_is_refused(execution, options, error, message):
    with pytest.raises(error, match=message):
        simulated(execution=execution, **options)


def test_an_execution_that_contradicts_itself_or_was_altered_is_refused_with_its_row():
    execution = of_other_lengths(1)
    ahead = execution.version_read.copy()
    ahead[[20, 30]] = 50
    with pytest.raises(jasgd.ExecutionError, match=r"^row 20: version_read 50 lies after version 20"):
        simulated(execution=execution.replaced(version_read=ahead))
    time_s = execution.time_s.copy()
    time_s[[20, 30]] += 1
    with pytest.raises(jasgd.ExecutionError, match=r"^row 20: was altered"):
        simulated(
            execution=jasgd.by_seed(
                lambda seed: jasgd.simulating.simulator.dataclasses.replace(execution, time_s=time_s)
            )
        )

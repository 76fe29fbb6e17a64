"""A simulation computes what its execution says, as a loop that keeps every version does, and the replay of it."""

import itertools

import jax
import numpy as np
import optax
import pytest
from support.agreement import assert_close
from support.problems import smooth
from support.random_executions import without
from support.simulations import (
    CLUSTER,
    OPTIMIZERS,
    RULES,
    SCHEMES,
    STEPS,
    by_value,
    full,
    held_against_its_replay,
    held_against_the_loop,
    simulated,
    with_aux,
    x64,
)

import jasgd
from jasgd import cluster, rules

#: Every scheme, optimizer and rule in the default suite.
CASES = [
    ("synchronous", 3, "sgd", "tail"),
    ("locked", 4, "momentum", "constant"),
    ("hogwild", 16, "sgd", "exponential"),
    ("leashed", 9, "momentum", "tail"),
    ("bounded", 5, "adam", "exponential"),
    ("k_of_n", 6, "momentum", "exponential"),
    ("sequential", 1, "sgd", "exponential"),
]
PRODUCT = [
    (scheme, 1 + (0 if scheme == "sequential" else 2 * count), optimizer, rule)
    for count, (scheme, optimizer, rule) in enumerate(itertools.product(SCHEMES, OPTIMIZERS, RULES))
    if scheme == "sequential" or count >= 1
]


@pytest.mark.parametrize(("scheme", "workers", "optimizer", "rule"), [*CASES, *(full(*case) for case in PRODUCT)])
def test_it_computes_what_the_execution_says(scheme, workers, optimizer, rule):
    tx = OPTIMIZERS[optimizer](RULES[rule]())
    run, _ = held_against_the_loop(tx, scheme=SCHEMES[scheme], workers=workers)
    ex = run.execution
    assert (run.outcome, ex.commits) == ("finished", STEPS)
    assert ex.staleness.max() > 0 or scheme in ("sequential", "synchronous", "k_of_n")
    assert (len(ex.dropped) > 0) == (scheme in ("leashed", "k_of_n"))
    if scheme in ("leashed", "synchronous") or workers > 16:
        held_against_its_replay(run, tx)


def test_the_default_suite_tries_every_choice():
    for place, choices in ((0, SCHEMES), (2, OPTIMIZERS), (3, RULES)):
        assert {case[place] for case in CASES} == set(choices)


def compensated():
    return optax.chain(jasgd.delay_compensated(0.5), OPTIMIZERS["momentum"](rules.tail()))


@pytest.mark.newest
@pytest.mark.parametrize("scheme", ["leashed", full("k_of_n")])
def test_a_transformation_that_asks_for_the_read_parameters_gets_them(scheme):
    run, _ = held_against_the_loop(compensated(), scheme=SCHEMES[scheme], workers=6)
    held_against_its_replay(run, compensated())


@pytest.mark.parametrize("scheme", [full("leashed"), "synchronous"])
def test_aux_is_that_of_each_row(scheme):
    with x64():
        problem = with_aux()
    tx = OPTIMIZERS["sgd"](rules.tail())
    run, expected = held_against_the_loop(tx, problem, scheme=SCHEMES[scheme], workers=5, has_aux=True)
    assert list(run.aux) == ["more/0", "more/1", "offset"]
    for name, column in run.aux.items():
        expected_column = [
            {"more/0": a["more"][0], "more/1": a["more"][1], "offset": a["offset"]}[name] for a in expected.aux
        ]
        assert column.dtype == expected_column[0].dtype
        np.testing.assert_allclose(column, expected_column, rtol=1e-9)


@pytest.mark.parametrize("scheme", ["leashed", "synchronous", full("k_of_n")])
def test_a_transformation_that_uses_the_loss_gets_that_of_its_gradients(scheme):
    tx = optax.chain(by_value(), OPTIMIZERS["sgd"](rules.tail()))
    held_against_the_loop(tx, scheme=SCHEMES[scheme], workers=5)


@pytest.mark.parametrize("typed", [full(False), True])
def test_an_optimizer_state_with_integers_and_a_key(typed):
    key = jax.random.key(3) if typed else 3
    tx = optax.chain(optax.add_noise(0.01, 0.5, key), OPTIMIZERS["sgd"](rules.tail()))
    run, _ = held_against_the_loop(tx, workers=4)
    held_against_its_replay(run, tx)


def test_an_optimizer_without_state():
    run, _ = held_against_the_loop(optax.sgd(0.05), workers=4)
    assert jax.tree.leaves(run.opt_state) == []
    assert (run.execution.factor == 1).all()


@pytest.mark.full
def test_a_schedule_of_the_step_size_counts_commits():
    tx = optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(optax.linear_schedule(0.1, 0.001, STEPS)))
    held_against_the_loop(tx, workers=4)


def test_an_execution_without_workers():
    execution = cluster.independent([0.2, 0.2, 0.0, 0.3, 0.3], steps=STEPS, seed=5)
    tx = OPTIMIZERS["momentum"](rules.tail())
    run, _ = held_against_the_loop(tx, execution=execution, evaluate=lambda params: float(params["offset"]))
    assert (run.execution.worker == -1).all()
    assert run.execution.staleness.tolist() == execution.staleness.tolist()
    held_against_its_replay(run, tx)


def recorded(scheme, **options):
    with x64():
        params, loss_fn, batches = smooth()
        tx = OPTIMIZERS["momentum"](rules.tail())
        return jasgd.train(loss_fn, params, tx, batches, scheme=scheme, steps=STEPS, **options), tx


@pytest.mark.parametrize("scheme", [full("locked"), full("leashed"), full("synchronous")])
def test_a_recorded_run_is_computed_again(scheme):
    result, tx = recorded(scheme, workers=4)
    run, _ = held_against_the_loop(tx, execution=result.execution)
    with x64():
        assert_close(run.params, result.params)
        assert_close(run.opt_state, result.opt_state)
    same = ("worker", "ticket", "version_read", "version", "staleness", "tries", "time_s")
    assert all(getattr(run.execution, name).tolist() == getattr(result.execution, name).tolist() for name in same)
    np.testing.assert_allclose(run.execution.loss, result.execution.loss, rtol=1e-6)


class Dropping(jasgd.schemes.Locked):
    """Drops every third gradient."""

    def commit(self, gradient):
        if gradient.ticket % 3:
            return super().commit(gradient)
        version = self._version
        return self._ledger.record_dropped(gradient, version, version - gradient.view.version, 1, "stale")


def test_a_recorded_run_with_dropped_gradients_keeps_them():
    result, tx = recorded(Dropping, workers=3)
    run, _ = held_against_the_loop(tx, execution=result.execution)
    with x64():
        assert_close(run.params, result.params)
    assert len(run.execution.dropped) == len(result.execution.dropped) > 10
    run.execution.validate()
    run.execution.unaltered()


@pytest.mark.parametrize("lost", [full((0,)), full((4,)), (0, 4, 5, 11), full((11,))])
def test_commits_of_hogwild_that_did_not_end_change_nothing(lost):
    tx, done = OPTIMIZERS["momentum"](rules.tail()), []
    whole = jasgd.cluster.generate(CLUSTER, scheme="hogwild", workers=3, steps=12, seed=1)
    cut = without(whole, list(lost))
    run, expected = held_against_the_loop(
        tx, execution=cut, evaluate=lambda params: float(params["offset"]), evaluate_every_steps=1,
        on_progress=lambda *progress: done.append(progress),
    )  # fmt: skip
    assert run.execution.commits == 12
    assert [one["version"] for one in run.evaluations] == list(range(13))
    offsets = [float(params["offset"]) for params in expected.params]
    np.testing.assert_allclose([one["loss"] for one in run.evaluations], offsets, rtol=1e-9, atol=1e-12)
    assert done[-1] == (12 - len(lost), 12 - len(lost))


@pytest.mark.newest
@pytest.mark.parametrize(
    ("scheme", "optimizer"),
    [("leashed", "sgd"), ("synchronous", "adam")]
    + [full(*pair) for pair in itertools.product(["sequential", "locked", "hogwild"], ["sgd", "adam"])],
)
def test_one_worker_is_the_sequential_optimizer(scheme, optimizer):
    plain = {"sgd": optax.sgd(0.05, momentum=0.9), "adam": optax.adam(1e-2)}[optimizer]
    tx = optax.chain(jasgd.staleness_adaptive(rules.tail()), plain)
    with x64():
        params, loss_fn, batches = smooth()
        (run,) = simulated(tx, scheme=scheme, workers=1)
        state, gradient = plain.init(params), jax.jit(jax.grad(loss_fn))
        for ticket in range(STEPS):
            updates, state = plain.update(gradient(params, batches(ticket)), state, params)
            params = optax.apply_updates(params, updates)
        assert_close(run.params, params)
    assert (run.execution.staleness == 0).all()

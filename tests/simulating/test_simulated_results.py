"""What a simulation returns: results by seed and learning rate, which are saved, replayed and the same bits again."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import assert_close, same_bits
from support.digests_script import digests
from support.problems import smooth
from support.python_process import TESTS, run_python
from support.reference_loop import follow
from support.simulations import (
    CLUSTER,
    OPTIMIZERS,
    STEPS,
    full,
    held_against_its_replay,
    simulated,
    with_aux,
    x64,
)

import jasgd
from jasgd import cluster, rules


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_the_same_call_gives_the_same_bits_in_another_process_too(lanes):
    process = run_python("-W", "error", TESTS / "support" / "digests_script.py", lanes)
    first = digests(lanes=lanes)
    assert first == json.loads(process.stdout)
    assert first == digests(lanes=lanes)
    assert len({run[0] for run in first}) == 4  # each seed and learning rate has bits of its own


def test_the_loss_that_evaluate_finds_is_that_of_its_version():
    problem = smooth()
    with x64():
        params, loss_fn, batches = problem = smooth()
        tx = OPTIMIZERS["momentum"](rules.tail())
        seen = []

        def evaluate(params):
            seen.append(params)
            return {"loss": loss_fn(params, batches(10**6)), "norm": optax.tree.norm(params)}

        runs = simulated(tx, problem, workers=3, seeds=[5], evaluate=evaluate, evaluate_every_steps=7)
        run = runs[5]
        expected = follow(loss_fn, params, tx, batches, run.execution)
        versions = [*range(0, STEPS, 7), STEPS]
        assert [one["version"] for one in run.evaluations] == versions
        for one, where, version in zip(run.evaluations, seen, versions, strict=True):
            assert_close(where, expected.params[version])
            np.testing.assert_allclose(one["loss"], loss_fn(expected.params[version], batches(10**6)), rtol=1e-9)
            times = run.execution.time_s[run.execution.version < version]
            assert one["time_s"] == times.max(initial=0.0)
            assert sorted(one) == ["loss", "norm", "time_s", "version"]


def test_evaluations_of_hogwild_come_no_earlier_than_the_commits_before_them():
    slow = cluster.Cluster(compute_s=cluster.exponential(1.0), commit_s=cluster.exponential(3.0))
    (run,) = simulated(optax.sgd(0.01), cluster=slow, scheme="hogwild", evaluate=lambda p: 0.0, evaluate_every_steps=1)
    assert (np.diff(run.execution.time_s) < 0).any()  # commits end in another order than they begin
    times = [one["time_s"] for one in run.evaluations]
    assert times == sorted(times)
    assert times[-1] == run.duration_s


@pytest.mark.parametrize("execution", [full(None), cluster.independent([0.5, 0.5], steps=20)])
def test_a_simulated_result_is_a_result(execution, tmp_path):
    with x64():
        problem = with_aux()
        tx = OPTIMIZERS["momentum"](rules.inverse())
        options = {"steps": 20} if execution is None else {"execution": execution}
        (run,) = simulated(tx, problem, has_aux=True, evaluate=lambda p: 1.0, evaluate_every_steps=5, **options)
        summary = run.summary()
        assert "finished: all 20 steps were taken" in summary
        assert "20 updates" in summary
        assert run.metrics["updates"] == 20
        loaded = jasgd.TrainResult.load(run.save(tmp_path), params_like=problem[0], opt_state_like=tx.init(problem[0]))
        assert same_bits((run.params, run.opt_state), (loaded.params, loaded.opt_state))
    assert loaded.execution.hashes() == run.execution.hashes()
    assert loaded.execution.metadata == json.loads(json.dumps(run.execution.metadata))
    assert loaded.summary() == summary
    assert sorted(map(str, loaded.metrics.items())) == sorted(map(str, run.metrics.items()))
    assert [one["version"] for one in loaded.evaluations] == [0, 5, 10, 15, 20]
    loaded.execution.unaltered()
    again = held_against_its_replay(loaded, tx, problem)
    assert again.rows == 20
    for file in jasgd.report.plot(run, tmp_path / "plots"):
        assert file.stat().st_size > 1000


def test_what_a_recorded_run_said_of_its_end_is_not_said_of_the_simulation():
    params, loss_fn, batches = {"w": jnp.ones(4)}, lambda p, b: jnp.mean(p["w"] ** 2) * b, np.float32
    batches = lambda ticket: np.float32(1)  # noqa: E731
    diverged = jasgd.train(loss_fn, params, optax.sgd(12.0), batches, workers=2, steps=10**4, throw=False)
    assert diverged.outcome == "diverged"
    (run,) = jasgd.simulate(loss_fn, params, optax.sgd(0.01), batches, execution=diverged.execution)
    assert run.outcome == "finished"
    assert "params_version" not in run.execution.metadata
    again = jasgd.replay(run, loss_fn, optax.sgd(0.01), batches)
    assert again.compared == ("params", "opt_state")
    assert again.relative_difference < 1e-5


@pytest.mark.newest
def test_results_come_by_seed_and_learning_rate():
    def make(size):
        return optax.sgd(size)

    runs = simulated(make, seeds=[7, np.int64(2)], learning_rates=[0.1, np.float32(0.5)], steps=5)
    assert (runs.seeds, runs.learning_rates) == ((7, 2), (0.1, 0.5))
    assert len(runs) == 4
    order = [(run.execution.metadata["seed"], run.execution.metadata["learning_rate"]) for run in runs]
    assert order == [(7, 0.1), (7, 0.5), (2, 0.1), (2, 0.5)]
    assert runs[2, 0.5] is list(runs)[3]
    with pytest.raises(KeyError, match=r"2 learning rates were simulated: ask for \[seed, learning_rate\]"):
        runs[7]
    with pytest.raises(KeyError, match=r"seed and learning rate must be of \(7, 2\) and \(0.1, 0.5\), got \(7, 0.2\)"):
        runs[7, 0.2]
    one = simulated(make, seeds=[7, 2], learning_rates=[0.1], steps=5)
    assert one[7] is one[7, 0.1]
    assert [run.execution.metadata["seed"] for run in one] == [7, 2]
    with pytest.raises(KeyError, match="seed"):
        one[3]
    assert same_bits(dataclasses.replace(one[7], aux={}).params, runs[7, 0.1].params)


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_parameters_batches_and_executions_by_seed(lanes):
    with x64():
        problems = {seed: smooth(seed) for seed in (3, 8)}
        loss_fn, tx = problems[3][1], OPTIMIZERS["momentum"](rules.tail())
        runs = {
            seed: cluster.generate(CLUSTER, scheme="leashed", workers=seed, steps=STEPS + seed, seed=seed)
            for seed in (3, 8)
        }
        results = jasgd.simulate(
            loss_fn,
            jasgd.by_seed(lambda seed: problems[seed][0]),
            tx,
            jasgd.by_seed(lambda seed: problems[seed][2]),
            execution=jasgd.by_seed(runs.__getitem__),
            seeds=[8, 3],
            lanes=lanes,
        )
        for seed, (params, _, batches) in problems.items():
            assert results[seed].execution.worker.tolist() == runs[seed].worker.tolist()
            assert_close(results[seed].params, follow(loss_fn, params, tx, batches, runs[seed]).params[-1])
            assert_close(results[seed].initial_params, params, 0)

"""A simulation computes what its execution says, as a loop that keeps every version does, and the replay of it."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import assert_close, same_bits
from support.digests_script import digests
from support.problems import smooth
from support.random_executions import without
from support.reference_loop import follow
from support.simulations import CLUSTER, full, x64

import jasgd
from jasgd import cluster, rules, schemes

STEPS = 60
SCHEMES = {
    "sequential": "sequential",
    "synchronous": "synchronous",
    "locked": "locked",
    "hogwild": "hogwild",
    "leashed": schemes.leashed(persistence=1, max_staleness=6),
    "bounded": cluster.bounded_staleness(slack=2),
    "k_of_n": cluster.k_of_n(k=2),
}
OPTIMIZERS = {
    "sgd": lambda rule: optax.chain(jasgd.staleness_adaptive(rule), optax.sgd(0.05)),
    "momentum": lambda rule: optax.chain(jasgd.staleness_adaptive(rule), optax.sgd(0.02, momentum=0.9)),
    "adam": lambda rule: optax.chain(optax.adam(1e-2), jasgd.staleness_adaptive(rule)),
}
RULES = {
    "constant": rules.constant,
    "tail": rules.tail,
    "exponential": lambda: rules.normalized(rules.exponential(beta=0.1)),
}
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


def simulated(tx, problem=None, **options):
    params, loss_fn, batches = problem or smooth()
    given = {"cluster": CLUSTER, "workers": 4, "steps": STEPS} if "execution" not in options else {}
    return jasgd.simulate(loss_fn, params, tx, batches, **(given | options))


def held_against_the_loop(tx, problem=None, *, rtol=1e-9, **options):
    """A simulation of one seed in double precision, and the loop; both after they were found to agree."""
    with x64():
        problem = problem or smooth()
        (run,) = simulated(tx, problem, **options)
        params, loss_fn, batches = problem
        has_aux = options.get("has_aux", False)
        expected = follow(loss_fn, params, tx, batches, run.execution, has_aux=has_aux)
        assert_close(run.params, expected.params[-1], rtol)
        assert_close(run.opt_state, expected.states[-1], rtol)
    assert jax.tree.structure(run.params) == jax.tree.structure(params)
    assert jax.tree.structure(run.opt_state) == jax.tree.structure(expected.states[-1])
    np.testing.assert_allclose(run.execution.loss, expected.losses, rtol=1e-6)
    np.testing.assert_allclose(run.execution.factor, expected.factors, rtol=1e-6)
    return run, expected


def held_against_its_replay(run, tx, problem=None, *, rtol=1e-9):
    with x64():
        _, loss_fn, batches = problem or smooth()
        again = jasgd.replay(run, loss_fn, tx, batches)
        assert again.compared == ("params", "opt_state")
        assert_close(run.params, again.params, rtol)
        assert_close(run.opt_state, again.opt_state, rtol)
    return again


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


def with_aux():
    params, loss_fn, batches = smooth()

    def loss_and_aux(params, batch):
        loss = loss_fn(params, batch)
        return loss, {"offset": params["offset"], "more": (2.0 * loss, jnp.int32(batch["y"].sum() > 0))}

    return params, loss_and_aux, batches


@pytest.mark.parametrize("scheme", [full("leashed"), "synchronous"])
def test_aux_is_that_of_each_row(scheme):
    with x64():
        problem = with_aux()
    tx = OPTIMIZERS["sgd"](rules.tail())
    run, expected = held_against_the_loop(tx, problem, scheme=SCHEMES[scheme], workers=5, has_aux=True)
    assert list(run.aux) == ["more/0", "more/1", "offset"]
    for name, column in run.aux.items():
        told = [{"more/0": a["more"][0], "more/1": a["more"][1], "offset": a["offset"]}[name] for a in expected.aux]
        assert column.dtype == told[0].dtype
        np.testing.assert_allclose(column, told, rtol=1e-9)


def by_value():
    """Scales by the loss that the gradient came with, and counts in integers."""

    def update(grads, state, params=None, *, value, **extra):
        del params, extra
        count, best = state
        scaled = jax.tree.map(lambda g: g / (1.0 + value).astype(g.dtype), grads)
        return scaled, (count + 1, jnp.minimum(best, value).astype(best.dtype))

    def init(params):
        return jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, jax.tree.leaves(params)[0].dtype)

    return optax.GradientTransformationExtraArgs(init, update)


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
        return self._ledger.dropped(gradient, version, version - gradient.view.version, 1, "stale")


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
        tx, execution=cut, evaluate=lambda params: float(params["offset"]), evaluate_every=1,
        on_progress=lambda *told: done.append(told),
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


def test_the_first_updates_agree_in_single_precision():
    params, loss_fn, batches = smooth()
    tx = OPTIMIZERS["momentum"](rules.constant())
    (run,) = simulated(tx, workers=5, steps=6)
    assert_close(run.params, follow(loss_fn, params, tx, batches, run.execution).params[-1], 1e-6)
    (run,) = simulated(optax.sgd(0.05), scheme="synchronous", workers=1, steps=6)
    assert_close(run.params, follow(loss_fn, params, optax.sgd(0.05), batches, run.execution).params[-1], 1e-6)


@pytest.mark.parametrize(
    ("dtype", "scheme"),
    [
        (jnp.bfloat16, "synchronous"),
        full(jnp.bfloat16, "leashed"),
        full(jnp.float16, "leashed"),
        full(jnp.float16, "synchronous"),
    ],
)
def test_half_precision(dtype, scheme):
    problem = smooth(dtype=dtype)
    params, loss_fn, batches = problem
    tx = optax.chain(by_value(), optax.sgd(0.02, momentum=0.9))
    (run,) = simulated(tx, problem, scheme=scheme, workers=3, steps=8)
    assert {leaf.dtype for leaf in jax.tree.leaves(run.params)} == {jnp.dtype(dtype)}
    expected = follow(loss_fn, params, tx, batches, run.execution)
    for leaf, other in zip(jax.tree.leaves(run.params), jax.tree.leaves(expected.params[-1]), strict=True):
        np.testing.assert_allclose(np.float32(leaf), np.float32(other), rtol=0.1, atol=0.05)
    np.testing.assert_allclose(run.execution.loss, expected.losses, rtol=0.05)


def test_single_precision_parameters_in_a_session_of_double_precision():
    seen = set()

    def noted(grads, state, params=None, *, value, **extra):
        seen.add(value.dtype)
        return grads, jnp.minimum(state, value)  # of float32, as its loss is

    remembering = optax.GradientTransformationExtraArgs(lambda params: jnp.full((), 9.0, jnp.float32), noted)
    with x64():
        problem = smooth(dtype=jnp.float32)
        tx = optax.chain(remembering, OPTIMIZERS["sgd"](rules.tail()))
        (run,) = simulated(tx, problem, scheme="synchronous", steps=10)
        assert {leaf.dtype for leaf in jax.tree.leaves(run.params)} == {np.dtype(np.float32)}
        expected = follow(problem[1], problem[0], tx, problem[2], run.execution)
        assert_close((run.params, run.opt_state), (expected.params[-1], expected.states[-1]), 1e-4)
    assert seen == {np.dtype(np.float32)}


def test_the_types_of_a_strict_session():
    params, loss_fn, batches = smooth()
    tx = OPTIMIZERS["momentum"](rules.inverse())
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        (run,) = simulated(tx, (params, loss_fn, batches), scheme="synchronous", steps=8)
    assert_close(run.params, follow(loss_fn, params, tx, batches, run.execution).params[-1], 1e-5)


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_a_step_size_has_the_precision_and_the_weak_type_of_pythons_numbers(lanes):
    def make(size):
        return optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(size, momentum=0.9))

    with x64():
        params, loss_fn, batches = smooth()
        told = simulated(make, seeds=[4, 2], step_sizes=[0.04, 0.03], lanes=lanes)
        expected = follow(loss_fn, params, make(0.03), batches, told[2, 0.03].execution)
        assert_close(told[2, 0.03].params, expected.params[-1])
    dtypes = []

    def noted(size):
        dtypes.append((jnp.result_type(size * jnp.ones((), jnp.bfloat16)), jnp.result_type(size)))
        return optax.sgd(size)

    simulated(noted, smooth(dtype=jnp.bfloat16), step_sizes=[0.1, 0.2], steps=3, lanes=lanes)
    assert {dtype for dtype, _ in dtypes} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_the_same_call_gives_the_same_bits_in_another_process_too(lanes):
    told = subprocess.run(
        [sys.executable, str(Path(__file__).parent.parent / "support" / "references.py"), lanes],
        env=os.environ | {"PYTHONPATH": str(Path(jasgd.__file__).parent.parent)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    first = digests(lanes=lanes)
    assert first == json.loads(told.stdout)
    assert first == digests(lanes=lanes)
    assert len({run[0] for run in first}) == 4  # each seed and step size has bits of its own


def test_the_loss_that_evaluate_finds_is_that_of_its_version():
    problem = smooth()
    with x64():
        params, loss_fn, batches = problem = smooth()
        tx = OPTIMIZERS["momentum"](rules.tail())
        seen = []

        def evaluate(params):
            seen.append(params)
            return {"loss": loss_fn(params, batches(10**6)), "norm": optax.tree.norm(params)}

        told = simulated(tx, problem, workers=3, seeds=[5], evaluate=evaluate, evaluate_every=7)
        run = told[5]
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
    (run,) = simulated(optax.sgd(0.01), cluster=slow, scheme="hogwild", evaluate=lambda p: 0.0, evaluate_every=1)
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
        (run,) = simulated(tx, problem, has_aux=True, evaluate=lambda p: 1.0, evaluate_every=5, **options)
        told = run.summary()
        assert "finished: all 20 steps were taken" in told
        assert "20 updates" in told
        assert run.metrics["updates"] == 20
        loaded = jasgd.TrainResult.load(run.save(tmp_path), params_like=problem[0], opt_state_like=tx.init(problem[0]))
        assert same_bits((run.params, run.opt_state), (loaded.params, loaded.opt_state))
    assert loaded.execution.hashes() == run.execution.hashes()
    assert loaded.execution.metadata == json.loads(json.dumps(run.execution.metadata))
    assert loaded.summary() == told
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
def test_results_come_by_seed_and_step_size():
    def make(size):
        return optax.sgd(size)

    told = simulated(make, seeds=[7, np.int64(2)], step_sizes=[0.1, np.float32(0.5)], steps=5)
    assert (told.seeds, told.step_sizes) == ((7, 2), (0.1, 0.5))
    assert len(told) == 4
    order = [(run.execution.metadata["seed"], run.execution.metadata["step_size"]) for run in told]
    assert order == [(7, 0.1), (7, 0.5), (2, 0.1), (2, 0.5)]
    assert told[2, 0.5] is list(told)[3]
    with pytest.raises(KeyError, match=r"2 step sizes were simulated: ask for \[seed, step_size\]"):
        told[7]
    with pytest.raises(KeyError, match=r"seed and step size must be of \(7, 2\) and \(0.1, 0.5\), got \(7, 0.2\)"):
        told[7, 0.2]
    one = simulated(make, seeds=[7, 2], step_sizes=[0.1], steps=5)
    assert one[7] is one[7, 0.1]
    assert [run.execution.metadata["seed"] for run in one] == [7, 2]
    with pytest.raises(KeyError, match="seed"):
        one[3]
    assert same_bits(dataclasses.replace(one[7], aux={}).params, told[7, 0.1].params)


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_parameters_batches_and_executions_by_seed(lanes):
    with x64():
        problems = {seed: smooth(seed) for seed in (3, 8)}
        loss_fn, tx = problems[3][1], OPTIMIZERS["momentum"](rules.tail())
        runs = {
            seed: cluster.generate(CLUSTER, scheme="leashed", workers=seed, steps=STEPS + seed, seed=seed)
            for seed in (3, 8)
        }
        told = jasgd.simulate(
            loss_fn,
            jasgd.by_seed(lambda seed: problems[seed][0]),
            tx,
            jasgd.by_seed(lambda seed: problems[seed][2]),
            execution=jasgd.by_seed(runs.__getitem__),
            seeds=[8, 3],
            lanes=lanes,
        )
        for seed, (params, _, batches) in problems.items():
            assert told[seed].execution.worker.tolist() == runs[seed].worker.tolist()
            assert_close(told[seed].params, follow(loss_fn, params, tx, batches, runs[seed]).params[-1])
            assert_close(told[seed].initial_params, params, 0)

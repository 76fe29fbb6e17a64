"""Runs side by side: in threads or in one vectorised scan they are what each is alone, whatever happens to others."""

import collections
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import assert_close, same_bits
from support.problems import smooth
from support.reference_loop import follow
from support.simulations import CLUSTER, full, x64

import jasgd
from jasgd import cluster, rules
from jasgd.core.admission import admit
from jasgd.simulating.scan import Program, steps_of
from jasgd.simulating.scan_batches import feed
from jasgd.simulating.schedule import schedule

PLAIN = optax.sgd(0.03, momentum=0.5)


def adaptive(size=0.03):
    return optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(size, momentum=0.5))


def simulated(tx=None, problem=None, **options):
    params, loss_fn, batches = problem or smooth()
    given = {"cluster": CLUSTER, "workers": 4, "steps": 40} if "execution" not in options else {}
    return jasgd.simulate(loss_fn, params, PLAIN if tx is None else tx, batches, **(given | options))


def of_other_lengths(seed):
    """Another number of workers, of slots, of steps, and of commits for each seed; one is synchronous."""
    scheme = "synchronous" if seed == 2 else "hogwild"
    return cluster.generate(CLUSTER, scheme=scheme, workers=2 + 3 * seed, steps=[11, 64, 30][seed], seed=seed)


def test_threads_and_vmap_agree():
    with x64():
        loss_of = smooth()[1]
        told = {
            lanes: simulated(
                adaptive, seeds=[5, 1, 3], step_sizes=[0.02, 0.04], lanes=lanes, evaluate_every=17,
                evaluate=lambda params: loss_of(params, smooth()[2](0)),
            )
            for lanes in ("threads", "vmap")
        }  # fmt: skip
        for a, b in zip(told["threads"], told["vmap"], strict=True):
            assert_close((a.params, a.opt_state), (b.params, b.opt_state))
            np.testing.assert_allclose(a.execution.loss, b.execution.loss, rtol=1e-6)
            assert (a.execution.factor == b.execution.factor).all()
            for one, other in zip(a.evaluations, b.evaluations, strict=True):
                assert {**one, "loss": 0} == {**other, "loss": 0}
                np.testing.assert_allclose(one["loss"], other["loss"], rtol=1e-9)
            assert a.execution.metadata["seed"] == b.execution.metadata["seed"]


@pytest.mark.parametrize(
    ("every", "lanes"),
    [(5, "vmap"), full(25, "threads")] + [full(*p) for p in itertools.product([None, 1, 12], ["threads", "vmap"])],
)
def test_lanes_of_other_lengths(lanes, every):
    with x64():
        params, loss_fn, batches = problem = smooth()
        told = simulated(
            problem=problem, execution=jasgd.by_seed(of_other_lengths), seeds=[0, 1, 2], lanes=lanes,
            evaluate=lambda params: float(params["offset"]), evaluate_every=every,
        )  # fmt: skip
        for seed in range(3):
            execution = of_other_lengths(seed)
            expected = follow(loss_fn, params, PLAIN, batches, execution)
            assert_close(told[seed].params, expected.params[-1])
            assert_close(told[seed].opt_state, expected.states[-1])
            assert told[seed].execution.commits == execution.commits
            versions = [*range(0, execution.commits, every or execution.commits), execution.commits]
            assert [one["version"] for one in told[seed].evaluations] == versions
            offsets = [float(expected.params[version]["offset"]) for version in versions]
            np.testing.assert_allclose([one["loss"] for one in told[seed].evaluations], offsets, 1e-9, 1e-12)


def diverging(at):
    """A problem whose loss is not finite for one ticket of some seeds."""
    params, smooth_loss, smooth_batches = smooth()

    def loss_fn(params, batch):
        return jnp.where(batch["bad"], jnp.inf, smooth_loss(params, batch)), params["offset"]

    def batches(seed):
        return lambda ticket: smooth_batches(ticket) | {"bad": np.bool_(ticket == at.get(seed))}

    return params, loss_fn, jasgd.by_seed(batches)


@pytest.mark.parametrize(("lanes", "every"), [("threads", 7), ("vmap", None), full("threads", None), full("vmap", 7)])
def test_a_run_that_diverges_stops_at_its_last_good_version_and_leaves_others_alone(lanes, every):
    seeds, at = [3, 0, 1, 4, 7], {}
    for seed, row in ((1, 0), (3, 23), (4, 38), (7, 39)):
        at[seed] = int(cluster.generate(CLUSTER, workers=4, steps=40, seed=seed).ticket[row])
    with x64():
        params, loss_fn, by_seed = problem = diverging(at)
        seen = []

        def evaluate(params):
            seen.append(float(params["offset"]))
            return 0.0

        given = {"problem": problem, "seeds": seeds, "lanes": lanes, "has_aux": True}
        told = simulated(**given, evaluate=evaluate, evaluate_every=every)
        calm = simulated(**given | {"problem": diverging({})}, evaluate=evaluate, evaluate_every=every)
        assert np.isfinite(seen).all()
        for seed in seeds:
            run, whole = told[seed], calm[seed].execution
            if seed not in at:
                assert run.outcome == "finished"
                assert same_bits((run.params, run.opt_state), (calm[seed].params, calm[seed].opt_state))
                assert run.execution.hashes() == calm[seed].execution.hashes()
                continue
            row = int(np.flatnonzero(whole.ticket == at[seed])[0])
            last, read = int(whole.version[row]), int(whole.version_read[row])
            assert run.outcome == "diverged"
            expected = f"the loss at version {read} (ticket {at[seed]}, worker {whole.worker[row]}) is inf"
            assert run.message == expected
            good = int(whole.version_read[:row].max(initial=0))
            assert run.execution.metadata["params_version"] == good
            found = follow(loss_fn, params, PLAIN, by_seed.of(seed), whole, has_aux=True, upto=last)
            assert_close(run.params, found.params[good])
            assert_close(run.opt_state, found.states[last])
            assert run.execution.commits == len(run.execution) == len(run.aux["aux"]) == last
            assert np.isfinite(run.execution.loss).all()
            np.testing.assert_allclose(run.aux["aux"], found.aux, rtol=1e-9, atol=1e-12)
            run.execution.validate()
            run.execution.unaltered()
            told_of = run.execution.conservation()
            assert told_of["total"] == sum(told_of[k] for k in ("applied", "dropped", "in_flight", "gaps"))
            assert [one["version"] for one in run.evaluations] == [
                version for version in [*range(0, 40, every or 40), 40] if version <= last
            ]
            if seed == 3:
                again = jasgd.replay(run, loss_fn, PLAIN, by_seed.of(seed))
                assert again.compared == ("params", "opt_state")
                assert again.relative_difference < 1e-9


def test_a_round_with_one_loss_that_is_not_finite_is_not_committed():
    params, loss_fn, by_seed = diverging({0: 14})
    (run,) = simulated(problem=(params, loss_fn, by_seed), has_aux=True, scheme="synchronous", workers=3)
    assert run.outcome == "diverged"
    assert run.execution.commits == 4  # tickets 12, 13 and 14 are the fifth
    assert len(run.execution) == 12
    assert "version 4 (ticket 14, worker 2) is inf" in run.message


def test_gradients_that_are_not_finite_may_pass():
    params, loss_fn, by_seed = diverging({0: 14})

    def loss(params, batch):  # whose gradient is not finite, either
        return loss_fn(params, batch)[0] * (1.0 + jnp.where(batch["bad"], jnp.nan, 0.0) * params["offset"])

    tx = optax.apply_if_finite(optax.sgd(0.03), 5)
    told = simulated(tx, (params, loss, by_seed), on_nonfinite="pass", seeds=[0, 1])
    assert [run.outcome for run in told] == ["finished"] * 2
    assert not np.isfinite(told[0].execution.loss[told[0].execution.ticket == 14]).any()
    assert int(told[0].opt_state.total_notfinite) == 1
    assert int(told[1].opt_state.total_notfinite) == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(told[0].params))
    expected = follow(loss, params, tx, by_seed.of(0), told[0].execution)
    assert_close(told[0].params, expected.params[-1], 1e-4)


class Compilations:
    """Counts what XLA compiles, by name, while it is entered."""

    def __enter__(self):
        self.names = collections.Counter()
        jax.monitoring.register_event_duration_secs_listener(self._note)
        return self

    def _note(self, event, duration, **details):
        if "backend_compile" in event:
            self.names[details.get("fun_name", "")] += 1

    def __exit__(self, *_):
        jax.monitoring.unregister_event_duration_listener(self._note)

    @property
    def scans(self):
        return sum(count for name, count in self.names.items() if "_scan" in name or "lanes" in name)


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_seeds_step_sizes_and_evaluations_share_one_compilation(lanes):
    model = cluster.Cluster(compute_s=cluster.lognormal(1.0, 0.9), commit_s=0.1)
    given = {"cluster": model, "scheme": jasgd.schemes.leashed(persistence=0), "workers": 9, "steps": 100}
    plans = [schedule(cluster.generate(**given, seed=seed)) for seed in range(6)]
    assert len({plan.slots for plan in plans}) > 1
    assert len({len(plan) for plan in plans}) > 1
    with Compilations() as compiled:
        simulated(
            adaptive, **given, seeds=range(6), step_sizes=[0.01, 0.02], lanes=lanes, evaluate=lambda params: 0.0,
            evaluate_every=35,
        )  # fmt: skip
    assert compiled.scans == 1, compiled.names


def test_a_run_that_diverges_compiles_nothing_more():
    with Compilations() as compiled:
        told = simulated(problem=diverging({1: 9}), seeds=range(3), has_aux=True)
    assert told[1].outcome == "diverged"
    assert compiled.scans == 1


def test_no_python_runs_between_updates():
    """The loss, the transformation and the evaluation are called by tracing alone, however many updates there are."""
    calls = collections.Counter()
    params, loss_fn, batches = smooth()

    def counted(name, function):
        def wrapped(*args, **kwargs):
            calls[name] += 1
            return function(*args, **kwargs)

        return wrapped

    def run(steps):
        calls.clear()
        inner = jasgd.staleness_adaptive(rules.inverse())
        tx = optax.GradientTransformationExtraArgs(inner.init, counted("update", inner.update))
        simulated(tx, (params, counted("loss", loss_fn), batches), steps=steps)
        return dict(calls)

    assert run(20) == run(600)


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_progress_is_told_to_the_thread_that_called_up_to_the_end(lanes):
    told = []

    def note(*args):
        told.append((*args, threading.get_ident()))

    simulated(
        optax.sgd(0.01),
        seeds=range(3),
        lanes=lanes,
        on_progress=note,
    )
    assert told[-1][:2] == (120, 120)
    assert [one[0] for one in told] == sorted(one[0] for one in told)
    assert {one[2] for one in told} == {threading.get_ident()}


class Odd(Exception):
    """An exception that nothing else raises."""


def raising(name, after):
    """What ``simulate`` is given, one of its functions failing behind so many calls."""
    params, loss_fn, batches = smooth()
    calls = itertools.count()

    def fail(function):
        def failing(*args):
            if next(calls) >= after:
                raise Odd(name)
            return function(*args)

        return failing

    given = {"evaluate": lambda params: 0.0, "evaluate_every": 5, "on_progress": lambda done, of: None}
    if name in given:
        given[name] = fail(given[name])
    problem = params, fail(loss_fn) if name == "loss_fn" else loss_fn, fail(batches) if name == "batches" else batches
    return problem, given


FAILING = [("loss_fn", 0), ("loss_fn", 1), ("batches", 0), ("batches", 30), ("evaluate", 4), ("on_progress", 0)]


@pytest.mark.parametrize(
    ("name", "after", "lanes"),
    [(*failing, "threads") for failing in FAILING] + [full(*failing, "vmap") for failing in FAILING],
)
def test_what_is_raised_inside_reaches_the_caller_and_nothing_is_left_running(name, after, lanes):
    problem, given = raising(name, after)
    before, started = set(threading.enumerate()), time.perf_counter()
    with pytest.raises(Odd, match=name):
        simulated(problem=problem, seeds=range(5), lanes=lanes, **given)
    assert time.perf_counter() - started < 20
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_ctrl_c_ends_a_simulation(lanes):
    def interrupt(done, of):
        if done:
            raise KeyboardInterrupt

    before, done = set(threading.enumerate()), []

    def batches(ticket):
        done.append(ticket)
        return smooth()[2](ticket)

    with pytest.raises(KeyboardInterrupt):
        simulated(problem=(*smooth()[:2], batches), steps=20_000, seeds=range(4), lanes=lanes, on_progress=interrupt)
    assert set(threading.enumerate()) <= before
    assert len(done) < 20_000  # of 80,000


def test_ctrl_c_of_a_person_ends_a_simulation():
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        simulated(steps=2_000, seeds=range(2000))
    assert time.perf_counter() - started < 15


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_settings_of_the_calling_thread_are_those_of_the_runs(lanes):
    _, loss_fn, batches = smooth()
    seen = []

    def noted(*_):
        config = jax.config
        seen.append((config.jax_default_matmul_precision, config.jax_enable_x64, config.jax_default_device))

    def evaluate(params):
        noted()
        return 0.0

    def loss(params, batch):
        noted()
        return loss_fn(params, batch)

    def drawn(ticket):
        noted()
        return batches(ticket)

    device = jax.devices()[0]
    with x64(), jax.default_matmul_precision("highest"), jax.default_device(device):
        problem = smooth()
        told = simulated(problem=(problem[0], loss, drawn), seeds=range(3), lanes=lanes, evaluate=evaluate, steps=5)
    assert set(seen) == {("highest", True, device)}
    assert told[2].params["offset"].dtype == np.float64
    assert told[2].execution.metadata["environment"]["default_matmul_precision"] == "highest"


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_a_device_that_was_named_has_everything(lanes):
    device = jax.devices()[0]
    told = simulated(optax.sgd(0.01, momentum=0.5), seeds=range(2), device=device, lanes=lanes)
    leaves = jax.tree.leaves((told[1].params, told[1].opt_state))
    assert all(leaf.committed and leaf.devices() == {device} for leaf in leaves)


def test_where_the_parameters_lie_decides_how_runs_share_the_machine(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")  # while the parameters are on a CPU
    monkeypatch.setattr(jasgd.simulating.simulator, "run_vectorised", lambda *_: pytest.fail("must not be taken"))
    assert len(simulated(seeds=range(2), device=jax.devices("cpu")[0])) == 2


@pytest.mark.full
def test_another_device_of_the_process_in_a_process_with_two():
    script = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[1] + '/simulating']\n"
        "import jasgd; jasgd.configure_cpu()\n"
        "import jax\n"
        "from support.references import *\n"
        "import test_lanes, test_scan_batches\n"
        "second = jax.devices()[1]\n"
        "batches = jasgd.minibatches(test_scan_batches.ARRAYS, 4)\n"
        "for lanes in ('threads', 'vmap'):\n"
        "    told = [*test_lanes.simulated(seeds=range(2), device=second, lanes=lanes),\n"
        "            *test_scan_batches.simulated(batches, seeds=range(2), device=second, lanes=lanes)]\n"
        "    with jax.default_device(second):\n"
        "        told += [*test_lanes.simulated(seeds=range(2), lanes=lanes)]\n"
        "    leaves = jax.tree.leaves([(run.params, run.opt_state) for run in told])\n"
        "    print(*sorted({d.id for leaf in leaves for d in leaf.devices()}))\n"
    )
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(Path(__file__).parent.parent)],
        env=os.environ
        | {"PYTHONPATH": str(Path(jasgd.__file__).parent.parent)}
        | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == ["1", "1"]


BAD = [
    ({"seeds": ()}, ValueError, "seeds must be one or more integers ≥ 0, and each once"),
    ({"seeds": [1, 1]}, ValueError, "seeds must be .* each once"),
    ({"seeds": [-1]}, ValueError, "seeds must be"),
    ({"seeds": [1.0]}, ValueError, "seeds must be"),
    ({"seeds": [True]}, ValueError, "seeds must be"),
    ({"seeds": 5}, TypeError, "seeds must be a sequence of numbers, got 5"),
    ({"seeds": [2**64]}, ValueError, "seed must be < 2"),
    ({"step_sizes": [0.1]}, TypeError, "tx must be a function of a step size where step_sizes are given"),
    ({"step_sizes": [0.1], "tx": None}, TypeError, "tx must be a function of a step size .* NoneType"),
    ({"step_sizes": 0.1, "tx": optax.sgd}, TypeError, "step_sizes must be a sequence of numbers, got 0.1"),
    ({"step_sizes": [], "tx": optax.sgd}, ValueError, "step_sizes must be one or more finite numbers"),
    ({"step_sizes": [0.1, 0.1], "tx": optax.sgd}, ValueError, "step_sizes must be .* each once"),
    ({"step_sizes": [float("nan")], "tx": optax.sgd}, ValueError, "step_sizes must be .* finite"),
    ({"step_sizes": ["a"], "tx": optax.sgd}, ValueError, "step_sizes must be .* finite numbers"),
    ({"tx": optax.sgd}, ValueError, "step_sizes must be given where tx is a function"),
    ({"tx": lambda size: size, "step_sizes": [0.1]}, TypeError, "tx must be an Optax gradient transformation"),
    ({"tx": 3}, TypeError, "tx must be an Optax gradient transformation"),
    ({"tx": optax.chain(optax.MultiSteps(adaptive(), 2))}, TypeError, "tx must hand 'staleness' on"),
    ({"cluster": None}, ValueError, "cluster must be given, or an execution"),
    ({"workers": None, "steps": None}, ValueError, "workers, steps must be given, or an execution"),
    ({"cluster": 3}, TypeError, "cluster must be a jasgd.Cluster"),
    ({"workers": 0}, ValueError, "workers must be an integer ≥ 1"),
    ({"steps": 1.5}, ValueError, "steps must be an integer ≥ 1"),
    ({"scheme": "none"}, ValueError, "scheme"),
    ({"evaluate_every": 0}, ValueError, "evaluate_every must be an integer ≥ 1"),
    ({"evaluate_every": 2.0}, ValueError, "evaluate_every must be an integer ≥ 1"),
    ({"evaluate": 3}, TypeError, "evaluate must be a function or None, got int"),
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


@pytest.mark.parametrize(("options", "error", "told"), BAD)
def test_what_cannot_work_is_refused_at_the_door(options, error, told):
    given = {
        "loss_fn": lambda w, b: jnp.sum((w - b) ** 2), "params": jnp.zeros(2), "tx": optax.sgd(0.1),
        "batches": lambda ticket: np.ones(2, np.float32), "cluster": CLUSTER, "workers": 2, "steps": 3, "seeds": [0, 1],
    }  # fmt: skip
    with pytest.raises(error, match=told):
        jasgd.simulate(**given | options)


@pytest.mark.parametrize(
    ("execution", "options", "error", "told"),
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
def test_an_execution_that_cannot_be_followed_is_refused(execution, options, error, told):
    with pytest.raises(error, match=told):
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


MEMORY = """
import sys, json, resource
import jasgd; jasgd.configure_cpu()
import jax, jax.numpy as jnp, numpy as np, optax
from jasgd.cluster import Cluster, exponential
size, workers = int(sys.argv[1]), int(sys.argv[2])
given = dict(cluster=Cluster(compute_s=exponential(1.0)), workers=workers, steps=100)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def run(n):
    loss_fn, batches = lambda w, b: jnp.mean((w - b) ** 2), lambda ticket: np.float32(ticket % 3)
    jasgd.simulate(loss_fn, jnp.zeros(n), optax.sgd(0.1, momentum=0.9), batches, **given)
run(1000)
before = peak()
run(size)
json.dump(peak() - before, sys.stdout)
"""


def test_memory_is_that_of_the_gradients_that_wait():
    """Peak resident memory of a process, above that of the same call with few parameters, for 64 workers and for one,
    in units of the 2 MB of parameters: what 63 more workers cost is a slot each, and no copy of them all."""
    size, found = 500_000, []
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MEMORY, str(size), workers], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(Path(jasgd.__file__).parent.parent)},
        )
        for workers in ("1", "64")
    ]  # fmt: skip
    for process in processes:
        told, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        found.append(json.loads(told) / (4 * size))
    one, many = found
    assert one < 40
    assert many - one <= 1.2 * (63 + 4), (one, many)


@pytest.mark.parametrize("optimizer", ["momentum", "compensated"])
@pytest.mark.parametrize("scheme", ["leashed", "synchronous"])
def test_no_step_copies_the_slots(optimizer, scheme):
    """XLA's own account: what a scan holds beyond its arguments does not grow with the number of slots."""
    size, params = 4096, jnp.zeros(4096)
    tx = adaptive() if optimizer == "momentum" else optax.chain(jasgd.delay_compensated(0.5), adaptive())
    source = feed([lambda ticket: np.float32(ticket)], 64)
    compiled, leaves, state = admit(lambda w, b: jnp.mean((w - b) ** 2), params, tx, np.float32(0))
    program = Program(compiled, None, source.take)
    plan = schedule(cluster.generate(CLUSTER, scheme=scheme, workers=40, steps=64))
    carry = program.begin(leaves, state, 40)
    steps = steps_of(plan, 0, 64, 64, source.given(0, plan.ticket[:64]))
    lowered = program.run.lower(carry, source.shared, steps, None, grouped=scheme == "synchronous")
    assert lowered.compile().memory_analysis().temp_size_in_bytes < 8 * 4 * size

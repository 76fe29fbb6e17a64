"""Runs side by side: in threads or in one vectorised scan they are what each is alone, whatever happens to others."""

import contextvars
import itertools

import jax
import numpy as np
import optax
import pytest
from support.agreement import assert_close
from support.lanes import PLAIN, adaptive, of_other_lengths, simulated
from support.problems import smooth
from support.python_process import TESTS, run_python
from support.reference_loop import follow
from support.simulations import full, x64

import jasgd


def test_threads_and_vmap_agree():
    with x64():
        loss_of = smooth()[1]
        runs = {
            lanes: simulated(
                adaptive, seeds=[5, 1, 3], learning_rates=[0.02, 0.04], lanes=lanes, evaluate_every_steps=17,
                evaluate=lambda params: loss_of(params, smooth()[2](0)),
            )
            for lanes in ("threads", "vmap")
        }  # fmt: skip
        for a, b in zip(runs["threads"], runs["vmap"], strict=True):
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
        runs = simulated(
            problem=problem, execution=jasgd.by_seed(of_other_lengths), seeds=[0, 1, 2], lanes=lanes,
            evaluate=lambda params: float(params["offset"]), evaluate_every_steps=every,
        )  # fmt: skip
        for seed in range(3):
            execution = of_other_lengths(seed)
            expected = follow(loss_fn, params, PLAIN, batches, execution)
            assert_close(runs[seed].params, expected.params[-1])
            assert_close(runs[seed].opt_state, expected.states[-1])
            assert runs[seed].execution.commits == execution.commits
            versions = [*range(0, execution.commits, every or execution.commits), execution.commits]
            assert [one["version"] for one in runs[seed].evaluations] == versions
            offsets = [float(expected.params[version]["offset"]) for version in versions]
            np.testing.assert_allclose([one["loss"] for one in runs[seed].evaluations], offsets, 1e-9, 1e-12)


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_settings_of_the_calling_thread_are_those_of_the_runs(lanes):
    _, loss_fn, batches = smooth()
    seen, mine = [], contextvars.ContextVar("mine", default="none")

    def noted(*_):
        config = jax.config
        settings = config.jax_default_matmul_precision, config.jax_enable_x64, config.jax_default_device
        seen.append((*settings, config.jax_threefry_partitionable, mine.get()))

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
    mine.set("callers")
    with (
        x64(),
        jax.default_matmul_precision("highest"),
        jax.default_device(device),
        jax.threefry_partitionable(False),
    ):
        problem = smooth()
        runs = simulated(problem=(problem[0], loss, drawn), seeds=range(3), lanes=lanes, evaluate=evaluate, steps=5)
    assert set(seen) == {("highest", True, device, False, "callers")}
    assert runs[2].params["offset"].dtype == np.float64
    assert runs[2].execution.metadata["environment"]["default_matmul_precision"] == "highest"
    assert runs[2].execution.metadata["environment"]["settings"]["jax_threefry_partitionable"] == "False"


@pytest.mark.parametrize("lanes", ["threads", full("vmap")])
def test_a_device_that_was_named_has_everything(lanes):
    device = jax.devices()[0]
    runs = simulated(optax.sgd(0.01, momentum=0.5), seeds=range(2), device=device, lanes=lanes)
    leaves = jax.tree.leaves((runs[1].params, runs[1].opt_state))
    assert all(leaf.committed and leaf.devices() == {device} for leaf in leaves)


def test_where_the_parameters_lie_decides_how_runs_share_the_machine(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")  # while the parameters are on a CPU
    monkeypatch.setattr(jasgd.simulating.simulator, "run_vectorised", lambda *_: pytest.fail("must not be taken"))
    assert len(simulated(seeds=range(2), device=jax.devices("cpu")[0])) == 2


@pytest.mark.full
def test_another_device_of_the_process_in_a_process_with_two():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import jasgd; jasgd.configure_cpu()\n"
        "import jax, test_scan_batches\n"
        "from support.lanes import simulated\n"
        "second = jax.devices()[1]\n"
        "batches = jasgd.minibatches(test_scan_batches.ARRAYS, 4)\n"
        "for lanes in ('threads', 'vmap'):\n"
        "    runs = [*simulated(seeds=range(2), device=second, lanes=lanes),\n"
        "            *test_scan_batches.simulated(batches, seeds=range(2), device=second, lanes=lanes)]\n"
        "    with jax.default_device(second):\n"
        "        runs += [*simulated(seeds=range(2), lanes=lanes)]\n"
        "    leaves = jax.tree.leaves([(run.params, run.opt_state) for run in runs])\n"
        "    print(*sorted({d.id for leaf in leaves for d in leaf.devices()}))\n"
    )
    env = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    process = run_python("-W", "error", "-c", script, TESTS / "simulating", env=env)
    assert process.stdout.split() == ["1", "1"]

"""What simulations cost: one compilation, no Python between updates, and the memory of waiting gradients."""

import collections
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.lanes import adaptive, diverging, simulated
from support.problems import smooth
from support.python_process import start_python
from support.simulations import CLUSTER, full

import jasgd
from jasgd import cluster, rules
from jasgd.core.admission import admit
from jasgd.simulating.scan import Program, steps_of
from jasgd.simulating.scan_batches import batches_for_scans
from jasgd.simulating.schedule import schedule


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
def test_seeds_learning_rates_and_evaluations_share_one_compilation(lanes):
    model = cluster.Cluster(compute_s=cluster.lognormal(1.0, 0.9), commit_s=0.1)
    settings = {"cluster": model, "scheme": jasgd.schemes.leashed(persistence=0), "workers": 9, "steps": 100}
    plans = [schedule(cluster.generate(**settings, seed=seed)) for seed in range(6)]
    assert len({plan.slots for plan in plans}) > 1
    assert len({len(plan) for plan in plans}) > 1
    with Compilations() as compiled:
        simulated(
            adaptive, **settings, seeds=range(6), learning_rates=[0.01, 0.02], lanes=lanes, evaluate=lambda params: 0.0,
            evaluate_every_steps=35,
        )  # fmt: skip
    assert compiled.scans == 1, compiled.names


def test_a_run_that_diverges_compiles_nothing_more():
    with Compilations() as compiled:
        runs = simulated(problem=diverging({1: 9}), seeds=range(3), has_aux=True)
    assert runs[1].outcome == "diverged"
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
    size, peaks = 500_000, []
    processes = [start_python("-c", MEMORY, size, workers) for workers in (1, 64)]
    for process in processes:
        output, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        peaks.append(json.loads(output) / (4 * size))
    one, many = peaks
    assert one < 40
    assert many - one <= 1.2 * (63 + 4), (one, many)


@pytest.mark.parametrize("optimizer", ["momentum", "compensated"])
@pytest.mark.parametrize("scheme", ["leashed", "synchronous"])
def test_no_step_copies_the_slots(optimizer, scheme):
    """XLA's own account: what a scan holds beyond its arguments does not grow with the number of slots."""
    size, params = 4096, jnp.zeros(4096)
    tx = adaptive() if optimizer == "momentum" else optax.chain(jasgd.delay_compensated(0.5), adaptive())
    source = batches_for_scans([lambda ticket: np.float32(ticket)], 64)
    compiled, leaves, state = admit(lambda w, b: jnp.mean((w - b) ** 2), params, tx, np.float32(0))
    program = Program(compiled, None, source.take)
    plan = schedule(cluster.generate(CLUSTER, scheme=scheme, workers=40, steps=64))
    carry = program.begin(leaves, state, 40)
    steps = steps_of(plan, 0, 64, 64, source.draw(0, plan.ticket[:64], plan.worker[:64]))
    lowered = program.run.lower(carry, source.shared, steps, None, grouped=scheme == "synchronous")
    assert lowered.compile().memory_analysis().temp_size_in_bytes < 8 * 4 * size

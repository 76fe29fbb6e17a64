"""What so many workers would do to a model: simulated in one call, from a run that was recorded."""

import dataclasses
import functools
import threading

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd.cluster import Cluster, generate, measured_from
from jasgd.cluster.generation.scheme_names import of_recorded, resolve

ARGUMENTS = (
    lambda w, batch: jnp.sum((w - batch) ** 2), jnp.zeros(3),
    optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.01)), lambda ticket: np.ones(3, np.float32),
)  # fmt: skip


@functools.cache
def recorded(scheme="leashed:persistence=3", workers=2):
    """A run in which every worker makes a gradient: two meet twice, so both committed what they held the first time."""
    both, draw = threading.Barrier(2), ARGUMENTS[-1]

    def batches(ticket):
        if ticket in (1, 2, 3, 4) and workers == 2 and scheme != "synchronous":  # where one waits for the other anyway
            both.wait(120)
        return draw(ticket)

    return jasgd.train(*ARGUMENTS[:-1], batches, scheme=scheme, workers=workers, steps=60)


def with_times(compute_s):
    """A run whose workers took such times to compute, one each, and none for anything else."""
    run = recorded(workers=len(compute_s))
    times = {name: np.zeros(len(run.execution)) for name in ("batch_s", "read_s", "commit_s")}
    times["compute_s"] = np.asarray(compute_s)[run.execution.worker]
    dropped = {f"dropped.{name}": np.zeros(len(run.execution.dropped)) for name in times}
    return dataclasses.replace(run, timings=times | dropped)


def test_a_run_of_two_workers_is_simulated_with_thirty_two_in_one_call():
    (run,) = jasgd.simulate(*ARGUMENTS, cluster=recorded(), workers=32)
    execution = run.execution
    assert (execution.workers, execution.commits) == (32, recorded().execution.commits)
    assert execution.metadata["scheme"] == "leashed(persistence=3)"
    assert execution.staleness.max() > recorded().execution.workers
    assert sum(execution.conservation().values()) == 2 * execution.conservation()["total"]


def test_it_has_the_runs_own_workers_scheme_and_length_unless_others_are_given():
    (run,) = jasgd.simulate(*ARGUMENTS, cluster=recorded())
    assert (run.execution.workers, run.execution.commits) == (2, 60)
    (run,) = jasgd.simulate(*ARGUMENTS, cluster=recorded(), scheme="synchronous", steps=7)
    assert run.execution.metadata["scheme"] == "synchronous"
    assert (run.execution.commits, len(run.execution)) == (7, 14)


def test_seeds_draw_other_times_and_the_same_call_the_same_ones():
    def staleness(seed):
        (run,) = jasgd.simulate(*ARGUMENTS, cluster=recorded(), workers=8, seeds=[seed])
        return run.execution.time_s.tolist()

    assert staleness(0) == staleness(0) != staleness(1)


def test_each_worker_takes_the_times_of_one_that_was_recorded():
    model = measured_from(with_times([1.0, 3.0]), workers=5)
    execution = generate(model, scheme="hogwild", workers=5, steps=40)
    took = {worker: np.diff(execution.time_s[execution.worker == worker]) for worker in range(5)}
    for worker, expected in enumerate([1.0, 3.0, 1.0, 3.0, 1.0]):
        np.testing.assert_allclose(took[worker], expected, err_msg=str(worker))
    assert measured_from(with_times([1.0, 3.0]), workers=1).compute_s.of_worker(0).mean_s == 1.0


def test_copies_of_a_worker_do_not_keep_in_step_so_that_their_times_are_drawn():
    for order in ("timed", "recorded"):
        with pytest.raises(ValueError, match=f"order must be drawn for 3 workers where the run had 2, got {order}"):
            measured_from(recorded(), workers=3, order=order)
    assert measured_from(recorded(), workers=3).compute_s.order == "drawn"
    assert measured_from(recorded(), workers=2).compute_s.order == measured_from(recorded()).compute_s.order


def test_workers_that_made_no_gradient_are_left_out_where_times_are_drawn():
    run = with_times([1.0, 3.0])
    alone = run.execution.replaced(worker=np.ones(len(run.execution)))
    run = dataclasses.replace(run, execution=alone, timings=run.timings | {"compute_s": np.full(len(alone), 3.0)})
    with pytest.raises(ValueError, match="every worker must have made a gradient, got none of worker 0"):
        measured_from(run)
    model = measured_from(run, order="drawn")
    assert [model.compute_s.of_worker(worker).mean_s for worker in range(2)] == [3.0, 3.0]


@pytest.mark.parametrize(
    ("text", "simulated"),
    [
        ("sequential", "sequential"), ("hogwild(max_staleness=8, native=True)", "hogwild(max_staleness=8)"),
        ("locked(reading='reference')", "locked(reading='reference')"),
        ("locked(reading='carry')", "locked(reading='copy')"),
        ("leashed(persistence=3, native=False)", "leashed(persistence=3)"), ("synchronous(native=True)", "synchronous"),
    ],
)  # fmt: skip
def test_the_scheme_of_a_run_is_simulated_by_what_it_was_recorded_as(text, simulated):
    assert resolve(of_recorded(text))[0] == simulated


@pytest.mark.parametrize("scheme", ["sequential", "synchronous", "locked", "hogwild", "leashed"])
def test_every_scheme_that_trains_is_simulated_from_its_own_record(scheme):
    workers = 1 if scheme == "sequential" else 2
    (run,) = jasgd.simulate(*ARGUMENTS, cluster=recorded(scheme, workers), steps=20)
    assert run.execution.metadata["scheme"].startswith(scheme)
    assert run.execution.commits == 20


def test_what_cannot_be_simulated_is_refused_by_name():
    execution = recorded().execution
    own = dataclasses.replace(
        recorded(), execution=dataclasses.replace(execution, metadata=execution.metadata | {"scheme": "newest"})
    )
    with pytest.raises(ValueError, match=r"scheme must be given, one of sequential.*: that of the run, newest"):
        jasgd.simulate(*ARGUMENTS, cluster=own)
    assert jasgd.simulate(*ARGUMENTS, cluster=own, scheme="hogwild", steps=5)[0].execution.commits == 5
    (simulated,) = jasgd.simulate(*ARGUMENTS, cluster=Cluster(compute_s=1.0), steps=5)
    with pytest.raises(ValueError, match="result must have timings, got none: it was simulated"):
        jasgd.simulate(*ARGUMENTS, cluster=simulated)
    with pytest.raises(ValueError, match="workers must be an integer ≥ 1"):
        jasgd.simulate(*ARGUMENTS, cluster=recorded(), workers=0)
    with pytest.raises(ValueError, match="cluster must be left out where an execution is given"):
        jasgd.simulate(*ARGUMENTS, cluster=recorded(), execution=execution)

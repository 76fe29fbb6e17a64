"""A cluster of measured times: what waits for others is taken out, and what was generated is generated again."""

import dataclasses
import functools
import threading

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.results import result_of

import jasgd
from jasgd import cluster
from jasgd.cluster import SIMULATED, Cluster, Tempo, measured_from
from jasgd.record.timings import Phases
from jasgd.schemes.factories import parse_scheme


def timed(name, phases):
    """A simulated scheme that notes the phases as a thread would: with all waiting and retries."""
    began, drawn_and_read = {}, {}

    class Noted(SIMULATED[name]):
        def joined(self, worker):
            super().joined(worker)
            began[worker] = self.run.now_s

        def read(self, worker):
            drawn = self.run.now_s
            yield from super().read(worker)
            drawn_and_read[worker] = (drawn, self.run.now_s)

        def commit(self, worker):
            computed, ticket = self.run.now_s, self.run.ticket[worker]
            yield from super().commit(worker)
            phases.note(worker, ticket, began[worker], *drawn_and_read[worker], computed, self.run.now_s)
            began[worker] = self.run.now_s

    return Noted


def simulated(model, name, workers, steps, **options):
    """An execution as if it had been recorded: a result with timings."""
    phases = Phases(workers)
    scheme = functools.partial(timed(name, phases), **options)
    execution = cluster.generate(model, scheme=scheme, workers=workers, steps=steps)
    timings = phases.columns(execution)
    # No worker goes on after the last commit, so those who waited for it note nothing more.
    assert np.isfinite(timings["commit_s"][execution.version < steps - 1]).all()
    return dataclasses.replace(result_of([0.0]), execution=execution, timings=timings)


MODEL = Cluster(
    compute_s=cluster.gamma(0.010, 4), batch_s=cluster.gamma(0.002, 2), read_s=cluster.gamma(0.001, 3),
    commit_s=0.0015, speeds=[1, 0.7, 1.2], joins_s={1: 0.004},
)  # fmt: skip


@pytest.mark.parametrize("order", ["timed", "recorded"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sequential", {}),
        ("hogwild", {}),
        ("hogwild", {"max_staleness": 2}),
        ("locked", {}),
        ("locked", {"max_staleness": 2}),
        ("locked", {"reading": "reference"}),
        ("leashed", {}),
        ("leashed", {"persistence": 0}),
        ("leashed", {"max_staleness": 3}),
        ("synchronous", {}),
    ],
    ids=str,
)
def test_a_generated_execution_is_generated_again_from_its_timings(name, options, order):
    workers = 1 if name == "sequential" else 3
    model = dataclasses.replace(MODEL, joins_s={}) if name == "synchronous" else MODEL
    if workers == 1:
        model = dataclasses.replace(model, speeds=None, joins_s={})
    result = simulated(model, name, workers, 300, **options)
    text = ":".join([name, *(f"{key}={value}" for key, value in options.items())])
    again = cluster.generate(measured_from(result, order=order), scheme=text, workers=workers, steps=300)
    first = result.execution
    # The last cycles, which were under way when the run ended, were not measured.
    same = len(first) - 10 * workers
    for column in ("worker", "ticket", "version_read", "version", "tries"):
        np.testing.assert_array_equal(getattr(again, column)[:same], getattr(first, column)[:same], err_msg=column)
    np.testing.assert_allclose(again.time_s[:same], first.time_s[:same], rtol=1e-9)
    lost = int(np.searchsorted(first.dropped.time_s, first.time_s[same]))
    np.testing.assert_array_equal(again.dropped.ticket[:lost], first.dropped.ticket[:lost])
    assert (lost > 0) == bool(options.keys() & {"max_staleness", "persistence"})
    again.validate()
    balance = again.conservation()
    assert sum(balance[name] for name in ("applied", "dropped", "in_flight", "gaps")) == balance["total"]


def test_the_measured_laws_are_those_of_the_model():
    result = simulated(MODEL, "locked", 3, 2000)
    assert result.timings["commit_s"].max() > 0.003  # some waited for longer than a commit
    measured = measured_from(result, order="drawn")
    for worker, speed in enumerate(MODEL.speeds):
        np.testing.assert_allclose(measured.commit_s.times_s[worker], 0.0015 / speed, rtol=1e-6)
        assert measured.compute_s.times_s[worker].mean() == pytest.approx(0.010 / speed, rel=0.1)
        assert measured.read_s.times_s[worker].mean() == pytest.approx(0.001 / speed, rel=0.1)
    assert measured.joins_s == {1: pytest.approx(0.004)}
    assert not measured.tempos


def test_a_tried_commit_counts_as_many():
    result = simulated(MODEL, "leashed", 3, 500)
    assert result.execution.tries.max() > 1
    measured = measured_from(result, order="recorded")
    for worker, speed in enumerate(MODEL.speeds):
        times = measured.commit_s.times_s[worker]
        np.testing.assert_allclose(times, 0.0015 / speed, rtol=1e-6)
        assert len(times) == result.execution.tries[result.execution.worker == worker].sum()


def test_a_stall_that_was_recorded_stalls_at_its_time_and_nobody_else():
    """Worker 1 does nothing from second 1 to 2 but end what it has begun, however many commits are asked for."""
    ends = np.array([1.0, 2.0, 3.0])
    model = Cluster(compute_s=cluster.gamma(0.01, 4), tempos={1: Tempo(ends, [1.0, 0.001, 1.0])})
    result = simulated(model, "leashed", 2, 400)
    again = cluster.generate(measured_from(result), scheme="leashed", workers=2, steps=400)
    for execution in (result.execution, again):
        during = (execution.time_s > 1.1) & (execution.time_s < 1.9)
        assert during.sum() > 50
        assert set(execution.worker[during]) == {0}
    np.testing.assert_array_equal(again.staleness[:380], result.execution.staleness[:380])


@pytest.mark.parametrize("order", ["timed", "recorded", "drawn"])
@pytest.mark.parametrize("scheme", ["synchronous", "locked", "hogwild", "leashed", "leashed:persistence=0"])
def test_threads_as_a_cluster(scheme, order):
    result = jasgd.train(
        lambda w, b: jnp.mean((w - b) ** 2), jnp.zeros(1000), optax.sgd(0.01), both_take_part(),
        scheme=parse_scheme(scheme), workers=2, steps=400,
    )  # fmt: skip
    execution = cluster.generate(measured_from(result, order=order), scheme=scheme, workers=2, steps=400)
    execution.validate()
    balance = execution.conservation()
    assert sum(balance[name] for name in ("applied", "dropped", "in_flight", "gaps")) == balance["total"]
    assert execution.commits == result.execution.commits


def both_take_part():
    """Batches for two workers, of which none makes a hundredth gradient before the other has begun its second."""
    drawn, begun = [0, 0], [threading.Event(), threading.Event()]

    def batches(ticket):
        name = threading.current_thread().name
        if name.startswith("jasgd-worker"):
            worker = int(name.rsplit("-", 1)[1])
            drawn[worker] += 1
            if drawn[worker] == 2:
                begun[worker].set()
            if drawn[worker] == 100:
                begun[1 - worker].wait(60)
        return np.float32(1)

    return batches


def test_one_thread_is_never_stale_and_takes_its_time():
    result = jasgd.train(
        lambda w, b: jnp.mean((w - b) ** 2), jnp.zeros(10), optax.sgd(0.01), lambda ticket: np.float32(1),
        scheme="locked", workers=1, steps=200,
    )  # fmt: skip
    for order in ("timed", "recorded"):
        execution = cluster.generate(measured_from(result, order=order), scheme="locked", workers=1, steps=200)
        assert not execution.staleness.any()
        timings = result.timings
        spent = np.cumsum(sum(timings[name] for name in ("batch_s", "read_s", "compute_s", "commit_s")))
        np.testing.assert_allclose(np.diff(execution.time_s), np.diff(spent), rtol=1e-6, atol=1e-9)


def test_what_cannot_be_measured_is_refused():
    result = simulated(MODEL, "hogwild", 3, 50)
    with pytest.raises(ValueError, match="order must be one of timed, recorded, drawn, got 'random'"):
        measured_from(result, order="random")
    with pytest.raises(ValueError, match="result must have timings"):
        measured_from(dataclasses.replace(result, timings={}))
    four = dataclasses.replace(result.execution, metadata=result.execution.metadata | {"workers": 4})
    with pytest.raises(ValueError, match="got none of worker 3"):
        measured_from(dataclasses.replace(result, execution=four))


# --- tempos


def test_a_tempo_is_the_integral_of_its_speeds():
    rng = np.random.default_rng(0)
    ends, speeds = np.cumsum(rng.random(20) + 0.01), rng.random(20) * (rng.random(20) < 0.7)
    tempo = Tempo(ends, speeds)
    grid = np.linspace(0, 3 * ends[-1], 300_001)
    speed = speeds[np.minimum(np.searchsorted(ends, grid[:-1] % ends[-1], "right"), 19)]
    done = np.concatenate([[0], np.cumsum(speed * np.diff(grid))])
    for start, work in zip(rng.random(100) * ends[-1], rng.random(100) * 3, strict=True):
        expected = np.interp(np.interp(start, grid, done) + work, done, grid)
        assert tempo.after(start, work) == pytest.approx(expected, abs=2e-3)


def test_a_tempo_ends_with_its_piece_and_begins_again():
    stop_and_go = Tempo([1.0, 2.0, 3.0], [0.0, 2.0, 0.0])
    assert stop_and_go.after(0.0, 2.0) == 2.0
    assert stop_and_go.after(0.0, 1.0) == 1.5
    assert stop_and_go.after(2.5, 1.0) == 4.5
    assert stop_and_go.after(1.0, 4.0) == 5.0
    assert stop_and_go.after(7.0, 2.0) == 8.0


def test_at_speed_1_nothing_changes_and_at_half_of_it_everything_takes_twice_as_long():
    model = Cluster(compute_s=cluster.gamma(0.010, 4), commit_s=0.003)
    plain = cluster.generate(model, scheme="locked", workers=3, steps=200)
    for speed in (1.0, 0.5):
        tempo = Tempo([0.1, 0.25], [speed, speed])
        changed = dataclasses.replace(model, tempos=dict.fromkeys(range(3), tempo))
        execution = cluster.generate(changed, scheme="locked", workers=3, steps=200)
        np.testing.assert_array_equal(execution.version_read, plain.version_read)
        np.testing.assert_allclose(execution.time_s, plain.time_s / speed, rtol=1e-9)
        assert execution.metadata["generated"]["tempos"]["2"]["mean"] == pytest.approx(speed)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda: Tempo([], []), ValueError, "one length ≥ 1"),
        (lambda: Tempo([1.0, 2.0], [1.0]), ValueError, "one length ≥ 1"),
        (lambda: Tempo([1.0, 1.0], [1.0, 1.0]), ValueError, "ends_s must be finite, > 0 and increasing"),
        (lambda: Tempo([1.0, np.inf], [1.0, 1.0]), ValueError, "ends_s must be finite"),
        (lambda: Tempo([1.0], [0.0]), ValueError, "speeds must be finite and ≥ 0, and one of them > 0"),
        (lambda: Tempo([1.0], [-1.0]), ValueError, "speeds must be finite and ≥ 0"),
        (lambda: Cluster(compute_s=1, tempos=[]), TypeError, "tempos must be a mapping"),
        (lambda: Cluster(compute_s=1, tempos={-1: Tempo([1], [1])}), ValueError, "workers ≥ 0 as keys"),
        (lambda: Cluster(compute_s=1, tempos={0: 0.5}), TypeError, "must be cluster.Tempo, got 0.5 for worker 0"),
        (lambda: Cluster(compute_s=1, tempos={0: Tempo([1], [1])}, cores=2), ValueError, "cannot go with cores"),
        (
            lambda: cluster.generate(Cluster(compute_s=1, tempos={2: Tempo([1], [1])}), workers=2, steps=1),
            ValueError, "tempos must name workers in 0…1, got 2",
        ),
    ],
)  # fmt: skip
def test_tempos_out_of_their_range_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        change()

"""The timeline: when each gradient was read and committed, which window is shown, and what is written on a bar."""

import dataclasses

import numpy as np
import optax
import pytest
from support.pictures import require_inside
from support.problems import Task
from support.results import result_of

import jasgd
from jasgd import cluster, report
from jasgd.presenting.pictures.bars import bars_of, window_of
from jasgd.presenting.pictures.style import style_of
from jasgd.presenting.pictures.timeline import timeline_picture
from jasgd.record.execution import Execution, row_dtype

CLUSTER = cluster.Cluster(compute_s="gamma:mean_s=0.01,shape=4", speeds="lognormal:sigma=0.7")


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_a_generated_gradient_was_read_when_its_worker_was_free():
    execution = cluster.generate(cluster.Cluster(compute_s=1.0, speeds=[1, 1, 0.4]), workers=3, steps=8)
    bars = bars_of(result_of([1.0]).__class__(**vars(result_of([1.0])) | {"execution": execution}))
    np.testing.assert_allclose(bars.ended_s - bars.began_s, np.where(bars.worker == 2, 2.5, 1.0))
    assert not bars.timed.any()
    assert "Reads were not timed" in report.timeline(execution).get_label()


def test_after_a_barrier_a_gradient_was_read_when_its_version_was_made():
    execution = cluster.generate(
        cluster.Cluster(compute_s=1.0, speeds=[1, 0.5]), scheme="synchronous", workers=2, steps=3
    )
    bars = bars_of(dataclasses.replace(result_of([1.0]), execution=execution))
    np.testing.assert_allclose(bars.began_s, [0, 0, 2, 2, 4, 4])


def test_a_recorded_gradient_has_the_times_of_its_worker():
    """Two workers; the second one's commits are published at once and return late."""
    rows = np.zeros(4, row_dtype(dropped=False))
    rows["worker"], rows["ticket"], rows["version"] = [0, 1, 0, 1], [0, 1, 2, 3], [0, 1, 2, 3]
    rows["version_read"], rows["staleness"], rows["loss"] = [0, 0, 1, 2], [0, 1, 1, 1], 1.0
    rows["time_s"] = [3.0, 3.5, 7.0, 9.5]
    execution = Execution.from_rows(rows, np.zeros(0, row_dtype(dropped=True)), {"workers": 2})
    timings = {
        "batch_s": np.array([0.5, 0.5, 0.5, 0.5]),
        "read_s": np.array([0.5, 0.5, 0.5, 0.5]),
        "compute_s": np.array([1.0, 2.0, 2.0, 2.0]),
        "commit_s": np.array([1.0, 2.5, 1.0, 1.5]),
    }
    bars = bars_of(dataclasses.replace(result_of([1.0]), execution=execution, timings=timings))
    assert bars.timed.all()
    np.testing.assert_allclose(bars.began_s, [0.5, 0.5, 3.5, 6.0])
    np.testing.assert_allclose(bars.computing_s, [1.0, 1.0, 4.0, 6.5])
    np.testing.assert_allclose(bars.committing_s, [2.0, 3.0, 6.0, 8.5])
    np.testing.assert_allclose(bars.ended_s, [3.0, 3.5, 7.0, 9.5])


@pytest.mark.parametrize("scheme", ["leashed", "locked", "synchronous"])
def test_the_bars_of_a_real_run_are_those_that_its_threads_can_have_had(scheme):
    task = Task(0)
    tx = optax.chain(jasgd.staleness_adaptive("tail"), optax.sgd(0.05))
    result = jasgd.train(task.loss_fn, task.params, tx, task.batches, scheme=scheme, workers=3, steps=60)
    bars = bars_of(result)
    assert bars.timed.all()
    assert (bars.began_s <= bars.computing_s).all()
    assert (bars.computing_s <= bars.committing_s).all()
    assert (bars.committing_s <= bars.ended_s).all()
    for worker in range(3):
        own = bars.rows(np.flatnonzero(bars.worker == worker))
        assert (own.began_s[1:] >= own.committing_s[:-1] - 1e-9).all()  # one after the other
    assert require_inside(report.timeline(result)) > 0


def test_each_bar_in_the_window_has_its_staleness_and_its_versions():
    execution = cluster.generate(CLUSTER, workers=4, steps=100)
    figure = report.timeline(execution, start=20, gradients=8, width=12.0)
    for row in range(22, 27):
        assert f"{execution.version_read[row]}→{execution.version[row] + 1}" in texts(figure)
    assert sum(text.startswith("τ") for text in texts(figure)) >= 8
    assert figure.get_suptitle() == "Timeline of updates 21 to 28 of 100"
    picture = timeline_picture(execution, style_of("light", 12.0), 20, 8)
    shown = {row[4]: row for row in picture.rows if isinstance(row[4], int)}
    for row in range(20, 28):
        assert shown[row + 1][3:] == (execution.version_read[row], row + 1, execution.staleness[row])


def test_dropped_gradients_are_shown_as_such():
    execution = cluster.generate(CLUSTER, scheme="leashed:max_staleness=2", workers=4, steps=60)
    assert len(execution.dropped) > 10
    figure = report.timeline(execution, width=12.0)
    assert any(text.endswith("→×") for text in texts(figure))
    hatched = [bar for bar in figure.axes[0].patches if bar.get_hatch()]
    assert hatched
    assert any("dropped (stale)" in row for row in timeline_picture(execution, style_of("light", 12.0)).rows)


def test_the_default_window_can_be_read_and_leaves_out_the_start():
    execution = cluster.generate(CLUSTER, workers=8, steps=800)
    bars = bars_of(dataclasses.replace(result_of([1.0]), execution=execution))
    first, last = window_of(bars, 32)
    assert last - first == 32
    assert first >= 32
    assert len(np.unique(bars.worker[first:last])) >= 5
    assert window_of(bars, 10**6) == (0, len(bars))


def test_of_many_workers_the_busiest_are_shown_and_the_others_counted():
    figure = report.timeline(cluster.generate(CLUSTER, workers=100, steps=900))
    assert len(figure.axes[0].get_yticks()) == 12
    assert "others are not" in figure.get_label()


def test_what_is_no_window_is_refused():
    execution = cluster.generate(CLUSTER, workers=2, steps=10)
    with pytest.raises(ValueError, match="start must be less than the number of gradients, 10, got 10"):
        report.timeline(execution, start=10)
    with pytest.raises(ValueError, match="gradients must be an integer ≥ 1, got 0"):
        report.timeline(execution, gradients=0)
    with pytest.raises(ValueError, match="start must be an integer ≥ 0"):
        report.timeline(execution, start=-1)

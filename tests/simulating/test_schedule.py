"""The order of a scan's steps: each gradient is computed while its version is the newest, and waits in a slot."""

import dataclasses

import numpy as np
import pytest
from support.random_executions import drawn

from jasgd import ExecutionError, cluster
from jasgd.cluster import Cluster, exponential
from jasgd.record.execution import Execution
from jasgd.simulating.schedule import NOTHING, schedule


def walk(execution: Execution, plan) -> None:
    """Follows a schedule as the scan does, with the rows themselves in place of their gradients."""
    version, slots, computed = 0, {}, []
    most = waiting = 0
    unfinished = set(execution.metadata.get("unfinished", []))
    for step in range(len(plan)):
        if plan.version[step] != NOTHING:
            while version in unfinished:  # which change nothing
                version += 1
            assert plan.version[step] == version
            rows = slots.pop(int(plan.commit_slot[step]))  # KeyError: nothing waits there
            expected = np.flatnonzero(execution.version == version).tolist()
            assert sorted(rows) == expected
            assert plan.gradients[step] == len(expected)
            assert plan.staleness[step] == execution.staleness[expected[0]]
            version += 1
            waiting -= 1
        else:
            assert plan.commit_slot[step] == NOTHING
        if plan.row[step] != NOTHING:
            row, slot = int(plan.row[step]), int(plan.slot[step])
            while version in unfinished and version < execution.version_read[row]:
                version += 1
            assert version == execution.version_read[row]
            assert plan.ticket[step] == execution.ticket[row]
            assert 0 <= slot < plan.slots
            assert plan.fresh[step] == (slot not in slots)
            waiting += slot not in slots
            if slot in slots:  # only those of one commit share a slot
                assert execution.version[slots[slot][0]] == execution.version[row]
            slots.setdefault(slot, []).append(row)
            computed.append(row)
        else:
            assert (plan.slot[step], plan.ticket[step]) == (NOTHING, NOTHING)
        most = max(most, waiting)
    assert slots == {}
    assert sorted(computed) == list(range(len(execution)))
    assert plan.slots == most


@pytest.mark.parametrize("part", range(6))
def test_each_gradient_is_computed_on_its_version_and_committed_at_its_own(part):
    for index in range(part, 150, 6):
        execution = drawn(index)
        walk(execution, schedule(execution))


@pytest.mark.parametrize("seed", range(3))
def test_executions_without_workers(seed):
    execution = cluster.independent(lambda rng, size: rng.integers(0, 40, size), steps=200, seed=seed)
    plan = schedule(execution)
    walk(execution, plan)
    assert plan.slots > 20


def test_no_more_slots_than_workers():
    model = Cluster(compute_s=exponential(1.0))
    for workers in (1, 3, 10):
        plan = schedule(cluster.generate(model, scheme="leashed", workers=workers, steps=400))
        assert plan.slots == workers
    assert schedule(cluster.generate(model, scheme="synchronous", workers=10, steps=40)).slots == 1


def test_no_more_steps_than_commits_and_gradients_that_are_under_way():
    execution = cluster.generate(Cluster(compute_s=exponential(1.0)), scheme="leashed", workers=8, steps=1000)
    assert len(schedule(execution)) <= 1000 + 8


@pytest.mark.parametrize("index", range(0, 40, 3))
def test_steps_to_a_version_end_behind_the_commit_that_makes_it(index):
    execution = drawn(index)
    plan = schedule(execution)
    for version in range(execution.commits + 1):
        steps = plan.steps_to(version)
        committed = set(execution.version[execution.version < version].tolist())
        assert set(plan.version[:steps].tolist()) - {NOTHING} == committed
        assert steps == 0 or plan.version[steps - 1] != NOTHING


def altered(**columns):
    model = Cluster(compute_s=exponential(1.0))
    execution = cluster.generate(model, scheme="leashed", workers=4, steps=30)
    for name, (rows, value) in columns.items():
        values = getattr(execution, name).copy()
        values[rows] = value
        execution = execution.replaced(**{name: values})
    return execution


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"version_read": ([9, 20], 10**3)}, "row 9: version_read 1000 lies after version 9"),
        ({"version_read": ([9, 20], -1)}, "row 9: version_read -1 is negative"),
        ({"version": ([9, 20], 10**3)}, "row 9: version 1000 does not follow the version of the row before"),
        ({"staleness": ([9, 20], 100)}, "row 9: staleness 100 is not version - version_read"),
        ({"worker": ([9, 20], 4)}, "row 9: worker 4 is none of -1…3"),
        ({"ticket": ([9, 20], 3)}, "row 9: ticket 3 was applied before"),
        ({"ticket": (9, -1)}, "row 9: ticket -1 is negative"),
        ({"version": (0, 1), "version_read": (0, 0), "staleness": (0, 1)}, "row 0: version 1 does not follow"),
    ],
)
def test_an_execution_that_contradicts_itself_is_refused_with_its_first_row(columns, message):
    with pytest.raises(ExecutionError, match=f"^{message}"):
        schedule(altered(**columns))


def test_gradients_of_one_commit_that_read_different_versions_are_refused():
    model = Cluster(compute_s=exponential(1.0))
    execution = cluster.generate(model, scheme="synchronous", workers=3, steps=5)
    read, staleness = execution.version_read.copy(), execution.staleness.copy()
    read[[7, 10]], staleness[[7, 10]] = read[[7, 10]] - 1, 1
    mixed = execution.replaced(version_read=read, staleness=staleness)
    with pytest.raises(ExecutionError, match=r"^row 7: version_read 1 is not that of the other gradients of version 2"):
        schedule(mixed)


def test_rows_that_were_altered_since_they_were_written_are_refused():
    execution = altered()
    factor = execution.factor.copy()
    factor[12] = 2.0
    with pytest.raises(ExecutionError, match=r"^row 12: was altered"):
        schedule(dataclasses.replace(execution, factor=factor))

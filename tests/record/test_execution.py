"""Executions: what makes one impossible is found, and a saved one comes back whole or not at all."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jasgd import Execution, ExecutionError
from jasgd.record.execution import COLUMNS, row_dtype


def execution(versions, reads, workers, *, of=3, drops=(), in_flight=()):
    rows = np.zeros(len(versions), row_dtype(dropped=False))
    rows["version"], rows["version_read"], rows["worker"] = versions, reads, workers
    rows["staleness"] = rows["version"] - rows["version_read"]
    rows["ticket"] = np.arange(len(rows))
    rows["time_s"] = np.arange(len(rows)) + 0.5
    lost = np.zeros(len(drops), row_dtype(dropped=True))
    for row, (worker, read, version, time_s) in zip(lost, drops, strict=True):
        row["worker"], row["version_read"], row["version"] = worker, read, version
        row["staleness"], row["time_s"] = version - read, time_s
    return Execution.from_rows(rows, lost, {"workers": of, "in_flight": [list(pair) for pair in in_flight]})


#: Three workers by hand: 0 and 1 start at version 0, worker 2 reads at version 1; worker 1 pauses for one version.
HAND = {"versions": [0, 1, 2, 3], "reads": [0, 0, 1, 3], "workers": [0, 1, 2, 1], "in_flight": [(0, 1), (2, 3)]}


def test_conservation_by_hand():
    balance = execution(**HAND).conservation()
    # In flight: worker 0 since version 1 (4 - 1), worker 2 since version 3 (4 - 3). Gaps: worker 2 before its first
    # read (1), worker 1 from version 2 to its read of 3 (1). Applied: 0 + 1 + 1 + 0.
    assert balance == {"applied": 2, "dropped": 0, "in_flight": 4, "gaps": 2, "total": 8}


def test_conservation_with_a_drop():
    dropped = execution(
        [0, 1, 2], [0, 0, 0], [0, 1, 2], drops=[(0, 1, 3, 9.0)], in_flight=[(0, 3), (1, 2), (2, 3)]
    ).conservation()
    assert dropped == {"applied": 3, "dropped": 2, "in_flight": 1, "gaps": 0, "total": 6}


@given(st.integers(1, 6), st.integers(1, 80), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_conservation_is_exact_for_any_busy_or_idle_workers(workers, steps, random):
    reading, versions, reads, committers = {}, [], [], []
    for version in range(steps):
        for worker in range(workers):
            if worker not in reading and random.random() < 0.5:
                reading[worker] = version
        if not reading:
            reading[0] = version
        worker = random.choice(sorted(reading))
        versions.append(version)
        reads.append(reading.pop(worker))
        committers.append(worker)
    balance = execution(versions, reads, committers, of=workers, in_flight=reading.items()).conservation()
    assert (
        balance["applied"] + balance["dropped"] + balance["in_flight"] + balance["gaps"]
        == balance["total"]
        == (workers - 1) * steps
    )


def test_conservation_of_ten_thousand_workers():
    # They commit one after the other, three times round, and each reads right after its own commit.
    workers = 10_000
    versions = np.arange(3 * workers)
    reads = np.where(versions < workers, 0, versions - workers + 1)
    unfinished = [(worker, 2 * workers + worker + 1) for worker in range(workers)]
    balance = execution(versions, reads, versions % workers, of=workers, in_flight=unfinished).conservation()
    # Applied: 0 + 1 + … + (m - 1) in the first round, m - 1 each in two more. In flight: m - 1 + … + 0.
    triangle = workers * (workers - 1) // 2
    assert balance == {
        "applied": triangle + 2 * workers * (workers - 1), "dropped": 0, "in_flight": triangle, "gaps": 0,
        "total": (workers - 1) * 3 * workers,
    }  # fmt: skip


@given(st.integers(1, 5), st.integers(1, 60), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_gaps_are_those_from_each_end_to_the_next_read(workers, gradients, random):
    reading, done = {}, dict.fromkeys(range(workers), 0)
    versions, reads, committers, lost, gaps = [], [], [], [], 0
    for turn in range(gradients):
        for worker in range(workers):
            if worker not in reading and random.random() < 0.5:
                reading[worker] = len(versions)
                gaps += len(versions) - done[worker]
        if not reading:
            continue
        worker = random.choice(sorted(reading))
        if random.random() < 0.3:
            lost.append((worker, reading.pop(worker), len(versions), float(turn)))
            done[worker] = len(versions)
        else:
            reads.append(reading.pop(worker))
            committers.append(worker)
            versions.append(len(versions))
            done[worker] = len(versions)
    gaps += sum(len(versions) - done[worker] for worker in range(workers) if worker not in reading)
    balance = execution(versions, reads, committers, of=workers, drops=lost, in_flight=reading.items()).conservation()
    assert balance["gaps"] == gaps
    assert balance["applied"] + balance["dropped"] + balance["in_flight"] + balance["gaps"] == balance["total"]


@pytest.mark.parametrize(
    ("column", "row", "value", "message"),
    [
        ("version", 2, 7, "row 2: version 7 does not follow"),
        ("version_read", 1, -1, "row 1: version_read -1 is negative"),
        ("version_read", 0, 3, "row 0: version_read 3 lies after version 0"),
        ("staleness", 3, 2, "row 3: staleness 2 is not version - version_read"),
        ("worker", 2, 5, r"row 2: worker 5 is none of -1…2"),
        ("ticket", 3, 1, "row 3: ticket 1 was applied before"),
    ],
)
def test_the_first_row_that_cannot_have_happened_is_named(column, row, value, message):
    good = execution(**HAND)
    good.validate()
    changed = getattr(good, column).copy()
    changed[row] = value
    with pytest.raises(ExecutionError, match=message):
        dataclasses.replace(good, **{column: changed}).validate()


def test_saved_and_loaded_it_is_the_same(tmp_path):
    before = execution(**HAND, drops=[(0, 1, 3, 9.0)])
    before.save(tmp_path / "execution.npz")
    after = Execution.load(tmp_path / "execution.npz")
    assert after.hashes() == before.hashes()
    assert after.metadata == before.metadata
    for name in COLUMNS:
        assert getattr(after, name).dtype == getattr(before, name).dtype
    assert len(after.dropped) == 1


@pytest.mark.parametrize("column", [*COLUMNS, "dropped.reason", "dropped.staleness"])
def test_one_flipped_bit_in_any_column_is_found(tmp_path, column):
    path = tmp_path / "execution.npz"
    execution(**HAND, drops=[(0, 1, 3, 9.0)]).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays[column].view(np.uint8)[0] ^= 1
    np.savez(path, **arrays)
    with pytest.raises(ExecutionError, match=f"column {column} has hash"):
        Execution.load(path)


def test_a_missing_column_is_named(tmp_path):
    path = tmp_path / "execution.npz"
    execution(**HAND).save(path)
    with np.load(path) as file:
        np.savez(path, **{k: v for k, v in file.items() if k != "loss"})
    with pytest.raises(ExecutionError, match="no column"):
        Execution.load(path)

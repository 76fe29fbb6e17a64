"""An execution that ends earlier is one that could have happened, and says who was under way."""

import numpy as np
import pytest
from support.random_executions import drawn

from jasgd import cluster
from jasgd.record.execution import Execution, row_dtype
from jasgd.record.truncation import truncated


@pytest.mark.parametrize("part", range(4))
def test_it_is_a_valid_execution_that_loses_no_staleness(part):
    for index in range(part, 120, 4):
        whole = drawn(index)
        for commits in sorted({0, 1, whole.commits // 3, whole.commits - 1, whole.commits}):
            cut = truncated(whole, commits)
            cut.validate()
            cut.unaltered()
            lost = whole.metadata.get("unfinished", [])
            assert cut.metadata.get("unfinished", []) == [version for version in lost if version < commits]
            assert cut.commits == commits or not len(cut)
            assert (cut.version < commits).all()
            assert len(cut) == np.sum(whole.version < commits)
            assert all(read <= commits for _, read in cut.metadata["in_flight"])
            balance = cut.conservation()
            if not lost:
                assert balance["total"] == sum(balance[name] for name in ("applied", "dropped", "in_flight", "gaps"))


def test_what_was_dropped_before_the_last_commit_stays():
    model = cluster.Cluster(compute_s=cluster.exponential(1.0))
    whole = cluster.generate(model, scheme=cluster.k_of_n(k=2), workers=6, steps=40)
    for commits in range(1, 41):
        cut = truncated(whole, commits)
        last_s = cut.time_s.max()
        assert (cut.dropped.time_s <= last_s).all()
        assert (cut.dropped.version < commits).all()
        assert len(cut.dropped) == np.sum(whole.dropped.version < commits)


def test_a_row_that_was_written_late_keeps_no_later_drop():
    """Threads write their rows after the commit, so times are not in the order of versions."""
    applied, dropped = np.zeros(5, row_dtype(dropped=False)), np.zeros(1, row_dtype(dropped=True))
    applied["version"] = applied["version_read"] = applied["ticket"] = range(5)
    applied["time_s"] = [1.0, 2.0, 9.0, 4.0, 5.0]
    dropped["worker"], dropped["version"], dropped["staleness"], dropped["time_s"] = 1, 4, 4, 4.5
    whole = Execution.from_rows(applied, dropped, {"workers": 2, "in_flight": []})
    for commits in range(6):
        cut = truncated(whole, commits)
        assert len(cut.dropped) == (commits == 5)
        under_way = [1, 0] in cut.metadata["in_flight"]
        assert under_way == (commits < 5)


def test_who_was_under_way_is_who_would_have_committed_next():
    model = cluster.Cluster(compute_s=cluster.exponential(1.0))
    whole = cluster.generate(model, scheme="leashed", workers=5, steps=60)
    for commits in (1, 20, 59):
        under_way = dict(truncated(whole, commits).metadata["in_flight"])
        for worker, version in under_way.items():
            later = (whole.version >= commits) & (whole.worker == worker)
            if later.any():
                assert whole.version_read[later][0] == version
        assert set(under_way) == set(range(5))


def test_the_whole_execution_is_as_it_was():
    whole = drawn(7)
    cut = truncated(whole, whole.commits)
    assert cut.hashes() == whole.hashes()
    read = [pair for pair in whole.metadata["in_flight"]]
    assert sorted(cut.metadata["in_flight"]) == sorted(read)


@pytest.mark.parametrize("commits", [-1, 41])
def test_a_number_outside_of_it_is_refused(commits):
    whole = cluster.generate(cluster.Cluster(compute_s=1.0), workers=2, steps=40)
    with pytest.raises(ValueError, match=rf"commits must be in 0…40, got {commits}"):
        truncated(whole, commits)

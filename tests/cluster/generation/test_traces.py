"""Generated executions against traces that were worked out by hand, one for every scheme and every part of a cluster.

A row is (worker, ticket, version read, version, seconds); a drop has its tries after that. Workers 0, 1 and 2 compute
for 4, 6 and 9 seconds unless a test says otherwise.
"""

import pytest

import jasgd
from jasgd import cluster
from jasgd.record.execution import DROP_REASONS

FOUR_SIX_NINE = cluster.measured({0: [4], 1: [6], 2: [9]}, order="recorded")


def generate(scheme, steps, workers=3, compute_s=FOUR_SIX_NINE, **times):
    model = cluster.Cluster(compute_s=compute_s, **times)
    execution = cluster.generate(model, scheme=scheme, workers=workers, steps=steps)
    execution.validate()
    balance = execution.conservation()
    assert balance["applied"] + balance["dropped"] + balance["in_flight"] + balance["gaps"] == balance["total"]
    return execution


def rows(execution):
    columns = (execution.worker, execution.ticket, execution.version_read, execution.version, execution.time_s)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def drops(execution):
    lost = execution.dropped
    columns = (lost.worker, lost.ticket, lost.version_read, lost.version, lost.time_s, lost.tries)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def reasons(execution):
    return [DROP_REASONS[i] for i in execution.dropped.reason]


def in_flight(execution):
    return execution.metadata["in_flight"]


def test_sequential():
    # Batch to 1, read to 2, compute to 6, commit to 7; and again.
    execution = generate("sequential", 2, workers=1, batch_s=1, read_s=1, commit_s=1)
    assert rows(execution) == [(0, 0, 0, 0, 7), (0, 1, 1, 1, 14)]


def test_hogwild():
    # Periods are 1 + compute + 1. Reads: worker 0 at 0, 6, 12, 18; 1 at 0, 8, 16; 2 at 0, 11, 22. Claims: worker 0 at
    # 5, 11, 17, 23; 1 at 7, 15, 23; 2 at 10, 21. At 11 worker 0 claims before worker 2 reads, so 2 reads version 4.
    execution = generate("hogwild", 8, read_s=1, commit_s=1)
    assert rows(execution) == [
        (0, 0, 0, 0, 6),
        (1, 1, 0, 1, 8),
        (2, 2, 0, 2, 11),
        (0, 3, 1, 3, 12),  # read at 6, after the claim at 5
        (1, 4, 2, 4, 16),  # read at 8, after 5 and 7
        (0, 6, 4, 5, 18),  # read at 12, after 5, 7, 10, 11; worker 2 drew ticket 5 at 11
        (2, 5, 4, 6, 22),
        (0, 8, 6, 7, 24),  # read at 18; worker 1 drew ticket 7 at 16
    ]
    # At 23, when worker 0 claims: worker 1 has read at 16, after 5, 7, 10, 11, 15; worker 2 at 22, after seven.
    assert in_flight(execution) == [[1, 5], [2, 7]]


def test_locked():
    # The mutex: reads 0-1 (0), 1-2 (1), 2-3 (2); commit 5-6 and read 6-7 (0); commit 8-9 and read 9-10 (1); commit
    # 11-12 (0). At 12 worker 0 goes on to read, 12-13, before worker 2 comes to commit: 13-14, then it reads 14-15.
    # Worker 1 commits 16-17; worker 0 has come at 17, before worker 1 wants to read: commit 17-18 (0), read 18-19 (1),
    # read 19-20 (0). At 24 workers 0 and 2 come: commits 24-25 (0) and 25-26 (2).
    execution = generate("locked", 8, read_s=1, commit_s=1)
    assert rows(execution) == [
        (0, 0, 0, 0, 6),
        (1, 1, 0, 1, 9),
        (0, 3, 1, 2, 12),
        (2, 2, 0, 3, 14),
        (1, 4, 2, 4, 17),
        (0, 5, 3, 5, 18),
        (0, 8, 6, 6, 25),  # worker 2 drew ticket 6 at 14, worker 1 ticket 7 at 17
        (2, 6, 4, 7, 26),
    ]
    assert in_flight(execution) == [[1, 6]]  # worker 0 waits for its read


def test_locked_by_reference_reads_at_once():
    # No worker waits at 0. Commits: worker 0 at 4-5, 9-10; worker 1 at 6-7; worker 2 comes at 9, after worker 0: 10-11.
    execution = generate(jasgd.schemes.locked(reading="reference"), 4, read_s=1, commit_s=1)
    # At 10 the mutex goes to worker 2, and worker 0 waits for it to read.
    assert rows(execution) == [(0, 0, 0, 0, 5), (1, 1, 0, 1, 7), (0, 3, 1, 2, 10), (2, 2, 0, 3, 11)]
    assert in_flight(execution) == [[1, 2]]


FOUR_FIVE_NINE = cluster.measured({0: [4], 1: [5], 2: [9]}, order="recorded")


def test_leashed():
    # Commits take 2. Worker 0: base 0 at 4, published at 6. Worker 1: base 0 at 5, lost at 7; base 1 at 7, published at
    # 9. Worker 2: base 2 at 9, after worker 1 at that instant; published at 11. Worker 0: base 2 at 10, lost at 12;
    # base 3, published at 14. Worker 1: base 4 at 14, published at 16. Worker 0: base 5 at 18, published at 20. Worker
    # 2: base 6 at 20, published at 22, while worker 1 has base 6 since 21.
    execution = generate("leashed", 7, compute_s=FOUR_FIVE_NINE, commit_s=2)
    assert rows(execution) == [
        (0, 0, 0, 0, 6),
        (1, 1, 0, 1, 9),
        (2, 2, 0, 2, 11),
        (0, 3, 1, 3, 14),
        (1, 4, 2, 4, 16),
        (0, 6, 4, 5, 20),  # worker 2 drew ticket 5 at 11
        (2, 5, 3, 6, 22),
    ]
    assert execution.tries.tolist() == [1, 2, 1, 2, 1, 1, 1]
    assert in_flight(execution) == [[0, 6], [1, 5]]


def test_leashed_with_persistence_0():
    # As above to 7, where worker 1 is dropped; it reads 1. Worker 2: base 1 at 9, published at 11. Worker 0: base 1 at
    # 10, dropped at 12; reads 2. Worker 1: base 2 at 12, published at 14. Worker 0: base 3 at 16, published at 18.
    # Worker 1: base 4 at 19, published at 21.
    execution = generate("leashed:persistence=0", 5, compute_s=FOUR_FIVE_NINE, commit_s=2)
    assert rows(execution) == [(0, 0, 0, 0, 6), (2, 2, 0, 1, 11), (1, 4, 1, 2, 14), (0, 6, 2, 3, 18), (1, 7, 3, 4, 21)]
    assert drops(execution) == [(1, 1, 0, 1, 7, 1), (0, 3, 1, 2, 12, 1)]
    assert reasons(execution) == ["contended"] * 2
    assert in_flight(execution) == [[0, 4], [2, 2]]
    assert execution.metadata["scheme"] == "leashed(persistence=0)"


def test_leashed_with_persistence_1():
    # Compute 1, 2, 5. Worker 0 publishes every 3 s, at 3, 6, 9, 12. Worker 1: base 0 at 2, lost at 4; base 1 at 4, lost
    # at 6, where worker 0 comes first: dropped. Worker 2: base 1 at 5, lost at 7; base 2 at 7, lost at 9: dropped.
    # Worker 1 again: base 2 at 8, lost at 10; base 3 at 10, and at 12 worker 0 comes first and the run ends.
    law = cluster.measured({0: [1], 1: [2], 2: [5]}, order="recorded")
    execution = generate(jasgd.schemes.leashed(persistence=1), 4, compute_s=law, commit_s=2)
    assert rows(execution) == [(0, 0, 0, 0, 3), (0, 3, 1, 1, 6), (0, 4, 2, 2, 9), (0, 6, 3, 3, 12)]
    assert drops(execution) == [(1, 1, 0, 2, 6, 2), (2, 2, 0, 3, 9, 2)]
    assert in_flight(execution) == [[1, 2], [2, 3]]


@pytest.mark.parametrize(
    ("scheme", "tries"),
    [
        ("leashed:max_staleness=0", 0),
        ("locked:max_staleness=0", 1),
        (jasgd.schemes.hogwild(max_staleness=0), 1),
    ],
    ids=["leashed", "locked", "hogwild"],
)
def test_max_staleness(scheme, tries):
    # Worker 0 commits at 4, 8, 12. Worker 1 comes at 6 with τ = 1, worker 2 at 9 with τ = 2: dropped. Leashed looks
    # before its first attempt.
    execution = generate(scheme, 3)
    assert rows(execution) == [(0, 0, 0, 0, 4), (0, 3, 1, 1, 8), (0, 5, 2, 2, 12)]
    assert drops(execution) == [(1, 1, 0, 1, 6, tries), (2, 2, 0, 2, 9, tries)]
    assert reasons(execution) == ["stale"] * 2
    assert execution.dropped.staleness.tolist() == [1, 2]
    assert in_flight(execution) == [[1, 1], [2, 2]]


def test_synchronous():
    # Batch to 1, read to 2; workers come at 6, 8, 11; the last commits to 13. The next round takes 13 s as well.
    execution = generate("synchronous", 2, batch_s=1, read_s=1, commit_s=2)
    assert rows(execution) == [
        (0, 0, 0, 0, 13), (1, 1, 0, 0, 13), (2, 2, 0, 0, 13), (0, 3, 1, 1, 26), (1, 4, 1, 1, 26), (2, 5, 1, 1, 26)
    ]  # fmt: skip
    assert in_flight(execution) == []


def test_a_leaver_lets_the_round_be_complete_without_it():
    # Worker 2 leaves at 12, in its commit of the round: worker 1, the last of the others, commits 12-14. From there
    # batch to 15, read to 16, workers come at 20 and 22, commit to 24.
    execution = generate("synchronous", 2, batch_s=1, read_s=1, commit_s=2, leaves_s={2: 12})
    assert rows(execution) == [(0, 0, 0, 0, 14), (1, 1, 0, 0, 14), (0, 3, 1, 1, 24), (1, 4, 1, 1, 24)]
    assert in_flight(execution) == [[2, 0]]


@pytest.mark.parametrize("joins_s", [9, 8.5])
def test_a_joiner_takes_part_in_the_next_round(joins_s):
    # Workers 0 and 1 come at 6 and 8, and 1 commits 8-10. Worker 2 joins in this time; its read begins at 10, or at 9.5
    # and then waits for the commit to end: read to 11, compute to 20. The others come at 16 and 18. Commit 20-22.
    execution = generate("synchronous", 2, batch_s=1, read_s=1, commit_s=2, joins_s={2: joins_s})
    assert rows(execution) == [
        (0, 0, 0, 0, 10), (1, 1, 0, 0, 10), (2, 2, 1, 1, 22), (0, 3, 1, 1, 22), (1, 4, 1, 1, 22)
    ]  # fmt: skip


def test_a_slow_worker():
    # Compute 4, read and commit 1 each, and twice that for worker 2. Claims: workers 0 and 1 at 5, 11, 17; 2 at 10.
    # Reads: workers 0 and 1 at 6, after two claims, and at 12, after five; 2 at 12.
    execution = generate("hogwild", 7, compute_s=4, read_s=1, commit_s=1, speeds=[1, 1, 0.5])
    assert rows(execution) == [
        (0, 0, 0, 0, 6),
        (1, 1, 0, 1, 6),
        (2, 2, 0, 2, 12),
        (0, 3, 2, 3, 12),
        (1, 4, 2, 4, 12),
        (0, 5, 5, 5, 18),
        (1, 6, 5, 6, 18),
    ]
    assert in_flight(execution) == [[2, 5]]


def test_stragglers_are_slower_by_a_factor():
    # Every gradient is one: 3 · 4 = 12 s.
    slow = cluster.Stragglers(probability=1, slowdown=3)
    assert rows(generate("leashed", 2, workers=1, stragglers=slow)) == [(0, 0, 0, 0, 12), (0, 1, 1, 1, 24)]


def test_a_leaver_finishes_the_commit_that_it_has_claimed():
    # As in test_a_slow_worker, but worker 0 leaves at 5.5. Worker 1 reads at 6, after two claims.
    times = {"compute_s": 4, "read_s": 1, "commit_s": 1, "speeds": [1, 1, 0.5]}
    execution = generate("hogwild", 4, leaves_s={0: 5.5}, **times)
    assert rows(execution) == [(0, 0, 0, 0, 6), (1, 1, 0, 1, 6), (2, 2, 0, 2, 12), (1, 3, 2, 3, 12)]
    assert in_flight(execution) == []
    # At 5 it is gone before it claims, and what it computed is lost; worker 1 reads after its own claim at 5.
    execution = generate("hogwild", 3, leaves_s={0: 5}, **times)
    assert rows(execution) == [(1, 1, 0, 0, 6), (2, 2, 0, 1, 12), (1, 3, 1, 2, 12)]
    assert in_flight(execution) == [[0, 0]]


def test_a_leaver_gives_back_the_mutex():
    # As in test_locked to 8.5, where worker 1 leaves in its commit. Worker 0 commits 11-12, reads 12-13; worker 2
    # commits 13-14, reads 14-15; worker 0 commits 17-18.
    execution = generate("locked", 4, read_s=1, commit_s=1, leaves_s={1: 8.5})
    assert rows(execution) == [(0, 0, 0, 0, 6), (0, 3, 1, 1, 12), (2, 2, 0, 2, 14), (0, 4, 2, 3, 18)]
    assert in_flight(execution) == [[1, 0], [2, 3]]


def test_a_joiner():
    # Claims: worker 0 at 5, 11, 17; worker 1 at 7, 15. Worker 2 reads at 7, after worker 1's claim; claims at 17,
    # after worker 0. Reads: worker 0 at 6 and 12, worker 1 at 8 and 16.
    execution = generate("hogwild", 6, read_s=1, commit_s=1, joins_s={2: 7})
    assert rows(execution) == [
        (0, 0, 0, 0, 6), (1, 1, 0, 1, 8), (0, 2, 1, 2, 12), (1, 4, 2, 3, 16), (0, 5, 3, 4, 18), (2, 3, 2, 5, 18)
    ]  # fmt: skip
    assert in_flight(execution) == [[1, 4]]


def test_nodes_where_the_last_committer_has_the_parameters():
    # Workers 0 and 1 live on node 0, worker 2 on node 1. It reads 0-3 and computes to 12. Worker 0 claims at 5 and 11
    # and reads at 6 and 12; worker 1 claims at 7 and reads at 8. Worker 2 claims at 12 from afar: to 15; the parameters
    # are its own now. Worker 1 claims at 15 from afar: to 18; they are back. Worker 0 claims at 17: to 18.
    execution = generate("hogwild", 6, read_s=1, commit_s=1, nodes=cluster.Nodes(count=2, remote=3))
    assert rows(execution) == [
        (0, 0, 0, 0, 6), (1, 1, 0, 1, 8), (0, 3, 1, 2, 12), (2, 2, 0, 3, 15), (1, 4, 2, 4, 18), (0, 5, 3, 5, 18)
    ]  # fmt: skip
    assert in_flight(execution) == [[2, 5]]


def test_nodes_where_the_parameters_stay():
    # On node 1: workers 0 and 1 take 3 s to read and to commit, worker 2 takes 1. Claims at 7, 9 and 10; at 10 worker 0
    # is done and reads first.
    execution = generate("hogwild", 3, read_s=1, commit_s=1, nodes=cluster.Nodes(count=2, remote=3, home=1))
    assert rows(execution) == [(0, 0, 0, 0, 10), (1, 1, 0, 1, 12), (2, 2, 0, 2, 11)]
    assert in_flight(execution) == [[0, 2]]


def test_cores_are_shared():
    # Three on two cores progress at 2/3: worker 0 is done with its 4 s at 6, worker 1 with its 6 s at 9. At 9 worker 2
    # leaves, and the others progress at 1. Worker 0 has 2 s left: 11, then 15. Worker 1 has 6 s left: 15.
    execution = generate("leashed", 5, cores=2, leaves_s={2: 9})
    assert rows(execution) == [(0, 0, 0, 0, 6), (1, 1, 0, 1, 9), (0, 3, 1, 2, 11), (0, 5, 3, 3, 15), (1, 4, 2, 4, 15)]
    assert in_flight(execution) == [[0, 4], [2, 0]]


def test_who_waits_leaves_its_core_to_others():
    # Two on one core compute 2 s each, to 4. Worker 0 commits 4-5 alone while worker 1 waits; worker 1 commits 5-6
    # while worker 0 waits to read. Both read at 6, and so on.
    execution = generate("locked", 4, workers=2, compute_s=2, commit_s=1, cores=1)
    assert rows(execution) == [(0, 0, 0, 0, 5), (1, 1, 0, 1, 6), (0, 2, 2, 2, 11), (1, 3, 2, 3, 12)]
    assert in_flight(execution) == []


ONE_TWO_FOUR = cluster.measured({0: [1], 1: [2], 2: [4]}, order="recorded")


def test_bounded_staleness():
    # Worker 0 commits at 1 and 2, and waits with 2 made while worker 2 has none; worker 1 commits at 2 and 4 and waits
    # as well. At 4 worker 2 commits and reads 5, and the others go on and read 5. Commits at 5 (0), 6 (1), 8 (2).
    execution = generate(cluster.bounded_staleness(slack=1), 8, compute_s=ONE_TWO_FOUR)
    assert rows(execution) == [
        (0, 0, 0, 0, 1),
        (0, 3, 1, 1, 2),
        (1, 1, 0, 2, 2),
        (1, 5, 3, 3, 4),  # worker 0 drew ticket 4 at 2, and waits with it
        (2, 2, 0, 4, 4),
        (0, 4, 5, 5, 5),
        (1, 6, 5, 6, 6),
        (2, 7, 5, 7, 8),
    ]
    assert in_flight(execution) == []
    assert execution.metadata["scheme"] == "bounded_staleness(slack=1)"


def test_bounded_staleness_does_not_wait_for_a_leaver():
    # As above to 3.5, where worker 2 leaves: the slowest is worker 1 with 1 made, so worker 0 reads 3 at 3.5. At 4
    # worker 1 has 2 made. Worker 0 commits at 4.5 with 3 made, 5.5 with 4: it waits until worker 1 commits at 6.
    execution = generate(cluster.bounded_staleness(slack=1), 7, compute_s=ONE_TWO_FOUR, leaves_s={2: 3.5})
    assert rows(execution) == [
        (0, 0, 0, 0, 1), (0, 3, 1, 1, 2), (1, 1, 0, 2, 2), (1, 5, 3, 3, 4), (0, 4, 3, 4, 4.5), (0, 7, 5, 5, 5.5),
        (1, 6, 4, 6, 6),
    ]  # fmt: skip
    assert in_flight(execution) == [[2, 0]]


def test_k_of_n():
    # Compute 4, 6, 7; commits take 2. Workers 0 and 1 come at 4 and 6: commit 6-8. Worker 2 comes at 7, waits for the
    # commit to end and is dropped at 8. All read 1 at 8; workers 0 and 1 come at 12 and 14: commit 14-16.
    law = cluster.measured([[4], [6], [7]], order="recorded")
    execution = generate(cluster.k_of_n(k=2), 2, compute_s=law, commit_s=2)
    assert rows(execution) == [(0, 0, 0, 0, 8), (1, 1, 0, 0, 8), (0, 3, 1, 1, 16), (1, 4, 1, 1, 16)]
    assert drops(execution) == [(2, 2, 0, 1, 8, 1)]
    assert reasons(execution) == ["stale"]
    assert in_flight(execution) == [[2, 1]]


def test_k_of_n_is_a_barrier_of_those_who_are_left():
    # Commits take 2. Workers 0 and 1 come at 4 and 6: commit 6-8. Worker 1 leaves at 7: of two, worker 2 comes at 9 and
    # completes the round: commit 9-11, and at 15 and 20 again.
    execution = generate("k_of_n:k=2", 2, commit_s=2, leaves_s={1: 7})
    assert rows(execution) == [(0, 0, 0, 0, 11), (2, 2, 0, 0, 11), (0, 3, 1, 1, 22), (2, 4, 1, 1, 22)]
    assert in_flight(execution) == [[1, 0]]

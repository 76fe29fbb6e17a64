"""Durations have the means and deviations that they say, and each worker and phase a stream of its own."""

import math

import numpy as np
import pytest

from jasgd import cluster
from jasgd.cluster.draws import BLOCK, Draws

DRAWS = 400 * BLOCK


def drawn(model, phase="compute", worker=0, seed=0, count=DRAWS):
    block = Draws(model, worker + 1, seed).blocks(phase, worker)
    return np.concatenate([block() for _ in range(count // BLOCK)])


def within_five_standard_errors(values, mean, deviation):
    assert abs(values.mean() - mean) <= 5 * deviation / math.sqrt(len(values))


@pytest.mark.parametrize(
    ("law", "mean", "deviation"),
    [
        (cluster.constant(0.5), 0.5, 0.0),
        (cluster.exponential(0.1), 0.1, 0.1),
        (cluster.gamma(0.01, 4), 0.01, 0.005),
        (cluster.lognormal(0.1, 0.5), 0.1, 0.1 * math.sqrt(math.exp(0.25) - 1)),
        (cluster.measured([1, 2, 6]), 3.0, math.sqrt(14 / 3)),
        (cluster.measured([1, 2, 6], "recorded"), 3.0, 0.0),  # 400 · 128 draws are whole turns but two: 1 + 2 ≈ 3
    ],
    ids=["constant", "exponential", "gamma", "lognormal", "measured", "recorded"],
)
def test_means_and_deviations(law, mean, deviation):
    assert law.mean_s == mean
    values = drawn(cluster.Cluster(compute_s=law))
    within_five_standard_errors(values, mean, max(deviation, 0.1 * mean if law.mean_s == 3 else 0.0))
    if deviation:
        assert values.std() == pytest.approx(deviation, rel=0.05)


def test_stragglers_and_pauses_lengthen_computing_as_they_say():
    model = cluster.Cluster(
        compute_s=0.2,
        speeds=[2.0],
        stragglers=cluster.Stragglers(probability=0.1, slowdown=5.0),
        pauses=cluster.Pauses(every_s=0.5, duration_s=cluster.exponential(0.3)),
    )
    values = drawn(model)
    # At speed 2 a gradient takes 0.1 s, with stragglers 0.1 · 1.4 s; of them every 0.5 s a pause of 0.3 s.
    computing = 0.14
    variance = 0.1**2 * 0.1 * 0.9 * 4**2 * (1 + 0.3 / 0.5) ** 2 + computing / 0.5 * 2 * 0.3**2
    within_five_standard_errors(values, computing * (1 + 0.3 / 0.5), math.sqrt(variance))
    assert values.std() == pytest.approx(math.sqrt(variance), rel=0.05)
    assert values.min() == 0.1
    # What one draws does not move the other: without pauses the same gradients are slow.
    slow = drawn(cluster.Cluster(compute_s=0.2, speeds=[2.0], stragglers=model.stragglers))
    assert np.all((values >= slow) & ((slow == 0.1) | (slow == 0.5)))


def test_the_rate_of_commits_is_that_of_the_means():
    model = cluster.Cluster(
        compute_s=cluster.gamma(0.008, 4), batch_s=cluster.exponential(0.001), commit_s=0.0005, read_s=0.0005
    )
    execution = cluster.generate(model, scheme="hogwild", workers=10, steps=20_000)
    assert execution.time_s[-1] == pytest.approx(20_000 * 0.010 / 10, rel=0.02)


def test_speeds_from_a_law_divide_all_times():
    draws = Draws(cluster.Cluster(compute_s=1.0, commit_s=2.0, speeds=cluster.gamma(1.0, 4.0)), 2000, 0)
    within_five_standard_errors(draws.speeds, 1.0, 0.5)
    for worker in (0, 7):
        assert draws.constant("compute", worker) == 1.0 / draws.speeds[worker]
        assert draws.constant("commit", worker) == 2.0 / draws.speeds[worker]


def test_recorded_times_go_round_and_drawn_ones_do_not():
    times = np.arange(1.0, 6.0)
    model = cluster.Cluster(compute_s=cluster.measured(times, "recorded"))
    np.testing.assert_array_equal(drawn(model, count=3 * BLOCK), np.resize(times, 3 * BLOCK))
    assert set(drawn(cluster.Cluster(compute_s=cluster.measured(times)), count=3 * BLOCK)) == set(times)


@pytest.mark.parametrize("times", [{0: [1.0], 1: [2.0, 3.0]}, [[1.0], [2.0, 3.0]], [np.ones(1), np.array([2.0, 3.0])]])
def test_measured_times_of_each_worker(times):
    model = cluster.Cluster(compute_s=cluster.measured(times, "recorded"))
    assert drawn(model, worker=1, count=BLOCK)[:3].tolist() == [2.0, 3.0, 2.0]
    assert model.compute_s.mean_s == 2.0


def test_streams_differ_by_worker_phase_and_seed():
    law = cluster.exponential(1.0)
    model = cluster.Cluster(compute_s=law, read_s=law, commit_s=law, batch_s=law)
    first = [
        drawn(model, phase, worker, seed, BLOCK)[0]
        for phase in ("batch", "read", "compute", "commit")
        for worker in (0, 1, 2)
        for seed in (0, 1, 2**63 + 1, 2**64 - 1)
    ]
    assert len(set(first)) == len(first)

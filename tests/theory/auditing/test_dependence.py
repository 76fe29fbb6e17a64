"""The tests on a recorded series keep their level on stationary executions, and find what is there to be found."""

import functools
import math

import numpy as np
import pytest
from scipy.stats import binom

from jasgd import cluster
from theory.auditing import dependence

LEVEL, REPLICATIONS = 0.05, 80
#: False alarms in so many replications, which a test of the nominal level exceeds once in 1000 times.
MOST = int(binom.ppf(1 - 1e-3, REPLICATIONS, LEVEL))
ROWS = {4: 1500, 16: 3000, 64: 5000}


@functools.cache
def execution(workers, seed, shape=4.0, speeds=None, left_s=None, joined_s=None):
    """τ and workers of an execution, without its start-up."""
    if speeds == "lognormal":
        speeds = cluster.lognormal(1.0, sigma=0.4)
    model = cluster.Cluster(
        compute_s=cluster.gamma(1.0, shape=shape),
        commit_s=0.001,
        speeds=speeds,
        leaves_s={} if left_s is None else {0: left_s},
        joins_s={} if joined_s is None else {0: joined_s},
    )
    execution = cluster.generate(model, workers=workers, steps=ROWS[workers], seed=seed)
    return execution.staleness[2 * workers :], execution.worker[2 * workers :]


def falling(rows, seed):
    """Losses: a trend, an excursion that lasts, and noise."""
    noise = np.random.default_rng(seed).normal(size=(2, rows))
    return 3 * np.exp(-3 * np.arange(rows) / rows) + noise[0].cumsum() / math.sqrt(rows) + 0.3 * noise[1]


def rejected(p_values):
    return sum(p <= LEVEL for p in p_values)


STATIONARY = pytest.mark.parametrize(
    ("workers", "shape", "speeds"),
    [(4, 1.0, None), (4, 100.0, "lognormal"), (16, 4.0, "lognormal"), (64, 4.0, None)],
)


@STATIONARY
def test_drift_and_losses_raise_no_false_alarm(workers, shape, speeds):
    drifts, losses = [], []
    for seed in range(REPLICATIONS):
        tau, _ = execution(workers, seed, shape, speeds)
        drifts.append(dependence.drift(tau, seed=seed, skip=0).p_value)
        losses.append(dependence.value_dependence(tau, falling(len(tau), seed), seed=seed).p_value)
    assert rejected(drifts) <= MOST
    assert rejected(losses) <= MOST


@pytest.mark.parametrize(("workers", "shape"), [(4, 1.0), (16, 4.0)])
def test_equal_workers_raise_no_false_alarm(workers, shape):
    p_values = [
        dependence.worker_dependence(*execution(workers, s, shape), seed=s).p_value for s in range(REPLICATIONS)
    ]
    assert rejected(p_values) <= MOST


@pytest.mark.parametrize("when", ["left_s", "joined_s"])
@pytest.mark.parametrize("workers", [4, 16])
def test_a_worker_that_comes_or_goes_is_a_drift(workers, when):
    half = {when: ROWS[workers] / workers / 2}
    tests = [dependence.drift(execution(workers, seed, **half)[0], seed=seed) for seed in range(20)]
    assert rejected(test.p_value for test in tests) >= 18


def test_a_drift_of_the_spread_alone_is_found():
    rng = np.random.default_rng(0)
    tau = np.concatenate([rng.choice([2, 3, 4], 1000), rng.choice([0, 3, 6], 1000)])
    test = dependence.drift(tau)
    assert test.p_value <= 0.002
    assert "mean τ²" in test.what or "the share" in test.what


def test_what_drifts_is_named_in_rows_of_the_series():
    tau = np.random.default_rng(0).poisson([2.0] * 800 + [6.0] * 800)
    test = dependence.drift(tau)
    row = int(test.what.split("before row ")[1].split()[0])
    assert abs(row - 800) <= 1600 / dependence.FEWEST_BLOCKS
    assert test.p_value == 1 / (1 + dependence.PERMUTATIONS)


def test_a_start_up_is_skipped():
    tau = [50] * 40 + [1] * 960
    assert dependence.drift(tau, skip=40)[:2] == (1.0, 0.0)


@pytest.mark.parametrize("workers", [4, 16])
def test_a_slow_worker_is_found_and_named(workers):
    speeds = (1.0,) * (workers - 1) + (0.5,)
    for seed in range(5):
        test = dependence.worker_dependence(*execution(workers, seed, 4.0, speeds))
        assert test.p_value < 0.01
        assert f"worker {workers - 1} " in test.what


def test_a_worker_that_was_there_for_a_part_only_can_be_tested():
    test = dependence.worker_dependence(*execution(4, 3, left_s=ROWS[4] / 8))
    assert 0 < test.p_value <= 1


@pytest.mark.parametrize("workers", [4, 16, 64])
def test_losses_that_depend_on_staleness_are_found(workers):
    p_values = []
    for seed in range(10):
        tau, _ = execution(workers, seed)
        values = falling(len(tau), seed) + 0.3 * (tau - tau.mean()) / tau.std()
        p_values.append(dependence.value_dependence(tau, values, seed=seed).p_value)
    assert rejected(p_values) == 10


def test_a_trend_that_both_share_is_no_dependence():
    rng = np.random.default_rng(1)
    p_values = [
        dependence.value_dependence(
            rng.poisson(np.linspace(6, 3, 2000)), np.linspace(9, 1, 2000) + rng.normal(size=2000), seed=seed
        ).p_value
        for seed in range(REPLICATIONS)
    ]
    assert rejected(p_values) <= MOST


def test_mean_and_error_by_hand():
    estimate = dependence.mean_with_error([9, 1, 1, 3, 3, 5, 5, 7, 7, 9])  # three batches of means 5/3, 13/3, 23/3
    batches = np.array([5, 13, 23]) / 3
    assert estimate.mean == 5.0
    assert estimate.error == pytest.approx(batches.std(ddof=1) / math.sqrt(3))
    assert estimate.effective == pytest.approx(np.var([9, 1, 1, 3, 3, 5, 5, 7, 7, 9], ddof=1) / estimate.error**2)


def test_the_mean_of_few_or_constant_values():
    assert dependence.mean_with_error([2.0] * 9) == (2.0, 0.0, 9.0)
    few = dependence.mean_with_error([1, 2, 3])
    assert few.mean == 2.0
    assert math.isnan(few.error)
    assert math.isnan(few.effective)
    assert dependence.mean_with_error([0, 1, 0, 1])[1:] == (0.0, math.inf)


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_the_error_covers_the_mean(memory):
    """|mean| ≤ t·error in 95 % of autoregressive series, and the effective number is n (1 - a) / (1 + a)."""
    rng, rows, covered, effective = np.random.default_rng(2), 3000, 0, []
    for _ in range(400):
        noise = rng.normal(size=rows)
        for i in range(1, rows if memory else 0):
            noise[i] += memory * noise[i - 1]
        estimate = dependence.mean_with_error(noise)
        covered += abs(estimate.mean) <= 2.045 * estimate.error  # t with 29 degrees of freedom
        effective.append(estimate.effective)
    assert binom.ppf(1e-3, 400, 0.95) <= covered
    assert np.median(effective) == pytest.approx(rows * (1 - memory) / (1 + memory), rel=0.2)


def test_a_conserved_mean_is_known_better_than_from_independent_values():
    tau, _ = execution(4, 0)
    assert dependence.mean_with_error(tau).effective > len(tau)


def test_too_few_rows_are_reported():
    few = [0, 1, 2, 1] * 10
    for test in (
        dependence.drift(few),
        dependence.worker_dependence(few, [0, 1] * 20),
        dependence.value_dependence(few, few),
        dependence.drift([1]),
    ):
        assert math.isnan(test.p_value)
        assert "too few" in test.what
    assert dependence.worker_dependence(few * 4, [3] * 160).what == "all rows are of worker 3"


def test_what_never_varies_depends_on_nothing():
    constant, values = [2] * 600, np.arange(600.0)
    assert dependence.drift(constant).p_value == 1
    assert dependence.worker_dependence(constant, [0, 1, 2] * 200).p_value == 1
    assert dependence.value_dependence(constant, values).p_value == 1
    assert dependence.value_dependence([0, 1] * 300, [1.0] * 600).p_value == 1
    assert dependence.drift([0, 1, 2, 3] * 400).p_value > 0.05


def test_a_seed_gives_the_same_answer():
    tau, workers = execution(4, 0)
    for test in (
        lambda seed: dependence.drift(tau, seed=seed),
        lambda seed: dependence.worker_dependence(tau, workers, seed=seed),
        lambda seed: dependence.value_dependence(tau, falling(len(tau), 0), seed=seed),
    ):
        assert test(3) == test(3)
        assert test(3).statistic == pytest.approx(test(4).statistic, rel=0.5)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: dependence.mean_with_error([]), "n ≥ 1"),
        (lambda: dependence.mean_with_error([[1.0]]), "must have the shape"),
        (lambda: dependence.mean_with_error([1.0, math.nan]), "finite"),
        (lambda: dependence.mean_with_error(["a"]), "finite"),
        (lambda: dependence.drift([]), "n ≥ 1"),
        (lambda: dependence.drift([0, -1]), "staleness must be ≥ 0, got -1"),
        (lambda: dependence.drift([0.0, 1.0]), "must be integers"),
        (lambda: dependence.drift([0, 1], skip=-1), "skip must be"),
        (lambda: dependence.worker_dependence([0, 1], [0]), "workers must have the shape"),
        (lambda: dependence.worker_dependence([0, 1], [0, math.nan]), "workers must be integers"),
        (lambda: dependence.value_dependence([0, 1], [0.0]), "values must have the shape"),
        (lambda: dependence.value_dependence([0, 1], [0.0, math.inf]), "values must be finite"),
    ],
)
def test_what_is_no_series_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize("law", [[0.2, 0.5, 0.3], [0.1] * 10, [1.0]])
def test_independent_draws_are_not_taken_for_dependent_ones(law):
    p_values = [
        dependence.independence(cluster.independent(law, steps=300, seed=seed).staleness).p_value for seed in range(60)
    ]
    assert sum(p < 0.05 for p in p_values) <= binom.ppf(0.999, 60, LEVEL)


@pytest.mark.parametrize("workers", [2, 8, 32])
def test_busy_workers_never_read_a_version_twice(workers):
    execution = cluster.generate(cluster.Cluster(compute_s=cluster.gamma(1.0, 4)), scheme="hogwild", workers=workers,
                                 steps=400)  # fmt: skip
    assert dependence.independence(execution.staleness).p_value < 0.02


def test_too_few_commits_say_nothing_of_independence():
    assert math.isnan(dependence.independence([0, 1, 1]).p_value)

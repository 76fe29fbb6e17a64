"""Sums over windows by powers of two are those of the definition, and near to it."""

import numpy as np
import pytest

from theory.convergence.trace import trace_condition
from theory.convergence.windows import reader_sums, rounding, window_sums


@pytest.mark.parametrize(("commits", "most"), [(1, 0), (2, 1), (17, 16), (64, 5), (200, 199), (256, 255)])
def test_sums_over_windows_and_over_readers_are_those_of_the_definition(commits, most):
    rng = np.random.default_rng(commits)
    tau = np.minimum(rng.integers(0, most + 1, commits), np.arange(commits))
    values = rng.integers(0, 1000, commits).astype(float)  # integers, so that every sum is exact
    windows = [range(k - tau[k], k) for k in range(commits)]
    assert window_sums(tau, values).tolist() == [sum(values[j] for j in window) for window in windows]
    readers = [sum(values[k] for k in range(commits) if j in windows[k]) for j in range(commits)]
    assert reader_sums(tau, values).tolist() == readers


def test_rounding_stays_below_its_bound():
    from fractions import Fraction

    rng = np.random.default_rng(5)
    tau = np.minimum(rng.integers(0, 60, 200), np.arange(200))
    values = 10.0 ** rng.uniform(-8, 8, 200)
    exact = [sum(map(Fraction, values[k - tau[k] : k].tolist())) for k in range(200)]
    sums = window_sums(tau, values)
    worst = max(abs(Fraction(f) - e) / e for f, e in zip(sums.tolist(), exact, strict=True) if e)
    assert worst < rounding(tau, None)


def test_many_commits_with_a_large_staleness_are_quick():
    import time

    rng = np.random.default_rng(0)
    tau = rng.integers(0, 4000, 100_000)
    start = time.perf_counter()
    trace_condition(tau, np.full(100_000, 1e-5), smoothness=1.0)
    assert time.perf_counter() - start < 2  # 0.04 s; commit by commit of the windows it was 6.6 s

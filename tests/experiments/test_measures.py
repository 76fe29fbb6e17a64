"""The numbers that runs are compared by, on executions that are made by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.results import result_of, with_times

from jasgd.experiments.measures import SHARES, Spread, measures, reached, spread
from jasgd.presenting.curves import SMOOTHED, committed, smoothed
from jasgd.record.result import Outcome


def test_a_loss_is_smoothed_over_twenty_gradients():
    losses = np.arange(30, dtype=np.float32)
    means = smoothed(losses)
    assert np.isnan(means[:19]).all()
    assert means[19:].tolist() == [np.mean(range(i - 19, i + 1)) for i in range(19, 30)]
    assert np.isnan(smoothed(losses[:19])).all()
    assert smoothed(losses[:0]).shape == (0,)


@given(st.lists(st.floats(0, 2.0**60, width=32, allow_subnormal=False), max_size=60))
@settings(max_examples=50, deadline=None)
def test_a_smoothed_loss_is_the_mean_of_what_it_is_said_to_be(losses):
    means = smoothed(np.array(losses, np.float32))
    assert means.shape == (len(losses),)
    for i, mean in enumerate(means):
        if i < SMOOTHED - 1:
            assert math.isnan(mean)
        else:
            assert mean == pytest.approx(math.fsum(losses[i + 1 - SMOOTHED : i + 1]) / SMOOTHED)


def test_an_infinite_loss_is_in_the_means_of_twenty_gradients_and_in_no_other():
    means = smoothed(np.array([1.0] * 30 + [np.inf] + [1.0] * 30, np.float32))
    assert np.flatnonzero(np.isinf(means)).tolist() == list(range(30, 50))
    assert set(means[19:30]) == set(means[50:]) == {1.0}


def test_a_share_is_reached_where_the_smoothed_loss_first_is_that_low():
    # Initial loss 4; from gradient 30 on the loss is 1, so that 20 of them have a mean of 1 at the 50th.
    execution = result_of([4.0] * 30 + [1.0] * 40).execution
    assert reached(execution, 0.25) == (50, 0.5)
    assert reached(execution, 1.0) == (20, 0.2)
    assert all(map(math.isnan, reached(execution, 0.2)))


def test_a_share_stays_reached_when_the_loss_rises_again():
    assert reached(result_of([4.0] * 20 + [1.0] * 20 + [8.0] * 50).execution, 0.25) == (40, 0.4)


def test_nothing_is_reached_without_gradients_or_without_a_finite_initial_loss():
    for losses in ([], [1.0] * 19, [np.inf] + [1.0] * 60, [np.nan] + [1.0] * 60):
        assert all(map(math.isnan, reached(result_of(losses).execution, 0.5)))
        assert all(map(math.isnan, reached(result_of(losses).execution, 2.0)))


def test_a_share_of_a_loss_that_is_not_positive_is_never_reached():
    """Kind: a number that misleads. Half of -3 is more than it, so it would be reached at once."""
    for initial in (-3.0, 0.0):
        assert all(map(math.isnan, reached(result_of([initial] * 60).execution, 0.5)))


def test_the_initial_loss_is_that_of_all_gradients_on_the_initial_parameters():
    execution = result_of([2.0, 6.0] + [2.0] * 40, staleness=1).execution
    assert execution.version_read[:2].tolist() == [0, 0]
    assert reached(execution, 0.54)[0] == 22  # of a mean of 4; until then the 6 is among the last twenty


def test_initial_losses_that_a_float32_cannot_sum_have_a_mean_all_the_same():
    execution = result_of([3e38, 3e38] + [1e38] * 60, staleness=1).execution
    assert reached(execution, 0.34)[0] == 22


def test_a_version_is_committed_before_all_versions_behind_it():
    # Threads that were made to wait read their clocks late: version 1 was there before version 2 was, at 0.3.
    execution = with_times(result_of([1.0] * 5).execution, [0.1, 0.9, 0.3, 0.7, 0.6])
    assert committed(execution).tolist() == [0.1, 0.3, 0.3, 0.6, 0.6]
    assert committed(result_of([]).execution).tolist() == []


def test_a_share_is_reached_when_its_version_was_committed_not_when_a_clock_was_read():
    execution = result_of([4.0] * 30 + [1.0] * 40).execution
    late = execution.time_s.copy()
    late[49] += 10  # the version where a quarter is reached
    assert reached(with_times(execution, late), 0.25) == (50, pytest.approx(0.51))


def test_a_diverged_run_counts_as_infinite_and_a_failed_one_not_at_all():
    evaluated = [{"loss": 9.0, "accuracy": 0.5, "time_s": 0.0, "version": 0}]
    diverged = measures(result_of([3.0] * 30 + [0.01] * 30, outcome=Outcome.DIVERGED, evaluations=evaluated))
    assert diverged["final_loss"] == math.inf
    assert {diverged[f"updates_to_{share:.0%}"] for share in SHARES} == {math.inf}
    assert {diverged[f"time_to_{share:.0%}_s"] for share in SHARES} == {math.inf}
    assert math.isnan(diverged["test_accuracy"])
    for outcome in (Outcome.FAILED, Outcome.STOPPED):
        numbers = measures(result_of([3.0] * 30, outcome=outcome, evaluations=evaluated))
        assert math.isnan(numbers["final_loss"])
        assert math.isnan(numbers["test_accuracy"])


def test_a_run_that_ended_has_every_number():
    last = {"loss": 1.0, "accuracy": 0.75, "time_s": 1.0, "version": 9}
    losses = [4.0] * 100 + [0.1] * 100
    for outcome in (Outcome.FINISHED, Outcome.CONVERGED):
        numbers = measures(
            result_of(losses, outcome=outcome, factor=0.5, staleness=3, evaluations=[last | {"accuracy": 0.1}, last],
                      dropped=7)
        )  # fmt: skip
        assert numbers == {
            "final_loss": pytest.approx(0.1),
            "test_accuracy": 0.75,
            # The first of 20 means at most a share of 4: so many of the 0.1 are among the last twenty.
            "updates_to_50%": 111, "time_to_50%_s": 1.11,
            "updates_to_25%": 116, "time_to_25%_s": 1.16,
            "updates_to_10%": 119, "time_to_10%_s": 1.19,
            "updates_to_5%": 120, "time_to_5%_s": 1.2,
            "updates_per_s": pytest.approx(100),
            "staleness_mean": pytest.approx((0 + 1 + 2 + 3 * 197) / 200),
            "staleness_gini": pytest.approx(gini([0, 1, 2] + [3] * 197), rel=1e-4),
            "mean_factor": 0.5,
            "mean_factor_after_start": 0.5,
            "dropped": 7.0,
        }  # fmt: skip


def gini(values):
    x = np.asarray(values, float)
    return np.abs(x[:, None] - x).mean() / (2 * x.mean())


def test_the_final_loss_is_the_mean_over_the_last_hundred_gradients():
    assert measures(result_of([9.0] * 50 + [1.0, 3.0] * 50))["final_loss"] == 2.0


def test_a_run_that_applied_nothing_has_no_numbers_but_counts():
    numbers = measures(result_of([], outcome=Outcome.FAILED, dropped=2))
    assert {name for name, value in numbers.items() if not math.isnan(value)} == {"dropped"}
    assert numbers["dropped"] == 2


def test_every_run_is_measured_by_the_same_names():
    names = list(measures(result_of([1.0] * 30)))
    for outcome in Outcome:
        assert (
            list(measures(result_of([], outcome=outcome))) == list(measures(result_of([1.0], outcome=outcome))) == names
        )


def test_a_spread_leaves_out_what_has_no_value_and_keeps_infinity():
    assert spread([math.nan, 2.0, math.inf, 1.0]) == Spread(2.0, 1.0, math.inf, count=3, runs=4)
    assert spread([4.0, 1.0]) == Spread(2.5, 1.0, 4.0, count=2, runs=2)
    assert spread([math.inf, math.inf]) == Spread(math.inf, math.inf, math.inf, count=2, runs=2)


@pytest.mark.parametrize("values", [[], [math.nan], [math.nan] * 3])
def test_a_spread_of_no_values_has_none(values):
    row = spread(values)
    assert all(map(math.isnan, row[:3]))
    assert row[3:] == (0, len(values))

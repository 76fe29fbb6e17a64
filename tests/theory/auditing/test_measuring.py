"""Estimates along a run: unbiased, with errors that hold; and what is said of them beside a bound."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from theory.auditing.measuring.estimates import AT_EACH, Measured, squared_norm
from theory.auditing.measuring.mini_batches import AFTER_RUN, MOST_KEPT, Pool
from theory.auditing.measuring.versions import Plan, strata
from theory.auditing.remarks import Comparison, Remark, summary
from theory.decisions.verdict import Verdict


@pytest.mark.parametrize("true", [0.0, 0.3, 3.0])
def test_the_squared_gradient_has_no_bias_from_the_noise_and_no_error_that_is_too_small(true):
    gradients = true + np.random.default_rng(0).normal(size=(4000, AT_EACH, 1))
    estimates = np.array([squared_norm(one @ one.T) for one in gradients])
    error = estimates[:, 0].std() / np.sqrt(len(estimates))
    assert abs(estimates[:, 0].mean() - true**2) < 3 * error
    assert abs((gradients.mean(axis=1) ** 2).mean() - true**2) > 4 * error  # the square of a mean has such a bias
    assert 0.9 < estimates[:, 1].mean() / estimates[:, 0].var() < 3.3


@pytest.mark.parametrize("count", [101, 300, 5000, 100_000])
def test_a_sample_of_versions_has_an_error_that_holds_where_a_run_falls_steeply(count):
    random, missed, plans = np.random.default_rng(count), 0, 100
    for seed in range(plans):
        weights = random.choice([1.0, 0.4, 0.0], count)
        decay = count * 10 ** random.uniform(-3, -0.5)
        values = 10 ** random.uniform(0, 4) * np.exp(-np.arange(count) / decay) + random.exponential(1, count)
        plan = Plan(weights, 100, seed)
        assert len(plan.versions) <= 100
        assert (weights[plan.versions] > 0).all()
        assert (np.diff(plan.versions) >= 0).all()
        mean = plan.mean(values[plan.versions], np.zeros(len(plan.versions)))
        missed += abs(mean.value - np.average(values, weights=weights)) > 3 * mean.error + 1e-9 * mean.value
    assert missed <= stats.binom.ppf(0.999, plans, 0.0027)


def test_strata_are_single_at_the_start_and_cover_all_versions():
    for count in (1, 100, 101, 10**4, 10**7):
        for most in (100, 1000):
            edges = np.array(strata(count, most))
            assert (edges[0], edges[-1]) == (0, count)
            assert (np.diff(edges) >= 1).all()
            assert np.where(np.diff(edges) == 1, 1, 2).sum() <= most


def test_the_mean_over_all_versions_is_weighted_and_has_no_error_but_that_of_its_values():
    plan = Plan(np.array([3.0, 0.0, 1.0]), 100)
    assert plan.mean(np.array([2.0, 6.0]), np.zeros(2)) == Measured(3.0, 0.0)
    tilted = plan.mean(np.array([2.0, 6.0]), np.zeros(2), tilt=np.array([1.0, 5.0, 3.0]))
    assert tilted.value == pytest.approx(4.0)
    assert plan.mean(np.array([2.0, 6.0]), np.array([16.0, 16.0])).error > np.sqrt(9 + 1)


def test_mini_batches_come_after_the_run_where_there_are_some():
    pool = Pool(lambda ticket: np.float64(ticket), 100)
    drawn = np.array(pool.drawn(2000))
    assert (drawn.min() >= 100, drawn.max() < 100 + AFTER_RUN, len(set(drawn.tolist())) < 2000) == (True, True, True)
    assert len({float(x) for x in pool.spread(500)}) == 500


def test_mini_batches_of_a_function_that_ends_are_those_of_the_run():
    import jax.numpy as jnp

    array = np.arange(50.0)
    for batches in (lambda ticket: array[ticket], lambda ticket: jnp.asarray(array)[ticket]):  # JAX's repeats its last
        pool = Pool(batches, 50)
        assert pool.words == "the run's own 50 mini-batches"
        assert max(float(x) for x in pool.drawn(500)) == 49


def test_the_mini_batches_of_a_list_are_all_and_of_a_loader_the_first():
    few = Pool([1.0, 2.0, 6.0], 100)
    assert few.mean_loss(float) == Measured(3.0, 0.0)

    class Loader:
        def __iter__(self):
            return iter(np.arange(1000.0))

    assert max(Pool(Loader(), 10).drawn(2000)) == MOST_KEPT - 1
    with pytest.raises(ValueError, match="got an iterator"):
        Pool(iter([1.0]), 10)


E, H = ("E", "non-convex", Verdict.PROVED, Measured(1.0, 0.0)), ("H", "non-convex", Verdict.PROVED, Measured(1.0, 0.0))


@pytest.mark.parametrize(
    ("comparison", "result"),
    [
        (Comparison(*E, Measured(0.5, 0.1), ()), "within"),
        (Comparison(*E, Measured(0.5, 0.2), ()), "cannot tell"),
        (Comparison(*E, Measured(1.5, 0.2), ()), "cannot tell"),
        (Comparison(*E, Measured(1.5, 0.1), (), is_random=False), "above"),
        (Comparison(*E, Measured(1.5, 0.1), ("assuming inf f = 0",), is_random=False), "cannot tell"),
        # One run may be above a bound for the mean; no more than one in 20 are 20 times above it.
        (Comparison(*E, Measured(1.5, 0.1), ()), "cannot tell"),
        (Comparison(*E, Measured(25.0, 1.0), ()), "above"),
        (Comparison(*E, Measured(25.0, 2.0), ()), "cannot tell"),
        (Comparison(*H, Measured(25.0, 1.0), ()), "cannot tell"),
        (Comparison(*H, Measured(1.0, 0.0), (), is_random=False), "within"),
        (Comparison(*E, None, ()), "not measured"),
        (Comparison("E", "convex", Verdict.REFUTED, Measured(1.0, 0.0), Measured(9.0, 0.0), ()), "says nothing"),
        (Comparison("E", "non-convex", Verdict.PROVED, Measured(1.0, 0.2), Measured(0.5, 0.0), ()), "cannot tell"),
    ],
)
def test_what_a_comparison_comes_to(comparison, result):
    assert comparison.result == result


PLAIN = Remark("plain SGD", Verdict.PROVED, "yes")


@pytest.mark.parametrize(
    ("remarks", "comparisons", "words"),
    [
        ([PLAIN, Remark("conservation of staleness", Verdict.REFUTED, "")], [], "This record contradicts itself"),
        ([Remark("plain SGD", Verdict.REFUTED, "")], [], "The theorems do not apply to this run"),
        (
            [PLAIN, Remark("Theorem E, bound", Verdict.UNKNOWN, "needs noise")],
            [],
            "held against this run: needs noise.",
        ),
        (
            [PLAIN],
            [Comparison(*E, Measured(0.5, 0.1), ())],
            "The step condition of Theorem E holds for this run, and what was",
        ),
        ([PLAIN], [Comparison(*E, Measured(0.5, 0.2), ())], "within its bound cannot be told in every case."),
        (
            [PLAIN],
            [Comparison(*E, Measured(9.0, 0.0), (), False)],
            "above the bound of E (non-convex), so an assumption",
        ),
        ([PLAIN], [Comparison(*H, None, ("with estimates of noise",))], "was not measured (with estimates of noise)."),
        ([Remark("plain SGD", None, "")], [Comparison(*E, None, ())], "(if it was plain SGD)."),
        (
            [PLAIN],
            [Comparison("E", "convex", Verdict.REFUTED, Measured(1.0, 0.0), None, ())],
            "Theorem E says nothing about this run: its steps are too large for its condition.",
        ),
    ],
)
def test_the_first_sentence_is_the_result(remarks, comparisons, words):
    sentence = summary(remarks, comparisons)
    assert words in sentence
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("verdicts", "words"),
    [
        ([Verdict.REFUTED], "its steps are too large for its condition."),
        ([Verdict.UNKNOWN], "whether its steps are too large for its condition is decided by rounding."),
        ([Verdict.REFUTED, Verdict.UNKNOWN], "too large for its condition, or so nearly that rounding decides."),
    ],
)
def test_no_steps_are_called_too_large_where_rounding_decides(verdicts, words):
    # With α = 1/L and τ = 0 the condition of Theorem E is 1 ≤ 1, which holds.
    forms = zip(("non-convex", "convex"), verdicts, strict=False)
    compared = [Comparison("E", form, verdict, Measured(1.0, 0.0), None, ()) for form, verdict in forms]
    assert summary([Remark("plain SGD", Verdict.PROVED, "")], compared).endswith(words)

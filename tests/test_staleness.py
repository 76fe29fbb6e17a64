"""The law: counts, forgetting, distribution functions and statistics, against NumPy on the raw values."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jasgd import StalenessHistogram, rules

VALUES = st.lists(st.integers(0, 12), min_size=1, max_size=60)
TAIL = rules.tail()


count = jax.jit(lambda law, tau: law.count(tau))  # compiled once for a law, however many values it counts


def counted(law, values):
    for tau in values:
        law = count(law, np.int32(tau))
    return law


def histogram(law, length):
    """The weights by staleness 0…length - 1, whatever a law keeps."""
    return np.bincount(np.asarray(law.support), np.asarray(law.weights), minlength=length)


@given(VALUES, st.integers(1, 20))
@settings(max_examples=40, deadline=None)
def test_a_window_remembers_exactly_the_last_values(values, length):
    law = counted(StalenessHistogram.window(length, bins=10), values)
    kept = np.minimum(values[-length:], 10)
    np.testing.assert_array_equal(histogram(law, 11), np.bincount(kept, minlength=11))
    assert int(law.updates) == len(values)
    assert law.statistics()["overflow"] == pytest.approx(np.mean(kept == 10))


@given(VALUES)
@settings(max_examples=25, deadline=None)
def test_exponential_forgetting_weighs_by_age(values):
    law = counted(StalenessHistogram.decay(half_life=3.0, bins=13), values)
    expected = np.zeros(14)
    for age, tau in enumerate(reversed(values)):
        expected[tau] += 2.0 ** (-age / 3.0)
    np.testing.assert_allclose(np.asarray(law.weights), expected, rtol=1e-5)


@given(VALUES)
@settings(max_examples=40, deadline=None)
def test_statistics_are_those_of_the_values(values):
    law, x = StalenessHistogram.from_staleness(values), np.asarray(values)
    p = np.bincount(x) / len(x)
    statistics = law.statistics()
    assert statistics["mean"] == pytest.approx(x.mean(), rel=1e-5, abs=1e-6)
    assert statistics["median"] == np.sort(x)[(len(x) - 1) // 2]
    assert statistics["max"] == x.max()
    assert statistics["sum_p2"] == pytest.approx((p**2).sum(), rel=1e-5)
    assert statistics["sum_p3"] == pytest.approx((p**3).sum(), rel=1e-5)
    gini = np.abs(x[:, None] - x).mean() / (2 * x.mean()) if x.any() else 0.0
    assert statistics["gini"] == pytest.approx(gini, rel=1e-4, abs=1e-6)
    assert statistics["updates"] == len(x)


@given(VALUES)
@settings(max_examples=20, deadline=None)
def test_padded_it_is_the_same_law(values):
    law = StalenessHistogram.from_staleness(values)
    padded, different = law.padded(), len(set(values))
    assert len(padded.weights) == 2 ** max(0, math.ceil(math.log2(different)))
    assert padded.weights[:different].tolist() == law.weights.tolist()
    assert padded.support[:different].tolist() == law.support.tolist() == sorted(set(values))
    assert padded.weights.sum() == len(values)
    for one, other in zip(padded.distinct(), law.distinct(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_a_law_is_padded_with_counts_for_nothing():
    law = StalenessHistogram.from_staleness([0, 4, 4, 9, 12])
    for tau in (np.arange(20), np.arange(100)):  # compared one by one, and sorted
        np.testing.assert_array_equal(law.padded().cdf(tau), law.cdf(tau))


def test_a_law_with_overflow_and_a_traced_one_are_not_padded():
    law = StalenessHistogram.from_staleness([1, 9], bins=3)
    assert law.padded() is law
    law = StalenessHistogram.from_staleness([1, 2, 4])
    assert jax.jit(lambda law: law.padded().weights)(law).shape == (3,)


@pytest.mark.parametrize("ask", [StalenessHistogram.statistics, lambda law: rules.step_size_moments(TAIL, law)])
def test_of_a_few_values_more_nothing_is_compiled_anew(ask, caplog):
    ask(StalenessHistogram.from_staleness([0, 3, 130, 7, 8]))
    law = StalenessHistogram.from_staleness([0, 3, 170, 7, 8, 12])
    with jax.log_compiles():
        ask(law)
    assert [record.getMessage() for record in caplog.records if "Compiling" in record.getMessage()] == []


@given(VALUES, st.integers(0, 14))
@settings(max_examples=60, deadline=None)
def test_distribution_functions_equal_exact_rationals(values, tau):
    law = StalenessHistogram.from_staleness(values, bins=20)
    below = Fraction(sum(v < tau for v in values), len(values))
    equal = Fraction(sum(v == tau for v in values), len(values))
    for kind, exact in (("strict", below), ("mid", below + equal / 2), ("inclusive", below + equal)):
        assert float(law.cdf(tau, kind)) == np.float32(float(exact))
    np.testing.assert_allclose(law.cdf(jnp.array([tau, tau]), "mid"), float(law.cdf(tau, "mid")), rtol=2e-7)


def test_counts_go_on_under_jit_scan_and_vmap_alike():
    values = np.random.default_rng(0).integers(0, 9, (3, 50))
    empty = StalenessHistogram.window(16, bins=8)

    def scanned(values):
        return jax.lax.scan(lambda law, tau: (law.count(tau), None), empty, values)[0]

    laws = jax.vmap(scanned)(jnp.asarray(values, jnp.int32))
    for lane in range(3):
        single = scanned(jnp.asarray(values[lane], jnp.int32))
        np.testing.assert_array_equal(np.asarray(laws.values[lane]), np.asarray(single.values))
    one = counted(empty, values[0])
    np.testing.assert_array_equal(np.asarray(one.values), np.asarray(laws.values[0]))
    np.testing.assert_array_equal(histogram(one, 9), np.bincount(values[0][-16:], minlength=9))


def test_a_one_shot_law_is_frozen_behind_its_sample():
    law = counted(StalenessHistogram.one_shot(5, 10, bins=4), [3] * 5 + [1] * 5 + [2] * 50)
    assert law.weights.tolist() == [0, 5, 0, 0, 0]
    assert int(law.updates) == 60
    assert law.warm_up == 10


def test_a_traced_negative_value_is_left_out():
    law = jax.jit(StalenessHistogram.count)(StalenessHistogram.window(4, bins=4).count(1), np.int32(-1))
    assert histogram(law, 4).tolist() == [0, 1, 0, 0]
    assert int(law.updates) == 1


def test_an_empty_law_takes_no_value_for_stale_or_fresh():
    law = StalenessHistogram.window(4)
    assert [float(law.cdf(3, kind)) for kind in ("strict", "mid", "inclusive")] == [0.5] * 3
    assert float(law.mean()) == 0
    assert int(law.max()) == -1


def test_the_mean_of_a_function_ignores_where_the_law_has_no_weight():
    law = StalenessHistogram.from_staleness([1, 3])
    assert float(law.expect(lambda tau: jnp.where(tau == 2, jnp.inf, tau * 1.0))) == 2.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StalenessHistogram.window(0), "length must be an integer ≥ 1, got 0"),
        (lambda: StalenessHistogram.window(4, bins=0), "bins must be an integer ≥ 1, got 0"),
        (lambda: StalenessHistogram.window(4, warm_up=-1), "warm_up must be an integer ≥ 0, got -1"),
        (lambda: StalenessHistogram.decay(0), "half_life must be a finite number of updates > 0, got 0"),
        (lambda: StalenessHistogram.one_shot(3, 3), "stop must be an integer ≥ 4, got 3"),
        (lambda: StalenessHistogram.window(4).count(-1), "staleness must be ≥ 0 updates, got -1"),
        (lambda: StalenessHistogram.from_staleness([-1]), "staleness must be integers ≥ 0"),
        (lambda: StalenessHistogram.from_staleness([0.5]), "staleness must be integers ≥ 0"),
        (lambda: StalenessHistogram.window(4).cdf(0, "median"), "kind must be one of mid, strict, inclusive"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        make()

"""The paired test keeps its level, has its power, and counts what it says."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from jasgd.experiments.paired_tests import FEWEST_PAIRS, LEVEL, holm, paired_test, power, signed_rank_p


def every_sign(sizes):
    return np.array(list(itertools.product([-1, 1], repeat=len(sizes)))) * np.asarray(sizes, float)


@pytest.mark.parametrize("pairs", [8, 10])
def test_without_a_difference_a_claim_is_made_with_at_most_five_percent_of_all_signs(pairs):
    claimed = [signed_rank_p(signed) <= LEVEL for signed in every_sign(np.arange(1, pairs + 1))]
    assert 0.02 < np.mean(claimed) <= LEVEL


@pytest.mark.parametrize(
    "sizes", [[1] * 8, [1, 1, 2, 2, 2, 3, 4, 4], [0, 0, 1, 2, 3, 3, 5, 6], [1, 2, 3, 4, 5, 6, math.inf, math.inf]]
)
def test_it_keeps_its_level_with_ties_zeros_and_divergence_too(sizes):
    with np.errstate(invalid="ignore"):
        signed = np.nan_to_num(every_sign(sizes), nan=0.0, posinf=math.inf, neginf=-math.inf)
    p = np.array([signed_rank_p(one) for one in signed])
    for level in (0.01, LEVEL, 0.2):
        assert np.mean(p <= level) <= level


@pytest.mark.parametrize("pairs", [3, 6, 9])
def test_without_ties_the_p_value_is_that_of_scipy(pairs):
    for signed in every_sign(np.arange(1, pairs + 1)):
        assert signed_rank_p(signed) == pytest.approx(stats.wilcoxon(signed, method="exact").pvalue)


def test_with_ties_the_p_value_is_the_share_of_signs_as_far_from_the_mean():
    observed = np.array([-1.0, 1, -1, -2, -2, -3, -3, -5])
    ranks = stats.rankdata(np.abs(observed))
    sums = (every_sign(ranks) * (every_sign(ranks) > 0)).sum(axis=1)
    far = np.abs(sums - ranks.sum() / 2) >= abs(ranks[observed > 0].sum() - ranks.sum() / 2)
    assert signed_rank_p(observed) == pytest.approx(far.mean())


def test_with_fewer_than_six_pairs_nothing_can_be_claimed():
    smallest = [signed_rank_p(-np.arange(1.0, pairs + 1)) for pairs in range(1, FEWEST_PAIRS + 1)]
    assert smallest == [2 / 2**pairs for pairs in range(1, FEWEST_PAIRS + 1)]
    assert [p <= LEVEL for p in smallest] == [False] * 5 + [True]
    assert signed_rank_p([]) == signed_rank_p([0.0, 0.0]) == 1


def test_ten_pairs_show_a_difference_of_one_and_a_fifth_standard_deviations():
    draws = np.random.default_rng(7).normal(-1.2, size=(1500, 10))
    found = np.mean([signed_rank_p(one) <= LEVEL for one in draws])
    assert found >= 0.8
    assert found == pytest.approx(power(10), abs=0.03)


def test_more_seeds_make_a_claim_easier():
    for rules in (1, 2, 3):
        by_pairs = np.array([power(pairs, level=LEVEL / rules) for pairs in range(3, 21)])
        assert (np.diff(by_pairs) > -0.003).all()  # about two standard errors of the simulation
        assert by_pairs[0] == 0
        assert by_pairs[-1] > 0.95
        assert (by_pairs <= [power(pairs) for pairs in range(3, 21)]).all()
    assert power(10, effect=0.0) <= LEVEL / 2 + 0.005  # claims in one of the two directions


def test_holm_corrects_as_by_hand():
    # Sorted: 3·0.01, then 2·0.02 = 0.04, then the largest as it is, but none less than one before.
    assert holm([0.02, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8])
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@given(st.lists(st.sampled_from([0.0, 0.005, 0.012, 0.02, 0.024, 0.03, 0.049, 0.06, 0.5, 1.0]), max_size=5))
@settings(max_examples=100, deadline=None)
def test_holm_rejects_what_its_closed_test_rejects(p_values):
    """By the closure principle: a hypothesis falls where every set that holds it falls by Bonferroni."""
    indices = range(len(p_values))
    sets = [chosen for size in indices for chosen in itertools.combinations(indices, size + 1)]
    falls = {chosen: len(chosen) * min(p_values[i] for i in chosen) <= LEVEL for chosen in sets}
    for index, corrected in enumerate(holm(p_values)):
        assert (corrected <= LEVEL) == all(falls[chosen] for chosen in sets if index in chosen)


def by_seed(*values):
    return dict(enumerate(map(float, values)))


def test_pairs_are_of_equal_seed():
    test = paired_test({3: 1.0, 1: 5.0, 8: 2.0}, {1: 6.0, 2: 0.0, 3: 0.5})
    assert (test.pairs, test.left_out, test.lower, test.higher) == (2, 2, 1, 1)


def test_a_run_that_diverged_loses_its_pair_and_one_without_a_value_leaves_it_out():
    inf, nan = math.inf, math.nan
    test = paired_test(by_seed(1, inf, inf, 2, nan, 3), by_seed(inf, 1, inf, 3, 1, nan))
    assert (test.pairs, test.left_out, test.lower, test.higher) == (4, 2, 2, 1)
    assert (test.infinite, test.other_infinite) == (2, 2)
    # 1 against infinity and infinity against 1 are as large as each other; 2 against 3 is smaller; the tie is left out.
    assert test.p == signed_rank_p([-2.0, 2.0, -1.0])
    assert math.isnan(test.low)
    lost = paired_test(by_seed(*[inf] * 6), by_seed(*range(1, 7)))
    assert (lost.higher, lost.p, lost.difference, lost.side) == (6, 0.03125, inf, 1)
    assert paired_test(by_seed(*range(1, 7)), by_seed(*[inf] * 6)).difference == -1


def test_the_size_is_relative_and_its_interval_holds_it():
    rng = np.random.default_rng(1)
    others = np.exp(rng.normal(size=12))
    test = paired_test(by_seed(*(0.7 * others * np.exp(0.1 * rng.normal(size=12)))), by_seed(*others))
    assert test.relative
    assert test.low < test.difference < test.high < 0
    assert test.difference == pytest.approx(-0.3, abs=0.06)
    exact = paired_test(by_seed(*(0.5 * others)), by_seed(*others))
    assert (exact.difference, exact.low, exact.high) == pytest.approx((-0.5, -0.5, -0.5))


def test_the_same_pairs_have_the_same_interval():
    a, b = by_seed(1, 2, 4, 3, 6, 5), by_seed(2, 3, 3, 5, 5, 9)
    assert paired_test(a, b) == paired_test(a, b)


def test_a_difference_of_values_that_are_not_positive_is_in_their_unit():
    test = paired_test(by_seed(-1, 0, 1), by_seed(1, 2, 3))
    assert not test.relative
    assert (test.difference, test.low, test.high) == (-2, -2, -2)


@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_the_size_lies_on_the_side_of_the_test(pairs):
    """Kind: a sentence that contradicts itself. A mean may lie on the other side than the ranks do."""
    ours, others = zip(*pairs, strict=True)
    test = paired_test(by_seed(*ours), by_seed(*others))
    differences = np.log(ours) - np.log(others)
    differences = differences[np.array(ours) != np.array(others)]
    ranks = stats.rankdata(np.abs(differences)) * np.sign(differences)
    if test.p <= LEVEL:
        assert test.side == np.sign(ranks.sum())


def test_no_pairs_say_nothing():
    test = paired_test({0: 1.0}, {1: 1.0})
    assert (test.pairs, test.left_out, test.p, test.side) == (0, 2, 1.0, 0)
    assert math.isnan(test.difference)

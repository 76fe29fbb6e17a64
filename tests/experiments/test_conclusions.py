"""What is concluded from the runs of a comparison, and how it is said."""

import math

import pytest

from jasgd.experiments.arms import arms_of
from jasgd.experiments.conclusions import Verdict, conclude, sentences
from jasgd.experiments.paired_tests import LEVEL

CONSTANT = [1.0 + 0.1 * i for i in range(8)]
AHEAD = [0.5 * loss for loss in CONSTANT]
BEHIND = [2 * loss for loss in CONSTANT]
MIXED = [loss * factor for loss, factor in zip(CONSTANT, (0.7, 1.4, 0.8, 1.2, 0.9, 1.1, 0.95, 1.06), strict=True)]
NARROW = [loss * factor for loss, factor in zip(CONSTANT, (0.7, 0.6, 0.5, 0.4, 0.8, 1.02, 1.03, 0.75), strict=True)]


def judged(**losses):
    """The conclusions, by label; ``control`` is that of tail, ``inverse_control`` that of inverse."""
    names = {"control": "constant@tail", "inverse_control": "constant@inverse"}
    values = {names.get(name, name): dict(enumerate(of_seeds)) for name, of_seeds in losses.items()}
    return {one.arm: one for one in conclude(values, arms_of(list(values)))}


def said(**losses):
    return "\n".join(sentences(list(judged(**losses).values())))


@pytest.mark.parametrize(
    ("tail", "control", "verdict"),
    [
        (AHEAD, CONSTANT, Verdict.AHEAD),
        (AHEAD, MIXED, Verdict.AHEAD),
        (AHEAD, AHEAD, Verdict.UNCLEAR),  # a constant step of the same mean does it as well
        (BEHIND, BEHIND, Verdict.BEHIND),
        (BEHIND, CONSTANT, Verdict.BEHIND),
        (MIXED, CONSTANT, Verdict.UNCLEAR),
        (CONSTANT, CONSTANT, Verdict.UNCLEAR),
        ([math.inf] * 8, CONSTANT, Verdict.BEHIND),
        ([math.nan] * 8, CONSTANT, Verdict.UNKNOWN),
    ],
)
def test_ahead_is_ahead_of_the_constant_and_of_the_control(tail, control, verdict):
    assert judged(constant=CONSTANT, tail=tail, control=control)["tail"].verdict == verdict


def test_between_the_two_tests_nothing_is_corrected_and_the_larger_p_value_counts():
    one = judged(constant=CONSTANT, tail=NARROW, control=BEHIND)["tail"]
    assert one.constant.p == 2 * 5 / 256  # the ranks 1 and 2: {}, {1}, {2}, {3}, {1, 2} sum to ≤ 3
    assert one.control.p == 2 / 256
    assert one.p == one.corrected_p == max(one.constant.p, one.control.p)


def test_over_the_rules_holm_corrects():
    alone = judged(constant=CONSTANT, tail=NARROW, control=BEHIND)
    both = judged(constant=CONSTANT, tail=NARROW, control=BEHIND, inverse=MIXED, inverse_control=CONSTANT)
    assert (alone["tail"].verdict, both["tail"].verdict) == (Verdict.AHEAD, Verdict.UNCLEAR)
    assert both["tail"].corrected_p == 2 * alone["tail"].p > LEVEL
    assert both["tail"].rules == 2
    assert both["inverse"].corrected_p >= both["inverse"].p


def test_a_gain_that_the_control_has_too_is_no_claim_and_it_is_said_why():
    text = said(constant=CONSTANT, tail=AHEAD, control=AHEAD)
    assert "tail shows no clear difference from constant and constant@tail together: " in text
    assert "is lower in 8 of 8 seeds (p = 0.0078; -50%" in text
    assert "against constant@tail, a constant step of the same mean, it is equal in all 8 seeds" in text
    assert "what it gains over the constant step may be due to its mean step alone" in text


def test_without_a_control_nothing_is_ahead():
    text = said(constant=CONSTANT, tail=AHEAD)
    assert "no clear difference" in text
    assert "To be ahead, it must be so of constant@tail as well, which was not run" in text


def test_five_seeds_claim_nothing():
    text = said(constant=CONSTANT[:5], tail=AHEAD[:5], control=CONSTANT[:5])
    assert "no clear difference" in text
    assert "is lower in 5 of 5 seeds (p = 0.062; " in text
    assert "with fewer than 6 no signed-rank test reaches p ≤ 0.05" in text
    assert "Power" not in text
    assert "No difference can be claimed with 1 seed:" in said(constant=[2.0], tail=[1.0])


def test_a_claim_has_seeds_p_value_size_and_interval():
    text = said(constant=CONSTANT, tail=NARROW, control=BEHIND)
    assert "tail is ahead of constant and of constant@tail: its final training loss, median " in text
    assert "is lower in 6 of 8 seeds (p = 0.0" in text
    assert "95% bootstrap interval -" in text
    assert (
        "; against constant@tail, a constant step of the same mean, it is lower in 8 of 8 seeds (p = 0.0078; " in text
    )


def test_what_holms_correction_took_is_said():
    many = {"constant": CONSTANT[:6], "tail": AHEAD[:6], "control": CONSTANT[:6], "inverse": MIXED[:6]}
    text = said(**many)
    assert "is lower in 6 of 6 seeds (p = 0.031; " in text
    assert "tail shows no clear difference" in text
    assert "Corrected for 2 rules, p = 0.062, more than 0.05" in text
    assert "with a probability of 0% after Holm's correction for 2 rules" in text


def test_the_power_of_the_design_is_said():
    text = said(constant=CONSTANT, tail=MIXED, control=CONSTANT)
    assert "Power: with 8 seeds such a test finds a difference of 1.2 standard deviations of the pairs" in text
    assert "with a probability of 77%; with more seeds it finds smaller ones." in text


def test_divergence_is_counted_and_infinity_is_in_words():
    text = said(constant=[math.inf] * 8, tail=CONSTANT, control=[math.inf] * 8)
    assert "tail is ahead" in text
    assert "Of its runs 0 diverged, of constant's 8" in text
    text = said(constant=CONSTANT, tail=[math.inf] * 8)
    assert "tail is behind constant" in text
    assert "; without bound)" in text


@pytest.mark.parametrize(("factor", "size"), [(0.47, "-53%"), (0.96, "-4%"), (3.2, "+220%"), (40, "40 times")])
def test_the_size_is_a_percentage_without_an_exponent(factor, size):
    assert f"(p = 0.0078; {size}, 95% bootstrap interval {size} to {size})" in said(
        constant=CONSTANT, tail=[factor * loss for loss in CONSTANT]
    )


def test_the_mean_step_is_said_over_the_whole_run_and_after_the_start():
    text = sentences(
        list(judged(constant=CONSTANT, tail=AHEAD, control=CONSTANT).values()), factors={"tail": (0.654, 0.802)}
    )[0]
    assert "a constant step of the same mean, E[C] = 0.65, after the start 0.80, it is lower" in text


def test_without_the_constant_step_nothing_is_concluded():
    assert judged(tail=AHEAD) == judged(constant=[], tail=AHEAD) == judged(constant=CONSTANT) == {}
    assert sentences([]) == []

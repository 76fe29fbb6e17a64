"""The library's rules of the rank as candidates: their distortions decide all six conditions under every law."""

import jax.numpy as jnp
import pytest
from flint import fmpq
from support.certified_reports import not_certified

from jasgd import rules
from theory.candidates.loading import load
from theory.decisions.conditions import CONDITIONS
from theory.decisions.decision import decide
from theory.decisions.verdict import Verdict
from theory.distortions.factors import Factors
from theory.laws.parsing import parse_law
from theory.numbers.balls import ball

VERDICTS = {  # positive, and |C - 1| ≤ 1; all else is proved
    "rank_power": (Verdict.PROVED, Verdict.PROVED),
    "rank_power:exponent=3": (Verdict.PROVED, Verdict.REFUTED),
    "rank_power:exponent=1.5,normalized=true": (Verdict.PROVED, Verdict.PROVED),
    "rank_exponential": (Verdict.PROVED, Verdict.PROVED),
    "rank_exponential:rate=0.3": (Verdict.PROVED, Verdict.PROVED),
    "freshest_share": (Verdict.REFUTED, Verdict.PROVED),
    "freshest_share:share=0.25": (Verdict.REFUTED, Verdict.REFUTED),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_every_condition_is_decided_for_every_law_and_certified(name):
    report = decide(load(f"jasgd.rules:{name}"))
    expected = dict.fromkeys(CONDITIONS, Verdict.PROVED) | dict(
        zip(("positive", "amplitude"), VERDICTS[name], strict=True)
    )
    assert {condition: report[condition].verdict for condition in CONDITIONS} == expected
    assert not_certified(report) == []


@pytest.mark.parametrize("name", VERDICTS)
def test_what_is_decided_on_is_the_distortion_that_the_rule_trains_with(name):
    candidate = load(f"jasgd.rules:{name}")
    assert candidate.is_distortion
    rule, factors = rules.named(name), Factors(candidate.distortion, {}, parse_law("constant:1"))
    for u in (0.0, 0.25, 0.75, 1.0):
        enclosed = ball(factors.at(fmpq(*u.as_integer_ratio())))
        assert float(enclosed.mid()) == pytest.approx(float(rule.distortion(jnp.float32(u))), abs=1e-6)


def test_a_cutoff_that_is_searched_for_is_no_formula_and_the_checker_says_so():
    report = decide(load("jasgd.rules:best_linear"))
    assert {report[condition].verdict for condition in CONDITIONS} == {Verdict.UNKNOWN}
    assert "its cutoff is searched for" in report["magnitude"].because

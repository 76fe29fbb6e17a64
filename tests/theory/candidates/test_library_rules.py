"""The library's own rules under six laws and under every law: all is decided, and TAIL's mean is what theory says."""

from fractions import Fraction

import mpmath
import pytest
from flint import fmpq
from support.certified_reports import not_certified

from theory.analysis.pointwise import PointValues
from theory.candidates.loading import load
from theory.decisions.conditions import CONDITIONS
from theory.decisions.decision import decide, question_about
from theory.decisions.verdict import Verdict
from theory.laws.parsing import from_json, parse_law
from theory.numbers.rationals import as_fmpq, as_fraction

RULES = {  # and whether E[C] = 1 under constant:3
    "constant": True,
    "inverse": False,
    "inverse:normalized=true": True,
    "power": False,
    "power:exponent=2,normalized=true": True,
    "hinge": True,
    "exponential": False,
    "exponential:beta=0.1,normalized=true": True,
    "threshold": True,
    "mishchenko": False,
    "koloskova": True,
    "adadelay": False,
    "tail": True,
    "tail:amplitude=0.5": True,
    "tail:cdf=strict": False,
    "tail:cdf=inclusive": False,
    "tail_published:workers=8": False,
}
COUNTS = [2, 5, 0, 14, 21, 33, 58, 96, 41, 17, 6, 0, 1]
LAWS = [
    parse_law("poisson:8"),
    parse_law("geometric:1/8"),
    parse_law("negative_binomial:3:1/4"),
    parse_law("uniform:0:30"),
    parse_law("constant:3"),
    from_json(["counts", COUNTS]),
]
FINITE = LAWS[3:]
CONSTANT = LAWS[4]
AMPLITUDES = [Fraction(1), Fraction(1, 2)]


@pytest.fixture(scope="module")
def reports():
    """For each rule, made once: the report under the laws."""
    known = {}

    def of(name):
        if name not in known:
            known[name] = decide(load(f"jasgd.rules:{name}"), LAWS)
        return known[name]

    return of


def finding(report, condition, law):
    return next(one for under, one in report[condition].findings if under == law)


def masses(law):
    return {tau: law.mass(tau) for tau in law.support()}


@pytest.mark.parametrize("name", RULES)
def test_every_condition_is_decided_under_each_law(reports, name):
    undecided = [
        f"{condition} under {law}: {one.because}"
        for condition in CONDITIONS
        for law, one in reports(name)[condition].findings
        if one.verdict is Verdict.UNKNOWN
    ]
    assert not undecided


@pytest.mark.parametrize("name", RULES)
def test_the_certificate_of_all_that_is_decided_is_accepted(reports, name):
    assert not_certified(reports(name)) == []


@pytest.mark.parametrize("name", RULES)
def test_every_condition_is_decided_for_every_law(name):
    report = decide(load(f"jasgd.rules:{name}"))
    assert not_certified(report) == []
    assert {c: report[c].because for c in CONDITIONS if report[c].verdict is Verdict.UNKNOWN} == {}


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_a_line_is_decided_on_under_each_law_and_under_every_law_it_is_unknown_but_that_it_may_be_0(law):
    candidate = load("jasgd.rules:linear:cutoff=1.5")
    report = decide(candidate, [law])
    assert not_certified(report) == []
    for condition in ("defined", "decreasing", "magnitude", "moments"):
        assert report[condition].verdict is Verdict.PROVED
    assert report["positive"].verdict is (Verdict.PROVED if law is CONSTANT else Verdict.REFUTED)
    if law is CONSTANT:
        verdicts = {condition: decide(candidate)[condition].verdict for condition in CONDITIONS}
        assert verdicts["positive"] is Verdict.REFUTED
        assert verdicts["magnitude"] is Verdict.UNKNOWN  # though it holds: Theorem G


@pytest.mark.parametrize("name", RULES)
def test_each_is_defined_and_decreasing_and_has_moments(reports, name):
    for condition in ("defined", "decreasing", "moments"):
        assert reports(name)[condition].verdict is Verdict.PROVED


@pytest.mark.parametrize("name", RULES)
def test_the_mean_under_one_point_is_the_value_there(reports, name):
    is_one = finding(reports(name), "magnitude", CONSTANT).verdict is Verdict.PROVED
    question = question_about(load(f"jasgd.rules:{name}"), CONSTANT)
    if not question.setting.is_fixed():  # adadelay reads the number of updates
        assert not is_one
        return
    value = PointValues(question.formula, question.setting).certain(3)
    assert is_one == RULES[name]
    assert (value == 1) == is_one or (is_one and value.contains(1))


@pytest.mark.parametrize("law", LAWS, ids=str)
@pytest.mark.parametrize("name", ["tail", "tail:amplitude=0.5"])
def test_tail_with_the_mid_distribution_function_keeps_the_mean_step(reports, name, law):
    magnitude = finding(reports(name), "magnitude", law)
    assert (magnitude.verdict, magnitude.evidence) == (Verdict.PROVED, {"argument": "affine in F"})


@pytest.mark.parametrize("amplitude", AMPLITUDES, ids=str)
@pytest.mark.parametrize("cdf", ["strict", "inclusive"])
@pytest.mark.parametrize("law", FINITE, ids=str)
def test_with_the_others_it_misses_by_the_amplitude_times_the_sum_of_squares(cdf, amplitude, law):
    candidate = load(f"jasgd.rules:tail:cdf={cdf},amplitude={float(amplitude)}")
    question = question_about(candidate, law)
    values = PointValues(question.formula, question.setting)
    mean = sum((p * values.certain(tau) for tau, p in masses(law).items()), fmpq(0))
    squares = sum((p * p for p in masses(law).values()), fmpq(0))
    gap = as_fmpq(amplitude) * squares
    assert mean - 1 == (gap if cdf == "strict" else -gap)  # exactly: all of it is rational

    verdict_on = decide(candidate, [law])["magnitude"]
    assert verdict_on.verdict is Verdict.REFUTED
    low, high = (Fraction(end) for end in verdict_on.findings[0][1].evidence["counterexample"]["mean"])
    assert low <= as_fraction(mean) <= high
    assert high - low < Fraction(1, 10**13)
    sign, size = ("more" if cdf == "strict" else "less"), ("" if amplitude == 1 else f"{amplitude}·")
    assert verdict_on.because.endswith(f"{sign} by {size}Σp² than with F_mid")


@pytest.mark.parametrize(
    ("law", "squares"),
    [  # e^-2λ I₀(2λ); p/(2-p); p⁶ Σ C(i+2,2)² q^2i = p⁶ (1 + 4x + x²)/(1-x)⁵, x = q²
        (LAWS[0], mpmath.exp(-16) * mpmath.besseli(0, 16)),
        (LAWS[1], mpmath.mpf(1) / 15),
        (LAWS[2], mpmath.mpf(1 + 4 * 9 / 16 + 81 / 256) / 4**6 / (mpmath.mpf(7) / 16) ** 5),
    ],
    ids=[str(law) for law in LAWS[:3]],
)
@pytest.mark.parametrize("cdf", ["strict", "inclusive"])
def test_so_it_does_under_unbounded_laws(reports, cdf, law, squares):
    magnitude = finding(reports(f"tail:cdf={cdf}"), "magnitude", law)
    low, high = (mpmath.mpf(end) for end in magnitude.evidence["counterexample"]["mean"])
    expected = 1 + (squares if cdf == "strict" else -squares)
    assert magnitude.verdict is Verdict.REFUTED
    assert low - 1e-13 <= expected <= high + 1e-13
    assert high - low < 1e-13

"""Candidates that were, or would be, decided wrongly by an argument that is a little too weak."""

import math

import pytest

from theory.candidates.loading import loads
from theory.decisions.decision import decide
from theory.laws.parsing import parse_law

HEAD = "from theory import tau\nimport sympy\n"


def verdict(source, condition, *laws):
    return decide(loads(HEAD + source), [parse_law(law) for law in laws])[condition].verdict.value


def test_a_generating_function_is_not_used_where_its_sum_diverges():
    # Formally, Σ p(1-p)^i·(-3^i) = p/(1 - 3(1-p))·(-1) = 1 at p = 1/2.
    assert verdict("C = -(3 ** tau)", "magnitude", "geometric:1/2") == "REFUTED"
    assert verdict("C = -(3 ** tau)", "moments", "geometric:1/2") == "REFUTED"


def test_what_is_hidden_in_an_absolute_value_is_no_constant():
    # 1 + |1-2F|·(2F-1) is written α + βF with α + β/2 = 1 where |1-2F| is taken for a constant.
    source = "def step_size(tau, F):\n    h = sympy.Abs(1 - 2 * F)\n    return (1 - h) + 2 * h * F"
    assert verdict(source, "magnitude") == "REFUTED"


def test_the_logarithm_of_what_is_near_zero_is_large():
    # |log(10^-9 + τ²e^-τ)| is about 20 where τ is large, though its argument is tiny.
    source = "C = tau * sympy.log(sympy.Rational(1, 10**9) + tau**2 * sympy.exp(-tau))"
    report = decide(loads(HEAD + source), [parse_law("geometric:1/100")])
    finding = report["moments"].findings[0][1]
    assert finding.verdict.value == "PROVED"
    low, high = (float(end) for end in finding.evidence["mean"])
    total = sum(0.01 * 0.99**t * t * math.log(1e-9 + t * t * math.exp(-t)) for t in range(9000))
    assert low - 1e-6 <= total <= high + 1e-6


def test_a_term_that_is_small_at_first_may_outweigh_the_dominant_one_later():
    # τ⁴/10⁴ is a ten-thousandth of e^{τ/10} at 1, and almost five times as much at 40.
    assert verdict("C = sympy.exp(tau / 10) - tau**4 / 10**4", "positive") == "REFUTED"


def test_a_constant_holds_a_sum_back():
    # √τ/(100 + τ) rises up to τ = 100: the elasticity of 100 + τ is τ/(100 + τ), not 1. The factor hides it up to 3.
    source = "C = sympy.sqrt(tau) / (100 + tau) * (1 + 50 * 9**(-tau))\ndomain = (1, None)"
    assert verdict(source, "decreasing") == "REFUTED"


@pytest.mark.parametrize(
    ("source", "condition", "said"),
    [
        ("C = (-1) ** (tau / 2)", "defined", {"REFUTED", "UNKNOWN"}),  # imaginary at τ = 1
        ("C = 1 / (tau - sympy.Rational(7, 2))", "defined", {"PROVED"}),  # the pole lies between integers
        ("C = 1 / (tau - 700000)", "defined", {"REFUTED"}),  # and here on one, far out
        ("C = 1 / (1 + tau) + sympy.sin(2 * sympy.pi * tau) / 2", "decreasing", {"PROVED"}),  # on the integers
        ("C = sympy.exp(-tau) + sympy.Rational(1, 10**12) * sympy.sin(tau)", "decreasing", {"REFUTED"}),
        ("C = 1 / (1 + tau) + sympy.Rational(1, 10**12) * sympy.sin(tau)", "decreasing", {"REFUTED"}),
        ("C = 1 / (1 + tau) + (-1) ** tau / (1 + tau) ** 3 / 10**12", "decreasing", {"PROVED"}),
        ("C = sympy.Piecewise((1 / (1 + tau), tau < 10**9), (1, True))", "decreasing", {"REFUTED"}),
        ("C = 1 / (1 + sympy.floor(tau / 10))", "decreasing", {"PROVED"}),
        ("C = 8**tau / sympy.factorial(tau)", "decreasing", {"REFUTED"}),
        ("C = 8**(tau + 8) / sympy.factorial(tau + 8)", "decreasing", {"PROVED"}),
        ("C = sympy.exp(1000 * tau) * sympy.exp(-1001 * tau)", "decreasing", {"PROVED"}),
        ("C = sympy.log(2 + tau) / (1 + tau)", "decreasing", {"PROVED"}),
        ("C = 1 - tau / 10**6", "positive", {"REFUTED"}),
        ("C = sympy.exp(-tau**2)", "positive", {"PROVED"}),
        ("C = sympy.Piecewise((sympy.oo, tau < 1), (1 / tau, True))", "defined", {"REFUTED"}),
    ],
)
def test_traps(source, condition, said):
    assert verdict(source, condition) in said

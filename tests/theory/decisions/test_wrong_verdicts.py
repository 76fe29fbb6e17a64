"""Candidates that a sceptic found to be decided wrongly: each names the step of the argument that was too weak."""

import pytest

from theory.candidates.candidate import CandidateError
from theory.candidates.loading import loads
from theory.decisions.decision import decide
from theory.laws.parsing import parse_law

HEAD = "from sympy import *\nfrom theory import tau\n"


def said(source, condition, *laws):
    return decide(loads(HEAD + source), [parse_law(law) for law in laws])[condition].verdict.value


def test_an_angle_over_tau_is_no_whole_number_of_turns():
    # cos(2π/τ) was taken for cos(0) = 1, as if 2π/τ were 2πτ; it is -1 at 2.
    assert said("C = cos(2 * pi / tau)\ndomain = (2, None)", "positive") == "REFUTED"
    assert said("C = 1 - cos(2 * pi / tau)\namplitude = 0\ndomain = (2, None)", "amplitude") == "REFUTED"


def test_the_factorial_of_the_last_value_of_a_range_is_taken():
    # 2 - τ! is 0 at 2: that the range of τ! on 0…2 excluded its end made it positive there.
    assert said("C = Piecewise((2 - factorial(tau), tau <= 2), (1, True))", "positive") == "REFUTED"


def test_cases_that_read_f_are_decided_at_their_own_staleness():
    # F(τ) > c far out; taken for F(0) < c, Max(F, c) was c, and C constant. It rises for ever.
    source = "def step_size(tau, F):\n    c = 1 - Rational(1, 2**200)\n    return Piecewise(({}, tau < 300), (1, True))"
    assert said(source.format("2 + Max(F, c) - c"), "decreasing", "poisson:8") != "PROVED"
    assert said(source.format("2 + Max(F, c) - c"), "amplitude", "poisson:8") != "PROVED"


def test_a_parameter_named_f_is_not_the_distribution():
    source = "def step_size(tau, F): return 1 + F - Symbol('F', real=True)\nparameters = {'F': (0, 1)}"
    with pytest.raises(CandidateError, match="named by an identifier other than tau, F"):
        loads(HEAD + source)


def test_a_mean_over_every_law_may_be_infinite():
    # Under a law without a mean, (1 + τ)/E[1 + τ] is no number.
    source = "from theory.formulas.from_sympy import mean\nC = (1 + tau) / mean(1 + tau)"
    assert said(source, "magnitude") != "PROVED"
    assert said(source, "defined") != "PROVED"


def test_what_holds_from_one_on_is_not_used_at_zero():
    # E|τ - 1/2| = λ - 1/2 + e^-λ; the last term is below the precision of any enclosure of the sum.
    assert said("C = Abs(tau - Rational(1, 2)) + Rational(3, 2) - 200", "magnitude", "poisson:200") != "PROVED"


def test_arithmetic_of_integers_in_a_file_is_exact():
    # 5/3 at 0 and 2/3 at 1 and 2 have the mean 1; 1 + (-1/3) in floats is another number.
    for source in (
        "C = Piecewise((1 + 2 * (1 / 3), tau < 1), (1 + (-1 / 3), True))",
        "third = 1 - 2 / 3\nC = Piecewise((3 * third, tau < 9), (0, True))",
        "C = 7 * 10**-2 * 10**2 / 7 + 0 * tau",
    ):
        assert said(source, "magnitude", "uniform:0:2") == "PROVED"


def test_numbers_beyond_doubles_are_taken_as_they_are_written():
    assert said("C = 1e400 / (1e400 + tau)", "decreasing") == "PROVED"
    assert said("C = 1e-400 / (1e-400 + tau)", "positive") == "PROVED"


def test_what_may_be_undefined_far_out_is_not_proved():
    # 0/0 at 10^7, which is no number of the formula; elsewhere 1. Algebra cancels.
    source = "C = (tau**2 / 10**6 - 10**8) / ((tau / 1000 - 10**4) * (tau / 1000 + 10**4))\namplitude = 0"
    for condition in ("defined", "decreasing", "amplitude"):
        assert said(source, condition) != "PROVED"
    # Undefined for b = 0, which is inside.
    assert said("b = Symbol('b')\nC = 2 + 1 / b\nparameters = {'b': (-1, 2)}", "decreasing") != "PROVED"


def test_binomials_are_zero_beyond_their_range():
    # 1/(1 + (τ over 3)) is 1 up to 2, where the factorial of τ - 3 is none.
    for condition in ("defined", "positive", "decreasing"):
        assert said("C = 1 / (1 + binomial(tau, 3))", condition) == "PROVED"
    assert said("C = 1 + binomial(3, tau)", "magnitude", "constant:4") == "PROVED"
    assert said("C = binomial(2 * tau, tau) / 4**tau", "defined") != "REFUTED"


@pytest.mark.parametrize("declared", ["negative=True", "nonpositive=True", "integer=True", "even=True"])
def test_what_is_declared_of_a_parameter_and_not_so_is_refused(declared):
    # SymPy writes |b| as -b where b is declared negative; over (1, 2) that is another function.
    with pytest.raises(CandidateError, match="declared"):
        loads(HEAD + f"b = Symbol('b', {declared})\nC = 1 / (1 + Abs(b) * tau)\nparameters = {{'b': (1, 2)}}")


def test_a_whole_exponent_that_is_enclosed_alone_is_no_reason_to_refute():
    # 2cos(πτ/3) is ±1 or ±2 at every integer, so that the power is 1 or -1.
    assert said("C = (3 + (-1)**(2 * cos(pi * tau / 3))) / 4", "defined") != "REFUTED"


def test_numbers_of_thousands_of_digits_end_in_a_verdict():
    assert said("C = exp(-tau) + 10**(-5000)", "decreasing") == "UNKNOWN"


def test_no_more_is_said_of_a_mean_than_was_computed():
    # E[τ!] = 2/√e under Poisson's law with 1/2, and no bound of its tail is known here.
    report = decide(loads(HEAD + "C = factorial(tau)"), [parse_law("poisson:1/2")])
    assert "E[C] is 1 as far" not in report["magnitude"].because
    report = decide(loads(HEAD + "C = Piecewise((1, tau < 10**9), (0, True))"), [parse_law("poisson:8")])
    assert "E[C] is 1 as far" in report["magnitude"].because


def test_what_grows_is_bounded_on_a_domain_that_ends():
    # a(τ+1) - aτ = a: the intervals do not see it, algebra does, and C grew beyond the end of its domain.
    source = "a = Symbol('a')\nC = tau**2 / (a * (tau + 1) - a * tau)\nparameters = {'a': (1, 2)}\n"
    assert said(source + "domain = (0, 5)", "moments") != "REFUTED"
    assert said(source, "moments") == "REFUTED"

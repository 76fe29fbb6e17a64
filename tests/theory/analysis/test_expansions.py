"""Expansions hold the values that they stand for, and what is concluded from them is so at random places."""

import random

import pytest
import sympy
from flint import arb, fmpq

from theory.analysis.evaluation import compiled
from theory.analysis.expansions import signs
from theory.analysis.expansions.expansion import Expansion, constant, staleness
from theory.analysis.expansions.growth_bounds import growth_bound
from theory.analysis.expansions.of_formulas import expansion, scale_of
from theory.analysis.expansions.series import Scale, Series
from theory.analysis.expansions.steps import log_step, ratio, step
from theory.analysis.expectation import UnderLaw
from theory.formulas.formula import subtract
from theory.formulas.from_sympy import tau, translated
from theory.formulas.monomials import Unsupported
from theory.numbers.balls import Undecided, ball, precision

FORMULAS = [
    "1 / (1 + tau)",
    "(3 * tau + 2) / (tau**2 + 5)",
    "sqrt(tau + 1) - sqrt(tau)",
    "(1 + sqrt(tau)) / (2 + tau)",
    "(tau + Rational(1, 3))**Rational(2, 3)",
    "log(tau + 3) / (tau + 1)",
    "log(tau**2 + 1) - 2 * log(tau + 2)",
    "exp(1 / (1 + tau))",
    "exp(-2 * log(tau + 5) / 2)",
    "(1 + 1 / (tau + 1))**(tau + 2)",
    "(1 + 2 / (tau + 3))**(-tau)",
    "gamma(tau + Rational(1, 2)) / gamma(tau + 1)",
    "gamma(tau + 4) / gamma(tau + 2)",
    "harmonic(tau)",
    "harmonic(2 * tau) - harmonic(tau)",
    "harmonic(tau + 1) / (tau + 1)",
    "beta(tau + 1, 2)",
    "pi / (sqrt(2) + tau)",
]
MOVING = [
    *FORMULAS,
    "(1 + tau)**(-tau)",
    "binomial(2 * tau, tau) / 4**tau",
    "2**(-tau) * tau**3",
    "exp(-sqrt(tau + 1))",
]
CONCLUSIONS = {  # what holds from some N on: the sign, whether it falls
    "sqrt(tau + 1) - sqrt(tau)": (1, True),
    "sqrt(tau) - sqrt(tau + 1)": (-1, False),
    "2 * sqrt(tau + 1) - sqrt(tau) - sqrt(tau + 2)": (1, True),
    "(1 + 1 / (tau + 1))**(tau + 2) - exp(1)": (None, True),
    "(1 + 1 / (tau + 1))**(tau + 1)": (1, False),
    "tau / (1 + tau)": (1, False),
    "harmonic(tau + 1) - log(tau + 1)": (1, True),
    "harmonic(tau) - log(tau + 1)": (1, False),
    "gamma(tau + Rational(1, 2)) / gamma(tau + 1)": (1, True),
    "-gamma(tau + Rational(1, 2)) / gamma(tau + 1)": (-1, False),
    "gamma(tau + 1) / gamma(tau + Rational(1, 2))": (1, False),
    "binomial(2 * tau, tau) / 4**tau": (1, True),
    "sqrt(tau) * binomial(2 * tau, tau) / 4**tau": (1, False),
    "binomial(2 * tau, tau) / 3**tau": (1, False),
    "(1 + tau)**(-tau)": (1, True),
    "(1 + tau)**tau": (1, False),
    "exp(-sqrt(tau))": (1, True),
    "log(tau + 2) / (tau + 1)": (1, True),
    "(tau + 1) / log(tau + 2)": (1, False),
}
SETTING = UnderLaw()


def formula_of(source):
    return translated(eval(source, {**vars(sympy), "tau": tau}))


def enclosed(expanded, tau):
    """The ball that an expansion says the value at a staleness lies in."""
    x, total = (arb(1) / tau) ** (arb(1) / expanded.scale.root), arb(0)
    for q, part in expanded.parts.items():
        body = sum((ball(c) * x**k for k, c in enumerate(part.coefficients)), arb(0))
        body += part.rest * x ** len(part.coefficients)
        total += arb(tau).log() ** q * x**part.order * body
    return total


def places(first, name):
    draws = random.Random(name)
    return [first, first + 1, *(int(first * 2 ** draws.uniform(0, 30)) for _ in range(6))]


@pytest.mark.parametrize("first", [8, 100])
@pytest.mark.parametrize("source", FORMULAS)
def test_an_expansion_holds_the_values(source, first):
    formula = formula_of(source)
    with precision(256):
        expanded = expansion(formula, SETTING, scale_of(formula, first))
        for at in places(first, source):
            value = ball(compiled(formula, SETTING)(at))
            said = enclosed(expanded, at)
            assert said.overlaps(value)
            assert said.rad() < max(abs(value), arb(1)) / 4  # it says something, too


@pytest.mark.parametrize("source", MOVING)
def test_steps_and_ratios_hold_those_of_the_values(source):
    formula = signs.resolved(formula_of(source), SETTING, 64)
    scale = scale_of(formula, 64)
    found = 0
    with precision(512):
        for of, expand in (
            (lambda a, b: b - a, step),
            (lambda a, b: (b / a).log(), log_step),
            (lambda a, b: b / a, ratio),
        ):
            try:
                expanded = expand(formula, SETTING, scale)
            except (Unsupported, Undecided):
                continue
            found += 1
            for tau in places(64, source)[:5]:
                if tau < 10**5:
                    now, after = (ball(compiled(formula, SETTING)(at)) for at in (tau, tau + 1))
                    assert enclosed(expanded, tau).overlaps(of(now, after))
    assert found


@pytest.mark.parametrize("source", CONCLUSIONS)
def test_signs_and_falling_are_concluded_where_they_hold_and_nowhere_else(source):
    formula, (sign, falls) = formula_of(source), CONCLUSIONS[source]
    with precision(96):
        concluded = []
        for argument in (signs.falls_by_steps, signs.falls_by_ratios):
            try:
                concluded.append(argument(formula, SETTING, 64))
            except (Undecided, Unsupported):
                continue
        assert any(concluded) == falls
        try:
            found = signs.expanded_sign(formula, SETTING, 64)
        except (Undecided, Unsupported):
            found = None
        assert found == sign


@pytest.mark.parametrize("source", [*MOVING, "binomial(2 * tau, tau)", "sqrt(tau) * log(tau + 1)"])
def test_a_bound_of_the_growth_is_one(source):
    formula = formula_of(source)
    with precision(96):
        bound = growth_bound(formula, SETTING, 16)
        for tau in places(16, source)[:6]:
            if tau < 10**4:
                value = ball(compiled(formula, SETTING)(tau))
                most = bound.scale * arb(1 + tau) ** arb(fmpq(*bound.power.as_integer_ratio()))
                assert not abs(value) > most * (bound.rate * tau).exp() * (1 + arb(2) ** -60)


def test_a_coefficient_that_may_be_0_decides_nothing():
    scale = Scale(64, 1)
    perhaps = Expansion(scale, {0: Series(0, (arb(0, 1), fmpq(1)), arb(0))})
    with pytest.raises(Undecided, match="may be 0"):
        perhaps.sign()
    with pytest.raises(Undecided, match="may be 0"):
        perhaps.raised(fmpq(-1))
    assert Expansion(scale, {0: Series(0, (fmpq(0), fmpq(1)), arb(0))}).sign() == 1
    assert Expansion(scale, {0: Series(0, (fmpq(1),), arb(0, 100))}).exact() is None  # what is left out may be anything


def test_a_remainder_that_may_outweigh_the_first_term_decides_nothing():
    near, far = (Expansion(Scale(n, 1), {0: Series(0, (fmpq(1),), arb(0, 100))}) for n in (64, 128))
    with pytest.raises(Undecided, match="outweigh"):
        near.sign()
    assert far.sign() == 1


def test_powers_of_the_logarithm_are_weighed_where_they_are_largest():
    scale = Scale(64, 1)
    log = staleness(scale).log()
    many = log * log * log
    # (log τ)³ is 72 at 64, and 27e-3/e^... of τ at most from e³ on: 1 - log³/τ is negative at 64 still.
    with pytest.raises(Undecided):
        (constant(fmpq(1), scale) - many * staleness(scale).raised(fmpq(-1))).sign()
    later = Scale(1024, 1)
    log = staleness(later).log()
    less = log * log * log * staleness(later).raised(fmpq(-1))
    assert (constant(fmpq(1), later) - less).sign() == 1  # 333/1024


def test_expansions_of_a_difference_that_is_0_are_exactly_0():
    formula = subtract(formula_of("gamma(tau + 2) / gamma(tau + 1)"), formula_of("tau + 1"))
    scale = scale_of(formula, 16)
    assert ratio(formula_of("gamma(tau + 2) / gamma(tau + 1)"), SETTING, scale).exact() is None
    assert step(formula_of("3 * tau + 2"), SETTING, scale).exact() == 3
    assert step(formula_of("7 * (tau + 1) - 7 * tau"), SETTING, scale).exact() == 0

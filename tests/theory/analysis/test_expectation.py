"""Expectations under laws: enclosures that hold closed forms, exact arithmetic, and sums over far wider ranges."""

import functools
import random
from fractions import Fraction

import mpmath
import pytest
from flint import arb

from theory.analysis.expansions.growth_bounds import growth_bound
from theory.analysis.expectation import Diverges, UnderLaw, expectation, moments
from theory.analysis.pointwise import PointValues
from theory.candidates.loading import loads
from theory.laws.parsing import from_json, parse_law
from theory.numbers.balls import PRECISIONS, ball, precision
from theory.numbers.rationals import as_fmpq

HEAD = "from sympy import *\nfrom theory import tau\n"
INVERSE = "C = 1 / (1 + tau)"
UNBOUNDED = ["poisson:1/1000", "poisson:8", "poisson:300", "geometric:1/8", "geometric:999/1000", "geometric:1/60",
             "negative_binomial:3:1/4", "negative_binomial:1/3:1/20", "cmp:64:2", "cmp:3:1/2",
             "mixture:1/3*poisson:8+2/3*geometric:1/20", "mixture:1/4*constant:400+3/4*poisson:2"]  # fmt: skip


def formula(source):
    return loads(HEAD + source).formula


def mean(source, law):
    with precision(PRECISIONS[0]):
        return ball(expectation(formula(source), UnderLaw(law=law)))


@functools.cache
def probabilities(spec, most):
    """P[T = τ] for τ < most, in mpmath, from the definitions."""
    name, *rest = spec.split(":")
    if name == "mixture":
        total = [mpmath.mpf(0)] * most
        for part in spec.partition(":")[2].split("+"):
            share, _, law = part.partition("*")
            total = [a + rational(share) * b for a, b in zip(total, probabilities(law, most), strict=True)]
        return total
    numbers = [rational(text) for text in rest]
    if name == "constant":
        return [mpmath.mpf(tau == numbers[0]) for tau in range(most)]
    if name == "poisson":
        first, ratio = mpmath.exp(-numbers[0]), lambda t: numbers[0] / (t + 1)
    elif name == "geometric":
        first, ratio = numbers[0], lambda t: 1 - numbers[0]
    elif name == "negative_binomial":
        size, chance = numbers
        first, ratio = chance**size, lambda t: (1 - chance) * (t + size) / (t + 1)
    else:
        first, ratio = mpmath.mpf(1), lambda t: numbers[0] / mpmath.mpf(t + 1) ** numbers[1]
    masses = [first]
    for tau in range(most - 1):
        masses.append(masses[-1] * ratio(tau))
    total = sum(masses) if name == "cmp" else 1
    return [mass / total for mass in masses]


def rational(text):
    value = Fraction(text)
    return mpmath.mpf(value.numerator) / value.denominator


@pytest.fixture(autouse=True)
def _digits():
    with mpmath.workdps(60), precision(PRECISIONS[0]):
        yield


@pytest.mark.parametrize("rate", ["1e-3", "0.01", "0.1", "0.5", "1", "8", "33.3", "1e2", "1e3", "1e4", "1e5"])
def test_the_mean_of_the_inverse_under_poisson_is_its_closed_form(rate):
    enclosure = mean(INVERSE, parse_law(f"poisson:{rate}"))
    with precision(400):
        exact = arb(as_fmpq(Fraction(rate)))
        assert enclosure.contains((1 - (-exact).exp()) / exact)
    assert enclosure.rad() < arb(2) ** -60 * enclosure


@pytest.mark.parametrize("chance", ["1/2", "1/8", "1/1000", "0.999"])
def test_the_mean_of_the_inverse_under_geometric_laws_is_its_closed_form(chance):
    enclosure = mean(INVERSE, parse_law(f"geometric:{chance}"))
    with precision(400):
        p = arb(as_fmpq(Fraction(chance)))
        assert enclosure.contains(-p * p.log() / (1 - p))


@pytest.mark.parametrize("seed", range(20))
def test_under_random_finite_laws_it_is_what_fractions_give(seed):
    rng = random.Random(seed)
    counts = [rng.choice([0, 0, rng.randint(1, 1000)]) for _ in range(rng.randint(1, 40))] + [rng.randint(1, 9)]
    a, b, c = rng.randint(-9, 9), rng.randint(1, 9), rng.randint(1, 9)
    source = f"C = ({a} + {b} * tau - tau**2 / 7) / ({c} + tau)**2 + Mod(tau, 3) / {b} + Abs(tau - {c})"
    known = moments(formula(source), UnderLaw(law=from_json(["counts", counts])))
    exact = [Fraction(0)] * 3
    for tau, n in enumerate(counts):
        value = Fraction(a + b * tau - Fraction(tau**2, 7)) / (c + tau) ** 2 + Fraction(tau % 3, b) + abs(tau - c)
        for place, term in enumerate((value, value**2, tau * value)):
            exact[place] += Fraction(n, sum(counts)) * term
    for enclosed, fraction in zip((known.mean, known.mean_square, known.staleness_mean), exact, strict=True):
        assert ball(enclosed).contains(as_fmpq(fraction))
        assert ball(enclosed).rad() < arb(10) ** -20 * (1 + abs(ball(enclosed)))


@pytest.mark.parametrize("spec", UNBOUNDED)
def test_the_masses_are_those_of_the_definition_and_sum_to_one(spec):
    law = parse_law(spec)
    start, stop = law.window()
    masses = probabilities(spec, max(stop + 200, 450) if "cmp" not in spec else 4000)
    total = arb(0)
    for tau in range(start, stop + 1):
        total += law.mass(tau)
        if tau < len(masses) and tau % max(1, (stop - start) // 200) == 0:
            assert holds(law.mass(tau), masses[tau])
    assert (total + arb(0).union(ball(law.tail_bound(stop, Fraction(0), arb(0))) + law.below_window())).contains(1)


@pytest.mark.parametrize("spec", UNBOUNDED)
@pytest.mark.parametrize("kind", ["strict", "mid", "inclusive"])
def test_distribution_functions_are_sums_of_masses(spec, kind):
    law, most = parse_law(spec), 4000
    masses = probabilities(spec, most)
    before, share = mpmath.mpf(0), {"strict": 0, "mid": mpmath.mpf(1) / 2, "inclusive": 1}[kind]
    for tau in range(most):
        if tau < 60 or tau % 101 == 0:
            assert holds(law.distribution(tau, kind), before + share * masses[tau])
        before += masses[tau]


@pytest.mark.parametrize(("power", "rate"), [(0, 0), (1, 0), (2.5, 0), (6, 0), (0, "1/3000"), (2, "1/3000")])
@pytest.mark.parametrize("spec", UNBOUNDED)
def test_bounds_of_tails_lie_above_a_much_wider_sum(spec, power, rate):
    law = parse_law(spec)
    stop = law.window()[1]
    most = 2 * stop + 500
    masses = probabilities(spec, most)
    for after in (stop, stop + stop // 4 + 8):
        exponent = arb(as_fmpq(Fraction(rate)))
        bound = law.tail_bound(after, Fraction(power), exponent)
        wide = mpmath.fsum(
            masses[i] * mpmath.mpf(1 + i) ** power * mpmath.exp(rational(rate) * i) for i in range(after + 1, most)
        )
        assert number(bound.upper()) >= wide * (1 - mpmath.mpf(10) ** -25)
        assert wide == 0 or number(bound.upper()) < 100 * wide  # and is no idle bound


@pytest.mark.parametrize(
    "source",
    ["C = 3 * tau**2 + 7", "C = sqrt(tau) * log(2 + tau)", "C = exp(tau / 50) * (2 + sin(tau))", "C = (-3)**tau",
     "C = Max(tau, 5) + Min(tau**2, 100)", "C = floor(tau / 3) + Mod(tau, 7)", "C = Abs(tau - 20)**Rational(3, 2)",
     "C = log(Rational(1, 1000) + tau)", "C = 1 / (2 + cos(tau)) - tau",
     "C = Piecewise((tau**3, tau < 40), (tau, True))", "C = 2**(tau / 9 + 3)"],
)  # fmt: skip
@pytest.mark.parametrize("first", [0, 3, 50])
def test_a_growth_bounds_the_values_from_there_on(source, first):
    setting = UnderLaw()
    candidate = loads(HEAD + source)
    bound = growth_bound(candidate.formula, setting, first)
    values = PointValues(candidate.formula, setting)
    for tau in [*range(first, first + 80), first + 1000, first + 5000]:
        above = bound.scale * arb(1 + tau) ** arb(as_fmpq(bound.power))
        assert abs(ball(values.certain(tau))) <= (above * (bound.rate * tau).exp()).upper()


@pytest.mark.parametrize(
    "source", ["C = 2**tau", "C = 3**tau + 2", "C = 2**tau * tau / (1 + tau)", "C = factorial(tau)"]
)
def test_divergence_is_said(source):
    with pytest.raises(Diverges):
        expectation(formula(source), UnderLaw(law=parse_law("geometric:1/2")))


@pytest.mark.parametrize(
    ("source", "expected"), [("C = (19 / 10)**tau", 10), ("C = (-19 / 10)**tau", Fraction(10, 39))]
)
def test_close_to_divergence_the_sum_is_still_enclosed(source, expected):
    enclosure = mean(source, parse_law("geometric:1/2"))  # ½ Σ (±19/20)^i
    assert enclosure.contains(as_fmpq(Fraction(expected)))
    assert enclosure.rad() < arb(2) ** -15


def number(value):
    """A ball's midpoint as mpmath has it, exactly."""
    mantissa, exponent = value.mid().man_exp()
    return mpmath.ldexp(mpmath.mpf(int(mantissa)), int(exponent))


def holds(enclosed, value):
    """Whether a ball holds a number of 60 digits, but for its own rounding."""
    middle = ball(enclosed)
    return (
        abs(number(middle) - value) <= number(middle.rad()) + abs(value) * mpmath.mpf(10) ** -50 + mpmath.mpf(10) ** -55
    )

"""A good function that is changed in one place, and no longer good, is not proved."""

import json

import pytest

from theory.candidates.loading import loads
from theory.decisions.decision import decide
from theory.laws.parsing import from_json, parse_law

HEAD = "from sympy import *\nfrom theory import tau\n"

MUTATIONS = [  # what was flipped, the good function, the condition that changes, the law
    ("sign of a power", "C = (1 + tau) ** (-1)", "C = (1 + tau) ** (+1)", "decreasing", None),
    ("sign of a rate", "C = exp(-tau / 8)", "C = exp(+tau / 8)", "decreasing", "poisson:8"),
    ("sign before F", "def step_size(tau, F): return 1 + (1 - 2 * F)", "def step_size(tau, F): return 1 - (1 - 2 * F)",
     "decreasing", None),
    ("a constant in the 20th digit", "def step_size(tau, F): return 2 - 2 * F",
     "def step_size(tau, F): return 2 - (2 + 1e-20) * F", "magnitude", None),
    ("an inequality", "C = Piecewise((1, tau <= 5), (5 / tau, True))", "C = Piecewise((1, tau >= 5), (5 / tau, True))",
     "defined", None),
    ("an inequality far out", "C = Piecewise((2, tau < 5000), (1, True)) / 2",
     "C = Piecewise((2, tau > 5000), (1, True)) / 2", "decreasing", None),
    ("a constant in an exponent", "C = exp(4) / 2**tau", "C = exp(5) / 2**tau", "magnitude", "poisson:8"),
    ("a constant in front", "C = 9 * 5**(-tau) / 5", "C = 9 * 5**(-tau) / 4", "magnitude", "geometric:1/2"),
    ("a constant in a logarithm", "C = log(2 + tau) / (1 + tau)", "C = log(1 + tau) / (1 + tau)", "positive", None),
    ("a constant at the amplitude", "C = 1 + 1 / (1 + tau)", "C = 1 + 1.001 / (1 + tau)", "amplitude", None),
    ("a base just over the radius", "C = (7 / 5) ** tau", "C = (10 / 7) ** tau", "moments", "geometric:1/2"),
    ("a power of a parity term", "C = 1 / (1 + tau) + (-1)**tau / (10 * (1 + tau) ** 3)",
     "C = 1 / (1 + tau) + (-1)**tau / (10 * (1 + tau) ** 1)", "decreasing", None),
    ("the kind of F", "cdf = 'mid'\ndef step_size(tau, F): return 2 - 2 * F",
     "cdf = 'strict'\ndef step_size(tau, F): return 2 - 2 * F", "magnitude", "counts:[3, 0, 5]"),
    ("the end of a domain", "C = sqrt(5 - tau)\ndomain = (0, 4)", "C = sqrt(5 - tau)\ndomain = (0, 5)", "positive",
     None),
    ("a sum that is 1 but for rounding", "C = tau / 8", "C = tau / (8 + 1e-25)", "magnitude", "poisson:8"),
]  # fmt: skip
NAMES = [m[0] for m in MUTATIONS]


def law_of(spec):
    return from_json(["counts", json.loads(spec[7:])]) if spec.startswith("counts:") else parse_law(spec)


def verdict(source, condition, law):
    return decide(loads(HEAD + source), [law_of(law)] if law else [], limit_s=5)[condition].verdict.value


@pytest.mark.parametrize(("good", "condition", "law"), [m[1:2] + m[3:] for m in MUTATIONS], ids=NAMES)
def test_the_good_function_is_proved(good, condition, law):
    assert verdict(good, condition, law) == "PROVED"


@pytest.mark.parametrize(("bad", "condition", "law"), [m[2:] for m in MUTATIONS], ids=NAMES)
def test_the_changed_function_is_not_proved(bad, condition, law):
    assert verdict(bad, condition, law) != "PROVED"


def test_four_in_five_changes_are_refuted():
    refuted = [verdict(bad, condition, law) == "REFUTED" for _, _, bad, condition, law in MUTATIONS]
    assert sum(refuted) >= 0.8 * len(MUTATIONS)

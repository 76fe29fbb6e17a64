"""Functions that were UNKNOWN once, each beside one that is nearly the same and does not have the property.

As in the corpus, a row has a name, the candidate and, by law, six letters for ``defined``, ``positive``,
``decreasing``, ``magnitude``, ``amplitude`` and ``moments``: P for what is proved, R for what is refuted.
Nothing may be UNKNOWN, and every verdict has passed the check of its own certificate.
"""

import functools
import math
import random
from fractions import Fraction

import pytest

from theory.analysis.pointwise import PointValues
from theory.candidates.loading import loads
from theory.certificates.certificate import confirmed
from theory.decisions.conditions import CONDITIONS
from theory.decisions.decision import decide, question_about
from theory.laws.parsing import parse_law

HEAD = "from sympy import *\nfrom theory import tau\n"
LETTERS = {"PROVED": "P", "REFUTED": "R", "UNKNOWN": "?"}
TAIL = "A = Symbol('A')\ndef step_size(tau, F, A): return 1 + A * (1 - 2 * F)\nparameters = {'A': '%s'}\n"

TABLE = [
    # Parameters: ranges with their ends, and single numbers.
    ("TAIL, 0 < A ≤ 1", TAIL % "(0, 1]", {"every": "PPPPPP", "poisson:8": "PPPPPP", "uniform:0:30": "PPPPPP"}),
    ("TAIL, 0 ≤ A ≤ 1", TAIL % "[0, 1]", {"every": "PPPPPP", "geometric:1/8": "PPPPPP", "constant:3": "PPPPPP"}),
    ("TAIL, A beyond 1", TAIL % "[0, 1.1]", {"every": "PRPPRP", "uniform:0:30": "PRPPRP"}),
    ("TAIL, A of either sign", TAIL % "[-1, 1]", {"every": "PPRPPP", "poisson:8": "PPRPPP"}),
    ("inclusive, A = 1 allowed", TAIL % "[0, 1]" + "cdf = 'inclusive'", {"every": "PRPRPP", "uniform:0:30": "PRPRPP"}),
    ("inclusive, A = 1 excluded", TAIL % "[0, 1)" + "cdf = 'inclusive'", {"every": "PPPRPP", "uniform:0:30": "PPPRPP"}),
    ("A τ with A = 1", "A = Symbol('A')\nC = A * tau\nparameters = {'A': 1}", {"constant:1": "PPRPRP"}),
    ("A τ with A = 1/2", "A = Symbol('A')\nC = A * tau\nparameters = {'A': '[1/2, 1/2]'}", {"uniform:1:3": "PPRPRP"}),
    # Means on finite laws, and means that are nearly 1.
    ("a square of F", "def step_size(tau, F): return 162 * (1 - F)**2 / 53", {"uniform:0:2": "PPPRRP"}),
    ("that square, normalised", "def step_size(tau, F): return 108 * (1 - F)**2 / 35", {"uniform:0:2": "PPPPRP"}),
    ("1 + 1e-40", "C = 1 + Rational(1, 10**40)", {"poisson:8": "PPPRPP", "uniform:0:3": "PPPRPP", "every": "PPPRPP"}),
    ("τ/8 but for 1e-40", "C = (1 + Rational(1, 10**40)) * tau / 8",
     {"poisson:8": "PRRRRP", "geometric:1/9": "PRRRRP"}),
    ("a root but for 1e-40", "C = (1 + Rational(1, 10**40)) * sqrt(tau + 1) / (sqrt(2) + 1) * 2",
     {"uniform:0:1": "PPRRRP"}),
    # Differences, quotients and powers that neither bounds nor composition decide.
    ("difference of roots", "C = sqrt(tau + 1) - sqrt(tau)", {"every": "PPPRPP", "poisson:8": "PPPRPP"}),
    ("difference of roots, turned", "C = 1 + sqrt(tau) - sqrt(tau + 1)", {"every": "PRRRPP"}),
    ("quotient of Γ", "C = gamma(tau + Rational(1, 2)) / gamma(tau + 1)", {"every": "PPPRPP", "poisson:8": "PPPRPP"}),
    ("quotient of Γ, turned", "C = gamma(tau + 1) / gamma(tau + Rational(1, 2))", {"poisson:8": "PPRRRP"}),
    ("central binomial", "C = binomial(2 * tau, tau) / 4**tau", {"every": "PPPRPP", "poisson:8": "PPPRPP"}),
    ("central binomial, rising", "C = binomial(2 * tau, tau) / 3**tau", {"poisson:8": "PPRRRP"}),
    ("(1+τ)^-τ", "C = (1 + tau)**(-tau)", {"every": "PPPRPP", "poisson:8": "PPPRPP"}),
    ("(1+1/n)^(n+1)", "n = tau + 1\nC = (1 + 1 / n)**(n + 1)", {"every": "PPPRRP", "poisson:8": "PPPRRP"}),
    ("(1+1/n)^n", "n = tau + 1\nC = (1 + 1 / n)**n", {"every": "PPRRRP", "poisson:8": "PPRRRP"}),
    ("over harmonic numbers", "C = 1 / (1 + harmonic(tau))", {"every": "PPPRPP", "poisson:8": "PPPRPP"}),
    ("mean of 1/k", "C = harmonic(tau + 1) / (tau + 1)", {"every": "PPPRPP", "poisson:8": "PPPRPP"}),
    ("harmonic less log", "C = harmonic(tau + 1) - log(tau + 1)", {"every": "PPPRPP"}),
    ("harmonic less log, rising", "C = harmonic(tau) - log(tau + 1) + 1", {"every": "PPRRPP"}),
    ("τ/(1+τ)", "C = tau / (1 + tau)", {"every": "PRRRPP", "poisson:8": "PRRRPP"}),
    ("2 - τ/(1+τ)", "C = 2 - tau / (1 + tau)", {"every": "PPPRPP", "poisson:8": "PPPRPP"}),
    ("a share", "c = Symbol('c')\nC = 1 - c * tau / (1 + tau)\nparameters = {'c': (0, 1)}", {"every": "PPPRPP"}),
    ("all of a share", "c = Symbol('c')\nC = 1 - c * tau / (3 + 2 * tau)\nparameters = {'c': '[0, 2]'}",
     {"every": "PPPRPP", "geometric:1/8": "PPPRPP"}),
    ("a share of either sign", "c = Symbol('c')\nC = 1 - c * tau / (1 + tau)\nparameters = {'c': '[-1, 1]'}",
     {"every": "PPRRPP"}),
    # Far domains, and functions that are undefined before theirs.
    ("far 1/τ", "C = 1 / tau\ndomain = (10**9, None)", {"every": "PPPRPP", "uniform:1000000000:1000000002": "PPPRPP"}),
    ("far e", "C = exp(-tau / 10**9)\ndomain = (10**9, None)", {"every": "PPPRPP"}),
    ("far, with a step up", "C = Piecewise((1 / tau, tau < 10**9 + 9), (2 / tau, True))\ndomain = (10**9, None)",
     {"every": "PPRRPP"}),
    # Domains with an end that is far away.
    ("a line down to 1e-6", "C = 1 - tau / (10**6 + 1)\ndomain = (0, 10**6)",
     {"every": "PPPRPP", "uniform:0:1000000": "PPPRPP"}),
    ("a line down to 0", "C = 2 - 2 * tau / 10**6\ndomain = (0, 10**6)", {"every": "PRPRPP"}),
    ("a line down below 0", "C = 1 - tau / (10**6 - 1)\ndomain = (0, 10**6)", {"every": "PRPRRP"}),
    ("1/τ from 1 on", "C = 1 / tau\ndomain = (1, None)", {"every": "PPPRPP", "uniform:1:9": "PPPRPP"}),
    ("1/(τ-2) from 1 on", "C = 1 / (tau - 2)\ndomain = (1, None)", {"every": "RRRRRR"}),
]  # fmt: skip
CASES = [(name, source, law, truth) for name, source, laws in TABLE for law, truth in laws.items()]
IDS = [f"{name} - {law}" for name, _, law, _ in CASES]
read = functools.cache(loads)


@functools.cache
def report_on(source, law):
    return confirmed(decide(read(HEAD + source), [] if law == "every" else [parse_law(law)]))


@pytest.mark.parametrize(("name", "source", "law", "truth"), CASES, ids=IDS)
def test_all_conditions_are_decided_as_worked_out_by_hand(name, source, law, truth):
    report = report_on(source, law)
    verdicts = "".join(LETTERS[report[condition].verdict.value] for condition in CONDITIONS)
    assert verdicts == truth, [f"{c}: {report[c].because}" for c in CONDITIONS]


@pytest.mark.parametrize(("name", "source", "law", "truth"), CASES, ids=IDS)
def test_what_is_proved_of_values_holds_at_random_places(name, source, law, truth):
    """Independent of the arguments: signs and steps at random staleness values, by balls alone."""
    report = report_on(source, law)
    draws = random.Random(name + law)
    for condition, decides in (("positive", lambda value, after: value > 0), ("decreasing", lambda v, a: v >= a)):
        if report[condition].verdict.value != "PROVED" or report.candidate.with_fixed_parameters().parameters:
            continue
        question = question_about(report.candidate, report.laws[0])
        values = PointValues(question.formula, question.setting)
        if not values.is_single:
            continue
        first, last = question.domain
        for _ in range(12):
            tau = first + int(2 ** draws.uniform(0, 12))
            if law != "every" and not parse_law(law).has_mass(tau):
                continue
            if last is not None and tau >= last:
                continue
            value, after = (float(values.certain(at)) for at in (tau, tau + 1))
            if min(abs(value), abs(after)) < 1e-300:
                continue
            assert decides(value, after) or math.isclose(value, after, rel_tol=1e-9)


@pytest.mark.parametrize(("source", "law"), [
    ("C = 2 - tau / (1 + tau)", "every"),
    ("C = sqrt(tau + 1) - sqrt(tau)", "every"),
    ("C = binomial(2 * tau, tau) / 4**tau", "poisson:8"),
    (TAIL % "[0, 1]" + "cdf = 'strict'", "poisson:8"),
    ("C = 1 / tau\ndomain = (1, None)", "every"),
])  # fmt: skip
def test_a_repair_loses_nothing_that_was_proved_of_the_original(source, law):
    report = report_on(source, law)
    (repair,) = report.repairs
    after = {decision.condition: decision.verdict.value for decision in repair.decisions}
    assert all(after[name] == "PROVED" for name in CONDITIONS if name != "amplitude")


def test_a_repair_proves_nothing_of_the_original_again(monkeypatch):
    from theory.decisions import conditions

    asked = []
    for name, of in conditions.CONDITIONS.items():
        monkeypatch.setitem(
            conditions.CONDITIONS, name, lambda q, name=name, of=of: asked.append((name, q.formula)) or of(q)
        )
    candidate = loads(HEAD + "C = 1 / (1 + tau)")
    decide(candidate, [parse_law("poisson:8")])
    again = [name for name, formula in asked if formula != candidate.formula]
    assert sorted(again) == ["amplitude", "moments"]  # the two that a factor changes


def test_a_mean_that_is_off_by_little_is_given_exactly():
    report = report_on("C = (1 + Rational(1, 10**40)) * tau / 8", "poisson:8")
    ((_, finding),) = report["magnitude"].findings
    exact = str(1 + Fraction(1, 10**40))
    assert finding.evidence["counterexample"]["mean"] == [exact, exact]


@pytest.mark.parametrize("interval", ["(0, 1]", "[0, 1]", "[0, 1)"])
def test_a_counterexample_lies_in_the_range_of_its_parameter(interval):
    source = f"b = Symbol('b')\nC = 1 - 2 * b * tau / (1 + tau)\nparameters = {{'b': {interval!r}}}"
    report = report_on(source, "every")
    ((_, finding),) = report["positive"].findings
    value = Fraction(finding.evidence["counterexample"]["parameters"]["b"])
    assert 0 <= value <= 1
    assert interval[0] == "[" or value != 0
    assert interval[-1] == "]" or value != 1

"""A corpus of step-size functions with verdicts that were worked out by hand: none is contradicted, few are left open.

A row has a name, the candidate, a word on why, and for each law six letters: what is true of ``defined``, ``positive``,
``decreasing``, ``magnitude``, ``amplitude`` and ``moments``, P for what holds and R for what does not. The law
``every`` stands for every law. UNKNOWN is allowed anywhere, and counted.
"""

import functools
import json

import pytest
from support.certified_reports import not_certified, share_confirmed

from theory.candidates.loading import loads
from theory.certificates import independent
from theory.decisions.conditions import CONDITIONS
from theory.decisions.decision import decide, question_about
from theory.laws.parsing import from_json, parse_law

HEAD = "from sympy import *\nfrom theory import tau\n"
LETTERS = {"PROVED": "P", "REFUTED": "R", "UNKNOWN": "?"}
LEAST_DECIDED = 0.9
LEAST_CONFIRMED = {True: 0.95, False: 0.96}  # by the second checker: of claims about every law, and of the others

CORPUS = [
    # What SymPy and mpmath say wrongly, or not at all.
    ("pieces", "C = Piecewise((-tau, tau < 1), (10 - tau, True))", "0, then 9", {"every": "PRRRRR"}),
    ("branch of acot", "C = acot(tau - 3)", "negative up to 2, π/2 at 3", {"every": "PRRRRP"}),
    ("cube", "C = tau**3", "rises", {"every": "PRRRRR", "poisson:8": "PRRRRP"}),
    ("minus cube", "C = -(tau**3)", "falls, 0 at 0", {"every": "PRPRRR"}),
    ("slope of either sign", "a = Symbol('a')\nC = a * tau\nparameters = {'a': (-1, 1)}", "a > 0", {"every": "PRRRRR"}),
    ("staircase up", "C = floor(tau / 3)", "rises at 3", {"every": "PRRRRR"}),
    ("staircase down", "C = 2 - floor(tau / 7)", "falls for ever", {"every": "PRPRRR", "uniform:0:13": "PRPRRP"}),
    (
        "sum of rationals",
        "C = 35 * 2**(tau + 1) * tau / ((tau + 2) * (tau + 4) * (tau + 8)) / 4",
        "E[C] = 35/4 Σ n/((n+2)(n+4)(n+8)) = 1, while Σ n²/n³ = ∞",
        {"geometric:1/2": "PRRPRR"},
    ),
    (
        "sum of tenths",
        "C = 9 * 5**(-tau) / 5",
        "E[C] = 9/10 Σ 10^-i = 1",
        {"geometric:1/2": "PPPPPP", "every": "PPPRPP"},
    ),
    ("wide Poisson", "C = tau / 200", "E[τ] = 200", {"poisson:200": "PRRPRP"}),
    ("one in all", "C = 1 + 0 * tau", "1", {"every": "PPPPPP", "poisson:200": "PPPPPP"}),
    ("narrow peak", "C = exp(-((tau - 50) ** 2))", "rises up to 50", {"every": "PPRRPP", "uniform:0:100": "PPRRPP"}),
    (
        "hinge to zero",
        "C = Max(0, 1 - tau / 20)",
        "0 from 20 on; the mean of 1 - i/20 over 0…19 is 21/40",
        {"geometric:1/4": "PRPRPP", "uniform:0:19": "PPPRPP", "uniform:0:20": "PRPRPP"},
    ),
    # Jumps far out, and plateaus.
    (
        "up at 10^5",
        "C = Piecewise((1 / (1 + tau), tau < 10**5), (2 / (1 + tau), True))",
        "1/10^5 < 2/100001",
        {"every": "PPRRPP", "poisson:8": "PPRRPP"},
    ),
    (
        "up at 10^9",
        "C = Piecewise((1 / (1 + tau), tau < 10**9), (2 / (1 + tau), True))",
        "as at 10^5",
        {"every": "PPRRPP", "geometric:1/8": "PPRRPP"},
    ),
    (
        "down at 10^9",
        "C = Piecewise((1, tau < 10**9), (Rational(1, 2), True))",
        "under Poisson's law E[C] < 1 by far less than any computation shows",
        {"every": "PPPRPP", "uniform:0:30": "PPPPPP", "poisson:8": "PPPRPP"},
    ),
    (
        "undefined from 10^9",
        "C = Piecewise((1, tau < 10**9))",
        "no value there",
        {"every": "RRRRRR", "uniform:0:30": "RRRPRP"},
    ),
    (
        "plateau, then a hyperbola",
        "C = Piecewise((1, tau <= 5), (5 / tau, True))",
        "1 up to 5",
        {"every": "PPPRPP", "uniform:0:5": "PPPPPP", "poisson:8": "PPPRPP"},
    ),
    ("a step of 10^-30", "C = Piecewise((1, tau < 8), (1 + 10**-30, True))", "up at 8", {"every": "PPRRPP"}),
    ("threshold", "C = Piecewise((1, tau <= 8), (0, True))", "0 where mass may be",
     {"every": "PRPRPP", "uniform:0:8": "PPPPPP", "constant:9": "PRPRPP", "poisson:8": "PRPRPP"}),
    # Ripples and parity.
    ("ripple", "C = 1 / (1 + tau) + sin(tau) / 10**12", "negative far out", {"every": "PRRRRP"}),
    ("fading ripple", "C = (1 + sin(tau) / 10**12) / (1 + tau)", "rises from about 10^12 on", {"every": "PPRRPP"}),
    ("parity that shows", "C = (2 + (-1) ** tau) / (3 * (1 + tau))", "1/6 < 1/3", {"every": "PPRRPP"}),
    (
        "parity that does not",
        "C = 1 / (1 + tau) + (-1) ** tau / (10 * (1 + tau) ** 3)",
        "1/(n(n+1)) > 2/(10 n³)",
        {"every": "PPPRPP"},
    ),
    ("parity alone", "C = cos(pi * tau)", "1, -1, 1", {"every": "PRRRRP"}),
    ("damped sine", "C = (2 + sin(tau)) / (1 + tau) ** 2", "rises from 5 to 6; 2 at 0", {"every": "PPRRPP"}),
    ("every second one halved", "C = (1 - Mod(tau, 2) / 2) * exp(-tau)", "2/e < 1", {"every": "PPPRPP"}),
    # Factorials.
    ("Poisson's terms", "C = 8**tau / factorial(tau)", "416 at 8", {"every": "PPRRRP"}),
    ("small terms", "C = 2**tau / factorial(tau)", "1, 2, 2, 4/3: the amplitude is reached", {"every": "PPRRPP"}),
    ("one over a factorial", "C = 1 / factorial(tau)", "1, 1, 1/2", {"every": "PPPRPP"}),
    ("Stirling", "C = factorial(tau) / (1 + tau) ** tau", "ratio ((τ+1)/(τ+2))^(τ+1)", {"every": "PPPRPP"}),
    ("a factorial", "C = factorial(tau)", "E[C] = 2e^-1/2, E[C²] = ∞", {"poisson:1/2": "PPRRRR"}),
    ("one over binomials", "C = 1 / binomial(tau + 2, 2)", "1, 1/3, 1/6", {"every": "PPPRPP"}),
    ("ratio of Gammas", "C = gamma(tau + Rational(1, 2)) / gamma(tau + 1)", "√π·(τ+½)/(τ+1)…", {"every": "PPPRPP"}),
    # Roundings.
    ("floors below", "C = 1 / (1 + floor(tau / 10))", "1 up to 9", {"every": "PPPRPP", "uniform:0:9": "PPPPPP"}),
    ("ceilings below", "C = 1 / ceiling((tau + 1) / 7)", "1 up to 6", {"every": "PPPRPP", "uniform:0:6": "PPPPPP"}),
    ("floor of a negative", "C = 3 + floor(-tau / 3)", "3, 2, 2, 2, 1, 1, 1, 0", {"every": "PRPRRR"}),
    ("saw", "C = Mod(tau, 7) / 7 + 1 / 100", "rises to 6", {"every": "PPRRPP"}),
    ("halves", "C = 1 + frac(tau / 2)", "1, 3/2, 1", {"every": "PPRRPP", "constant:4": "PPRPPP"}),
    # Beyond doubles.
    ("overflow", "C = 10**400 * exp(-tau) / (10**400 + tau)", "both factors fall", {"every": "PPPRPP"}),
    ("saturation", "C = exp(300 * tau) / (1 + exp(300 * tau))", "1/2, then nearly 1, rising", {"every": "PPRRPP"}),
    ("1e400 as written", "C = 1e400 / (1e400 + tau)", "just below 1", {"every": "PPPRPP", "poisson:8": "PPPRPP"}),
    ("slow", "C = 1 / (1 + tau / 10**30)", "falls", {"every": "PPPRPP"}),
    ("nearly one", "C = 1 + 10**-15 + 0 * tau", "not 1", {"every": "PPPRPP", "poisson:8": "PPPRPP"}),
    # Between the integers.
    (
        "a bump between integers",
        "C = Piecewise((5, (tau > 1/3) & (tau < 2/3)), (1 / (1 + tau), True))",
        "no integer there",
        {"every": "PPPRPP"},
    ),
    ("a pole at 1/2", "C = 1 / (2 * tau - 1) ** 2", "1, 1, 1/9", {"every": "PPPRPP"}),
    ("a pole at 7/2", "C = 1 / (tau - Rational(7, 2)) ** 2", "4 at 3 and at 4", {"every": "PPRRRP"}),
    ("a valley", "C = 1 / (tau**2 - 50 * tau + 626)", "1 at 25", {"every": "PPRRPP", "uniform:0:30": "PPRRPP"}),
    ("from the peak on", "C = 1 / (tau**2 - 50 * tau + 626)\ndomain = (25, None)", "falls", {"every": "PPPRPP"}),
    # Undefined values.
    (
        "infinite at 0",
        "C = Piecewise((oo, tau < 1), (1 / tau, True))",
        "no mass at 0 under the others",
        {"every": "RRRRRR", "constant:1": "RRRPRP", "constant:3": "RRRRRP"},
    ),
    ("one over tau", "C = 1 / tau", "1/0", {"every": "RRRRRR", "constant:1": "RRRPRP", "poisson:8": "RRRRRR"}),
    ("a pole far out", "C = 1 / (tau - 700000)", "1/0", {"every": "RRRRRR", "constant:3": "RRRRRP"}),
    (
        "0/0 far out",
        "C = (tau**2 / 10**6 - 10**8) / ((tau / 1000 - 10**4) * (tau / 1000 + 10**4))",
        "0/0 at 10^7, elsewhere 1",
        {"every": "RRRRRR", "uniform:0:30": "RRRPRP"},
    ),
    ("a logarithm of 0", "C = log(tau)", "-∞ at 0", {"every": "RRRRRR"}),
    ("imaginary", "C = (-1) ** (tau / 2)", "i at 1", {"every": "RRRRRR"}),
    ("a root that ends", "C = sqrt(5 - tau)", "Σ√i/6 > 1", {"every": "RRRRRR", "uniform:0:5": "RRRRRP"}),
    ("a root on its domain", "C = sqrt(5 - tau)\ndomain = (0, 5)", "0 at 5, √5 > 2", {"uniform:0:5": "PRPRRP"}),
    # Logarithms, roots, exponentials.
    ("a logarithm", "C = log(1 + tau)", "0, rising", {"every": "PRRRRR", "poisson:8": "PRRRRP"}),
    ("one over a root", "C = 1 / sqrt(1 + tau)", "falls", {"every": "PPPRPP", "negative_binomial:3:1/4": "PPPRPP"}),
    ("a third root", "C = (1 + tau) ** Rational(-1, 3)", "falls", {"every": "PPPRPP", "uniform:0:30": "PPPRPP"}),
    ("one over a logarithm", "C = 1 / log(2 + tau)", "falls from 1.44", {"every": "PPPRPP"}),
    ("twice a logarithm", "C = 1 / log(log(tau + 16))", "falls", {"every": "PPPRPP"}),
    ("log over linear", "C = log(2 + tau) / (1 + tau)", "0.69, 0.55", {"every": "PPPRPP"}),
    ("difference of roots", "C = sqrt(tau + 1) - sqrt(tau)", "1/(√(τ+1) + √τ)", {"every": "PPPRPP"}),
    ("exponential of exponential", "C = exp(-exp(tau))", "falls", {"every": "PPPRPP", "poisson:8": "PPPRPP"}),
    ("three exponentials", "C = exp(-exp(exp(tau)))", "falls", {"every": "PPPRPP"}),
    ("exponential of a falling one", "C = exp(exp(-tau))", "e > 2 at 0", {"every": "PPPRRP"}),
    ("Gompertz", "C = 1 - exp(-exp(-tau))", "falls", {"every": "PPPRPP", "geometric:1/8": "PPPRPP"}),
    ("Gauss", "C = exp(tau - tau**2)", "1, 1, e^-2", {"every": "PPPRPP"}),
    ("logistic", "C = 1 / (1 + exp((tau - 50) / 5))", "falls", {"every": "PPPRPP", "poisson:8": "PPPRPP"}),
    ("tanh", "C = 1 - tanh(tau / 10)", "falls", {"every": "PPPRPP"}),
    ("arc tangent", "C = 1 - 2 * atan(tau) / pi", "atan < π/2", {"every": "PPPRPP"}),
    ("hump", "C = tau**2 * exp(-tau)", "0, 0.37, 0.54", {"every": "PRRRPP", "poisson:8": "PRRRPP"}),
    ("flat at 0", "C = exp(-tau) * (1 + tau + tau**2 / 2)", "slope -τ²e^-τ/2", {"every": "PPPRPP"}),
    ("a power of tau below", "C = (1 + tau) ** (-tau)", "1, 1/2, 1/9", {"every": "PPPRPP"}),
    ("a quotient", "C = (1 + tau) / (2 + 3 * tau)", "1/2, 2/5, → 1/3", {"every": "PPPRPP"}),
    ("a telescope", "C = 1 + 1 / (1 + tau) - 1 / (2 + tau)", "1 + 1/((1+τ)(2+τ))", {"every": "PPPRPP"}),
    # Shared boundaries.
    ("a tie of two", "C = Min(1, 5 / (1 + tau))", "1 up to 4", {"every": "PPPRPP", "uniform:0:4": "PPPPPP"}),
    ("a floor under it", "C = Max(1 / (1 + tau), 1 / 5)", "1/5 from 4 on", {"every": "PPPRPP", "constant:0": "PPPPPP"}),
    ("pieces that meet", "C = Piecewise((6 - tau, tau <= 5), (1, True)) / 6", "1/6 at 5 and 6", {"every": "PPPRPP"}),
    ("Heaviside", "C = 1 - Heaviside(tau - 5) / 2", "1, 3/4, 1/2", {"every": "PPPRPP", "uniform:0:4": "PPPPPP"}),
    ("the amplitude is reached", "C = 1 + 1 / (1 + tau)", "2 at 0", {"every": "PPPRPP"}),
    ("just below it", "C = 1 + 1 / (1 + tau)\namplitude = 0.999", "2 at 0", {"every": "PPPRRP"}),
    ("approached, not reached", "C = 1 / (1 + tau)\namplitude = 1", "0 is the limit", {"every": "PPPRPP"}),
    ("below the limit", "C = 1 / (1 + tau)\namplitude = 0.999", "beyond 999", {"every": "PPPRRP"}),
    ("zero", "C = 0 * tau", "0; |0 - 1| = 1", {"every": "PRPRPP", "poisson:8": "PRPRPP"}),
    ("minus one", "C = 0 * tau - 1", "-1", {"every": "PRPRRP"}),
    # Domains and laws with gaps.
    ("good on its domain", "C = Piecewise((1 / (1 + tau), tau <= 10), (5, True))\ndomain = (0, 10)", "5 is outside",
     {"every": "PPPRPP", "uniform:0:10": "PPPRPP"}),
    ("one too far", "C = Piecewise((1 / (1 + tau), tau <= 10), (5, True))\ndomain = (0, 11)", "5 at 11",
     {"every": "PPRRRP"}),
    ("to the mean of its law", "C = 2 * tau / 15\ndomain = (0, 15)", "0…2, mean 1", {"uniform:0:15": "PRRPPP"}),
    ("zero in the gap", "C = Piecewise((1, tau < 1), (0, tau < 3), (1, True))", "no mass at 1 and 2",
     {"counts:[1, 0, 0, 1]": "PPRPPP", "counts:[1, 1, 0, 1]": "PRRRPP"}),
    ("negative in the gap", "C = Piecewise((1, tau < 1), (-1, tau < 3), (1, True))", "in the domain all the same",
     {"counts:[1, 0, 0, 1]": "PRRPRP"}),
    # Sums that diverge, or nearly.
    ("too fast", "C = 3**tau + 2", "formally E[C] = 1 at p = 1/2", {"geometric:1/2": "PPRRRR", "poisson:1": "PPRRRP"}),
    ("first moment alone", "C = 2**tau / (1 + tau) ** 2", "E[C] = π²/12, E[C²] = ∞", {"geometric:1/2": "PPRRRR"}),
    ("linear", "C = tau / 8", "E[τ] = 8 or 7",
     {"poisson:8": "PRRPRP", "geometric:1/8": "PRRRRP", "geometric:1/9": "PRRPRP"}),
    ("a mixture", "C = 2 * tau / 11", "E[τ] = 11/2", {"mixture:1/2*poisson:8+1/2*constant:3": "PRRPRP"}),
    # F.
    ("TAIL", "def step_size(tau, F): return 2 - 2 * F", "E[F_mid] = 1/2",
     {"every": "PPPPPP", "poisson:8": "PPPPPP", "counts:[1, 0, 1]": "PPPPPP", "uniform:2:9": "PPPPPP"}),
    ("TAIL, strict", "cdf = 'strict'\ndef step_size(tau, F): return 2 - 2 * F", "E[F] < 1/2",
     {"every": "PPPRPP", "counts:[1, 0, 1]": "PPPRPP", "geometric:1/8": "PPPRPP"}),
    ("TAIL, inclusive", "cdf = 'inclusive'\ndef step_size(tau, F): return 2 - 2 * F", "F = 1 at the last",
     {"every": "PRPRPP", "counts:[1, 0, 1]": "PRPRPP", "poisson:8": "PPPRPP"}),
    ("a bump in F", "def step_size(tau, F): return 6 * F * (1 - F)", "3/2 under one point",
     {"every": "PPRRPP", "constant:3": "PPRRPP"}),
    ("a square of F", "def step_size(tau, F): return 4 * (1 - F**2) / 3", "1 under one point, else E[F²] > 1/4",
     {"every": "PPPRPP", "constant:3": "PPPPPP", "counts:[1, 1]": "PPPRPP"}),
    ("hidden in |F|", "def step_size(tau, F): return 1 + Abs(F - 1/3) * (F - 1/2)", "not affine",
     {"every": "PPRRPP", "poisson:8": "PPRRPP"}),
    # Parameters.
    ("a rate", "b = Symbol('b')\nC = exp(-b * tau)\nparameters = {'b': (0, None)}", "falls",
     {"every": "PPPRPP", "poisson:8": "PPPRPP"}),
    ("two parameters", "a, b = symbols('a b')\nC = (1 + a * tau) ** (-b)\n"
     "parameters = {'a': (0, None), 'b': (0, None)}", "falls", {"every": "PPPRPP"}),
    ("scale and rate", "a, b = symbols('a b')\nC = a * exp(-b * tau)\nparameters = {'a': (0, 3), 'b': (0, 1)}",
     "a > 2 is allowed", {"every": "PPPRRP"}),
    ("a share", "c = Symbol('c')\nC = 1 - c * tau / (1 + tau)\nparameters = {'c': (0, 1)}", "falls",
     {"every": "PPPRPP"}),
    ("three parameters", "a, b, c = symbols('a b c')\nC = c / (1 + a * tau) ** b\n"
     "parameters = {'a': (1, 2), 'b': (1, 3), 'c': 1}", "falls", {"every": "PPPRPP", "uniform:0:30": "PPPRPP"}),
]  # fmt: skip

CASES = [(name, source, law, truth) for name, source, _, laws in CORPUS for law, truth in laws.items()]
seen: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
uncertified: dict[tuple[str, str], list[str]] = {}


def law_of(spec):
    return from_json(["counts", json.loads(spec[7:])]) if spec.startswith("counts:") else parse_law(spec)


@functools.cache
def candidate(source):
    return loads(HEAD + source)


def findings(name, source, law):
    """For each condition the verdict's letter and the reason; computed once."""
    if (name, law) not in seen:
        report = decide(candidate(source), [] if law == "every" else [law_of(law)], limit_s=3)
        uncertified[name, law] = not_certified(report)
        seen[name, law] = [(LETTERS[report[c].verdict.value], c, report[c].because) for c in CONDITIONS]
    return seen[name, law]


@pytest.mark.parametrize(("name", "source", "law", "truth"), CASES, ids=[f"{case[0]} - {case[2]}" for case in CASES])
def test_no_verdict_contradicts_what_was_worked_out_by_hand(name, source, law, truth):
    wrong = [
        f"{condition}: {said}, in truth {true}: {because}"
        for true, (said, condition, because) in zip(truth, findings(name, source, law), strict=True)
        if said not in (true, "?")
    ]
    assert not wrong, f"{name} under {law}: {wrong}"
    assert not uncertified[name, law]  # and the certificate of every verdict is accepted


def test_nine_in_ten_are_decided(record_property, capsys):
    cells = [(name, law, *cell) for name, source, law, _ in CASES for cell in findings(name, source, law)]
    undecided = [f"{name} | {law} | {condition}: {why}" for name, law, said, condition, why in cells if said == "?"]
    record_property("undecided", undecided)
    with capsys.disabled():
        print(f"\n{len(cells) - len(undecided)} of {len(cells)} decided; undecided:\n  " + "\n  ".join(undecided))
    assert 1 - len(undecided) / len(cells) >= LEAST_DECIDED


@pytest.mark.parametrize("about_every_law", LEAST_CONFIRMED)
def test_nearly_all_claims_are_confirmed_by_the_second_checker(about_every_law):
    for name, source, law, _ in CASES:
        findings(name, source, law)
    assert share_confirmed(about_every_law) >= LEAST_CONFIRMED[about_every_law]


def test_what_is_false_is_confirmed_by_no_argument_of_the_second_checker(monkeypatch):
    monkeypatch.setattr(independent, "probe", lambda *_: None)  # which would find most of it before
    wrong = []
    for name, source, law, truth in CASES:
        if law == "every":
            question = independent.Question(question_about(candidate(source), None).to_json())
            for condition in [condition for condition, true in zip(CONDITIONS, truth, strict=True) if true == "R"]:
                claim = {"condition": condition, "verdict": "PROVED", "evidence": {}}
                wrong += [(name, condition)] * (independent.judge(question, claim)[0] == independent.CONFIRMED)
    assert wrong == []

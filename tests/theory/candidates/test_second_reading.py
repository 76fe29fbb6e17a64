"""The kind: a formula that is not the function which its file computes. Each file is read twice, the second time at
single integers, and what it may declare is checked against what SymPy was told."""

import math
from fractions import Fraction

import pytest
from flint import fmpq

from theory.candidates import second_reading
from theory.candidates.candidate import CandidateError
from theory.candidates.loading import loads, with_parameters
from theory.decisions.decision import decide
from theory.formulas.formula import TAU, F, Formula, add, divide, number, subtract
from theory.laws.parsing import parse_law
from theory.numbers import ranges
from theory.numbers.ranges import Range

HEAD = "from sympy import *\nfrom theory import tau\n"


def verdicts(source, *laws):
    report = decide(loads(HEAD + source), [parse_law(law) for law in laws])
    return {decision.condition: decision.verdict.value for decision in report.decisions}


def test_a_remainder_that_sympy_turns_into_another_is_not_decided_on():
    # Mod(2*Mod(τ, 3), 5) is 0, 2, 4 at 0, 1, 2; SymPy 1.14 makes Mod(2*Mod(τ, 3)**2, 5) of it: 0, 2, 3.
    candidate = loads(HEAD + "C = Piecewise((Rational(4, 3) - Mod(2 * Mod(tau, 3), 5) / 5, True))")
    if candidate.formula is None:  # SymPy that reads it rightly needs no second reading
        assert "read twice" in candidate.untranslatable
        assert "C(2)" in candidate.untranslatable
    assert "PROVED" not in set(verdicts("C = 1 + 0*tau + Mod(2*Mod(tau, 3), 5) - Mod(2*Mod(tau, 3)**2, 5)").values())


@pytest.mark.parametrize(
    ("source", "formula", "place"),
    [
        ("C = 1 / (1 + tau)", TAU, "C(0) = 1"),
        ("C = Piecewise((1, tau < 150), (2, True))", number(1), " = 2"),
        ("C = Piecewise((1, tau < 5000), (2, True))", number(1), " = 2"),
        ("def step_size(tau, F): return 2 - 2 * F", subtract(number(2), F), "F = 1/7"),
        (
            "C = 1 / (tau - 7)",
            ("where", ("equal", TAU, number(7)), number(1), divide(number(1), add(TAU, number(-7)))),
            "C(7)",
        ),
        ("C = exp(-tau)", ("exp", ("product", number(Fraction(-1001, 1000)), TAU)), "C(1)"),
    ],
)
def test_every_difference_is_named_with_its_place(source, formula: Formula, place):
    difference = second_reading.difference(HEAD + source, "c.py", formula, {}, (0, None))
    assert difference is not None
    assert place in difference.text


def test_parameters_are_read_at_values_inside_their_ranges():
    source = HEAD + "b = Symbol('b')\nC = exp(-b * tau)"
    wrong = ("exp", ("product", number(-1), TAU))
    difference = second_reading.difference(source, "c.py", wrong, {"b": ranges.point(2)}, (0, None))
    assert difference is not None
    assert "b = 2" in difference.text


@pytest.mark.parametrize(
    "source",
    [
        "C = 2**(2**tau) / 2**(2**tau)",
        "C = factorial(tau) / factorial(tau + 1)",
        "C = exp(-tau**2)",
        "C = 1 / tau",
        "C = sin(tau)**2 + cos(tau)**2",
        "C = sqrt(tau + 1) - sqrt(tau)",
        "C = 1e-320 * tau",
        "print('loaded')\nC = 1 + 0 * tau",
        "def step_size(tau, F): return -log(F)",
        "from theory.formulas.from_sympy import mean\nC = (1 + tau) / mean(1 + tau)",
    ],
)
def test_what_is_read_rightly_is_not_suspected(source):
    assert loads(HEAD + source).untranslatable is None


def test_the_second_reading_ends_when_its_time_is_up(monkeypatch):
    source = HEAD + "C = Piecewise((1, tau < 150), (2, True))"
    assert second_reading.difference(source, "c.py", number(1), {}, (0, 160)) is not None
    monkeypatch.setattr(second_reading, "LIMIT_S", -1.0)  # τ = 0 is always read
    assert second_reading.difference(source, "c.py", number(1), {}, (0, 160)) is None


def test_what_a_file_prints_is_printed_once(capsys):
    loads(HEAD + "print('loaded')\nC = 1 / (1 + tau)")
    assert capsys.readouterr().out == "loaded\n"


@pytest.mark.parametrize(
    "statement", ["w /= 49", "w = w / 49", "w **= -1\nw *= 1 / 1", "a = [w]\na[0] /= 49\nw = a[0]"]
)
def test_assignments_that_divide_are_exact(statement):
    value = Fraction(1, 49) if "49" in statement else Fraction(1, 3)
    assert loads(HEAD + f"w = {1 if '49' in statement else 3}\n{statement}\nC = w + 0 * tau").formula == number(value)


@pytest.mark.parametrize("infinite", ["Symbol('b') < oo", "-oo < Symbol('b')", "exp(Symbol('b')) < oo"])
def test_an_infinity_in_a_condition_is_no_undefined_value(infinite):
    source = f"C = Piecewise((1, {infinite}), (2, True)) + 0 * tau\nparameters = {{'b': (0, 1)}}"
    assert "REFUTED" not in set(verdicts(source).values())


@pytest.mark.parametrize(
    ("symbol", "known", "word"),
    [
        ("positive=True", (0, 1), None),
        ("positive=True", (-1, 1), "positive"),
        ("extended_positive=True", (-1, 1), "negative"),
        ("zero=False", (-1, 1), "nonzero"),
        ("imaginary=True", (0, 1), "declared"),
        ("integer=True", (0, 3), "integer"),
        ("integer=True", 3, None),
        ("even=True", 3, "even"),
        ("real=True", (-1, 1), None),
        ("prime=True", 4, "prime"),
    ],
)
def test_assumptions_hold_throughout_the_range(symbol, known, word):
    # The symbol may be simplified away: sign(b) is 1 for a positive b.
    for use in ("b * tau", "1 + 0 * tau"):
        source = HEAD + f"b = Symbol('b', {symbol})\nC = {use}\nparameters = {{'b': {known!r}}}"
        if word is None:
            loads(source)
        else:
            with pytest.raises(CandidateError, match=rf"b is declared .*{word}|b is declared"):
                loads(source)


@pytest.mark.parametrize(
    "source",
    [
        "ab = symbols('a b', positive=True)\nC = 1 / (1 + ab[0] * tau) + 1 - Abs(ab[1]) / ab[1]",
        "def step_size(tau):\n    return sign(Symbol('b', positive=True)) / (1 + tau)",
        "kept = {'b': Symbol('b', nonnegative=True)}\nC = Abs(kept['b']) / kept['b'] / (1 + tau)",
        "C = sqrt(Symbol('b', positive=True)**2) / Symbol('b', real=True) / (1 + tau)",
        "C = sign(Dummy('b', positive=True)) / (1 + tau)",
    ],
)
def test_assumptions_of_symbols_that_are_kept_elsewhere_or_simplified_away_are_checked_too(source):
    with pytest.raises(CandidateError, match="b is declared"):
        loads(HEAD + f"{source}\nparameters = {{'a': (1, 2), 'b': (-2, -1)}}")


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("positive", (1, 2)), ("negative", (-2, -1)), ("nonnegative", (0, 2)), ("nonpositive", (-2, 0)),
        ("nonzero", (1, 2)), ("nonzero", (-2, -1)), ("real", (-1, 1)), ("finite", (-1, 1)), ("extended_real", (-1, 1)),
        ("extended_negative", (-2, -1)), ("complex", (-1, 1)), ("negative", -3), ("rational", "1/2"),
    ],
)  # fmt: skip
def test_assumptions_that_hold_are_taken(word, known):
    loads(HEAD + f"b = Symbol('b', {word}=True)\nC = 1 / (1 + b * b * tau)\nparameters = {{'b': {known!r}}}")


def test_assumptions_hold_for_what_the_command_line_sets():
    candidate = loads(HEAD + "b = Symbol('b', positive=True)\nC = Abs(b) * tau\nparameters = {'b': (0, 1)}")
    assert with_parameters(candidate, {"b": ranges.point(3)}).formula is not None
    with pytest.raises(CandidateError, match="declared positive"):
        with_parameters(candidate, {"b": ranges.point(-3)})


SEVENTH = "(u - Rational(1, 7))"  # no share that a distortion is read at


@pytest.mark.parametrize(
    "distortion",
    [
        f"u * {SEVENTH} / {SEVENTH} + Piecewise((1 / {SEVENTH}, u > 2), (0, True))",  # a case that never holds
        f"u + {SEVENTH}**3 / {SEVENTH} / 100",  # a square is left, which divides by nothing
        f"u + Abs({SEVENTH})**(2 * b) / Abs({SEVENTH})**b / 100",
    ],
)
def test_a_power_that_is_left_is_no_division_that_was_cancelled(distortion):
    source = f"def distortion(u, b):\n    return {distortion}\nparameters = {{'b': '[1, 2]'}}"
    assert set(verdicts(source).values()) == {"UNKNOWN"}


def test_no_divisor_is_left_out_among_many():
    source = f"def distortion(u):\n    x = [1 / (u + k) for k in range(1, 99)]\n    return u * {SEVENTH} / {SEVENTH}"
    assert not loads(HEAD + source).is_readable


@pytest.mark.parametrize(
    "g",
    [
        "u**b",
        "1 - (1 - u**b)**(2 * b)",
        "u**b / (u**b + (1 - u)**b)",
        "u**(1 / b)",
        "(1 + u)**(b - 1)",
        "u**(u - 1 / 2)",
        "u**(b - 3 / 2)",
    ],
)
def test_powers_of_the_argument_are_read(g):
    source = f"def distortion(u, b):\n    return {g}\nparameters = {{'b': '[1, 2]'}}"
    assert loads(HEAD + source).distortion is not None


def test_what_is_raised_to_the_staleness_divides_by_nothing():
    candidate = loads(HEAD + "C = (1 - Symbol('b'))**tau\nparameters = {'b': '[0, 1]'}")
    assert candidate.formula is not None
    assert with_parameters(candidate, {"b": ranges.point(1)}).formula is not None


def test_what_a_file_divides_by_is_looked_at_in_the_range_that_is_set():
    source = "a = Symbol('a', real=True)\nC = (tau - a) / (tau - a)\ndomain = (0, 10)\nparameters = {'a': (20, 30)}"
    candidate = loads(HEAD + source)
    assert candidate.is_readable  # never 0 in the file's own range
    assert not with_parameters(candidate, {"a": Range(fmpq(26, 5), fmpq(61, 10))}).is_readable  # 0/0 for a = τ = 6


@pytest.mark.parametrize("name", ["distributions", "Domain", "laws", "params", "amplitudes", "CDF", "stepsize"])
def test_a_declaration_that_does_not_exist_is_refused(name):
    with pytest.raises(CandidateError, match=f"candidate.py:3: {name} is no declaration"):
        loads(HEAD + f"{name} = 1\nC = 1 + 0 * tau")


def test_a_name_that_is_used_is_no_declaration():
    assert loads(HEAD + "law = 3\nDomain = (0, law)\ndomain = Domain\nC = 1 + 0 * tau").domain == (0, 3)


@pytest.mark.parametrize("name", ["tau", "F", "mean", "F(τ)", "pi", "τ", "π"])
def test_no_parameter_has_a_name_of_the_checker(name):
    with pytest.raises(CandidateError, match="named by an identifier"):
        loads(HEAD + f"C = 1 + 0 * tau\nparameters = {{{name!r}: 1}}")


@pytest.mark.parametrize("written", ["1e999999999", "1" * 5_000, "1e-99999", "2/0"])
def test_each_number_is_of_a_size_that_is_taken(written):
    with pytest.raises(ValueError, match=r"digits|divides"):
        parse_law(f"poisson:{written}")
    with pytest.raises(CandidateError, match="digits"):
        loads(HEAD + f"C = 1 + 0 * tau\namplitude = {written!r}")


def test_long_numbers_in_the_file_itself_are_refused():
    with pytest.raises(CandidateError, match=r"too long|digits"):
        loads(HEAD + "C = 1e999999999 + 0 * tau")
    with pytest.raises(CandidateError, match="too long"):
        loads(HEAD + "C = 10**10**9 + 0 * tau")
    assert math.isclose(float(loads(HEAD + "C = 1e300 + 0 * tau").formula[1]), 1e300)

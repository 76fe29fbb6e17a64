"""Candidate files: what is taken, exactly as written, and what is refused in one line with file and line number."""

from fractions import Fraction

import pytest
from flint import fmpq

from theory.candidates.candidate import CandidateError
from theory.candidates.loading import load, loads
from theory.formulas.writing import from_json, text, to_json
from theory.laws import parsing

HEAD = "from theory import tau\nimport sympy\n"


def test_an_expression_and_a_function_are_the_same_candidate():
    expression = loads(HEAD + "C = 1 / (1 + tau)")
    function = loads("def step_size(tau):\n    return 1 / (1 + tau)")
    assert expression.formula == function.formula
    assert text(expression.formula) == "1/(1 + τ)"


@pytest.mark.parametrize("written", ["0.1", "1/10", "1e-1", "0.10"])
def test_decimals_are_taken_as_they_are_written(written):
    candidate = loads(HEAD + f"C = {written} + 0 * tau")
    assert candidate.formula == ("number", Fraction(1, 10))


def test_what_a_file_says_beside_its_function_is_taken():
    candidate = loads(
        HEAD + "beta = sympy.Symbol('beta')\nC = sympy.exp(-beta * tau)\nparameters = {'beta': (0, 2.5)}\n"
        "cdf = 'strict'\ndomain = (0, 100)\namplitude = 0.5\ndistribution = ['constant:3', 'uniform:0:9']"
    )
    assert candidate.domain == (0, 100)
    assert candidate.amplitude == Fraction(1, 2)
    assert candidate.cdf == "strict"
    assert [str(law) for law in candidate.laws] == ["constant:3", "uniform:0:9"]
    beta = candidate.parameters["beta"]
    assert (beta.low, beta.high, beta.low_open, beta.high_open) == (0, fmpq(5, 2), True, True)


@pytest.mark.parametrize(
    ("source", "line", "word"),
    [
        ("C = (1 +", 1, "syntax error"),
        (HEAD + "x = tau", None, "no candidate"),
        (HEAD + "C = 1 / tau\ndef step_size(tau):\n    return tau", None, "not both"),
        (HEAD + "C = 'hello'", 3, "SymPy expression"),
        (HEAD + "C = [1, 2]", 3, "SymPy expression"),
        (HEAD + "C = True", 3, "SymPy expression"),
        (HEAD + "C = sympy.Symbol('q') ** tau", 3, "symbol q"),
        (HEAD + "C = sympy.exp(-sympy.Symbol('tau'))", 3, "from theory import tau"),
        (HEAD + "C = 1 - sympy.Symbol('F')", 3, "step_size(tau, F)"),
        ("def step_size():\n    return 1", 1, "step_size(tau)"),
        ("def step_size(tau, law):\n    return tau", 1, "step_size(tau)"),
        ("def step_size(*args):\n    return 1", 1, "step_size(tau)"),
        ("def step_size(tau):\n    for step in range(tau):\n        return 0\n    return 1", 2, "TypeError"),
        ("import math\ndef step_size(tau):\n    return math.exp(-tau)", 3, "TypeError"),
        ("raise SystemExit(0)", 1, "SystemExit"),
        (HEAD + "C = 1 / (1 + tau)\ncdf = 'middle'", None, "cdf must be one of"),
        (HEAD + "C = 1 / (1 + tau)\ndomain = (3, 1)", None, "domain"),
        (HEAD + "C = 1 / (1 + tau)\ndomain = 7", None, "domain"),
        (HEAD + "C = 1 / (1 + tau)\namplitude = -1", None, "amplitude"),
        (HEAD + "C = 1 / (1 + tau)\ndistribution = 'poisson:-3'", None, "LAMBDA must be > 0"),
        (HEAD + "C = 1 / (1 + tau)\ndistribution = 'poisson:3'\ndomain = (0, 9)", None, "outside the domain"),
        (HEAD + "b = sympy.Symbol('b', positive=True)\nC = b ** -tau\nparameters = {'b': (-1, 1)}", 4, "positive"),
        (HEAD + "C = 1 / (1 + tau)\nparameters = {'b': (2, 1)}", None, "empty"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(source, line, word):
    with pytest.raises(CandidateError) as caught:
        loads(source, "my_fn.py")
    message = str(caught.value)
    assert message.startswith("my_fn.py" if line is None else f"my_fn.py:{line}:")
    assert word in message
    assert "\n" not in message


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(CandidateError, match=r"nowhere\.py"):
        load("nowhere.py")


@pytest.mark.parametrize("spec", ["jasgd.rules:tale", "jasgd.rules:power:exponent=x", "jasgd.rules:hinge:grace"])
def test_an_unknown_rule_or_option_is_refused(spec):
    with pytest.raises(CandidateError, match=r"jasgd\.rules:"):
        load(spec)


def test_what_the_checker_has_no_words_for_is_said_and_not_guessed():
    candidate = loads(HEAD + "C = sympy.erfc(tau)")
    assert candidate.formula is None
    assert "erfc" in candidate.untranslatable


def test_formulas_survive_json():
    formula = loads(
        HEAD + "C = sympy.Piecewise((sympy.Min(2, tau), tau < 5), (sympy.floor(tau / 2) ** -1, True))"
    ).formula
    assert from_json(to_json(formula)) == formula


@pytest.mark.parametrize("data", [["sum", ["tau"]], ["number", "2/4"], ["eval", "1"], "tau", ["tau", ["tau"]], [1]])
def test_what_is_no_formula_is_refused(data):
    with pytest.raises(ValueError, match=r"formula|operands|number"):
        from_json(data)


@pytest.mark.parametrize(
    "spec",
    ["poisson", "poisson:x", "poisson:1:2", "geometric:0", "geometric:3/2", "uniform:5:2", "uniform:0:0.5",
     "constant:-1", "cmp:2:0", "negative_binomial:0:1/2", "gauss:1", "counts:nowhere.json", "counts:README.md",
     "mixture:1/2*poisson:3", "mixture:poisson:3", "poisson:1e300"],
)  # fmt: skip
def test_a_bad_law_is_refused_by_name(spec):
    with pytest.raises(ValueError, match=r"distribution|shares"):
        parsing.parse_law(spec)


@pytest.mark.parametrize(
    "spec", ["poisson:0.5", "geometric:1/8", "negative_binomial:3:1/4", "cmp:64:2", "uniform:2:9", "constant:3",
             "mixture:1/3*poisson:8+2/3*constant:2"]
)  # fmt: skip
def test_laws_survive_json(spec):
    law = parsing.parse_law(spec)
    assert parsing.from_json(law.to_json()) == law
    assert parsing.from_json(law.to_json()).mass(3) == law.mass(3) or not law.mass(3).is_exact()


def test_counts_come_from_json_and_from_a_recorded_execution(tmp_path, recorded_execution):
    (tmp_path / "counts.json").write_text("[3, 0, 5]")
    law = parsing.parse_law(f"counts:{tmp_path / 'counts.json'}")
    assert [law.mass(tau) for tau in range(4)] == [fmpq(3, 8), 0, fmpq(5, 8), 0]
    path, staleness = recorded_execution
    assert parsing.parse_law(f"counts:{path.parent}") == parsing.parse_law(f"counts:{path}")  # or the folder of the run
    law = parsing.parse_law(f"counts:{path}")
    assert law.mass(1) == fmpq(sum(s == 1 for s in staleness), len(staleness))

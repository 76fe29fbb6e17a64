"""What a file gets told that uses a word which takes numbers alone."""

import pytest

from theory.analysis.expectation import UnderLaw
from theory.analysis.pointwise import PointValues
from theory.candidates.candidate import CandidateError
from theory.candidates.loading import loads
from theory.numbers.balls import ball

HEAD = "from theory import tau\nimport sympy\nimport math\nimport numpy as np\nimport jax.numpy as jnp\n"


@pytest.mark.parametrize(
    ("source", "advice"),
    [
        ("C = np.exp(-tau)", "for np.exp write sympy.exp"),
        ("C = math.exp(-tau)", "for math.exp write sympy.exp"),
        ("C = jnp.exp(-tau)", "for jnp.exp write sympy.exp"),
        ("from math import exp as e\nC = e(-tau)", "for math.exp write sympy.exp"),
        ("import numpy\nC = 1 / numpy.sqrt(1 + tau)", "for numpy.sqrt write sympy.sqrt"),
        ("C = jnp.where(tau < 3, 1, 0)", "for jnp.where write sympy.Piecewise("),
        ("C = np.where(tau < 3, 1, 0)", "sympy.Piecewise for where"),
        ("while tau > 3:\n    tau -= 1\nC = tau", "write it as Piecewise, or without a loop that τ ends"),
        ("C = int(tau / 2)", "for int write sympy.floor"),
        ("C = sum(1 / (1 + i) for i in range(tau))", "for range write a closed form"),
        ("C = [1, 0.5, 0.25][tau]", "for an entry of a table write sympy.Piecewise("),
        ("C = np.array([1, 0.5])[tau]", "for an entry of a table write sympy.Piecewise("),
        ("C = 1 / (1 + tau) ^ 2", 'for "^" write **'),
        ("C = 2 * (tau < 3)", "for a comparison as a number write sympy.Piecewise("),
        ("C = math.comb(2 * tau, tau)", "for math.comb write sympy.binomial"),
        ("C = exp(-tau)", "write sympy.exp, after import sympy"),
        ("C = exp(-beta * sympy.exp(tau))", "write sympy.exp, after import sympy"),
        ("C = sympy.exp(-beta * tau)", "beta = sympy.Symbol('beta')"),
        ("C = lambda tau: 1", "a function is named step_size"),
        ("C = tau < 3", "a condition chooses in sympy.Piecewise("),
    ],
)
def test_the_word_to_use_is_named_with_the_line(source, advice):
    with pytest.raises(CandidateError) as caught:
        loads(HEAD + source, "my_fn.py")
    text = str(caught.value)
    assert advice in text
    assert text.startswith(f"my_fn.py:{len(HEAD.splitlines()) + 1}:") or "\n" in source


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("C = min(tau, 3)", [0, 1, 2, 3, 3]),
        ("C = 1 / max(1, tau)", [1, 1, 1 / 2, 1 / 3, 1 / 4]),
        ("C = 1 if tau < 3 else 2", [1, 1, 1, 2, 2]),
        ("if tau < 3:\n    C = 1\nelse:\n    C = 2", [1, 1, 1, 2, 2]),
        ("def step_size(tau):\n    if tau < 3:\n        return 1\n    return 1 / tau", [1, 1, 1, 1 / 3, 1 / 4]),
        ("C = sympy.Piecewise((1, 0 < tau < 3), (2, True))", [2, 1, 1, 2, 2]),
        ("C = sympy.Piecewise((1, tau > 0 and tau < 3), (2, True))", [2, 1, 1, 2, 2]),
    ],
)
def test_what_python_asks_about_the_staleness_is_read_in_files_and_in_functions(source, expected):
    candidate = loads(HEAD + source)
    values = PointValues(candidate.formula, UnderLaw({}, None, "mid"))
    assert [float(ball(values.certain(tau))) for tau in range(5)] == pytest.approx(expected)


@pytest.mark.parametrize(
    "source",
    [
        "C = 1 if 1 / 0 else tau",  # the fault is the division
        "C = sympy.Piecewise(1, 2) if True else min(1, 2)",
        "C = math.exp(-1) + 'a' * tau",
    ],
)
def test_no_word_is_named_where_another_thing_is_wrong(source):
    with pytest.raises(CandidateError) as caught:
        loads(HEAD + source)
    assert "for min write" not in str(caught.value)


def test_functions_that_sympy_has_words_for_exist():
    import sympy

    from theory.candidates.hints import _BUILT_IN, _WORDS

    for advice in {**_WORDS, **_BUILT_IN}.values():
        if advice.startswith("sympy."):
            assert hasattr(sympy, advice.removeprefix("sympy.").partition("(")[0])

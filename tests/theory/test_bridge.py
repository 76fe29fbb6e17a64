"""From a formula to a rule: the floats that run are verified, and the same transformation trains with them."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
import theory
from theory.candidates.loading import loads
from theory.formulas.to_jax import evaluated

pytestmark = pytest.mark.newest

HEAD = "from theory import tau\nimport sympy\n"


def test_a_table_has_the_formulas_values_rounded_to_float32():
    rule = theory.to_rule(loads(HEAD + "C = 1 / (1 + tau)"), largest_staleness=50)
    expected = np.array([np.float32(1 / (1 + tau)) for tau in range(51)])
    np.testing.assert_array_equal(rule.table, expected)
    np.testing.assert_array_equal(np.asarray(rule(jnp.arange(60))), np.append(expected, [expected[-1]] * 9))


def test_a_rule_trains_and_its_factors_are_recorded():
    rule = theory.to_rule("jasgd.rules:inverse", distribution="poisson:2", normalized=True)
    result = jasgd.train(
        lambda params, batch: jnp.sum((params - batch) ** 2),
        jnp.zeros(3),
        optax.chain(jasgd.staleness_adaptive(rule), optax.sgd(0.01)),
        lambda ticket: jnp.full(3, ticket % 5, jnp.float32),
        scheme="leashed",
        workers=3,
        steps=60,
    )
    np.testing.assert_array_equal(result.execution.factor, rule.table[result.execution.staleness])


def test_an_instance_based_function_reads_the_law_of_the_execution():
    rule = theory.to_rule("examples/step_sizes/tail.py")
    law = jasgd.StalenessHistogram.from_staleness([0, 1, 1, 2, 5])
    staleness = jnp.arange(8)
    np.testing.assert_allclose(rule(staleness, law), jasgd.rules.tail()(staleness, law), rtol=1e-6)


def test_normalised_tables_preserve_the_step_size_as_floats():
    rule = theory.to_rule("jasgd.rules:inverse", distribution="uniform:0:9", normalized=True)
    assert abs(float(np.mean(rule.table[:10].astype(np.float64))) - 1) < 2**-22


@pytest.mark.parametrize(
    ("source", "options", "word"),
    [
        ("C = 1 + tau", {}, "decreasing is REFUTED"),
        ("C = sympy.exp(-tau)", {}, "rounds to 0.0 in float32"),
        ("C = 1 - tau", {}, "positive is REFUTED"),
        ("C = 1 / (1 + tau)", {"normalized": True}, "needs a distribution"),
        ("C = 1 / (1 + tau)", {"largest_staleness": -1}, "largest_staleness"),
        ("C = 1 / (1 + tau)", {"distribution": "poisson:100", "largest_staleness": 80}, "larger largest_staleness"),
        ("C = sympy.exp(-sympy.Symbol('b') * tau)\nparameters = {'b': (0, 1)}", {}, "give each parameter a value: b"),
    ],
)
def test_what_would_not_run_as_verified_is_refused(source, options, word):
    with pytest.raises(ValueError, match=word.replace(".", r"\.")):
        theory.to_rule(loads(HEAD + source), **options)


def test_a_formula_is_computed_in_floats_where_integers_would_overflow():
    tau, far = ("tau",), jnp.int32(2**31 - 1)
    assert float(evaluated(("product", tau, tau), jnp.int32(100_000), None)) == 1e10
    assert float(evaluated(("sum", tau, tau), far, None)) == 2.0**32
    assert float(evaluated(("power", tau, ("number", 2)), jnp.int32(100_000), None)) == 1e10


def test_a_function_that_begins_at_1_gives_a_fresh_gradient_its_first_factor():
    candidate = loads("from theory import tau\nC = 1 / tau\ndomain = (1, None)")
    assert theory.to_rule(candidate).table[:4].tolist() == [1, 1, 0.5, np.float32(1 / 3)]
    normalised = theory.to_rule(candidate, distribution="uniform:1:9", normalized=True)
    assert normalised.table[1:10].mean() == pytest.approx(1)
    with pytest.raises(ValueError, match="largest_staleness must be ≥ 1"):
        theory.to_rule(candidate, largest_staleness=0)

"""Rules show themselves by name and options, and else are the functions that they were."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.rule_examples import EXAMPLES

import jasgd
from jasgd import rules
from jasgd.rules.parsing import parse_rule


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (rules.tail(), "tail(amplitude=1.0, cdf='mid')"),
        (rules.tail(0.5, cdf="strict"), "tail(amplitude=0.5, cdf='strict')"),
        (rules.inverse(), "inverse()"),
        (rules.exponential(0.1), "exponential(beta=0.1)"),
        (rules.normalized(rules.power()), "normalized(rule=power(exponent=0.5))"),
        (rules.linear(), "linear(cutoff=2.0)"),
        (rules.tail_published(8), "tail_published(workers=8, mode='async', amplitude=1.0)"),
        (parse_rule("tail:cdf=inclusive,normalized=true"), "normalized(rule=tail(amplitude=1.0, cdf='inclusive'))"),
    ],
    ids=str,
)
def test_a_rule_shows_its_name_and_its_options(rule, line):
    assert repr(rule) == line


def test_every_rule_of_the_library_does():
    assert {*EXAMPLES} >= {*rules.RULES}
    for factory in [*rules.RULES.values(), rules.normalized, rules.distortion]:
        assert factory.__wrapped__.__name__ == factory.__name__
        assert inspect.signature(factory).return_annotation == "Rule"


@pytest.mark.parametrize("name", rules.RULES)
def test_it_reads_the_law_or_not_as_before_and_is_traced_as_before(name):
    factory, options = (
        rules.RULES[name],
        {"workers": 8, "learning_rate": 0.1, "smoothness": 1.0, "concurrency": 8, "c": 1},
    )
    options = {key: value for key, value in options.items() if key in inspect.signature(factory).parameters}
    shown, plain = factory(**options), factory.__wrapped__(**options)
    assert rules.reads_law(shown) == rules.reads_law(plain)
    assert getattr(shown, "warms_up", None) == getattr(plain, "warms_up", None)
    law = getattr(plain, "law", jasgd.StalenessHistogram.from_staleness([0, 1, 1, 2]))
    taus = jnp.arange(5)
    traced = jax.jit(lambda tau: rules.evaluate(shown, tau, law) + 0 * tau)(taus)
    np.testing.assert_allclose(traced, rules.evaluate(plain, taus, law) + 0 * taus, rtol=1e-6)


def test_what_is_passed_in_the_wrong_place_is_still_refused_in_the_same_words():
    with pytest.raises(TypeError, match=r"a rule goes into jasgd\.staleness_adaptive"):
        jasgd.train(lambda w, b: w.sum(), jnp.ones(2), rules.tail(), lambda ticket: 0.0, workers=1, steps=1)
    with pytest.raises(TypeError, match=r"rule must be what tail\(\.\.\.\) returns, got tail itself: call it"):
        jasgd.staleness_adaptive(rules.tail)
    with pytest.raises(TypeError, match="rule must return a factor, got a function"):
        rules.evaluate(lambda staleness: rules.tail(), 1, None)
    tx = optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(0.1))
    assert float(tx.update(jnp.ones(()), tx.init(jnp.ones(())), staleness=0)[0]) == pytest.approx(-0.1)

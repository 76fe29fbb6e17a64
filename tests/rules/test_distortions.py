"""Rules of the rank: E[C] = 1 and never rising under every law, to float32's rounding; TAIL-τ is one of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jasgd
from jasgd import StalenessHistogram, rules

NAMED = {
    "rank_power 1": (rules.rank_power(1.0), lambda u: u),
    "rank_power 2": (rules.rank_power(), lambda u: 1 - (1 - u) ** 2),
    "rank_power 3.5": (rules.rank_power(3.5), lambda u: 1 - (1 - u) ** 3.5),
    "rank_power 40": (rules.rank_power(40), lambda u: 1 - (1 - u) ** 40),
    "rank_exponential": (rules.rank_exponential(), lambda u: np.expm1(-u) / np.expm1(-1.0)),
    "rank_exponential 1e-6": (rules.rank_exponential(1e-6), lambda u: u),
    "rank_exponential 30": (rules.rank_exponential(30.0), lambda u: np.expm1(-30 * u) / np.expm1(-30.0)),
    "freshest_share": (rules.freshest_share(), lambda u: np.minimum(u / 0.5, 1)),
    "freshest_share 0.01": (rules.freshest_share(0.01), lambda u: np.minimum(u / 0.01, 1)),
    "freshest_share 1": (rules.freshest_share(1.0), lambda u: u),
}
GENERAL = {
    "quadratic": rules.distortion(lambda u: u + 0.6 * u * (1 - u)),
    "root": rules.distortion(jnp.sqrt),
    "capped": rules.distortion(lambda u: jnp.minimum(u / 0.3, 1.0)),
    "cubic": rules.distortion(lambda u: 1 - (1 - u) ** 3),
}
EVERY = pytest.mark.parametrize(
    "rule", [*(rule for rule, _ in NAMED.values()), *GENERAL.values()], ids=[*NAMED, *GENERAL]
)


MOST_VALUES = 40  # of a drawn law; with others of no weight, so that each rule is compiled once


def law_of(weights, values):
    """A law of the given weights, whole numbers that may be as far apart as 1 and 10⁶."""
    padding = MOST_VALUES - len(weights)
    return StalenessHistogram(
        updates=jnp.asarray(int(sum(weights)), jnp.int32),
        values=jnp.asarray([*values, *[0] * padding], jnp.int32),
        counts=jnp.asarray([*weights, *[0] * padding], jnp.int32),
    )


@functools.cache
def compiled(rule):
    return jax.jit(lambda law: rule(law.support, law))


def shares_and_factors(rule, law):
    """p and C of each value that has mass, in float64."""
    weights, factors = np.asarray(law.weights, np.float64), np.asarray(compiled(rule)(law), np.float64)
    return weights[weights > 0] / weights.sum(), factors[weights > 0]


#: Heavy tails and tiny p(τ): weights from 1 to 10⁶, and values up to the largest.
laws = st.lists(st.one_of(st.integers(1, 3), st.integers(1, 1_000_000)), min_size=1, max_size=MOST_VALUES).flatmap(
    lambda weights: st.builds(
        lambda values: law_of(weights, np.sort(values)),
        st.lists(st.integers(0, 2**31 - 1), min_size=len(weights), max_size=len(weights), unique=True),
    )
)


@EVERY
@given(law=laws)
@settings(max_examples=25, deadline=None)
def test_the_mean_is_1_under_every_law_to_rounding(rule, law):
    share, factors = shares_and_factors(rule, law)
    assert np.isfinite(factors).all()
    assert share @ factors == pytest.approx(1, abs=2e-6)


@pytest.mark.parametrize(("rule", "g"), NAMED.values(), ids=NAMED)
@given(law=laws)
@settings(max_examples=25, deadline=None)
def test_those_with_a_name_are_right_and_never_rise_however_little_mass_a_value_has(rule, g, law):
    share, factors = shares_and_factors(rule, law)
    top = max(1.0, factors.max())
    assert (np.diff(factors) <= 1e-6 * top).all()
    assert (factors >= 0).all()
    gains = np.diff(g(np.minimum(np.concatenate([[0], np.cumsum(share)]), 1.0)))
    np.testing.assert_allclose(share * factors, gains, atol=1e-6 * top)
    if "freshest" not in str(rule):  # where its share ends it has a jump, whose place is known to 2⁻²⁴
        settled = share > 1e-7  # in float64 the difference of g is known to 1e-16
        np.testing.assert_allclose(factors[settled], (gains / share)[settled], atol=1e-5 * top)


@pytest.mark.parametrize("amplitude", [0.0, 0.3, 1.0])
def test_tail_is_the_quadratic_distortion(amplitude):
    tail, rank = rules.tail(amplitude), rules.distortion(lambda u: u + amplitude * u * (1 - u))

    @given(law=laws)
    @settings(max_examples=25, deadline=None)
    def check(law):
        share, expected = shares_and_factors(tail, law)
        np.testing.assert_array_less(np.abs(shares_and_factors(rank, law)[1] - expected), 1e-6 / share)
        if amplitude == 1:
            np.testing.assert_allclose(shares_and_factors(rules.rank_power(2), law)[1], expected, atol=1e-6)

    check()


def test_tail_is_the_quadratic_one_where_the_law_has_no_mass_as_well():
    law = StalenessHistogram.from_staleness([1, 1, 4, 4, 4, 9, 9, 9])
    tail, taus = rules.tail(0.6), jnp.arange(12)
    np.testing.assert_allclose(GENERAL["quadratic"](taus, law), tail(taus, law), atol=1e-6)
    np.testing.assert_allclose(rules.rank_power(2)(taus, law), rules.tail()(taus, law), atol=1e-6)


@EVERY
def test_it_never_rises_over_all_staleness_values_with_mass_or_without(rule):
    law = StalenessHistogram.from_staleness(2 * np.random.default_rng(0).poisson(6, 300) + 3)
    factors = np.asarray(rule(jnp.arange(60), law))
    assert (np.diff(factors) <= 3e-5 * max(1, factors[0])).all()  # 2⁻²³ / p at the most, for those without a name
    assert (factors >= 0).all()
    assert np.isfinite(factors).all()


@EVERY
@pytest.mark.parametrize(
    "law",
    [
        StalenessHistogram.window(50),
        StalenessHistogram.decay(30.0),
        StalenessHistogram.cumulative(bins=6),
        StalenessHistogram.one_shot(5, 40),
    ],
    ids=["window", "decay", "cumulative", "one_shot"],
)
def test_it_keeps_the_mean_while_the_law_is_measured_in_a_scan(rule, law):
    tx = optax.chain(jasgd.staleness_adaptive(rule, law), optax.sgd(1.0))
    taus = jnp.asarray(np.random.default_rng(1).poisson(5, 120), jnp.int32)

    def step(state, tau):
        _, state = tx.update(jnp.ones(()), state, staleness=tau)
        return state, state[0].factor

    state, factors = jax.jit(lambda s: jax.lax.scan(step, s, taus))(tx.init(jnp.zeros(())))
    assert np.isfinite(factors).all()
    assert float(factors[0]) == pytest.approx(1, abs=1e-6)
    mean = float(rules.step_size_moments(rule, state[0].law).mean)
    assert mean == pytest.approx(1, abs=2e-5)


@EVERY
def test_an_empty_law_gives_1(rule):
    assert float(rule(3, StalenessHistogram.window(4))) == 1.0


@pytest.mark.parametrize(
    ("g", "error", "message"),
    [
        (3.0, TypeError, r"g must be a function of u, got float 3.0"),
        (lambda u: u + 0.1, ValueError, r"g\(0\) = 0 to g\(1\) = 1, got g\(0\) = 0.1 and g\(1\) = 1.1"),
        (lambda u: 0.5 * u, ValueError, r"g\(0\) = 0 to g\(1\) = 1, got g\(0\) = 0 and g\(1\) = 0.5"),
        (lambda u: 4 * u - 3 * u**2, ValueError, r"g must never fall, got g\(0.9961\) = 1.008 and g\(1\) = 1"),
        (lambda u: u**2, ValueError, r"g must be concave, .* got g\(0\) = 0, g\(0.003906\) = 1.526e-05 and"),
        (lambda u: jnp.where(u > 0.5, jnp.nan, u), ValueError, r"finite on \[0, 1\], got g\(0.5039\) = nan"),
        (lambda u: 1.0, ValueError, r"g must map over arrays of shares, got shape \(\) for shape \(257,\)"),
    ],
)
def test_what_is_seen_to_be_no_distortion_is_refused(g, error, message):
    with pytest.raises(error, match=message):
        rules.distortion(g)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.rank_power(0.5), "exponent must be a finite number ≥ 1, got 0.5"),
        (lambda: rules.rank_power(float("inf")), "exponent must be a finite number ≥ 1, got inf"),
        (lambda: rules.rank_exponential(0.0), "rate must be a finite number > 0, got 0.0"),
        (lambda: rules.freshest_share(0.0), r"share must lie in \(0, 1\], got 0.0"),
        (lambda: rules.freshest_share(1.5), r"share must lie in \(0, 1\], got 1.5"),
        (lambda: rules.named("rank_power:exponent=0"), "exponent must be a finite number ≥ 1, got 0"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

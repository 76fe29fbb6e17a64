"""Truncated lines: their cutoff in means, and the best one under the bound, which is never worse than constant."""

import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flint import fmpq
from hypothesis import example, given, settings
from hypothesis import strategies as st

import jasgd
from jasgd import StalenessHistogram, rules
from jasgd.rules.lines import best_line
from theory.convergence.truncated_line import best_truncated_line
from theory.laws import FiniteLaw
from theory.numbers.balls import ball

samples = st.lists(
    st.one_of(st.integers(0, 5), st.integers(0, 300), st.sampled_from([10**4, 10**6])), min_size=1, max_size=40
)
LINES = {cutoff: rules.linear(cutoff) for cutoff in (1 + 1e-9, 1.01, 2.0, 1e6)}
BEST = {c: rules.best_linear(c) for c in (0.0, 1e-3, 0.1, 0.3461, 1.0, 10.0)}
MOST_VALUES = 40
weights_of_staleness = st.sampled_from(sorted(BEST))


@functools.cache
def compiled(rule):
    return jax.jit(lambda law: rules.evaluate(rule, law.support, law) * jnp.ones(law.support.shape))


def law_of(sample):
    """The law of a sample, with values of no weight besides, so that each rule is compiled once."""
    values, counts = np.unique(sample, return_counts=True)
    padding = [0] * (MOST_VALUES - len(values))
    return StalenessHistogram(
        updates=jnp.asarray(len(sample), jnp.int32),
        values=jnp.asarray([*values, *padding], jnp.int32),
        counts=jnp.asarray([*counts, *padding], jnp.int32),
    )


def table(rule, law):
    """Probabilities, values and factors of what has mass, in float64."""
    p, tau, factors = (np.asarray(x, np.float64) for x in (law.weights, law.support, compiled(rule)(law)))
    return p[p > 0] / p.sum(), tau[p > 0], factors[p > 0]


def moments(rule, law):
    """The mean of a rule's factors, and V as a function of c."""
    p, tau, factors = table(rule, law)
    return p @ factors, lambda c: p @ factors**2 * (1 + c * (p @ (tau * factors)))


def exact_law(sample):
    values, counts = np.unique(sample, return_counts=True)
    masses = {int(v): Fraction(int(n), len(sample)) for v, n in zip(values, counts, strict=True)}
    return FiniteLaw(masses, ["counts", []])


@pytest.mark.parametrize("cutoff", LINES)
@given(sample=samples)
@settings(max_examples=30, deadline=None)
def test_a_line_has_the_mean_1_never_rises_and_ends_at_its_cutoff(cutoff, sample):
    p, tau, factors = table(LINES[cutoff], law_of(sample))
    assert p @ factors == pytest.approx(1, abs=1e-5)
    assert (np.diff(factors) <= 0).all()
    assert (factors >= 0).all()
    beyond = tau > 1.001 * cutoff * np.mean(sample)
    assert (factors[beyond & (np.mean(sample) > 0)] == 0).all()


def test_without_staleness_a_line_is_the_constant_step():
    law = StalenessHistogram.from_staleness([0, 0])
    assert [float(rules.linear()(tau, law)) for tau in (0, 5)] == [1.0, 1.0]
    assert [float(rules.best_linear(1.0)(tau, law)) for tau in (0, 5)] == [1.0, 1.0]
    assert float(rules.best_linear(1.0)(3, StalenessHistogram.window(4))) == 1.0


@given(sample=samples.map(lambda sample: [min(tau, 10**4) for tau in sample]), c=weights_of_staleness)
@example(sample=[0] * 10 + [1] * 10 + [20] * 80, c=10.0)  # two minima
@example(sample=[10] * 2558 + [20] * 73 + [50] * 7369, c=0.3461)  # two minima
@example(sample=[1000] * 3 + [1001], c=1.0)
@example(sample=[0, 2], c=1.0)
@settings(max_examples=100, deadline=None)
def test_the_best_line_is_the_one_that_exact_arithmetic_finds(sample, c):
    mean, value = moments(BEST[c], law_of(sample))
    assert mean == pytest.approx(1, abs=1e-5)
    best = best_truncated_line(exact_law(sample), fmpq(*Fraction(str(c)).as_integer_ratio()))
    assert value(c) == pytest.approx(float(ball(best.value).mid()), rel=1e-4)


@given(sample=samples, c=weights_of_staleness)
@settings(max_examples=100, deadline=None)
def test_the_best_line_is_never_worse_than_the_constant_step(sample, c):
    law = law_of(sample)
    _, value = moments(BEST[c], law)
    assert value(c) <= (1 + c * np.mean(sample)) * (1 + 2e-6)
    _, _, factors = table(BEST[c], law)
    assert (np.diff(factors) <= 0).all()
    assert (factors >= 0).all()


def test_no_line_of_a_fine_grid_is_better_where_there_are_two_minima():
    sample = np.array([0] * 10 + [1] * 10 + [20] * 80)
    law = law_of(sample)
    for c in (0.1, 1.0, 10.0):
        _, value = moments(BEST[c], law)
        line = np.maximum(1 - sample / np.geomspace(1.0, 1e5, 20_000)[:, None], 0)
        line /= line.mean(axis=1, keepdims=True)
        on_grid = (line**2).mean(axis=1) * (1 + c * (line * sample).mean(axis=1))
        assert value(c) <= on_grid.min() * (1 + 1e-6)


def test_the_weight_of_the_staleness_may_be_traced_and_0_is_the_constant_step():
    law = StalenessHistogram.from_staleness([0, 2])
    factor = jax.jit(lambda c, tau: best_line(law, c)(tau))
    assert float(factor(0.0, 2)) == 1.0
    assert float(factor(1.0, 0)) == pytest.approx(4 / 3)
    assert float(factor(1e9, 0)) == pytest.approx(2.0)


@pytest.mark.parametrize("law", ["window:length=64", "decay:half_life=30", "cumulative", "cumulative:bins=9"])
def test_the_best_line_is_found_while_the_law_is_measured_in_a_scan(law):
    tx = jasgd.staleness_adaptive("best_linear:c=0.3", law)
    taus = jnp.asarray(np.random.default_rng(1).poisson(5, 150), jnp.int32)

    def step(state, tau):
        _, state = tx.update(jnp.ones(()), state, staleness=tau)
        return state, state.factor

    state, factors = jax.jit(lambda s: jax.lax.scan(step, s, taus))(tx.init(jnp.zeros(())))
    assert float(factors[0]) == 1.0
    assert np.isfinite(factors).all()
    mean, value = moments(rules.best_linear(0.3), state.law)
    assert mean == pytest.approx(1, abs=1e-5)
    _, constant = moments(rules.constant(), state.law)
    assert value(0.3) < 0.99 * constant(0.3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.linear(1.0), "cutoff must be a finite number > 1, in means of the law, got 1.0"),
        (lambda: rules.linear(float("inf")), "cutoff must be a finite number > 1, in means of the law, got inf"),
        (lambda: rules.named("linear:cutoff=0.5"), "cutoff must be a finite number > 1"),
        (lambda: rules.best_linear(-1.0), "c must be a finite number ≥ 0, got -1.0"),
        (lambda: rules.named("best_linear"), "rule 'best_linear' needs the option c"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

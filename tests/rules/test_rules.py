"""What each rule claims: its equation, its mean, its order, its place with the law."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rule_examples import EXAMPLES

import jasgd
from jasgd import StalenessHistogram, rules
from jasgd.rules.parsing import parse_rule

READ_THE_LAW = (
    "tail_published", "tail", "adadelay", "rank_power", "rank_exponential", "freshest_share", "linear", "best_linear",
)  # fmt: skip


class ExactLaw:
    """A law in exact rationals, that a rule cannot tell from a measured one."""

    def __init__(self, values):
        self.values = values

    def cdf(self, tau, kind):
        below, equal = sum(v < tau for v in self.values), sum(v == tau for v in self.values)
        share = {"strict": Fraction(0), "mid": Fraction(1, 2), "inclusive": Fraction(1)}[kind]
        return (below + share * equal) / Fraction(len(self.values))


class Sympy:
    """The namespace of SymPy, as a theory of rules needs it."""

    exp, log, sqrt = sympy.exp, sympy.log, sympy.sqrt
    maximum, minimum = sympy.Max, sympy.Min

    @staticmethod
    def where(condition, then, otherwise):
        return sympy.Piecewise((then, condition), (otherwise, True))


def test_the_examples_cover_the_table():
    assert set(EXAMPLES) == set(rules.RULES)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=50))
@settings(max_examples=60, deadline=None)
def test_tail_mid_averages_to_exactly_one_on_its_reference_sample(values):
    law, count = ExactLaw(values), Fraction(len(values))
    s2 = sum(Fraction(values.count(v)) ** 2 for v in set(values)) / count**2
    for amplitude in (Fraction(1), Fraction(1, 3)):

        def mean(kind, a=amplitude):
            rule = rules.tail(a, kind)
            return sum((rule(v, law) for v in values), Fraction(0)) / count

        assert mean("mid") == 1
        assert mean("strict") == 1 + amplitude * s2
        assert mean("inclusive") == 1 - amplitude * s2


@given(st.lists(st.integers(0, 30), min_size=1, max_size=50))
@settings(max_examples=30, deadline=None)
def test_moments_of_tail_have_their_closed_forms(values):
    law, x = StalenessHistogram.from_staleness(values), np.asarray(values)
    p = np.bincount(x) / len(x)
    moments = rules.step_size_moments(rules.tail(0.7), law)
    assert float(moments.mean) == pytest.approx(1, abs=1e-5)
    assert float(moments.mean_square) == pytest.approx(1 + 0.49 / 3 * (1 - (p**3).sum()), rel=1e-4)
    spread = np.abs(x[:, None] - x).mean()
    assert float(moments.mean_staleness) == pytest.approx(x.mean() - 0.35 * spread, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", EXAMPLES)
def test_rules_map_over_bins_and_never_increase_with_staleness(name):
    rule = rules.named(name, **EXAMPLES[name])
    law = getattr(rule, "law", None) or StalenessHistogram.window(64, bins=40)
    for tau in np.random.default_rng(1).poisson(6, 100):
        law = law.count(int(tau))
    taus = jnp.arange(40)
    factors = np.asarray(rules.evaluate(rule, taus, law) * jnp.ones(40))
    single = [float(rules.evaluate(rule, np.int32(t), law)) for t in range(40)]
    np.testing.assert_allclose(factors, single, rtol=1e-6)
    assert (np.diff(factors) <= 1e-7).all()
    assert (factors >= 0).all()


@pytest.mark.parametrize("name", [n for n in EXAMPLES if n != "tail_published"])
def test_a_normalized_rule_preserves_the_overall_step_size(name):
    rule = rules.named(name, **EXAMPLES[name], normalized=True)
    law = StalenessHistogram.from_staleness(np.random.default_rng(2).poisson(6, 500))
    assert float(rules.step_size_moments(rule, law).mean) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", [n for n in EXAMPLES if n not in READ_THE_LAW])
def test_a_formula_is_the_same_in_sympy(name):
    rule = rules.named(name, **EXAMPLES[name])
    tau = sympy.Symbol("tau", integer=True, nonnegative=True)
    expression = sympy.sympify(rule(tau, xp=Sympy))
    for value in (0, 1, 4, 5, 11):
        assert float(expression.subs(tau, value)) == pytest.approx(float(rule(value)), rel=1e-6)


def test_the_equations_of_the_sources():
    assert float(rules.power(2)(1)) == pytest.approx(0.25)
    assert float(rules.exponential(staleness_threshold=8.0)(4)) == pytest.approx(1 / 5)
    rule = rules.mishchenko(0.5, 2.0, 3, setting="convex")
    assert [float(rule(t)) * 0.5 for t in (0, 5)] == pytest.approx([1 / 24, 1 / 48])
    rule = rules.mishchenko(0.5, 2.0, 3, setting="strongly_convex", strong_convexity=0.1, step_cap=1.0)
    assert float(rule(1)) * 0.5 == pytest.approx(np.exp(-0.1 * 2 / 24) / 16)
    assert float(rules.koloskova(0.1, 1.0, 4, drop=True)(5)) == 0
    law = StalenessHistogram.from_staleness([1] * 5)
    assert float(rules.adadelay(2.0, smoothness=3.0, scale=0.5)(4, law)) * 2 == pytest.approx(1 / (3 + 0.5 * 3))


def published_run(workers, mode, steps):
    """Busy workers that finish in random order: (version, staleness, number) per commit, and commits before the table.

    A step is numbered where it starts; in the mode "leashed" where it publishes. The table is built when step 15n is.
    """
    rng = np.random.default_rng(workers)
    started, reads, rows, built = workers, [(0, s) for s in range(workers)], [], None
    finish = rng.gamma(8, size=workers)
    for version in range(steps):
        w = int(np.argmin(finish))
        read, number = reads[w]
        rows.append((version, version - read, version if mode == "leashed" else number))
        newly_numbered = version if mode == "leashed" else started
        if newly_numbered == 15 * workers:
            built = version + 1
        reads[w] = (version + 1, started)
        started += 1
        finish[w] += rng.gamma(8)
    return rows, built


@pytest.mark.parametrize("mode", ["async", "leashed"])
@pytest.mark.parametrize("workers", [1, 2, 5, 16])
def test_the_published_table_is_sampled_as_the_published_code_numbers_its_steps(workers, mode):
    rows, built = published_run(workers, mode, 16 * workers + 5)
    rule = rules.tail_published(workers, mode)
    tx = jasgd.staleness_adaptive(rule)
    state = tx.init(jnp.zeros(()))
    update = jax.jit(tx.update)
    factors = []
    for _, tau, _ in rows:
        _, state = update(jnp.ones(()), state, staleness=np.int32(tau))
        factors.append(float(state.factor))

    counts = np.zeros(200, int)
    for version, tau, number in rows:
        if version < built and 10 * workers < number < 15 * workers:
            counts[tau] += 1
    assert counts.sum() == (4 * workers if mode == "async" else 5 * workers - 1)
    np.testing.assert_array_equal(np.asarray(state.law.weights), counts)
    saturation = counts.sum() / (5 * workers)
    for version, tau, _ in rows:
        below = counts[:tau].sum() / (5 * workers)
        expected = 1.0 if version < built else 1 + (1 - 2 * below)
        assert factors[version] == pytest.approx(expected, abs=1e-6)
    assert float(rule(127, state.law)) == pytest.approx(2 - 2 * saturation, abs=1e-6)


def test_the_published_shift_sends_128_and_more_to_the_last_bin():
    rule = rules.tail_published(100, "leashed")
    law = rule.law
    for version in range(1501):
        law = jax.jit(type(law).count)(law, np.int32(130 if version % 2 else 199))
    # 127 is below every count; 128, 130 and 500 look up bin 199, which has the 130s strictly below it.
    counted = int(law.weights[130]) / 500
    assert float(rule(127, law)) == 2
    assert float(rule(128, law)) == float(rule(130, law)) == float(rule(500, law)) == pytest.approx(2 - 2 * counted)
    before = law
    after = jax.jit(type(law).count)(before, np.int32(250))
    np.testing.assert_array_equal(np.asarray(after.weights), np.asarray(before.weights))


def test_a_users_own_function_is_a_rule():
    tx = jasgd.staleness_adaptive(lambda staleness, law: jnp.where(staleness > law.mean(), 0.5, 2.0))
    step, _ = tx.update(jnp.ones(2), tx.init(jnp.zeros(2)), staleness=0)
    assert step.tolist() == [2.0, 2.0]


def test_warm_up_concerns_only_rules_that_read_the_law():
    def factors(rule):
        tx = jasgd.staleness_adaptive(rule, StalenessHistogram.window(64, warm_up=3))
        state, values = tx.init(jnp.zeros(())), []
        for tau in (1, 2, 3, 9, 9):
            _, state = tx.update(jnp.ones(()), state, staleness=tau)
            values.append(round(float(state.factor), 4))
        return values

    assert factors(rules.inverse()) == [0.5, 0.3333, 0.25, 0.1, 0.1]
    assert factors(rules.tail())[:3] == [1.0, 1.0, 1.0]
    assert factors(rules.tail())[3] < 1
    assert factors(rules.adadelay(1.0))[0] < 1  # reads the number of updates alone


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.constant(-1), "factor must be a finite number ≥ 0, got -1"),
        (lambda: rules.power(float("nan")), "exponent must be a finite number ≥ 0, got nan"),
        (lambda: rules.exponential(0.1, staleness_threshold=3), "beta or staleness_threshold, not both"),
        (lambda: rules.threshold(0), "bound must be > 0, got 0"),
        (lambda: rules.tail(1.5), r"amplitude must lie in \[0, 1\], got 1.5"),
        (lambda: rules.tail(cdf="median"), "cdf must be one of mid, strict, inclusive, got 'median'"),
        (lambda: rules.tail_published(0), "workers must be an integer ≥ 1, got 0"),
        (lambda: rules.tail_published(2, "lsh"), "mode must be 'async', 'hogwild' or 'leashed', got 'lsh'"),
        (lambda: rules.koloskova(0.1, 1.0, 0), "concurrency must be ≥ 1, got 0"),
        (lambda: rules.mishchenko(0.1, 1.0, 2, setting="pl"), "setting must be"),
        (lambda: rules.mishchenko(0.1, 1.0, 2, setting="strongly_convex"), "strong_convexity goes with"),
        (lambda: rules.named("tale"), "rule must be one of constant, inverse, .*, got 'tale'"),
        (lambda: rules.named("tail", amplitud=1), "has the options amplitude, cdf, normalized; got 'amplitud'"),
        (lambda: rules.named("koloskova"), "needs the options learning_rate, smoothness, concurrency"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("rule", [3.0, None, lambda: 1.0, lambda a, b, c: 1.0, lambda staleness, *, needed: 1.0])
def test_what_is_no_rule_is_refused(rule):
    with pytest.raises(TypeError, match="rule must"):
        jasgd.staleness_adaptive(rule)


@pytest.mark.parametrize("name", [*rules.RULES, "normalized", "distortion"])
def test_a_factory_that_was_not_called_is_told_to_be(name):
    with pytest.raises(TypeError, match=rf"rule must be what {name}\(\.\.\.\) returns, got {name} itself: call it"):
        jasgd.staleness_adaptive(getattr(rules, name))


def test_so_is_a_factory_of_one_s_own_when_it_is_tried():
    def steep(slope=2.0):
        return lambda staleness: 1 / (1 + slope * staleness)

    tx = jasgd.staleness_adaptive(steep)
    with pytest.raises(TypeError, match=r"rule must return a factor, got a function from steep: call it, as in steep"):
        tx.update(jnp.ones(()), tx.init(jnp.zeros(())), staleness=3)


def test_a_rule_with_its_own_law_takes_no_other():
    with pytest.raises(ValueError, match="law must be None"):
        jasgd.staleness_adaptive(rules.tail_published(2), StalenessHistogram.window())
    with pytest.raises(TypeError, match="law must be a StalenessHistogram"):
        jasgd.staleness_adaptive(rules.tail(), law=1024)


def test_optax_chain_of_the_absolute_step_rules_takes_the_steps_of_the_source():
    rule = rules.mishchenko(learning_rate=0.5, smoothness=1.0, workers=2)
    tx = optax.chain(jasgd.staleness_adaptive(rule), optax.sgd(0.5))
    step, _ = tx.update(jnp.ones(()), tx.init(jnp.zeros(())), staleness=3)
    assert float(step) == pytest.approx(-1 / 16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("inverse:normalized=no", "normalized must be true or false, got 'no'"),
        ("tail:amplitude=abc", "amplitude must be a number, got 'abc'"),
        ("tail:amplitude=true", "amplitude must be a number, got True"),
    ],
)
def test_a_text_is_checked_alike_wherever_it_is_taken(text, message):
    for door in (rules.named, parse_rule, jasgd.staleness_adaptive):
        with pytest.raises(ValueError, match=message):
            door(text)

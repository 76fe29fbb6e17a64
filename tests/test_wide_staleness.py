"""The kind "a staleness that has no place of its own": values beyond a law's bins, beyond int32, updates beyond 2³¹."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.rule_examples import EXAMPLES

import jasgd
from jasgd import StalenessHistogram, rules
from jasgd.fits import fit
from jasgd.law import as_int32
from jasgd.staleness_values import MOST, wide_bins

LAWS = {
    "window": StalenessHistogram.window(),
    "decay": StalenessHistogram.decay(),
    "cumulative": StalenessHistogram.cumulative(),
    "one_shot": StalenessHistogram.one_shot(0, 10_000),
}
count_all = jax.jit(lambda law, values: jax.lax.scan(lambda law, tau: (law.count(tau), None), law, values)[0])


def thousands(size, seed=0):
    """Staleness as of a thousand workers of unequal speeds: in the thousands, with a long tail."""
    return np.random.default_rng(seed).lognormal(7.0, 1.0, size).astype(np.int32)


@pytest.mark.parametrize("name", LAWS)
def test_a_staleness_in_the_thousands_keeps_the_mean_step_and_its_order(name):
    values = thousands(6000)
    tx = jasgd.staleness_adaptive(rules.tail(), LAWS[name]._replace(warm_up=0))

    def step(state, tau):
        _, state = tx.update(jnp.ones(()), state, staleness=tau)
        return state, state.factor

    _, factors = jax.jit(lambda values: jax.lax.scan(step, tx.init(jnp.ones(())), values))(values)
    tau, factors = values[2000:], np.asarray(factors, np.float64)[2000:]
    assert abs(factors.mean() - 1) < 4 * factors.std() / np.sqrt(len(factors))
    quartiles = np.searchsorted(np.quantile(values, [0.25, 0.5, 0.75]), tau)
    means = [factors[quartiles == quarter].mean() for quarter in range(4)]
    assert (np.diff(means) < -0.2).all(), means


@pytest.mark.parametrize("name", LAWS)
def test_statistics_are_those_of_the_values_however_large_they_are(name):
    values = thousands(1000)
    statistics = count_all(LAWS[name], values).statistics()
    exact = StalenessHistogram.from_staleness(values).statistics()
    within = {"window": 1e-12, "decay": 0.2}.get(name, 0.016)  # the middle of a bin; a decaying law weighs by age
    for key in ("mean", "median", "max", "gini"):
        assert statistics[key] == pytest.approx(exact[key], rel=within), key
    assert statistics["overflow"] == exact["overflow"] == 0
    assert exact["mean"] == pytest.approx(values.mean())
    assert exact["median"] == np.sort(values)[(len(values) - 1) // 2]


@pytest.mark.parametrize("name", ["window", "decay"])
def test_a_rule_reads_the_same_statistics_as_a_table_shows(name):
    law = count_all(LAWS[name], thousands(1000))
    names = ("mean", "median", "max", "sum_p2", "sum_p3", "gini", "overflow")
    traced = jax.jit(lambda law: {key: getattr(law, key)() for key in names})
    for one in (law, LAWS[name], LAWS[name].count(7)):
        shown = one.statistics()
        assert {key: float(value) for key, value in traced(one).items()} == pytest.approx(
            {key: shown[key] for key in names}, rel=1e-4, abs=1e-6
        )


def test_below_256_the_distribution_function_has_the_bits_that_256_bins_gave():
    """Runs that were recorded when the window had bins are replayed to the same parameters."""
    values = np.random.default_rng(3).negative_binomial(2, 0.05, 1500).clip(0, 255).astype(np.int32)

    def step(law, tau):
        law = law.count(tau)
        return law, law.cdf(tau)

    _, measured = jax.jit(lambda law, values: jax.lax.scan(step, law, values))(LAWS["window"], values)
    for k in (0, 1, 700, 1023, 1024, 1499):
        weights = np.bincount(values[max(0, k - 1023) : k + 1], minlength=257).astype(np.float32)
        mass = weights[: values[k]].sum() + np.float32(0.5) * weights[values[k]]
        assert np.asarray(measured)[k].tobytes() == (mass / weights.sum()).tobytes()


def test_values_of_one_bin_are_ties_so_that_the_mean_of_tail_stays_one():
    values = thousands(3000)
    law = count_all(LAWS["cumulative"], values)
    mean = jax.jit(lambda law: law.expect(lambda tau: rules.tail()(tau, law)))(law)
    assert float(mean) == pytest.approx(1, abs=1e-5)
    assert np.asarray(jax.jit(rules.tail())(values, law), np.float64).mean() == pytest.approx(1, abs=1e-5)
    assert float(law.probability(5000)) == float(law.probability(5001)) > 0


def test_the_bins_leave_no_staleness_out_and_are_as_narrow_as_they_say():
    first, last, middle = (column.astype(np.int64) for column in wide_bins())
    assert first[0] == 0
    assert last[-1] == MOST
    np.testing.assert_array_equal(first[1:], last[:-1] + 1)
    widths = last - first + 1
    assert (widths[first <= 66] == 1).all()
    assert (widths[first > 66] <= 0.03 * first[first > 66]).all()
    assert (np.abs(np.stack([middle - first, last - middle])) <= 0.015 * first[None] + 0.5).all()


@pytest.mark.parametrize("name", LAWS)
def test_one_bound_for_all_is_chosen_and_then_says_how_much_lies_there(name):
    options = {"start": 0, "stop": 100} if name == "one_shot" else {}
    law = count_all(getattr(StalenessHistogram, name)(**options, bins=20), np.array([5, 19, 20, 700], np.int32))
    assert float(law.overflow()) == pytest.approx(0.5, abs=0.01)
    assert float(law.cdf(20)) == float(law.cdf(10**6)) == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("name", LAWS)
def test_the_distribution_function_is_one_function_however_many_values_it_is_asked_for(name):
    law = count_all(LAWS[name], thousands(700))
    asked = np.concatenate([thousands(200, seed=1), np.arange(40), [MOST]]).astype(np.int32)
    for kind in ("strict", "mid", "inclusive"):
        one_by_one = jax.jit(jax.vmap(lambda tau, kind=kind: law.cdf(tau, kind)))(asked)
        np.testing.assert_allclose(law.cdf(asked, kind), one_by_one, atol=2e-6)
    np.testing.assert_allclose(law.probability(asked), jax.jit(jax.vmap(law.probability))(asked), atol=2e-6)


def test_a_law_of_few_values_far_apart_takes_little_memory():
    law = StalenessHistogram.from_staleness([0, 10**9])
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(law)) < 100
    assert law.statistics()["mean"] == 5e8
    assert law.probability(np.array([0, 1, 10**9])).tolist() == [0.5, 0, 0.5]
    drawn = jasgd.cluster.independent(law, steps=50)
    assert set(drawn.staleness[1:].tolist()) - {0} <= set(range(50))
    with pytest.raises(ValueError, match=r"law must lie within 0…1048576 updates to be fitted, got .* 1000000000"):
        fit(law)


def test_a_model_is_fitted_to_a_binned_law_as_to_the_values_in_it():
    values = np.random.default_rng(0).geometric(1 / 300, 4000).astype(np.int32) - 1
    fitted = {f.model: f for f in fit(count_all(LAWS["cumulative"], values))}
    assert fitted["geometric"].parameters["p"] == pytest.approx(1 / 300, rel=0.03)
    # At one value each it is sampling alone that the models are far from; a few in a bin are nearer.
    assert fitted["geometric"].distance < 0.02 < fitted["Poisson"].distance


def test_a_law_of_known_values_says_that_it_counts_no_others():
    with pytest.raises(TypeError, match="a law of known values counts no others: begin with an empty law"):
        StalenessHistogram.from_staleness([1, 2]).count(3)
    with pytest.raises(TypeError, match=r"law must be one that counts on, .* got a law of known values"):
        jasgd.staleness_adaptive(rules.tail(), StalenessHistogram.from_staleness([1, 2]))
    law = StalenessHistogram.from_staleness([1, 2], bins=4).count(3)
    assert law.weights.tolist() == [0, 1, 1, 1, 0]


TOO_LARGE = [2**31, 2**33, np.int64(2**33), np.uint64(2**63), np.uint32(2**31 + 7)]


def test_integers_beyond_64_bits_count_as_the_largest_staleness():
    law = StalenessHistogram.from_staleness([1, 2])
    assert float(law.cdf(2**70)) == 1.0
    assert float(law.cdf(-(2**70))) == 0.0
    for tau in (2**70, -(2**70)):
        with pytest.raises(ValueError, match="staleness must be"):
            StalenessHistogram.window(4).count(tau)


@pytest.mark.parametrize("tau", TOO_LARGE)
def test_a_staleness_beyond_int32_is_refused_and_never_fresh(tau):
    tx = jasgd.staleness_adaptive(rules.inverse())
    message = f"staleness must be at most 2147483647 updates, got {tau}"
    with pytest.raises(ValueError, match=message):
        tx.update(jnp.ones(()), tx.init(jnp.ones(())), staleness=tau)
    with pytest.raises(ValueError, match=message):
        StalenessHistogram.window(4).count(tau)
    with pytest.raises(ValueError, match=message):
        StalenessHistogram.from_staleness(np.array([tau]))
    assert float(StalenessHistogram.from_staleness([0, 5]).cdf(tau)) == 1.0
    assert float(rules.tail_published(2).law.strict_tail(tau)) == 0.0


@pytest.mark.parametrize("dtype", ["uint32", "int64", "uint64"])
def test_a_traced_staleness_beyond_int32_counts_as_the_largest(dtype):
    with jax.enable_x64(True):
        tx = jasgd.staleness_adaptive(rules.inverse(), StalenessHistogram.window(4))
        far = np.array(2**33 if "64" in dtype else 2**31 + 7, dtype)
        assert int(jax.jit(as_int32)(far)) == MOST
        _, state = jax.jit(tx.update)(jnp.ones(()), tx.init(jnp.ones(())), staleness=far)
        assert state.law.values.tolist() == [MOST, -1, -1, -1]
        assert float(state.factor) == np.float32(2**-31)
        if dtype == "int64":
            assert int(jax.jit(as_int32)(np.int64(-(2**33) + 5))) == -1


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32"])
def test_narrow_integers_are_taken_as_they_are(dtype):
    assert int(as_int32(np.array(100, dtype))) == int(jax.jit(as_int32)(np.array(100, dtype))) == 100


@pytest.mark.parametrize("value", [0.5, np.float32(2), "3", True, None])
def test_what_is_no_integer_is_no_staleness_anywhere(value):
    for ask in (StalenessHistogram.window(4).count, StalenessHistogram.window(4).cdf):
        with pytest.raises(TypeError, match="staleness must be an integer number of updates, got dtype"):
            ask(value)


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_rule_overflows_at_the_largest_staleness(name):
    rule = rules.named(name, **EXAMPLES[name])
    law = getattr(rule, "law", None) or StalenessHistogram.window(8).count(3).count(MOST)
    law = law._replace(updates=jnp.int32(MOST))
    far, near = (float(rules.evaluate(rule, jnp.int32(tau), law)) for tau in (MOST, 100))
    assert 0 <= far <= near
    assert np.isfinite(far)


def test_a_window_goes_on_after_as_many_updates_as_int32_counts():
    law = count_all(StalenessHistogram.window(5), np.arange(5, dtype=np.int32))
    # As it would be 3 updates before the largest number, each value in its place of the ring.
    updates = MOST - 3
    law = law._replace(updates=jnp.int32(updates), values=jnp.roll(law.values, updates % 5))
    law = count_all(law, np.arange(100, 109, dtype=np.int32))
    assert sorted(law.values.tolist()) == [104, 105, 106, 107, 108]
    assert MOST - 5 < int(law.updates) <= MOST


def test_a_law_that_never_forgets_stops_before_its_counts_could_wrap():
    law = StalenessHistogram.cumulative(bins=2).count(1)
    law = law._replace(counts=jnp.array([2**30, 2**30 - 4, 1], jnp.int32), updates=jnp.int32(MOST - 2))
    law = count_all(law, np.array([1, 1, 1, 1], np.int32))
    assert law.weights.tolist() == [2**30, 2**30 - 2, 1]
    assert int(law.updates) == MOST
    assert [float(law.cdf(2, kind)) for kind in ("mid", "inclusive")] == [1.0, 1.0]
    assert float(law.cdf(0)) == 0.25
    assert float(law.probability(0)) == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StalenessHistogram.decay(1e8), "half_life must be at most 1e.06 updates, since in float32"),
        (lambda: StalenessHistogram.window(2**40), "length must be an integer from 1 to 16777216, got 1099511627776"),
        (lambda: StalenessHistogram.window(bins=2**40), "bins must be an integer from 1 to 1048576, got"),
        (lambda: StalenessHistogram.cumulative(bins=10**12), "bins must be an integer from 1 to 1048576, got"),
        (lambda: StalenessHistogram.from_staleness([1], bins=10**12), "bins must be an integer from 1 to 1048576, got"),
        (lambda: StalenessHistogram.one_shot(2**40, 2**41), "start must be an integer from 0 to 2147483646, got"),
        (lambda: StalenessHistogram.window(warm_up=2**31), "warm_up must be an integer from 0 to 2147483647, got"),
    ],
)
def test_options_that_memory_or_int32_cannot_hold_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_half_life_that_is_taken_is_kept():
    law = jax.jit(lambda law: jax.lax.fori_loop(0, 100_000, lambda _, law: law.count(1), law.count(0)))(
        StalenessHistogram.decay(100_000.0, bins=2)
    )
    assert float(law.weights[0]) == pytest.approx(0.5, rel=0.05)


def test_optax_steps_are_damped_by_the_largest_staleness_not_turned_around():
    tx = optax.chain(jasgd.staleness_adaptive(rules.inverse()), optax.sgd(1.0))
    step, _ = tx.update(jnp.float32(1), tx.init(jnp.float32(0)), staleness=MOST)
    assert -1e-9 < float(step) < 0

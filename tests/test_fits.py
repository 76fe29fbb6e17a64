"""Models of the staleness distribution: each is recognised as itself, at the distance that it is said to have."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import jasgd
from jasgd import fits
from jasgd.fits import MODELS, LawFit, bhattacharyya, fit

N = 20_000


def conway_maxwell_poisson(rate, nu, length=400):
    i = np.arange(length)
    logs = i * math.log(rate) - nu * np.array([math.lgamma(k + 1) for k in i])
    p = np.exp(logs - logs.max())
    return p / p.sum()


def samples():
    r = np.random.default_rng(0)
    return {
        "Poisson": r.poisson(7.0, N),
        "geometric": r.geometric(0.2, N) - 1,
        "uniform": r.integers(3, 12, N),
        "negative binomial": r.negative_binomial(3, 0.3, N),
        "Conway-Maxwell-Poisson": r.choice(400, N, p=conway_maxwell_poisson(20, 2)),
    }


#: parameter → (what the sample was drawn with, relative tolerance: about four standard errors)
PARAMETERS = {
    "Poisson": {"rate": (7.0, 0.02)},
    "geometric": {"p": (0.2, 0.03)},
    "uniform": {"low": (3, 0), "high": (11, 0)},
    "negative binomial": {"r": (3.0, 0.1), "p": (0.3, 0.1)},
    "Conway-Maxwell-Poisson": {"log_rate": (math.log(20), 0.1), "nu": (2.0, 0.1)},
}


def test_the_samples_are_of_every_model():
    assert set(samples()) == set(PARAMETERS) == set(MODELS)


@pytest.mark.newest
@pytest.mark.parametrize("model", MODELS)
def test_a_sample_of_a_model_is_recognised_with_its_parameters(model):
    fits = fit(samples()[model])
    assert fits[0].model == model
    assert sorted(f.model for f in fits) == sorted(MODELS)
    assert fits[0].distance < 0.001
    for name, (true, tolerance) in PARAMETERS[model].items():
        assert fits[0].parameters[name] == pytest.approx(true, rel=tolerance), name


def independent_pmf(law_fit: LawFit, length):
    i, p = np.arange(length), law_fit.parameters
    return {
        "Poisson": lambda: scipy.stats.poisson.pmf(i, p["rate"]),
        "geometric": lambda: scipy.stats.geom.pmf(i + 1, p["p"]),
        "uniform": lambda: scipy.stats.randint.pmf(i, p["low"], p["high"] + 1),
        "negative binomial": lambda: scipy.stats.nbinom.pmf(i, p["r"], p["p"]),
        "Conway-Maxwell-Poisson": lambda: conway_maxwell_poisson(math.exp(p["log_rate"]), p["nu"])[:length],
    }[law_fit.model]()


@pytest.mark.parametrize("sample", ["Poisson", "negative binomial", "Conway-Maxwell-Poisson"])
def test_pmfs_and_distances_are_those_of_an_independent_computation(sample):
    values = samples()[sample]
    p = np.bincount(values) / N
    for law_fit in fit(values):
        q = independent_pmf(law_fit, len(p))
        np.testing.assert_allclose(law_fit.pmf, q, rtol=1e-3, atol=1e-9)
        assert law_fit.distance == pytest.approx(-math.log(np.sqrt(p * q).sum()), abs=1e-6)


def far_laws():
    """Staleness of up to 100,000, as where one worker of many stalls: around a mode, and falling from 0 on."""
    r = np.random.default_rng(0)
    return {
        "peaked": np.append(r.poisson(50_000, 2000), 100_000),
        "falling": np.append(r.geometric(1e-4, 2000), 100_000),
    }


@pytest.mark.parametrize("shape", far_laws())
def test_conway_maxwell_poisson_sums_few_terms_of_a_far_law_and_the_right_ones(shape, monkeypatch):
    sizes = []

    def noted(logarithms):
        sizes.append(len(logarithms))
        return scipy.special.logsumexp(logarithms)

    monkeypatch.setattr(fits, "_log_sum", noted)
    pmf = np.bincount(far_laws()[shape]) / 2001
    parameters, log_q = fits.conway_maxwell_poisson(pmf)
    i = np.arange(4 * len(pmf) + 200)
    terms = i * parameters["log_rate"] - parameters["nu"] * scipy.special.gammaln(i + 1)
    np.testing.assert_allclose(log_q[pmf > 0], (terms - scipy.special.logsumexp(terms))[: len(pmf)][pmf > 0], rtol=1e-9)
    if shape == "peaked":  # of 400,000; a law that falls slowly has no small part that counts
        assert np.median(sizes) < 10_000


def test_the_distance_of_small_distributions_by_hand():
    assert bhattacharyya(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0
    assert bhattacharyya(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == math.inf
    assert bhattacharyya(np.array([0.9, 0.1]), np.array([0.1, 0.9])) == pytest.approx(-math.log(0.6))


@given(st.lists(st.integers(0, 9), min_size=2, max_size=12), st.lists(st.integers(0, 9), min_size=2, max_size=12))
@settings(max_examples=100, deadline=None)
def test_the_distance_is_symmetric_and_none_of_a_distribution_to_itself(one, other):
    p, q = (np.bincount(values, minlength=10) / len(values) for values in (one, other))
    assert bhattacharyya(p, p) == pytest.approx(0, abs=1e-15)
    assert bhattacharyya(p, q) == bhattacharyya(q, p) >= 0
    assert math.isinf(bhattacharyya(p, q)) == (not set(one) & set(other))


def distances(values):
    return {f.model: f.distance for f in fit(values)}


def require_nested(distance):
    for general in ("negative binomial", "Conway-Maxwell-Poisson"):
        for special in ("Poisson", "geometric"):
            assert distance[general] <= distance[special] + 1e-6, (general, special)  # r is finite, so never Poisson's


@pytest.mark.parametrize("sample", [*MODELS, "constant and large"])
def test_a_model_that_contains_another_is_no_farther(sample):
    require_nested(distances(np.full(50, 298) if sample == "constant and large" else samples()[sample]))


def test_of_models_that_tie_the_one_with_fewer_parameters_comes_first():
    fits = fit(samples()["Poisson"])
    first, *rest = fits
    assert first.model == "Poisson"
    nearer = {f.model for f in rest if f.distance < first.distance}
    assert nearer <= {"negative binomial", "Conway-Maxwell-Poisson"}
    assert "Conway-Maxwell-Poisson" in nearer  # so that it is not by its distance that Poisson comes first
    assert first.distance - min(f.distance for f in fits) <= 1 / N


def test_what_is_not_a_tie_goes_by_distance():
    fits = fit(samples()["Conway-Maxwell-Poisson"])  # which no other model comes near
    assert [f.distance for f in fits] == sorted(f.distance for f in fits)
    assert len(fits[0].parameters) > len(fits[-1].parameters)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60))
@settings(max_examples=25, deadline=None)
def test_every_fit_is_a_sub_distribution_at_the_distance_it_tells(values):
    p = np.bincount(values) / len(values)
    fits = fit(np.array(values))
    assert len(fits) == len(MODELS)
    for f in fits:
        assert len(f.pmf) == len(p)
        assert (f.pmf >= 0).all()
        assert f.pmf.sum() <= 1 + 1e-9
        assert f.distance == bhattacharyya(p, f.pmf) >= 0
        assert all(math.isfinite(value) for value in f.parameters.values())
    require_nested({f.model: f.distance for f in fits})
    nearest = min(f.distance for f in fits)
    assert fits[0].distance <= nearest + min(1 / len(values), 0.01)


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([0] * 50, "Poisson"),
        ([5] * 50, "uniform"),
        ([0, 1], "uniform"),
        ([3], "uniform"),
        ([0, 5000], "geometric"),
        ([2, 3] * 50 + [4000], "uniform"),
    ],
)
def test_degenerate_laws_have_finite_fits(values, best):
    fits = fit(np.array(values))
    assert fits[0].model == best
    assert all(math.isfinite(f.distance) for f in fits)
    assert all(str(f).startswith(f.model) for f in fits)


def counted(law, values):
    count = jax.jit(type(law).count)
    for tau in values:
        law = count(law, np.int32(tau))
    return law


def test_a_law_of_any_kind_is_fitted_as_it_stands():
    values = samples()["Poisson"][:300]
    window = counted(jasgd.StalenessHistogram.window(64, bins=8), values)
    # The window's law, whose last bin stands for 8 and more.
    assert float(window.overflow()) > 0.2
    assert fit(window)[0].parameters == fit(np.minimum(values[236:], 8))[0].parameters
    assert {len(f.pmf) for f in fit(window)} == {9}
    decayed = counted(jasgd.StalenessHistogram.decay(50.0), values)
    assert fit(decayed)[0].parameters["rate"] == pytest.approx(float(decayed.mean()), rel=0.15)


def test_bins_behind_what_is_remembered_are_left_out():
    window = counted(jasgd.StalenessHistogram.window(3), (200, 1, 2, 2))  # the 200 is forgotten
    remembered, same = fit(window), fit(np.array([1, 2, 2]))
    assert [(f.model, f.parameters, f.distance) for f in remembered] == [
        (f.model, f.parameters, f.distance) for f in same
    ]
    assert {len(f.pmf) for f in remembered} == {3}


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (jasgd.StalenessHistogram.window(), "law must have counted at least one staleness, got none"),
        (np.array([], np.int32), "law must have counted at least one staleness, got none"),
        (np.array([1.5]), "staleness must be integers ≥ 0"),
        (np.array([-1]), "staleness must be integers ≥ 0"),
    ],
)
def test_what_is_no_law_is_refused(law, message):
    with pytest.raises(ValueError, match=message):
        fit(law)


@pytest.mark.newest
def test_the_law_of_a_real_execution_is_fitted():
    result = jasgd.train(
        lambda w, b: jnp.mean((w - b) ** 2), jnp.zeros(2000), optax.sgd(0.1), lambda t: np.float32(1),
        scheme="leashed", workers=4, steps=800,
    )  # fmt: skip
    fits = fit(result.law)
    limit = min(f.distance for f in fits) + 1 / 800
    tied, rest = [f for f in fits if f.distance <= limit], [f for f in fits if f.distance > limit]
    assert fits == tied + rest
    assert [len(f.parameters) for f in tied] == sorted(len(f.parameters) for f in tied)
    assert [f.distance for f in rest] == sorted(f.distance for f in rest)

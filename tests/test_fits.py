"""Models of the staleness distribution: each is recognised as itself, at the distance that it is said to have."""

import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import jasgd
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
    found = fit(samples()[model])
    assert found[0].model == model
    assert sorted(f.model for f in found) == sorted(MODELS)
    assert found[0].distance < 0.001
    for name, (true, tolerance) in PARAMETERS[model].items():
        assert found[0].parameters[name] == pytest.approx(true, rel=tolerance), name


def independent_pmf(found: LawFit, length):
    i, p = np.arange(length), found.parameters
    return {
        "Poisson": lambda: scipy.stats.poisson.pmf(i, p["rate"]),
        "geometric": lambda: scipy.stats.geom.pmf(i + 1, p["p"]),
        "uniform": lambda: scipy.stats.randint.pmf(i, p["low"], p["high"] + 1),
        "negative binomial": lambda: scipy.stats.nbinom.pmf(i, p["r"], p["p"]),
        "Conway-Maxwell-Poisson": lambda: conway_maxwell_poisson(math.exp(p["log_rate"]), p["nu"])[:length],
    }[found.model]()


@pytest.mark.parametrize("sample", ["Poisson", "negative binomial", "Conway-Maxwell-Poisson"])
def test_pmfs_and_distances_are_those_of_an_independent_computation(sample):
    values = samples()[sample]
    p = np.bincount(values) / N
    for found in fit(values):
        q = independent_pmf(found, len(p))
        np.testing.assert_allclose(found.pmf, q, rtol=1e-3, atol=1e-9)
        assert found.distance == pytest.approx(-math.log(np.sqrt(p * q).sum()), abs=1e-6)


def test_the_distance_of_small_distributions_by_hand():
    assert bhattacharyya(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0
    assert bhattacharyya(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == math.inf
    assert bhattacharyya(np.array([0.9, 0.1]), np.array([0.1, 0.9])) == pytest.approx(-math.log(0.6))


def test_a_model_that_contains_another_is_no_farther():
    for values in samples().values():
        distance = {f.model: f.distance for f in fit(values)}
        for general in ("negative binomial", "Conway-Maxwell-Poisson"):
            for special in ("Poisson", "geometric"):
                assert distance[general] <= distance[special] + 1e-6  # r ends at a million, short of Poisson


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60))
@settings(max_examples=25, deadline=None)
def test_every_fit_is_a_sub_distribution_at_the_distance_it_tells(values):
    p = np.bincount(values) / len(values)
    found = fit(np.array(values))
    assert len(found) == len(MODELS)
    for f in found:
        assert len(f.pmf) == len(p)
        assert (f.pmf >= 0).all()
        assert f.pmf.sum() <= 1 + 1e-7  # lnΓ of a large r is exact to some 1e-9
        assert f.distance == bhattacharyya(p, f.pmf) >= 0
        assert all(math.isfinite(value) for value in f.parameters.values())
    nearest = min(f.distance for f in found)
    assert found[0].distance <= nearest + min(1 / len(values), 0.01)


@pytest.mark.parametrize(
    ("values", "best"),
    [([0] * 50, "Poisson"), ([5] * 50, "uniform"), ([0, 1], "uniform"), ([3], "uniform"), ([0, 5000], "geometric")],
)
def test_degenerate_laws_have_finite_fits(values, best):
    found = fit(np.array(values))
    assert found[0].model == best
    assert all(math.isfinite(f.distance) for f in found)
    assert all(str(f).startswith(f.model) for f in found)


def test_a_law_of_any_kind_is_fitted_as_it_stands():
    values = samples()["Poisson"]
    window = jasgd.StalenessHistogram.window(64, bins=8)
    for tau in values[:300]:
        window = window.count(int(tau))
    # The window's law, whose last bin stands for 8 and more.
    assert fit(window)[0].parameters == fit(np.minimum(values[236:300], 8))[0].parameters
    decayed = jasgd.StalenessHistogram.decay(50.0)
    for tau in values[:300]:
        decayed = decayed.count(int(tau))
    assert fit(decayed)[0].parameters["rate"] == pytest.approx(float(decayed.mean()), rel=0.15)


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
    found = fit(result.law)
    limit = min(f.distance for f in found) + 1 / 800
    tied, rest = [f for f in found if f.distance <= limit], [f for f in found if f.distance > limit]
    assert found == tied + rest
    assert [len(f.parameters) for f in tied] == sorted(len(f.parameters) for f in tied)
    assert [f.distance for f in rest] == sorted(f.distance for f in rest)

"""Steps by the distance since the read: the factor, its mean, and that it is what a run needs."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, ids
from support.problems import network

import jasgd
from jasgd import rules
from jasgd.distances.parabolas import parabola
from jasgd.distances.table import parse_distance_rule

TEXTS = ["tail", "parabola:kappa=0.7", "parabola:kappa=4", "tail:measure=path", "parabola:measure=path,window=16"]


def factors(tx, distances):
    """C of each update whose parameters lie that far from those that were read."""
    state, found = tx.init(jnp.zeros(2)), []
    update = jax.jit(lambda state, read: tx.update(jnp.ones(2), state, jnp.zeros(2), read_params=read))
    for distance in distances:
        updates, state = update(state, jnp.float32([distance, 0]))
        assert updates.tolist() == [state.factor] * 2 or np.isnan(state.factor)
        found.append(float(state.factor))
    return found


@pytest.mark.parametrize("window", [1, 3, 8])
def test_tail_by_distance_is_tail_over_the_ranks(window):
    distances = np.random.default_rng(window).integers(0, 5, 40)
    found = factors(jasgd.distance_adaptive(rules.tail(0.8), window=window), distances)
    for k, factor in enumerate(found):
        last = distances[max(0, k + 1 - window) : k + 1]
        middle = np.mean(last < distances[k]) + np.mean(last == distances[k]) / 2
        assert factor == pytest.approx(1 + 0.8 * (1 - 2 * middle), abs=1e-6)


@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.0, 5.0])
def test_the_parabola_is_over_its_mean_in_the_window(kappa):
    distances = np.random.default_rng(7).gamma(1.0, 3.0, 30)
    found = factors(jasgd.distance_adaptive(parabola(kappa), window=8), distances)
    for k, factor in enumerate(found):
        squares = distances[max(0, k - 7) : k + 1] ** 2
        shape = np.maximum(1 - kappa * squares / squares.mean(), 0)
        assert factor == pytest.approx(shape[-1] / shape.mean() if shape.any() else 1, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("rule", ["tail", "parabola:kappa=0.5", "parabola:kappa=3"])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_the_mean_over_a_window_is_one_at_every_scale(rule, scale):
    parsed = parse_distance_rule(rule).rule
    law = jasgd.distances.law.DistanceLaw.window(64)
    for distance in np.random.default_rng(3).gamma(1.0, 1.0, 100).round(1):
        law = law.count(np.float32(distance * scale))
    mean = np.mean([float(parsed(distance, law)) for distance in np.asarray(law.values)])
    assert mean == pytest.approx(1, abs=2e-6)


@pytest.mark.parametrize("rule", [text for text in TEXTS if "path" not in text])
@pytest.mark.parametrize("distance", [0.0, 2.0, 1e-30, 1e30])
def test_equal_distances_leave_the_step_as_it_is(rule, distance):
    assert factors(jasgd.distance_adaptive(rule), [distance] * 5) == [1.0] * 5


def test_a_distance_that_is_not_finite_is_not_counted_and_shows():
    found = factors(jasgd.distance_adaptive("tail"), [1.0, np.nan, np.inf, 1.0])
    assert found[0] == found[3] == 1.0
    assert np.isnan(found[1:3]).all()


def test_the_path_is_the_sum_of_the_steps_since_the_read():
    tx = jasgd.distance_adaptive(rules.tail(), measure="path", window=4)
    state, norms = tx.init(jnp.zeros(2)), []
    for k, (size, tau) in enumerate([(3.0, 0), (1.0, 1), (2.0, 0), (5.0, 3), (1.0, 2), (1.0, 6)]):
        expected = sum(norms[len(norms) - tau :]) if tau <= 4 else sum(norms[-4:]) * tau / 4
        updates, state = tx.update(jnp.float32([size, 0]), state, staleness=tau)
        assert float(state.law.values[k % 4]) == pytest.approx(expected, rel=1e-6)
        norms.append(float(jnp.linalg.norm(updates)))


@pytest.mark.parametrize("scheme", ids(EVERY))
@pytest.mark.parametrize("rule", ["tail", "measured_parabola", "parabola:kappa=0.7,measure=path"])
def test_every_scheme_trains_by_distance_and_replays_to_the_same_bits(scheme, rule):
    params, loss_fn, batches = network()
    tx = optax.chain(jasgd.distance_adaptive(rule, window=32), optax.sgd(0.05))
    workers = 1 if scheme == "sequential" else 3
    result = jasgd.train(loss_fn, params, tx, batches, scheme=EVERY[scheme], workers=workers, steps=40)
    assert result.outcome == "finished"
    if "hogwild" not in scheme:  # whose torn reads nothing can repeat
        assert jasgd.replay(result, loss_fn, tx, batches).exact
    # Under Hogwild what was read may have the update in it already; from update 32 on the measured bend may be 0.
    if "hogwild" not in scheme and result.execution.staleness[:30].any():
        assert len(set(result.execution.factor.tolist())) > 1
    assert result.metrics["mean_factor"] == pytest.approx(result.execution.factor.mean(), rel=1e-6)


@pytest.mark.parametrize("rule", ["tail:steady=true", "measured_parabola", "tail:measure=path"])
def test_a_run_goes_on_with_what_it_knew_of_distances(rule, tmp_path):
    params, loss_fn, batches = network()
    tx = optax.chain(jasgd.distance_adaptive(rule, window=16), optax.sgd(0.05))
    options = {"workers": 2, "resume": tmp_path / "kept", "checkpoint": jasgd.Checkpoints(tmp_path / "kept")}
    for steps in (30, 60):
        result = jasgd.train(loss_fn, params, tx, batches, steps=steps, **options)
    assert int(result.opt_state[0].law.updates) == result.execution.commits == 60
    assert jasgd.replay(result, loss_fn, tx, batches).exact


def test_a_run_is_simulated_by_distance():
    params, loss_fn, batches = network()
    tx = optax.chain(jasgd.distance_adaptive("tail"), optax.sgd(0.05))
    ran = jasgd.train(loss_fn, params, tx, batches, workers=3, steps=60)
    (again,) = jasgd.simulate(loss_fn, params, tx, batches, execution=ran.execution)
    # Ranks of nearly equal distances may turn, so a few factors differ by a step of the distribution function.
    assert np.median(np.abs(again.execution.factor - ran.execution.factor)) < 1e-4


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"rule": "nope"}, ValueError, "rule by distance must be one of tail, parabola.*got 'nope'"),
        ({"rule": "inverse"}, ValueError, "rule must read the law to be one by distance"),
        ({"rule": "constant"}, ValueError, "rule must read the law"),
        ({"rule": "best_linear:c=0.1"}, ValueError, "rule by distance must be one without numbers in updates"),
        ({"rule": "inverse:normalized=true"}, ValueError, "would depend on the unit of the parameters"),
        ({"rule": "tail_published:workers=2"}, ValueError, "rule must bring no law of its own"),
        ({"rule": "tail:window=0"}, ValueError, "window must be an integer ≥ 1, got 0"),
        ({"rule": "tail:measure=straight"}, ValueError, "measure must be one of distance, path, got 'straight'"),
        ({"rule": "parabola:kappa=-1"}, ValueError, "kappa must be a finite number ≥ 0, got -1"),
        ({"rule": "parabola:kappa=high"}, ValueError, "kappa must be a number, got 'high'"),
        (
            {"rule": "parabola:cdf=mid"},
            ValueError,
            "rule 'parabola' has the options kappa, window, measure, steady; got 'cdf'",
        ),
        ({"rule": rules.inverse()}, ValueError, "rule must read the law"),
        ({"rule": rules.tail}, TypeError, "call it"),
        ({"rule": 3}, TypeError, "rule must be a function"),
        ({"window": 2**24 + 1}, ValueError, "window must be an integer from 1 to 16777216"),
        ({"window": 1.5}, ValueError, "window must be an integer ≥ 1, got 1.5"),
        ({"measure": "walk"}, ValueError, "measure must be one of distance, path"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, kind, message):
    with pytest.raises(kind, match=message):
        jasgd.distance_adaptive(**arguments)


def test_parameters_are_needed_where_the_distance_is_measured():
    tx = jasgd.distance_adaptive("tail")
    with pytest.raises(ValueError, match="distance_adaptive needs the current parameters"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)), read_params=jnp.ones(2))

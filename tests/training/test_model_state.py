"""The model state: what a loss makes beside the gradient is published with the parameters, and merged as documented."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import same_bits
from support.every_scheme import EVERY
from support.model_states import DECAY, HAS_READ, Overtaken, followed, normalized, plain, transformation

import jasgd
from jasgd.testing import watched

CONSISTENT = {name: EVERY[name] for name in ("sequential", "synchronous", "locked", "leashed")} | {
    "locked, by reference": jasgd.schemes.locked(reading="reference", native=False),
    "locked, carrying": jasgd.schemes.locked(reading="carry"),
}
ALL = CONSISTENT | {"hogwild": EVERY["hogwild"]}


def run(scheme, *, steps=40, workers=None, **options):
    params, model_state, loss_fn, batches = normalized()
    workers = (1 if scheme == "sequential" else 3) if workers is None else workers
    return jasgd.train(loss_fn, params, transformation(), batches, scheme=ALL.get(scheme, scheme), workers=workers,
                       steps=steps, has_aux=True, model_state=model_state, **options)  # fmt: skip


def replayed(result, **options):
    _, _, loss_fn, batches = normalized()
    return jasgd.replay(result, loss_fn, transformation(), batches, **options)


@pytest.mark.newest
@pytest.mark.parametrize("scheme", ["sequential", "leashed", "locked"])
def test_one_worker_gives_the_bits_of_the_plain_loop(scheme):
    params, model_state, loss_fn, batches = normalized()
    tx, initial = optax.adam(1e-2), (params, model_state)
    gradient = jax.jit(jax.value_and_grad(loss_fn, has_aux=True))
    update = jax.jit(lambda g, s, p: (lambda u, s: (optax.apply_updates(p, u), s))(*tx.update(g, s, p)))
    state = tx.init(params)
    for ticket in range(50):
        (_, (model_state, _)), grads = gradient(params, batches(ticket), model_state=model_state)
        params, state = update(grads, state, params)
    result = jasgd.train(loss_fn, initial[0], tx, batches, scheme=ALL[scheme], workers=1, steps=50, has_aux=True,
                         model_state=initial[1])  # fmt: skip
    assert same_bits(result.params, params)
    assert same_bits(plain(result.model_state), plain(model_state))
    assert jax.tree.map(lambda leaf: leaf.dtype, result.model_state) == jax.tree.map(lambda x: x.dtype, initial[1])


@pytest.mark.parametrize("scheme", CONSISTENT)
def test_each_commit_merges_as_documented_and_replays_exactly(scheme):
    result = run(scheme)
    _, _, loss_fn, batches = normalized()
    expected = plain(followed(result, loss_fn, transformation(), batches))
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, rtol=2e-5),
                 plain(result.model_state), expected)  # fmt: skip
    again = replayed(result)
    assert again.exact, again.difference
    assert again.compared == ("params", "model_state", "opt_state")
    assert same_bits(plain(again.model_state), plain(result.model_state))
    assert plain(replayed(result, upto=10).model_state)["count"] == 3 + 10 * len(result.execution) // 40


@pytest.mark.parametrize("scheme", HAS_READ)
def test_a_state_that_was_overtaken_replaces_averages_and_adds_to_counters(scheme):
    result = run(watched(ALL[scheme], Overtaken(scheme)), workers=2, steps=5)
    assert result.execution.staleness[:4].tolist() == [0, 0, 0, 3]
    _, initial, loss_fn, batches = normalized()
    again, ex = replayed(result), result.execution
    assert again.exact, again.difference
    state = plain(replayed(result, upto=4).model_state)
    new = loss_fn(result.initial_params, batches(int(ex.ticket[3])), model_state=initial)[1][0]
    np.testing.assert_allclose(state["average"]["mean"], new["average"]["mean"], rtol=1e-5)
    np.testing.assert_allclose(state["average"]["var"], new["average"]["var"], rtol=1e-5)
    assert state["count"] == 3 + 4
    assert result.aux["read"][:4].tolist() == [3, 4, 5, 3]


@pytest.mark.parametrize("scheme", HAS_READ)
def test_moving_averages_are_merged_as_if_nothing_had_been_stale(scheme):
    merge = jasgd.moving_averages(DECAY)
    result = run(watched(ALL[scheme], Overtaken(scheme)), workers=2, steps=5, merge=merge)
    assert result.execution.staleness[:4].tolist() == [0, 0, 0, 3]
    again, ex = replayed(result, merge=merge), result.execution
    assert again.exact, again.difference
    _, _, _, batches = normalized()
    mean = np.zeros(5)
    for row in range(5):
        at = replayed(result, merge=merge, upto=int(ex.version_read[row])).params
        mean = DECAY * mean + (1 - DECAY) * np.mean(batches(int(ex.ticket[row]))["x"] @ at["w1"], axis=0)
    np.testing.assert_allclose(result.model_state["average"]["mean"], mean, rtol=1e-4)
    assert result.model_state["count"] == 3 + 5


@pytest.mark.parametrize("scheme", CONSISTENT)
def test_integer_counters_count_every_gradient(scheme):
    result = run(scheme, steps=500)
    assert len(result.execution) == 500 * (3 if scheme == "synchronous" else 1)
    assert int(result.model_state["count"]) == 3 + len(result.execution)
    assert not len(result.execution.dropped)


def test_gradients_that_are_dropped_leave_no_trace_in_the_state():
    result = run("leashed:persistence=0", workers=4, steps=300)
    assert int(result.model_state["count"]) == 3 + 300
    assert replayed(result).exact


def test_synchronous_states_are_averaged_and_what_else_there_is_comes_from_the_last_ticket():
    result = run("synchronous", steps=1)
    _, initial, loss_fn, batches = normalized()
    made = [loss_fn(result.initial_params, batches(ticket), model_state=initial)[1][0] for ticket in range(3)]
    means = np.mean([one["average"]["mean"] for one in made], axis=0)
    np.testing.assert_allclose(result.model_state["average"]["mean"], means, rtol=1e-5)
    assert int(result.model_state["count"]) == 3 + 3
    np.testing.assert_array_equal(result.model_state["hits"], sum(one["hits"] for one in made))
    np.testing.assert_array_equal(jax.random.key_data(result.model_state["key"]), jax.random.key_data(made[2]["key"]))


@pytest.mark.parametrize("scheme", ALL)
def test_a_merge_of_ones_own_sees_published_new_and_read(scheme):
    def merge(published, new, read):
        return new | {"count": published["count"] + 2 * (new["count"] - read["count"])}

    result = run(scheme, merge=merge, workers=1, steps=20)
    assert int(result.model_state["count"]) == 3 + 2 * 20
    assert replayed(result, merge=merge).exact


def test_a_merge_that_does_not_ask_for_what_was_read():
    result = run("leashed", merge=_largest)
    assert (np.asarray(result.model_state["average"]["var"]) >= 1).all()
    assert replayed(result, merge=_largest).exact


def _largest(published, new):
    return new | {"average": jax.tree.map(jnp.maximum, published["average"], new["average"])}


def test_views_and_snapshots_have_parameters_and_model_state_of_one_version():
    torn = []

    def evaluate(params, model_state, opt_state):
        torn.append((int(model_state["count"]), int(opt_state[0].law.updates)))
        return 0.0

    result = run("leashed", steps=300, evaluate=evaluate, evaluate_every_s=0.01)
    assert torn[0] == (3, 0)
    assert torn[-1] == (303, 300)
    assert all(count == 3 + updates for count, updates in torn)
    # What each gradient was computed on counts its version as well.
    np.testing.assert_array_equal(result.aux["read"], 3 + result.execution.version_read)


@pytest.mark.parametrize("scheme", ["locked", "locked, by reference", "locked, carrying", "leashed", "hogwild"])
def test_large_parameters_whose_memory_is_used_again_leave_the_state_alone(scheme):
    def loss_fn(w, batch, model_state):
        same = model_state["same"]
        return jnp.mean((w - batch) ** 2), {"same": same, "count": model_state["count"] + 1}

    state = {"same": jnp.arange(300_000.0), "count": jnp.int32(0)}
    result = jasgd.train(loss_fn, jnp.zeros(300_000), optax.sgd(0.1), np.float32, scheme=ALL[scheme], workers=3,
                         steps=60, model_state=state)  # fmt: skip
    np.testing.assert_array_equal(result.model_state["same"], np.arange(300_000.0))
    np.testing.assert_array_equal(state["same"], np.arange(300_000.0))
    assert int(result.model_state["count"]) == 60 or scheme == "hogwild"


def test_a_run_that_diverges_gives_the_state_of_the_parameters_that_it_gives():
    params, model_state, loss_fn, batches = normalized()

    def breaking(params, batch, model_state):
        loss, more = loss_fn(params, batch, model_state)
        return jnp.where(model_state["count"] > 12, jnp.nan, loss), more

    result = jasgd.train(breaking, params, transformation(), batches, scheme="leashed", workers=1, steps=40,
                         has_aux=True, model_state=model_state, throw=False)  # fmt: skip
    assert result.outcome == "diverged"
    assert int(result.model_state["count"]) == 3 + result.execution.metadata["params_version"]
    assert jasgd.replay(result, breaking, transformation(), batches).exact


def test_numbers_of_the_state_that_are_not_finite_end_no_run():
    def loss_fn(w, batch, model_state):
        return jnp.sum(w**2), {"inf": model_state["inf"] * 2, "nan": jnp.full((), jnp.nan)}

    state = {"inf": jnp.asarray(np.inf), "nan": jnp.zeros(())}
    for scheme in ALL:
        result = jasgd.train(loss_fn, jnp.ones(3), optax.sgd(0.1), np.float32, scheme=ALL[scheme], workers=1, steps=20,
                             model_state=state)  # fmt: skip
        assert result.outcome == "finished"
        assert np.isnan(result.model_state["nan"])


def test_a_state_without_leaves_is_one():
    result = jasgd.train(lambda w, batch, model_state: (jnp.sum(w**2), model_state), jnp.ones(3), optax.sgd(0.1),
                         np.float32, workers=2, steps=10, model_state={})  # fmt: skip
    assert result.model_state == {}
    assert result.execution.commits == 10


def test_transformations_are_given_the_parameters_alone():
    tx = optax.chain(jasgd.delay_compensated(0.1), optax.adamw(1e-2))
    params, model_state, loss_fn, batches = normalized()
    for scheme in ("locked", "hogwild", "leashed", "synchronous"):
        result = jasgd.train(loss_fn, params, tx, batches, scheme=ALL[scheme], workers=2, steps=30, has_aux=True,
                             model_state=model_state)  # fmt: skip
        assert jax.tree.structure(result.params) == jax.tree.structure(params)
        assert scheme == "hogwild" or jasgd.replay(result, loss_fn, tx, batches).exact


def test_native_rounds_say_why_there_are_none():
    result = run("leashed", steps=2)
    assert result.execution.metadata["native"] is False
    params, model_state, loss_fn, batches = normalized()
    result = jasgd.train(loss_fn, params, optax.sgd(0.1), batches, workers=1, steps=2, has_aux=True,
                         model_state=model_state)  # fmt: skip
    assert result.execution.metadata["why_not_native"] == "native rounds carry no model_state"
    with pytest.raises(ValueError, match="native rounds carry no model_state"):
        run("leashed:native=true", steps=2)

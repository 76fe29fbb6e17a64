"""What is refused of a model state before a run, in words that say what to do."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd

TX = optax.sgd(0.1)
STATE = {"mean": jnp.zeros(2), "count": jnp.int32(0)}


def asks(w, batch, model_state):
    return jnp.sum(w**2), model_state


def plain(w, batch):
    return jnp.sum(w**2)


def returning(new, aux=None):
    return lambda w, batch, model_state: (jnp.sum(w**2), new(model_state) if aux is None else (new(model_state), aux))


def both(loss_fn, params=None, **options):
    """What train and simulate raise, which must be the same."""
    params = jnp.ones(3) if params is None else params
    messages = []
    for call in (
        lambda: jasgd.train(loss_fn, params, TX, np.float32, workers=1, steps=2, **options),
        lambda: jasgd.simulate(loss_fn, params, TX, np.float32, cluster=jasgd.Cluster(compute_s=1.0), workers=2,
                               steps=2, **options),
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError)) as caught:
            call()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    return messages[0]


@pytest.mark.parametrize(
    ("loss_fn", "options", "words"),
    [
        (plain, {"model_state": STATE}, "loss_fn must ask for it by name"),
        (asks, {}, "model_state must be given, as loss_fn asks for it by that name; got None"),
        (plain, {"merge": asks}, "merge must be left out where there is no model_state"),
        (asks, {"model_state": STATE, "merge": 3}, "merge must be a function of (published, new) or None, got int 3"),
        (asks, {"model_state": {"n": 3}}, "model_state['n'] must be a jax or NumPy array, got int 3"),
        (asks, {"model_state": {"n": np.array(["a"])}}, "model_state['n'] must be an array of numbers, got dtype <U1"),
        (plain, {"evaluate": lambda w, model_state: 0.0}, "model_state must be given, as evaluate asks for it"),
        (lambda w, batch, model_state: jnp.sum(w), {"model_state": STATE},
         "loss_fn must return (loss, new_state) where it is given model_state, got float32[]"),
        (asks, {"model_state": STATE, "has_aux": True},
         "loss_fn must return (loss, (new_state, aux)) where it is given model_state with has_aux=True"),
        (returning(lambda s: s, aux=jnp.zeros(())), {"model_state": STATE},
         "must have model_state['count'], which is missing: pass has_aux=True"),
        (returning(lambda s: {"mean": s["mean"]}), {"model_state": STATE},
         "the new state that loss_fn returns must have model_state['count'], which is missing"),
        (returning(lambda s: s | {"more": s["mean"]}), {"model_state": STATE},
         "must have the leaves that it was given, got model_state['more'] too"),
        (returning(lambda s: s | {"mean": jnp.zeros(3)}), {"model_state": STATE},
         "must have model_state['mean'] as float32[2], got float32[3]"),
        (returning(lambda s: s | {"count": s["count"] + 0.5}), {"model_state": STATE},
         "must have model_state['count'] as int32[], got float32[]"),
        (returning(lambda s: list(s)), {"model_state": (jnp.zeros(2), jnp.zeros(3))}, "must have the nodes"),
        (asks, {"model_state": STATE, "merge": lambda published, new: new["mean"]},
         "the new state that merge returns must have model_state['count'], which is missing"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_model_state_is_refused_by_name(loss_fn, options, words):
    assert words in both(loss_fn, **options)


def test_a_loss_whose_model_state_has_a_default_trains_without_one():
    def loss_fn(w, batch, model_state=None):
        return jnp.sum(w**2)

    result = jasgd.train(loss_fn, jnp.ones(3), TX, np.float32, workers=1, steps=2)
    assert result.model_state is None
    assert result.initial_model_state is None


def test_a_loss_may_ask_for_its_key_as_well():
    def loss_fn(w, batch, *, key, model_state):
        return jnp.sum(w**2), {"drawn": jax.random.uniform(key), "count": model_state["count"] + 1}

    state = {"drawn": jnp.zeros(()), "count": np.int32(0)}
    result = jasgd.train(loss_fn, jnp.ones(3), TX, np.float32, workers=2, steps=9, model_state=state, seed=3)
    drawn = [float(jax.random.uniform(jax.random.fold_in(jax.random.key(3), t))) for t in result.execution.ticket]
    assert float(result.model_state["drawn"]) == np.float32(drawn[-1])
    assert jasgd.replay(result, loss_fn, TX, np.float32).exact
    (same,) = jasgd.simulate(loss_fn, jnp.ones(3), TX, np.float32, execution=result.execution, seeds=[3],
                             model_state=state)  # fmt: skip
    assert float(same.model_state["drawn"]) == np.float32(drawn[-1])


def test_the_callers_state_is_not_changed_and_may_be_deleted():
    state = {"mean": np.zeros(2, np.float32), "count": jnp.int32(0)}

    def loss_fn(w, batch, model_state):
        state["mean"][:] = 5
        return jnp.sum(w**2), {"mean": model_state["mean"] + 1, "count": model_state["count"] + 1}

    result = jasgd.train(loss_fn, jnp.ones(3), TX, np.float32, workers=1, steps=3, model_state=state)
    np.testing.assert_array_equal(result.model_state["mean"], 3.0)
    np.testing.assert_array_equal(result.initial_model_state["mean"], 0.0)
    state["count"].delete()
    with pytest.raises(ValueError, match=re.escape("model_state['count'] must hold its numbers")):
        jasgd.train(loss_fn, jnp.ones(3), TX, np.float32, workers=1, steps=3, model_state=state)


def test_the_decay_of_moving_averages_is_checked():
    for wrong in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=re.escape(f"decay must be a number in [0, 1), got {wrong}")):
            jasgd.moving_averages(wrong)
    with pytest.raises(TypeError, match="decay must be a number"):
        jasgd.moving_averages("0.9")


def test_a_replay_names_what_does_not_belong_to_the_run():
    def loss_fn(w, batch, model_state):
        return jnp.sum(w**2), {"mean": model_state["mean"] + 1, "count": model_state["count"] + 1}

    merge = jasgd.moving_averages(0.5)
    result = jasgd.train(loss_fn, jnp.ones(3), TX, np.float32, workers=1, steps=3, model_state=STATE, merge=merge)
    assert jasgd.replay(result, loss_fn, TX, np.float32, merge=jasgd.moving_averages(0.5)).exact
    with pytest.raises(jasgd.ReplayError, match=re.escape("which was made with moving_averages(0.5); got none")):
        jasgd.replay(result, loss_fn, TX, np.float32)
    with pytest.raises(jasgd.ReplayError, match=re.escape("got moving_averages(0.9)")):
        jasgd.replay(result, loss_fn, TX, np.float32, merge=jasgd.moving_averages(0.9))
    result.initial_model_state["count"] = jnp.int32(7)
    with pytest.raises(jasgd.ReplayError, match="initial_model_state of the result must be that which the run began"):
        jasgd.replay(result, loss_fn, TX, np.float32, merge=merge)

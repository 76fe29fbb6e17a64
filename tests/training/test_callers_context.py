"""The kind: what a caller set by ``with`` or in a context variable does not hold where workers run his code."""

import contextvars
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd

REQUEST = contextvars.ContextVar("request", default="none")


def drawn(params, ticket):
    """A loss with a mask that is drawn in the compiled function, as dropout is."""
    mask = jax.random.bernoulli(jax.random.fold_in(jax.random.key(1), ticket), 0.5, params.shape)
    return jnp.mean(mask * (params - 1.0) ** 2)


def surroundings():
    return REQUEST.get(), jax.config.jax_threefry_partitionable, jax.sharding.get_abstract_mesh().axis_names


@pytest.mark.newest
@pytest.mark.parametrize("native", [True, False])
def test_workers_have_all_that_the_caller_has_and_replay_refuses_another_by_name(native):
    seen, tx = set(), optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.1))

    def batches(ticket):
        if threading.current_thread().name.startswith("jasgd-worker"):
            seen.add(surroundings())
        return np.int32(ticket)

    arguments = drawn, tx, batches
    setting = jax.set_mesh if hasattr(jax, "set_mesh") else jax.sharding.use_mesh
    token = REQUEST.set("seventh")
    try:
        with jax.threefry_partitionable(False), setting(jax.make_mesh((1,), ("x",))):
            scheme = jasgd.schemes.leashed(native=native)
            result = jasgd.train(drawn, jnp.zeros(40), tx, batches, scheme=scheme, workers=2, steps=40)
            assert seen == {("seventh", False, ("x",))}
            assert jasgd.replay(result, *arguments).exact
    finally:
        REQUEST.reset(token)
    with pytest.raises(jasgd.ReplayError, match="jax_threefry_partitionable is 'True', recorded was 'False'"):
        jasgd.replay(result, *arguments)
    with pytest.warns(RuntimeWarning, match="jax_threefry_partitionable"):
        elsewhere = jasgd.replay(result, *arguments, strict=False)
    assert not elsewhere.exact  # it does decide bits
    assert {m.name for m in elsewhere.environment} == {"jax_threefry_partitionable", "abstract_mesh_context_manager"}


def test_a_scheme_of_ones_own_and_callbacks_of_the_loss_have_the_callers_context_variables():
    seen = {"read": set(), "commit": set(), "loss": set()}

    class Noting(jasgd.schemes.Locked):
        def read(self, worker):
            seen["read"].add(REQUEST.get())
            return super().read(worker)

        def commit(self, gradient):
            seen["commit"].add(REQUEST.get())
            return super().commit(gradient)

    def noted(x):
        seen["loss"].add(REQUEST.get())
        return x

    def loss(params, batch):
        value = jnp.mean((params - batch) ** 2)
        extra = jax.pure_callback(noted, jax.ShapeDtypeStruct((), jnp.float32), jax.lax.stop_gradient(value))
        return value + 0 * jax.lax.stop_gradient(extra)

    context = contextvars.copy_context()
    context.run(REQUEST.set, "seventh")
    context.run(
        jasgd.train, loss, jnp.zeros(3), optax.sgd(0.1), lambda t: np.ones(3), scheme=Noting, workers=2, steps=9
    )
    assert seen == {name: {"seventh"} for name in seen}
    assert REQUEST.get() == "none"


def test_a_setting_that_a_worker_cannot_take_over_ends_the_run(monkeypatch):
    """The kind: a worker's thread ends before its loop, and nobody hears of it."""

    def inherited():
        def run(*_):
            raise RuntimeError("not in this thread")

        return run

    monkeypatch.setattr("jasgd.training.engines.threads.inherited", inherited)
    result = jasgd.train(
        lambda w, b: jnp.mean((w - b) ** 2),
        jnp.zeros(3),
        optax.sgd(0.1),
        lambda t: np.ones(3),
        workers=2,
        steps=9,
        throw=False,
    )
    assert (result.outcome, "RuntimeError: not in this thread" in result.message) == ("failed", True)


def test_older_records_are_compared_on_what_they_have():
    from jasgd.record.environment import describe_environment, mismatches

    present = describe_environment()
    older = {name: value for name, value in present.items() if name != "settings"}
    assert mismatches(older, present) == mismatches(present, older) == []
    settings = present["settings"]
    fewer = {name: value for name, value in settings.items() if name != "jax_scan3"}
    # Another version of JAX has other settings, and is refused as such; what both have is compared all the same.
    other = present | {"jax": "0.5", "settings": fewer | {"jax_softmax_custom_jvp": "True"}}
    assert [m.name for m in mismatches(other, present)] == ["jax", "jax_softmax_custom_jvp"]
    assert [m.name for m in mismatches(present | {"settings": fewer}, present)] == ["jax_scan3"]

"""Large parameters: updates and reads use memory again, and no reader that may still hold it sees a change."""

import functools
import itertools
import threading
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd.core.compiled import Compiled
from jasgd.core.recycling import LARGE, Copies

SIZE = LARGE // 4 + 77  # float32 numbers that are large together
SCHEMES = {
    "leashed": "leashed",
    "locked": "locked",
    "locked, carrying": jasgd.schemes.locked(reading="carry"),
    "hogwild": "hogwild",
}
WRITTEN = {
    "leashed": "apply_into",
    "locked": "copy_into",
    "locked, carrying": "copy_into",
    "hogwild": "update_in_place",
}


@pytest.fixture
def written(monkeypatch):
    """How often each function that writes to old memory was called by workers."""
    counts = dict.fromkeys(WRITTEN.values(), 0)

    def counted(name):
        compiled = Compiled.__dict__[name]

        def of(self):
            function = compiled.__get__(self if self.shares is None else self.shares, Compiled)

            def call(*args):
                counts[name] += threading.current_thread().name.startswith("jasgd-worker")
                return function(*args)

            return call

        wrapped = functools.cached_property(of)
        wrapped.__set_name__(Compiled, name)
        return wrapped

    for name in counts:
        monkeypatch.setattr(Compiled, name, counted(name))
    return counts


def falling(w, batch):
    """Its gradient is one everywhere."""
    return jnp.sum(w) * batch


def one(ticket):
    return np.float32(1)


def linear(size=SIZE):
    """Bits that depend on all that came before: a regression with noise of the ticket's."""

    def loss_fn(params, batch):
        return jnp.mean((params["w"] * batch + params["b"]) ** 2)

    def batches(ticket):
        return np.random.default_rng(ticket).normal(size=size).astype(np.float32)

    return loss_fn, {"w": jnp.ones(size), "b": jnp.float32(0.5)}, batches


@pytest.mark.newest
@pytest.mark.parametrize("scheme", SCHEMES)
def test_old_memory_is_written_to_and_no_update_is_lost(scheme, written):
    workers, steps = (1, 200) if scheme == "hogwild" else (4, 400)
    result = jasgd.train(
        lambda w, batch: (falling(w, batch), {"least": w.min(), "greatest": w.max()}), jnp.zeros(SIZE), optax.sgd(1.0),
        one, scheme=SCHEMES[scheme], workers=workers, steps=steps, has_aux=True,
    )  # fmt: skip
    np.testing.assert_array_equal(result.params, -float(steps))
    if scheme != "hogwild":
        for column in result.aux.values():  # no thread wrote to what a worker computed on
            np.testing.assert_array_equal(column, -result.execution.version_read)
    assert written[WRITTEN[scheme]] > steps / 2


@pytest.mark.parametrize(
    "tx", [optax.sgd(0.1), optax.adam(0.01), optax.sgd(0.1, momentum=0.9)], ids=["sgd", "adam", "mom"]
)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_bits_are_those_of_fresh_memory(scheme, tx, monkeypatch):
    loss_fn, params, batches = linear()
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), tx)

    def run():
        return jasgd.train(loss_fn, params, tx, batches, scheme=SCHEMES[scheme], workers=1, steps=30)

    again = run()
    for kind in (jasgd.schemes.Leashed, jasgd.schemes.Locked, jasgd.schemes.Hogwild):
        monkeypatch.setattr(kind, "reuse_memory", lambda scheme: None)
    fresh = run()
    for one_leaf, other in zip(jax.tree.leaves((again.params, again.opt_state)),
                               jax.tree.leaves((fresh.params, fresh.opt_state)), strict=True):  # fmt: skip
        np.testing.assert_array_equal(one_leaf, other)
    np.testing.assert_array_equal(again.execution.loss, fresh.execution.loss)


def test_a_run_that_used_memory_again_is_replayed_bit_by_bit(written):
    loss_fn, params, batches = linear()
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.1))
    result = jasgd.train(loss_fn, params, tx, batches, scheme="leashed", workers=3, steps=60)
    assert written["apply_into"] > 20
    replayed = jasgd.replay(result, loss_fn, tx, batches)
    np.testing.assert_array_equal(replayed.params["w"], result.params["w"])


@pytest.mark.newest
@pytest.mark.parametrize("scheme", ["leashed", "locked", "locked, carrying"])
def test_what_evaluation_was_shown_is_never_written(scheme, written):
    shown = []

    def evaluate(w):
        view = jax.device_get(w)  # over the same memory, and no reference to the array
        shown.append((view, float(view[0])))
        return -2.0 if len(shown) == 10 else 0.0  # ends the run

    jasgd.train(
        falling,
        jnp.zeros(SIZE),
        optax.sgd(1.0),
        one,
        scheme=SCHEMES[scheme],
        workers=2,
        target_loss=-1.0,
        time_limit_s=60,
        evaluate=evaluate,
        evaluate_every_s=0.02,
    )
    assert written[WRITTEN[scheme]] > 10
    assert len(shown) >= 10
    for view, value in shown:
        np.testing.assert_array_equal(view, value)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_aux_that_is_a_parameter_keeps_its_value(scheme, written):
    def loss_fn(params, batch):
        return (jnp.sum(params["w"]) + params["b"]) * batch, {"b": params["b"]}

    start = {"w": jnp.zeros(SIZE), "b": jnp.float32(0)}
    result = jasgd.train(
        loss_fn, start, optax.sgd(1.0), one, scheme=SCHEMES[scheme], workers=1, steps=120, has_aux=True
    )
    np.testing.assert_array_equal(result.aux["b"], -np.arange(120.0))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_diverged_run_still_has_its_last_good_parameters(scheme):
    def loss_fn(w, batch):
        return jnp.sum(w) * batch

    def batches(ticket):
        return np.float32(np.nan if ticket == 50 else 1)

    result = jasgd.train(
        loss_fn, jnp.zeros(SIZE), optax.sgd(1.0), batches, scheme=SCHEMES[scheme], workers=1, steps=100, throw=False
    )
    assert result.outcome == "diverged"
    np.testing.assert_array_equal(result.params, -float(result.execution.metadata["params_version"]))


def test_a_leaf_of_the_state_that_stays_as_it_is_stays_as_it_is(written):

    def init(params):
        return {"same": jnp.full(SIZE, 3.0), "count": jnp.zeros(SIZE)}

    def update(updates, state, params=None):
        return updates, {"same": state["same"], "count": state["count"] + 1}

    tx = optax.chain(optax.GradientTransformation(init, update), optax.sgd(1.0))
    result = jasgd.train(falling, jnp.zeros(SIZE), tx, one, scheme="leashed", workers=3, steps=200)
    assert written["apply_into"] > 100
    np.testing.assert_array_equal(result.params, -200.0)
    np.testing.assert_array_equal(result.opt_state[0]["same"], 3.0)
    np.testing.assert_array_equal(result.opt_state[0]["count"], 200.0)


@pytest.mark.parametrize("scheme", [jasgd.schemes.Leashed, jasgd.schemes.Locked])
def test_a_scheme_that_is_watched_keeps_what_it_has_read(scheme, written):
    seen = []

    class Derived(scheme):
        def read(self, worker):
            view = super().read(worker)
            seen.append((view.version, jax.device_get(view.params)))
            return view

    jasgd.train(falling, jnp.zeros(SIZE), optax.sgd(1.0), one, scheme=Derived, workers=1, steps=20)
    assert sum(written.values()) == 0
    for version, (leaf,) in seen:
        np.testing.assert_array_equal(leaf, -float(version))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_small_parameters_and_other_dtypes_train_without_a_warning(scheme):
    def rising(w, batch):
        return jnp.sum(w - jax.lax.stop_gradient(w)) * batch.astype(w.dtype)

    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
        for size in (3, SIZE * 2):
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                result = jasgd.train(
                    rising, jnp.zeros(size, dtype), optax.sgd(1.0), one, scheme=SCHEMES[scheme], workers=1, steps=5
                )
            np.testing.assert_array_equal(result.params.astype(jnp.float32), -5.0)


def test_no_more_is_kept_than_workers_can_hold():
    copies, held = Copies(workers=2), []
    for i in range(50):
        leaf = jnp.float32(i)
        held.append(leaf)  # for ever
        copies.keep(None, (leaf,))
        assert copies.unheld() is None
    held.clear()
    del leaf
    assert len(list(itertools.takewhile(lambda memory: memory is not None, iter(copies.unheld, 0)))) == 8

"""What functions may ask for by name: a loss for its key, batches and a transformation for the worker."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, ids

import jasgd
from jasgd.inputs.asked import seed_words

pytestmark = pytest.mark.newest

DATA = jasgd.minibatches(np.arange(24, dtype=np.float32).reshape(12, 2), 2)
TX = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.01))


def drawn_loss(w, batch, key):
    """A loss whose gradient depends on its key; aux is what the key gives."""
    kept = jax.random.bernoulli(key, 0.5, w.shape)
    return jnp.mean((w * kept - batch) ** 2), jax.random.uniform(key)


def workers_of(scheme):
    return 1 if scheme == "sequential" else 3


def run(loss_fn, tx=TX, batches=DATA, *, scheme="leashed", has_aux=False, seed=5, workers=None, steps=40):
    workers = workers_of(scheme) if workers is None else workers
    scheme = EVERY.get(scheme, scheme)
    return jasgd.train(
        loss_fn, jnp.ones(2), tx, batches, scheme=scheme, workers=workers, steps=steps, has_aux=has_aux, seed=seed
    )


@pytest.mark.parametrize("scheme", ids(EVERY))
def test_the_key_is_that_of_seed_and_ticket_whatever_the_scheme(scheme):
    result = run(drawn_loss, scheme=scheme, has_aux=True)
    ticket = result.execution.ticket
    expected = [float(jax.random.uniform(jax.random.fold_in(jax.random.key(5), t))) for t in ticket.tolist()]
    np.testing.assert_array_equal(result.aux["aux"], np.float32(expected))
    assert len(set(expected)) == len(expected)


@pytest.mark.parametrize("scheme", ids(name for name in EVERY if "hogwild" not in name))
def test_a_replay_has_the_same_keys(scheme):
    result = run(drawn_loss, scheme=scheme, has_aux=True)
    assert jasgd.replay(result, drawn_loss, TX, DATA).exact
    result.execution.metadata["seed"] = 6
    assert not jasgd.replay(result, drawn_loss, TX, DATA).exact


def test_a_simulation_has_the_same_keys():
    result = run(drawn_loss, has_aux=True)
    same, other = jasgd.simulate(
        drawn_loss, jnp.ones(2), TX, DATA, execution=result.execution, seeds=[5, 6], has_aux=True
    )
    np.testing.assert_array_equal(same.aux["aux"], result.aux["aux"])
    np.testing.assert_allclose(same.params, result.params, rtol=1e-5)
    assert not np.isclose(other.aux["aux"], result.aux["aux"]).any()


def test_simulated_keys_where_batches_are_stacked():
    draw = lambda ticket: DATA(ticket)  # noqa: E731 (no Minibatches, whose rows are gathered)
    result = run(drawn_loss, batches=draw, has_aux=True)
    (same,) = jasgd.simulate(drawn_loss, jnp.ones(2), TX, draw, execution=result.execution, seeds=[5], has_aux=True)
    np.testing.assert_array_equal(same.aux["aux"], result.aux["aux"])


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1])
def test_seeds_below_2_32_give_the_key_of_jax(seed):
    np.testing.assert_array_equal(seed_words(seed), jax.random.key_data(jax.random.key(seed)))


def test_seeds_that_differ_in_their_lowest_64_bits_give_other_keys():
    words = [tuple(seed_words(seed)) for seed in (0, 1, 2**32, 2**32 + 1, 2**63, -1, -2)]
    assert len(set(words)) == len(words)


def test_a_key_that_was_bound_beforehand_is_left_alone():
    def loss_fn(w, batch, key):
        return jnp.mean((w - batch) ** 2), jax.random.uniform(key)

    own = jax.random.key(99)
    for bound in (functools.partial(loss_fn, key=own), functools.partial(functools.partial(loss_fn, key=own))):
        assert set(run(bound, has_aux=True, steps=5).aux["aux"]) == {np.float32(jax.random.uniform(own))}


def test_a_key_with_a_default_is_given_all_the_same():
    def loss_fn(w, batch, *, key=None):
        assert key is not None
        return jnp.mean((w - batch) ** 2)

    assert run(loss_fn, steps=3).outcome == "finished"


def worker_counter():
    """Counts the updates of each worker."""

    def update(updates, state, params=None, *, worker, **extra):
        return updates, state.at[worker].add(1)

    return optax.GradientTransformationExtraArgs(lambda params: jnp.zeros(4, jnp.int32), update)


def of_worker(ticket, worker):
    return np.float32(10 * worker + ticket % 2)


def loss_of_worker(w, batch):
    return jnp.mean((w - batch) ** 2), batch


@pytest.mark.parametrize("scheme", ids(name for name in EVERY if "native" not in name))
def test_batches_and_a_transformation_know_the_worker(scheme):
    tx = optax.chain(worker_counter(), TX)
    result = run(loss_of_worker, tx, of_worker, scheme=scheme, has_aux=True)
    execution = result.execution
    np.testing.assert_array_equal(result.aux["aux"], 10 * execution.worker + execution.ticket % 2)
    counts = np.bincount(execution.worker, minlength=4)
    # The mean of several workers' gradients is nobody's: -1, which JAX takes for the last place.
    expected = [0, 0, 0, execution.commits] if scheme == "synchronous" else counts
    if scheme != "hogwild":  # which loses updates of the state
        np.testing.assert_array_equal(result.opt_state[0], expected)
        assert jasgd.replay(result, loss_of_worker, tx, of_worker).exact
    (again,) = jasgd.simulate(loss_of_worker, jnp.ones(2), tx, of_worker, execution=execution, seeds=[5], has_aux=True)
    np.testing.assert_array_equal(again.aux["aux"], result.aux["aux"])
    np.testing.assert_array_equal(again.opt_state[0], expected)


def test_read_params_and_worker_may_both_be_asked_for():
    def update(updates, state, params=None, *, worker, read_params, **extra):
        return jax.tree.map(lambda u, p: u + 0 * p + 0 * worker, updates, read_params), state

    both = optax.GradientTransformationExtraArgs(lambda params: (), update)
    result = run(loss_of_worker, optax.chain(both, TX), of_worker, has_aux=True)
    assert jasgd.replay(result, loss_of_worker, optax.chain(both, TX), of_worker).exact
    (again,) = jasgd.simulate(
        loss_of_worker, jnp.ones(2), optax.chain(both, TX), of_worker, execution=result.execution, seeds=[5],
        has_aux=True,
    )  # fmt: skip
    np.testing.assert_allclose(again.params, result.params, rtol=1e-5)


def test_native_rounds_with_a_worker_are_refused_by_name():
    with pytest.raises(ValueError, match="native must be False, as tx asks for the worker"):
        run(loss_of_worker, optax.chain(worker_counter(), TX), of_worker, scheme="locked:native=true", has_aux=True)

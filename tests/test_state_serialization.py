"""The kind "a state that others cannot keep": every state of ours through serializers, copies and tree utilities."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd import StalenessHistogram, rules

PARAMS = {"w": jnp.ones(3)}
STATES = {
    "window": lambda: jasgd.staleness_adaptive(rules.tail(), StalenessHistogram.window(8)),
    "decay": lambda: jasgd.staleness_adaptive(rules.tail(), StalenessHistogram.decay(10.0, bins=5, warm_up=2)),
    "one_shot": lambda: jasgd.staleness_adaptive(rules.tail(), StalenessHistogram.one_shot(1, 3, bins=5)),
    "published": lambda: jasgd.staleness_adaptive(rules.tail_published(np.int64(3), "leashed")),
    "chained": lambda: optax.MultiSteps(
        optax.chain(jasgd.staleness_adaptive(rules.tail()), optax.sgd(0.1, momentum=0.9)), 4
    ),
    "by distance": lambda: jasgd.distance_adaptive("tail:window=8"),
    "by path": lambda: jasgd.distance_adaptive("tail:window=8,measure=path"),
    "by measured distance": lambda: jasgd.distance_adaptive("measured_parabola:window=8"),
    "compensated": lambda: optax.chain(jasgd.delay_compensated(mean_square_decay=0.9), optax.sgd(0.1)),
}


def flax_bytes(state, empty):
    serialization = pytest.importorskip("flax.serialization")
    return serialization.from_bytes(empty, serialization.to_bytes(state))


def flax_dict(state, empty):
    serialization = pytest.importorskip("flax.serialization")
    return serialization.from_state_dict(empty, serialization.to_state_dict(state))


KEEPERS = {
    "flax_bytes": flax_bytes,
    "flax_dict": flax_dict,
    "pickle": lambda state, empty: pickle.loads(pickle.dumps(state)),
    "deepcopy": lambda state, empty: copy.deepcopy(state),
    "copy": lambda state, empty: copy.copy(state),
    "by_path": lambda state, empty: jax.tree.unflatten(
        jax.tree.structure(empty), [leaf for _, leaf in jax.tree_util.tree_leaves_with_path(state)]
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_a_state_comes_back_and_goes_on_as_if_it_had_not_been_away(name):
    tx = STATES[name]()
    more = {"read_params": PARAMS} if name == "compensated" else {"staleness": np.int32(3)}
    if "distance" in name:
        more = {"read_params": {"w": jnp.zeros(3)}, "staleness": np.int32(3), "value": np.float32(1)}
    traces = []

    @jax.jit
    def update(*arguments, **options):
        traces.append(1)
        return tx.update(*arguments, **options)

    empty = tx.init(PARAMS)
    _, state = update(PARAMS, empty, PARAMS, **more)
    expected = update(PARAMS, state, PARAMS, **more)
    for keeper, keep in KEEPERS.items():
        back = keep(state, empty)
        assert jax.tree.structure(back) == jax.tree.structure(state), keeper
        again = update(PARAMS, back, PARAMS, **more)
        for one, other in zip(jax.tree.leaves((back, again)), jax.tree.leaves((state, expected)), strict=True):
            assert one.dtype == other.dtype, keeper
            np.testing.assert_array_equal(one, other, err_msg=keeper)
    assert len(traces) == 1  # what came back is the same to JAX


def test_a_checkpoint_of_orbax_restores_a_state(tmp_path):
    checkpoint = pytest.importorskip("orbax.checkpoint")
    tx = STATES["window"]()
    _, state = tx.update(PARAMS, tx.init(PARAMS), staleness=3)
    with checkpoint.StandardCheckpointer() as keeper:
        keeper.save(tmp_path / "state", state)
        keeper.wait_until_finished()
        back = keeper.restore(tmp_path / "state", tx.init(PARAMS))
    assert jax.tree.structure(back) == jax.tree.structure(state)
    assert back.law.values.tolist() == state.law.values.tolist()


def test_optax_finds_and_sets_what_is_in_a_state():
    tx = STATES["chained"]()
    _, state = tx.update(PARAMS, tx.init(PARAMS), PARAMS, staleness=3)
    assert float(optax.tree.get(state, "factor")) == 1.0
    assert int(optax.tree.get(state, "updates")) == 0  # MultiSteps goes on inside with the fourth
    changed = optax.tree.set(state, factor=jnp.float32(7.0))
    assert float(optax.tree.get(changed, "factor")) == 7.0
    assert jax.tree.structure(changed) == jax.tree.structure(state)
    assert jax.tree.structure(optax.tree.map_params(tx, lambda x: x, state)) == jax.tree.structure(state)


def test_the_leaves_of_a_law_are_its_arrays_alone():
    for law in (StalenessHistogram.window(4), StalenessHistogram.decay(2.0), rules.tail_published(2).law):
        leaves = jax.tree.leaves(law)
        assert len(leaves) == 2
        assert all(isinstance(leaf, jax.Array) for leaf in leaves)
        assert isinstance(hash(jax.tree.structure(law)), int)

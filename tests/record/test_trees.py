"""The kind: what is restored by position, with casts, or without looking at what it was.

Leaves go by path; shapes, dtypes, kinds of keys and types of nodes are those of the given structure, or it is refused.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
from support.agreement import same_bits
from support.results import result_of
from support.saved_runs import Layer

import jasgd


def save(folder, params=None, opt_state=()):
    """The folder of a run with these parameters and this optimizer state."""
    return dataclasses.replace(result_of([1.0]), params=params, opt_state=opt_state).save(folder, overwrite=True)


def load(folder, like=None):
    return jasgd.TrainResult.load(folder, params_like=like).params


def load_state(folder, like):
    return jasgd.TrainResult.load(folder, opt_state_like=like).opt_state


A, B = jnp.arange(3.0), jnp.arange(3.0) + 10


def test_leaves_go_by_path_whatever_the_order(tmp_path):
    folder = save(tmp_path, {"a": A, "b": B})
    assert same_bits(load(folder, {"b": A, "a": A}), {"a": A, "b": B})

    class Swapped(NamedTuple):
        bias: jax.Array
        kernel: jax.Array

    Swapped.__name__ = "Layer"  # as after its fields were put into another order
    folder = save(tmp_path, Layer(kernel=A, bias=B))
    assert same_bits(load(folder, Swapped(bias=A, kernel=A)), Swapped(bias=B, kernel=A))


@pytest.mark.parametrize(
    ("saved", "like", "message"),
    [
        ({"a": A, "b": B}, {"a": A, "c": B}, r"has no leaf \['c'\].* and has the leaf \['b'\]"),
        ({"a": A}, {"a": A, "c": B}, r"has no leaf \['c'\]"),
        ({"a": A, "b": B}, {"a": A}, r"has the leaf \['b'\], which the given structure does not have"),
        ({"a": {"x": A}}, {"a": [A]}, r"has no leaf \['a'\]\[0\]"),
        ({"0": A}, [A], r"has no leaf \[0\].*has the leaf \['0'\]"),
        ({"a": A}, {"a": A[:2]}, r"leaf \['a'\] is of shape \[3\], the given structure has \[2\]"),
        ({"a": A}, {"a": A[:, None]}, r"leaf \['a'\] is of shape \[3\], the given structure has \[3, 1\]"),
        (A, A[0], r"leaf at the top is of shape \[3\]"),
        ({"a": A.astype(jnp.bfloat16)}, {"a": A}, r"leaf \['a'\] is of dtype bfloat16, the .* has float32"),
        ({"a": A}, {"a": A.astype(jnp.bfloat16)}, r"leaf \['a'\] is of dtype float32, the .* has bfloat16"),
        ({"a": A.astype(jnp.bfloat16)}, {"a": A.astype(jnp.float16)}, r"of dtype bfloat16.*float16"),
        ({"a": A.astype(int)}, {"a": A.astype(jnp.uint32)}, r"of dtype int32.*uint32"),
        ({"a": np.arange(3.0)}, {"a": A}, r"of dtype float64, the given structure has float32"),
        ({"a": jax.random.key(0)}, {"a": jax.random.key(0, impl="rbg")}, r"dtype key<fry>, .*has key<rbg>"),
        ({"a": jax.random.key(0)}, {"a": jnp.zeros(2, jnp.uint32)}, r"dtype key<fry>, the given structure has uint32"),
        ({"a": jnp.zeros(2, jnp.uint32)}, {"a": jax.random.key(0)}, r"dtype uint32, the given structure has key<fry>"),
    ],
)  # fmt: skip
def test_a_structure_of_other_leaves_is_refused_by_the_name_of_the_leaf(tmp_path, saved, like, message):
    with pytest.raises(ValueError, match=f"params.npz.*{message}"):
        load(save(tmp_path, saved), like)


def test_the_state_of_another_optimizer_is_refused_by_the_types_of_its_nodes(tmp_path):
    params = {"w": A}
    adam, belief = optax.adam(0.1).init(params), optax.adabelief(0.1).init(params)
    paths = [[jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(state)] for state in (adam, belief)]
    assert paths[0] == paths[1]
    assert [leaf.shape for leaf in jax.tree.leaves(adam)] == [leaf.shape for leaf in jax.tree.leaves(belief)]
    folder = save(tmp_path, params, adam)
    with pytest.raises(ValueError, match=r"opt_state.npz: node \[0\] is of type ScaleByAdamState.* ScaleByBeliefState"):
        load_state(folder, belief)
    assert same_bits(load_state(folder, adam), adam)
    # As does a structure of which only shapes are known, and a run that was loaded without one and saved again.
    assert same_bits(load_state(folder, jax.eval_shape(optax.adam(0.1).init, params)), adam)
    again = jasgd.TrainResult.load(folder).save(tmp_path / "again")
    assert same_bits(load_state(again, adam), adam)
    with pytest.raises(ValueError, match="ScaleByBeliefState"):
        load_state(again, belief)


@jax.tree_util.register_pytree_node_class
class Pair:
    """A node without names for its children."""

    def __init__(self, *children):
        self.children = children

    def tree_flatten(self):
        return self.children, None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


class Alike(Pair):
    """A node that calls both of its children alike."""


jax.tree_util.register_pytree_with_keys(
    Alike,
    lambda node: ([(jax.tree_util.GetAttrKey("x"), child) for child in node.children], None),
    Alike.tree_unflatten,
)

TREES = {
    "names that NumPy takes for itself": {"file": A, "allow_pickle": B, "arr_0": A},
    "names that files take for themselves": {"a/b": A, "../x": B, ".": A, "": B, "x.npy": A, "\0\n": B, "τ'\"": A},
    "keys that look alike": [{"0": A, "[0]": B}, {0: A}],
    "an array alone": A,
    "no leaf": {"a": {}, "b": None},
    "nodes of one's own": {"pair": Pair(A, B), "alike": Alike(B, A)},
    "dtypes that NumPy does not have": {
        name: np.arange(3).astype(getattr(ml_dtypes, name)) for name in ("bfloat16", "float8_e4m3fn", "int4")
    },
    "scalars and empty ones": {
        "s": jnp.float32(3),
        "e": jnp.zeros((0, 2)),
        "b": jnp.array(True),
        "c": jnp.zeros(2, "c8"),
    },
    "keys of random numbers": {"one": jax.random.key(1), "many": jax.random.split(jax.random.key(2, impl="rbg"), 3)},
    "not contiguous": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "another byte order": np.arange(3, dtype=">f4"),
}


@pytest.mark.parametrize("name", TREES)
def test_any_tree_comes_back_and_numpy_reads_it_by_path(tmp_path, name):
    tree = TREES[name]
    folder = save(tmp_path / "run", tree)
    data = jax.tree.map(lambda leaf: jax.random.key_data(leaf) if "random" in name else leaf, tree)
    loaded = load(folder, tree)
    assert jax.tree.structure(loaded) == jax.tree.structure(tree)
    for leaf, expected in zip(jax.tree.leaves(loaded), jax.tree.leaves(tree), strict=True):
        assert leaf.dtype == (expected.dtype.newbyteorder("=") if "order" in name else expected.dtype)
        assert np.array_equal(*(jax.random.key_data(x) if "random" in name else x for x in (leaf, expected)))
    by_path = load(folder)
    assert [np.asarray(leaf).tolist() for leaf in by_path.values()] == [
        np.asarray(leaf).tolist() for leaf in jax.tree.leaves(data)
    ]
    with np.load(folder / "params.npz", allow_pickle=False) as file:
        assert file.files == list(by_path)
        for path, leaf in by_path.items():
            assert file[path].view(leaf.dtype).tobytes() == leaf.tobytes()
            assert leaf.dtype.isbuiltin == 2 or file[path].dtype == leaf.dtype
    if "alike" not in name and "own" not in name:
        assert list(by_path) == [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(tree)]
    again = load(jasgd.TrainResult.load(folder).save(tmp_path / "again"), tree)
    assert jax.tree.structure(again) == jax.tree.structure(tree)


def test_what_jax_cannot_hold_at_present_stays_numpys(tmp_path):
    tree = {"w": np.arange(3.0)}
    loaded = load(save(tmp_path, tree), tree)
    assert loaded["w"].dtype == np.float64
    assert isinstance(loaded["w"], np.ndarray)
    # A Python number is what JAX makes of it.
    assert load(save(tmp_path, {"n": jnp.int32(3)}), {"n": 5}) == {"n": 3}


def test_columns_keep_dtypes_that_numpy_does_not_have(tmp_path):
    aux = {"": np.arange(1).astype(ml_dtypes.bfloat16), "file": np.zeros(1, np.int8), "aux.a": np.zeros(1)}
    loaded = jasgd.TrainResult.load(dataclasses.replace(result_of([1.0]), aux=aux).save(tmp_path)).aux
    assert {name: column.dtype for name, column in loaded.items()} == {name: x.dtype for name, x in aux.items()}

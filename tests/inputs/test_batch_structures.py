"""Mini-batches of any pytree of arrays: its structure comes back, and what would lose something is refused by name."""

import array
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
import scipy.sparse
from jax.experimental import sparse

import jasgd
from jasgd import minibatches
from jasgd.data import as_batches

X, Y = np.arange(24.0, dtype=np.float32).reshape(12, 2), np.arange(12)


class Pair(NamedTuple):
    x: np.ndarray
    y: np.ndarray


class Tensor:
    """An array of another library, such as PyTorch's: no NumPy array, and to be had as one."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self.values


class Unreachable(Tensor):
    """A tensor on another device."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


class Rows:
    """A data set that gives one example at a time; to take it for an array would read all of it."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        pytest.fail("read")


TREES = {
    "one array": X,
    "a JAX array": jnp.asarray(X),
    "a dict": {"image": X, "label": Y},
    "a named tuple": Pair(X, Y),
    "a list of arrays": [X, Y],
    "nested": {"inputs": (X, {"ids": Y}), "nothing": None},
    "another library's": (Tensor(X), Y),
    "a memory map": None,
    "bfloat16": (X.astype(ml_dtypes.bfloat16), Y > 3),
    "array.array": (array.array("d", range(12)),),
}


@pytest.mark.parametrize("name", TREES)
def test_a_batch_has_the_structure_of_the_arrays_and_the_rows_of_its_ticket(name, tmp_path):
    tree = TREES[name]
    if name == "a memory map":
        np.save(tmp_path / "x.npy", X)
        tree = np.load(tmp_path / "x.npy", mmap_mode="r")
    for size in (2, 5):
        batches, of_a_tuple = minibatches(tree, size, seed=1), minibatches((Y,), size, seed=1)
        for ticket in range(7):
            rows = of_a_tuple.rows(ticket)
            expected = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], tree)  # noqa: B023
            batch = batches(ticket)
            assert jax.tree.structure(batch) == jax.tree.structure(tree)
            for got, want in zip(jax.tree.leaves(batch), jax.tree.leaves(expected), strict=True):
                assert (got.dtype, got.shape) == (want.dtype, want.shape)
                np.testing.assert_array_equal(got, want)
                assert got.ctypes.data % 64 == 0


def test_a_list_of_numbers_is_an_array():
    np.testing.assert_array_equal(minibatches([5, 6, 7], 2, shuffle="never")(0), [5, 6])
    x, y = minibatches(([[1.0, 2.0], [3.0, 4.0]], [0, 1]), 1, shuffle="never")(1)
    assert (x.tolist(), y.tolist()) == ([[3.0, 4.0]], [1])


REFUSED = {
    "masked": ({"x": X, "y": np.ma.masked_equal(Y, 3)}, r"arrays\['y'\] .*masked array.*mask would be lost.*filled"),
    "SciPy's sparse": ((scipy.sparse.csr_matrix(X), Y), r"arrays\[0\] .*scipy\.sparse.*csr_matrix.*toarray\(\)"),
    "SciPy's sparse alone": (scipy.sparse.coo_array(X), r"arrays .*coo_array.*toarray\(\)"),
    "JAX's sparse": ({"x": sparse.BCOO.fromdense(jnp.ones((3, 4)))}, r"arrays\['x'\] .*BCOO.*todense\(\)"),
    "numbers": ((1.0, 2.0), r"arrays\[0\] .*float.*np\.asarray"),
    "a tuple of tuples": (((1, 2), (3, 4)), r"arrays\[0\]\[0\] .*int.*np\.asarray"),
    "a scalar array": ({"x": X, "n": np.float32(3)}, r"arrays\['n'\] .*no axis 0"),
    "0-d": ((X, np.zeros(())), r"arrays\[1\] .*no axis 0"),
    "texts": ((X, np.array(["a"] * 12)), r"arrays\[1\] .*dtype <U1"),
    "a list of texts": ((X, ["a"] * 12), r"arrays\[1\]\[0\] .*str"),
    "objects": ((np.array([None] * 12),), r"arrays\[0\] .*dtype object"),
    "times": ({"t": np.zeros(12, "datetime64[s]")}, r"arrays\['t'\] .*dtype datetime64"),
    "fields": ((np.zeros(12, [("a", "f4"), ("b", "i4")]),), r"arrays\[0\] .*fields a, b.*dict"),
    "keys": ((jax.random.split(jax.random.key(0), 12),), r"arrays\[0\] .*key.*jax\.random\.key_data"),
    "ragged": (([[1, 2], [3]], Y), r"arrays\[0\] .*inhomogeneous"),
    "out of reach": ({"x": Unreachable(X)}, r"arrays\['x'\] .*Unreachable.*cuda:0"),
    "a data set": ((Rows(), Y), r"arrays\[0\] .*Rows"),
    "a function": (lambda ticket: X, r"arrays .*function"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_array_of_numbers_is_refused_by_its_path_and_type(name):
    arrays, message = REFUSED[name]
    with pytest.raises(TypeError, match=message):
        minibatches(arrays, 1)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "at least one array"),
        (None, "at least one array"),
        ({"x": X, "y": Y[:5]}, r"lengths \[5, 12\].*12 for arrays\['x'\], 5 for arrays\['y'\]"),
        (np.zeros((0, 3)), r"lengths \[0\]"),
    ],
)
def test_lengths_that_differ_are_named_with_their_paths(arrays, message):
    with pytest.raises(ValueError, match=message):
        minibatches(arrays, 2)


def test_wide_seeds_are_told_apart():
    orders = {
        seed: minibatches(np.arange(60), 60, seed=seed)(0).tolist() for seed in (7, 2**63 + 7, 2**63 + 8, 2**64 - 1)
    }
    assert len({tuple(order) for order in orders.values()}) == 4
    expected = np.random.Generator(np.random.Philox(key=[7, 0])).permutation(60)
    assert orders[7] == expected.tolist()  # as ever


@pytest.mark.parametrize("seed", [1.5, "3", True, 2**64])
def test_a_seed_that_would_be_cut_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be an integer"):
        minibatches(X, 2, seed=seed)


def loss_fn(w, batch):
    return jnp.mean((batch["x"] @ w - batch["y"]) ** 2)


def test_a_dict_trains_replays_and_simulates_like_a_tuple():
    tx, w = optax.sgd(0.001), jnp.zeros(2)
    batches = minibatches({"x": X, "y": Y}, 4, seed=2)
    result = jasgd.train(loss_fn, w, tx, batches, scheme=jasgd.schemes.locked(native=False), workers=2, steps=6)
    assert jasgd.replay(result, loss_fn, tx, batches).exact
    cluster = jasgd.Cluster(compute_s=jasgd.cluster.exponential(1.0))
    gathered, stacked = (
        jasgd.simulate(loss_fn, w, tx, drawn, cluster=cluster, workers=2, steps=6)[0]
        for drawn in (batches, lambda ticket: batches(ticket))
    )
    np.testing.assert_array_equal(gathered.params, stacked.params)


# What comes from elsewhere


def train(batches, params=None):
    return jasgd.train(
        lambda w, batch: jax.tree.leaves(w)[0].sum() * jnp.mean(jax.tree.leaves(batch)[0]),
        jnp.zeros(2) if params is None else params,
        optax.sgd(0.1), batches, scheme=jasgd.schemes.locked(native=False), workers=1, steps=3,
    )  # fmt: skip


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("pulled", [False, True])
@pytest.mark.parametrize("shift", [0, 1])
def test_a_masked_batch_never_loses_its_mask(shift, pulled, first):
    """Aligned or not, pulled or drawn, at the door or later."""
    memory = jasgd.data.aligned_empty((5,), np.float32)
    memory[:] = 1
    values = np.ma.MaskedArray(memory[shift : shift + 4], mask=[1, 0, 0, 0])
    items = [values if i >= first else np.ones(4, np.float32) for i in range(3)]
    with pytest.raises((TypeError, jasgd.TrainingError), match="masked array"):
        train(iter(items) if pulled else items.__getitem__)


def test_masked_parameters_are_refused():
    with pytest.raises(TypeError, match=r"params\['w'\] .*masked array"):
        train(lambda ticket: X, {"w": np.ma.masked_equal(X[0], 1)})


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"x": scipy.sparse.csr_matrix(X)}, r"batches\(0\)\['x'\] .*csr_matrix.*toarray\(\)"),
        ((X, "seven"), r"batches\(0\)\[1\] .*str"),
        ((X, np.array(["a"])), r"batches\(0\)\[1\] .*dtype <U1"),
        ((X, np.array([None])), r"batches\(0\)\[1\] .*dtype object"),
    ],
)
def test_a_first_batch_that_no_loss_can_take_is_refused_by_its_path(batch, message):
    with pytest.raises(TypeError, match=message):
        train(lambda ticket: batch)
    with pytest.raises(TypeError, match=message):
        train(iter([batch]))


@pytest.mark.parametrize("pulled", [False, True])
def test_arrays_of_another_library_are_taken_as_numpys(pulled):
    items = [[Tensor(X), Tensor(Y)]] * 2
    x, y = as_batches(iter(items) if pulled else items.__getitem__)(0)
    assert type(x) is type(y) is np.ndarray
    np.testing.assert_array_equal(x, X)
    assert x.ctypes.data % 64 == 0
    train(iter([[Tensor(X), Tensor(Y)]] * 3))


def test_a_simulation_refuses_and_takes_the_same_batches():
    """It draws many at once and stacks them, which would drop their masks."""
    cluster = jasgd.Cluster(compute_s=jasgd.cluster.exponential(1.0))

    def simulate(items):
        return jasgd.simulate(
            lambda w, batch: jnp.mean((w - batch) ** 2), jnp.zeros(4), optax.sgd(0.1), items.__getitem__,
            cluster=cluster, workers=1, steps=3,
        )  # fmt: skip

    masked = np.ma.MaskedArray(np.ones(4, np.float32), mask=[1, 0, 0, 0])
    with pytest.raises(TypeError, match="masked array"):
        simulate([np.ones(4, np.float32), masked, masked])
    plain, foreign = (simulate([kind(np.ones(4, np.float32))] * 3)[0] for kind in (np.asarray, Tensor))
    np.testing.assert_array_equal(plain.params, foreign.params)

"""A scan is fed the mini-batches that a function of a ticket gives, whichever way it takes them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import assert_close, same_bits
from support.reference_loop import follow
from support.simulations import CLUSTER, full, x64

import jasgd
from jasgd.data import Minibatches
from jasgd.simulating.scan_batches import STACKED_BYTES, batches_for_scans

ARRAYS = (
    np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32),
    np.random.default_rng(1).integers(0, 5, 40).astype(np.int32),
)


def loss_fn(w, batch):
    x, y = batch
    return jnp.mean((x @ w - y) ** 2)


def simulated(batches, params=None, loss_fn=loss_fn, **options):
    settings = {"cluster": CLUSTER, "workers": 3, "steps": 25} | options
    params = jnp.zeros(3) if params is None else params
    return jasgd.simulate(loss_fn, params, optax.sgd(0.05, momentum=0.5), batches, **settings)


@pytest.mark.parametrize(
    ("shuffle", "lanes"),
    [("epoch", "threads"), ("once", "vmap"), full("never", "threads"), full("epoch", "vmap")],
)
def test_rows_that_the_scan_gathers_are_those_of_the_function(shuffle, lanes):
    batches = jasgd.minibatches(ARRAYS, 7, seed=3, shuffle=shuffle)
    for a, b in zip(simulated(batches, seeds=[1, 2], lanes=lanes),
                    simulated(lambda ticket: batches(ticket), seeds=[1, 2], lanes=lanes), strict=True):  # fmt: skip
        assert same_bits(a.params, b.params)
        assert a.execution.hashes() == b.execution.hashes()


def test_no_mini_batch_is_drawn_where_the_scan_gathers_rows(monkeypatch):
    calls = []
    draw = Minibatches.__call__
    monkeypatch.setattr(Minibatches, "__call__", lambda self, ticket: calls.append(ticket) or draw(self, ticket))
    simulated(jasgd.minibatches(ARRAYS, 4), seeds=range(3), evaluate=lambda w: 0.0, evaluate_every_steps=5, steps=100)
    assert set(calls) == {0}  # at the door
    assert len(calls) <= 6


def test_other_functions_are_called_once_a_ticket():
    calls = []

    def batches(ticket):
        calls.append(ticket)
        return ARRAYS[0][:4] + ticket, ARRAYS[1][:4]

    (run,) = simulated(batches)
    assert sorted(calls[2:]) == sorted(run.execution.ticket.tolist())


class Doubled(Minibatches):
    def __call__(self, ticket):
        x, y = super().__call__(ticket)
        return 2 * x, y


def test_a_class_derived_from_minibatches_is_a_function_like_any_other():
    batches = Doubled(ARRAYS, 4, 0, "epoch")
    (run,) = simulated(batches)
    (again,) = simulated(lambda ticket: batches(ticket))
    assert same_bits(run.params, again.params)


def test_minibatches_of_other_arrays_by_seed():
    arrays = {5: ARRAYS, 6: (ARRAYS[0] + 1, ARRAYS[1]), 7: (ARRAYS[0].copy(), ARRAYS[1])}
    kinds = {seed: jasgd.minibatches(of, 4, seed=seed) for seed, of in arrays.items()}
    assert batches_for_scans([kinds[5], kinds[7]], 10).shared != ()
    assert batches_for_scans([kinds[5], kinds[6]], 10).shared == ()
    for lanes, seeds in (("threads", [5, 6]), ("vmap", [5, 7])):
        runs = simulated(jasgd.by_seed(kinds.__getitem__), seeds=seeds, lanes=lanes)
        for seed in seeds:
            tx = optax.sgd(0.05, momentum=0.5)
            expected = follow(loss_fn, jnp.zeros(3), tx, kinds[seed], runs[seed].execution)
            assert_close(runs[seed].params, expected.params[-1], 1e-4)


def test_equal_arrays_of_another_dtype_are_other_arrays():
    with x64():
        whole = np.arange(40.0)[:, None] * np.ones(3)
        kinds = [(whole, ARRAYS[1]), (whole.astype(np.float32), ARRAYS[1])]
        with pytest.raises(ValueError, match=r"same structure, shapes and dtypes for every seed.*float64\[4, 3\]"):
            batches_for_scans([jasgd.minibatches(one, 4) for one in kinds], 10)


def shapes():
    """Mini-batches of every kind that a compiled gradient takes, and the loss of a parameter on them."""
    return {
        "dict": (
            lambda t: {"a": np.full(2, t, np.float32), "b": [np.int32(t), (np.ones((2, 2), bool),)]},
            lambda w, b: jnp.sum((w - b["a"]) ** 2) + b["b"][0] * w.sum() * b["b"][1][0].mean(),
        ),
        "jax": (lambda t: jnp.arange(2.0) + t, lambda w, b: jnp.sum((w - b) ** 2)),
        "float": (lambda t: 0.5 * t, lambda w, b: jnp.sum((w - b) ** 2)),
        "int": (lambda t: t, lambda w, b: jnp.sum((w - b) ** 2)),
        "bool": (lambda t: t % 2 == 0, lambda w, b: jnp.sum(w**2) * b),
        "float32": (lambda t: np.float32(t), lambda w, b: jnp.sum((w - b) ** 2)),
        "float64": (lambda t: np.float64(t), lambda w, b: jnp.sum((w - b) ** 2)),
        "bfloat16": (lambda t: jnp.full(2, t, jnp.bfloat16), lambda w, b: jnp.sum((w - b) ** 2)),
        "weak": (lambda t: jnp.asarray(0.5 * t), lambda w, b: jnp.sum((w - b) ** 2)),
        "key": (
            lambda t: jax.random.fold_in(jax.random.key(1), t),
            lambda w, b: jnp.sum((w - jax.random.normal(b, w.shape, w.dtype)) ** 2),
        ),
        "none": (lambda t: {"a": np.float32(t), "b": None}, lambda w, b: jnp.sum((w - b["a"]) ** 2)),
        "unaligned": (lambda t: np.arange(t, t + 3, dtype=np.float32)[1:], lambda w, b: jnp.sum((w - b) ** 2)),
    }


@pytest.mark.parametrize(
    ("kind", "lanes"),
    [("dict", "threads"), ("float", "vmap"), ("weak", "threads"), ("key", "vmap"), ("bfloat16", "threads")]
    + [full(*pair) for pair in itertools.product(shapes(), ("threads", "vmap"))],
)
def test_mini_batches_of_any_kind(kind, lanes):
    batches, loss = shapes()[kind]
    seen = set()

    def loss_fn(w, batch):
        seen.add(str(jax.tree.map(lambda leaf: (leaf.dtype, leaf.weak_type, leaf.shape), batch)))
        return loss(w, batch)

    tx = optax.sgd(0.01)
    runs = jasgd.simulate(
        loss_fn, jnp.ones(2), tx, batches, cluster=CLUSTER, workers=2, steps=9, seeds=[3, 4], lanes=lanes
    )
    assert len(seen) == 1, seen  # as at the door, so the type of a number of Python's is weak
    for run in runs:
        expected = follow(loss, jnp.ones(2), tx, batches, run.execution)
        assert_close(run.params, expected.params[-1], 1e-4)


def test_a_run_of_several_calls_and_ones_that_evaluations_cut():
    batches = jasgd.minibatches(ARRAYS, 4, seed=3)
    with x64():
        for source in (batches, lambda ticket: batches(ticket)):
            (whole,) = simulated(source, jnp.zeros(3), steps=2500, evaluate=lambda w: 0.0)
            (cut,) = simulated(source, jnp.zeros(3), steps=2500, evaluate=lambda w: 0.0, evaluate_every_steps=391)
            assert_close(whole.params, cut.params)
            assert_close(whole.opt_state, cut.opt_state)
            np.testing.assert_allclose(whole.execution.loss, cut.execution.loss, rtol=1e-6)
            assert [one["version"] for one in cut.evaluations] == [*range(0, 2500, 391), 2500]
        assert whole.execution.commits == 2500


def test_large_mini_batches_are_drawn_a_few_at_a_time():
    large = np.ones(STACKED_BYTES // 20, np.float32)  # five fit
    calls = []

    class Counted:
        def __call__(self, ticket):
            calls.append(ticket)
            return {"x": large, "n": np.float32(ticket)}

    source = batches_for_scans([Counted()], 1024)
    assert source.longest == 4  # with the other leaf, no fifth
    (run,) = simulated(Counted(), jnp.zeros(()), lambda w, b: (w - b["n"] - b["x"][0]) ** 2, steps=10, workers=1)
    expected = follow(
        lambda w, b: (w - b - 1.0) ** 2, jnp.zeros(()), optax.sgd(0.05, momentum=0.5), np.float32, run.execution
    )
    assert_close(run.params, expected.params[-1], 1e-4)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (np.ones(4, np.float32), r"float32\[3\] for ticket 0 and float32\[4\] for ticket 7"),
        ({"a": np.ones(3, np.float32)}, r"float32\[3\] for ticket 0 and \{'a': 'float32\[3\]'\} for ticket 7"),
        (np.ones(3, np.int32), r"float32\[3\] for ticket 0 and int32\[3\] for ticket 7"),
    ],
)
def test_mini_batches_that_change_their_shape_are_refused_by_ticket(odd, message):
    with pytest.raises(ValueError, match=rf"batches must have the same .* for every ticket, got {message}"):
        simulated(lambda t: odd if t == 7 else np.ones(3, np.float32), loss_fn=lambda w, b: jnp.sum((w - b) ** 2))


def test_mini_batches_of_another_size_for_another_seed_are_refused():
    sizes = {0: 4, 1: 5}
    with pytest.raises(ValueError, match=r"same structure, shapes and dtypes for every seed.*\[4, 3\].*\[5, 3\]"):
        simulated(jasgd.by_seed(lambda seed: jasgd.minibatches(ARRAYS, sizes[seed])), seeds=[0, 1])
    with pytest.raises(ValueError, match=r"for every seed"):
        simulated(jasgd.by_seed(lambda seed: lambda t: (ARRAYS[0][: 3 + seed], ARRAYS[1][: 3 + seed])), seeds=[0, 1])


def test_the_arrays_of_the_caller_stay_as_they_were():
    arrays = tuple(a.copy() for a in ARRAYS)
    params = {"w": np.zeros(3, np.float32)}
    for lanes in ("threads", "vmap"):
        simulated(jasgd.minibatches(arrays, 4), params, lambda p, b: loss_fn(p["w"], b), seeds=[0, 1], lanes=lanes)
        kept = jnp.zeros(3)
        runs = simulated(lambda t: (arrays[0][:2], arrays[1][:2]), kept, seeds=[0, 1], lanes=lanes)
        assert not kept.is_deleted()
        assert (np.asarray(kept) == 0).all()
        assert all((np.asarray(run.initial_params) == 0).all() for run in runs)
    assert all((a == b).all() for a, b in zip(arrays, ARRAYS, strict=True))
    assert (params["w"] == 0).all()

"""Hogwild!: that it is what it says it is, torn reads and lost adds included."""

import threading

import jax.numpy as jnp
import numpy as np
import optax
from support.problems import counting

import jasgd
import jasgd.core.health
from jasgd.aligned_memory import ALIGNMENT
from jasgd.core.buffers import Buffers
from jasgd.testing import Event, Interleaving, logged, watched


def train(scheme, *, workers, steps, size=4096):
    params, loss_fn, batches = counting(size)
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.constant()), optax.sgd(1.0))
    return jasgd.train(loss_fn, params, tx, batches, scheme=scheme, workers=workers, steps=steps, has_aux=True)


def test_staleness_is_exact_and_overlapped_reads_are_counted():
    steps, workers = 3000, 8
    result = train("hogwild", workers=workers, steps=steps)
    execution = result.execution
    execution.validate()
    assert execution.version.tolist() == list(range(steps))
    balance = execution.conservation()
    assert (
        balance["applied"] + balance["dropped"] + balance["in_flight"] + balance["gaps"]
        == balance["total"]
        == (workers - 1) * steps
    )
    assert result.counters["overlapped_reads"] > 0
    assert 0 <= result.counters["lost_state_updates"] < steps
    law_updates = int(result.opt_state[0].law.updates)
    assert law_updates == steps - result.counters["lost_state_updates"]


def test_a_forced_interleaving_shows_a_torn_read():
    events: list[Event] = []
    # Worker 0 has added to leaf "a", and adds to leaf "b" when worker 1 has copied both.
    script = [(0, "read"), (0, "copied"), (0, "added 0"), (1, "read"), (1, "copied"), (0, "add 1")]
    interleaving = Interleaving(script)
    result = train(logged(watched(jasgd.schemes.hogwild(), interleaving), events), workers=2, steps=2, size=64)
    assert interleaving.complete
    first_of_1 = next(e for e in events if e.kind == "read" and e.worker == 1)
    a, b = (np.unique(np.asarray(leaf)).tolist() for leaf in first_of_1.params)
    assert (a, b) == ([1.0], [0.0])  # the new "a" beside the old "b"
    assert result.counters["overlapped_reads"] >= 1


def test_a_forced_interleaving_shows_a_lost_add():
    """The processor's add is a load, an addition and a store; here another worker's add is forced in between."""
    interleaving = Interleaving([(0, "loaded"), (1, "loaded"), (1, "stored"), (0, "stored")])

    class Memory(np.ndarray):
        """Shared memory whose in-place add shows its two accesses as points."""

        def __array_ufunc__(self, ufunc, method, *inputs, out, **options):
            worker = int(threading.current_thread().name.rsplit("-", 1)[1])
            loaded = np.array(inputs[0])
            interleaving("loaded", worker)
            result = ufunc(loaded, *inputs[1:], **options)
            interleaving("stored", worker)  # worker 0 stores after worker 1
            out[0].view(np.ndarray)[...] = result

    class Shown(jasgd.schemes.Hogwild):
        def __init__(self, setup):
            super().__init__(setup)
            first, *others = self._shared.leaves
            self._shared.leaves = (first.view(Memory), *others)

    result = train(Shown, workers=2, steps=2, size=64)
    assert interleaving.complete
    assert np.unique(np.asarray(result.params["a"])).tolist() == [1.0]  # two adds of 1, one of them lost
    assert np.unique(np.asarray(result.params["b"])).tolist() == [2.0]


def test_adds_of_two_threads_that_are_let_go_together_lose_updates():
    """The same with nothing but real memory; the two adds overlap for as long as they take, so few tries are needed."""
    steps, lost = 20, 0.0
    for _ in range(50):
        together = threading.Barrier(2, timeout=60)
        scheme = watched(jasgd.schemes.hogwild(), lambda point, worker, b=together: point == "add 0" and b.wait())
        result = train(scheme, workers=2, steps=steps, size=3_000_000)
        lost = steps - float(result.params["a"].min())
        if lost:
            break
    assert lost >= 1
    assert float(result.params["a"].max()) <= steps


def test_a_lost_update_of_the_optimizer_state_is_counted():
    # At "state" both workers have taken the state with nothing in it, and neither has put its own back.
    both = threading.Barrier(2, timeout=30)
    result = train(
        watched(jasgd.schemes.hogwild(), lambda point, worker: point == "state" and both.wait()),
        workers=2, steps=2, size=64,
    )  # fmt: skip
    assert result.counters["lost_state_updates"] == 1
    assert int(result.opt_state[0].law.updates) == 1


def test_parameters_that_the_transformation_asks_for_are_a_private_copy():
    def update(updates, state, params=None, **extra):
        return optax.tree.scale(-0.1, params), state  # weight decay alone; raises without params

    tx = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    result = jasgd.train(
        lambda w, b: jnp.sum(w), jnp.ones(1000), tx, lambda t: 0.0, scheme="hogwild", workers=1, steps=3
    )
    np.testing.assert_allclose(np.asarray(result.params), 0.9**3, rtol=1e-6)


def test_buffers_are_aligned_and_their_copies_private():
    leaves = [np.arange(3, dtype=np.float32), np.ones((2, 5), np.float64), np.zeros((), np.int32)]
    buffers = Buffers(leaves)
    copy = buffers.copy()
    for original, shared, private in zip(leaves, buffers.leaves, copy, strict=True):
        assert shared.ctypes.data % ALIGNMENT == private.ctypes.data % ALIGNMENT == 0
        np.testing.assert_array_equal(shared, original)
        shared += 1
        np.testing.assert_array_equal(private, original)
        assert (private.dtype, private.shape) == (original.dtype, original.shape)


def test_counters_that_are_read_while_an_add_is_under_way_are_no_less_than_none():
    """The kind: two numbers of one count, read while a worker is between them."""
    made, seen = [], []

    class Counted(jasgd.schemes.Hogwild):
        def __init__(self, setup):
            super().__init__(setup)
            made.append(self)

    def look(point, worker):
        if point == "add 0":
            seen.append(made[-1].counters["lost_state_updates"])

    train(watched(Counted, look), workers=1, steps=3, size=64)
    assert seen == [0, 0, 0]


def test_of_two_adds_that_overlap_the_first_is_not_blamed_for_the_second(monkeypatch):
    """The seam of the scheme and the look at what it made: the leaves hold both adds by then, and one is not finite."""
    monkeypatch.setattr(jasgd.core.health, "EVERY", 1)  # each commit is looked at
    # Worker 0 has claimed version 0 when worker 1 reads, and looks when worker 1 has added its NaN as version 1.
    interleaving = Interleaving([(0, "state"), (1, "read"), (1, "added 0"), (0, "added 0")])

    def loss_fn(w, batch):
        product = w * batch
        return jnp.sum(jnp.where(product > 0, jnp.sqrt(product), 0.0))  # finite; its gradient is NaN where batch is 0

    def batches(ticket):
        return np.float32(threading.current_thread().name != "jasgd-worker-1")

    scheme = watched(jasgd.schemes.hogwild(native=False), interleaving)
    result = jasgd.train(
        loss_fn, jnp.full(64, 4.0), optax.sgd(0.01), batches, scheme=scheme, workers=2, steps=2, throw=False
    )
    assert interleaving.complete
    assert result.outcome == "diverged"
    assert "commit 1 or one before it made params not finite" in result.message
    divergence = result.execution.metadata["divergence"]
    assert (divergence["commit"], divergence["exact"], divergence["worker"]) == (1, False, -1)

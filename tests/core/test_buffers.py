"""Shared memory: what a read returns is not written to as long as it is held, and is used again after that."""

import random
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd.core.buffers import Buffers


def leaves():
    return [np.arange(64, dtype=np.float32), np.ones((3, 5), np.float32), np.zeros((), np.float32)]


def where(arrays):
    return [array.unsafe_buffer_pointer() for array in arrays]


def test_a_read_has_the_values_and_is_jax_memory_of_its_own():
    buffers = Buffers(leaves())
    read = buffers.read()
    for leaf, array, shared in zip(read, leaves(), buffers.leaves, strict=True):
        assert isinstance(leaf, jax.Array)
        np.testing.assert_array_equal(leaf, array)
        assert leaf.unsafe_buffer_pointer() % 64 == 0
        assert leaf.unsafe_buffer_pointer() != shared.ctypes.data


def test_memory_that_nobody_holds_is_used_again():
    buffers = Buffers(leaves())
    first = where(buffers.read())
    for _ in range(10):
        np.add(buffers.leaves[0], 1, out=buffers.leaves[0])
        read = buffers.read()
        assert where(read) == first
        np.testing.assert_array_equal(jnp.copy(read[0]), buffers.leaves[0])
        del read


HOLDERS = {
    "the tuple": lambda read: read,
    "a leaf": lambda read: read[1],
    "a NumPy view": lambda read: np.asarray(read[1]),
    "a part of a NumPy view": lambda read: np.asarray(read[1])[1:],
    "a memoryview": lambda read: memoryview(np.asarray(read[1])),
    "a pytree": lambda read: {"params": {"w": read[1]}},
    "a function": lambda read: lambda: read[1],
}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_memory_that_is_held_is_not_written(hold):
    buffers = Buffers(leaves())
    held = hold(buffers.read())

    def values():
        tree = held() if callable(held) else held
        return [np.array(leaf) for leaf in jax.tree.leaves(tree)]

    before = values()
    for _ in range(5):
        for shared in buffers.leaves:
            shared += 1
        buffers.read()
    for array, earlier in zip(values(), before, strict=True):
        np.testing.assert_array_equal(array, earlier)


def test_many_threads_that_read_and_hold_see_no_change_of_what_they_hold():
    buffers, over, faults = Buffers([np.zeros(5000, np.float32)]), threading.Event(), []

    def write():
        while not over.is_set():
            np.add(buffers.leaves[0], 1, out=buffers.leaves[0])

    def read(seed):
        rng, held = random.Random(seed), []
        for _ in range(400):
            (leaf,) = buffers.read()
            held.append((leaf, float(jnp.sum(leaf.astype(jnp.float32)))))
            if rng.random() < 0.5:
                leaf, total = held.pop(rng.randrange(len(held)))
                if float(jnp.sum(leaf)) != total:
                    faults.append(seed)
            del leaf
            held = held[-3:]

    writer = threading.Thread(target=write)
    readers = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
    for thread in (writer, *readers):
        thread.start()
    for thread in readers:
        thread.join()
    over.set()
    writer.join()
    assert faults == []


def test_the_memory_of_reads_is_bounded_by_those_that_are_held():
    buffers, held = Buffers([np.zeros(100, np.float32)]), []
    seen = set()
    for _ in range(500):
        read = buffers.read()
        seen.add(read[0].unsafe_buffer_pointer())
        held = [*held[-2:], read]
        del read
    assert len(seen) <= 4  # three held and the one that is read into


def test_only_a_scheme_that_nobody_watches_uses_memory_again():
    """Whoever wraps a scheme, or derives one of it, may keep what reference counts do not show."""
    seen = []

    class Derived(jasgd.schemes.Hogwild):
        def read(self, worker):
            view = super().read(worker)
            seen.append((view.version, jax.device_get(view.params)))
            return view

    def run(scheme):
        instances = []

        def factory(setup):
            instances.append(scheme(setup))
            return instances[0]

        jasgd.train(lambda w, b: jnp.sum(w), jnp.zeros(5000), optax.sgd(1.0), lambda t: 0.0, scheme=factory, workers=1,
                    steps=20)  # fmt: skip
        return instances[0].reuses_memory

    assert run(jasgd.schemes.Hogwild)
    assert not run(Derived)
    for version, (leaf,) in seen:
        np.testing.assert_array_equal(leaf, -float(version))

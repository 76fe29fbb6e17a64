"""Batches from what can be iterated over: an iterator once, anything else epoch after epoch."""

import threading

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd import BatchesExhausted
from jasgd.data import as_batches
from jasgd.inputs.iterables import EpochsTaken


class Loader:
    """A data loader: each iteration gives the batches anew, in another order."""

    def __init__(self, epochs):
        self.epochs, self.begun = epochs, 0

    def __iter__(self):
        self.begun += 1
        yield from self.epochs[self.begun - 1]


def test_an_iterable_is_begun_anew_each_epoch_from_any_thread():
    loader = Loader([["a", "b", "c"], ["c", "a"], [], ["d"]])
    pulled = as_batches(loader)
    assert [pulled(t) for t in (4, 0, 3, 1, 2)] == ["a", "a", "c", "b", "c"]
    assert loader.begun == 2
    with pytest.raises(BatchesExhausted, match=r"gave 5 items in 2 epochs and none in the next.*ticket 5"):
        pulled(5)
    with pytest.raises(BatchesExhausted):
        pulled(5)
    assert loader.begun == 3  # and it does not go on without end


def test_a_loader_that_resets_its_one_iterator_each_epoch_is_begun_anew():
    """As PyTorch's with ``persistent_workers=True``."""

    class Items:
        def __init__(self):
            self.left = []

        def __iter__(self):
            return self

        def __next__(self):
            if not self.left:
                raise StopIteration
            return self.left.pop(0)

    class Persistent:
        items = Items()

        def __iter__(self):
            self.items.left = ["a", "b"]
            return self.items

    pulled = as_batches(Persistent(), epochs=3)
    assert [pulled(ticket) for ticket in range(6)] == ["a", "b"] * 3
    with pytest.raises(EpochsTaken, match=r"all 3 epochs were taken \(6 gradients\)"):
        pulled(6)


def test_an_iterable_of_a_spent_iterator_ends():
    """As an object of which each iteration goes on with the same generator."""
    items = iter("ab")
    pulled = as_batches(type("Spent", (), {"__iter__": lambda self: items})())
    assert [pulled(0), pulled(1)] == ["a", "b"]
    with pytest.raises(BatchesExhausted, match="2 items in 1 epoch and none in the next"):
        pulled(2)


def test_the_memory_of_an_epoch_that_is_used_again_is_copied():
    memory = np.zeros(3)

    class Reusing:
        def __iter__(self):
            for i in range(2):
                memory[:] = i
                yield memory

    pulled = as_batches(Reusing())
    assert [pulled(3)[0], pulled(0)[0], pulled(1)[0], pulled(2)[0]] == [1, 0, 1, 0]


def loss_fn(w, batch):
    return jnp.mean((w - batch) ** 2)


def train(batches, **options):
    settings = {"workers": 2, "steps": 25, "scheme": jasgd.schemes.locked(native=False)} | options
    return jasgd.train(loss_fn, jnp.zeros(3), optax.sgd(0.05), batches, **settings)


def test_a_list_of_batches_trains_for_more_than_an_epoch_and_replays():
    items = [np.full(3, float(i)) for i in range(4)]
    result = train(items)
    assert result.outcome == "finished"
    assert jasgd.replay(result, loss_fn, optax.sgd(0.05), items).exact
    assert jasgd.replay(result, loss_fn, optax.sgd(0.05), lambda ticket: items[ticket % 4]).exact


def test_an_iterator_still_ends_with_its_items():
    with pytest.raises(jasgd.TrainingError, match="the iterator ended after 4 items"):
        train(iter([np.ones(3)] * 4))


@pytest.mark.parametrize("where", ["iter", "next"])
def test_an_error_of_a_later_epoch_ends_the_run_and_is_its_cause(where):
    class Failing:
        begun = 0

        def __iter__(self):
            self.begun += 1
            if self.begun > 2 and where == "iter":
                raise OSError("the disk is gone")
            return self.items()

        def items(self):
            yield np.ones(3)
            if self.begun > 2:
                raise OSError("the disk is gone")
            yield np.ones(3)

    loader = Failing()
    with pytest.raises(jasgd.TrainingError, match="the disk is gone") as caught:
        train(loader)
    assert isinstance(caught.value.__cause__, OSError)
    assert loader.begun == 3
    assert set(caught.value.result.execution.ticket.tolist()) <= set(range(5))


def test_after_an_error_no_worker_gets_what_comes_after_it():
    """A generator that raised is at its end, which would look like the end of an epoch."""

    class Failing:
        def __iter__(self):
            yield "a"
            raise OSError("the disk is gone")

    pulled = as_batches(Failing())
    assert pulled(0) == "a"
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            pulled(1)


def test_a_worker_that_waits_for_an_epoch_gets_its_own_batch():
    entered, release, got = threading.Event(), threading.Event(), {}

    class Slow:
        def __iter__(self):
            entered.set()
            assert release.wait(10)
            yield from "ab"

    pulled = as_batches(Slow())
    threads = [threading.Thread(target=lambda t=t: got.setdefault(t, pulled(t))) for t in (3, 0, 2, 1)]
    for thread in threads:
        thread.start()
    assert entered.wait(10)
    release.set()
    for thread in threads:
        thread.join(10)
    assert got == {0: "a", 1: "b", 2: "a", 3: "b"}


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        (np.ones((8, 3)), r"one batch each.*got ndarray: jasgd\.minibatches\(array, batch_size\) draws rows"),
        (jnp.ones((8, 3)), r"jasgd\.minibatches"),
        ({"x": np.ones((8, 3))}, r"got dict.*jasgd\.minibatches"),
        ("batches.npz", "got str"),
        (np.ma.ones((8, 3)), r"jasgd\.minibatches"),
    ],
)
def test_an_array_is_no_iterable_of_batches(batches, message):
    """Its rows, or a dict's keys, would be the batches, epoch after epoch."""
    with pytest.raises(TypeError, match=message):
        train(batches)


def test_a_generator_function_is_called_by_the_caller():
    def items():
        yield np.ones(3)

    with pytest.raises(TypeError, match=r"batches must be .* got the generator function items: call it"):
        train(items)

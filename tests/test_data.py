"""Tickets: the batch depends on the ticket alone."""

import itertools
import threading
import tracemalloc

import numpy as np
import pytest

from jasgd import BatchesExhausted, minibatches
from jasgd.data import as_batches

X, Y = np.arange(103), np.arange(103) % 7


@pytest.mark.parametrize("shuffle", ["epoch", "once", "never"])
def test_an_epoch_visits_each_example_at_most_once_and_pairs_stay_together(shuffle):
    batches = minibatches((X, Y), 10, seed=3, shuffle=shuffle)
    seen = [batches(t) for t in range(10)]
    drawn = np.concatenate([x for x, _ in seen])
    assert len(set(drawn.tolist())) == 100
    np.testing.assert_array_equal(np.concatenate([y for _, y in seen]), drawn % 7)


def test_epochs_differ_or_cycle_as_asked():
    fresh, cycled = minibatches((X,), 10, shuffle="epoch"), minibatches((X,), 10, shuffle="once")
    assert fresh(0)[0].tolist() != fresh(10)[0].tolist()
    assert cycled(0)[0].tolist() == cycled(10)[0].tolist() != X[:10].tolist()
    assert fresh(0)[0].tolist() != minibatches((X,), 10, seed=1)(0)[0].tolist()


def test_any_order_of_asking_from_any_thread_gives_the_same():
    batches, other = minibatches((X,), 10), minibatches((X,), 10)
    expected = [other(t)[0].tolist() for t in range(400)]
    got = {}

    def ask(tickets):
        for t in tickets:
            got[t] = batches(t)[0].tolist()

    order = np.random.default_rng(0).permutation(400).tolist()
    threads = [threading.Thread(target=ask, args=(order[i::4],)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [got[t] for t in range(400)] == expected


def test_batches_are_private():
    batches = minibatches((X,), 10, shuffle="never")
    batches(0)[0][:] = -1
    assert X[0] == 0
    assert batches(0)[0][0] == 0


def test_an_iterator_gives_each_item_once_in_order():
    pulled = as_batches(iter("abc"))
    assert [pulled(2), pulled(0), pulled(1)] == ["c", "a", "b"]
    with pytest.raises(ValueError, match="ticket 1 was already taken"):
        pulled(1)
    with pytest.raises(BatchesExhausted, match="ended after 3 items, and ticket 3 was asked for"):
        pulled(3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((X, Y[:5]), 10), r"lengths \[5, 103\]"),
        (((X,), 0), r"batch_size must be an integer in 1…103 .* got 0"),
        (((X,), 104), r"batch_size must be an integer in 1…103 .* got 104"),
        ((([],), 1), r"lengths \[0\]"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        minibatches(*arguments)


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="seed must be ≥ 0, got -1"):
        minibatches((X,), 10, seed=-1)
    with pytest.raises(ValueError, match="shuffle must be 'epoch', 'once' or 'never', got 'twice'"):
        minibatches((X,), 10, shuffle="twice")
    with pytest.raises(ValueError, match="ticket must be ≥ 0, got -1"):
        minibatches((X,), 10)(-1)


@pytest.mark.parametrize("size", [1, 7, 10, 16, 32, 50, 103])
def test_small_batches_that_are_drawn_together_are_those_of_their_tickets(size):
    images = np.random.default_rng(0).normal(size=(103, 4, 4, 1)).astype(np.float32)
    batches = minibatches((images, Y), size, seed=5)
    drawn = [batches(t) for t in range(100)]  # straddles epochs
    for ticket, (x, y) in enumerate(drawn):
        np.testing.assert_array_equal(x, images[batches.rows(ticket)])
        np.testing.assert_array_equal(y, Y[batches.rows(ticket)])
        assert x.ctypes.data % 64 == y.ctypes.data % 64 == 0
    for i, (x, _) in enumerate(drawn):
        x[:] = -i  # the caller may write to its batch
    for i, (x, _) in enumerate(drawn):
        assert (x == -i).all()
    np.testing.assert_array_equal(batches(3)[0], images[batches.rows(3)])  # and asks for it again


def test_threads_that_ask_at_once_never_get_the_same_memory():
    batches, tickets, got = minibatches((X,), 10), itertools.count(), []

    def ask():
        while (ticket := next(tickets)) < 4000:
            # Every tenth ticket is asked for twice, as by a second run that shares the function.
            for _ in range(2 if ticket % 10 == 0 else 1):
                (batch,) = batches(ticket)
                got.append((ticket, batch, batch.tolist()))
                batch += 1000 * (1 + ticket)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(got) == 4400
    for ticket, batch, values in got:
        expected = X[batches.rows(ticket)]
        assert values == expected.tolist()
        np.testing.assert_array_equal(batch, expected + 1000 * (1 + ticket))


def test_large_batches_are_drawn_one_by_one():
    images = np.zeros((8, 1 << 17), np.float64)  # a megabyte each
    batches = minibatches((images,), 2)
    tracemalloc.start()
    batches(0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 << 20  # two megabytes and little more

"""A run that ends with its epochs: it takes each of their tickets once, and no other, under every scheme."""

import threading
import types

import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, ids
from support.training_runs import mean_square, of, train

import jasgd
from jasgd import schemes
from jasgd.data import as_batches
from jasgd.inputs.iterables import EpochsTaken
from jasgd.testing import Interleaving, watched
from jasgd.training.run import Run

PYTHONS = schemes.locked(native=False)


class Loader:
    """As a data loader: each iteration gives the batches of an epoch, as many as it likes."""

    def __init__(self, *epochs):
        self.epochs, self.begun = epochs, 0

    def __iter__(self):
        self.begun += 1
        for _ in range(self.epochs[self.begun - 1]):
            yield np.float32(1)


def tickets(result):
    """Of all gradients, those that were dropped among them."""
    return sorted([*result.execution.ticket.tolist(), *result.execution.dropped.ticket.tolist()])


@pytest.mark.parametrize("scheme", ids(EVERY))
@pytest.mark.parametrize("batches", ["minibatches", "list"])
def test_each_ticket_of_the_epochs_is_taken_once_and_no_other(scheme, batches):
    rows = np.ones(15, np.float32)
    drawn = jasgd.minibatches(rows, 3) if batches == "minibatches" else [rows[:3]] * 5
    result = train(batches=drawn, epochs=3, steps=None, **of(scheme))
    assert result.outcome == "finished"
    if scheme.startswith("synchronous"):  # rounds of four
        assert tickets(result) == list(range(12))
        assert result.message == (
            "all 3 epochs were taken (15 gradients), of which the last 3 were not applied: a round needs 4"
        )
    else:
        assert tickets(result) == list(range(15))
        assert result.message == "all 3 epochs were taken (15 gradients)"
    result.execution.validate()
    assert jasgd.replay(result, mean_square, optax.sgd(0.05), drawn).exact or scheme.startswith("hogwild")


@pytest.mark.parametrize("scheme", ids(["synchronous", "synchronous, native"]))
def test_synchronous_rounds_that_come_out_even_leave_nothing_out(scheme):
    result = train(batches=jasgd.minibatches(np.ones(8, np.float32), 1), epochs=2, steps=None, **of(scheme))
    assert result.message == "all 2 epochs were taken (16 gradients)"
    assert result.execution.commits == 4


def test_fewer_gradients_than_workers_of_a_round_are_not_applied():
    result = train(batches=[np.float32(1)], epochs=1, steps=None, workers=2, scheme=schemes.synchronous(native=False))
    assert result.outcome == "finished"
    assert result.message == (
        "the one epoch was taken (1 gradient), of which the last one was not applied: a round needs 2"
    )
    assert result.execution.commits == 0


def test_a_loader_is_begun_once_an_epoch_however_long_each_is():
    loader = Loader(5, 3, 4, 9)
    result = train(batches=loader, epochs=3, steps=None, scheme=PYTHONS)
    assert tickets(result) == list(range(12))
    assert loader.begun == 3  # and not once more, to find that nothing else is needed


def test_an_iterator_has_one_epoch():
    result = train(batches=iter([np.float32(1)] * 7), epochs=1, steps=None, scheme=PYTHONS)
    assert result.outcome == "finished"
    assert tickets(result) == list(range(7))
    with pytest.raises(ValueError, match=r"epochs must be 1 for batches that are an iterator.*got 2.*minibatches"):
        train(batches=iter([np.float32(1)] * 7), epochs=2, steps=None)


def test_an_iterable_whose_second_epoch_is_empty_fails_as_it_does_without_epochs():
    result = train(batches=Loader(4, 0, 4), epochs=3, steps=None, scheme=PYTHONS)
    assert result.outcome == "failed"
    assert "the iterable gave 4 items in 1 epoch and none in the next" in result.message
    assert "fewer epochs" in result.message
    assert tickets(result) == list(range(4))


def test_a_function_says_how_long_an_epoch_is():
    def batches(ticket):
        return np.float32(1)

    with pytest.raises(ValueError, match=r"epochs must be None.*batches\.batches_per_epoch = 125, or give steps"):
        train(batches=batches, epochs=2, steps=None)
    for bad in (0, 2.5, "6"):
        batches.batches_per_epoch = bad
        with pytest.raises(ValueError, match=rf"batches\.batches_per_epoch must be an integer ≥ 1, got {bad!r}"):
            train(batches=batches, epochs=2, steps=None)
    batches.batches_per_epoch = np.int64(6)
    assert tickets(train(batches=batches, epochs=2, steps=None)) == list(range(12))


def test_a_function_of_ticket_and_worker_says_it_too():
    def batches(ticket, worker):
        return np.float32(worker)

    batches.batches_per_epoch = 6
    assert tickets(train(batches=batches, epochs=2, steps=None)) == list(range(12))


@pytest.mark.parametrize(("steps", "epochs", "said"), [(7, 2, "all 7 steps"), (30, 2, "all 2 epochs")])
def test_of_steps_and_epochs_the_first_to_be_met_ends_the_run(steps, epochs, said):
    result = train(batches=jasgd.minibatches(np.ones(5), 1), steps=steps, epochs=epochs)
    assert result.outcome == "finished"
    assert said in result.message


def test_a_gradient_that_was_dropped_has_been_taken():
    def scheme(setup):  # in which worker 1 is overtaken, and what is stale is dropped
        order = Interleaving([(1, "read"), (0, "read"), (0, "publish"), (1, "base")])
        return watched(schemes.leashed(max_staleness=0), order)(setup)

    result = train(batches=jasgd.minibatches(np.ones(5), 1), epochs=2, steps=None, scheme=scheme)
    assert len(result.execution.dropped) >= 1
    assert tickets(result) == list(range(10))
    assert result.message == "all 2 epochs were taken (10 gradients)"


def test_who_is_last_still_commits_when_the_others_have_left(monkeypatch):
    left, leave = threading.Event(), Run.leave
    monkeypatch.setattr(Run, "leave", lambda run, end: (leave(run, end), left.set()))
    first = []

    def at_point(point, worker):
        if point == "commit" and not first:
            first.append(worker)
            assert left.wait(30)

    result = train(
        batches=jasgd.minibatches(np.ones(5), 1), epochs=2, steps=None, scheme=watched(schemes.locked(), at_point)
    )
    assert result.outcome == "finished"
    assert tickets(result) == list(range(10))
    assert result.execution.staleness.max() == 9  # that of the first, which came last


def test_tickets_are_counted_and_not_calls():
    """As where a run goes on with the tickets of another."""
    for drawn in (
        as_batches(jasgd.minibatches(np.arange(5), 1), epochs=2), as_batches([0, 1, 2, 3, 4], epochs=2)
    ):  # fmt: skip
        assert np.all(np.asarray(drawn(8)) >= 0)
        with pytest.raises(EpochsTaken) as end:
            drawn(10)
        assert end.value.tickets == 10
        assert np.all(np.asarray(drawn(9)) >= 0)


def test_shuffling_is_a_function_of_seed_and_ticket_with_epochs_as_without():
    batches = jasgd.minibatches(np.arange(12), 3, seed=5)
    with_epochs = as_batches(jasgd.minibatches(np.arange(12), 3, seed=5), epochs=3)
    for ticket in (11, 0, 4, 7):
        np.testing.assert_array_equal(with_epochs(ticket), batches(ticket))
    assert batches.batches_per_epoch == 4


def test_a_comparison_takes_epochs():
    problem = types.SimpleNamespace(
        name="ones", loss_fn=mean_square, params=np.zeros(3, np.float32), evaluate=None,
        batches=jasgd.minibatches(np.ones(5, np.float32), 1),
    )  # fmt: skip
    comparison = jasgd.compare(lambda seed: problem, ["constant", "tail"], [0], workers=2, learning_rate=0.01, epochs=2)
    assert comparison.settings["epochs"] == 2
    for by_seed in comparison.runs.values():
        assert by_seed[0].message == "all 2 epochs were taken (10 gradients)"

"""A run that ended with its epochs, and is resumed: it is over, or takes the epochs that are more, and no others."""

import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, ids
from support.training_runs import mean_square

import jasgd

LENGTH = 16  # mini-batches of an epoch


class Loader:
    """Counts its mini-batches."""

    def __init__(self):
        self.given = 0

    def __iter__(self):
        for _ in range(LENGTH):
            self.given += 1
            yield np.float32(1)


def train(epochs, scheme, resume, batches=None, **options):
    return jasgd.train(
        mean_square, np.zeros(3, np.float32), optax.sgd(0.05), batches or Loader(), scheme=EVERY[scheme],
        workers=1 if scheme == "sequential" else 4, epochs=epochs, resume=resume, **options,
    )  # fmt: skip


@pytest.fixture(params=["checkpoints", "folder", "result"])
def ended(request, tmp_path):
    """A run of two epochs, as what can be gone on with."""

    def made(scheme):
        result = train(2, scheme, None, checkpoint=jasgd.Checkpoints(tmp_path / "kept"))
        result.save(tmp_path / "result")
        found = {"checkpoints": tmp_path / "kept", "folder": tmp_path / "result", "result": result}
        return result, found[request.param]

    return made


@pytest.mark.parametrize("scheme", ["sequential"])
def test_a_run_that_took_its_epochs_is_over(ended, scheme):
    first, resume = ended(scheme)
    for epochs in (2, 1):
        batches = Loader()
        again = train(epochs, scheme, resume, batches)
        assert batches.given == 1  # for the shapes
        assert again.execution.hashes() == first.execution.hashes()
        assert "parts" not in again.execution.metadata
        assert (again.outcome, again.message) == (first.outcome, first.message)


@pytest.mark.parametrize("scheme", ids(["sequential", "synchronous", "leashed", "leashed, native"]))
def test_it_goes_on_with_the_epochs_that_are_more(ended, scheme):
    first, resume = ended(scheme)
    more = train(3, scheme, resume)
    assert more.outcome == "finished"
    taken = [*more.execution.ticket.tolist(), *more.execution.dropped.ticket.tolist()]
    assert sorted(taken) == list(range(3 * LENGTH))
    assert [part["from_version"] for part in more.execution.metadata["parts"]] == [0, first.execution.commits]
    assert more.execution.ticket[: len(first.execution)].tolist() == first.execution.ticket.tolist()

"""The kind: saving and going on each work, and do not beside another feature of a run."""

import shutil

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.callbacks import Noting

import jasgd


def loss_fn(w, batch):
    return jnp.mean((w - batch) ** 2)


def batches(ticket):
    return np.random.default_rng(ticket).normal(size=6).astype(np.float32)


def train(loss=loss_fn, draw=batches, **options):
    options = {"scheme": "sequential", "workers": 1} | options
    return jasgd.train(loss, jnp.zeros(6), optax.sgd(0.05, momentum=0.9), draw, **options)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def test_a_model_state_that_is_not_finite_keeps_nothing_from_being_saved(folder):
    def with_state(w, batch, model_state):
        return loss_fn(w, batch), {"most": model_state["most"], "count": model_state["count"] + 1}

    options = {"model_state": {"most": jnp.full(2, -jnp.inf), "count": jnp.int32(0)}, "resume": folder}
    options |= {"checkpoint": jasgd.Checkpoints(folder, every_steps=5)}
    for steps in (10, 20):
        result = train(with_state, steps=steps, **options)
    assert [part["from_version"] for part in result.execution.metadata["parts"]] == [0, 10]
    assert int(result.model_state["count"]) == 20


def test_a_converged_run_stays_so_where_a_later_evaluation_was_worse(folder):
    seen = []

    def evaluate(w):  # at the start, soon after, and at the end, when the target was reached and lost again
        seen.append(True)
        return 0.05 if len(seen) == 2 else 1.0

    options = {"evaluate": evaluate, "evaluate_every_steps": 1, "target_loss": 0.1, "resume": folder}
    options["checkpoint"] = jasgd.Checkpoints(folder)
    first = train(steps=10**7, **options)
    again = train(steps=10**7, **options)
    assert (first.outcome, again.outcome, len(seen)) == ("converged", "converged", 3)
    assert again.execution.hashes() == first.execution.hashes()
    lower = train(steps=first.execution.commits + 5, **(options | {"target_loss": 0.01}))
    assert (lower.outcome, lower.execution.commits) == ("finished", first.execution.commits + 5)


def test_early_stopping_goes_on_with_the_patience_that_was_left(folder):
    options = {"evaluate": lambda w: 1.0, "evaluate_every_steps": 10, "steps": 10**7, "resume": folder}
    options["checkpoint"] = jasgd.Checkpoints(folder)

    def run(patience):
        return train(callbacks=[jasgd.callbacks.EarlyStopping(patience=patience)], **options)

    first, again = run(3), run(3)
    assert first.message.startswith("the loss has not fallen below 1 since version 0")
    assert (again.outcome, again.message) == ("stopped", first.message)
    assert again.execution.hashes() == first.execution.hashes()
    assert again.evaluations == first.evaluations
    more = run(6)
    assert more.execution.commits > first.execution.commits
    assert "since version 0" in more.message


def test_callbacks_see_the_evaluations_from_before():
    first = train(steps=20, evaluate=lambda w: float(w.sum()))
    seen = []
    look = Noting(lambda state: seen.append((state.evaluations, state.evaluation)), "on_start")
    train(steps=30, resume=first, callbacks=[look])
    assert seen == [(first.evaluations, first.evaluations[-1])]


def test_what_epochs_have_left_out_begins_with_the_first_ticket():
    options = {"scheme": "synchronous", "workers": 3, "epochs": 1, "first_ticket": 20}
    result = train(draw=[batches(ticket) for ticket in range(40)], **options)
    assert result.execution.ticket.tolist() == list(range(20, 38))
    assert result.message.endswith("of which the last 2 were not applied: a round needs 3")


def test_rows_that_vanish_from_the_disk_do_not_take_the_parameters_with_them(folder):
    class Remove(jasgd.callbacks.Callback):
        def on_checkpoint(self, state):
            for file in (folder / "rows" / "00000").glob("*.npz"):
                file.unlink(missing_ok=True)
            state.stop("removed")

    kept = jasgd.Checkpoints(folder, every_steps=10, rows_on_disk=True)
    options = {"evaluate": lambda w: float(w.sum()), "checkpoint": kept, "callbacks": [Remove()]}
    result = train(steps=10**7, throw=False, **options)
    assert result.outcome == "failed"
    assert "000001.npz is missing: the rows that were there are lost; removed" in result.message
    assert isinstance(result.error, jasgd.SavedRunError)
    assert np.isfinite(result.params).all()
    assert result.evaluations[0]["version"] == 0


@pytest.mark.parametrize("anew", [True, False])
def test_two_runs_at_once_do_not_share_a_folder(folder, anew):
    kept = jasgd.Checkpoints(folder, every_steps=10)
    if not anew:
        train(steps=5, checkpoint=kept)
    refused = []

    class Second(jasgd.callbacks.Callback):
        def on_checkpoint(self, state):
            if refused:  # at the end of the run the folder is free again
                return
            refused.append(True)
            with pytest.raises(FileExistsError, match="has the checkpoints of a run that goes on at present"):
                train(steps=10**6, checkpoint=kept, resume=folder)
            state.stop("enough")

    first = train(steps=10**7, checkpoint=kept, resume=folder, callbacks=[Second()])
    assert (first.message, refused) == ("enough", [True])
    more = first.execution.commits + 10
    assert train(steps=more, checkpoint=kept, resume=folder).execution.commits == more


@pytest.mark.parametrize("kind", ["checkpoints", "folder", "result"])
def test_a_model_state_is_neither_lost_nor_made_up_on_the_way(tmp_path, kind):
    def with_state(w, batch, model_state):
        return loss_fn(w, batch), model_state + 1

    def resumed(result, loss, **options):
        result.save(tmp_path / "result", overwrite=True)
        resume = {"checkpoints": tmp_path / "kept", "folder": tmp_path / "result", "result": result}[kind]
        return train(loss, steps=20, resume=resume, **options)

    kept = {"checkpoint": jasgd.Checkpoints(tmp_path / "kept"), "steps": 10}
    with pytest.raises(ValueError, match="model_state must be given for a run that is gone on with and has one"):
        resumed(train(with_state, model_state=jnp.int32(0), **kept), loss_fn)
    shutil.rmtree(tmp_path / "kept")
    with pytest.raises(ValueError, match="model_state must be None for a run that is gone on with and has none"):
        resumed(train(**kept), with_state, model_state=jnp.int32(0))

"""Callbacks of runs that are saved while they go on, and of runs with a model state."""

import threading

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.callbacks import Noting
from support.model_states import normalized
from support.training_runs import train

import jasgd


def test_a_checkpoint_is_told_with_what_it_holds(tmp_path):
    seen = []

    def look(state):
        seen.append((state.checkpoint, state.version, state.params_version, np.asarray(state.params).tolist()))

    noting = Noting(look, "on_checkpoint")
    last = Noting(lambda state: seen.append(state.checkpoint), "on_end")
    result = train(callbacks=[noting, last], checkpoint=jasgd.Checkpoints(tmp_path))
    folder = tmp_path / "checkpoint-000001"
    assert seen == [(folder, 40, 40, np.asarray(result.params).tolist()), folder]


def test_checkpoints_are_told_while_the_run_goes_on_and_their_times_go_on_with_the_run(tmp_path):
    saved = threading.Event()
    seen, options = [], {"checkpoint": jasgd.Checkpoints(tmp_path, every_steps=1), "resume": tmp_path}

    def tell(state):
        seen.append((state.version, state.time_s))
        saved.set()
        state.stop("saved")

    def batches(ticket):
        return np.float32(1) if ticket < 10 or saved.wait(60) else pytest.fail("no checkpoint was told")

    def run(**more):
        return jasgd.train(lambda w, b: jnp.sum(w * b), jnp.zeros(2), optax.sgd(0.1), batches, workers=1, **more)

    stopped = run(steps=10**6, callbacks=[Noting(tell, "on_checkpoint")], **options)
    assert (stopped.outcome, stopped.message) == ("stopped", "saved")
    starts = Noting(lambda state: seen.append((state.version, state.time_s)), "on_start")
    run(steps=stopped.execution.commits + 5, callbacks=[starts], **options)
    assert 0 < seen[0][0] <= 10
    assert seen[-1][0] == stopped.execution.commits
    assert seen[-1][1] >= seen[0][1] > 0


def test_a_callback_sees_the_model_state_of_the_same_version():
    params, model_state, loss_fn, batches = normalized()
    seen = []

    def look(state):
        seen.append((state.params_version, int(state.model_state["count"])))

    jasgd.train(loss_fn, params, optax.sgd(0.01), batches, workers=2, steps=60, has_aux=True, model_state=model_state,
                callbacks=[Noting(look, event) for event in ("on_start", "on_progress", "on_end")])  # fmt: skip
    assert seen[-1] == (60, 63)
    assert all(count == 3 + version for version, count in seen)

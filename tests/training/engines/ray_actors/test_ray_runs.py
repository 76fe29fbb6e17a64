"""Runs with the engine "ray": what a run with threads promises holds for them as well."""

import re
import signal
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.ray_runs import ENGINE, Drawn, check_record, start, train, tx

import jasgd

ROOT = Path(__file__).parents[4]
pytestmark = pytest.mark.usefixtures("ray")


@pytest.mark.parametrize("scheme", ["locked", "hogwild", "synchronous"])
def test_every_scheme_records_what_happened(scheme):
    """τ and aux owe the ledger nothing here: the parameters count the updates."""

    def loss_fn(params, batch):
        total = params["a"].sum()
        loss = params["a"].min() - (total - jax.lax.stop_gradient(total))
        loss = loss - params["a"].min() + jax.lax.stop_gradient(params["a"].min())
        return loss, {"min": params["a"].min(), "max": params["a"].max()}

    steps, workers = 200, 2
    result = jasgd.train(
        loss_fn, {"a": jnp.zeros(512)}, optax.chain(jasgd.staleness_adaptive(jasgd.rules.constant()), optax.sgd(1.0)),
        lambda ticket: np.float32(0), scheme=scheme, workers=workers, steps=steps, has_aux=True, engine=ENGINE,
    )  # fmt: skip
    execution = result.execution
    execution.validate()
    rows = workers if scheme == "synchronous" else 1
    assert execution.version.tolist() == [k for k in range(steps) for _ in range(rows)]
    balance = execution.conservation()
    assert balance["applied"] + balance["dropped"] + balance["in_flight"] + balance["gaps"] == balance["total"]
    assert set(execution.worker.tolist()) == set(range(workers))
    if scheme != "hogwild":
        np.testing.assert_array_equal(execution.staleness, execution.version - execution.loss.astype(np.int64))
        np.testing.assert_array_equal(result.aux["min"], result.aux["max"])
        assert np.unique(np.asarray(result.params["a"])).tolist() == [steps]
    assert execution.metadata["engine"] == "ray"
    assert result.outcome == "finished"
    assert result.message == f"all {steps} steps were taken"


def test_what_a_run_can_have_it_has_on_ray_as_well(tmp_path):
    """Keyed loss, model state, accumulation, batches by worker, epochs, evaluation, checkpoints, and going on."""

    def loss_fn(params, batch, *, key, model_state):
        noise = jax.random.normal(key, ())
        loss = jnp.mean((params["w"] @ params["v"] - batch) ** 2) + 0.01 * noise
        return loss, {"mean": 0.9 * model_state["mean"] + 0.1 * batch.mean(), "count": model_state["count"] + 1}

    def batches(ticket):
        return np.random.default_rng(ticket).normal(size=4).astype(np.float32)

    batches.batches_per_epoch = 120
    folder = tmp_path / "run"

    def trained(epochs):
        return jasgd.train(
            loss_fn, start(), tx(), batches, workers=2, epochs=epochs, accumulate=2, engine=ENGINE, seed=3,
            model_state={"mean": jnp.zeros(()), "count": jnp.zeros((), jnp.int32)},
            evaluate=lambda params, model_state: {"loss": float(params["v"].sum()), "mean": float(model_state["mean"])},
            evaluate_every_steps=20, checkpoint=jasgd.Checkpoints(folder), resume=folder,
        )  # fmt: skip

    first = trained(1)
    assert (first.outcome, len(first.execution)) == ("finished", 60)
    result = trained(2)
    assert np.sort(result.execution.ticket).tolist() == list(range(120))
    assert int(result.model_state["count"]) == 240
    assert result.execution.loss[:60].tobytes() == first.execution.loss.tobytes()
    assert len(result.evaluations) > len(first.evaluations) > 1
    assert len(result.timings["compute_s"]) == 120
    assert jasgd.replay(result, loss_fn, tx(), batches).exact


class Seen(jasgd.callbacks.Callback):
    """What a callback sees; it stops the run when it has seen enough."""

    def __init__(self):
        self.events, self.threads, self.norms = [], set(), []

    def note(self, event, state):
        self.events.append(event)
        self.threads.add(threading.current_thread())

    def on_start(self, state):
        self.note("start", state)
        assert state.version == 0

    def on_progress(self, state):
        self.note("progress", state)
        if state.version > 20:
            self.norms.append(float(jnp.linalg.norm(state.params["w"])))
            state.stop("enough was seen")

    def on_evaluation(self, state):
        self.note("evaluation", state)
        assert state.evaluation["loss"] == pytest.approx(float(state.params["v"].sum()), rel=1e-5)

    def on_end(self, state):
        self.note("end", state)
        assert state.result.outcome == "stopped"


def test_callbacks_are_called_in_the_process_that_called_train():
    seen, progress = Seen(), []
    result = train(
        Drawn(10**6), time_limit_s=120, callbacks=[seen], on_progress=progress.append,
        evaluate=lambda params: float(params["v"].sum()), evaluate_every_steps=10,
    )  # fmt: skip
    assert (result.outcome, result.message) == ("stopped", "enough was seen")
    assert seen.events[0] == "start"
    assert seen.events[-1] == "end"
    assert seen.threads == {threading.current_thread()}
    assert np.isfinite(seen.norms).all()
    assert len(seen.norms) >= 1
    assert progress[-1].updates > 20


def test_ctrl_c_stops_a_run_and_gives_its_result():
    pressed = []

    def press(progress):
        if progress.updates > 20 and not pressed:  # a second one would kill the server
            pressed.append(progress)
            signal.raise_signal(signal.SIGINT)

    result = train(Drawn(10**6), workers=1, time_limit_s=120, on_progress=press)
    assert (result.outcome, result.message, result.interrupted) == ("stopped", "stopped by Ctrl-C", True)
    assert 20 < result.execution.commits < 10**5
    result.execution.validate()


class Failing(jasgd.callbacks.Callback):
    def on_progress(self, state):
        raise KeyError("of the callback")


def test_what_a_callback_raises_fails_the_run_and_has_its_name():
    result = train(Drawn(10**6), workers=1, time_limit_s=120, callbacks=[Failing()], throw=False)
    assert result.outcome == "failed"
    assert "Failing.on_progress raised KeyError: 'of the callback'" in result.message
    assert isinstance(result.error, KeyError)


def test_what_a_worker_raises_comes_home_with_its_traceback():
    def raising(ticket):
        if ticket > 30:
            raise ZeroDivisionError("of the mini-batch")
        return np.zeros(4, np.float32)

    with pytest.raises(jasgd.TrainingError, match=r"worker 0 raised ZeroDivisionError: of the mini-batch") as caught:
        train(raising, workers=1, steps=1000)
    result = caught.value.result
    assert isinstance(result.error, ZeroDivisionError)
    assert "in raising" in result.traceback
    assert 0 < result.execution.commits <= 31


def test_a_loss_that_is_not_finite_ends_the_run_as_diverged():
    def batches(ticket):
        return np.full(4, np.nan if ticket == 25 else 1.0, np.float32)

    result = train(batches, workers=1, steps=1000, throw=False)
    assert result.outcome == "diverged"
    assert "(ticket 25, worker" in result.message
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(result.params))


def test_a_cluster_that_is_too_small_is_noticed_by_name():
    engine = jasgd.engines.ray(cpus_per_worker=64, start_limit_s=3)
    with pytest.raises(RuntimeError, match=r"not started within 3 s; each worker reserves 64 CPUs .* of 4 CPUs"):
        train(Drawn(10), epochs=1, engine=engine)


def test_the_code_of_the_page_on_ray_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "ray.md").read_text(), re.DOTALL)
    exec(code, {})
    assert capsys.readouterr().out.splitlines()[-1] == "ray finished"


def test_a_run_by_text_replays():
    batches = Drawn(60)
    result = train(batches, epochs=1, engine="ray:cpus_per_worker=0.5", scheme="leashed:persistence=2", workers=3)
    check_record(result, batches)
    assert "restarts" in result.execution.metadata

"""What the process that called ``train`` does when actors die, cannot be made or do not answer; Ray is scripted."""

import signal

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.training_runs import mean_square

import jasgd
from jasgd.callbacks.callback import RunOptions
from jasgd.training.assembly import admit_task
from jasgd.training.engines.carrying_out import Watching
from jasgd.training.interrupts import Interrupts, Terminations

pytest.importorskip("ray")
from ray.exceptions import ActorDiedError, RuntimeEnvSetupError
from support.remote_workers import request_of
from support.scripted_ray import ScriptedRay

from jasgd.training.engines.ray_actors.actors import SERVER_LOST, SERVER_LOST_MEANWHILE, Carried
from jasgd.training.engines.ray_actors.driver import Driver
from jasgd.training.engines.ray_actors.events import Event
from jasgd.training.engines.ray_actors.failures import RayEngineError
from jasgd.training.engines.ray_actors.seen_from_afar import CallbacksHere


def batches(ticket):
    return np.random.default_rng(ticket).normal(size=3).astype(np.float32)


def trained(**options):
    return jasgd.train(mean_square, jnp.zeros(3), optax.sgd(0.05), batches, workers=1, steps=40, **options)


def requested(**options):
    arguments = {"scheme": "leashed", "workers": 2, "steps": 100} | options
    return request_of(mean_square, jnp.zeros(3), optax.sgd(0.05), batches, **arguments)


def carried(ray, request, callbacks=(), **options):
    """What a driver carries out, and the driver."""
    driver = Driver(ray, request, jasgd.engines.ray(**options))
    if callbacks:
        watching = Watching(callbacks, None, RunOptions(100, None, None, False), Terminations(False))
        compiled = admit_task(request.task).compiled
        driver.tells_of_events(CallbacksHere(watching, compiled, 2, "leashed", driver.ask, driver.stop))
    with Interrupts() as interrupts:
        return driver.carried_out(interrupts).result, driver


def event(name):
    return Event(name, name != "on_start", 0.0, 0.0, (0, 0), np.zeros(0), 0, [], None)


def dies_once(result):
    """A server that dies as it carries the run out, and one after it that has a result."""

    def on_call(reference):
        if reference.method == "carry_out":
            first = len(ray.named("carry_out")) == 1
            reference.answer(ActorDiedError() if first else Carried(result, None, [], 0))

    ray = ScriptedRay(on_call)
    return ray


def test_a_server_that_dies_before_its_first_checkpoint_goes_on_from_what_the_run_was_resumed_from(tmp_path):
    before = trained()
    before.save(tmp_path / "before")
    ray = dies_once(before)
    request = requested(resume=tmp_path / "before", checkpoint=jasgd.Checkpoints(tmp_path / "run"))
    result, _ = carried(ray, request)
    assert [call.arguments[1] for call in ray.named("carry_out")] == [tmp_path / "before"] * 2
    assert "the server died and was begun anew from what resume= gave" in result.message


def test_a_server_that_dies_before_its_first_checkpoint_begins_at_the_start(tmp_path):
    ray = dies_once(trained())
    result, _ = carried(ray, requested(checkpoint=jasgd.Checkpoints(tmp_path / "run")))
    assert [call.arguments[1] for call in ray.named("carry_out")] == [None, None]
    assert "the server died and was begun anew from its start" in result.message


def test_checkpoints_that_another_run_has_left_are_not_gone_on_with(tmp_path):
    before = trained(checkpoint=jasgd.Checkpoints(tmp_path / "run"))
    ray = dies_once(before)
    carried(ray, requested(checkpoint=jasgd.Checkpoints(tmp_path / "run")))
    assert [call.arguments[1] for call in ray.named("carry_out")] == [None, None]


def test_a_run_whose_server_is_lost_has_the_parameters_that_it_was_resumed_with(tmp_path):
    before = trained()
    ray = ScriptedRay(lambda call: call.answer(ActorDiedError()) if call.method == "carry_out" else None)
    result, _ = carried(ray, requested(resume=before))
    assert result.outcome == "failed"
    assert isinstance(result.error, RayEngineError)
    np.testing.assert_array_equal(result.params, before.params)
    assert result.execution.commits == 40


def test_gradients_that_were_under_way_to_a_server_that_died_are_counted_with_those_that_another_refused(tmp_path):
    result = trained()

    def on_call(call):
        begun, loops = ray.named("carry_out"), ray.named("work")
        if call.method == "carry_out" and len(begun) == 1:
            call.answer(ActorDiedError())
        elif call.method == "work" and len(loops) <= 2:  # of the first server; one worker had sent a gradient
            call.answer((SERVER_LOST_MEANWHILE, SERVER_LOST)[len(loops) - 1])
        elif call.method == "work" and len(loops) == 4:  # both are with the second one
            begun[-1].answer(Carried(result, None, [], 2))

    ray = ScriptedRay(on_call)
    ended, _ = carried(ray, requested(checkpoint=jasgd.Checkpoints(tmp_path / "run")))
    assert ended.execution.metadata["orphaned"] == 1 + 2
    assert ended.execution.metadata["restarts"] == 1


def interrupts_twice(count):
    if count in (3, 5):
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def without_patience(monkeypatch):
    monkeypatch.setattr("jasgd.training.engines.ray_actors.driver.PATIENCE_S", 0.0)


@pytest.mark.usefixtures("without_patience")
def test_a_second_ctrl_c_gives_the_last_checkpoint_of_a_run_whose_server_does_not_answer(tmp_path, capsys):
    folder = tmp_path / "run"
    before = trained(checkpoint=jasgd.Checkpoints(folder))
    ray = ScriptedRay(on_wait=interrupts_twice)
    result, driver = carried(ray, requested(checkpoint=jasgd.Checkpoints(folder), resume=folder))
    assert (result.outcome, result.interrupted, result.error) == ("stopped", True, None)
    assert result.message == "stopped by Ctrl-C, of which a later one killed the server; this is its last checkpoint"
    np.testing.assert_array_equal(result.params, before.params)
    assert result.execution.commits == 40
    assert [actor.kind for actor in ray.killed] == ["Server", "Worker", "Worker"]
    assert len(ray.named("interrupt")) == 1
    assert driver.interrupted
    assert "kills it, and gives its last checkpoint" in capsys.readouterr().err


@pytest.mark.usefixtures("without_patience")
def test_a_second_ctrl_c_gives_what_a_run_without_checkpoints_began_with():
    result, _ = carried(ScriptedRay(on_wait=interrupts_twice), requested())
    assert (result.outcome, result.interrupted) == ("stopped", True)
    assert result.message.endswith("killed the server; this is its start")


def test_a_second_ctrl_c_at_once_costs_no_result():
    def on_wait(count):
        interrupts_twice(count)
        if count == 8:
            ray.named("carry_out")[0].answer(Carried(trained(), None, [], 0))

    ray = ScriptedRay(on_wait=on_wait)
    result, _ = carried(ray, requested())
    assert result.execution.commits == 40
    assert ray.killed == []


def test_ctrl_c_is_told_to_the_server_that_follows_one_that_died_of_it(tmp_path):
    def on_call(call):
        if call.method == "interrupt" and len(ray.named("interrupt")) == 1:
            ray.named("carry_out")[0].answer(ActorDiedError())
        elif call.method == "interrupt":
            ray.named("carry_out")[1].answer(Carried(trained(), None, [], 0))

    ray = ScriptedRay(on_call, on_wait=lambda count: signal.raise_signal(signal.SIGINT) if count == 3 else None)
    carried(ray, requested(checkpoint=jasgd.Checkpoints(tmp_path / "run")))
    assert [call.actor for call in ray.named("interrupt")] == [a for a in ray.actors if a.kind == "Server"]


class AtProgress(jasgd.callbacks.Callback):
    """Calls a function at each progress, and notes its events."""

    def __init__(self, function):
        self.function, self.events = function, []

    def on_progress(self, state):
        self.events.append("progress")
        self.function(state)

    def on_end(self, state):
        self.events.append("end")


def server_that_dies_of(method):
    """A server with one event that dies as it is called so, and one after it that ends as it is called so."""

    def on_call(call):
        servers = [actor for actor in ray.actors if actor.kind == "Server"]
        if call.method == "next_event" and len([c for c in ray.named("next_event") if c.actor is call.actor]) == 1:
            call.answer(event("on_progress"))
        elif call.method == method and call.actor is servers[0]:
            ray.named("carry_out")[0].answer(ActorDiedError())
            call.answer(ActorDiedError())
        elif call.method == method:
            ray.named("carry_out")[1].answer(Carried(trained(), None, [], 0))

    ray = ScriptedRay(on_call)
    return ray


def test_the_stop_of_a_callback_is_told_to_the_server_that_follows_one_that_died(tmp_path):
    ray, done = server_that_dies_of("stop"), []
    callback = AtProgress(lambda state: done or (done.append(1), state.stop("enough")))
    carried(ray, requested(checkpoint=jasgd.Checkpoints(tmp_path / "run")), [callback])
    assert [call.arguments for call in ray.named("stop")] == [("enough",)] * 2


def test_what_a_callback_raised_is_told_to_the_server_that_follows_one_that_died(tmp_path):
    def raising(state):
        raise KeyError("of the callback")

    ray = server_that_dies_of("seen")
    callback = AtProgress(raising)
    carried(ray, requested(checkpoint=jasgd.Checkpoints(tmp_path / "run")), [callback])
    first, second = (call.arguments for call in ray.named("seen"))
    assert first[0] == second[0] == "AtProgress.on_progress raised KeyError: 'of the callback'"
    assert isinstance(second[1], KeyError)
    assert callback.events == ["progress"]


def test_a_callback_is_not_to_blame_for_a_server_that_dies_while_it_asks_it(tmp_path):
    def on_call(call):
        if call.method == "next_event" and len(ray.named("next_event")) == 1:
            call.answer(event("on_progress"))
        elif call.method == "ask":
            call.answer(ActorDiedError())
        elif call.method == "seen":
            ray.named("carry_out")[0].answer(Carried(trained(), None, [], 0))

    ray = ScriptedRay(on_call)
    carried(ray, requested(), [AtProgress(lambda state: state.params)])
    assert len(ray.named("ask")) == 1
    assert [call.arguments[1] for call in ray.named("seen")] == [None]


def test_a_run_that_was_over_already_ends_without_on_end_as_with_threads():
    callback, request = AtProgress(lambda state: None), requested()
    compiled = admit_task(request.task).compiled
    watching = Watching([callback], None, RunOptions(100, None, None, False), Terminations(False))
    here = CallbacksHere(watching, compiled, 2, "leashed", lambda *what: None, lambda why: None)
    with Interrupts() as interrupts:
        assert here.end(trained(), interrupts).outcome == "finished"
        assert callback.events == []
        here.see_to(event("on_start"))
        here.end(trained(), interrupts)
        assert callback.events == ["end"]


def init_failed():
    error = ActorDiedError()
    error.error_msg = "The actor died because of an error raised in its creation task\nValueError: no such flag"
    error._actor_init_failed = True
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeEnvSetupError("a long story\nno such conda environment"), "no such conda environment"),
        (init_failed(), "ValueError: no such flag"),
    ],
)
@pytest.mark.parametrize(("method", "who"), [("carry_out", "the server"), ("work", "worker 0")])
def test_actors_that_cannot_be_made_are_not_tried_again(error, reason, method, who):
    ray = ScriptedRay(lambda call: call.answer(error) if call.method in (method, "process") else None)
    with pytest.raises(RayEngineError, match=f"{who} could not be made: {reason}"):
        carried(ray, requested())
    assert len(ray.actors) == 3


def test_the_last_line_of_what_ray_says_of_a_death_is_in_the_message():
    error = ActorDiedError()
    error.error_msg = "The actor died\nclass: Server\nkilled as the machine was out of memory"
    ray = ScriptedRay(lambda call: call.answer(error) if call.method == "carry_out" else None)
    result, _ = carried(ray, requested())
    assert result.message.endswith("nothing to go on from: killed as the machine was out of memory")

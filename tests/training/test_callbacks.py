"""Callbacks in runs: what they are called for and see, what they may do, and what they cannot spoil."""

import signal
import threading

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.callbacks import EVENTS, Noting
from support.every_scheme import EVERY, ids
from support.training_runs import SCHEMES, adaptive, of, ones, quadratic, start, train

import jasgd
from jasgd.callbacks import Callback


def one(ticket):
    return np.float32(1)


# --- what is called


@pytest.mark.newest
def test_the_events_of_a_run_come_in_their_order():
    noting = Noting()
    result = train(callbacks=[noting], evaluate=lambda w: 1.0)
    assert noting.events[:2] == ["on_start", "on_evaluation"]
    assert noting.events[-3:] == ["on_evaluation", "on_progress", "on_end"]
    assert noting.events.count("on_start") == noting.events.count("on_end") == 1
    assert noting.events.count("on_evaluation") == len(result.evaluations)


def test_callbacks_are_called_in_their_order_by_the_thread_that_called_train():
    calls, threads = [], set()

    def then(name):
        return lambda state: (calls.append(name), threads.add(threading.current_thread()))

    train(callbacks=[Noting(then("a")), Noting(then("b"))], on_progress=lambda progress: calls.append("short"))
    assert calls == ["short", "a", "b"] * (len(calls) // 3)
    assert threads == {threading.current_thread()}


@pytest.mark.parametrize("scheme", ids(SCHEMES))
def test_what_a_callback_sees_of_a_run_is_what_its_result_has(scheme):
    seen = {}

    class Look(Callback):
        def on_start(self, state):
            seen["start"] = (state.version, state.time_s, np.asarray(state.params["w"]).tolist(), state.result)

        def on_evaluation(self, state):
            evaluated = float(quadratic(state.params, ones(0)))
            seen.setdefault("evaluations", []).append((state.version, evaluated, dict(state.evaluation)))

        def on_end(self, state):
            seen["end"] = state.result
            seen["params"], seen["version"] = state.params, state.version
            seen["staleness"], seen["max"] = state.staleness, state.max_staleness
            seen["p50"], seen["loss"] = state.staleness_percentile(50), state.loss
            seen["metrics"] = state.metrics

    result = jasgd.train(
        quadratic, start(), adaptive(), ones, **of(scheme), steps=300, callbacks=[Look()],
        evaluate=lambda params: float(quadratic(params, ones(0))),
    )  # fmt: skip
    assert seen["start"] == (0, 0.0, [0.0] * 8, None)
    assert seen["end"] is result
    assert seen["version"] == 300
    np.testing.assert_array_equal(seen["params"]["w"], result.params["w"])
    for (version, evaluated, evaluation), kept in zip(seen["evaluations"], result.evaluations, strict=True):
        assert (version, evaluated) == (kept["version"], kept["loss"])
        assert evaluation == kept
    taus = result.execution.staleness
    assert sorted(seen["staleness"].tolist()) == sorted(taus[-1000:].tolist())
    assert (seen["max"], seen["p50"]) == (taus[-1000:].max(), np.percentile(taus[-1000:], 50, method="inverted_cdf"))
    assert seen["metrics"]["staleness/max"] == seen["max"]
    assert seen["metrics"]["timings/compute_s"] > 0
    assert seen["loss"] == pytest.approx(result.metrics["last_loss"], abs=0.05)


@pytest.mark.parametrize("scheme", ids(["leashed", "leashed, native", "locked", "hogwild, native", "synchronous"]))
def test_parameters_and_optimizer_state_are_of_one_version_while_workers_go_on(scheme):
    """Adam counts its updates, so a state of another version than it says is found."""
    versions, enough = [], threading.Event()

    class Look(Callback):
        def on_progress(self, state):
            version, count = state.params_version, int(state.opt_state[0].count)
            versions.append((version, count, float(state.params[0])))
            assert state.params is state.params  # fetched once a call
            if len(versions) > 3:
                enough.set()
                state.stop("seen enough")

    def batches(ticket):
        assert ticket < 200 or enough.wait(60)
        return np.float32(1)

    result = jasgd.train(
        lambda w, b: jnp.sum(w * b), jnp.zeros(2), optax.chain(optax.scale_by_adam(), optax.scale(-1.0)), batches,
        scheme=EVERY[scheme], workers=2, steps=10**6, callbacks=[Look()],
    )  # fmt: skip
    assert result.message == "seen enough"
    for version, count, parameter in versions:
        if "hogwild" not in scheme:  # which loses updates, by its nature
            assert count == version
            assert parameter == pytest.approx(-version, rel=1e-4)


def test_aux_and_timings_are_means_of_recent_gradients():
    seen = []

    def loss_fn(w, batch):
        return jnp.mean((w - batch) ** 2), {"ticket": batch}

    noting = Noting(lambda state: seen.append((state.aux, state.timings)), "on_end")
    jasgd.train(
        loss_fn, jnp.zeros(3), optax.sgd(1e-6), np.float32, has_aux=True, workers=1, steps=300, callbacks=[noting]
    )
    ((aux, timings),) = seen
    assert aux == {"ticket": np.mean(np.arange(200, 300))}
    assert set(timings) == {"batch_s", "read_s", "compute_s", "commit_s"}


def test_a_state_is_for_its_call_and_does_not_keep_the_run():
    kept = []
    train(callbacks=[Noting(kept.append, "on_start")])
    assert kept[0].version == 0
    assert "version=0" in repr(kept[0])
    for use in (lambda s: s.params, lambda s: s.staleness, lambda s: s.aux, lambda s: s.stop("late")):
        with pytest.raises(RuntimeError, match="must be used during the callback's call"):
            use(kept[0])


# --- what a callback may do


@pytest.mark.parametrize("event", ["on_start", "on_progress", "on_evaluation"])
@pytest.mark.parametrize("scheme", ids(SCHEMES))
def test_a_callback_may_stop_a_run_and_its_reason_is_kept(scheme, event, tmp_path):
    noting = Noting(lambda state: state.stop("it is good enough"), event)
    result = train(
        scheme=EVERY[scheme], workers=of(scheme)["workers"], steps=10**8, callbacks=[noting, other := Noting()],
        evaluate=lambda w: 1.0, evaluate_every_s=1000.0, throw=True,
    )  # fmt: skip
    assert (result.outcome, result.message, result.interrupted) == ("stopped", "it is good enough", False)
    assert noting.events[-1] == other.events[-1] == "on_end"
    result.execution.validate()
    loaded = jasgd.TrainResult.load(result.save(tmp_path / "run"))
    assert (loaded.outcome, loaded.message, loaded.interrupted) == ("stopped", "it is good enough", False)


def test_the_first_reason_counts_and_a_stop_after_the_end_changes_nothing():
    first, second = Noting(lambda s: s.stop("first")), Noting(lambda s: s.stop("second"))
    late = Noting(lambda s: s.stop("too late"), "on_end")
    result = train(steps=10**8, callbacks=[first, second, late])
    assert result.message == "first"


@pytest.mark.parametrize(("reason", "error"), [("", ValueError), (" ", ValueError), (None, TypeError), (3, TypeError)])
def test_a_reason_must_say_something(reason, error):
    result = train(steps=10**8, callbacks=[Noting(lambda state: state.stop(reason))])
    assert result.outcome == "failed"
    assert isinstance(result.error, error)
    assert "reason must" in result.message


def test_a_callback_that_raises_keyboard_interrupt_stops_the_run_as_ctrl_c_does():
    def press(state):
        raise KeyboardInterrupt

    result = train(steps=10**8, callbacks=[Noting(press), other := Noting()])
    assert (result.outcome, result.message, result.interrupted) == ("stopped", "stopped by Ctrl-C", True)
    assert other.events[-1] == "on_end"


# --- what a callback cannot spoil


@pytest.mark.parametrize("error", [OSError, SystemExit, MemoryError])
@pytest.mark.parametrize("event", ["on_start", "on_progress", "on_evaluation", "on_end"])
def test_a_callback_that_raises_fails_the_run_which_keeps_its_result(event, error):
    def fail(state):
        raise error("the disk is full")

    raising, other, steps = Noting(fail, event), Noting(), 40 if event == "on_end" else 10**8
    result = train(steps=steps, callbacks=[raising, other], evaluate=lambda w: 1.0)
    assert result.outcome == "failed"
    assert f"Noting.{event} raised {error.__name__}: the disk is full" in result.message
    assert isinstance(result.error, error)
    assert "in fail" in result.traceback
    assert len(result.execution) == result.execution.commits
    assert raising.events.count(event) == 1  # a callback that is broken is called no more, but for the end
    assert raising.events[-1] == other.events[-1] == "on_end"
    with pytest.raises(jasgd.TrainingError) as caught:
        train(steps=steps, callbacks=[raising], evaluate=lambda w: 1.0, throw=True)
    assert caught.value.result.outcome == "failed"
    assert isinstance(caught.value.__cause__, error)


def test_every_callback_is_called_at_the_end_and_sees_what_the_others_have_made_of_it():
    def fail(state):
        raise OSError(f"after {state.outcome}")

    outcomes = []
    last = Noting(lambda state: outcomes.append(state.outcome), "on_end")
    result = train(callbacks=[Noting(fail, "on_end"), Noting(fail, "on_end"), last])
    assert outcomes == ["failed"]
    assert "on_end raised OSError: after finished" in result.message
    assert "then Noting.on_end raised OSError: after failed" in result.message


CONDITIONS = {
    "time limit": ({"time_limit_s": 0.3, "steps": None}, "finished", "the time limit of 0.3 s was reached"),
    "target loss": ({"target_loss": 0.9, "steps": None}, "converged", "the target loss of 0.9 was reached"),
    "steps": ({"steps": 100}, "finished", "all 100 steps were taken"),
}


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("where", ["callback", "evaluate", "start"])
def test_a_callback_that_takes_long_delays_no_stop_condition(condition, where):
    """It returns only when the run is over: if it held up the condition, neither would ever happen."""
    over, waited = threading.Event(), []

    class Noted(jasgd.schemes.Leashed):
        def close(self, reason):
            super().close(reason)
            over.set()

    def wait(*_):
        if not waited:
            waited.append(True)
            assert over.wait(60), "the condition waits for what waits for it"  # which fails the run, and so ends it

    def evaluate(w):
        if begun:
            wait()
        begun.append(True)
        return {"accuracy": 0.5} if condition == "target loss" else 1.0

    begun, options = [], {}
    if where == "evaluate" and condition != "target loss":  # where it is the evaluation that decides
        options = {"evaluate": evaluate, "evaluate_every_s": 1e-3}
    elif where == "callback":
        options = {"callbacks": [Noting(wait)]}
    else:
        options = {"on_progress": wait}
    how, outcome, message = CONDITIONS[condition]
    result = train(scheme=Noted, **options, **how)
    assert (result.outcome, result.message) == (outcome, message)
    assert waited == [True]


def test_workers_that_all_end_end_the_run_while_a_callback_takes_long():
    over = threading.Event()

    def wait(state):
        assert over.wait(60)

    class Closing(jasgd.schemes.Leashed):
        def commit(self, gradient):
            raise jasgd.schemes.Closed("no more")

        def close(self, reason):
            super().close(reason)
            over.set()

    result = train(scheme=Closing, callbacks=[Noting(wait)])
    assert result.message == "every worker ended, as the scheme took no more gradients"


def test_what_goes_wrong_in_the_thread_that_watches_fails_the_run(monkeypatch):
    from jasgd.training.engines.stop_conditions import StopConditions

    def broken(self):
        raise ZeroDivisionError("at fault")

    monkeypatch.setattr(StopConditions, "_look", broken)
    result = train(steps=None, time_limit_s=60)
    assert result.outcome == "failed"
    assert "ZeroDivisionError while the run was watched: at fault" in result.message


def test_no_thread_is_left():
    train(time_limit_s=0.2, steps=None, callbacks=[Noting()])
    assert not [thread for thread in threading.enumerate() if thread.name == "jasgd-stop-conditions"]


# --- Ctrl-C


def press(*_):
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_in_on_end_cuts_that_callback_short_and_the_next_are_called():
    cut = []

    def then(state):
        try:
            press()
        except KeyboardInterrupt:
            cut.append(state.outcome)
            raise

    result = train(callbacks=[Noting(then, "on_end"), Noting(then, "on_end"), last := Noting()])
    assert cut == ["finished", "finished"]
    assert last.events[-1] == "on_end"
    assert (result.outcome, result.interrupted) == ("stopped", True)
    assert result.message == "all 40 steps were taken, then stopped by Ctrl-C"


def test_ctrl_c_while_the_result_is_made_is_in_what_on_end_sees(monkeypatch):
    conclude, seen = jasgd.training.engines.carrying_out.conclude, []

    def pressed(*arguments):
        press()
        return conclude(*arguments)

    monkeypatch.setattr(jasgd.training.engines.carrying_out, "conclude", pressed)
    noting = Noting(lambda state: seen.append((state.outcome, state.result.interrupted)), "on_end")
    with jasgd.training.interrupts.Interrupts() as outer:
        result = train(callbacks=[noting])
        assert outer.held == 1
    assert seen == [("stopped", True)]
    assert result.message == "all 40 steps were taken, then stopped by Ctrl-C"


# --- the door


@pytest.mark.parametrize(
    ("callbacks", "error", "message"),
    [
        (Noting(), TypeError, "callbacks must be a sequence of jasgd.callbacks.Callback, got Noting"),
        ("progress", TypeError, "callbacks must be a sequence"),
        ([Noting], TypeError, "pass an object, not its class"),
        ([print], TypeError, "callbacks must be objects of jasgd.callbacks.Callback, got builtin"),
        ([jasgd.callbacks.EarlyStopping(patience=1)], ValueError, "needs evaluate, which gives 'loss'"),
    ],
)
def test_what_is_no_callback_is_refused_before_anything_is_compiled(callbacks, error, message):
    def loss_fn(w, batch):
        pytest.fail("too late")

    with pytest.raises(error, match=message.replace("(", r"\(")):
        jasgd.train(loss_fn, jnp.zeros(3), optax.sgd(0.1), one, workers=1, steps=1, callbacks=callbacks)


def test_a_callback_that_is_there_twice_is_refused():
    noting = Noting()
    with pytest.raises(ValueError, match="got one of them twice"):
        train(callbacks=[noting, noting])


def test_the_table_of_events_is_the_protocol():
    assert [name for name in vars(Callback) if name.startswith("on_")] == list(EVENTS)

"""What comes while a run ends, or when it has ended already, costs nothing of what was learned and does not vanish."""

import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, ids
from support.python_process import TESTS, line_of, talking_python
from support.training_runs import mean_square, train

import jasgd
import jasgd.training.engines.carrying_out
import jasgd.training.engines.threads
from jasgd.training.aux_columns import TOGETHER, AuxColumns


@pytest.mark.parametrize("presses", [1, 3])
def test_ctrl_c_while_a_run_is_concluded_is_held_until_the_result_exists(presses):
    """Kind: an interruption that costs the run. The first Ctrl-C ends it, all others find it concluding."""
    with talking_python(TESTS / "support" / "interrupted_conclusion.py") as process:
        line_of(process.stdout, "training")
        process.send_signal(signal.SIGINT)
        line_of(process.stdout, "concluding")
        for press in range(presses):
            process.send_signal(signal.SIGINT)
            if not press:
                line_of(process.stderr, "Ctrl-C: the run has ended, and what there is of it is being kept")
        output, errors = process.communicate("go on\n", timeout=100)
    assert process.returncode == 0, errors
    assert output == "stopped: stopped by Ctrl-C; True\n"
    assert "being kept" not in errors  # it is said once


def test_ctrl_c_while_a_run_is_concluded_that_has_ended_by_itself_is_not_swallowed(monkeypatch):
    conclude = jasgd.training.engines.carrying_out.conclude

    def pressed(*arguments):
        signal.raise_signal(signal.SIGINT)
        return conclude(*arguments)

    monkeypatch.setattr(jasgd.training.engines.carrying_out, "conclude", pressed)
    before = signal.getsignal(signal.SIGINT)
    result = train()
    assert result.outcome == "stopped"
    assert result.message == "all 40 steps were taken, then stopped by Ctrl-C"
    assert result.execution.commits == 40
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_of_the_caller_s_own_is_called_for_every_ctrl_c():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        result = train(evaluate=lambda w: signal.raise_signal(signal.SIGINT) or 1.0)
        assert len(pressed) >= 2
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.outcome == "finished"


# --- what goes wrong when the run has ended


def ending(name):
    """The scheme, and an event that is set when it is closed."""
    closed = threading.Event()

    def factory(setup):
        scheme = EVERY[name](setup)
        close = scheme.close

        def closing(reason):
            close(reason)
            closed.set()

        scheme.close = closing
        return scheme

    return factory, closed


SLOW = ["leashed", "leashed, native", "hogwild", "locked"]


@pytest.mark.parametrize("scheme", ids(SLOW))
def test_an_error_after_the_last_step_does_not_vanish(scheme):
    factory, closed = ending(scheme)

    def batches(ticket):
        if ticket == 3:
            assert closed.wait(60)
            raise OSError("the disk is gone")
        return np.float32(1)

    with pytest.warns(RuntimeWarning, match="raised OSError: the disk is gone"):
        result = train(scheme=factory, batches=batches, throw=True)
    assert result.outcome == "finished"
    assert result.execution.commits == 40
    assert "all 40 steps were taken; after it had ended, worker" in result.message
    assert isinstance(result.error, OSError)
    assert "in batches" in result.traceback


@pytest.mark.parametrize("scheme", ids(SLOW))
def test_a_loss_that_is_not_finite_after_the_last_step_is_said(scheme):
    factory, closed = ending(scheme)

    def batches(ticket):
        if ticket == 3:
            assert closed.wait(60)
        return np.float32(np.nan if ticket == 3 else 1)

    result = train(scheme=factory, batches=batches, throw=True)
    assert result.outcome == "finished"
    assert "; after it had ended, the loss at version " in result.message
    assert "(ticket 3, worker" in result.message
    assert result.error is None


def test_batches_that_run_out_when_all_steps_are_taken_are_no_error():
    factory, closed = ending("leashed")

    def items():
        yield from [np.float32(1)] * 40
        assert closed.wait(60)

    result = train(scheme=factory, batches=items(), throw=True)
    assert (result.outcome, result.message, result.error) == ("finished", "all 40 steps were taken", None)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, MemoryError, GeneratorExit])
def test_whatever_a_worker_raises_fails_the_run(error):
    def batches(ticket):
        if ticket == 5:
            raise error("as it is")
        return np.float32(1)

    result = train(batches=batches)
    assert result.outcome == "failed"
    assert f"raised {error.__name__}: as it is" in result.message
    assert isinstance(result.error, error)


@pytest.mark.parametrize("where", ["evaluate", "on_progress"])
@pytest.mark.parametrize("error", [SystemExit, MemoryError])
def test_whatever_is_raised_at_the_end_keeps_the_result(where, error):
    over = threading.Event()

    def raising(*_):
        if over.is_set():
            raise error("as it is")
        return 1.0

    class Noted(jasgd.schemes.Leashed):
        def close(self, reason):
            super().close(reason)
            over.set()

    result = train(scheme=Noted, **{where: raising})
    assert result.outcome == "failed"
    assert f"{error.__name__}" in result.message
    assert len(result.execution) == 40


def test_a_worker_that_cannot_even_begin_fails_the_run(monkeypatch):
    def unsettled(*_):
        raise RuntimeError("no such setting")

    monkeypatch.setattr(jasgd.training.engines.threads, "inherited", lambda: unsettled)
    result = train()
    assert result.outcome == "failed"
    assert "raised RuntimeError: no such setting" in result.message


@pytest.mark.parametrize("member", ["close", "counters", "unfinished", "note_in_flight"])
def test_a_scheme_that_raises_at_the_end_loses_nothing(member):
    def broken(self, *_):
        raise ValueError("at fault")

    value = broken if member in ("close", "note_in_flight") else property(broken)
    result = train(scheme=type("Broken", (jasgd.schemes.Leashed,), {member: value}))
    assert "raised ValueError: at fault" in result.message
    assert isinstance(result.error, ValueError)
    assert result.outcome == ("finished" if member == "close" else "failed")
    assert len(result.execution) == 40
    assert float(mean_square(result.params, 1.0)) < 1


# --- aux


@pytest.mark.parametrize("scheme", ids(["leashed", "leashed, native"]))
def test_aux_keeps_its_types_and_order_over_many_gradients(scheme):
    def loss_fn(w, batch):
        return jnp.mean((w - batch) ** 2), {
            "ticket": batch.astype(jnp.int32),
            "even": batch % 2 == 0,
            "root": jnp.sqrt(batch),
        }

    result = jasgd.train(
        loss_fn, jnp.zeros(3), optax.sgd(1e-6), np.float32, has_aux=True, scheme=EVERY[scheme], workers=2,
        steps=3 * TOGETHER,
    )  # fmt: skip
    ticket = result.execution.ticket
    assert [column.dtype.name for column in result.aux.values()] == ["bool", "float32", "int32"]
    np.testing.assert_array_equal(result.aux["ticket"], ticket)
    np.testing.assert_array_equal(result.aux["even"], ticket % 2 == 0)
    np.testing.assert_allclose(result.aux["root"], np.sqrt(ticket), rtol=1e-6)


def test_aux_does_not_keep_arrays_of_jax():
    """Kind: memory that grows with a run by much more than what is kept: 2 KB for a scalar of 4 bytes."""
    columns, before = AuxColumns(1), len(jax.live_arrays())
    for ticket in range(5 * TOGETHER - 1):
        columns.note(0, ticket, (jnp.float32(ticket), jnp.int32(ticket)))
    assert len(jax.live_arrays()) - before < 2 * TOGETHER + 8
    np.testing.assert_array_equal(columns.of(np.arange(300))["0"], np.arange(300))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("gradients", [1, 99, 100, TOGETHER * 3, 1000])
def test_aux_of_the_newest_gradients_is_that_of_the_last_tickets(workers, gradients):
    columns = AuxColumns(workers)
    assert columns.newest(100) == {}
    for ticket in range(gradients):
        columns.note(ticket % workers, ticket, {"a": jnp.int32(ticket), "b": jnp.float32(np.nan)})
    newest = columns.newest(100)
    np.testing.assert_array_equal(newest["a"], np.arange(gradients)[-100:])
    assert np.isnan(newest["b"]).all()  # what is NaN is shown as it is


def test_aux_that_is_put_together_meanwhile_is_there_once(monkeypatch):
    """Between the two, the gradients are in both lists, as a reader in another thread may find them."""
    columns, found = AuxColumns(1), []

    class Noted(list):
        def append(self, part):
            super().append(part)
            found.append(columns.newest(TOGETHER))

    columns._noted[0] = Noted()
    for ticket in range(TOGETHER):
        columns.note(0, ticket, jnp.int32(ticket))
    np.testing.assert_array_equal(found[0]["aux"], np.arange(TOGETHER))


def test_aux_of_other_dtypes_and_of_missing_gradients():
    columns = AuxColumns(2)
    columns.note(0, 4, {"a": jnp.float32(0.5), "b": jnp.int32(7)})
    columns.note(1, 2, {"a": jnp.bfloat16(1.5), "b": jnp.int32(9)})
    assert AuxColumns(1).of(np.array([1])) == {}
    some = columns.of(np.array([2, 4]))
    assert (some["a"].dtype, some["a"].tolist(), some["b"].tolist()) == (np.float32, [1.5, 0.5], [9, 7])
    holes = columns.of(np.array([2, 3, 4]))
    np.testing.assert_array_equal(holes["b"], [9, np.nan, 7])

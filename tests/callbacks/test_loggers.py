"""JSON lines, TensorBoard's event files and log functions: written while the run goes on, and read back."""

import json
import logging
import math
import threading

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.callbacks import Noting, state_of
from support.python_process import run_python
from support.training_runs import train
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import jasgd
from jasgd.callbacks import JsonLines, Metrics, TensorBoard

NUMBERS = {
    "train/loss", "train/updates_per_s", "train/mean_factor", "train/dropped", "staleness/mean", "staleness/p50",
    "staleness/p90", "staleness/p99", "staleness/max", "timings/batch_s", "timings/read_s", "timings/compute_s",
    "timings/commit_s", "aux/half",
}  # fmt: skip


def run_with(callback, read, **options):
    """A run that goes on until what the callback has written was read, by another callback after it."""
    written = []

    class Read(jasgd.callbacks.Callback):
        def on_progress(self, state):
            if state.version > 5 and state.outcome is None:
                written.append(read())
                state.stop("read")

    def loss_fn(w, batch):
        loss = jnp.mean((w - batch) ** 2)
        return loss, {"half": loss / 2}

    options = {"steps": None, "time_limit_s": 60, "evaluate": lambda w: {"loss": 1.0, "accuracy": 0.5}} | options
    result = jasgd.train(
        loss_fn, jnp.zeros(3), optax.sgd(0.05), lambda ticket: np.float32(1), has_aux=True, workers=2,
        callbacks=[callback, Read()], **options,
    )  # fmt: skip
    assert result.message == "read"
    return result, written[0]


def lines_of(path):
    def strict(constant):
        raise ValueError(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=strict) for line in path.read_text().splitlines()]


# --- JSON lines


@pytest.mark.newest
def test_json_lines_are_whole_while_the_run_goes_on(tmp_path):
    path = tmp_path / "log.jsonl"
    result, during = run_with(JsonLines(path, every_s=1e-6), lambda: lines_of(path))
    assert [line["event"] for line in during[:3]] == ["start", "evaluation", "progress"]
    assert during[1] == {
        "event": "evaluation", "version": 0, "time_s": 0.0, "evaluation/loss": 1.0, "evaluation/accuracy": 0.5
    }  # fmt: skip
    assert set(during[-1]) == {"event", "version", "time_s"} | NUMBERS
    lines = lines_of(path)
    assert lines[: len(during)] == during
    assert lines[-1] | {"time_s": 0} == {
        "event": "end", "version": result.execution.commits, "time_s": 0, "outcome": "stopped", "message": "read"
    }  # fmt: skip


def test_numbers_that_are_not_finite_are_null(tmp_path):
    path = tmp_path / "log.jsonl"
    train(callbacks=[JsonLines(path)], evaluate=lambda w: {"loss": math.nan, "worst": math.inf})
    evaluations = [line for line in lines_of(path) if line["event"] == "evaluation"]
    assert [(e["evaluation/loss"], e["evaluation/worst"]) for e in evaluations] == [(None, None)] * 2


def test_a_file_that_is_there_is_refused_before_anything_is_compiled_and_replaced_or_continued_where_told(tmp_path):
    path = tmp_path / "log.jsonl"
    train(callbacks=[JsonLines(path)])
    first = lines_of(path)
    with pytest.raises(FileExistsError, match="existing must be 'append' or 'replace'"):
        jasgd.train(lambda w, b: pytest.fail("late"), 0.0, None, None, workers=1, steps=1, callbacks=[JsonLines(path)])
    assert lines_of(path) == first
    train(callbacks=[JsonLines(path, existing="append")])
    assert lines_of(path)[: len(first)] == first
    assert sum(line["event"] == "start" for line in lines_of(path)) == 2
    train(callbacks=[JsonLines(path, existing="replace")])
    assert sum(line["event"] == "start" for line in lines_of(path)) == 1


@pytest.mark.parametrize(("rest", "kept"), [('{"event": "prog', 1), ('{"event": "progress"}', 2), ("", 1)])
def test_a_line_that_a_kill_has_cut_off_is_removed_where_a_run_goes_on(tmp_path, rest, kept):
    path = tmp_path / "log.jsonl"
    path.write_text('{"event": "start"}\n' + rest)
    callback = JsonLines(path, existing="append")
    callback.on_start(state_of(version=7))
    assert [line["event"] for line in lines_of(path)] == [*["start", "progress"][:kept], "start"]
    assert lines_of(path)[-1]["version"] == 7
    callback.on_end(state_of())


def test_lines_of_a_killed_part_above_the_version_that_a_run_goes_on_from_are_removed(tmp_path):
    """They come again; what an earlier part that has ended wrote stays, and so does what is no line of a run."""
    path = tmp_path / "log.jsonl"
    ended = [("start", 0), ("progress", 9), ("end", 9), ("start", 0), ("progress", 90), ("end", 90)]
    killed = [("start", 0), ("progress", 5), ("checkpoint", 7), ("progress", 8), ("evaluation", 7), ("progress", 12)]
    again = [("start", 7), ("progress", 9)]  # killed before it came to another checkpoint
    events = [*ended, *killed, *again]
    lines = [json.dumps({"event": event, "version": version}) for event, version in events]
    others = ["3", '{"version": null}', "no JSON", ""]
    path.write_text("\n".join([*lines, *others, '{"event": "pro']))
    callback = JsonLines(path, existing="append")
    callback.on_start(state_of(version=7))
    callback.on_end(state_of(version=7))
    *text, start, end = path.read_text().splitlines()
    kept = [*ended, *[one for one in killed if one[1] <= 7], ("start", 7)]
    assert text == [*(json.dumps({"event": event, "version": version}) for event, version in kept), *others]
    assert [json.loads(line)["event"] for line in (start, end)] == ["start", "end"]
    whole = path.read_bytes() + json.dumps({"event": "progress", "version": 20}).encode() + b"\n"
    path.write_bytes(whole)
    callback.on_start(state_of(version=0))  # of another run, for all that is known
    assert path.read_bytes().startswith(whole)
    callback.on_end(state_of())


def test_one_object_serves_several_runs_one_after_another(tmp_path):
    callback = JsonLines(tmp_path / "log.jsonl", existing="append")
    train(callbacks=[callback])
    train(callbacks=[callback])
    assert [line["event"] for line in lines_of(callback.path)].count("end") == 2


@pytest.mark.parametrize(
    ("path", "options", "error", "message"),
    [
        (3, {}, TypeError, "path must be the path of a file, got int 3"),
        ("log", {"existing": "keep"}, ValueError, "existing must be 'refuse', 'append' or 'replace'"),
        ("log", {"every_s": 0}, ValueError, "every_s must be > 0 seconds"),
        ("nowhere/log", {}, FileNotFoundError, "path must lie in a folder that exists, got .*nowhere"),
        (".", {}, IsADirectoryError, "path must be that of a file"),
    ],
)
def test_a_path_that_cannot_work_is_refused(tmp_path, monkeypatch, path, options, error, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        train(callbacks=[JsonLines(path, **options)])


def test_a_full_disk_fails_the_run_and_keeps_its_result(tmp_path):
    class Full(JsonLines):
        def _line(self, event, state, more=None):
            if event == "progress":
                raise OSError(28, "No space left on device")
            super()._line(event, state, more)

    result = train(steps=None, time_limit_s=60, callbacks=[Full(tmp_path / "log.jsonl", every_s=1e-6)])
    assert result.outcome == "failed"
    assert "Full.on_progress raised OSError: [Errno 28] No space left on device" in result.message
    assert len(result.execution) > 0


# --- TensorBoard


def read_events(folder):
    """What TensorBoard's own reader finds."""
    reader = EventAccumulator(str(folder), size_guidance={"histograms": 0, "scalars": 0})
    return reader.Reload()


@pytest.mark.newest
def test_event_files_are_read_by_tensorboard_while_the_run_goes_on(tmp_path):
    """The reader is another callback of the same run, so the run goes on while it reads."""
    folder = tmp_path / "logs" / "one"
    result, reader = run_with(TensorBoard(folder, every_s=1e-6), lambda: read_events(folder))
    assert set(reader.Tags()["scalars"]) == NUMBERS | {"evaluation/loss", "evaluation/accuracy"}
    assert reader.Tags()["histograms"] == ["staleness/histogram"]
    (accuracy,) = reader.Scalars("evaluation/accuracy")
    assert (accuracy.step, accuracy.value) == (0, 0.5)
    loss = reader.Scalars("train/loss")[-1]
    assert 5 < loss.step <= result.execution.commits
    histogram = reader.Histograms("staleness/histogram")[-1].histogram_value
    assert histogram.num == sum(histogram.bucket) <= 1000
    after = read_events(folder)
    assert after.Scalars("train/loss")[-1].step == result.execution.commits
    whole = after.Histograms("staleness/histogram")[-1].histogram_value
    taus = np.sort(result.execution.staleness)
    if len(taus) <= 1000:
        counts = dict(zip(*(part.tolist() for part in np.unique(taus, return_counts=True)), strict=True))
        assert {int(b): int(n) for b, n in zip(whole.bucket_limit, whole.bucket, strict=True) if n} == counts
        assert (whole.min, whole.max, whole.sum) == (taus.min(), taus.max(), taus.sum())


@pytest.mark.parametrize("taus", [[0], [3, 3, 3], [0, 5_000_000], list(range(3000))])
def test_the_histogram_has_every_gradient_however_stale(tmp_path, taus):
    callback = TensorBoard(tmp_path)
    callback.on_start(state_of())
    callback.on_progress(state_of(version=len(taus), staleness=taus))
    callback.on_end(state_of(version=len(taus), staleness=taus))
    histogram = read_events(tmp_path).Histograms("staleness/histogram")[-1].histogram_value
    recent = taus[-1000:]
    assert (histogram.num, sum(histogram.bucket)) == (len(recent), len(recent))
    assert len(histogram.bucket) <= 256
    below = np.searchsorted(np.sort(recent), histogram.bucket_limit, side="right")
    np.testing.assert_array_equal(np.cumsum(histogram.bucket), below)


def test_a_run_that_goes_on_continues_the_curves_and_hides_what_was_beyond(tmp_path):
    """As after a kill: the first run logged beyond the checkpoint that the second one begins with."""
    for start, versions in ((0, (10, 20, 30)), (20, (25, 35))):
        callback = TensorBoard(tmp_path, every_s=1e-6)
        callback.on_start(state_of(version=start))
        for version in versions:
            callback.on_progress(state_of(version=version, time_s=float(version), staleness=[1]))
        callback.on_end(state_of(version=versions[-1]))
    assert len(list(tmp_path.iterdir())) == 2  # though they began within the same second
    assert [event.step for event in read_events(tmp_path).Scalars("train/loss")] == [10, 25, 35]


def test_a_missing_extra_is_one_line_that_names_it():
    for missing, call, extra in (("tensorboardX", "TensorBoard('logs')", "tensorboard"), ("rich", "Progress()", "cli")):
        script = f"import sys; sys.modules[{missing!r}] = None\nfrom jasgd.callbacks import *\n{call}"
        process = run_python("-c", script, check=False)
        assert process.returncode == 1
        assert process.stderr.strip().splitlines()[-1].endswith(f'pip install "jasgd[{extra}]"')


# --- log functions


def test_metrics_calls_what_has_the_shape_of_a_log_function():
    calls = []

    class Run:
        def log(self, data, step=None):
            calls.append((dict(data), step))

    result, _ = run_with(Metrics(Run().log, every_s=1e-6), lambda: list(calls))
    assert calls[0] == ({"evaluation/loss": 1.0, "evaluation/accuracy": 0.5}, 0)
    assert all(isinstance(value, (int, float)) for numbers, _ in calls for value in numbers.values())
    assert {name for numbers, _ in calls for name in numbers} == NUMBERS | {"evaluation/loss", "evaluation/accuracy"}
    steps = [step for _, step in calls]
    assert steps == sorted(steps)
    assert steps[-1] == result.execution.commits
    assert [step for numbers, step in calls if "train/loss" in numbers].count(steps[-1]) == 1  # not twice at the end


def test_steps_never_fall_though_an_evaluated_snapshot_may_be_newer_than_the_newest_row():
    steps, callback = [], Metrics(lambda numbers, step: steps.append(step), every_s=1e-6)
    callback.on_start(state_of())
    callback.on_evaluation(state_of(version=12, evaluation={"loss": 1.0, "version": 12, "time_s": 1.0}))
    callback.on_progress(state_of(version=11, time_s=1.0, staleness=[0]))
    assert steps == [12, 12]


def test_numbers_are_written_as_often_as_asked():
    steps, callback = [], Metrics(lambda numbers, step: steps.append(step), every_s=2.0)
    callback.on_start(state_of())
    for version, time_s in enumerate([0.0, 0.5, 1.9, 2.0, 3.9, 4.1, 4.2]):
        callback.on_progress(state_of(version=version, time_s=time_s, staleness=[0]))
    callback.on_end(state_of(version=6, staleness=[0]))
    assert steps == [0, 3, 5, 6]


def test_what_is_no_log_function_is_refused():
    with pytest.raises(TypeError, match=r"log must be a function of \(numbers, step\), got str 'wandb'"):
        Metrics("wandb")


# --- Python's logging


def test_a_run_is_logged_under_jasgd_and_nothing_is_printed(caplog, capfd):
    with caplog.at_level(logging.DEBUG, "jasgd"):
        train(evaluate=lambda w: {"loss": 0.5})
        train(callbacks=[Noting(lambda state: 1 / 0, "on_start")])
    first, second = [k for k, r in enumerate(caplog.records) if r.getMessage().startswith("training starts")]
    run = [(r.levelname, r.getMessage()) for r in caplog.records[:second]]
    assert first == 0
    assert run[0] == ("INFO", "training starts at version 0: leashed, 2 workers")
    assert run[1] == ("DEBUG", "evaluated version 0 at 0.000 s: loss 0.5")
    assert run[-1][0] == "INFO"
    assert run[-1][1].startswith("finished at version 40 after ")
    assert run[-1][1].endswith(": all 40 steps were taken")
    assert caplog.records[-1].levelname == "WARNING"
    assert "division by zero" in caplog.records[-1].getMessage()
    assert capfd.readouterr() == ("", "")


def test_a_program_that_did_not_ask_for_logging_sees_none_also_of_a_run_that_failed():
    script = (
        "import jax.numpy as jnp, optax, jasgd\n"
        "result = jasgd.train(lambda w, b: jnp.sum(w) / b, jnp.ones(2), optax.sgd(0.1), lambda t: jnp.zeros(()),\n"
        "                     workers=1, steps=3, throw=False)\n"
        "print(result.outcome)\n"
    )
    process = run_python("-c", script)
    assert (process.stdout, process.stderr) == ("diverged\n", "")


def test_threads_that_log_at_once_are_no_concern_of_a_run():
    """A logger's object is asked by one thread alone: the one that called train."""
    threads = set()
    train(callbacks=[Metrics(lambda numbers, step: threads.add(threading.current_thread()), every_s=1e-6)])
    assert threads == {threading.current_thread()}

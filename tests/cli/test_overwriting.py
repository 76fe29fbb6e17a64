"""The kind: a command that writes into a folder with a run, or with foreign files, and says nothing.

It refuses before it computes anything; with ``--overwrite`` it replaces what jasgd saved, once the new results are
there.
"""

import json

import pytest
from support.pending_saves import leave_pending
from support.results import result_of

import jasgd
from jasgd.cli.main import main

TRAIN = ["train", "--workers", "2", "--steps", "20", "--batch-size", "16", "--evaluate-every-s", "60"]
SHORT = ["--workers", "2", "--steps", "20", "--batch-size", "16"]
ONE = ["--arms", "constant", "--no-plots", "--seeds", "1"]
COMMANDS = {
    "train": [*TRAIN, "--no-plots"],
    "compare": ["compare", *SHORT, *ONE],
    "simulate": ["simulate", *SHORT, *ONE, "--speeds", "equal", "--learning-rates", "0.05"],
    "simulate without training": ["simulate", "--no-train", *SHORT, *ONE, "--speeds", "equal"],
}
#: which no machine has; it is looked for only where the folder may be written into
NO_DATA = ["--dataset", "mnist", "--data-dir", "/nonexistent", "--no-download"]


def run(capsys, *arguments):
    """Exit code, and standard error."""
    code = main([str(a) for a in arguments])
    return code, capsys.readouterr().err


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_is_replaced_on_request_alone(capsys, tmp_path, command):
    folder = tmp_path / "run"
    result_of([1.0, 2.0]).save(folder)
    before = content(folder)
    code, err = run(capsys, *COMMANDS[command], *NO_DATA, "--out", folder)
    assert code == 2
    assert err.startswith(f"jasgd: {folder} is not empty, it has aux.npz, ")
    assert "--overwrite" in err
    assert len(err.splitlines()) == 1
    # A command that cannot begin leaves what was there, also where it may be replaced.
    if "without" not in command:
        assert run(capsys, *COMMANDS[command], *NO_DATA, "--out", folder, "--overwrite")[0] == 2
        assert content(folder) == before
    assert run(capsys, *COMMANDS[command], "--out", folder, "--overwrite")[0] == 0
    now = content(folder)
    assert (command == "train") == ("result.json" in now)
    assert not {path for path in now if path.startswith(".")}
    assert json.loads(now["manifest.json"])["kind"] == {
        "train": "run", "compare": "comparison", "simulate": "spectrum", "simulate without training": "executions",
    }[command]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_foreign_files_are_never_removed(capsys, tmp_path, command):
    (tmp_path / "thesis.tex").write_text("mine")
    for options, message in (([], "is not empty, it has thesis.tex"), (["--overwrite"], "never removes: thesis.tex")):
        code, err = run(capsys, *COMMANDS[command], *NO_DATA, "--out", tmp_path, *options)
        assert code == 2
        assert message in err
    assert content(tmp_path) == {"thesis.tex": b"mine"}


@pytest.mark.parametrize("command", COMMANDS)
def test_runs_in_folders_within_are_never_removed(capsys, tmp_path, command):
    for name in ("a", "b"):
        result_of([1.0, 2.0]).save(tmp_path / name)
    before = content(tmp_path)
    code, err = run(capsys, *COMMANDS[command], *NO_DATA, "--out", tmp_path, "--overwrite")
    assert code == 2
    assert "never removes: a (a run of its own), b (a run of its own)" in err
    assert content(tmp_path) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_killed_save_left_is_finished_and_hinders_no_command(capsys, tmp_path, command):
    folder = result_of([1.0, 2.0]).save(tmp_path / "run")
    leave_pending(result_of([3.0] * 3), folder)
    code, err = run(capsys, *COMMANDS[command], *NO_DATA, "--out", folder)
    assert (code, "run is not empty" in err) == (2, True)
    code, err = run(capsys, *COMMANDS[command], *NO_DATA, "--out", folder, "--overwrite")
    if "without" in command:  # which needs no data set
        assert (code, json.loads((folder / "manifest.json").read_text())["kind"]) == (0, "executions")
    else:
        assert (code, "mnist" in err) == (2, True)
        assert len(jasgd.TrainResult.load(folder).execution) == 3
    assert not {path for path in content(folder) if path.startswith(".")}


def test_no_picture_of_the_old_run_stays(capsys, tmp_path):
    assert run(capsys, *TRAIN, "--out", tmp_path)[0] == 0
    assert len(list(tmp_path.glob("*.png"))) == 4
    assert run(capsys, *COMMANDS["train"], "--seed", 3, "--out", tmp_path, "--overwrite")[0] == 0
    assert list(tmp_path.glob("*.png")) == []
    assert json.loads((tmp_path / "metrics.json").read_text())["settings"]["seed"] == 3
    assert jasgd.TrainResult.load(tmp_path).execution.metadata["seed"] == 3


def test_runs_that_start_in_one_second_have_folders_of_their_own(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda form: form.replace("%Y%m%d-%H%M%S", "20260101-000000"))
    for _ in range(2):
        assert run(capsys, *COMMANDS["simulate without training"])[0] == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "simulate-20260101-000000", "simulate-20260101-000000-2"
    ]  # fmt: skip

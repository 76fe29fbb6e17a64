"""The kind: a command that is killed or asked to end loses its run, or goes on with another one."""

import json
import signal
import time

import pytest
from support.python_process import start_python

import jasgd
from jasgd.cli.main import main
from jasgd.record.checkpoints.layout import saves_in
from jasgd.record.saving.manifest import located

QUICK = ["--workers", "1", "--batch-size", "8", "--evaluate-every-s", "60", "--no-plots"]
MANY = ["--steps", "1000000", "--checkpoint-every-steps", "50"]


def records(folder):
    """Where each checkpoint says of which version it is, also of one whose files were being moved at a kill."""
    return [located(path / "checkpoint.json") for _, path in saves_in(folder / "checkpoints")]


def started(folder, *options):
    """The command in a process of its own, once it has saved a checkpoint."""
    process = start_python("-W", "ignore", "-m", "jasgd", "train", "--resume", folder, *QUICK, *options)
    while not any(record.exists() for record in records(folder)):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    return process


def train(folder, *options):
    return main(["train", "--resume", str(folder), "--no-plots", *options])


@pytest.fixture(autouse=True)
def no_colors(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")


def test_after_a_kill_the_recorded_command_goes_on(tmp_path, capsys):
    folder = tmp_path / "run"
    process = started(folder, *MANY, "--learning-rate", "0.03", "--rule", "inverse")
    process.kill()
    process.communicate()
    assert not (folder / "result.json").exists()
    versions = [json.loads(record.read_text())["version"] for record in records(folder) if record.exists()]
    steps = 60 + max(versions)
    assert train(folder, "--steps", str(steps)) == 0
    result = jasgd.TrainResult.load(folder)
    assert result.execution.commits >= steps
    parts = result.execution.metadata["parts"]
    assert len(parts) == 2
    assert json.loads((folder / "recipe.json").read_text())["learning_rate"] == 0.03
    assert json.loads((folder / "metrics.json").read_text())["settings"]["rule"] == "inverse"
    assert main(["replay", str(folder)]) == 0
    capsys.readouterr()
    # Once more: it has ended.
    assert train(folder, "--steps", str(steps)) == 0
    assert jasgd.TrainResult.load(folder).execution.hashes() == result.execution.hashes()
    # A new run may not take its place.
    assert main(["train", "--out", str(folder), "--overwrite", "--steps", "5", *QUICK]) == 2
    assert f"has the checkpoints of a run: --resume {folder} goes on with it" in capsys.readouterr().err


def test_sigterm_ends_the_command_as_ctrl_c_does_with_a_last_checkpoint(tmp_path):
    folder = tmp_path / "run"
    process = started(folder, *MANY)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 143
    result = jasgd.TrainResult.load(folder)
    assert (result.outcome, result.message, result.interrupted) == ("stopped", "stopped by SIGTERM", True)
    newest = json.loads((saves_in(folder / "checkpoints")[0][1] / "checkpoint.json").read_text())
    assert newest["version"] == result.execution.commits
    assert (newest["outcome"], newest["message"]) == ("stopped", "stopped by SIGTERM")
    assert train(folder, "--steps", str(result.execution.commits + 5)) == 0
    assert jasgd.TrainResult.load(folder).execution.commits == result.execution.commits + 5


def test_a_run_without_checkpoints_goes_on_from_its_result(tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", "--out", str(folder), "--steps", "20", "--seed", "3", *QUICK]) == 0
    assert train(folder, "--steps", "40", "--workers", "2") == 0
    result = jasgd.TrainResult.load(folder)
    assert [(part["from_version"], part["workers"]) for part in result.execution.metadata["parts"]] == [(0, 1), (20, 2)]
    assert json.loads((folder / "recipe.json").read_text())["workers"] == 1  # which the rule may depend on
    assert not (folder / "checkpoints").exists()
    capsys.readouterr()
    assert main(["replay", str(folder)]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--learning-rate", "0.5"], "--learning-rate must be left out with --resume, or be 0.07 as in"),
        (["--seed", "1"], "--seed must be left out with --resume, or be 0 as in"),
        (["--rule", "constant"], "--rule must be left out with --resume, or be 'tail' as in"),
        (["--batch-size", "32"], "--batch-size must be left out with --resume, or be 8 as in"),
        (["--out", "elsewhere"], "--out must be left out with --resume"),
        (["--keep", "0"], "keep must be an integer ≥ 1, got 0"),
    ],
)
def test_options_that_contradict_the_run_are_refused_by_name(tmp_path_factory, capsys, options, message):
    folder = tmp_path_factory.getbasetemp() / "finished"
    if not folder.exists():
        assert main(["train", "--out", str(folder), "--steps", "5", "--checkpoint-every-steps", "5", *QUICK]) == 0
    before = (folder / "result.json").read_bytes()
    assert train(folder, *options) == 2
    assert message in capsys.readouterr().err
    assert (folder / "result.json").read_bytes() == before


def test_a_folder_of_something_else_is_refused(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert train(tmp_path) == 2
    assert "--resume must be the folder of a run of jasgd train, or a new one" in capsys.readouterr().err


def test_more_epochs_go_on_with_a_run(tmp_path, capsys):
    folder = tmp_path / "run"
    options = [option for option in QUICK if option != "8"]
    options[options.index("--batch-size")] = "--batch-size=256"
    assert main(["train", "--out", str(folder), "--epochs", "1", *options]) == 0
    first = jasgd.TrainResult.load(folder).execution.commits
    assert train(folder, "--epochs", "2") == 0
    assert jasgd.TrainResult.load(folder).execution.commits == 2 * first
    capsys.readouterr()


@pytest.mark.parametrize("quiet", [False, True])
def test_a_run_that_begins_anew_says_so(tmp_path, capsys, quiet):
    folder = tmp_path / "run"
    assert train(folder, "--steps", "5", *(["--quiet"] if quiet else [])) == 0
    said = f"jasgd: there is nothing in {folder / 'checkpoints'} to go on with: the run begins anew\n"
    assert (said in capsys.readouterr().err) == (not quiet)
    assert jasgd.TrainResult.load(folder).execution.commits == 5

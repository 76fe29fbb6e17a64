"""Kind: a Ctrl-C that is lost, or that costs what was computed, wherever in a command it comes.

Each is a real SIGINT, in a function that the command calls there.
"""

import json
import pkgutil
import signal
import subprocess
import sys

import pytest
from support.python_process import TESTS, line_of, talking_python

from jasgd import TrainResult
from jasgd.cli.main import main

QUICK = ["--workers", "1", "--steps", "4", "--batch-size", "8", "--evaluate-every-s", "60"]
TRAIN = ["train", *QUICK]
COMPARE = ["compare", *QUICK, "--arms", "constant", "inverse", "--seeds", "0"]
SIMULATE = [
    "simulate",
    *QUICK[:-2],
    "--seeds",
    "0",
    "--learning-rates",
    "0.05",
    "--arms",
    "constant",
    "--speeds",
    "equal",
]

DATA = "jasgd.cli.options.ProblemOptions.problem"
SECOND_RUN = "jasgd.experiments.comparison.named_transformation"  # once for each arm, to check it, and for each run
COMPILING = "jasgd.training.assembly.warm_up"
TRAINING = "jasgd.callbacks.progress_display.Progress.on_progress"
CONCLUDING = "jasgd.training.engines.carrying_out.conclude"
LINE = "jasgd.callbacks.progress_display.Progress.on_end"
SAVING = "jasgd.record.result.TrainResult.write"
PUBLISHING = "jasgd.record.saving.folder.commit"
SIMULATING = "jasgd.experiments.sweeping.run_in_threads"


@pytest.fixture
def command(tmp_path, capfd, monkeypatch):
    """Runs a command whose n-th call of a function presses Ctrl-C, before it does its work or after."""

    def run(arguments, where, *, call=1, after=False, folder="out"):
        holder, _, name = where.rpartition(".")
        left = [call]

        def press():
            left[0] -= 1
            if left[0] == 0:
                signal.raise_signal(signal.SIGINT)

        def pressing(*args, **options):
            if not after:
                press()
            value = function(*args, **options)
            if after:
                press()
            return value

        with monkeypatch.context() as patched:
            function = pkgutil.resolve_name(where)
            patched.setattr(f"{holder}.{name}", pressing)
            before = signal.getsignal(signal.SIGINT)
            code = main([*arguments, *([] if folder is None else ["--out", str(tmp_path / folder)])])
            assert signal.getsignal(signal.SIGINT) is before
        assert left[0] <= 0, f"{where} was not called"
        out, err = capfd.readouterr()
        assert code == 130, err
        assert "Traceback" not in err
        assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]  # no draft is left
        return tmp_path / "out", out, err

    return run


def whole(folder, commits=4):
    result = TrainResult.load(folder)
    assert result.execution.commits == commits
    assert (folder / "recipe.json").exists()
    return result


@pytest.mark.parametrize("where", ["jasgd.cli.options.TrainingOptions.check_run", DATA, COMPILING])
def test_before_there_is_anything_train_writes_nothing(command, where):
    folder, out, err = command(TRAIN, where)
    assert (out, err) == ("", "jasgd: stopped by Ctrl-C\n")
    assert not folder.exists()


def test_train_stops_and_reports(command):
    folder, out, err = command([*TRAIN, "--no-plots"], TRAINING)
    assert whole(folder, TrainResult.load(folder).execution.commits).outcome == "stopped"
    assert json.loads((folder / "metrics.json").read_text())["outcome"] == "stopped"
    assert "stopped" in out
    assert "jasgd: " not in err


@pytest.mark.parametrize(
    ("where", "after", "options"),
    [(CONCLUDING, False, []), (SAVING, False, ["--no-plots"]), (PUBLISHING, True, [])],
)
def test_what_comes_once_there_is_a_result_is_held_until_that_is_saved(command, where, after, options):
    folder, out, err = command([*TRAIN, *options], where, after=after)
    assert whole(folder).outcome == ("stopped" if where == CONCLUDING else "finished")
    assert out.startswith("digits/mlp, leashed")  # what it came to is said as soon as it is saved
    assert err.splitlines()[-1] == f"jasgd: stopped by Ctrl-C; the run is in {folder}"
    assert "Ctrl-C: " in err  # why it does not end at once
    assert json.loads((folder / "metrics.json").read_text())["plots"] == []
    assert not list(folder.glob("*.png"))


def test_one_that_comes_while_the_end_of_a_run_is_said_stops_the_command_once_the_run_is_saved(command):
    folder, out, err = command(TRAIN, LINE)
    result = whole(folder)
    assert (result.outcome, result.message) == ("stopped", "all 4 steps were taken, then stopped by Ctrl-C")
    assert "then stopped by Ctrl-C" in out
    assert err.splitlines()[-1] == f"jasgd: stopped by Ctrl-C; the run is in {folder}"


def test_plots_are_left_out_where_it_comes_while_they_are_drawn(command):
    folder, out, err = command([*TRAIN, "--steps", "20"], "jasgd.report.saving.write_whole", call=2)
    whole(folder, 20)
    assert out.startswith("digits/mlp, leashed")
    assert err.splitlines()[-1] == f"jasgd: stopped by Ctrl-C; the run is in {folder}"
    assert json.loads((folder / "metrics.json").read_text())["plots"] == []
    assert not list(folder.glob("*.png"))


def test_all_is_there_where_it_comes_while_the_table_is_printed(command):
    folder, _, err = command([*TRAIN, "--no-plots"], "jasgd.report.tables.run_table")
    assert err.splitlines()[-1] == f"jasgd: stopped by Ctrl-C; the run is in {folder}"
    assert (folder / "metrics.json").exists()


@pytest.mark.parametrize("where", [CONCLUDING, "jasgd.training.engines.threads.WorkerThreads.stuck"])
def test_a_run_that_diverged_exits_with_130_as_well(command, where):
    folder, _, _ = command([*TRAIN, "--no-plots", "--learning-rate", "1e30", "--steps", "2000"], where)
    result = TrainResult.load(folder)
    assert (result.outcome, result.interrupted) == ("diverged", True)


@pytest.mark.parametrize(
    ("where", "call", "runs"),
    [(COMPILING, 1, 0), (SECOND_RUN, 4, 1), (SAVING, 1, 1), ("jasgd.report.plot_comparison", 1, 2)],
)  # fmt: skip
def test_compare_keeps_the_runs_until_then(command, where, call, runs):
    folder, _, err = command(COMPARE, where, call=call)
    for arm in ["constant", "inverse"][:runs]:
        whole(folder / arm / "seed-0")
    assert len(list(folder.rglob("result.json"))) == runs
    if runs:
        assert len(json.loads((folder / "comparison.json").read_text())["runs"]) == runs
    else:
        assert err == "jasgd: stopped by Ctrl-C\n"
        assert not folder.exists()


def test_a_comparison_that_takes_the_place_of_another_is_kept(command, tmp_path):
    """It lies in its place only when it has ended, for some time of which nothing but its draft has it."""
    assert main([*COMPARE, "--steps", "3", "--no-plots", "--out", str(tmp_path / "out")]) == 0
    folder, _, err = command([*COMPARE, "--no-plots", "--overwrite"], PUBLISHING, call=4)
    assert err.splitlines()[-1] == f"jasgd: stopped by Ctrl-C; the runs until then are in {folder}"
    for arm in ("constant", "inverse"):
        whole(folder / arm / "seed-0")


NO_TRAIN = ["simulate", "--no-train", "--workers", "2", "--steps", "5", "--seeds", "0", "1", "--speeds", "equal"]


@pytest.mark.parametrize(
    ("arguments", "where", "call"),
    [(SIMULATE, DATA, 1), (SIMULATE, SIMULATING, 1), (NO_TRAIN, "jasgd.record.execution.Execution.save", 2)],
)
def test_a_simulation_that_has_not_ended_leaves_nothing(command, tmp_path, arguments, where, call):
    folder, out, err = command(arguments, where, call=call)
    assert (out, err) == ("", "jasgd: stopped by Ctrl-C\n")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "where"),
    [(SIMULATE, "jasgd.report.plot_spectrum"), (SIMULATE, PUBLISHING), (NO_TRAIN, PUBLISHING)],
)
def test_a_simulation_that_has_ended_is_saved(command, arguments, where):
    folder, out, err = command(arguments, where)
    assert (out, err.splitlines()[-1]) == ("", f"jasgd: stopped by Ctrl-C; the results are in {folder}")
    name = "executions.json" if "--no-train" in arguments else "spectrum.json"
    assert json.loads((folder / name).read_text())["plots"] == [] or where == PUBLISHING


def test_a_replay_and_a_look_for_data_sets_end_with_one_line(command, tmp_path):
    assert main([*TRAIN, "--no-plots", "--out", str(tmp_path / "out")]) == 0
    replay = ["replay", str(tmp_path / "out")]
    for arguments, where in (
        (replay, "jasgd.record.result.TrainResult.load"),
        (replay, "jasgd.replaying.replayer.replay"),
        (["datasets"], "jasgd.problems.datasets.locate"),
    ):
        _, out, err = command(arguments, where, folder=None)
        assert (out.partition("Written")[0] and "", err.splitlines()[-1]) == ("", "jasgd: stopped by Ctrl-C")


@pytest.mark.parametrize(
    ("arguments", "place"), [(["train"], "_close"), (["compare", "--arms", "constant", "tail", "--seeds", "0"], "join")]
)
def test_the_second_ctrl_c_cuts_the_end_of_a_run_short(arguments, place, tmp_path):
    options = ["--workers", "2", "--scheme", "leashed:native=false", "--time-limit-s", "300", "--batch-size", "8"]
    script = TESTS / "support" / "interrupted_command.py"
    with talking_python(script, place, *arguments, *options, "--no-plots", "--out", tmp_path / "out") as process:
        for point in ("in show", f"in {place}"):
            line_of(process.stderr, point)
            process.send_signal(signal.SIGINT)
            assert line_of(process.stderr, "cut short", "Ctrl-C") == "cut short\n", point
        output, errors = process.communicate("", timeout=100)
    assert process.returncode == 130, errors
    (saved,) = (tmp_path / "out").rglob("result.json")
    assert TrainResult.load(saved.parent).outcome == "stopped"
    assert "stopped" in output


@pytest.mark.parametrize(("code", "ended"), [(130, 130), (1, 1), (0, 0)])
def test_after_ctrl_c_the_process_ends_without_being_taken_down(code, ended):
    """Threads of XLA that still work would end it in a segmentation fault; here a function at exit stands for them."""
    script = (
        "import atexit, os, sys\n"
        "from jasgd.cli import main as module\n"
        f"module.main = lambda: (print('said'), print('told', file=sys.stderr), {code})[-1]\n"
        f"atexit.register(os._exit, {code} if {code} != 130 else 77)\n"
        "module.command()\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (ended, "said\n", "told\n")

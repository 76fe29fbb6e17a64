"""The command line: what it writes, what it prints, how it ends."""

import json
import re
import shutil

import numpy as np
import pytest
from support.python_process import run_python

from jasgd import TrainResult
from jasgd.cli.main import main
from jasgd.schemes.native.build import cache_folder

TRAIN = ["train", "--workers", "2", "--steps", "60", "--batch-size", "16", "--evaluate-every-s", "60"]
PLOTS = {"loss.png", "timeline.png", "staleness.png", "step_size.png"}


def run(capsys, *arguments):
    """Exit code, standard output, standard error."""
    code = main([str(a) for a in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.mark.newest
def test_train_writes_a_run_folder_that_load_reads(capsys, tmp_path):
    code, out, err = run(capsys, *TRAIN, "--scheme", "leashed:persistence=3", "--out", tmp_path / "run")
    assert code == 0
    assert {p.name for p in (tmp_path / "run").glob("*.png")} == PLOTS
    result = TrainResult.load(tmp_path / "run")
    assert result.execution.commits == 60
    assert result.execution.metadata["scheme"] == "leashed(persistence=3)"
    record = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert record["outcome"] == "finished"
    assert record["metrics"]["updates"] == 60
    assert record["settings"]["steps"] == 60
    assert record["settings"]["seed"] == 0
    assert [sorted(f) for f in record["fits"]] == [["distance", "model", "parameters"]] * 5
    assert "digits/mlp, leashed(persistence=3), 2 workers, tail" in out
    assert "finished: all 60 steps were taken" in out
    assert "digits/mlp: finished, 60 updates" in err
    for name in PLOTS:
        assert name in out


def test_json_is_one_strict_object_and_the_same_as_in_the_folder(capsys, tmp_path):
    code, out, _ = run(capsys, *TRAIN, "--json", "--no-plots", "--out", tmp_path)
    assert code == 0
    printed = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert printed == json.loads((tmp_path / "metrics.json").read_text())
    assert printed["plots"] == []
    assert not list(tmp_path.glob("*.png"))
    assert printed["metrics"]["accuracy"] == printed["evaluations"][-1]["accuracy"]


def test_epochs_end_a_run_and_then_no_number_of_steps_does(capsys, tmp_path):
    options = ["--workers", 2, "--batch-size", 8, "--epochs", 2, "--evaluate-every-s", 60, "--no-plots", "--json"]
    code, out, _ = run(capsys, "train", *options, "--out", tmp_path)
    assert code == 0
    printed = json.loads(out)
    gradients = printed["metrics"]["gradients"] + printed["metrics"]["dropped_contended"]
    assert printed["message"] == f"all 2 epochs were taken ({gradients} gradients)"
    assert gradients == 2 * (1437 // 8)
    assert printed["settings"]["steps"] is None
    assert printed["settings"]["epochs"] == 2


def test_the_seed_decides_the_run(capsys, tmp_path):
    same = [*TRAIN, "--workers", 1, "--no-plots"]
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert run(capsys, *same, "--seed", seed, "--out", tmp_path / name)[0] == 0
    a, b, c = (TrainResult.load(tmp_path / name).params for name in "abc")
    assert all(np.array_equal(a[k], b[k]) for k in a)
    assert not all(np.array_equal(a[k], c[k]) for k in a)


@pytest.mark.parametrize(
    ("options", "check"),
    [
        (["--optimizer", "adam", "--learning-rate", "0.001"], {"optimizer": "adam"}),
        (["--momentum", "0.9", "--learning-rate", "0.01"], {"momentum": 0.9}),
        (["--law", "decay:half_life=20,bins=32"], {"law": "decay:half_life=20,bins=32"}),
        (["--rule", "inverse:normalized=true"], {"rule": "inverse:normalized=true"}),
        (["--rule", "tail_published"], {"rule": "tail_published"}),
        (["--preset", "published", "--learning-rate", "0.0001"], {"preset": "published"}),
        (["--model", "lenet5", "--test-examples", "20"], {"model": "lenet5", "test_examples": 20}),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_options_reach_the_run(capsys, tmp_path, options, check):
    code, out, err = run(capsys, *TRAIN, "--json", "--no-plots", "--out", tmp_path, *options)
    assert code == 0, err
    settings = json.loads(out)["settings"]
    assert {key: settings[key] for key in check} == check


def test_options_change_what_is_computed(capsys, tmp_path):
    def params(name, *options):
        arguments = [*TRAIN, "--workers", "1", "--no-plots", "--out", str(tmp_path / name), *options]
        assert run(capsys, *arguments)[0] == 0
        return np.concatenate([leaf.ravel() for leaf in TrainResult.load(tmp_path / name).params.values()])

    plain = params("plain")
    for name, *options in (
        ("momentum", "--momentum", "0.9"),
        ("adam", "--optimizer", "adam"),
        ("rate", "--learning-rate", "0.01"),
        ("published", "--preset", "published", "--learning-rate", "0.0001"),
        ("batch", "--batch-size", "8"),
    ):
        assert not np.array_equal(plain, params(name, *options)), name


def test_a_time_limit_alone_is_a_stop_condition(capsys, tmp_path):
    code, out, _ = run(
        capsys, "train", "--workers", 2, "--time-limit-s", 0.2, "--json", "--no-plots", "--out", tmp_path
    )
    printed = json.loads(out)
    assert (code, printed["outcome"]) == (0, "finished")
    assert printed["settings"]["steps"] is None
    assert "0.2" in printed["message"]


def test_a_reached_target_is_a_success(capsys, tmp_path):
    arguments = ["train", "--workers", 2, "--target-loss", 100, "--json", "--no-plots", "--out", tmp_path]
    code, out, _ = run(capsys, *arguments)
    assert (code, json.loads(out)["outcome"]) == (0, "converged")


def test_a_diverged_run_exits_with_1_and_is_written(capsys, tmp_path):
    code, out, _ = run(capsys, *TRAIN, "--learning-rate", 1e30, "--json", "--out", tmp_path)
    printed = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (code, printed["outcome"]) == (1, "diverged")
    assert "loss at version" in printed["message"]
    params = TrainResult.load(tmp_path).params
    assert all(np.isfinite(leaf).all() for leaf in params.values())


BAD = {
    "workers": (["--workers", "0"], "--workers must be an integer ≥ 1, got 0"),
    "sequential": (["--scheme", "sequential"], "--workers must be 1 for the scheme 'sequential', got 2"),
    "scheme": (["--scheme", "hogwyld"], "--scheme must be one of sequential, .*, got 'hogwyld'"),
    "scheme option": (["--scheme", "leashed:patience=1"], "'leashed' has the options persistence.*got 'patience'"),
    "scheme value": (["--scheme", "leashed:persistence=-1"], "persistence must be an integer ≥ 0.*got -1"),
    "rule": (["--rule", "tale"], "rule must be one of constant, .*, got 'tale'"),
    "rule option": (["--rule", "tail:cfd=mid"], "'tail' has the options .*got 'cfd'"),
    "rule value": (["--rule", "tail:cdf=middle"], "cdf must be .*got 'middle'"),
    "law": (["--law", "windows"], "--law must be one of window, .*, got 'windows'"),
    "data set": (["--dataset", "cifar11"], "--dataset must be one of .*, got 'cifar11'"),
    "model": (["--model", "resnet"], "--model must be one of .*, got 'resnet'"),
    "rate": (["--learning-rate", "nan"], "--learning-rate must be a finite number > 0, got nan"),
    "steps": (["--steps", "0"], "--steps must be an integer ≥ 1, got 0"),
    "time": (["--time-limit-s", "-1"], "--time-limit-s must be > 0 seconds, got -1.0"),
    "batch": (["--batch-size", "1438"], "--batch-size must be an integer in 1…1437, got 1438"),
    "data dir": (
        ["--dataset", "mnist", "--data-dir", "/nonexistent", "--no-download"],
        "mnist was not found: .*/nonex",
    ),
    "adam": (["--optimizer", "adam", "--momentum", "0.5"], "--momentum goes with the optimizer sgd.*0.5"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_exits_with_2_in_one_line_and_leaves_no_folder(capsys, tmp_path, case):
    options, message = BAD[case]
    code, out, err = run(capsys, *TRAIN, "--out", tmp_path / "run", *options)
    assert code == 2
    assert out == ""
    assert re.search(message, err)
    assert err.startswith("jasgd: ")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments", [["trian"], ["train", "--steps", "many"], ["train", "--optimizer", "lion"], []])
def test_what_is_no_command_exits_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    printed = capsys.readouterr()
    assert printed.out + printed.err


def test_compare_writes_every_run_and_reads_its_table(capsys, tmp_path):
    arms = ["constant", "tail", "constant@tail"]
    common = ["--workers", 2, "--steps", 40, "--batch-size", 16, "--seeds", 0, 1, "--out", tmp_path]
    code, out, err = run(capsys, "compare", "--arms", *arms, *common)
    assert code == 0
    for arm in arms:
        for seed in (0, 1):
            assert TrainResult.load(tmp_path / arm / f"seed-{seed}").execution.commits == 40
            assert f"{arm}, seed {seed}: finished, 40 updates" in err
    record = json.loads((tmp_path / "comparison.json").read_text())
    assert [row["arm"] for row in record["table"]] == arms
    assert record["reading"] in out
    assert out.count("\n") > 10
    assert {p.name for p in tmp_path.glob("*.png")} == PLOTS - {"timeline.png"}
    assert all(name in out for name in PLOTS - {"timeline.png"})
    # The control took the mean step of its arm, with the same seed.
    for seed in (0, 1):
        of_rule = TrainResult.load(tmp_path / "tail" / f"seed-{seed}").metrics["mean_factor"]
        of_control = TrainResult.load(tmp_path / "constant@tail" / f"seed-{seed}").execution.factor
        np.testing.assert_allclose(of_control, of_rule, rtol=1e-6)


def test_that_an_arm_diverges_is_a_finding_of_a_comparison(capsys, tmp_path):
    common = ["--workers", 2, "--steps", 40, "--seeds", 0, "--learning-rate", 1e30, "--json", "--out", tmp_path]
    code, out, _ = run(capsys, "compare", "--arms", "constant", *common)
    assert code == 0
    printed = json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert printed["table"][0]["outcomes"] == {"diverged": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arms", "tail", "tail"], "--arms must be one or more, and each once"),
        (["--arms", "constant@tail"], "constant@tail needs the arm tail"),
        (["--arms", "tail@inverse"], "a control is written constant@RULE"),
        (["--seeds", "1", "1"], "--seeds must be one or more integers ≥ 0, and each once"),
    ],
)
def test_a_comparison_that_cannot_work_exits_with_2(capsys, tmp_path, arguments, message):
    code, _, err = run(capsys, "compare", *arguments, "--steps", 5, "--out", tmp_path / "run")
    assert code == 2
    assert message in err
    assert not (tmp_path / "run").exists()


def test_datasets_says_what_is_there_and_verify_what_is_wrong(capsys, tmp_path):
    code, out, _ = run(capsys, "datasets", "--json", "--data-dir", tmp_path)
    printed = json.loads(out)
    assert code == 0
    assert set(printed) == {"mnist", "fashion_mnist", "cifar10", "digits"}
    assert printed["mnist"]["folder"] is None
    assert {file["status"] for file in printed["mnist"]["files"]} == {"missing"}
    assert printed["digits"]["origin"] == "package"

    (tmp_path / "mnist").mkdir()
    for file in printed["mnist"]["files"]:
        (tmp_path / "mnist" / file["name"]).write_bytes(b"truncated")
    code, out, _ = run(capsys, "datasets", "--verify", "--data-dir", tmp_path)
    assert code == 1
    assert "4 wrong" in out


def in_a_home_of_its_own(tmp_path, *arguments, **options):
    """Python in a process whose configuration of JAX is what the command line makes it; native code is compiled."""
    if cache_folder().is_dir():
        shutil.copytree(cache_folder(), tmp_path / ".cache" / "jasgd" / "native", dirs_exist_ok=True)
    return run_python(*arguments, without=("NPROC", "JAX_PLATFORMS"), env={"HOME": str(tmp_path)}, **options)


@pytest.mark.newest
def test_python_m_jasgd_starts_jax_configured_and_gives_its_exit_code(tmp_path):
    script = (
        "import sys, runpy, jax\n"
        "sys.argv = ['jasgd', *sys.argv[1:]]\n"
        "try:\n"
        "    runpy.run_module('jasgd', run_name='__main__')\n"
        "except SystemExit as left:\n"
        "    print('exit code', left.code, 'async', jax.config.read('jax_cpu_enable_async_dispatch'))\n"
    )
    options = [*TRAIN, "--no-plots", "--out", tmp_path / "run"]
    process = in_a_home_of_its_own(tmp_path, "-W", "error", "-c", script, *options)
    assert process.stdout.splitlines()[-1] == "exit code 0 async False", process.stderr


def test_ctrl_c_exits_with_130_and_writes_what_was_learned(tmp_path):

    script = (
        "import os, signal, threading, jasgd.callbacks.progress_display as display\n"
        "from jasgd.cli.main import main\n"
        "show = display.Progress.on_progress\n"
        "pressed = []\n"
        "def interrupt(self, state):\n"
        "    show(self, state)\n"
        "    if state.version > 20 and not pressed:\n"
        "        pressed.append(True)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "display.Progress.on_progress = interrupt\n"
        "raise SystemExit(main(['train', '--workers', '2', '--time-limit-s', '100', '--out', 'run', '--no-plots']))\n"
    )
    process = in_a_home_of_its_own(tmp_path, "-c", script, cwd=tmp_path, check=False)
    assert process.returncode == 130, process.stderr
    result = TrainResult.load(tmp_path / "run")
    assert result.outcome == "stopped"
    assert result.execution.commits > 20
    assert "stopped" in process.stdout


def test_a_missing_extra_is_one_line(tmp_path):
    for missing, command in (("tyro", "datasets"), ("matplotlib", "train"), ("sklearn", "train"), ("rich", "datasets")):
        script = (
            "import sys\n"
            f"sys.modules[{missing!r}] = None\n"
            "from jasgd.cli.main import main\n"
            f"raise SystemExit(main([{command!r}]))\n"
        )
        process = in_a_home_of_its_own(tmp_path, "-c", script, cwd=tmp_path, check=False)
        assert process.returncode == 2, process.stderr
        assert re.fullmatch(r"jasgd: .*pip install \"jasgd\[(cli|problems)\]\".*\n", process.stderr), process.stderr

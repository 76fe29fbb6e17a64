"""What commands print: in 80 columns, with progress where nobody watches a terminal, and quietly on request."""

import io
import json

import pytest
from rich.console import Console
from support.results import result_of

from jasgd.callbacks.bars import TrainingBar, no_console
from jasgd.callbacks.recent_progress import Progress
from jasgd.cli.main import main
from jasgd.cli.presets import take_preset
from jasgd.cli.train import Train
from jasgd.experiments.loss_curves import LossCurves
from jasgd.problems.datasets import locate
from jasgd.report.progress_bars import SimulationBar

SHORT = ["--workers", "2", "--steps", "20", "--batch-size", "16", "--no-plots"]
ARMS = ["--arms", "constant", "exponential:beta=0.125,normalized=true", "--seeds", "0", "1"]
COMMANDS = {
    "train": ["train", *SHORT],
    "compare": ["compare", *SHORT, *ARMS],
    "simulate": ["simulate", *SHORT, *ARMS, "--speeds", "lognormal:sigma=0.7", "--learning-rates", "0.05"],
    "simulate without training": ["simulate", *SHORT, "--no-train", "--seeds", "0"],
}


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("name", COMMANDS)
def test_tables_fit_80_columns_and_quiet_says_results_alone(name, quiet, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    folder = tmp_path / "run"
    assert main([*COMMANDS[name], "--out", str(folder), *(["-q"] if quiet else [])]) == 0
    printed = capsys.readouterr()
    table, _, _ = printed.out.partition("On digits")
    table = table.partition("lognormal:sigma=0.7, 2 workers:")[0].partition("Written to")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    assert f"Written to {folder}" in printed.out
    if quiet:
        assert printed.err == ""
    elif name in ("train", "compare"):
        assert "finished, 20 updates" in printed.err


def test_the_data_sets_fit_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["datasets"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_curves_of_a_simulation_are_in_its_folder(capsys, tmp_path):
    options = ["--learning-rates", "0.05", "0.02", "--tuning-seeds", "7", "--speeds", "equal"]
    assert main(["simulate", *SHORT, "--arms", "constant", "--seeds", "0", "1", *options, "--out", str(tmp_path)]) == 0
    curves = LossCurves.load(tmp_path)
    assert {(point.seed, point.learning_rate) for point in curves.points if point.seed == 7} == {(7, 0.05), (7, 0.02)}
    assert [point.seed for point in curves.points] == [0, 1, 7, 7]
    assert curves.loss.shape == (4, 20)
    assert (curves.loss > 0).all()


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def numbers(updates, time_s):
    return Progress(updates, time_s, 10.0, 0.5, 1.0, 1.0, 0, None)


def test_a_comparison_says_every_ten_seconds_which_run_of_all_and_when_all_will_have_ended():
    clock, file = Clock(), io.StringIO()
    with TrainingBar(Console(file=file, width=80), runs=4, steps=100, every_s=10.0, clock=clock) as bar:
        for run in range(2):
            for k in range(11):
                clock.now = 20.0 * run + 2 * k
                bar.show(f"tail, seed {run}", numbers(10 * k, 2.0 * k))
            bar.finish(f"tail, seed {run}", result_of([1.0] * 3))
    lines = file.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == ["tail, seed 0"] * 2 + ["1/4 tail, seed 0"] + [
        "tail, seed 1", "tail, seed 1", "2/4 tail, seed 1"
    ]  # fmt: skip
    assert lines[0].startswith("tail, seed 0: run 1 of 4  ETA 1:10  50 updates")
    assert lines[3].startswith("tail, seed 1: run 2 of 4  ETA 0:50  50 updates")


def test_a_simulation_says_every_ten_seconds_how_much_of_all_is_done():
    clock, file = Clock(), io.StringIO()
    with SimulationBar(Console(file=file, width=80), "updates", clock=clock) as bar:
        for k in range(31):
            clock.now = float(k)
            bar.show(100 * k, 6000)
    assert file.getvalue().splitlines() == [
        "simulating: ETA 0:50  1,000 of 6,000 updates",
        "simulating: ETA 0:40  2,000 of 6,000 updates",
        "simulating: ETA 0:30  3,000 of 6,000 updates",
    ]


def test_nothing_is_shown_where_only_results_are_wanted(capsys):
    clock = Clock()
    with TrainingBar(no_console(), runs=2, every_s=1.0, clock=clock) as bar:
        clock.now = 5.0
        bar.show("tail", numbers(10, 1.0))
        bar.finish("tail", result_of([1.0]))
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_and_its_numbers_fit_80_columns():
    console = Console(file=Terminal(), width=80, force_terminal=True, color_system=None)
    with TrainingBar(console, runs=40, steps=100) as bar:
        bar.show("constant@tail:cdf=strict, seed 3", numbers(123_456, 1234.5))
        shown = io.StringIO()
        Console(file=shown, width=80).print(bar.bars.get_renderable())
    lines = shown.getvalue().splitlines()
    assert "run 1 of 40" in lines[0]
    assert "123,456 updates" in lines[1]
    assert "…" not in shown.getvalue()
    assert max(map(len, lines)) <= 80


def settings(folder):
    return json.loads((folder / "metrics.json").read_text())["settings"]


@pytest.mark.parametrize(
    ("options", "rate", "batch", "said"),
    [
        ([], 0.005, 16, "jasgd: --preset published brings --batch-size 16 and --learning-rate 0.005"),
        (["--learning-rate", "0.07"], 0.07, 16, "jasgd: --preset published brings --batch-size 16"),
        (["--batch-size", "32", "--learning-rate", "0.01"], 0.01, 32, None),
    ],
)
def test_a_preset_brings_what_is_not_given_and_says_so(options, rate, batch, said, capsys, tmp_path):
    arguments = ["train", "--workers", "2", "--steps", "3", "--no-plots", "--preset", "published", *options]
    code = main([*arguments, "--out", str(tmp_path / "run")])
    assert code in (0, 1)  # a rate of one's own may be too large for raw pixels
    error = capsys.readouterr().err
    assert ("brings" in error) == (said is not None)
    assert said is None or said in error.splitlines()
    assert (settings(tmp_path / "run")["learning_rate"], settings(tmp_path / "run")["batch_size"]) == (rate, batch)


def test_a_preset_trains(capsys, tmp_path):
    arguments = ["train", "--workers", "2", "--steps", "700", "--no-plots", "--preset", "published", "-q"]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]
    assert metrics["last_loss"] < 0.5 * metrics["first_loss"]


def test_a_preset_in_a_simulation_brings_rates_around_its_own(capsys, tmp_path):
    arguments = [
        "simulate",
        "--workers",
        "2",
        "--steps",
        "3",
        "--arms",
        "constant",
        "--seeds",
        "0",
        "--speeds",
        "equal",
    ]
    assert main([*arguments, "--no-plots", "--preset", "published", "--out", str(tmp_path / "s")]) == 0
    assert "brings --batch-size 16 and --learning-rates 0.000625 0.00125 " in capsys.readouterr().err


@pytest.mark.data
def test_the_preset_trains_on_mnist_with_the_published_numbers(capsys, tmp_path):
    if locate("mnist", None).folder is None:
        pytest.skip("MNIST is not on this machine")
    arguments = ["train", "--dataset", "mnist", "--workers", "2", "--steps", "400", "--no-plots", "--json"]
    assert main([*arguments, "--preset", "published", "--no-download", "--out", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr()
    assert "brings --batch-size 512 and --learning-rate 0.005" in printed.err
    metrics = json.loads(printed.out)["metrics"]
    assert metrics["last_loss"] < 0.5 * metrics["first_loss"]


@pytest.mark.full
@pytest.mark.data
def test_the_preset_trains_on_cifar_10_and_says_where_it_differs(capsys, tmp_path):
    if locate("cifar10", None).folder is None:
        pytest.skip("CIFAR-10 is not on this machine")
    arguments = ["train", "--dataset", "cifar10", "--model", "lenet", "--workers", "2", "--no-plots", "--json"]
    assert main([*arguments, "--preset", "published", "--no-download", "--out", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr()
    assert "brings --batch-size 16, --learning-rate 0.05 and --steps 6000; the published rate is 0.005" in printed.err
    metrics = json.loads(printed.out)["metrics"]
    assert metrics["updates"] == 6000
    assert metrics["last_loss"] < 2.1


@pytest.mark.parametrize(
    ("options", "steps", "said"),
    [
        ({}, 6000, "--batch-size 16, --learning-rate 0.05 and --steps 6000; the published rate is 0.005"),
        ({"epochs": 1}, None, "--batch-size 16 and --learning-rate 0.05; the published rate is 0.005"),
        ({"steps": 9, "learning_rate": 0.01}, 9, "--batch-size 16"),
    ],
)
def test_a_preset_brings_the_updates_that_it_needs_to_a_run_without_a_stop_condition(options, steps, said, capsys):
    command = Train(dataset="cifar10", preset="published", **options)
    take_preset(command, "learning_rate")
    assert command.steps == steps
    assert capsys.readouterr().err.splitlines()[0].startswith(f"jasgd: --preset published brings {said}")


def test_resuming_keeps_the_numbers_that_the_preset_brought(capsys, tmp_path):
    folder = str(tmp_path / "run")
    first = ["train", "--workers", "2", "--steps", "5", "--no-plots", "--preset", "published"]
    assert main([*first, "--out", folder]) == 0
    assert main(["train", "--resume", folder, "--steps", "8", "--no-plots"]) == 0
    assert settings(tmp_path / "run")["learning_rate"] == 0.005
    assert "brings" in capsys.readouterr().err

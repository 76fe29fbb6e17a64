"""``jasgd simulate`` trains on simulated clusters, or only says who reads and commits when."""

import json

import numpy as np
import pytest

from jasgd import cluster
from jasgd.cli.main import main
from jasgd.record.execution import Execution

SMALL = ["--workers", "1", "4", "--steps", "30", "--seeds", "0", "1", "--learning-rates", "0.05", "--batch-size", "16"]


def simulate(*options):
    return main(["simulate", *options])


def test_it_writes_a_picture_a_table_and_the_numbers(tmp_path, capsys):
    assert simulate(*SMALL, "--arms", "constant", "tail", "--out", str(tmp_path / "s")) == 0
    out = capsys.readouterr().out
    assert "speeds equal" in out
    assert "speeds lognormal:sigma=0.7" in out
    assert "4 workers" in out
    assert "Written to" in out
    assert (tmp_path / "s" / "spectrum.png").stat().st_size > 10_000
    spectrum = json.loads((tmp_path / "s" / "spectrum.json").read_text())
    assert len(spectrum["runs"]) == 2 * 2 * 2 * 2
    assert spectrum["settings"]["clusters"]["equal"]["compute_s"] == {"law": "gamma", "mean_s": 0.01, "shape": 4}


def test_json_is_all_that_is_printed(tmp_path, capsys):
    options = ["--arms", "constant", "--speeds", "equal", "--json", "--no-plots", "--out", str(tmp_path / "s")]
    assert simulate(*SMALL, *options) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["plots"] == []
    assert [row["workers"] for row in printed["table"]] == [1, 4]


def test_without_training_executions_are_saved_and_told(tmp_path, capsys):
    options = ["--no-train", "--workers", "3", "--steps", "50", "--seeds", "5", "--speeds", "equal", "--scheme"]
    cluster_options = ["leashed:persistence=1", "--compute", "exponential:mean_s=1", "--commit", "0.3", "--stragglers",
            "probability=0.1,slowdown=5", "--pauses", "every_s=10,duration_s=1", "--joins", "2=1.5", "--leaves", "1=30",
            "--nodes", "count=2,remote=1.5", "--batch", "0.01", "--read", "0.02", "--cores", "2"]  # fmt: skip
    assert simulate(*options, *cluster_options, "--out", str(tmp_path / "s")) == 0
    out = capsys.readouterr().out
    assert "mean τ" in out
    assert "yes" in out
    saved = Execution.load(tmp_path / "s" / "equal" / "workers-3" / "seed-5.npz")
    model = cluster.Cluster(
        compute_s=cluster.exponential(1.0),
        commit_s=0.3,
        batch_s=0.01,
        read_s=0.02,
        cores=2,
        stragglers=cluster.Stragglers(0.1, 5.0),
        pauses=cluster.Pauses(10.0, 1.0),
        joins_s={2: 1.5},
        leaves_s={1: 30.0},
        nodes=cluster.Nodes(2, 1.5),
    )
    same = cluster.generate(model, scheme="leashed:persistence=1", workers=3, steps=50, seed=5)
    assert saved.hashes() == same.hashes()
    numbers = json.loads((tmp_path / "s" / "executions.json").read_text())["executions"]
    assert numbers[0]["mean"] == pytest.approx(saved.staleness.mean())
    assert numbers[0]["commits_per_s"] == pytest.approx(50 / saved.time_s.max())


def test_ten_thousand_workers_in_one_call(tmp_path):
    options = ["--no-train", "--workers", "10000", "--steps", "30000", "--seeds", "0", "--speeds", "equal"]
    assert simulate(*options, "--out", str(tmp_path)) == 0
    (row,) = json.loads((tmp_path / "executions.json").read_text())["executions"]
    assert row["conserved"]
    assert 5_000 < row["mean"] < 10_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--compute", "nonsense"], "a duration must be a number of seconds or one of"),
        (["--compute", "gamma:mean_s=1"], "duration 'gamma' needs the option shape"),
        (
            ["--compute", "gamma:mean_s=1,shape=4,width=2"],
            "duration 'gamma' has the options mean_s, shape; got 'width'",
        ),
        (["--compute", "-1"], "must be a finite number ≥ 0, got -1"),
        (["--compute", "0"], "--compute must have a finite mean > 0"),
        (["--speeds", "gamma:mean_s=2,shape=1"], "speeds must have mean 1"),
        (["--speeds", "equal", "equal"], "speeds must be given once each"),
        (["--stragglers", "probability=2,slowdown=2"], "probability must lie in"),
        (["--nodes", "count=2"], "Nodes needs the option remote"),
        (["--leaves", "x=1"], "worker=seconds"),
        (["--joins", "9=1"], "--joins must name workers in 0…"),
        (["--scheme", "k_of_n"], "needs the option k"),
        (["--arms", "tail", "tail"], "each once"),
        (["--steps", "0"], "--steps must be an integer ≥ 1"),
        (["--learning-rates", "-1"], "--learning-rates must be one or more finite numbers > 0"),
        (["--law", "nonsense"], "--law must be one of"),
    ],
)
def test_bad_input_is_told_in_one_line_and_leaves_no_folder(options, message, tmp_path, capsys):
    assert simulate("--out", str(tmp_path / "s"), *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("jasgd: ")
    assert message in error
    assert not (tmp_path / "s").exists() or not np.any([True for _ in (tmp_path / "s").iterdir()])

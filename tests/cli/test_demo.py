"""``jasgd demo``: what it prints agrees with what it saved, and its sentences with their table."""

import json
import re
from pathlib import Path

import pytest
from support.demo_output import disagreements

import jasgd
from jasgd.cli.demo import SPEEDS, Demo, sentences
from jasgd.cli.main import main
from jasgd.experiments.arms import Arm
from jasgd.experiments.spectrum import Spectrum
from jasgd.experiments.spectrum_jobs import Point


@pytest.fixture
def small(monkeypatch):
    """The demo with few and short runs."""
    options = {"simulated_workers": 4, "simulated_steps": 40, "learning_rates": (0.02, 0.04), "steps": 60}
    options |= {"seeds": tuple(range(6)), "tuning_seeds": (6, 7), "threads": 2}
    for name, value in options.items():
        monkeypatch.setattr(Demo, name, value)


def test_it_leaves_two_results_with_pictures_and_pages_and_says_where(small, tmp_path, capsys):
    folder = tmp_path / "demo"
    assert main(["demo", "--out", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert disagreements(printed, folder) == []
    assert disagreements(re.sub(r"\b6(\s+seeds)", r"7\1", printed), folder) != []  # it can tell
    out = " ".join(printed.split())
    record = json.loads((folder / "simulated" / "spectrum.json").read_text())
    assert {row["arm"] for row in record["table"]} == {
        "constant",
        "tail",
        "constant@tail",
        "inverse",
        "constant@inverse",
    }
    for one in record["conclusions"][SPEEDS]:
        verdict = {"ahead": "is ahead", "behind": "is behind"}.get(one["verdict"], one["verdict"])
        assert f"{one['arm']} {verdict}" in out.replace("shows no", "no")
    result = jasgd.TrainResult.load(folder / "threads")
    assert result.execution.commits == 60
    assert f"{result.execution.staleness.mean():.1f} updates stale on average" in out
    assert "The run was replayed to the same bits." in out
    assert main(["replay", str(folder / "threads")]) == 0  # as the README says
    for name in ("simulated", "threads"):
        assert (folder / name / "report.html").read_text().startswith("<!doctype html>")
        for picture in (folder / name).glob("*.png"):
            assert picture.name in out
    assert {"timeline.png", "loss.png", "learning_rates.png"} <= {
        file.name for file in (folder / "simulated").iterdir()
    }


@pytest.mark.full
def test_a_demo_says_what_it_shows_and_what_the_readme_says(tmp_path, capsys):
    """The numbers of the README are those of one machine: others compute other bits, and come near."""
    assert main(["demo", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert disagreements(printed, tmp_path) == []
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    size, seeds = map(int, re.search(r"(\d+)% lower than the constant step, in (\d+) of 16\nseeds", readme).groups())
    said = re.search(
        r"tail is ahead: its final training loss is lower in (\d+) of 16 seeds, typically by (\d+)%",
        " ".join(printed.split()),
    )
    assert abs(int(said[1]) - seeds) <= 2
    assert abs(int(said[2]) - size) <= 10


def test_what_is_there_is_not_replaced_unless_it_is_told_to(small, tmp_path, capsys):
    (tmp_path / "threads").mkdir()
    (tmp_path / "threads" / "mine.txt").write_text("mine")
    assert main(["demo", "--out", str(tmp_path)]) == 2
    assert "threads" in capsys.readouterr().err
    assert not (tmp_path / "simulated").exists()
    assert main(["demo", "--out", str(tmp_path), "--overwrite"]) == 2  # jasgd did not save that
    assert (tmp_path / "threads" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (0.5, "tail is ahead: its final training loss is lower in 8 of 8 seeds, typically by 50%, than that of the "
              "constant step, and lower in 8 of 8 seeds, typically by 50%, than that of a constant step of the same "
              "mean (p = 0.0078)."),
        (2.0, "tail is behind: its final training loss is higher in 8 of 8 seeds, typically by 100%, than that of the "
              "constant step (p = 0.0078)."),
        (1.0, "tail shows no clear difference: its final training loss is equal in 8 seeds to that of the constant "
              "step, and equal in 8 seeds to that of a constant step of the same mean (p = 1)."),
    ],
    ids=["ahead", "behind", "equal"],
)  # fmt: skip
def test_the_sentences_follow_the_numbers(tail, said):
    def numbers(arm, seed):
        loss = (1 + seed / 10) * (tail if arm == "tail" else 1.0)
        return {"outcome": "finished", "final_loss": loss, "staleness_mean": 28.6, "mean_factor": 1.0,
                "mean_factor_after_start": 1.0}  # fmt: skip

    arms = tuple(map(Arm.parse, ("constant", "tail", "constant@tail")))
    runs = {Point(SPEEDS, 32, seed, arm.label, 0.1): numbers(arm.label, seed) for arm in arms for seed in range(8)}
    spectrum = Spectrum("by hand", arms, tuple(range(8)), (32,), (SPEEDS,), (0.1,), {}, runs)
    execution = jasgd.cluster.generate(jasgd.Cluster(compute_s=1.0), workers=3, steps=30)
    result = jasgd.TrainResult({}, (), execution, jasgd.Outcome.FINISHED, "", [], {}, {}, 1.0)
    replay = type("Replay", (), {"exact": False})
    first, second, third = sentences(spectrum, result, replay)
    assert "32 simulated workers of unequal speed made 29 other updates on average" in first
    assert second == said
    assert "3 threads" in third
    assert third.endswith("The run was replayed but not to the same bits.")

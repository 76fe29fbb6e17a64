"""The study's arms on real threads, and how far the simulator is from them."""

import json
import math

import pytest

from benchmarks.study import design
from benchmarks.study.runs import cache, clusters, threads


@pytest.fixture
def tiny(monkeypatch):
    """Few short runs of a small problem."""
    monkeypatch.setitem(design.PROBLEMS, "tiny", design.Problem("tiny", "digits", "mlp", 120, 16, {2: 0.04}))
    monkeypatch.setattr(threads, "PROBLEM", "tiny")
    monkeypatch.setattr(design, "FIRST_RATES", (1.0, 2.0))
    monkeypatch.setattr(design, "SECOND_RATES", (1.0,))
    monkeypatch.setattr(design, "MOST_EXTENSIONS", 0)
    for seeds in ("SECOND_SEEDS", "LAST_SEEDS"):
        monkeypatch.setattr(design, seeds, design.FIRST_SEEDS)
    monkeypatch.setattr(design, "JUDGING_SEEDS", design.JUDGING_SEEDS[:2])


def test_arms_run_on_threads_and_are_kept_as_simulated_ones_are(tiny, tmp_path):
    threads.run_threads(tmp_path, [2], minutes=math.inf, arms=("constant", "tail"))
    runs = cache.CellRuns(tmp_path, design.Cell("tiny", threads.SPEEDS, 2)).runs
    judged = [one for one in runs if runs[one].curve]
    assert {one.arm for one in judged} == {"constant", "tail"}
    assert {one.arm for one in runs} == {"constant", "tail", "constant@tail"}
    assert all(0 < runs[one].accuracy <= 1 for one in judged)
    (told,) = json.loads((tmp_path / "simulator.json").read_text())
    assert told["workers"] == 2
    assert 0 <= told["total_variation"] <= 1
    assert abs(told["log_loss"]) < 1
    counted = len(runs)
    threads.run_threads(tmp_path, [2], minutes=math.inf, arms=("constant", "tail"))
    assert len(cache.CellRuns(tmp_path, design.Cell("tiny", threads.SPEEDS, 2)).runs) == counted


def test_times_are_measured_in_units_of_a_gradient(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "MEASURED", tmp_path / "times.json")
    assert threads.measure(workers=2, updates=100).startswith("2 threads")
    model = clusters.measured_cluster()
    assert model.compute_s.mean_s == pytest.approx(1.0, rel=0.01)
    assert model.commit_s.mean_s > 0

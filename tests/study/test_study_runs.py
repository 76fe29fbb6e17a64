"""The study runs what is missing, once, and goes on where it stopped."""

import dataclasses
import math
import random
import time

import numpy as np
import optax
import pytest

import jasgd
from benchmarks.study import again, design, exploratory, runner
from benchmarks.study.plan import STAGES, wanted
from benchmarks.study.reporting import report
from benchmarks.study.runs import cache, clusters, engine
from benchmarks.study.runs.own_data import OwnRows
from jasgd import minibatches
from jasgd.problems.models import functional

CELL = design.Cell("tiny", "sigma0.7", 8)
ARMS = ("constant", "tail")


@pytest.fixture(scope="module")
def tiny():
    """A study small enough to be run in seconds: two arms, few rates and few seeds of a short run."""
    with pytest.MonkeyPatch.context() as patch:
        problem = design.Problem("tiny", "digits", "mlp", 150, 16, {8: 0.04})
        patch.setitem(design.PROBLEMS, "tiny", problem)
        patch.setattr(design, "ARMS", ARMS)
        patch.setattr(design, "RULES", ARMS[1:])
        patch.setattr(design, "FIRST_RATES", (0.5, 1.0, 2.0))
        patch.setattr(design, "SECOND_RATES", (1.0, 2**0.5))
        patch.setattr(design, "MOST_EXTENSIONS", 0)
        patch.setattr(design, "SECOND_SEEDS", design.FIRST_SEEDS)
        patch.setattr(design, "LAST_SEEDS", design.FIRST_SEEDS)
        patch.setattr(design, "JUDGING_SEEDS", design.JUDGING_SEEDS[:6])
        patch.setattr(runner, "_deadline", [math.inf])
        patch.setattr(runner, "_engines", {})
        yield problem


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory):
    """The runs of all stages."""
    made = tmp_path_factory.mktemp("runs")
    for stage in STAGES:
        assert runner.run_cell(CELL, stage, str(made), ARMS)[2]
    return made


def test_every_stage_is_done_and_nothing_is_run_twice(folder):
    done = cache.CellRuns(folder, CELL)
    assert all(wanted(CELL, stage, ARMS, done.runs).keys == () for stage in STAGES)
    assert [runner.run_cell(CELL, stage, str(folder), ARMS)[1] for stage in STAGES] == [0] * 4
    labels = {one.arm for one in done.runs}
    assert labels == {"constant", "tail", "constant@tail"}


def test_a_study_that_was_stopped_goes_on_to_the_same_files(folder, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "WRITE_EVERY", 1)
    real = engine.Engine.run
    count = 0

    def run(self, *args, **options):
        nonlocal count
        count += 1
        if count % 20 == 0:  # as a kill in the midst of a run
            raise KeyboardInterrupt
        return real(self, *args, **options)

    monkeypatch.setattr(engine.Engine, "run", run)
    monkeypatch.setattr(runner, "_deadline", [time.monotonic() - 1])
    assert runner.run_cell(CELL, "own", str(tmp_path), ARMS)[1:3] == (0, False)
    runner._deadline[0] = math.inf
    interrupted = 0
    for stage in STAGES:
        while True:
            try:
                runner.run_cell(CELL, stage, str(tmp_path), ARMS)
                break
            except KeyboardInterrupt:
                interrupted += 1
    assert interrupted >= 2
    name = f"{CELL.name}.csv"
    assert (tmp_path / name).read_text() == (folder / name).read_text()
    assert (tmp_path / "curves" / name).read_text() == (folder / "curves" / name).read_text()


def test_the_report_of_a_cached_folder_is_the_same_and_runs_nothing(folder, tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("a report must not run anything")

    monkeypatch.setattr(engine.Engine, "run", refuse)
    pages = [report.write_report(folder, tmp_path / out, cells=[CELL]) for out in ("one", "other")]
    texts = [page.read_text() for page in pages]
    assert texts[0] == texts[1]
    assert "each arm at its own best rate: 1, controls: 1" in texts[0]
    tables = [(page.parent / "study" / "results.csv").read_text() for page in pages]
    assert tables[0] == tables[1]
    assert len(tables[0].splitlines()) == 1 + 2 + 1 + 2 + 2  # own, control, same, twice


def test_a_run_is_that_of_simulate(folder, tiny):
    made = runner._engine(CELL)
    seed, rate = design.JUDGING_SEEDS[0], 0.04
    numbers = made.run(CELL, "tail", rate, seed)
    execution, _ = clusters.planned(CELL, seed)
    problem = jasgd.problems.load("digits", "mlp", batch_size=16)
    params = functional("mlp", problem.dataset.shape, problem.dataset.classes, seed)[0]
    tx = optax.chain(jasgd.staleness_adaptive("tail"), optax.sgd(rate))
    batches = minibatches(problem.batches.arrays, 16, seed=seed)
    (run,) = jasgd.simulate(problem.loss_fn, params, tx, batches, execution=execution, seeds=[seed])
    assert numbers.final == pytest.approx(float(run.execution.loss[-design.WINDOW :].mean()), rel=1e-3)
    assert numbers.mean_factor == pytest.approx(float(run.execution.factor.mean()), rel=1e-5)


def test_no_seed_or_learning_rate_compiles_anything_anew(folder, tiny):
    made = runner._engine(CELL)
    by_slots = {clusters.planned(CELL, seed)[1].slots: seed for seed in design.JUDGING_SEEDS}
    for seed in by_slots.values():
        made.run(CELL, "tail", 0.01, seed)
    compiled = made._program("tail", 8).run._cache_size()
    for seed in design.JUDGING_SEEDS:
        made.run(CELL, "tail", 0.03, seed)
    assert made._program("tail", 8).run._cache_size() == compiled


def test_a_run_that_explodes_ends_at_once_and_is_diverged(folder, tiny):
    numbers = runner._engine(CELL).run(CELL, "constant", 1e4, design.JUDGING_SEEDS[0])
    assert numbers.final == math.inf
    assert np.isinf(numbers.levels[-1])
    assert numbers.initial > 0


def test_a_control_is_a_constant_step_of_its_rules_mean(folder):
    runs = cache.CellRuns(folder, CELL).runs
    controls = sorted(one for one in runs if one.arm == "constant@tail")
    assert len(controls) == len(design.JUDGING_SEEDS)
    tails = {one.seed: one for one in runs if one.arm == "tail" and runs[one].curve}
    for control in controls:
        own = tails[control.seed]
        assert control.rate == cache.key("", own.rate * runs[own].mean_factor, 0).rate
        assert runs[control].mean_factor == 1


def test_cells_that_are_run_anew_agree_unless_what_is_kept_is_wrong(folder, tmp_path, capsys):
    assert again.run_again(folder, random.Random(0), 3, [CELL]) == 0
    assert "tail" in capsys.readouterr().out
    wrong = cache.CellRuns(tmp_path, CELL)
    for one, numbers in cache.CellRuns(folder, CELL).runs.items():
        worse = one.arm == "tail" and bool(numbers.curve)
        wrong.add(one, dataclasses.replace(numbers, final=numbers.final * (3 if worse else 1)))
    wrong.write()
    assert again.run_again(tmp_path, random.Random(0), 1, [CELL]) == 1
    assert "DIFFER" in capsys.readouterr().out


def test_a_change_of_one_factor_is_run(tiny, monkeypatch):
    synchronous = exploratory.Change("rounds", (), {"scheme": "synchronous", "share_of_workers": 1.0}, ("tail",))
    monkeypatch.setitem(exploratory.CHANGES, "synchronous", synchronous)
    first = exploratory.Change("first of", (), {"scheme": "k_of_n", "share_of_workers": 0.5}, ())
    monkeypatch.setitem(exploratory.CHANGES, "first_of", first)
    further = ("tail", "compensated:0.04 tail window:length=64", "per_worker:tail", "worker_rescaled")
    own = exploratory.Change("own data", (), {"own_data": True}, further)
    monkeypatch.setitem(exploratory.CHANGES, "own_data", own)
    cells = [design.Cell("tiny", "sigma0.7", 8, change) for change in ("synchronous", "first_of", "own_data")]
    found = []
    for cell in cells:
        made = engine.engine_for(cell, design.JUDGING_SEEDS[:1])
        found.append([made.run(cell, arm, 0.02, design.JUDGING_SEEDS[0]) for arm in exploratory.arms_of(cell)])
    assert [one.mean_staleness for one in found[0] + found[1]] == [0, 0, 0]
    assert found[1][0].times[0] < found[0][0].times[0]  # a round that does not wait for the slowest takes less time
    assert all(one.final < 0.9 * one.initial for of_cell in found for one in of_cell)
    assert len({one.final for one in found[2]}) == 5


def test_a_worker_draws_from_its_own_classes(folder, tiny):
    made = runner._engine(CELL)
    labels = made._arrays[1]
    gathered = made._batches_of(CELL, made._program("tail", 8))
    batches = OwnRows(gathered, labels, [7], workers=10, batch=16)
    tickets, workers = np.array([3, -1, 3, 4]), np.array([0, -1, 9, 9])
    rows = batches.draw(0, tickets, workers)
    assert set(labels[rows[0]]) == {0}
    assert set(labels[rows[2]]) == {9}
    assert not rows[1].any()
    assert (rows[2] != rows[3]).any()
    np.testing.assert_array_equal(rows, batches.draw(0, tickets, workers))


def test_runs_of_another_design_are_refused(folder, tiny, monkeypatch):
    monkeypatch.setattr(design, "VERSION", design.VERSION + 1)
    with pytest.raises(ValueError, match="this design is"):
        cache.CellRuns(folder, CELL)


def test_a_damaged_file_is_named(folder, tiny, tmp_path):
    text = (folder / f"{CELL.name}.csv").read_text()
    (tmp_path / f"{CELL.name}.csv").write_text(text[: len(text) - 30])
    with pytest.raises(ValueError, match="is damaged at"):
        cache.CellRuns(tmp_path, CELL)


def test_a_run_is_the_same_in_memory_and_on_disk(tiny, tmp_path):
    numbers = runner._engine(CELL).run(CELL, "tail", 0.04, design.JUDGING_SEEDS[0])
    done, one = cache.CellRuns(tmp_path, CELL), cache.key("tail", 0.04, design.JUDGING_SEEDS[0])
    done.add(one, numbers)
    done.write()
    for name in ("initial", "final", "best", "mean_factor", "levels", "times"):
        assert getattr(cache.CellRuns(tmp_path, CELL).runs[one], name) == getattr(done.runs[one], name), name

"""How the study tunes, measures and judges, on runs whose numbers are made up."""

import math

import numpy as np
import pytest

from benchmarks.study import design, exploratory
from benchmarks.study.reporting import claims, statistics, tables
from benchmarks.study.reporting.statistics import Judged, compared, corrected, judged, log_final, not_inferior, paired
from benchmarks.study.runs import arms, clusters
from benchmarks.study.runs.cache import key
from benchmarks.study.runs.outcomes import POINTS, Numbers, numbers_of
from benchmarks.study.tuning import middle_rate, range_of_rates, tuned
from jasgd.record.execution import Execution, row_dtype

CELL = design.Cell("mnist-mlp", "equal", 8)


def numbers(final, **others):
    best = others.pop("best", final)
    values = {"initial": 2.4, "final": final, "best": best, "target": 500.0, "mean_factor": 1.0, "mean_square": 1.0}
    values |= {"mean_staleness": 7.0, "levels": (1.0,) * len(design.LEVELS), "times": (1.0,) * len(design.LEVELS)}
    return Numbers(**values | others)


def tune(loss, arm="constant"):
    """Tunes to the end where ``loss(rate, seed)`` is the final loss, and says how many runs that took."""
    runs = {}
    while (stand := tuned(CELL, arm, runs)).missing:
        runs |= {one: numbers(loss(one.rate, one.seed)) for one in stand.missing}
    return stand, runs


@pytest.mark.parametrize("best", [0.013, 0.04, 0.1, 0.9])
def test_tuning_finds_the_best_rate_to_a_half_octave(best):
    stand, runs = tune(lambda rate, seed: math.exp(math.log2(rate / best) ** 2 + 0.001 * seed))
    assert abs(math.log2(stand.rate / best)) <= 0.26
    assert not stand.at_edge
    assert len(runs) <= 60
    assert {one.seed for one in runs} == set(design.TUNING_SEEDS)


def test_tuning_says_where_no_best_rate_was_found():
    stand, _ = tune(lambda rate, seed: 1 / rate)
    assert stand.at_edge


def test_a_rate_that_diverges_once_comes_after_one_that_never_does():
    stand, _ = tune(lambda rate, seed: math.inf if rate > 0.05 and seed == 100 else 1 / rate)
    assert stand.rate <= 0.05


def test_raw_dampening_begins_at_larger_rates():
    assert middle_rate(CELL, "inverse") == 4 * middle_rate(CELL, "tail")


def test_the_range_of_rates_is_where_the_loss_is_a_tenth_above_the_best():
    half = math.sqrt(math.log(1.1) / 0.2)  # octaves at which exp(0.2 x²) is 1.1
    _, runs = tune(lambda rate, seed: math.exp(0.2 * math.log2(rate / 0.04) ** 2))
    assert range_of_rates(CELL, "constant", runs) == pytest.approx(2 * half, abs=0.3)
    assert math.isnan(range_of_rates(CELL, "tail", runs))


def test_levels_are_censored_where_they_are_not_reached():
    rows = np.zeros(400, row_dtype(dropped=False))
    rows["version"] = rows["version_read"] = rows["ticket"] = np.arange(400)
    rows["loss"] = np.maximum(2.0 - np.arange(400) / 200, 0.3)
    rows["factor"], rows["time_s"] = 0.5, np.arange(400)
    execution = Execution.from_rows(rows, np.zeros(0, row_dtype(dropped=True)), {"workers": 1})
    found = numbers_of(execution, diverged=False, target=1.0, curve=True)
    assert found.initial == 2
    assert found.final == found.best == pytest.approx(0.341, abs=0.001)
    means = np.convolve(rows["loss"], np.full(100, 0.01), "valid")  # of the first 100, and so on
    assert found.target == 100 + np.flatnonzero(means <= 1.0)[0]
    assert found.levels[3] == 100 + np.flatnonzero(means <= 0.5)[0]
    assert found.levels[4:] == (math.inf,) * 3
    assert found.times[0] == found.levels[0] - 1
    assert (found.mean_factor, found.mean_square, len(found.curve)) == (0.5, 0.25, POINTS)
    rows["loss"][300:] = np.nan
    lost = numbers_of(
        Execution.from_rows(rows, np.zeros(0, row_dtype(dropped=True)), {"workers": 1}), diverged=True, curve=True
    )
    assert (lost.final, lost.curve) == (math.inf, ())
    assert lost.best == pytest.approx(0.75, abs=0.01)


def cell_of(tail, *, workers=8, control=0.2, problem="mnist-mlp", failing=0):
    """A judged cell in which constant ends at 0.2 and TAIL at ``tail`` times that, with noise that pairs share."""
    noise = np.random.default_rng(0).normal(0, 0.05, len(design.JUDGING_SEEDS))
    own = {
        "constant": [numbers(0.2 * math.exp(x), target=1000.0) for x in noise],
        "tail": [
            numbers(0.2 * tail * math.exp(x) * (1 + 0.001 * i), target=1000.0 * tail) for i, x in enumerate(noise)
        ],
    }
    twice = {"constant": [numbers(math.inf)] * failing + [numbers(0.3)] * (10 - failing), "tail": [numbers(0.3)] * 10}
    controls = {"constant@tail": [numbers(control * math.exp(x), target=1000.0) for x in noise]}
    runs = {"own": own, "control": controls, "same": {}, "twice": twice}
    return Judged(design.Cell(problem, "equal", workers), 0.21, {"constant": 0.04, "tail": 0.04}, (), runs, 1500)


@pytest.mark.parametrize(("tail", "word"), [(0.8, "reproduced"), (1.0005, "not shown"), (1.25, "reversed")])
def test_a_claim_is_reproduced_reversed_or_not_shown(tail, word):
    noisy = cell_of(tail)
    if word == "not shown":  # as many above as below
        flipped = [numbers(0.2 * (1 + 0.02 * (-1) ** i)) for i in range(10)]
        noisy.runs["own"]["tail"], noisy.runs["own"]["constant"] = flipped, [numbers(0.2)] * 10
    found = claims.verdicts([noisy], ["mnist-mlp"])
    assert found["mnist-mlp", "iii"].text == word


def test_a_claim_needs_the_control_on_the_same_side():
    found = claims.verdicts([cell_of(0.8, control=0.1)], ["mnist-mlp"])
    assert found["mnist-mlp", "iii"].text == "not shown"
    assert found["mnist-mlp", "i"].text == "reproduced"


def test_fewer_failures_are_counted_over_cells():
    verdict = claims.verdicts([cell_of(1.0, failing=8), cell_of(1.0, workers=32)], ["mnist-mlp"])["mnist-mlp", "ii"]
    assert verdict.result.cells == 2
    assert verdict.result.size == pytest.approx(-0.5, abs=0.11)
    assert verdict.text == "reproduced"
    assert verdict.where == "better at 8"
    assert "8 (8) of 10" in tables.failures([cell_of(1.0, failing=8)], ["mnist-mlp"])


def test_what_is_missing_counts_as_a_hypothesis():
    one = compared([paired(cell_of(0.8), "own", "tail", "constant", log_final)])
    alone, of_nine = (corrected({"a": one} | dict.fromkeys(range(more), None))["a"] for more in (0, 8))
    assert alone.corrected == pytest.approx(2 / 1024)
    assert of_nine.corrected == pytest.approx(9 * 2 / 1024)


@pytest.mark.parametrize(
    ("factor", "noise", "word"),
    [
        (1.0, 0.01, "not inferior"),
        (1.2, 0.01, "inferior"),
        (1.0, 0.3, "undecided"),
        (1.02, 0.02, "not shown"),
        (0.5, 0.3, "not inferior, wide"),
    ],
)
def test_not_inferior_needs_the_interval_below_two_percent(factor, noise, word):
    cell = cell_of(1.0)
    drawn = np.random.default_rng(1).normal(0, noise, 10)
    cell.runs["own"]["constant"] = [numbers(0.2)] * 10
    cell.runs["own"]["tail"] = [numbers(0.2 * factor * math.exp(x - drawn.mean())) for x in drawn]
    assert not_inferior(cell, "tail")[0] == word


@pytest.mark.parametrize(
    ("words", "against_tail", "recommended"),
    [
        ({"not inferior": 3, "undecided": 1}, -0.1, True),
        ({"not inferior, wide": 1}, 0.0, True),
        ({"not inferior": 3, "not shown": 1}, -0.1, False),
        ({"not inferior": 3, "inferior": 1}, -0.1, False),
        ({"undecided": 4}, -0.1, False),
        ({"not inferior": 4}, 0.1, False),
        ({"not inferior": 4}, math.nan, False),
    ],
)
def test_a_rule_is_recommended_where_no_decided_cell_speaks_against_it(words, against_tail, recommended):
    assert claims.Standing(words, -0.1, against_tail).recommended == recommended


def test_a_run_that_diverged_counts_as_a_large_loss_and_as_failed():
    cell = cell_of(1.0)
    assert log_final(cell, numbers(math.inf)) == pytest.approx(math.log(24.0))
    assert statistics.failed(cell, numbers(math.inf)) == 1
    assert statistics.failed(cell, numbers(2.0)) == 1
    assert statistics.failed(cell, numbers(0.5)) == 0


def test_the_first_rate_that_fails_is_looked_for_above_the_best():
    _, runs = tune(lambda rate, seed: math.inf if rate > 0.1 else 0.2 + abs(math.log2(rate / 0.04)))
    cell = judged(CELL, design.ARMS, ["own"], runs)
    assert statistics.first_failing_rate(cell, "constant", runs) == (2.0, True)
    _, tame = tune(lambda rate, seed: 0.2 + 0.01 * abs(math.log2(rate / 0.04)))
    assert statistics.first_failing_rate(cell, "constant", tame) == (2.0, False)


def test_nothing_is_judged_before_the_constant_step_is_tuned():
    assert judged(CELL, design.ARMS, ["own"], {}) is None
    _, runs = tune(lambda rate, seed: 1 + math.log2(rate / 0.04) ** 2)
    some = judged(CELL, design.ARMS, ["own"], runs)
    assert (some.rates, some.runs["own"]) == ({"constant": 0.04}, {})
    done = runs | {key("constant", 0.04, seed): numbers(0.3) for seed in design.JUDGING_SEEDS}
    assert len(judged(CELL, design.ARMS, ["own"], done).runs["own"]["constant"]) == 10


@pytest.mark.parametrize("cell", exploratory.exploratory_cells(), ids=lambda cell: cell.name)
def test_an_exploratory_cell_has_an_execution_and_arms_that_exist(cell):
    execution, plan = clusters.planned(cell, design.TUNING_SEEDS[0])
    assert execution.commits == clusters.updates_of(cell)
    options = exploratory.CHANGES[cell.change].options
    assert (plan.gradients > 1).any() == ("share_of_workers" in options)
    optimizer = {name: options[name] for name in ("optimizer", "momentum") if name in options}
    for arm in exploratory.arms_of(cell):
        assert arms.transformation_of(arm, workers=cell.workers, **optimizer)(0.1).init({"w": np.zeros(2)}) is not None


def test_the_design_has_48_cells_and_seeds_that_nothing_was_seen_of():
    cells = list(design.primary_cells())
    assert len(cells) == len(set(cells)) == 48
    used = set(design.TUNING_SEEDS) | set(design.JUDGING_SEEDS)
    assert len(used) == len(design.TUNING_SEEDS) + len(design.JUDGING_SEEDS)
    assert not used & set(range(10))

"""Learning rates are chosen on other seeds than those that are judged, and an edge of the grid is said."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from jasgd.cluster import Cluster
from jasgd.experiments.spectrum_jobs import Point
from jasgd.experiments.sweeping import sweep
from jasgd.experiments.tuning import Cell, at_the_edge, best_rates, tuning_seeds_of


class Turned:
    """A parabola whose slope is so much steeper for seeds from 10 on that another learning rate is the best."""

    name = "turned"

    def __init__(self, seed):
        self.params, self.evaluate = {"w": jnp.ones(2)}, None
        self.steep = np.float32(10.0 if seed >= 10 else 1.0)

    def batches(self, ticket):
        return self.steep

    @staticmethod
    def loss_fn(params, steep):
        return 0.5 * steep * (params["w"] ** 2).sum()


def swept(seeds=(0, 1), rates=(0.01, 0.1, 0.9), **options):
    clusters = {"equal": Cluster(compute_s=1.0)}
    return sweep(Turned, ["constant"], seeds, workers=[1], clusters=clusters, learning_rates=rates, steps=20, **options)


def test_the_rate_is_the_best_on_the_tuning_seeds_and_not_on_those_that_are_judged():
    def rate(**options):
        (row,) = swept(**options).rows
        return row["learning_rate"]

    assert rate(tuning_seeds=[2, 3]) == 0.9
    assert rate(tuning_seeds=[10, 11]) == 0.1  # 0.9 diverges there, though the judged seeds would do best with it


def test_the_judged_seeds_are_run_at_the_chosen_rate_alone():
    spectrum = swept(seeds=(0, 5))
    assert spectrum.tuning_seeds == (6, 7, 8, 9)
    assert {(point.seed, point.learning_rate) for point in spectrum.runs} == {(0, 0.9), (5, 0.9)}
    assert {(p.seed, p.learning_rate) for p in spectrum.tuning_runs} == {
        (seed, rate) for seed in (6, 7, 8, 9) for rate in (0.01, 0.1, 0.9)
    }
    assert [row["learning_rate"] for row in spectrum.tuning_rows] == [0.01, 0.1, 0.9]


def test_one_learning_rate_is_tuned_on_nothing():
    spectrum = swept(rates=(0.1,))
    assert (spectrum.tuning_seeds, spectrum.tuning_runs, spectrum.edges) == ((), {}, [])
    assert "All took the learning rate 0.1, which was tuned for none" in spectrum.reading()


def test_that_the_best_rate_lies_at_the_edge_of_the_grid_is_said():
    edge = swept(tuning_seeds=[2])
    assert edge.edges == [Cell("equal", 1, "constant")]
    said = "The best learning rate lies at the edge of the grid, and a better one may lie beyond it: "
    assert f"{said}constant 0.9 (equal, 1 worker)." in edge.reading()
    within = swept(tuning_seeds=[10, 11])
    assert within.edges == []
    assert "edge" not in within.reading()


def test_progress_counts_the_updates_of_all_runs():
    seen = []
    spectrum = swept(on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (20 * (2 + 4 * 3),) * 2
    assert len(spectrum.runs) + len(spectrum.tuning_runs) == 14


@pytest.mark.parametrize(
    ("tuning_seeds", "rates", "message"),
    [
        ([1, 4], [0.1, 0.2], r"must be other seeds than those that are judged, got \[1\] in both"),
        ([], [0.1, 0.2], "must be one or more integers"),
        ([4, 4], [0.1, 0.2], "each once"),
        ([-1], [0.1, 0.2], "≥ 0"),
        ([4], [0.1], "need several learning_rates to choose from"),
    ],
)
def test_tuning_seeds_that_cannot_work_are_refused(tuning_seeds, rates, message):
    with pytest.raises(ValueError, match=message):
        tuning_seeds_of(tuning_seeds, [0, 1], rates)


@pytest.mark.parametrize("first", [[math.nan, math.nan], [0.1, math.nan], [math.inf, math.inf]])
def test_a_learning_rate_without_a_final_loss_is_not_the_best(first):
    """Kind: a number that misleads. Nothing is less than NaN, so one that came first stayed the best."""
    losses = {0.5: first, 0.1: [1.0, 3.0]}
    runs = {
        Point("equal", 1, seed, "tail", rate): {"outcome": "failed", "final_loss": loss}
        for rate, of_seeds in losses.items()
        for seed, loss in enumerate(of_seeds)
    }
    assert best_rates(runs) == {Cell("equal", 1, "tail"): 0.1}


def test_both_ends_of_the_grid_are_edges():
    rates = {Cell("equal", 1, arm): rate for arm, rate in (("a", 0.1), ("b", 0.2), ("c", 0.4))}
    assert [cell.arm for cell in at_the_edge(rates, [0.2, 0.4, 0.1])] == ["a", "c"]

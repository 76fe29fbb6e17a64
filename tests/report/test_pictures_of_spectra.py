"""Pictures of spectra hold all of their numbers, on every panel."""

import itertools
import math

import numpy as np
import pytest
from support.pictures import legend_of, lines_of, require_inside, require_whole

from jasgd import cluster, report
from jasgd.experiments.arms import Arm
from jasgd.experiments.spectrum import Spectrum
from jasgd.experiments.spectrum_jobs import Point
from jasgd.presenting.pictures.style import style_of
from jasgd.report.plots import pictures

ARMS = ("constant", "tail", "constant@tail")


def spectrum_of(
    loss, *, workers=(1, 4, 16), clusters=("equal", "lognormal:sigma=1.2"), rates=(0.01, 0.1), seeds=3, arms=ARMS
):
    """A spectrum by hand, whose final losses are a function of cluster, workers, seed, arm and learning rate."""
    runs = {}
    for label, count, seed, arm, rate in itertools.product(clusters, workers, range(seeds), arms, rates):
        value = loss(label, count, seed, arm, rate)
        outcome = "diverged" if math.isinf(value) else "failed" if math.isnan(value) else "finished"
        runs[Point(label, count, seed, arm, rate)] = {
            "outcome": outcome,
            "final_loss": value,
            "updates_per_s": 100.0 * count / (1 + 0.1 * count) * (1 + 0.1 * seed),
            "mean_factor": 1 / (count if arm == "tail" else 1) * (1 + 0.2 * seed),
            "staleness_mean": count - 1.0,
            "staleness_gini": 0.5,
            **{f"updates_to_{share}%": 1000.0 / share for share in (50, 25, 10, 5)},
            **{f"time_to_{share}%_s": value / count if share > 10 else math.nan for share in (50, 25, 10, 5)},
        }
    best = {key: min(rates, key=lambda rate: rank(runs, key, rate, seeds)) for key in {p[:2] + p[3:4] for p in runs}}
    judged = {p: numbers for p, numbers in runs.items() if p.learning_rate == best[p[:2] + p[3:4]]}
    all_seeds = tuple(range(seeds))
    tuning = {"tuning_seeds": all_seeds, "tuning_runs": runs} if len(rates) > 1 else {}
    return Spectrum(
        "by hand", tuple(map(Arm.parse, arms)), all_seeds, tuple(workers), tuple(clusters), tuple(rates),
        {"scheme": "leashed", "steps": 100}, judged, **tuning,
    )  # fmt: skip


def rank(runs, key, rate, seeds):
    """Of a learning rate: how many runs have no final loss, and the median of the others."""
    losses = np.array([runs[Point(*key[:2], seed, key[2], rate)]["final_loss"] for seed in range(seeds)])
    finite = losses[np.isfinite(losses)]
    return seeds - len(finite), np.median(finite) if len(finite) else math.inf


def usual(label, count, seed, arm, rate):
    """Losses in the second cluster are a thousandth of those in the first."""
    return (1e-3 if "sigma" in label else 1.0) * count * (1 + 0.3 * seed) * (2 if arm == "tail" else 1) * (1 + rate)


SPECTRA = {
    "usual": lambda: spectrum_of(usual),
    "one number of workers": lambda: spectrum_of(usual, workers=(32,)),
    "one of all": lambda: spectrum_of(usual, workers=(2,), clusters=("equal",), rates=(0.1,), seeds=1, arms=("tail",)),
    "some diverged": lambda: spectrum_of(lambda *p: math.inf if p[1] == 16 or (p[4] > 0.05 and p[2]) else usual(*p)),
    "all but one diverged": lambda: spectrum_of(lambda *p: 1.0 if p[1:4] == (1, 0, "tail") else math.inf),
    "some failed": lambda: spectrum_of(lambda *p: math.nan if p[3] == "tail" else usual(*p)),
    "huge": lambda: spectrum_of(lambda *p: 1e12 if p[1] == 16 else usual(*p)),
    "negative": lambda: spectrum_of(lambda *p: -usual(*p)),
    "zero": lambda: spectrum_of(lambda *p: 0.0 if p[3] == "tail" else usual(*p)),
    "many rates": lambda: spectrum_of(usual, rates=tuple(np.geomspace(1e-4, 1, 9)), workers=tuple(range(1, 20, 2))),
    "many arms": lambda: spectrum_of(
        usual, arms=("constant", *(f"exponential:beta=0.{k},normalized=true" for k in range(1, 9)))
    ),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_all_that_is_drawn_lies_inside_its_axes_and_all_text_inside_the_figure(name):
    spectrum = SPECTRA[name]()
    for width in ("column", "page") if name in ("usual", "many arms") else ("column",):
        found = pictures(spectrum, style_of("light", width))
        assert {"spectrum", "learning_rates", "convergence"} <= set(found)
        assert ("speed_up" in found) == (len(spectrum.workers) > 1)
        for one in found.values():
            assert require_inside(one.figure) > 0, one.title
            require_whole(one.figure)
            assert one.rows
            assert {len(row) for row in one.rows} == {len(one.header)}


def test_the_panels_of_all_clusters_show_their_losses():
    """Limits that the first panel had set left the second empty."""
    figure = report.over_workers(spectrum_of(usual, workers=(32,)))
    first, second = figure.axes[0], figure.axes[2]
    assert first.get_ylim() == second.get_ylim()
    low, high = second.get_ylim()
    for line in second.lines[: 2 * len(ARMS) : 2]:
        assert len(line.get_ydata()) == 1
        assert low < line.get_ydata()[0] < high


def test_one_number_of_workers_still_shows_the_range_over_seeds():
    figure = report.over_workers(spectrum_of(usual, workers=(32,)))
    for panel, measure in ((0, "final_loss"), (1, "mean_factor")):
        bars = [bar.get_segments()[0] for bar in figure.axes[panel].collections]
        assert len(bars) == len(ARMS)
        rows = {row["arm"]: row[measure] for row in spectrum_of(usual, workers=(32,)).rows if row["cluster"] == "equal"}
        for bar, arm in zip(bars, ARMS, strict=True):
            assert bar[0][1], bar[1][1] == pytest.approx((rows[arm].low, rows[arm].high))
            assert bar[1][1] > bar[0][1]
        assert len({bar[0][0] for bar in bars}) == len(ARMS)  # beside each other


def test_the_lines_are_the_medians_at_the_best_learning_rates():
    spectrum = spectrum_of(usual)
    lines = lines_of(report.over_workers(spectrum))
    for arm in ARMS:
        rows = [row for row in spectrum.rows if (row["cluster"], row["arm"]) == ("equal", arm)]
        np.testing.assert_allclose(lines[arm].get_ydata(), [row["final_loss"].median for row in rows])
    assert legend_of(report.over_workers(spectrum)) == list(ARMS)


def test_what_diverged_is_a_cross_at_the_top():
    spectrum = SPECTRA["some diverged"]()
    axes = report.final_loss_over_learning_rate(spectrum, workers=4).axes[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert {tuple(line.get_xdata()) for line in crosses} == {(0.1,)}
    assert "the edge of what was tried" in report.final_loss_over_learning_rate(spectrum, workers=4).get_label()


def test_a_cell_has_the_median_final_loss_or_a_cross():
    spectrum = SPECTRA["some diverged"]()
    figure = report.convergence_map(spectrum, cluster="equal")
    cells = {tuple(text.get_position()): text.get_text() for text in figure.axes[0].texts}
    assert cells == {(0, 0): "1.3", (1, 0): "5.3", (2, 0): "×", (0, 1): "×", (1, 1): "×", (2, 1): "×"}
    with pytest.raises(ValueError, match="cluster must be"):
        report.convergence_map(spectrum, cluster="fast")
    with pytest.raises(ValueError, match="workers must be one of 1, 4, 16, got 3"):
        report.final_loss_over_learning_rate(spectrum, workers=3)


def test_a_speed_up_is_relative_to_the_fewest_workers():
    figure = report.speed_up(spectrum_of(usual, clusters=("equal",)))
    speed, learning = (lines_of(figure, panel)["constant"].get_ydata() for panel in (0, 1))
    np.testing.assert_allclose(speed, [1, 4 * 1.1 / 1.4, 16 * 1.1 / 2.6])
    np.testing.assert_allclose(learning, [1, 1, 1])  # losses by hand grow as fast as workers do
    assert figure.axes[1].get_title(loc="left") == "time to 25% of the loss"  # no run came to 10 %
    runs = {m: cluster.generate(cluster.Cluster(compute_s=1.0), workers=m, steps=40) for m in (1, 2, 4)}
    measured = lines_of(report.speed_up(runs))["measured"]
    np.testing.assert_allclose(measured.get_ydata(), [1, 2, 4])
    with pytest.raises(ValueError, match="result must have two numbers of workers or more, got 1"):
        report.speed_up({1: runs[1]})
    with pytest.raises(TypeError, match="result must be a Spectrum, or a mapping from numbers of workers to runs"):
        report.speed_up({"one": runs[1]})


def test_what_is_no_spectrum_is_refused():
    for function in (report.over_workers, report.final_loss_over_learning_rate, report.convergence_map):
        with pytest.raises(TypeError, match="spectrum must be a Spectrum"):
            function("runs/spectrum")

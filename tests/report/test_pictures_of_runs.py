"""Pictures of runs show the numbers of the runs, all of them, and each arm in its own look."""

import dataclasses

import numpy as np
import pytest
from support.pictures import legend_of, lines_of, require_inside, require_whole
from support.results import by_hand, result_of, with_times

from jasgd import cluster, report
from jasgd.experiments.measures import committed
from jasgd.presenting.pictures.laws import tails_of
from jasgd.presenting.pictures.losses import loss_picture
from jasgd.presenting.pictures.step_sizes import step_size_picture
from jasgd.presenting.pictures.style import THEMES, style_of
from jasgd.record.result import Outcome
from jasgd.record.start_of_run import start_of_execution
from jasgd.report.plots import pictures

STYLE = style_of("light", "column")
LOGNORMAL = cluster.Cluster(compute_s="gamma:mean_s=0.01,shape=4", speeds="lognormal:sigma=1.2")


def generated(workers=8, steps=400, **options):
    return cluster.generate(LOGNORMAL, workers=workers, steps=steps, **options)


def runs_from(*heights, **options):
    """Runs of 60 gradients whose losses fall linearly from these."""
    return [result_of(np.linspace(height, 1, 60), **options) for height in heights]


def with_staleness(result, staleness, **columns):
    execution = dataclasses.replace(result.execution, staleness=np.asarray(staleness), **columns)
    return dataclasses.replace(result, execution=execution)


EVALUATED = [{"version": v, "time_s": v / 100, "loss": 1 / (1 + v), "accuracy": v / 60} for v in (0, 20, 60)]
RESULTS = {
    "one run": lambda: result_of(np.geomspace(30, 1e-5, 300), staleness=5, evaluations=EVALUATED),
    "one gradient": lambda: result_of([2.0]),
    "few gradients": lambda: result_of([2.0, 1.0, 3.0], staleness=1),
    "negative losses": lambda: result_of(np.linspace(3, -40, 60)),
    "losses of zero": lambda: result_of([0.0] * 40),
    "losses that are not finite": lambda: result_of([4.0] * 30 + [np.nan] * 30, outcome=Outcome.DIVERGED),
    "no loss": lambda: result_of([np.nan] * 30),
    "many gradients": lambda: result_of(np.geomspace(30, 1e-5, 5000), staleness=40),
    "long tail": lambda: with_staleness(result_of([1.0] * 300), np.r_[[0] * 200, np.arange(99), 10**4]),
    "one far": lambda: with_staleness(result_of([1.0] * 200), [0] * 199 + [50]),
    "large factors": lambda: result_of([1.0] * 60, factor=700.0),
    "negative factors": lambda: result_of([1.0] * 60, factor=-2.0),
    "generated": generated,
    "100 generated workers": lambda: generated(100, 900),
    "dropped": lambda: generated(scheme="leashed:max_staleness=4", steps=100),
    "synchronous": lambda: generated(scheme="synchronous", steps=30),
    "arms": lambda: by_hand(
        constant=runs_from(4, 5, 9), tail=runs_from(2e-3, 2, 2, factor=0.5), control=runs_from(3, factor=1.2)
    ),
    "arms evaluated apart": lambda: by_hand(
        constant=runs_from(4, 5, evaluations=EVALUATED), tail=runs_from(4, evaluations=EVALUATED[:2])
    ),
    "arms of different lengths": lambda: by_hand(constant=[result_of([5.0] * 30)], tail=[result_of([1e-3] * 900)]),
}


@pytest.mark.parametrize("name", RESULTS)
def test_all_that_is_drawn_lies_inside_its_axes_and_all_text_inside_the_figure(name):
    result = RESULTS[name]()
    for width in ("column", "page") if name in ("one run", "arms", "generated") else ("column",):
        found = pictures(result, style_of("light", width))
        assert {"timeline", "staleness", "staleness_over_time"} <= set(found)
        assert ("loss" in found) == ("generated" not in name and name not in ("no loss", "dropped", "synchronous"))
        for one in found.values():
            assert require_inside(one.figure) > 0, one.title
            require_whole(one.figure)
            assert one.description
            assert one.rows
            assert {len(row) for row in one.rows} == {len(one.header)}


def test_a_picture_without_titles_has_none_and_is_lower():
    with_title, without = (report.staleness_law(generated(), title=title) for title in (True, False))
    assert with_title.get_suptitle() == "How stale the gradients were"
    assert without.get_suptitle() == ""
    assert without.get_figheight() < with_title.get_figheight()
    assert without.get_label() == with_title.get_label() != ""


def test_the_losses_are_those_of_the_run():
    result = result_of(np.geomspace(30, 0.1, 90), evaluations=EVALUATED)
    figure = report.loss(result)
    for panel, (key, x, unit) in enumerate(
        (("version", result.execution.version + 1, 1), ("time_s", committed(result.execution), 1000))
    ):
        lines = lines_of(figure, panel)
        smooth = lines["mean over 20"]
        assert smooth.get_ydata()[-1] == pytest.approx(result.execution.loss[-20:].mean())
        np.testing.assert_allclose(smooth.get_xdata()[[0, -1]], unit * x[[19, -1]])
        np.testing.assert_allclose(lines["evaluated"].get_xydata(), [(unit * e[key], e["loss"]) for e in EVALUATED])
        band = figure.axes[panel].collections[0].get_paths()[0].get_extents()
        assert (band.y0, band.y1) == (pytest.approx(0.1), pytest.approx(30))  # no mini-batch is lost
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log"]
    (only,) = report.loss(result, over="updates").axes
    assert only.get_xlabel() == "updates"
    with pytest.raises(ValueError, match="over must be"):
        report.loss(result, over="epochs")


def test_time_does_not_go_back_where_a_thread_read_its_clock_late():
    late = (np.arange(60) + 1) / 100
    late[[25, 40]] += 0.3
    results = [dataclasses.replace(r, execution=with_times(r.execution, late)) for r in runs_from(4, 4)]
    curve = lines_of(report.loss(results[0], over="time"))["mean over 20"]
    assert (np.diff(curve.get_xdata()) >= 0).all()
    # Interpolated where times go back, the curve would not pass through its own points.
    drawn = lines_of(report.loss(by_hand(constant=results), over="time"))["constant"]
    expected = np.interp(drawn.get_xdata(), curve.get_xdata(), curve.get_ydata())
    np.testing.assert_allclose(drawn.get_ydata(), expected, rtol=1e-3)


def test_a_curve_is_the_median_of_the_seeds_in_the_range_of_them():
    figure = report.loss(by_hand(constant=runs_from(4, 5, 9), tail=runs_from(2, 2, 2)))
    constant, tail = lines_of(figure).values()
    np.testing.assert_allclose(constant.get_ydata(), _smoothed_line(5, constant.get_xdata()), rtol=1e-5)
    np.testing.assert_allclose(tail.get_ydata(), _smoothed_line(2, tail.get_xdata()), rtol=1e-5)
    first = figure.axes[0].collections[0].get_paths()[0].get_extents()
    assert (first.y0, first.y1) == (
        pytest.approx(_smoothed_line(4, 60), rel=1e-5),
        pytest.approx(_smoothed_line(9, constant.get_xdata()[0]), rel=1e-5),
    )
    assert "median and range over 3 seeds" in figure.get_label()


def _smoothed_line(height, updates):
    """The mean of the last 20 of a loss that falls linearly to 1 in 60 gradients, after so many of them."""
    return height + (1 - height) * (updates - 1 - 9.5) / 59


def test_a_run_that_diverged_does_not_cut_the_curve_of_the_others_and_is_counted():
    lost = result_of([4.0, 5.0, np.inf], outcome=Outcome.DIVERGED)
    figure = report.loss(by_hand(constant=runs_from(4, 4, 4), tail=[lost, *runs_from(3, 3)]))
    assert legend_of(figure) == ["constant", "tail (1 diverged, not drawn)"]
    assert lines_of(figure)["tail (1 diverged, not drawn)"].get_xdata()[-1] == 60
    alone = report.loss(by_hand(tail=[lost, lost]))
    assert legend_of(alone) == ["tail (2 diverged)"]
    np.testing.assert_allclose(lines_of(alone)["tail (2 diverged)"].get_ydata()[[0, -1]], [4, 5], atol=0.01)


def test_evaluations_are_those_of_the_runs_and_others_by_name():
    figure = report.evaluations(by_hand(constant=runs_from(4, 5, evaluations=EVALUATED)))
    line = lines_of(figure)["constant"]
    np.testing.assert_allclose(line.get_xydata(), [(e["version"], e["accuracy"]) for e in EVALUATED])
    assert report.evaluations(result_of([1.0] * 60, evaluations=EVALUATED), name="loss").axes[0].get_ylabel() == "loss"
    with pytest.raises(ValueError, match="name must be one of loss, accuracy, got 'speed'"):
        report.evaluations(result_of([1.0] * 60, evaluations=EVALUATED), name="speed")
    with pytest.raises(ValueError, match="result must have evaluations"):
        report.evaluations(result_of([1.0] * 60))


def test_the_bars_are_shares_and_the_second_panel_has_what_is_beyond_them():
    result = with_staleness(result_of([1.0] * 200), [0] * 100 + [1] * 60 + [2] * 39 + [50])
    figure = report.staleness_law(result)
    assert [bar.get_height() for bar in figure.axes[0].patches] == [0.5, 0.3, 0.195]
    np.testing.assert_allclose(figure.axes[1].lines[0].get_xydata(), [(0, 1), (1, 0.5), (2, 0.2), (50, 0.005)])
    assert "leaves out the stalest 0.5%" in figure.get_label()


def test_models_say_where_they_do_not_hold():
    rng = np.random.default_rng(0)
    assert tails_of(rng.poisson(7.0, 10_000))[0].whole
    mixed = np.r_[rng.poisson(7.0, 9_700), rng.integers(60, 90, 300)]
    nearest = tails_of(mixed)[0]
    assert not nearest.whole
    assert 8 <= nearest.until < 60
    assert nearest.share == pytest.approx((mixed <= nearest.until).mean())
    figure = report.staleness_law(with_staleness(result_of([1.0] * 10_000), mixed))
    assert f"{nearest.model.model} holds to τ = {nearest.until}" in " ".join(legend_of(figure))
    assert f"{nearest.model.model} holds to τ = {nearest.until}" in figure.get_label()


def test_the_staleness_of_each_gradient_is_a_point_and_of_many_their_range():
    execution = generated(steps=300)
    points = lines_of(report.staleness_over_time(execution))["each gradient"]
    np.testing.assert_array_equal(points.get_xydata(), np.column_stack([execution.version + 1, execution.staleness]))
    execution = generated(steps=3000)
    band = report.staleness_over_time(execution).axes[0].collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == (execution.staleness.min(), execution.staleness.max())


def test_the_mean_factor_is_that_so_far_and_the_start_is_marked():
    factor = np.r_[[0.5] * 40, [1.25] * 160].astype(np.float32)
    result = with_staleness(result_of([1.0] * 200), [0] * 200, factor=factor)
    figure = report.factor_over_time(result)
    line = lines_of(figure)["mean so far"]
    np.testing.assert_allclose(line.get_ydata(), np.cumsum(factor) / np.arange(1, 201), rtol=1e-6)
    assert start_of_execution(result.execution) == 20  # a tenth
    assert "E[C] 1.100 over the whole run, 1.17 after the start" in figure.get_label()
    assert start_of_execution(generated(workers=100, steps=300)) == 150  # half


def test_the_factors_are_those_that_were_used_at_each_staleness():
    staleness = np.tile([0, 1, 2], 100)
    result = with_staleness(result_of([1.0] * 300), staleness, factor=(1 / (1 + staleness)).astype(np.float32))
    figure = report.step_size(result)
    line = next(line for axes in figure.axes for line in axes.lines if line.get_label().startswith("median"))
    np.testing.assert_allclose(line.get_xydata(), [(0, 1), (1, 1 / 2), (2, 1 / 3)], rtol=1e-6)
    assert line.get_label() == "median of C, E[C] = 0.611"


def test_a_control_is_a_level_line_however_staleness_differed_between_seeds():
    runs = [
        with_staleness(result_of([1.0] * 200, factor=factor), np.tile(taus, 50))
        for factor, taus in ((1.2, (0, 0, 0, 1)), (1.6, (1, 2, 2, 3)))
    ]
    figure = step_size_picture({"control": runs}, STYLE).figure
    line = lines_of(figure)["control: E[C] = 1.40"]
    assert line.get_xdata().tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(line.get_ydata(), 1.4, rtol=1e-6)
    band = figure.axes[0].collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == (pytest.approx(1.2), pytest.approx(1.6))


def test_an_arm_has_its_look_in_every_picture_whatever_it_is_compared_with():
    few, many = (STYLE.looks(labels) for labels in (["tail", "constant"], ["inverse", "constant", "hinge", "tail"]))
    assert few["constant"] == many["constant"]
    assert few["tail"] == many["tail"]
    comparison = by_hand(constant=runs_from(4), tail=[result_of([], outcome=Outcome.FAILED)], inverse=runs_from(3))
    loss = lines_of(report.loss(comparison))["inverse"]
    (step,) = (line for name, line in lines_of(report.step_size(comparison)).items() if "inverse" in name)
    assert loss.get_color() == step.get_color() == STYLE.looks(["inverse"])["inverse"].color


def test_no_two_of_many_arms_look_the_same():
    rules = ["constant", "tail", "tail:cdf=strict", "inverse", "exponential:beta=0.1", "power", "hinge", "adadelay"]
    labels = [*rules, *(f"{rule}:normalized=true" for rule in rules[1:]), *(f"constant@{rule}" for rule in rules[1:])]
    for theme in THEMES:
        looks = style_of(theme, "column").looks(labels)
        assert len(set(looks.values())) == len(labels)


def test_colours_differ_for_every_kind_of_colour_vision_and_stand_out_from_the_paper():
    # Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision deficiency", 2009.
    views = {
        "usual": np.eye(3),
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    }
    for theme in THEMES.values():
        paper = _linear(theme.paper)
        for colour in (*theme.colours, theme.ink, theme.muted):
            bright, dark = sorted((_luminance(_linear(colour)), _luminance(paper)), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 3.0, colour
        for name, view in views.items():
            labs = [_lab(np.clip(np.array(view) @ _linear(colour), 0, 1)) for colour in theme.colours]
            for i, one in enumerate(labs):
                for j, other in enumerate(labs[:i]):
                    # The rarer ones, from the fifth on, are told apart by their markers too.
                    least = 20 if max(i, j) < 4 else 10
                    assert np.linalg.norm(one - other) > least, (name, theme.colours[i], theme.colours[j])


def _linear(colour):
    value = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _luminance(linear):
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _lab(linear):
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    f = np.cbrt(np.maximum(xyz / [0.9505, 1.0, 1.089], 1e-6))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_a_label_with_markup_and_dollars_is_shown_as_it_is():
    figure = loss_picture({"$x$ <b>_{a}": runs_from(4)}, STYLE).figure
    require_whole(figure)
    assert legend_of(figure)[0] in ("$x$ <b>_{a}", "mean over 20")

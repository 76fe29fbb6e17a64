"""Plots and tables of real runs: the files are there, and the numbers are the result's."""

import dataclasses
import io
import itertools
import math

import jax.numpy as jnp
import matplotlib.image
import numpy as np
import optax
import pytest
from rich.console import Console
from support.every_scheme import overtaken
from support.problems import Parabola, Task
from support.python_process import run_python
from support.results import by_hand, result_of, with_times

import jasgd
from jasgd import report
from jasgd.experiments.comparison import compare
from jasgd.fits import fit
from jasgd.presenting import figures, run_figures
from jasgd.presenting.curves import committed
from jasgd.record.result import Outcome
from jasgd.report import comparison_figures
from jasgd.report.tables import comparison_table, run_table

PLOTS = ["loss.png", "staleness.png", "step_size.png"]


def train(*, workers=4, steps=200, learning_rate=0.05, rule=None, scheme="leashed"):
    task = Task(0)
    tx = optax.chain(jasgd.staleness_adaptive(rule or jasgd.rules.tail()), optax.sgd(learning_rate))
    return jasgd.train(
        task.loss_fn, task.params, tx, task.batches, scheme=scheme, workers=workers, steps=steps,
        evaluate=task.evaluate, throw=False,
    )  # fmt: skip


def require_drawn(path):
    """A PNG of many colours, which one that shows nothing has not, and with nothing cut off at its edges."""
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert path.stat().st_size > 10_000
    pixels = (255 * matplotlib.image.imread(path)).astype(np.uint8)[..., :3]
    assert pixels.shape[0] > 400
    assert pixels.shape[1] > 600
    assert len(np.unique(pixels.astype(np.int64) @ [1 << 16, 1 << 8, 1])) > 30
    for edge in (pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:]):
        assert (edge == 255).all()


def rendered(table):
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def unwrapped(text):
    return " ".join(text.split())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"workers": 1},  # every τ = 0
        {"steps": 1},
        {"steps": 19},  # too few for a smoothed loss
        {"learning_rate": 1e30},  # diverges at once
        {"rule": lambda staleness: jnp.where(staleness > 0, 0.0, 1.0)},
    ],
    ids=lambda options: ",".join(options) or "usual",
)
def test_a_run_is_drawn(tmp_path, options):
    result = train(**options)
    files = report.plot(result, tmp_path / "new" / "folder")
    assert [file.name for file in files] == PLOTS
    assert all(file.parent == tmp_path / "new" / "folder" for file in files)
    for file in files:
        require_drawn(file)


def test_the_picture_is_that_of_the_run(tmp_path):
    one = report.plot(train(steps=150, scheme=overtaken), tmp_path / "one")
    other = report.plot(train(steps=60, workers=1), tmp_path / "other")
    for a, b in zip(one, other, strict=True):
        assert a.read_bytes() != b.read_bytes()


def test_a_run_that_applied_nothing_draws_nothing(tmp_path):
    result = jasgd.train(
        lambda w, b: jnp.sum(w) * jnp.nan, jnp.ones(2), optax.sgd(0.1), lambda t: 0.0, workers=1, steps=5, throw=False
    )
    assert len(result.execution) == 0
    assert report.plot(result, tmp_path / "folder") == []
    assert not (tmp_path / "folder").exists()
    assert "diverged" in rendered(run_table(result, "nothing", []))


@pytest.mark.parametrize("arms", [["constant"], ["constant", "tail", "constant@tail"]], ids=len)
def test_a_comparison_is_drawn(tmp_path, arms):
    comparison = compare(Parabola, arms, (0, 1), workers=2, learning_rate=0.05, steps=60)
    files = report.plot_comparison(comparison, tmp_path)
    assert [file.name for file in files] == PLOTS
    for file in files:
        require_drawn(file)


def test_arms_that_diverged_or_have_not_run_are_drawn_as_far_as_they_went(tmp_path):
    comparison = compare(Parabola, ["constant", "tail"], (0,), workers=2, learning_rate=1e30, steps=60)
    assert [file.name for file in report.plot_comparison(comparison, tmp_path)] == PLOTS
    comparison.runs["constant"].clear()
    assert [file.name for file in report.plot_comparison(comparison, tmp_path)] == PLOTS
    comparison.runs["tail"].clear()
    assert report.plot_comparison(comparison, tmp_path / "empty") == []


def lines_of(figure, panel=0):
    """The lines of a panel that are in its legend, by label."""
    return {line.get_label(): line for line in figure.axes[panel].lines if not line.get_label().startswith("_")}


def title_of(figure):
    return figure.get_suptitle() or "".join(figure.axes[0].get_title(loc=side) for side in ("left", "center"))


def losses(comparison):
    return comparison_figures._losses(
        comparison, {arm.label: look for arm, look in zip(comparison.arms, figures.looks_of(), strict=False)}
    )


def test_the_losses_are_those_of_the_run():
    result = train(steps=100)
    for panel, x in ((0, result.execution.version + 1), (1, committed(result.execution))):
        lines = lines_of(run_figures._loss(result), panel)
        np.testing.assert_array_equal(lines["mini-batch"].get_ydata(), result.execution.loss)
        smooth = lines["mean over 20 mini-batches"]
        assert smooth.get_ydata()[-1] == pytest.approx(result.execution.loss[-20:].mean())
        np.testing.assert_array_equal(smooth.get_xdata()[[0, -1]], x[[0, -1]])
        evaluated = [(e[("version", "time_s")[panel]], e["loss"]) for e in result.evaluations]
        np.testing.assert_array_equal(lines["evaluated"].get_xydata(), evaluated)


def test_time_does_not_go_back_where_a_thread_read_its_clock_late():
    late = (np.arange(60) + 1) / 100
    late[[25, 40]] += 0.3
    results = [dataclasses.replace(r, execution=with_times(r.execution, late)) for r in runs_from(4, 4)]
    curve = lines_of(run_figures._loss(results[0]), 1)["mean over 20 mini-batches"]
    assert (np.diff(curve.get_xdata()) >= 0).all()
    # Interpolated where times go back, the curve would not pass through its own points.
    drawn = lines_of(losses(by_hand(constant=results)), 1)["constant"]
    there = np.isfinite(curve.get_ydata())
    expected = np.interp(drawn.get_xdata(), curve.get_xdata()[there], curve.get_ydata()[there])
    np.testing.assert_allclose(drawn.get_ydata(), expected, rtol=1e-3)


def runs_from(*heights, **options):
    """Runs of 60 gradients whose losses fall linearly from these."""
    return [result_of(np.linspace(height, 1, 60), **options) for height in heights]


def test_a_curve_is_the_median_of_the_seeds_in_the_range_of_them():
    figure = losses(by_hand(constant=runs_from(4, 5, 9), tail=runs_from(2, 2, 2)))
    assert title_of(figure) == "Training loss on by hand, leashed, 8 workers: median and range over 3 seeds"
    constant, tail = lines_of(figure).values()
    np.testing.assert_allclose(constant.get_ydata(), _smoothed_line(5, constant.get_xdata()), rtol=1e-5)
    np.testing.assert_allclose(tail.get_ydata(), _smoothed_line(2, tail.get_xdata()), rtol=1e-5)
    first = figure.axes[0].collections[0].get_paths()[0].get_extents()
    assert (first.y0, first.y1) == (
        pytest.approx(_smoothed_line(4, 60), rel=1e-5),
        pytest.approx(_smoothed_line(9, constant.get_xdata()[0]), rel=1e-5),
    )


def _smoothed_line(height, updates):
    """The mean of the last 20 of a loss that falls linearly to 1 in 60 gradients, after so many of them."""
    return height + (1 - height) * (updates - 1 - 9.5) / 59


def test_a_run_that_diverged_does_not_cut_the_curve_of_the_others_and_is_counted():
    lost = result_of([4.0, 5.0, np.inf], outcome=Outcome.DIVERGED)
    figure = losses(by_hand(constant=runs_from(4, 4, 4), tail=[lost, *runs_from(3, 3)]))
    lines = lines_of(figure)
    assert list(lines) == ["constant", "tail (1 diverged, not drawn)"]
    assert lines["tail (1 diverged, not drawn)"].get_xdata()[-1] == 60
    alone = losses(by_hand(tail=[lost, lost]))
    assert list(lines_of(alone)) == ["tail (2 diverged)"]
    np.testing.assert_allclose(lines_of(alone)["tail (2 diverged)"].get_ydata()[[0, -1]], [4, 5], atol=0.01)


def test_runs_too_short_for_means_are_drawn_by_their_mini_batches():
    line = lines_of(losses(by_hand(constant=[result_of([4.0, 2.0, 3.0])])))["constant"]
    assert (line.get_ydata()[0], line.get_ydata().min(), line.get_ydata()[-1]) == (4, pytest.approx(2, abs=0.02), 3)
    assert title_of(losses(by_hand(constant=[result_of([4.0, 2.0, 3.0])]))).endswith("8 workers: one seed")


def test_the_axis_of_the_loss_is_logarithmic_where_losses_differ_tenfold():
    for top, scale in ((9.0, "linear"), (40.0, "log")):
        assert run_figures._loss(result_of([top] + [1.0] * 60)).axes[0].get_yscale() == scale
        assert run_figures._loss(result_of([0.0] + [top] * 60)).axes[0].get_yscale() == "linear"


def test_the_bars_are_shares_and_what_is_beyond_them_is_told():
    result = result_of([1.0] * 200)
    staleness = np.array([0] * 100 + [1] * 60 + [2] * 39 + [50])
    execution = dataclasses.replace(result.execution, staleness=staleness)
    figure = run_figures._staleness(execution)
    assert [bar.get_height() for bar in figure.axes[0].patches] == [0.5, 0.3, 0.195, 0, 0]
    legend = " ".join(text.get_text() for text in figure.axes[0].get_legend().get_texts())
    assert "measured, 200 gradients (0.5% beyond)" in legend
    best = fit(staleness)[0]
    assert best.model in legend
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), best.pmf[:5])
    assert title_of(figure) == "Gradients were 0.9 updates stale on average, median 0, at most 50"


def test_the_factors_are_those_that_were_used_at_each_staleness():
    staleness = np.tile([0, 1, 2], 100)
    execution = dataclasses.replace(
        result_of([1.0] * 300).execution, staleness=staleness, factor=(1 / (1 + staleness)).astype(np.float32)
    )
    figure = run_figures._step_size(execution)
    line = next(line for axes in figure.axes for line in axes.lines if line.get_label().startswith("median"))
    np.testing.assert_allclose(line.get_xydata(), [(0, 1), (1, 1 / 2), (2, 1 / 3)], rtol=1e-6)
    assert title_of(figure) == "The step-size function that was used: E[C] = 0.611, after the start 0.611"


def test_a_control_is_a_level_line_however_staleness_differed_between_seeds():
    arms = []
    for factor, taus in ((1.2, (0, 0, 0, 1)), (1.6, (1, 2, 2, 3))):
        execution = result_of([1.0] * 200, factor=factor).execution
        arms.append(dataclasses.replace(execution, staleness=np.tile(taus, 50)))
    figure = comparison_figures._step_sizes({"control": arms}, {"control": next(figures.looks_of())})
    (line,) = lines_of(figure).values()
    assert line.get_label() == "control: E[C] = 1.40, after the start 1.40"
    assert line.get_xdata().tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(line.get_ydata(), 1.4, rtol=1e-6)
    band = figure.axes[0].collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == (pytest.approx(1.2), pytest.approx(1.6))
    assert "means over seeds" in title_of(figure)


def test_no_two_of_many_arms_look_the_same_and_long_names_are_not_cut(tmp_path):
    looks = [tuple(look.values()) for look in itertools.islice(figures.looks_of(), 3 * len(figures.COLOURS))]
    assert len(set(looks)) == len(looks)
    rules = ["exponential:beta=0.1,normalized=true", "tail:amplitude=0.25,cdf=inclusive,normalized=true"]
    arms = ["constant", *rules, *(f"constant@{rule}" for rule in rules)]
    comparison = by_hand(**{arm: [result_of(np.linspace(9, 1, 60), staleness=3)] for arm in arms})
    settings = {"workers": 16, "scheme": "leashed(persistence=3, max_staleness=32)"}
    for file in report.plot_comparison(
        dataclasses.replace(comparison, problem="fashion_mnist/lenet", settings=settings), tmp_path
    ):
        require_drawn(file)


def test_an_arm_has_its_colour_in_every_picture():
    comparison = by_hand(constant=runs_from(4), tail=[result_of([], outcome=Outcome.FAILED)], inverse=runs_from(3))
    looks = {arm.label: look for arm, look in zip(comparison.arms, figures.looks_of(), strict=False)}
    executions = {label: [comparison.runs[label][0].execution] for label in ("constant", "inverse")}
    loss = lines_of(comparison_figures._losses(comparison, looks))["inverse"]
    (step,) = (
        line for name, line in lines_of(comparison_figures._step_sizes(executions, looks)).items() if "inverse" in name
    )
    assert loss.get_color() == step.get_color() == figures.COLOURS[2]


def test_the_table_of_a_run_has_its_numbers():
    result = train()
    m, text = result.metrics, rendered(run_table(result, "a network", fit(result.law)))
    assert "a network" in text
    for number in (
        f"{m['updates']:,} in {result.duration_s:.2f} s", f"{m['first_loss']:.4g} → {m['last_loss']:.4g}",
        f"mean {m['staleness_mean']:.2f}", f"E[C] {m['mean_factor']:.3f}", f"accuracy {m['accuracy']:.4g}",
        fit(result.law)[0].model, "0 too stale, 0 contended",
    ):  # fmt: skip
        assert number in text


def test_the_table_of_a_comparison_has_a_row_per_arm_and_the_range_over_seeds():
    comparison = compare(Parabola, ["constant", "tail:cdf=strict"], (0, 1, 2), workers=2, learning_rate=0.05, steps=60)
    text = rendered(comparison_table(comparison))
    assert "parabola, leashed, 2 workers, 3 seeds: median, and range below" in text
    low, median, high = sorted(f"{r.metrics['mean_factor']:.2f}" for r in comparison.runs["tail:cdf=strict"].values())
    assert cells(comparison, "E[C]", "tail:cdf=strict") == [median, *([f"{low}–{high}"] if low < high else [])]
    assert cells(comparison, "E[C]", "constant") == ["1.00"]
    # The loss of 60 gradients has not come down to a twentieth: no value is shown as such.
    assert math.isnan(comparison.rows[0]["updates_to_5%"].median)
    assert cells(comparison, "to 5%", "constant") == ["–"]


def test_tables_show_brackets_as_they_are():
    result = dataclasses.replace(
        result_of([1.0] * 30, evaluations=[{"loss[int32]": 0.5, "time_s": 1.0, "version": 30}]),
        outcome=Outcome.FAILED,
        message="worker 3 raised ValueError: [/8] is no [float32] :fire:",
    )
    text = rendered(run_table(result, "a [b]c[/b]", []))
    for shown in ("failed: worker 3 raised ValueError: [/8] is no [float32] :fire:", "loss[int32] 0.5", "a [b]c[/b]"):
        assert shown in text
    shown = dataclasses.replace(by_hand(constant=[result]), problem="mine[/x]")
    assert "mine[/x], leashed, 8 workers, 3 seeds" in unwrapped(rendered(comparison_table(shown)))


def test_the_table_of_a_run_that_applied_nothing_shows_no_numbers_of_gradients():
    text = rendered(run_table(result_of([], outcome=Outcome.FAILED), "nothing", []))
    assert "failed: by hand" in text
    assert "0 in 0.00 s" in text
    assert "nan" not in text
    assert "staleness" not in text


def cells(comparison, measure, arm):
    """What the table shows of an arm in the first column whose heading has these words, from top to bottom."""
    for table in (part for part in comparison_table(comparison).renderables if hasattr(part, "columns")):
        arms = [str(cell) for cell in table.columns[0].cells]
        for column in table.columns[1:]:
            if measure in str(column.header).replace("\n", " "):
                return list(column.cells)[arms.index(arm)].split("\n")
    raise AssertionError(f"no column about {measure}")


def test_the_table_of_a_comparison_writes_infinity_counts_and_long_times():
    lost = result_of([4.0] * 30, outcome=Outcome.DIVERGED)
    failed = result_of([4.0] * 30, outcome=Outcome.FAILED)
    slow = [result_of([4.0] * n + [0.01] * 40, rate=0.1) for n in (20, 22, 25)]
    comparison = by_hand(
        constant=slow, tail=[lost, lost, result_of([4.0] * 30)], inverse=[failed, failed, lost], hinge=[]
    )
    text = rendered(comparison_table(comparison))
    for line in ("constant: 3 finished", "tail: 1 finished, 2 diverged", "inverse: 1 diverged, 2 failed", "hinge: –"):
        assert f"  {line}" in text
    arms = ("constant", "tail", "inverse", "hinge")
    shown = {what: [cells(comparison, what, arm) for arm in arms] for what in ("final", "time to 50%", "dropped")}
    assert shown["final"] == [["1.4", "1.3–1.5"], ["∞", "4–∞"], ["∞", "1/3"], ["–"]]
    assert cells(comparison, "updates to 50%", "constant") == ["33", "31–36"]
    assert shown["time to 50%"] == [["330", "310–360"], ["∞", "2/3"], ["∞", "1/3"], ["–"]]
    assert shown["dropped"] == [["0"], ["0"], ["0"], ["–"]]


def test_one_worker_and_one_seed_are_not_several():
    comparison = by_hand(constant=[result_of([4.0] * 30)])
    comparison = dataclasses.replace(comparison, seeds=(0,), settings={"workers": 1, "scheme": "leashed"})
    assert "by hand, leashed, 1 worker, 1 seed: median, and range below" in unwrapped(
        rendered(comparison_table(comparison))
    )
    assert title_of(losses(comparison)) == "Training loss on by hand, leashed, 1 worker: one seed"
    assert comparison.reading().startswith("On by hand with 1 worker, leashed: ")


@pytest.mark.parametrize(
    ("missing", "module"),
    [("matplotlib", "presenting.figures"), ("rich", "report.tables"), ("rich", "report.progress_bars")],
)
def test_a_missing_extra_is_named(missing, module):
    script = f"import sys; sys.modules[{missing!r}] = None\nimport jasgd.{module}"
    process = run_python("-c", script, check=False)
    assert process.returncode == 1
    assert process.stderr.strip().splitlines()[-1].endswith('pip install "jasgd[cli]"')

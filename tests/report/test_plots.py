"""The usual plots of real runs: the files are there, show something, and are those of the run."""

import re
from pathlib import Path

import jax.numpy as jnp
import matplotlib.image
import numpy as np
import optax
import pytest
from support.every_scheme import overtaken
from support.problems import Parabola, Task
from support.results import by_hand, result_of

import jasgd
from jasgd import cluster, report
from jasgd.experiments.comparison import compare
from jasgd.report.tables import run_table

PLOTS = ["loss.png", "timeline.png", "staleness.png", "step_size.png"]
OF_COMPARISONS = ["loss.png", "staleness.png", "step_size.png"]
EXECUTION = cluster.generate(cluster.Cluster(compute_s=1.0), workers=3, steps=8)


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
    assert pixels.shape[0] > 300
    assert pixels.shape[1] > 600
    assert len(np.unique(pixels.astype(np.int64) @ [1 << 16, 1 << 8, 1])) > 30
    for edge in (pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:]):
        assert (edge == 255).all()


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
    assert report.figures(result) == {}
    assert not (tmp_path / "folder").exists()
    assert run_table(result, "nothing", []).row_count > 0
    with pytest.raises(ValueError, match="result must have applied a gradient"):
        report.timeline(result)


@pytest.mark.parametrize("arms", [["constant"], ["constant", "tail", "constant@tail"]], ids=len)
def test_a_comparison_is_drawn(tmp_path, arms):
    comparison = compare(Parabola, arms, (0, 1), workers=2, learning_rate=0.05, steps=60)
    files = report.plot_comparison(comparison, tmp_path)
    assert [file.name for file in files] == OF_COMPARISONS
    for file in files:
        require_drawn(file)


def test_arms_that_diverged_or_have_not_run_are_drawn_as_far_as_they_went(tmp_path):
    comparison = compare(Parabola, ["constant", "tail"], (0,), workers=2, learning_rate=1e30, steps=60)
    assert [file.name for file in report.plot_comparison(comparison, tmp_path)] == OF_COMPARISONS
    comparison.runs["constant"].clear()
    assert [file.name for file in report.plot_comparison(comparison, tmp_path)] == OF_COMPARISONS
    comparison.runs["tail"].clear()
    assert report.plot_comparison(comparison, tmp_path / "empty") == []


@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), (".pdf", b"%PDF"), ("svg", b"<?xml"), (".SVG", b"<?xml")]
)
def test_figures_are_written_by_suffix_and_the_same_one_to_the_same_bytes(tmp_path, suffix, start):
    figures = {"timeline": report.timeline(EXECUTION)}
    (file,) = report.save(figures, tmp_path / "a", suffix)
    (again,) = report.save({"timeline": report.timeline(EXECUTION)}, tmp_path / "b", suffix)
    assert file.name == f"timeline.{suffix.removeprefix('.')}"
    assert file.read_bytes().startswith(start)
    assert file.read_bytes() == again.read_bytes()
    text = "Timeline of updates"  # what it shows is in the file
    assert text.encode() in file.read_bytes() or text.encode("utf-16-be") in file.read_bytes()


def test_one_figure_is_written_where_it_is_told(tmp_path):
    (file,) = report.save(report.staleness_law(EXECUTION), tmp_path / "law.pdf")
    assert file == tmp_path / "law.pdf"
    assert file.read_bytes().startswith(b"%PDF")


def test_what_is_no_figure_suffix_or_name_is_refused(tmp_path):
    figure = report.staleness_law(EXECUTION)
    with pytest.raises(TypeError, match="figures must be a figure, or a mapping from names to figures, got list"):
        report.save([figure], tmp_path)
    with pytest.raises(ValueError, match="suffix must be"):
        report.save({"law": figure}, tmp_path, "jpg")
    with pytest.raises(ValueError, match=r"figures must have names that files can have, got '../law'"):
        report.save({"../law": figure}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_themes_and_widths_that_are_none_are_refused():
    with pytest.raises(ValueError, match="theme must be one of light, dark, got 'blue'"):
        report.timeline(EXECUTION, theme="blue")
    with pytest.raises(ValueError, match="width must be one of column, page, or a number of inches, got 'wide'"):
        report.staleness_law(EXECUTION, width="wide")
    with pytest.raises(ValueError, match=r"width must lie in 2.5…40 inches, got 1"):
        report.staleness_law(EXECUTION, width=1)
    with pytest.raises(TypeError, match="title must be"):
        report.staleness_law(EXECUTION, title="no")
    with pytest.raises(TypeError, match="result must be a TrainResult, an Execution"):
        report.figures(3)


def test_the_code_of_the_page_on_pictures_makes_the_pictures_that_it_shows(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "pictures.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for usual, small in (("steps=800", "steps=40"), ("range(4)", "range(2)"), ("workers=32", "workers=4")):
        assert usual in code
        code = code.replace(usual, small)
    exec(code, {})
    shown = set(re.findall(r"images/pictures/(\w+\.png)", page))
    made = {file.name for file in (tmp_path / "pictures").iterdir()}
    assert made == shown - {"learning_rates.png", "convergence.png", "speed_up.png"}
    listed = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    others = {"figures", "plot", "plot_comparison", "plot_spectrum", "report_of", "save"}
    assert listed == set(report.__all__) - others


def test_no_window_and_no_global_state_is_left():
    import matplotlib
    from matplotlib import _pylab_helpers

    before = dict(matplotlib.rcParams)
    report.figures(by_hand(constant=[result_of([4.0, 2.0, 1.0])]), theme="dark")
    assert dict(matplotlib.rcParams) == before
    assert not _pylab_helpers.Gcf.figs

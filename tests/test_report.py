"""Plots and tables of real runs: the files are there, and the numbers are the result's."""

import io
import math
import subprocess
import sys

import jax.numpy as jnp
import matplotlib.image
import numpy as np
import optax
import pytest
from helpers import Task
from rich.console import Console

import jasgd
from jasgd import report
from jasgd.comparison import compare
from jasgd.fits import fit
from jasgd.report.tables import comparison_table, run_table

PLOTS = ["loss.png", "staleness.png", "step_size.png"]


def train(*, workers=4, steps=200, learning_rate=0.05, rule=None):
    task = Task(0)
    tx = optax.chain(jasgd.staleness_adaptive(rule or jasgd.rules.tail()), optax.sgd(learning_rate))
    return jasgd.train(
        task.loss_fn, task.params, tx, task.batches, workers=workers, steps=steps, evaluate=task.evaluate, throw=False
    )  # fmt: skip


def colours(path):
    """How many colours an image has; a picture that shows nothing has few."""
    pixels = (255 * matplotlib.image.imread(path)).astype(np.uint8)
    assert pixels.shape[0] > 400
    assert pixels.shape[1] > 600
    return len(np.unique(pixels[..., :3].astype(np.int64) @ [1 << 16, 1 << 8, 1]))


def rendered(table):
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


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
    assert all(colours(file) > 30 for file in files)


def test_the_picture_is_that_of_the_run(tmp_path):
    one = report.plot(train(steps=150), tmp_path / "one")
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
    told = compare(Task, arms, (0, 1), workers=2, learning_rate=0.05, steps=60)
    files = report.plot_comparison(told, tmp_path)
    assert [file.name for file in files] == PLOTS
    assert all(colours(file) > 30 for file in files)


def test_arms_that_diverged_or_have_not_run_are_drawn_as_far_as_they_went(tmp_path):
    told = compare(Task, ["constant", "tail"], (0,), workers=2, learning_rate=1e30, steps=60)
    assert [file.name for file in report.plot_comparison(told, tmp_path)] == PLOTS
    told.runs["constant"].clear()
    assert [file.name for file in report.plot_comparison(told, tmp_path)] == PLOTS
    told.runs["tail"].clear()
    assert report.plot_comparison(told, tmp_path / "empty") == []


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


def test_the_table_of_a_comparison_has_a_column_per_arm_and_the_range_over_seeds():
    told = compare(Task, ["constant", "tail:cdf=strict"], (0, 1, 2), workers=2, learning_rate=0.05, steps=60)
    text = rendered(comparison_table(told))
    assert "network, leashed, 2 workers, 3 seeds: median (range)" in text
    assert "constant" in text
    assert "tail:cdf=strict" in text
    row = next(line for line in text.splitlines() if "realised E[C]" in line)
    strict = sorted(run.metrics["mean_factor"] for run in told.runs["tail:cdf=strict"].values())
    assert f"{strict[1]:.2f} ({strict[0]:.2f}–{strict[2]:.2f})" in row
    assert " 1.00 " in row
    # The loss of 60 gradients has not come down to a twentieth: no value is shown as such.
    reached = next(line for line in text.splitlines() if "updates to 5%" in line)
    assert math.isnan(told.rows[0]["updates_to_5%"].median)
    assert reached.split()[-2:] == ["–", "–"]


@pytest.mark.parametrize(("missing", "module"), [("matplotlib", "plots"), ("rich", "tables"), ("rich", "live")])
def test_a_missing_extra_is_named(missing, module):
    script = f"import sys; sys.modules[{missing!r}] = None\nimport jasgd.report.{module}"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert told.returncode == 1
    assert told.stderr.strip().splitlines()[-1].endswith('pip install "jasgd[cli]"')

"""Every table fits 80 columns, and nothing in it is cut off: tables of real runs, and of numbers of every size."""

import dataclasses
import io
import re

import pytest
from rich.console import Console
from support.results import result_of

from jasgd.experiments.arms import Arm
from jasgd.experiments.comparison import Comparison
from jasgd.experiments.measures import measures
from jasgd.experiments.spectrum import Spectrum
from jasgd.experiments.spectrum_jobs import Point
from jasgd.record.result import Outcome
from jasgd.report.tables import comparison_table, datasets_table, executions_table, run_table, spectrum_table

LONG = ("constant", "exponential:beta=0.125,normalized=true", "constant@exponential:beta=0.125,normalized=true", "tail")
#: losses, and gradients a second, from very small to very large
SIZES = [(1e-7, 1e6), (3.14159, 0.0123), (123_456.0, 12.3), (9.87e12, 1e-4)]


def shown(table, columns=80):
    console = Console(width=columns, file=io.StringIO())
    console.print(table)
    text = console.file.getvalue()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= columns, text
    return text


def runs_of_all_sizes():
    good = [result_of([loss] * 40 + [loss / 50] * 140, rate=rate, staleness=3) for loss, rate in SIZES]
    return [*good, dataclasses.replace(good[0], outcome=Outcome.DIVERGED)]


@pytest.fixture(scope="module")
def comparison():
    runs = dict(enumerate(runs_of_all_sizes()))
    settings = {"workers": 100_000, "scheme": "leashed(persistence=3, max_staleness=32, native=True)"}
    arms = tuple(map(Arm.parse, LONG))
    return Comparison("fashion_mnist/lenet5", arms, tuple(runs), settings, dict.fromkeys(LONG, runs))


def test_a_comparison_fits_and_names_every_arm_in_full(comparison):
    text = shown(comparison_table(comparison))
    for label in LONG:
        assert f"  {label}: 4 finished, 1 diverged" in text
    squeezed = re.sub(r"\s", "", text)
    assert "9.9e+12" in text or "∞" in text
    assert "constant@exponential:" in squeezed


@pytest.mark.parametrize("accuracy", [float("nan"), 1.0])
def test_a_spectrum_fits(accuracy):
    counts = (1, 100_000)
    numbers = [measures(result) | {"outcome": "finished", "test_accuracy": accuracy} for result in runs_of_all_sizes()]
    runs = {
        Point("lognormal:mean_s=1,sigma=0.7", count, seed, label, 0.00125): numbers[seed]
        for count in counts
        for label in LONG
        for seed in range(len(numbers))
    }
    spectrum = Spectrum(
        "fashion_mnist/lenet5", tuple(map(Arm.parse, LONG)), tuple(range(5)), counts,
        ("lognormal:mean_s=1,sigma=0.7",), (0.00125,), {"scheme": "leashed", "steps": 1_000_000}, runs,
    )  # fmt: skip
    text = shown(spectrum_table(spectrum, "lognormal:mean_s=1,sigma=0.7"))
    assert "100,000" in text
    assert "0.00125" in text
    assert ("(%)" in text) == (accuracy == 1.0)


def test_executions_fit():
    row = {
        "cluster": "gamma:mean_s=1,shape=4", "workers": 100_000, "seed": 123_456, "commits": 10_000_000,
        "commits_per_s": 1_234_567.8, "mean": 98_765.43, "median": 98_765.5, "max": 9_999_999, "gini": 0.512,
        "mean_tries": 12.34, "dropped": 1_000_000, "conserved": False,
    }  # fmt: skip
    text = shown(executions_table([row, row | {"commits_per_s": 0.00123, "conserved": True}]))
    for number in ("100,000", "123456", "10,000,000", "1,234,568", "98,765.43", "9,999,999", "1,000,000", "0.00123"):
        assert number in text
    assert "no, not with 100000 workers, seed 123456" in text


def test_a_run_fits_whatever_it_says():
    result = dataclasses.replace(result_of([1.0] * 30), outcome=Outcome.FAILED, message="worker 3 raised " + "x" * 100)
    text = shown(run_table(result, "digits/mlp, leashed, 8 workers, exponential:beta=0.1,normalized=true" * 2, []))
    assert re.sub(r"\s", "", text).count("x") >= 100


def test_data_sets_fit_with_long_folders():
    folder = "/a" * 100
    row = ("fashion_mnist", "Fashion-MNIST: clothes, 28×28, 60,000 + 10,000", "$JASGD_DATA_DIR", folder, "4 present")
    assert folder in re.sub(r"\s", "", shown(datasets_table([row])))

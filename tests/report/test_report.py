"""Tables of real runs: the numbers are the result's."""

import dataclasses
import io
import math

import optax
import pytest
from rich.console import Console
from support.problems import Parabola, Task
from support.python_process import run_python
from support.results import by_hand, result_of

import jasgd
from jasgd.experiments.comparison import compare
from jasgd.fits import fit
from jasgd.record.result import Outcome
from jasgd.report.tables import comparison_table, run_table


def train(*, workers=4, steps=200, learning_rate=0.05, rule=None, scheme="leashed"):
    task = Task(0)
    tx = optax.chain(jasgd.staleness_adaptive(rule or jasgd.rules.tail()), optax.sgd(learning_rate))
    return jasgd.train(
        task.loss_fn, task.params, tx, task.batches, scheme=scheme, workers=workers, steps=steps,
        evaluate=task.evaluate, throw=False,
    )  # fmt: skip


def rendered(table):
    console = Console(width=200, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def unwrapped(text):
    return " ".join(text.split())


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
    assert comparison.reading().startswith("On by hand with 1 worker, leashed: ")


@pytest.mark.parametrize(
    ("missing", "use"),
    [
        ("matplotlib", "from jasgd import cluster, report\n"
         "report.timeline(cluster.generate(cluster.Cluster(compute_s=1.0), workers=2, steps=3))"),
        ("rich", "import jasgd.report.tables"),
        ("rich", "import jasgd.report.progress_bars"),
    ],
    ids=["figures", "tables", "progress bars"],
)  # fmt: skip
def test_a_missing_extra_is_named(missing, use):
    script = f"import sys; sys.modules[{missing!r}] = None\n{use}"
    process = run_python("-c", script, check=False)
    assert process.returncode == 1
    assert process.stderr.strip().splitlines()[-1].endswith('pip install "jasgd[cli]"')

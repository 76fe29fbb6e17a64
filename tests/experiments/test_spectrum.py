"""A spectrum holds rules against each other over numbers of workers, and nothing but the rule differs."""

import itertools
import json
import math

import jax
import numpy as np
import pytest

from jasgd import cluster, problems, report
from jasgd.experiments.spectrum_jobs import Point
from jasgd.experiments.sweeping import sweep
from jasgd.record.trees import to_json

EQUAL = {"equal": cluster.Cluster(compute_s=cluster.gamma(1.0, 4))}


def load(seed):
    return problems.load("digits", batch_size=16, seed=seed, test_examples=100)


@pytest.fixture(scope="module")
def results():
    return {}


@pytest.fixture(scope="module")
def spectrum(results):
    arms = ["constant", "tail:cdf=strict", "constant@tail:cdf=strict", "inverse", "koloskova:smoothness=1"]
    clusters = EQUAL | {"unequal": cluster.Cluster(compute_s=1.0, speeds=cluster.lognormal(1.0, 1.0))}
    return sweep(load, arms, [3, 7], workers=[1, 6], clusters=clusters, learning_rates=[0.02, 1e3], steps=40,
                 tuning_seeds=[0], on_result=results.__setitem__)  # fmt: skip


def test_every_combination_ran_once(spectrum, results):
    assert len(spectrum.runs) == 2 * 2 * 2 * 5
    assert len(spectrum.tuning_runs) == 2 * 2 * 4 * 2  # of the control there is nothing to tune
    assert set(results) == {*spectrum.runs, *spectrum.tuning_runs}
    assert [(row["cluster"], row["workers"], row["arm"]) for row in spectrum.rows] == list(
        itertools.product(spectrum.clusters, (1, 6), [arm.label for arm in spectrum.arms])
    )
    assert all(row["final_loss"].runs == 2 for row in spectrum.rows)


def test_the_arms_of_a_place_follow_the_same_execution_and_batches(spectrum, results):
    for label in spectrum.clusters:
        for seed in spectrum.seeds:
            runs = [r for p, r in results.items() if p[:3] == (label, 6, seed) and r.outcome == "finished"]
            assert len(runs) >= 4
            for run in runs[1:]:
                np.testing.assert_array_equal(run.execution.staleness, runs[0].execution.staleness)
                np.testing.assert_array_equal(run.execution.ticket, runs[0].execution.ticket)
                assert run.execution.loss[0] == runs[0].execution.loss[0]  # of the same parameters and batch
    first = {seed: results[Point("equal", 6, seed, "constant", 0.02)].execution.loss[0] for seed in (0, 3)}
    assert first[0] != first[3]


def test_a_control_takes_the_mean_step_of_its_arm_with_its_seed_and_learning_rate(spectrum, results):
    for point, run in results.items():
        if point.arm == "constant@tail:cdf=strict":
            mean = spectrum.runs[point._replace(arm="tail:cdf=strict")]["mean_factor"]
            np.testing.assert_allclose(run.execution.factor, mean, rtol=1e-6)
            assert mean != 1


def test_rules_that_take_the_run_into_account_are_given_it(spectrum, results):
    # Above the concurrency, the number of workers, its step is at most 1/(4Lτ): the smaller a share, the larger η.
    small = results[Point("equal", 6, 0, "koloskova:smoothness=1", 0.02)].execution.factor
    large = results[Point("equal", 6, 0, "koloskova:smoothness=1", 1e3)].execution.factor
    assert large.min() < 1e-3 < small.min()


def test_the_learning_rate_that_is_given_is_the_one_that_is_used(spectrum, results):
    one = results[Point("equal", 1, 0, "constant", 0.02)]
    problem = load(0)
    loss_fn = jax.jit(jax.value_and_grad(problem.loss_fn))
    params = problem.params
    for ticket in range(3):
        loss, grads = loss_fn(params, problem.batches(ticket))
        assert float(loss) == pytest.approx(float(one.execution.loss[ticket]), rel=1e-4)
        params = jax.tree.map(lambda p, g: p - 0.02 * g, params, grads)


def test_what_diverges_is_a_finding_and_not_chosen(spectrum):
    rows = [r for r in spectrum.tuning_rows if (r["arm"], r["learning_rate"]) == ("constant", 1e3)]
    assert len(rows) == 4
    assert all("diverged" in r["outcomes"] and r["final_loss"].high == math.inf for r in rows)
    rates = {(r["cluster"], r["workers"], r["arm"]): r["learning_rate"] for r in spectrum.rows}
    assert rates["equal", 6, "constant"] == 0.02
    for label, workers, arm in rates:  # a control takes the learning rate of its rule, or its step were another
        if "@" in arm:
            assert rates[label, workers, arm] == rates[label, workers, arm.partition("@")[2]]


def test_the_reading_is_about_each_cluster_and_says_what_pairs_share(spectrum):
    reading = spectrum.reading()
    assert reading.startswith("equal, 6 workers: tail:cdf=strict shows no clear difference from constant: ")
    assert "\nunequal, 6 workers: tail:cdf=strict shows no clear difference" in reading
    assert "share execution, mini-batches and initial parameters" in reading
    assert "Each rule took the best of 2 learning rates from 0.02 to 1000, chosen on 1 other seed." in reading
    assert {label: [one.arm for one in found] for label, found in spectrum.conclusions.items()} == {
        label: ["tail:cdf=strict", "inverse", "koloskova:smoothness=1"] for label in ("equal", "unequal")
    }


def test_it_is_drawn_and_recorded(spectrum, tmp_path):
    assert [file.name for file in report.plot_spectrum(spectrum, tmp_path)] == [
        "spectrum.png", "learning_rates.png", "convergence.png",
    ]  # fmt: skip
    record = json.loads(json.dumps(to_json(spectrum.record()), allow_nan=False))
    assert record["settings"]["clusters"]["unequal"]["speeds"]["law"] == "lognormal"
    assert (len(record["runs"]), len(record["tuning_runs"])) == (40, 32)
    assert (len(record["table"]), len(record["tuning_table"])) == (20, 32)
    assert record["conclusions"]["equal"][0]["verdict"] == "no clear difference"
    assert record["tuning_seeds"] == [0]
    assert len(record["at_the_edge"]) == 16  # of two learning rates each is one


def test_a_control_is_added_where_a_claim_can_be_made():
    spectrum = sweep(load, ["constant", "tail"], range(6), workers=[3], clusters=EQUAL, learning_rates=[0.05], steps=20)
    assert [row["arm"] for row in spectrum.rows] == ["constant", "tail", "constant@tail"]
    (tail,) = spectrum.conclusions["equal"]
    assert tail.constant.pairs == tail.control.pairs == 6


def test_the_same_call_gives_the_same_numbers():
    def run():
        return sweep(load, ["tail"], [1], workers=[3], clusters=EQUAL, learning_rates=[0.05], steps=20)

    one, two = run(), run()
    assert repr(one.runs) == repr(two.runs)  # by their text, as NaN is not itself


def test_evaluation_on_the_test_set_is_asked_for():
    spectrum = sweep(
        load, ["constant"], [0], workers=[2], clusters=EQUAL, learning_rates=[0.05], steps=30, evaluate=True
    )
    assert 0 <= spectrum.rows[0]["test_accuracy"].median <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"workers": []}, "workers must be one or more integers ≥ 1"),
        ({"workers": [0]}, "workers must be one or more integers ≥ 1"),
        ({"workers": [2, 2]}, "each once"),
        ({"clusters": {}}, "clusters must be one or more"),
        ({"clusters": {"a": 1.0}}, "clusters must be one or more of jasgd.Cluster"),
        ({"learning_rates": [0.0]}, "learning_rates must be one or more finite numbers > 0"),
        ({"learning_rates": [0.1, 0.1]}, "each once"),
        ({"arms": ["constant@tail"]}, "needs the arm tail"),
        ({"arms": ["nonsense"]}, "rule must be one of"),
        ({"scheme": "nonsense"}, "scheme must be one of"),
        ({"steps": 0}, "steps must be an integer ≥ 1"),
        ({"tuning_seeds": [0], "learning_rates": [0.1, 0.2]}, "must be other seeds than those that are judged"),
        ({"tuning_seeds": [1]}, "need several learning_rates"),
        ({"seeds": [-1]}, "seeds must be one or more integers ≥ 0"),
        ({"momentum": 2.0}, "momentum must lie in"),
    ],
)
def test_bad_input_is_refused(change, message):
    options = {
        "arms": ["constant"],
        "seeds": [0],
        "workers": [2],
        "clusters": EQUAL,
        "learning_rates": [0.1],
        "steps": 5,
    }
    options |= change
    with pytest.raises(ValueError, match=message):
        sweep(load, options.pop("arms"), options.pop("seeds"), **options)

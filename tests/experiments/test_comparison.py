"""Comparisons: what is run, in which order, and what is said about it."""

import itertools
import json
import math
import signal

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import overtaken
from support.problems import Parabola, Task
from support.results import by_hand, result_of

import jasgd
import jasgd.training.trainer
from jasgd.experiments.arms import Arm
from jasgd.experiments.comparison import compare
from jasgd.experiments.measures import measures, spread
from jasgd.record.result import Outcome
from jasgd.record.trees import to_json


def small(arms, seeds=(0, 1), **options):
    return compare(Task, arms, seeds, **{"workers": 2, "learning_rate": 0.05, "steps": 60} | options)


def test_seeds_are_the_outer_loop_and_arms_take_turns_with_controls_behind_their_arm():
    order, seen = [], []
    arms = ["constant", "constant@tail", "tail", "inverse"]
    comparison = compare(
        Parabola, arms, np.array([3, 5, 7]), workers=2, learning_rate=0.05, steps=20,
        on_result=lambda arm, seed, result: order.append((seed, arm.label, result)),
        on_progress=lambda arm, seed, progress: seen.append((seed, arm.label)),
    )  # fmt: skip
    assert [(seed, label) for seed, label, _ in order] == [
        (3, "constant"), (3, "tail"), (3, "inverse"), (3, "constant@tail"),
        (5, "tail"), (5, "inverse"), (5, "constant"), (5, "constant@tail"),
        (7, "tail"), (7, "inverse"), (7, "constant"), (7, "constant@tail"),
    ]  # fmt: skip
    assert list(dict.fromkeys(seen)) == [(seed, label) for seed, label, _ in order]
    assert all(comparison.runs[label][seed] is result for seed, label, result in order)
    assert comparison.seeds == (3, 5, 7)
    assert [row["arm"] for row in comparison.rows] == arms
    assert all(row["outcomes"] == {"finished": 3} for row in comparison.rows)
    assert not comparison.stopped


def test_a_row_of_the_table_is_the_spread_of_what_the_runs_measure():
    comparison = compare(Parabola, ["constant", "inverse"], (0, 1, 2), workers=2, learning_rate=0.05, steps=40)
    for row in comparison.rows:
        measured = [measures(result) for result in comparison.runs[row["arm"]].values()]
        assert set(row) == {"arm", "outcomes", *measured[0]}
        for name in measured[0]:
            np.testing.assert_equal(row[name], spread([m[name] for m in measured]))
    assert comparison.rows[1]["mean_factor"].high <= 1
    record = json.loads(json.dumps(to_json(comparison.record()), allow_nan=False))
    assert record["reading"] == comparison.reading()
    assert record["seeds"] == [0, 1, 2]
    assert record["settings"] == {
        "scheme": "leashed", "workers": 2, "learning_rate": 0.05, "momentum": 0.0, "optimizer": "sgd", "steps": 40,
        "time_limit_s": None, "target_loss": None,
    }  # fmt: skip
    assert [(run["arm"], run["seed"]) for run in record["runs"]] == [
        (arm, seed) for arm in ("constant", "inverse") for seed in (0, 1, 2)
    ]
    for run in record["runs"]:
        metrics = comparison.runs[run["arm"]][run["seed"]].metrics
        assert run["metrics"]["last_loss"] == metrics["last_loss"]
        assert run["metrics"]["mean_factor"] == metrics["mean_factor"]
    assert record["table"][1]["final_loss"] == comparison.rows[1]["final_loss"]._asdict()
    assert record["table"][1]["test_accuracy"]["median"] is None  # a parabola has none


def test_nothing_but_the_step_size_differs_between_arms():
    # Left to itself one worker may take all 60 steps before the other has read: staleness 0 throughout.
    comparison = small(["constant", "tail:cdf=strict", "constant@tail:cdf=strict"], scheme=overtaken)
    for seed in (0, 1):
        runs = [comparison.runs[arm.label][seed] for arm in comparison.arms]
        assert len({run.execution.metadata["initial_params"] for run in runs}) == 1
        # The same batches: all of the first 61 but the one that the other worker held at the end.
        assert all(len(set(range(61)) - set(run.execution.ticket.tolist())) == 1 for run in runs)
        constant, strict, control = (run.execution.factor for run in runs)
        assert (constant == 1).all()
        assert (control == np.float32(strict.mean(dtype=np.float64))).all()
        assert len(set(strict.tolist())) > 1
    initial = [comparison.runs["constant"][seed].execution.metadata["initial_params"] for seed in (0, 1)]
    assert initial[0] != initial[1]


def test_ctrl_c_ends_a_comparison_and_keeps_what_was_run():
    seen = []

    def on_progress(arm, seed, progress):
        if (arm.label, seed) == ("tail", 1) and not seen:
            seen.append(progress)
            raise KeyboardInterrupt

    comparison = small(["constant", "tail"], (0, 1, 2), on_progress=on_progress, steps=None, time_limit_s=0.3)
    assert {label: sorted(by_seed) for label, by_seed in comparison.runs.items()} == {"constant": [0], "tail": [0, 1]}
    assert comparison.runs["tail"][1].outcome == "stopped"
    assert comparison.reading()
    assert json.loads(json.dumps(to_json(comparison.record()), allow_nan=False))["runs"][-1]["outcome"] == "stopped"


def test_ctrl_c_between_runs_keeps_what_was_run():
    loaded = []

    def problem(seed):
        loaded.append(seed)
        if len(loaded) == 3:
            raise KeyboardInterrupt
        return Task(seed)

    comparison = compare(problem, ["constant", "tail"], (0, 1), workers=2, learning_rate=0.05, steps=20)
    assert comparison.stopped
    assert [len(by_seed) for by_seed in comparison.runs.values()] == [1, 1]
    loaded[:] = [0, 0]
    with pytest.raises(KeyboardInterrupt):  # nothing to keep
        compare(problem, ["constant"], (0,), workers=2, learning_rate=0.05, steps=20)


@pytest.mark.parametrize("seeds", [(0, 1), (0,)])
def test_ctrl_c_while_a_run_is_saved_is_held_until_it_is(seeds):
    """Kind: an interruption that costs the run. It is not lost where no run comes after that one, either."""
    saved = []

    def on_result(arm, seed, result):
        signal.raise_signal(signal.SIGINT)
        saved.append(result)

    comparison = compare(
        Parabola,
        ["constant", "tail"][: len(seeds)],
        seeds,
        workers=2,
        learning_rate=0.05,
        steps=20,
        on_result=on_result,
    )
    assert comparison.stopped
    assert len(saved) == 1
    assert comparison.runs["constant"][0] is saved[0]


@pytest.mark.parametrize("outcome", ["finished", "diverged", "failed"])
def test_ctrl_c_while_a_run_is_concluded_ends_the_comparison_however_that_run_has_ended(outcome, monkeypatch):
    conclude = jasgd.training.trainer.conclude
    monkeypatch.setattr(
        jasgd.training.trainer, "conclude", lambda *args: (signal.raise_signal(signal.SIGINT), conclude(*args))[1]
    )

    def batches(ticket):
        if outcome == "failed" and ticket == 5:
            raise OSError("the disk is gone")
        return np.float32(np.nan if outcome == "diverged" and ticket == 5 else 1)

    def problem(seed):
        task = Parabola(seed)
        task.batches = batches
        return task

    comparison = compare(problem, ["constant", "tail"], (0, 1), workers=1, learning_rate=0.05, steps=20)
    assert comparison.stopped
    (run,) = comparison.runs["constant"].values()
    assert run.outcome == ("stopped" if outcome == "finished" else outcome)
    assert not comparison.runs["tail"]


def test_a_transformation_or_scheme_of_ones_own_reaches_the_runs():
    comparison = small(
        ["tail"], (0,), scheme="locked:reading=reference", momentum=0.5, law=jasgd.StalenessHistogram.window(7)
    )  # fmt: skip
    run = comparison.runs["tail"][0]
    assert run.execution.metadata["scheme"] == "locked(reading='reference')"
    assert run.opt_state[0].law.length == 7
    assert any(isinstance(node, optax.TraceState) for node in run.opt_state[1])
    assert comparison.settings["scheme"] == "locked(reading='reference')"


def test_a_run_that_fails_does_not_end_the_comparison():
    class Short(Parabola):
        def __init__(self, seed):
            super().__init__(seed)
            self.left = 10 if seed == 1 else 10**6

        def batches(self, ticket):
            if ticket >= self.left:
                raise OSError("the disk is full")
            return np.zeros(8, np.float32)

    comparison = compare(Short, ["constant", "tail"], (0, 1, 2), workers=2, learning_rate=0.05, steps=30)
    assert [row["outcomes"] for row in comparison.rows] == [{"finished": 2, "failed": 1}] * 2
    assert [row["final_loss"].count for row in comparison.rows] == [2, 2]
    assert "the disk is full" in comparison.runs["tail"][1].message
    assert "tail and constant cannot be compared, as not all of their runs ended" in comparison.reading()


def test_a_control_of_an_arm_that_applied_nothing_is_left_out():
    class Hopeless(Parabola):
        def loss_fn(self, params, batch):
            return super().loss_fn(params, batch) * jnp.nan

    comparison = compare(Hopeless, ["tail", "constant@tail"], (0, 1), workers=2, learning_rate=0.05, steps=5)
    assert sorted(comparison.runs["tail"]) == [0, 1]
    assert comparison.runs["constant@tail"] == {}
    assert comparison.rows == [{"arm": "tail", **comparison.rows[0]}, {"arm": "constant@tail", "outcomes": {}}]
    assert comparison.rows[0]["outcomes"] == {"diverged": 2}
    assert "nothing to compare" in comparison.reading()
    json.dumps(to_json(comparison.record()), allow_nan=False)


@pytest.mark.parametrize(
    ("arms", "seeds", "options", "message"),
    [
        ([], (0,), {}, "arms must be one or more, and each once, got none"),
        (["tail", " tail"], (0,), {}, "arms must be one or more, and each once, got tail, tail"),
        (["constant@tail"], (0,), {}, "constant@tail needs the arm tail"),
        (["inverse@tail"], (0,), {}, "a control is written constant@RULE, got 'inverse@tail'"),
        (["tail"], (), {}, "seeds must be one or more"),
        (["tail"], (1, 1), {}, r"each once, got \[1, 1\]"),
        (["tail"], (-1,), {}, "≥ 0"),
        (["tail"], (0.5,), {}, r"seeds must be one or more integers ≥ 0, and each once, got \[0.5\]"),
        (["tail"], (True,), {}, r"got \[True\]"),
        (
            ["tail", "constant@tail", Arm("twice", "constant", "constant@tail")],
            (0,),
            {},
            "twice needs the arm constant@tail, no control, whose mean step it takes; got tail, constant@tail, twice",
        ),
        (["constant", "tail:cdf=no"], (0,), {}, "cdf must be"),
        (["tail"], (0,), {"learning_rate": -1}, "learning_rate must be a finite number > 0, got -1"),
        (["tail"], (0,), {"optimizer": "lion"}, "optimizer must be sgd or adam, got 'lion'"),
        (["tail"], (0,), {"momentum": 1}, r"momentum must lie in \[0, 1\), got 1"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(arms, seeds, options, message):
    loaded = []

    def problem(seed):
        loaded.append(seed)
        return Task(seed)

    with pytest.raises(ValueError, match=message):
        compare(problem, arms, seeds, **{"workers": 2, "learning_rate": 0.05, "steps": 5} | options)
    assert loaded == []


def test_a_law_that_is_none_is_refused_before_anything_is_trained():
    with pytest.raises(TypeError, match="law must be a StalenessHistogram"):
        compare(pytest.fail, ["tail_published", "tail"], (0,), workers=2, learning_rate=0.05, steps=5, law=1024)


def runs_at(*lengths, **options):
    """Runs whose loss falls from 4 to nearly nothing after so many gradients."""
    return [result_of([4.0] * n + [0.01] * (200 - n), **options) for n in lengths]


def test_a_difference_is_claimed_only_where_the_ranges_lie_apart():
    apart = by_hand(constant=runs_at(60, 70, 80), tail=runs_at(30, 40, 50)).reading()
    assert "tail is ahead of constant, 60 (50–70) against 90 (80–100) updates to 5% of the initial loss" in apart
    assert "over 3 seeds, ranges lie apart by chance alone in 1 of 10" in apart
    behind = by_hand(constant=runs_at(30, 40, 50), tail=runs_at(60, 70, 80)).reading()
    assert "tail is behind constant" in behind
    overlap = by_hand(constant=runs_at(60, 70, 80), tail=runs_at(30, 40, 60)).reading()
    assert "tail shows no clear difference from constant" in overlap
    assert "by chance" not in overlap
    tie = by_hand(constant=runs_at(60, 70, 80), tail=runs_at(60, 70, 80)).reading()
    assert "no clear difference" in tie
    touching = by_hand(constant=runs_at(50, 70, 80), tail=runs_at(30, 40, 50)).reading()
    assert "no clear difference" in touching


def test_one_seed_claims_nothing():
    conclusion = by_hand(constant=runs_at(60), tail=runs_at(30)).reading()
    assert "no clear difference" in conclusion
    assert "one seed cannot tell a difference from chance" in conclusion


def test_a_rule_is_held_against_its_control_too():
    conclusion = by_hand(constant=runs_at(90, 91, 92), tail=runs_at(30, 31, 32), control=runs_at(20, 21, 22)).reading()
    assert "tail is ahead of constant" in conclusion
    assert "tail is behind constant@tail" in conclusion


def test_a_claim_says_where_staleness_differed_too():
    conclusion = by_hand(constant=runs_at(60, 70, 80, staleness=5), tail=runs_at(30, 40, 50, staleness=1)).reading()
    assert "tail is ahead of constant" in conclusion
    assert "though their staleness differed too (mean τ" in conclusion


def test_divergence_counts_as_infinite_loss_and_what_did_not_end_is_not_compared():
    fine = [result_of([4.0] * 30) for _ in range(3)]
    lost = [result_of([4.0] * 30, outcome=Outcome.DIVERGED) for _ in range(3)]
    comparison = by_hand(constant=lost, tail=fine)
    assert "tail is ahead of constant, 4 (4–4) against inf (inf–inf) as the final training loss" in comparison.reading()
    assert comparison.rows[0]["outcomes"] == {"diverged": 3}
    json.dumps(to_json(comparison.record()), allow_nan=False)
    failed = [result_of([4.0] * 30, outcome=Outcome.FAILED)] * 3
    assert "tail and constant cannot be compared" in by_hand(constant=failed, tail=fine).reading()
    partly = [result_of([1.0] * 30), *failed[:2]]
    assert "tail and constant cannot be compared, as not all" in by_hand(constant=fine, tail=partly).reading()
    assert "nothing to compare" in by_hand(tail=fine).reading()
    assert "nothing to compare" in by_hand(constant=[], tail=fine).reading()


def test_a_run_that_fell_fast_and_then_diverged_is_not_ahead():
    fast = runs_at(30, 31, 32, outcome=Outcome.DIVERGED)
    conclusion = by_hand(constant=runs_at(60, 70, 80), tail=fast).reading()
    assert "tail is behind constant, inf (inf–inf) against 90 (80–100) updates to 5%" in conclusion


def test_chance_is_told_by_the_runs_that_there_are():
    conclusion = by_hand(constant=runs_at(60, 70, 80), tail=runs_at(30, 40)).reading()
    assert "chance alone in 1 of 5" in conclusion  # of 10 ways to choose two of five, the lowest two or the highest two


def test_every_ordering_of_three_seeds_is_as_likely_by_chance_as_is_said():
    # Of all ways to give six different values to two arms of three, in how many do the ranges lie apart?
    ways = list(itertools.combinations(range(6), 3))
    apart = [w for w in ways if max(w) < min(set(range(6)) - set(w)) or min(w) > max(set(range(6)) - set(w))]
    assert len(ways) / len(apart) == math.comb(6, 3) // 2

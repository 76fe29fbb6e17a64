"""Comparisons: what is run, in which order, and what is said about it."""

import dataclasses
import json
import signal

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import overtaken
from support.problems import Parabola, Task
from support.results import by_hand, result_of

import jasgd
import jasgd.training.engines.carrying_out
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
        "epochs": None, "accumulate": 1, "time_limit_s": None, "target_loss": None,
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
    conclude = jasgd.training.engines.carrying_out.conclude
    monkeypatch.setattr(
        jasgd.training.engines.carrying_out,
        "conclude",
        lambda *args: (signal.raise_signal(signal.SIGINT), conclude(*args))[1],
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
    assert "Not all runs ended, so 1 seed had to be left out" in comparison.reading()


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


def runs_with(*losses, **options):
    """Runs that end at these training losses."""
    return [result_of([4.0] * 30 + [loss] * 100, **options) for loss in losses]


CONSTANT, LOWER, HIGHER = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5), (0.5, 0.6, 0.7, 0.8, 0.9, 1.0), (2.0, 2.1, 2.2, 2.3, 2.4, 2.5)


def test_a_claim_needs_both_the_constant_step_and_the_control():
    ahead = by_hand(constant=runs_with(*CONSTANT), tail=runs_with(*LOWER), control=runs_with(*CONSTANT)).reading()
    assert ahead.startswith("On by hand with 8 workers, leashed: tail is ahead of constant and of constant@tail: ")
    assert "its final training loss, median 0.75 against 1.25, is lower in 6 of 6 seeds (p = 0.031; -" in ahead
    alone = by_hand(constant=runs_with(*CONSTANT), tail=runs_with(*LOWER), control=runs_with(*LOWER)).reading()
    assert "shows no clear difference" in alone
    behind = by_hand(constant=runs_with(*CONSTANT), tail=runs_with(*HIGHER), control=runs_with(*HIGHER)).reading()
    assert "tail is behind constant: " in behind


def test_it_is_said_that_pairs_of_threads_share_no_execution():
    reading = by_hand(constant=runs_with(*CONSTANT), tail=runs_with(*LOWER)).reading()
    assert "share mini-batches and initial parameters, but not the execution" in reading


def test_a_claim_says_where_staleness_differed_too():
    stale, fresh = runs_with(*CONSTANT, staleness=5), runs_with(*LOWER, staleness=1)
    conclusion = by_hand(constant=stale, tail=fresh, control=stale).reading()
    assert "tail is ahead" in conclusion
    assert "Their staleness differed too: mean τ 0.99 against 4.88" in conclusion


def test_divergence_loses_and_what_did_not_end_is_not_compared():
    fine = runs_with(*CONSTANT)
    lost = runs_with(*CONSTANT, outcome=Outcome.DIVERGED)
    comparison = by_hand(constant=lost, tail=fine, control=lost)
    assert "tail is ahead of constant and of constant@tail" in comparison.reading()
    assert "Of its runs 0 diverged, of constant's 6" in comparison.reading()
    assert comparison.rows[0]["outcomes"] == {"diverged": 6}
    json.dumps(to_json(comparison.record()), allow_nan=False)
    failed = runs_with(*CONSTANT, outcome=Outcome.FAILED)
    assert "tail and constant cannot be compared" in by_hand(constant=failed, tail=fine).reading()
    partly = by_hand(constant=fine, tail=[*fine[:4], *failed[:2]]).reading()
    assert "Not all runs ended, so 2 seeds had to be left out" in partly
    assert "nothing to compare" in by_hand(tail=fine).reading()
    assert "nothing to compare" in by_hand(constant=[], tail=fine).reading()


def test_with_a_target_loss_the_updates_until_it_are_compared():
    """All runs end at about that loss, so it tells nothing of them."""
    slow = [result_of([4.0] * n, outcome=Outcome.CONVERGED) for n in range(60, 66)]
    fast = [result_of([4.0] * n, outcome=Outcome.CONVERGED) for n in (30, 31, 32, 33, 34)] + [result_of([4.0] * 99)]
    comparison = by_hand(constant=slow, tail=fast, control=slow)
    comparison = dataclasses.replace(comparison, settings=comparison.settings | {"target_loss": 0.1})
    assert "its number of updates to the target loss, median 32.5 against 62.5, is lower" in comparison.reading()
    assert "Of its runs 1 did not reach it, of constant's 0: such a run loses its pair" in comparison.reading()


def test_controls_are_added_where_a_claim_can_be_made():
    options = {"workers": 1, "learning_rate": 0.05, "steps": 5}
    few = compare(Parabola, ["constant", "tail"], range(5), **options)
    assert list(few.runs) == ["constant", "tail"]
    assert "fewer than 6" in few.reading()
    enough = compare(Parabola, ["constant", "tail"], range(6), **options)
    assert list(enough.runs) == ["constant", "tail", "constant@tail"]
    for seed in range(6):
        mean = enough.runs["tail"][seed].execution.factor.mean(dtype=np.float64)
        assert (enough.runs["constant@tail"][seed].execution.factor == np.float32(mean)).all()
    assert (
        "against constant@tail, a constant step of the same mean, E[C] = 1.00, after the start 1.00" in enough.reading()
    )

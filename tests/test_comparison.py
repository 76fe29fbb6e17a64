"""Specs, measures and comparisons: what is run, in which order, and what is said about it."""

import itertools
import json
import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import Task, moved

import jasgd
from jasgd import rules
from jasgd.comparison import Arm, Comparison, compare
from jasgd.execution import Execution, row_dtype
from jasgd.measures import measures, reached, smoothed, spread
from jasgd.result import Outcome, TrainResult, to_json
from jasgd.specs import parse_law, parse_rule, parse_scheme, parse_spec, transformation


def small(arms, seeds=(0, 1), **options):
    return compare(Task, arms, seeds, **{"workers": 2, "learning_rate": 0.05, "steps": 60} | options)


# --- specs


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("tail", ("tail", {})),
        (" tail : cdf = strict ", ("tail", {"cdf": "strict"})),
        ("a:b=1,c=1e-3,d=true,e=None", ("a", {"b": 1, "c": 0.001, "d": True, "e": None})),
    ],
)
def test_specs_are_split(text, wanted):
    assert parse_spec(text) == wanted


@pytest.mark.parametrize("text", ["tail:", "tail:cdf", "tail:=1", "tail:cdf=", "tail:a=1,a=2", "tail:a=1,"])
def test_specs_that_are_none_are_refused(text):
    with pytest.raises(ValueError, match="options are written name:key=value,key=value, each once"):
        parse_spec(text)


@pytest.mark.parametrize("name", rules.RULES)
def test_every_rule_has_a_text_and_what_the_run_knows_is_filled_in(name):
    needs = {
        "exponential": "beta=0.1", "threshold": "limit=4", "mishchenko": "smoothness=2", "koloskova": "smoothness=2",
        "adadelay": "smoothness=2",
    }  # fmt: skip
    try:
        rule = parse_rule(name, workers=4, learning_rate=0.1)
    except ValueError as error:
        assert "needs the options" in str(error)  # noqa: PT017
        rule = parse_rule(f"{name}:{needs[name]}", workers=4, learning_rate=0.1)
    tx = transformation(rule, learning_rate=0.1)
    updates, _ = tx.update(jnp.ones(()), tx.init(jnp.zeros(())), jnp.zeros(()), staleness=3)
    assert np.isfinite(updates)


def test_options_change_the_rule():
    def at_3(text):
        return float(parse_rule(text, workers=4, learning_rate=0.1)(3, jasgd.StalenessHistogram.from_staleness([1, 3])))

    assert at_3("tail") == 0.5
    assert at_3("tail:cdf=strict") == 1.0
    assert at_3("tail:amplitude=0.5") == 0.75
    assert at_3("inverse:normalized=true") == pytest.approx(0.25 / 0.375)


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_rule, "tale", "rule must be one of constant, .*, got 'tale'"),
        (parse_rule, "tail:amplitude=big", "rule 'tail:amplitude=big': "),
        (parse_rule, "tail:normalized=2", "normalized must be true or false, got 2"),
        (parse_scheme, "leashd", "scheme must be one of sequential, .*, got 'leashd'"),
        (parse_scheme, "leashed:workers=2", "has the options persistence, max_staleness; got 'workers'"),
        (parse_law, "windows", "law must be one of window, decay, cumulative, one_shot, got 'windows'"),
        (parse_law, "window:size=3", "law 'window' has the options length, bins, warm_up; got 'size'"),
        (parse_law, "window:length=0", "law 'window:length=0': length must be .*got 0"),
        (parse_law, "one_shot", "law 'one_shot': .*start"),
    ],
)
def test_a_text_that_names_nothing_says_what_is_allowed(parse, text, message):
    with pytest.raises(ValueError, match=message):
        parse(text, workers=2, learning_rate=0.1) if parse is parse_rule else parse(text)


def test_the_factor_stands_before_momentum_and_behind_adam():
    inverse = rules.inverse()
    assert moved(transformation(inverse, learning_rate=1, momentum=0.9)) == pytest.approx(-(0.25 + 0.225 + 1))
    assert moved(transformation(inverse, learning_rate=1, optimizer="adam"), (3,)) == pytest.approx(-0.25, abs=1e-4)


# --- measures


def result_of(losses, *, outcome=Outcome.FINISHED, factor=1.0, staleness=0, evaluations=(), rate=100.0):
    rows = np.zeros(len(losses), row_dtype(dropped=False))
    rows["version"] = np.arange(len(losses))
    rows["version_read"] = np.maximum(rows["version"] - staleness, 0)
    rows["staleness"] = rows["version"] - rows["version_read"]
    rows["ticket"], rows["loss"], rows["factor"], rows["tries"] = rows["version"], losses, factor, 1
    rows["time_s"] = (1 + rows["version"]) / rate
    execution = Execution.from_rows(rows, np.zeros(0, row_dtype(dropped=True)), {"workers": 1, "in_flight": []})
    return TrainResult(
        {}, (), execution, outcome, "by hand", list(evaluations), {}, {}, float(len(losses) / rate)
    )  # fmt: skip


def test_a_loss_is_smoothed_over_twenty_gradients():
    losses = np.arange(30, dtype=np.float32)
    means = smoothed(losses)
    assert np.isnan(means[:19]).all()
    assert means[19:].tolist() == [np.mean(range(i - 19, i + 1)) for i in range(19, 30)]
    assert np.isnan(smoothed(losses[:19])).all()


def test_a_share_is_reached_where_the_smoothed_loss_first_is_that_low():
    # Initial loss 4; from gradient 30 on the loss is 1, so that 20 of them have a mean of 1 at the 50th.
    execution = result_of([4.0] * 30 + [1.0] * 40).execution
    assert reached(execution, 0.25) == (50, 0.5)
    assert reached(execution, 1.0) == (20, 0.2)
    assert all(map(math.isnan, reached(execution, 0.2)))
    assert all(map(math.isnan, reached(result_of([]).execution, 0.5)))


def test_the_initial_loss_is_that_of_all_gradients_on_the_initial_parameters():
    rows = result_of([2.0, 6.0] + [2.0] * 40, staleness=1).execution
    assert rows.version_read[:2].tolist() == [0, 0]
    assert reached(rows, 0.54)[0] == 22  # of a mean of 4; until then the 6 is among the last twenty


def test_a_diverged_run_counts_as_infinite_and_a_failed_one_not_at_all():
    assert measures(result_of([3.0] * 30, outcome=Outcome.DIVERGED))["final_loss"] == math.inf
    assert math.isnan(measures(result_of([3.0] * 30, outcome=Outcome.FAILED))["final_loss"])
    assert math.isnan(measures(result_of([3.0] * 30, outcome=Outcome.STOPPED))["final_loss"])
    told = measures(result_of([3.0] * 30, evaluations=[{"loss": 1.0, "accuracy": 0.75, "time_s": 1, "version": 9}]))
    assert (told["final_loss"], told["test_accuracy"], told["updates_per_s"]) == (3.0, 0.75, pytest.approx(100))


def test_a_spread_leaves_out_what_has_no_value_and_keeps_infinity():
    assert spread([math.nan, 2.0, math.inf, 1.0]) == (2.0, 1.0, math.inf, 3, 4)
    assert spread([math.nan])[3:] == (0, 1)


# --- comparisons


@pytest.mark.newest
def test_seeds_are_the_outer_loop_and_arms_take_turns_with_controls_behind_their_arm():
    order = []
    arms = ["constant", "constant@tail", "tail", "inverse"]
    told = small(arms, (3, 5, 7), on_result=lambda arm, seed, result: order.append((seed, arm.label)))
    assert [seed for seed, _ in order] == [3] * 4 + [5] * 4 + [7] * 4
    for seed in (3, 5, 7):
        assert sorted(arm for s, arm in order if s == seed) == sorted(arms)
        assert order.index((seed, "tail")) < order.index((seed, "constant@tail"))
    firsts = [next(arm for s, arm in order if s == seed) for seed in (3, 5, 7)]
    assert len(set(firsts)) > 1
    assert [row["arm"] for row in told.rows] == arms
    assert all(row["outcomes"] == {"finished": 3} for row in told.rows)


@pytest.mark.newest
def test_nothing_but_the_step_size_differs_between_arms():
    told = small(["constant", "tail:cdf=strict", "constant@tail:cdf=strict"])
    for seed in (0, 1):
        runs = [told.runs[arm.label][seed] for arm in told.arms]
        assert len({run.execution.metadata["initial_params"] for run in runs}) == 1
        # The same batches: all of the first 61 but the one that the other worker held at the end.
        assert all(len(set(range(61)) - set(run.execution.ticket.tolist())) == 1 for run in runs)
        constant, strict, control = (run.execution.factor for run in runs)
        assert (constant == 1).all()
        assert (control == np.float32(strict.mean(dtype=np.float64))).all()
        assert len(set(strict.tolist())) > 1
    initial = [told.runs["constant"][seed].execution.metadata["initial_params"] for seed in (0, 1)]
    assert initial[0] != initial[1]


def test_ctrl_c_ends_a_comparison_and_keeps_what_was_run():
    seen = []

    def on_progress(arm, seed, progress):
        if (arm.label, seed) == ("tail", 1) and not seen:
            seen.append(progress)
            raise KeyboardInterrupt

    told = small(["constant", "tail"], (0, 1, 2), on_progress=on_progress, steps=None, time_limit_s=0.3)
    assert {label: sorted(by_seed) for label, by_seed in told.runs.items()} == {"constant": [0], "tail": [0, 1]}
    assert told.runs["tail"][1].outcome == "stopped"
    assert told.reading()
    assert json.loads(json.dumps(to_json(told.record()), allow_nan=False))["runs"][-1]["outcome"] == "stopped"


def test_ctrl_c_between_runs_keeps_what_was_run():
    loaded = []

    def problem(seed):
        loaded.append(seed)
        if len(loaded) == 3:
            raise KeyboardInterrupt
        return Task(seed)

    told = compare(problem, ["constant", "tail"], (0, 1), workers=2, learning_rate=0.05, steps=20)
    assert told.stopped
    assert [len(by_seed) for by_seed in told.runs.values()] == [1, 1]
    loaded[:] = [0, 0]
    with pytest.raises(KeyboardInterrupt):  # nothing to keep
        compare(problem, ["constant"], (0,), workers=2, learning_rate=0.05, steps=20)


def test_a_transformation_or_scheme_of_ones_own_reaches_the_runs():
    told = small(
        ["tail"], (0,), scheme="locked:reading=reference", momentum=0.5, law=jasgd.StalenessHistogram.window(7)
    )  # fmt: skip
    run = told.runs["tail"][0]
    assert run.execution.metadata["scheme"] == "locked(reading='reference')"
    assert run.opt_state[0].law.length == 7
    assert any(isinstance(node, optax.TraceState) for node in run.opt_state[1])
    assert told.settings["scheme"] == "locked(reading='reference')"


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


def by_hand(**arms):
    """A comparison of runs that are made by hand: for each arm a list of results, by seed."""
    settings = {"workers": 8, "scheme": "leashed"}
    labels = {name.replace("control", "constant@tail"): results for name, results in arms.items()}
    runs = {label: dict(enumerate(results)) for label, results in labels.items()}
    parsed = tuple(Arm.parse(label) for label in labels)
    return Comparison("by hand", parsed, tuple(range(3)), settings, runs)


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
    touching = by_hand(constant=runs_at(50, 70, 80), tail=runs_at(30, 40, 50)).reading()
    assert "no clear difference" in touching


def test_one_seed_claims_nothing():
    told = by_hand(constant=runs_at(60), tail=runs_at(30)).reading()
    assert "no clear difference" in told
    assert "one seed cannot tell a difference from chance" in told


def test_a_rule_is_held_against_its_control_too():
    told = by_hand(constant=runs_at(90, 91, 92), tail=runs_at(30, 31, 32), control=runs_at(20, 21, 22)).reading()
    assert "tail is ahead of constant" in told
    assert "tail is behind constant@tail" in told


def test_a_claim_says_where_staleness_differed_too():
    told = by_hand(constant=runs_at(60, 70, 80, staleness=5), tail=runs_at(30, 40, 50, staleness=1)).reading()
    assert "tail is ahead of constant" in told
    assert "though their staleness differed too (mean τ" in told


def test_divergence_counts_as_infinite_loss_and_what_did_not_end_is_not_compared():
    fine = [result_of([4.0] * 30) for _ in range(3)]
    lost = [result_of([4.0] * 30, outcome=Outcome.DIVERGED) for _ in range(3)]
    told = by_hand(constant=lost, tail=fine)
    assert "tail is ahead of constant, 4 (4–4) against inf (inf–inf) as the final training loss" in told.reading()
    assert told.rows[0]["outcomes"] == {"diverged": 3}
    json.dumps(to_json(told.record()), allow_nan=False)
    failed = [result_of([4.0] * 30, outcome=Outcome.FAILED)] * 3
    assert "tail and constant cannot be compared" in by_hand(constant=failed, tail=fine).reading()
    partly = [result_of([1.0] * 30), *failed[:2]]
    assert "tail and constant cannot be compared, as not all" in by_hand(constant=fine, tail=partly).reading()
    assert "nothing to compare" in by_hand(tail=fine).reading()
    assert "nothing to compare" in by_hand(constant=[], tail=fine).reading()


def test_a_run_that_fell_fast_and_then_diverged_is_not_ahead():
    fast = runs_at(30, 31, 32, outcome=Outcome.DIVERGED)
    told = by_hand(constant=runs_at(60, 70, 80), tail=fast).reading()
    assert "tail is behind constant, inf (inf–inf) against 90 (80–100) updates to 5%" in told


def test_chance_is_told_by_the_runs_that_there_are():
    told = by_hand(constant=runs_at(60, 70, 80), tail=runs_at(30, 40)).reading()
    assert "chance alone in 1 of 5" in told  # of 10 ways to choose two of five, the lowest two or the highest two


def test_every_ordering_of_three_seeds_is_as_likely_by_chance_as_is_said():
    # Of all ways to give six different values to two arms of three, in how many do the ranges lie apart?
    ways = list(itertools.combinations(range(6), 3))
    apart = [w for w in ways if max(w) < min(set(range(6)) - set(w)) or min(w) > max(set(range(6)) - set(w))]
    assert len(ways) / len(apart) == math.comb(6, 3) // 2

"""Rules by distance in text: one spelling at every door, their controls, and runs of the command line."""

import json

import optax
import pytest

import jasgd
from jasgd import problems
from jasgd.cli.main import main
from jasgd.cluster import Cluster, gamma
from jasgd.distances.table import canonical_step_rule, options_of, parse_step_rule
from jasgd.experiments.recipe import transformation


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("distance:tail", "distance:tail"),
        (" distance : tail : window = 9 , amplitude=0.5 ", "distance:tail:amplitude=0.5,window=9"),
        ("distance:parabola:kappa=1,measure=path", "distance:parabola:kappa=1,measure=path"),
        ("distance:measured_parabola", "distance:measured_parabola"),
        ("tail: cdf=strict", "tail:cdf=strict"),
    ],
)
def test_a_text_has_one_form_and_it_is_read_back(text, form):
    assert canonical_step_rule(text) == canonical_step_rule(form) == form
    assert repr(parse_step_rule(text)) == repr(parse_step_rule(form))
    arm = jasgd.Arm.parse(f"constant@{text}")
    assert (arm.label, arm.rule, arm.mean_of) == (f"constant@{form}", "constant", form)


def test_options_in_the_text_are_those_of_the_transformation():
    rule = parse_step_rule("distance:parabola:kappa=0.5,window=9,measure=path")
    assert (repr(rule.rule), rule.window, rule.measure) == ("parabola(kappa=0.5)", 9, "path")
    assert jasgd.distance_adaptive(rule).init(()).law.length == jasgd.distance_adaptive(rule).init(()).steps.length == 9
    assert jasgd.distance_adaptive(rule, window=5, measure="distance").init(()).law.length == 5
    assert options_of("distance:parabola") == {"kappa"}
    assert options_of("distance:tail") == options_of("tail") == {"amplitude", "cdf"}


@pytest.mark.parametrize(
    "text", ["distance", "distance:", "distance:tale", "distance:tail:kappa=1", "distance:inverse"]
)
def test_what_is_no_rule_by_distance_is_refused(text):
    with pytest.raises(ValueError, match="rule"):
        parse_step_rule(text)


def test_behind_adam_the_measured_parabola_is_refused_and_the_others_are_not():
    with pytest.raises(ValueError, match=r"optimizer must be sgd for measured_parabola\(\)"):
        transformation(parse_step_rule("distance:measured_parabola"), learning_rate=0.1, optimizer="adam")
    assert transformation(parse_step_rule("distance:tail"), learning_rate=0.1, optimizer="adam")


def test_a_sweep_has_them_as_arms_and_their_controls_take_their_mean_step():
    spectrum = jasgd.sweep(
        lambda seed: problems.load("digits", seed=seed),
        ["constant", "distance:tail", "constant@distance:tail"],
        [1000],
        workers=[4], clusters={"one": Cluster(compute_s=gamma(1.0, 4.0))}, learning_rates=[0.05], steps=60,
    )  # fmt: skip
    means = {row["arm"]: row["mean_factor"].median for row in spectrum.rows}
    assert means["constant"] == 1.0 != means["distance:tail"]
    assert means["constant@distance:tail"] == pytest.approx(means["distance:tail"], rel=1e-6)


def test_train_runs_one_shows_its_mean_step_and_replays_it(capsys, tmp_path):
    options = ["--rule", "distance:measured_parabola:window=16", "--workers", "3", "--steps", "60", "--no-plots"]
    assert main(["train", *options, "--json", "--quiet", "--out", str(tmp_path / "run")]) == 0
    printed = json.loads(capsys.readouterr().out)
    factors = jasgd.TrainResult.load(tmp_path / "run").execution.factor
    assert len(set(factors.tolist())) > 1
    assert printed["metrics"]["mean_factor"] == pytest.approx(factors.mean(), rel=1e-6)
    assert main(["replay", str(tmp_path / "run")]) == 0


@pytest.mark.parametrize("rule", ["tail", "measured_parabola", "parabola:measure=path"])
def test_a_run_that_goes_on_from_a_checkpoint_has_the_bits_of_one_that_was_not_stopped(tmp_path, rule):
    problem = problems.load("digits", seed=1000)
    tx = optax.chain(jasgd.distance_adaptive(rule, window=16), optax.sgd(0.05, momentum=0.5))

    def train(steps, **options):
        return jasgd.train(
            problem.loss_fn, problem.params, tx, problem.batches, scheme="locked", workers=1, steps=steps, **options
        )

    train(20, checkpoint=jasgd.Checkpoints(tmp_path / "kept", every_steps=5))
    result, whole = train(50, resume=tmp_path / "kept"), train(50)
    assert result.execution.loss.tobytes() == whole.execution.loss.tobytes()
    assert result.execution.factor.tobytes() == whole.execution.factor.tobytes()
    assert jasgd.replay(result, problem.loss_fn, tx, problem.batches).exact

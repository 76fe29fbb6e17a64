"""Audits of whole runs: what is measured is the truth, the result comes first, and what is assumed is said."""

from __future__ import annotations

import dataclasses
import json
import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
import theory
from jasgd import cluster
from theory.decisions.verdict import Verdict
from theory.verify import main

STEPS, RATE, START = 120, 0.25, 1.0


def loss_fn(x, noise):
    return jnp.sum(x**2) + jnp.sum(noise * x)  # L = μ = 2


def quiet(ticket):
    return np.zeros(1, np.float32)


def noisy(ticket):
    return np.random.default_rng(ticket).normal(0, 0.5, 1).astype(np.float32)


def trained(batches=quiet, **more):
    tx = optax.sgd(RATE, **more)
    result = jasgd.train(loss_fn, jnp.full(1, START), tx, batches, scheme="sequential", workers=1, steps=STEPS)
    return result, loss_fn, tx, batches


@pytest.fixture(scope="module")
def falling():
    """A run without noise: x_k = 2⁻ᵏ, so the squared gradients 4·4⁻ᵏ fall steeply, and their sum is 16/3."""
    return trained()


def remark(audit, name):
    (match,) = [one for one in audit.remarks if one.name == name]
    return match


def test_what_is_measured_of_a_run_that_falls_steeply_does_not_contradict_the_bound(falling):
    audit = theory.audit(*falling, smoothness=2.0, noise=0.0, gap=1.0, distance=1.0, mu=2.0 * (1 - 1e-9), infimum=0.0)
    for letter in "EH":
        numbers = remark(audit, f"Theorem {letter}, non-convex").numbers
        assert numbers["measured"] == pytest.approx(16 / 3 / STEPS, rel=1e-5)
        assert numbers["error"] == 0
        assert numbers["bound"] == pytest.approx(2 / (RATE * STEPS), rel=1e-4)
        assert remark(audit, f"Theorem {letter}, convex").numbers["measured"] == pytest.approx(4 / 3 / STEPS, rel=1e-5)
        assert remark(audit, f"Theorem {letter}, Polyak-Łojasiewicz").numbers["measured"] < 1e-30
    assert {one.result for one in audit.comparisons} == {"within"}
    # A trapezoid over six versions, of which one is the steep start, would be six times the bound.
    versions = np.linspace(0, STEPS, 6)
    assert np.trapezoid(4 * 4.0**-versions, versions) / STEPS > 5 * numbers["bound"]


def test_the_result_is_the_first_sentence_then_the_table(falling):
    audit = theory.audit(*falling, smoothness=2.0, noise=0.0, gap=1.0, infimum=0.0)
    lines = audit.text().splitlines()
    sentence = (
        "The step conditions of Theorems E and H hold for this run, and what was measured is within their bounds."
    )
    assert lines[0] == audit.summary == sentence
    assert lines[1] == "sequential, 1 workers, 120 commits"
    assert lines[2].split() == ["theorem", "condition", "bound", "measured", "result"]
    assert lines[3].split() == ["E,", "non-convex", "holds", "0.0667", "0.0444", "±", "0", "within"]
    record = json.loads(json.dumps(audit.record(), allow_nan=False))
    assert record["summary"] == sentence
    row = ["H, non-convex", "holds", "0.0667", "0.0444 ± 0", "within"]
    assert list(record["bounds"][1].values()) == row


def test_a_gap_that_is_too_small_is_seen_where_there_is_no_noise(falling):
    audit = theory.audit(*falling, smoothness=2.0, noise=0.0, gap=0.5, infimum=0.0)
    assert {one.result for one in audit.comparisons} == {"above"}
    assert "above the bound of E (non-convex), H (non-convex), so an assumption or a number is wrong." in audit.summary


def test_an_infimum_that_is_assumed_is_said_wherever_it_matters(falling):
    assumed = theory.audit(*falling, smoothness=2.0, noise=0.0, distance=1.0)
    assert "with inf f = 0, which is assumed, as infimum was not given" in remark(assumed, "estimates").text
    for form in ("non-convex", "convex"):
        assert "assuming inf f = 0" in remark(assumed, f"Theorem E, {form}").text
    assert "assuming inf f = 0" in assumed.summary
    given = theory.audit(*falling, smoothness=2.0, noise=0.0, distance=1.0, infimum=0.0)
    assert "assum" not in given.text().replace("assumed: ", "").replace("assumptions", "")
    # By a gap the infimum is known as well, so that nothing needs to be assumed.
    by_gap = theory.audit(*falling, smoothness=2.0, noise=0.0, distance=1.0, gap=1.0)
    assert "assuming" not in by_gap.text()
    assert remark(by_gap, "Theorem E, convex").numbers["measured"] == pytest.approx(4 / 3 / STEPS, rel=1e-5)


def test_a_loss_below_the_infimum_is_said_and_no_gap_is_made_of_it(falling):
    audit = theory.audit(*falling, smoothness=2.0, noise=0.0, infimum=0.5)
    assert "below inf f = 0.5, as given" in remark(audit, "infimum").text
    assert audit.comparisons == ()
    assert audit.summary.startswith("No theorem could be held against this run: the loss at the last parameters is")


def test_momentum_is_said_first_whatever_the_run_was_given_as():
    audit = theory.audit(
        *trained(momentum=0.5), learning_rate=RATE, optimizer="sgd", smoothness=2.0, noise=0.0, gap=1.0
    )
    assert audit.text().startswith("The theorems do not apply to this run, which was not plain SGD.")
    assert remark(audit, "plain SGD").verdict is audit.verdict is Verdict.REFUTED
    assert audit.comparisons == ()
    assert not [one for one in audit.remarks if one.name.startswith("Theorem")]


def test_gradients_with_noise_are_measured_with_their_error():
    result, *rest = trained(noisy)
    audit = theory.audit(result, *rest, smoothness=2.0, noise=0.5, infimum=0.0)
    assert remark(audit, "replay").verdict is Verdict.PROVED
    numbers = remark(audit, "Theorem E, non-convex").numbers
    x, total = START, 0.0
    for k in range(STEPS):
        total += (2 * x) ** 2
        x -= RATE * (2 * x + float(noisy(int(result.execution.ticket[k]))[0]))
    assert 0 < abs(numbers["measured"] - total / STEPS) < 3 * numbers["error"] < total / STEPS
    again = theory.audit(result, *rest, smoothness=2.0, noise=0.5, infimum=0.0)
    assert again.record() == audit.record()
    assert theory.audit(result, *rest, smoothness=2.0, noise=0.5, infimum=0.0, seed=1).record() != audit.record()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["learning_rate", "smoothness", "noise", "gap", "distance", "mu", "infimum"])
def test_numbers_that_are_not_finite_are_refused_by_name(name, value):
    execution = cluster.generate(cluster.Cluster(compute_s=1.0), scheme="leashed", workers=2, steps=60)
    with pytest.raises(ValueError, match=f"{name} must be a finite number, got {value:g}"):
        theory.audit(execution, **{name: value})


@pytest.mark.parametrize("option", ["learning-rate", "L", "sigma", "delta", "distance", "mu", "infimum"])
def test_options_that_are_not_finite_are_refused_by_name(option, tmp_path, capsys):
    for value in ("nan", "inf"):
        assert main(["--execution", str(tmp_path), f"--{option}={value}"]) == 3
        assert f"--{option} must be a finite number, got {value}" in capsys.readouterr().err


@pytest.mark.parametrize(("column", "value"), [("loss", math.nan), ("loss", math.inf), ("factor", math.nan)])
def test_a_record_that_is_not_finite_is_refused_by_row(falling, column, value):
    result, *rest = falling
    values = getattr(result.execution, column).copy()
    values[7] = value
    altered = dataclasses.replace(result, execution=result.execution.replaced(**{column: values}))
    with pytest.raises(ValueError, match=rf"{column} must be finite in a run that is audited, got {value} in row 7 \("):
        theory.audit(altered, *rest, smoothness=2.0)
    with pytest.raises(ValueError, match=f"{column} must be finite"):
        theory.audit(altered.execution, smoothness=2.0)


def test_batches_that_can_be_gone_through_once_are_refused(falling):
    result, loss_fn, tx, _ = falling
    with pytest.raises(ValueError, match="batches must be a function of a ticket, a list or a loader, got an iterator"):
        theory.audit(result, loss_fn, tx, iter([quiet(0)] * STEPS))

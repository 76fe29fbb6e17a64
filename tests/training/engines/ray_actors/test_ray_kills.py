"""Processes of a run on Ray that die: nothing is applied twice, no ticket is missing, and the record replays."""

import dataclasses
import random

import pytest
from support.ray_runs import ENGINE, Drawn, Evaluated, Gated, check_record, killing, train

import jasgd

pytestmark = pytest.mark.usefixtures("ray")
TICKETS = 300
FULL = [pytest.param(number, marks=pytest.mark.full) for number in range(20)]


@pytest.mark.parametrize("scheme", ["leashed", "synchronous"])
def test_a_worker_that_dies_is_begun_anew(tmp_path, scheme):
    batches = Drawn(TICKETS, deadly=[40], folder=tmp_path)
    result = train(batches, scheme=scheme, epochs=1)
    check_record(result, batches)
    assert (tmp_path / "ticket-40").exists()
    assert result.execution.metadata["restarts"] == 1
    assert "died and was begun anew" in result.message


@pytest.mark.parametrize("scheme", ["leashed", "locked"])
def test_a_server_that_dies_goes_on_from_its_last_checkpoint(tmp_path, scheme):
    batches = Drawn(TICKETS)
    result = train(
        batches, scheme=scheme, epochs=1, checkpoint=jasgd.Checkpoints(tmp_path / "checkpoints", every_steps=10),
        evaluate=Evaluated(tmp_path, dies=True, after=tmp_path / "checkpoints"), evaluate_every_steps=60,
    )  # fmt: skip
    check_record(result, batches)
    assert (tmp_path / "died").exists()
    assert result.execution.metadata["restarts"] == 1
    assert 0 <= result.execution.metadata["orphaned"] <= result.execution.metadata["workers"]
    assert "the server died and was begun anew from its last checkpoint" in result.message
    times = [evaluation["time_s"] for evaluation in result.evaluations]
    assert times == sorted(times)


def test_a_server_that_dies_without_checkpoints_ends_the_run_by_name(tmp_path):
    result = train(
        Drawn(TICKETS), scheme="sequential", workers=1, epochs=1, throw=False,
        evaluate=Evaluated(tmp_path, dies=True), evaluate_every_steps=20,
    )  # fmt: skip
    assert result.outcome == "failed"
    assert "the server's process died, and without checkpoint= there is nothing to go on from" in result.message


def test_a_worker_that_cannot_be_begun_anew_is_left_out(tmp_path):
    batches = Drawn(TICKETS, deadly=[40], folder=tmp_path)
    result = train(batches, epochs=1, engine=dataclasses.replace(ENGINE, restarts=0))
    assert "died, and all 0 restarts were taken" in result.message
    check_record(result, batches)


@pytest.mark.parametrize("number", FULL)
@pytest.mark.parametrize("kind", ["worker", "server"])
def test_a_process_that_is_killed_at_any_moment_costs_no_gradient(tmp_path, kind, number):
    chance = random.Random(f"{kind} {number}")
    scheme = chance.choice(["leashed", "locked", "synchronous", "hogwild", "leashed:max_staleness=1"])
    batches = Gated(TICKETS, folder=tmp_path)
    thread = killing(tmp_path, kind, chance.random() * 0.3)
    result = train(
        batches, scheme=scheme, epochs=1, checkpoint=jasgd.Checkpoints(tmp_path / "checkpoints", every_steps=10),
        evaluate=Evaluated(tmp_path), evaluate_every_steps=15,
    )  # fmt: skip
    thread.join(130)
    assert (tmp_path / "killed").exists()
    check_record(result, batches)
    assert result.execution.metadata["restarts"] == 1

"""Processes of a run on Ray that die: nothing is applied twice, no ticket is missing, and the record replays."""

import pytest
from support.ray_runs import ENGINE, Drawn, Evaluated, check_record, train

import jasgd

pytestmark = pytest.mark.usefixtures("ray")
TICKETS = 300


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
    folder = tmp_path / "checkpoints"
    result = train(
        batches, scheme=scheme, epochs=1, checkpoint=jasgd.Checkpoints(folder, every_steps=10),
        evaluate=Evaluated(tmp_path, ["a"]), evaluate_every_steps=60,
    )  # fmt: skip
    check_record(result, batches)
    assert (tmp_path / "server-a").exists()
    assert "the server died and was begun anew from its last checkpoint" in result.message
    times = [evaluation["time_s"] for evaluation in result.evaluations]
    assert times == sorted(times)


def test_a_server_that_dies_without_checkpoints_ends_the_run_by_name(tmp_path):
    result = train(Drawn(TICKETS), epochs=1, throw=False, evaluate=Evaluated(tmp_path, ["a"]), evaluate_every_steps=20)
    assert result.outcome == "failed"
    assert "the server's process died, and without checkpoint= there is nothing to go on from" in result.message


@pytest.mark.parametrize("scheme", ["synchronous", "leashed"])
def test_a_worker_that_cannot_be_begun_anew_is_left_out_or_ends_the_run(tmp_path, scheme):
    import dataclasses

    batches = Drawn(TICKETS, deadly=[40], folder=tmp_path)
    engine = dataclasses.replace(ENGINE, restarts=0)
    result = train(batches, scheme=scheme, epochs=1, throw=False, engine=engine)
    assert "died, and all 0 restarts were taken" in result.message
    if scheme == "synchronous":
        assert result.outcome == "failed"
    else:
        check_record(result, batches)

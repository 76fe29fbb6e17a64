"""Schemes of a user's own: those that misbehave are named, and a run with them ends."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.training_runs import train

import jasgd
from jasgd.core.scheme import unwatched
from jasgd.schemes import Leashed
from jasgd.testing import logged, watched


def test_a_scheme_whose_close_raises_does_not_keep_the_run_going():
    class Stubborn(Leashed):
        def close(self, reason):
            super().close(reason)
            raise RuntimeError("cannot close")

    result = train(scheme=Stubborn)
    assert result.execution.commits == 40
    assert not result.stuck


def test_a_scheme_that_sends_every_worker_home_fails_the_run():
    class Closing(Leashed):
        def read(self, worker):
            if self.snapshot().version >= 10:
                raise jasgd.schemes.Closed("enough")
            return super().read(worker)

    result = train(scheme=Closing, steps=1000)
    assert result.outcome == "failed"
    assert "every worker ended" in result.message
    assert result.execution.commits >= 10


@pytest.mark.parametrize("workers", [1, 3])
def test_a_scheme_that_commits_and_never_advances_is_stopped_and_named(workers):
    class Standing(Leashed):
        name = "standing"

        def commit(self, gradient):
            return self._ledger.record_applied(gradient, 0, 0, 1.0)

    result = train(scheme=Standing, workers=workers)
    assert result.outcome == "failed"
    assert "the scheme 'standing' does not advance its version" in result.message
    assert "100 gradients in a row" in result.message
    assert len(result.execution) <= 100 * workers


def test_a_scheme_whose_workers_give_several_gradients_to_a_version_trains():
    class Buffering(Leashed):
        """Applies every tenth gradient, in the name of them all."""

        def commit(self, gradient):
            with self._swap_mutex:
                version = self._current.version
                self._held = [*getattr(self, "_held", []), gradient]
                if len(self._held) == 10:
                    self._current, self._held = self._current._replace(version=version + 1), []
                return self._ledger.record_applied(gradient, version, version - gradient.view.version, 1.0)

    result = train(scheme=Buffering, workers=1)
    assert result.outcome == "finished"
    assert result.execution.commits == 40


@pytest.mark.parametrize("returned", [None, "done"])
def test_a_scheme_whose_commit_returns_nothing_of_use_is_named(returned):
    class Silent(Leashed):
        name = "silent"

        def commit(self, gradient):
            super().commit(gradient)
            return returned

    result = train(scheme=Silent)
    assert result.outcome == "failed"
    message = f"commit of the scheme 'silent' must return Committed or Dropped, got {type(returned).__name__}"
    assert message in result.message
    assert isinstance(result.error, TypeError)


def test_an_execution_that_cannot_have_happened_fails_the_run_and_names_the_scheme():
    class Forgetful(Leashed):
        """Writes no row for version 7."""

        name = "forgetful"

        def __init__(self, setup):
            super().__init__(setup)
            self._ledger.record_applied = self._applied

        def _applied(self, gradient, version, *rest):
            if version == 7:
                return jasgd.schemes.Committed(version, *rest[:2], 1)
            return type(self._ledger).record_applied(self._ledger, gradient, version, *rest)

    result = train(scheme=Forgetful, workers=1)
    assert result.outcome == "failed"
    assert result.message == (
        "the scheme 'forgetful' has recorded what cannot have happened: row 7: version 8 does not follow the version "
        "of the row before; all 40 steps were taken"
    )
    assert isinstance(result.error, jasgd.ExecutionError)
    assert np.isfinite(result.params).all()
    with pytest.raises(jasgd.TrainingError, match="forgetful"):
        train(scheme=Forgetful, workers=1, throw=True)


def test_a_scheme_s_counter_and_an_evaluation_leave_the_metrics_their_names():
    class Counting(Leashed):
        @property
        def counters(self):
            return {"updates": -1, "waits": 3, "bytes": 5}

    result = train(scheme=Counting, evaluate=lambda w: {"loss": 0.5, "duration_s": -1.0, "waits": -1.0})
    metrics = result.metrics
    assert (metrics["updates"], metrics["waits"], metrics["bytes"], metrics["loss"]) == (40, 3, 5, 0.5)
    assert metrics["duration_s"] == result.duration_s
    assert result.counters["updates"] == -1


def test_a_reason_to_drop_that_is_none_is_named():
    class Picky(Leashed):
        def commit(self, gradient):
            return self._ledger.record_dropped(gradient, gradient.view.version, 0, 1, "too slow")

    result = train(scheme=Picky)
    assert result.outcome == "failed"
    assert "reason must be one of stale, contended, got 'too slow'" in result.message


def test_aux_of_a_ticket_that_nobody_drew_does_not_hide_what_went_wrong():
    class Renaming(Leashed):
        name = "renaming"

        def commit(self, gradient):
            gradient.ticket = 7_000
            return super().commit(gradient)

    result = jasgd.train(
        lambda w, b: (jnp.sum(w**2), {"x": 1.0}), jnp.zeros(3), optax.sgd(0.1), lambda ticket: 0.0, scheme=Renaming,
        workers=1, steps=5, has_aux=True, throw=False,
    )  # fmt: skip
    assert "row 1: ticket 7000 was applied before" in result.message
    assert result.aux == {}


def test_a_scheme_that_is_watched_and_logged_keeps_its_name_in_the_record():
    scheme = jasgd.schemes.leashed(persistence=3)
    events = []
    for wrapped in (watched(scheme, unwatched), logged(scheme, events), logged(watched(scheme, unwatched), events)):
        assert train(scheme=wrapped).execution.metadata["scheme"] == "leashed(persistence=3)"
    assert jasgd.schemes.describe(watched(Leashed, unwatched)) == "leashed"


def test_what_is_logged_passes_on_all_that_a_scheme_does_besides():
    """But for its use of memory again, and rounds of its own, in which no event would be seen."""
    called = []

    class Full(Leashed):
        needs_every_worker = True
        unfinished = frozenset({7})

        @property
        def counters(self):
            return {"counted": 3}

        def note_in_flight(self):
            called.append("note_in_flight")

        def warm_up(self, gradient):
            called.append("warm_up")
            super().warm_up(gradient)

        def close(self, reason):
            called.append("close")
            super().close(reason)

        def reuse_memory(self):
            called.append("reuse_memory")

    result = train(scheme=logged(Full, []), workers=2, throw=False)
    assert set(called) == {"warm_up", "close", "note_in_flight"}
    assert result.counters == {"counted": 3}
    assert result.execution.metadata["unfinished"] == [7]
    made = []
    train(scheme=lambda setup: made.append(logged(Full, [])(setup)) or made[0], workers=2, throw=False)
    assert made[0].needs_every_worker

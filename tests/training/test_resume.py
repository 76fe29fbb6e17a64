"""The kind: a run that goes on from a checkpoint or a result is another one than the run that was not stopped."""

import logging

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, ids
from support.training_runs import SCHEMES

import jasgd
from jasgd.record.checkpoints import segments
from jasgd.record.checkpoints.history import History
from jasgd.record.checkpoints.layout import saves_in
from jasgd.record.checkpoints.segments import Link
from jasgd.training.checkpointing import saving


def loss_fn(w, batch):
    return jnp.mean((w - batch) ** 2), w.sum()


def batches(ticket):
    return np.random.default_rng(ticket).normal(size=6).astype(np.float32)


def tx(momentum=0.9):
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.05, momentum=momentum))


def train(steps=None, draw=batches, start=None, optimizer=None, **options):
    options = {"scheme": "sequential", "workers": 1, "has_aux": True} | options
    return jasgd.train(
        loss_fn, jnp.zeros(6) if start is None else start, optimizer or tx(), draw, steps=steps, **options
    )


def same(one, other):
    assert one.params.tobytes() == other.params.tobytes()
    assert one.execution.loss.tobytes() == other.execution.loss.tobytes()
    assert one.execution.ticket.tolist() == other.execution.ticket.tolist()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


@pytest.fixture
def whole():
    return train(120)


def test_a_run_that_goes_on_has_the_bits_of_one_that_was_not_stopped(folder, whole):
    kept = jasgd.Checkpoints(folder, every_steps=7)
    for steps in (10, 50, 120):
        result = train(steps, checkpoint=kept, resume=folder if steps > 10 else None)
        assert result.execution.commits == steps
    same(result, whole)
    assert result.aux["aux"].tobytes() == whole.aux["aux"].tobytes()
    assert not np.isnan(result.timings["compute_s"]).any()
    parts = result.execution.metadata["parts"]
    assert [part["from_version"] for part in parts] == [0, 10, 50]
    assert jasgd.replay(result, loss_fn, tx(), batches).exact


@pytest.mark.parametrize("saved", [False, True])
def test_a_result_can_be_gone_on_with(tmp_path, whole, saved):
    part = train(70)
    same(train(120, resume=part.save(tmp_path / "run") if saved else part), whole)


def test_times_and_evaluations_go_on(folder):
    kept = jasgd.Checkpoints(folder)
    first = train(20, checkpoint=kept, evaluate=lambda w: float(w.sum()))
    second = train(40, checkpoint=kept, resume=folder, evaluate=lambda w: float(w.sum()))
    assert [evaluation["version"] for evaluation in second.evaluations] == [0, 20, 40]
    assert second.evaluations[:2] == first.evaluations
    ex = second.execution
    assert ex.time_s[:20].tolist() == first.execution.time_s.tolist()
    assert ex.time_s[20:].min() >= first.execution.time_s.max()
    assert second.duration_s > first.duration_s


@pytest.mark.parametrize("saved", [False, True])
def test_the_clock_of_a_result_goes_on_from_its_end(tmp_path, saved):
    """Not from its last commit: the last evaluation comes after it, as does the end by a time limit."""
    options = {"evaluate": lambda w: float(w.sum()), "time_limit_s": 0.2}
    first = train(**options)
    resume = first.save(tmp_path / "run") if saved else first
    assert train(**options, resume=resume).execution.hashes() == first.execution.hashes()
    second = train(**(options | {"time_limit_s": 0.4}), resume=resume)
    times = [evaluation["time_s"] for evaluation in second.evaluations]
    assert times == sorted(times)
    assert len(times) == len(first.evaluations) + 1
    assert second.execution.time_s[first.execution.commits] >= first.evaluations[-1]["time_s"]


def test_a_time_limit_counts_the_whole_run(folder):
    kept = jasgd.Checkpoints(folder)
    first = train(time_limit_s=0.2, checkpoint=kept)
    assert train(time_limit_s=0.2, checkpoint=kept, resume=folder).execution.hashes() == first.execution.hashes()
    second = train(time_limit_s=0.4, checkpoint=kept, resume=folder)
    assert second.execution.commits > first.execution.commits
    assert second.execution.time_s[first.execution.commits] >= first.execution.time_s[-1]
    assert second.message == "the time limit of 0.4 s was reached"


def test_a_finished_run_returns_at_once_with_its_result(folder):
    calls = []

    def counted(ticket):
        calls.append(ticket)
        return batches(ticket)

    first = train(30, checkpoint=jasgd.Checkpoints(folder), evaluate=lambda w: float(w.sum()))
    again = train(30, counted, resume=folder, evaluate=lambda w: float(w.sum()))
    assert calls == [0]  # for the shapes
    same(again, first)
    assert (again.outcome, again.message, again.duration_s) == (first.outcome, first.message, first.duration_s)
    assert again.evaluations == first.evaluations
    assert again.metrics.keys() == first.metrics.keys()
    assert again.opt_state[0].law.updates == 30
    assert jasgd.replay(again, loss_fn, tx(), batches).exact
    assert train(20, resume=folder).execution.commits == 30


def test_a_converged_run_stays_converged_until_the_target_is_lower(folder):
    kept = jasgd.Checkpoints(folder)
    options = {"evaluate": lambda w: float(jnp.mean((w - 1) ** 2)), "evaluate_every_s": 0.001, "checkpoint": kept}
    first = train(None, lambda ticket: np.ones(6, np.float32), target_loss=0.1, **options)
    assert first.outcome == "converged"
    again = train(None, lambda ticket: np.ones(6, np.float32), target_loss=0.1, resume=folder, **options)
    assert again.outcome == "converged"
    same(again, first)
    lower, more = first.evaluations[-1]["loss"] / 10**6 - 1e-30, first.execution.commits + 20
    further = train(more, lambda ticket: np.ones(6, np.float32), target_loss=lower, resume=folder, **options)
    assert first.execution.commits < further.execution.commits <= more


@pytest.mark.parametrize("what", ["missing", "empty", "killed within its first save"])
def test_where_nothing_was_saved_the_run_begins_anew_and_says_so(folder, caplog, what, whole):
    if what == "empty":
        folder.mkdir()
    if what == "killed within its first save":
        train(5, checkpoint=jasgd.Checkpoints(folder))
        for _, path in saves_in(folder):
            for file in path.iterdir():
                file.unlink()
    with caplog.at_level(logging.WARNING, "jasgd"):
        result = train(120, checkpoint=jasgd.Checkpoints(folder), resume=folder)
    assert str(folder) in caplog.text
    assert "begins anew" in caplog.text
    same(result, whole)
    same(train(120, resume=folder), whole)


@pytest.mark.parametrize("scheme", ids(SCHEMES))
def test_every_scheme_goes_on_with_every_other_and_the_whole_history_is_replayed(folder, scheme):
    kept = jasgd.Checkpoints(folder, every_steps=25, rows_on_disk=True)
    others = ["locked", "leashed", "synchronous", "sequential"]
    for i, other in enumerate([*others[:2], scheme, *others[2:]]):
        workers = 1 if other == "sequential" else i + 1
        result = train(
            60 * (i + 1), scheme=EVERY[other], workers=workers, checkpoint=kept, resume=folder if i else None
        )
    execution = result.execution
    assert [(part["from_version"], part["workers"]) for part in execution.metadata["parts"]] == [
        (60 * i, part["workers"]) for i, part in enumerate(execution.metadata["parts"])
    ]
    assert len(execution.metadata["parts"]) == 5
    assert execution.worker.max() <= execution.most_workers - 1
    every = np.concatenate([execution.ticket, execution.dropped.ticket])
    assert len(np.unique(every)) == len(every)
    assert not np.isnan(result.aux["aux"]).any()
    balance = execution.conservation()
    assert balance["total"] == sum(balance[name] for name in ("applied", "dropped", "in_flight", "gaps"))
    again = jasgd.replay(result, loss_fn, tx(), batches)
    assert again.exact or "hogwild" in scheme, again.summary()


@pytest.mark.parametrize("make", [lambda items: iter(items), list])
def test_an_iterable_goes_on_where_it_was(folder, make, whole):
    items = [batches(ticket) for ticket in range(120)]
    train(50, make(items), checkpoint=jasgd.Checkpoints(folder))
    same(train(120, make(items), resume=folder), whole)


def test_tickets_that_were_given_out_without_a_row_are_drawn_first(folder):
    items = [batches(ticket) for ticket in range(100)]
    scheme = jasgd.schemes.leashed(native=False)
    stop = iter([False] * 40 + [True] * 1000)

    def pressing(progress):
        if next(stop):
            raise KeyboardInterrupt

    first = train(60, iter(items), scheme=scheme, workers=4, checkpoint=jasgd.Checkpoints(folder), on_progress=pressing)
    options = {"scheme": scheme, "workers": 4, "checkpoint": jasgd.Checkpoints(folder), "resume": folder, "epochs": 1}
    result = train(None, iter(items), **options)
    assert result.execution.ticket[: first.execution.commits].tolist() == first.execution.ticket.tolist()
    assert sorted(result.execution.ticket.tolist()) == list(range(100))


def test_the_optimizer_state_and_the_first_ticket_can_be_given_by_hand(whole):
    part = train(70)
    rest = train(50, start=part.params, opt_state=part.opt_state, first_ticket=70)
    assert rest.params.tobytes() == whole.params.tobytes()
    assert rest.execution.ticket.tolist() == list(range(70, 120))
    assert rest.execution.loss.tobytes() == whole.execution.loss[70:].tobytes()
    assert rest.execution.metadata["first_ticket"] == 70


def test_a_run_by_hand_goes_on_from_its_checkpoints(folder, whole):
    part = train(70)
    by_hand = {"start": part.params, "opt_state": part.opt_state, "first_ticket": 70}
    train(20, checkpoint=jasgd.Checkpoints(folder), **by_hand)
    rest = train(50, start=part.params, resume=folder)
    assert rest.params.tobytes() == whole.params.tobytes()
    assert rest.execution.ticket.tolist() == list(range(70, 120))


@pytest.mark.parametrize("scheme", ids([name for name in SCHEMES if name not in ("sequential",)]))
def test_a_scheme_begins_at_a_version_with_a_limit_that_counts_all(folder, scheme):
    kept = jasgd.Checkpoints(folder)
    train(30, scheme=EVERY[scheme], workers=2, checkpoint=kept)
    result = train(31, scheme=EVERY[scheme], workers=2, resume=folder)
    assert result.execution.commits == 31


def test_a_target_loss_sees_the_losses_from_before(folder):
    """The mean of the last 100 losses, of which most are from before: they were high."""

    def later_zero(ticket):
        return np.full(6, 1000.0 if ticket < 99 else 0.0, np.float32)

    train(99, later_zero, optimizer=optax.sgd(0.0), checkpoint=jasgd.Checkpoints(folder))
    result = train(None, later_zero, optimizer=optax.sgd(0.0), target_loss=0.5, time_limit_s=60, resume=folder)
    assert result.outcome == "converged"
    assert result.execution.commits >= 199
    assert jasgd.train(loss_fn, jnp.zeros(6), optax.sgd(0.0), later_zero, workers=1, scheme="sequential", has_aux=True,
                       steps=150, target_loss=0.5, resume=folder).outcome == "finished"  # fmt: skip


def test_a_save_costs_the_rows_since_the_one_before_however_long_the_run_is(folder, monkeypatch):
    sizes, write = [], segments.write_whole

    def counted(path, content):
        sizes.append(len(content))
        write(path, content)

    monkeypatch.setattr(segments, "write_whole", counted)
    kept = jasgd.Checkpoints(folder)
    totals = []
    for steps in (100, 200, 5000, 5100):
        train(steps, checkpoint=kept, resume=folder)
        totals.append(sum(file.stat().st_size for file in saves_in(folder)[0][1].iterdir()))
    assert max(sizes[0], sizes[1], sizes[3]) - min(sizes) < 1000
    assert sizes[2] > 20 * max(sizes[0], sizes[1], sizes[3])
    assert max(np.diff(totals[1:])) < 1_500  # what each part of the run was run with, whatever rows it had


def test_rows_on_disk_are_not_kept_in_memory_and_read_back(folder):
    links = []

    def look(progress):
        links.extend(isinstance(one, Link) for history in seen for one in history._segments[:-1])

    seen = []

    class Watched(History):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            seen.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saving, "History", Watched)
        kept = jasgd.Checkpoints(folder, every_steps=200, rows_on_disk=True)
        result = train(20_000, checkpoint=kept, on_progress=look)
    assert len(result.execution) == len(result.aux["aux"]) == len(result.timings["read_s"]) == 20_000
    assert result.execution.version.tolist() == list(range(20_000))
    assert links
    assert all(links)
    assert not np.isnan(result.timings["commit_s"]).any()

"""The protocol between workers and server: a gradient is applied once, whatever is interrupted, and both know of it.

Without Ray: the service is in this process, so that an exchange can be held at each of its points.
"""

import threading

import numpy as np
import optax
import pytest
from support.every_scheme import EVERY
from support.problems import counting, network
from support.remote_workers import Direct, ServedRun, request_of, run_served

import jasgd
from jasgd.training.engines.ray_actors.messages import Member
from jasgd.training.engines.ray_actors.remote_scheme import RemoteRun, RemoteScheme, work_remotely
from jasgd.training.engines.ray_actors.service import AHEAD

PYTHON = [name for name in EVERY if "native" not in name]
POINTS = ["sent", "taken", "committed", "replied"]
AFTER = ("committed", "replied")  # points at which the gradient has a row


def adaptive(rate=0.05):
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(rate))


def counted(scheme, *, workers, **stops):
    params, loss_fn, batches = counting(64)
    return request_of(loss_fn, params, adaptive(1.0), batches, scheme=scheme, workers=workers, has_aux=True, **stops)


@pytest.mark.parametrize("scheme", PYTHON)
def test_every_scheme_keeps_its_promises_over_the_protocol(scheme):
    workers, steps = 1 if scheme == "sequential" else 3, 300
    params, loss_fn, batches = counting(64)
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.constant()), optax.sgd(1.0))
    result = run_served(
        request_of(loss_fn, params, tx, batches, scheme=EVERY[scheme], workers=workers, steps=steps, has_aux=True)
    )
    execution = result.execution
    assert result.outcome == "finished", result.message
    execution.validate()
    rows = workers if scheme == "synchronous" else 1
    assert execution.version.tolist() == [k for k in range(steps) for _ in range(rows)]
    assert len(set(execution.ticket.tolist())) == len(execution)
    balance = execution.conservation()
    assert balance["applied"] + balance["dropped"] + balance["in_flight"] + balance["gaps"] == balance["total"]
    if scheme != "hogwild":
        np.testing.assert_array_equal(execution.staleness, execution.version - execution.loss.astype(np.int64))
        np.testing.assert_array_equal(result.aux["min"], result.aux["max"])
        for leaf in (result.params["a"], result.params["b"]):
            assert np.unique(np.asarray(leaf)).tolist() == [steps]
    assert execution.metadata["engine"] == "ray"
    assert set(result.timings) >= {"batch_s", "commit_s"}


@pytest.mark.parametrize("scheme", [name for name in PYTHON if name != "hogwild"])
def test_a_run_over_the_protocol_replays_to_the_same_bits(scheme):
    params, loss_fn, batches = network()
    workers = 1 if scheme == "sequential" else 3
    result = run_served(
        request_of(loss_fn, params, adaptive(), batches, scheme=EVERY[scheme], workers=workers, steps=60)
    )
    assert jasgd.replay(result, loss_fn, adaptive(), batches).exact


class Held:
    """Holds the first exchange of worker 0 at a point, until it is let go."""

    def __init__(self, point):
        self.point, self.reached, self.goes_on = point, threading.Event(), threading.Event()
        self._held = False

    def __call__(self, point, worker):
        if point == self.point and worker == 0 and not self._held:
            self._held = True
            self.reached.set()
            assert self.goes_on.wait(30)


def begun(request, at_point=None, **options):
    served = ServedRun(request, **({} if at_point is None else {"at_point": at_point}), **options)
    member = Member(served.service._incarnation, 0, 0)
    others = [Member(member.incarnation, worker, 0) for worker in range(1, request.workers)]
    joins = [threading.Thread(target=Direct(served.service).join, args=(other,)) for other in others]
    for thread in joins:
        thread.start()
    reply = Direct(served.service).join(member)
    for thread in joins:
        thread.join(10)
    return served, member, reply


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("scheme", ["leashed", "locked", "hogwild"])
def test_a_worker_that_dies_within_an_exchange_and_the_server_agree_on_what_was_applied(scheme, point):
    held = Held(point)
    served, member, reply = begun(counted(EVERY[scheme], workers=2, steps=20), held)
    service = served.service
    call = threading.Thread(target=service.exchange, args=(served.gradient(member, reply),), daemon=True)
    call.start()
    assert held.reached.wait(30)
    lost = threading.Thread(target=service.lose, args=(member, "it died"), kwargs={"for_good": False}, daemon=True)
    lost.start()  # while the call is under way
    if point == "sent":
        lost.join(30)  # it comes first: the call is of one that was replaced
    held.goes_on.set()
    call.join(30)
    lost.join(30)
    assert not call.is_alive()
    assert not lost.is_alive()
    is_applied = point != "sent"
    assert [row["ticket"] for row in service.run.ledger.recent(9)] == ([reply.tickets[0]] if is_applied else [])
    assert service.orphaned == (not is_applied)

    served.work(0, attempt=1)
    served.work(1, attempt=1)
    result = served.result()
    assert result.outcome == "finished"
    result.execution.validate()  # no ticket twice
    tickets = set(result.execution.ticket.tolist())
    missing = set(range(max(tickets))) - tickets
    assert len(missing) <= 2 * AHEAD  # with the two workers when the run ended
    assert reply.tickets[0] in tickets  # it was given out again where it was not applied


@pytest.mark.parametrize("point", POINTS)
def test_an_exchange_that_is_repeated_is_applied_once_and_answered_alike(point):
    held = Held(point)
    served, member, reply = begun(counted("leashed:native=false", workers=1, steps=20), held)
    sent, answers = served.gradient(member, reply), []
    calls = [
        threading.Thread(target=lambda: answers.append(served.service.exchange(sent)), daemon=True) for _ in range(2)
    ]
    calls[0].start()
    assert held.reached.wait(30)
    calls[1].start()  # as after a connection that broke
    held.goes_on.set()
    for call in calls:
        call.join(30)
    assert len(answers) == 2
    assert answers[0] is answers[1]
    assert served.service.run.ledger.counts == (1, 0)
    served.service.interrupt()
    served.service.lose(member, "the test is over", for_good=True)
    assert served.result().execution.commits == 1


def test_what_is_sent_to_a_server_before_this_one_changes_nothing():
    served, member, reply = begun(counted("leashed:native=false", workers=1, steps=20), incarnation=1)
    old = served.gradient(member._replace(incarnation=0), reply)
    answer = served.service.exchange(old)
    assert answer.over == answer.done.reason == "orphaned"
    assert served.service.run.ledger.counts == (0, 0)
    assert Direct(served.service).join(member._replace(incarnation=0)).over == "orphaned"
    served.service.exchange(served.gradient(member, reply))
    assert served.service.run.ledger.counts == (1, 0)
    with pytest.raises(ValueError, match="exchange must be number 1 of worker 0: 5"):
        served.service.exchange(served.gradient(member, reply, number=5))
    served.service.interrupt()
    served.service.lose(member, "the test is over", for_good=True)
    served.result()


@pytest.mark.parametrize("point", POINTS)
def test_a_round_of_synchronous_workers_goes_on_with_one_that_was_begun_anew(point):
    held = Held(point)
    served, member, reply = begun(counted("synchronous:native=false", workers=2, steps=20), held)
    other = member._replace(worker=1)
    second = Direct(served.service).join(other)
    calls = [
        threading.Thread(target=served.service.exchange, args=(served.gradient(*one),), daemon=True)
        for one in ((member, reply), (other, second))
    ]
    calls[0].start()
    if point in AFTER:
        calls[1].start()  # completes the round
    assert held.reached.wait(30)
    lost = threading.Thread(target=served.service.lose, args=(member, "it died"), kwargs={"for_good": False})
    lost.start()
    if point == "sent":
        lost.join(30)
    held.goes_on.set()
    if point not in AFTER:
        calls[1].start()
    workers = [served.work(worker, attempt=1) for worker in range(2)]
    for thread in (lost, *calls):
        thread.join(30)
        assert not thread.is_alive()
    result = served.result()
    for thread in workers:
        thread.join(10)
    assert result.outcome == "finished", result.message
    result.execution.validate()
    assert len(result.execution) == 40


class Epoch:
    """Mini-batches of which there are so many."""

    def __init__(self, count):
        self.batches_per_epoch = count

    def __call__(self, ticket):
        return np.float32(0)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("workers", [1, 3])
def test_every_ticket_of_an_epoch_is_taken_once_whatever_a_worker_had_when_it_died(count, workers):
    params, loss_fn, _ = counting(8)
    request = request_of(
        loss_fn, params, adaptive(), Epoch(count), scheme="leashed:native=false", workers=workers, epochs=1,
        has_aux=True,
    )  # fmt: skip
    served, member, _ = begun(request)
    served.service.lose(member, "it died", for_good=False)  # with its tickets
    for worker in range(workers):
        served.work(worker, attempt=1)
    result = served.result()
    assert result.outcome == "finished", result.message
    assert np.sort(result.execution.ticket).tolist() == list(range(count))


def test_tickets_of_one_that_is_gone_for_good_are_taken_by_the_others():
    params, loss_fn, _ = counting(8)
    request = request_of(
        loss_fn, params, adaptive(), Epoch(12), scheme="leashed:native=false", workers=2, epochs=1, has_aux=True
    )
    served, member, _ = begun(request)
    served.service.lose(member, "it died", for_good=True)
    served.work(1, attempt=1)
    result = served.result()
    assert result.outcome == "finished", result.message
    assert np.sort(result.execution.ticket).tolist() == list(range(12))


def test_a_run_without_a_worker_ends_with_why():
    served, member, _ = begun(counted("leashed:native=false", workers=1, steps=20))
    served.service.lose(member, "the process of worker 0 died", for_good=True)
    result = served.result()
    assert (result.outcome, result.message) == ("failed", "the process of worker 0 died")


def test_synchronous_workers_without_one_of_them_end_with_why():
    served, member, _ = begun(counted("synchronous:native=false", workers=2, steps=20))
    other = served.work(1, attempt=1)
    served.service.lose(member, "the process of worker 0 died", for_good=True)
    result = served.result()
    other.join(10)
    assert not other.is_alive()  # it waited for the one that died
    assert (result.outcome, result.message) == ("failed", "the process of worker 0 died")


def test_workers_of_other_environments_are_recorded_and_their_replay_is_refused_by_name():
    params, loss_fn, batches = network()
    served = ServedRun(
        request_of(loss_fn, params, adaptive(), batches, scheme="leashed:native=false", workers=1, steps=10)
    )
    while served.service.run is None:
        pass
    member = Member(0, 0, 0)
    environment = served.service._metadata["environment"] | {"device": "another processor"}
    while (reply := served.service.join(member, environment)) is None:
        pass
    served.work(0)  # asks again, and is answered as before
    result = served.result()
    assert reply.tickets == (0, 1)
    assert result.execution.metadata["worker_environments"] == {"0": {"device": "another processor"}}
    with pytest.raises(jasgd.ReplayError, match="device of worker 0 is 'cpu', recorded was 'another processor'"):
        jasgd.replay(result, loss_fn, adaptive(), batches)


@pytest.mark.parametrize("attempt", [0, 3])
@pytest.mark.parametrize("is_early", [True, False])
def test_what_a_worker_raises_before_it_comes_ends_the_run(is_early, attempt):
    error = FileNotFoundError("data.npy")

    def fail(service):
        service.fail(Member(0, 0, attempt), error)

    request = counted("leashed:native=false", workers=2, steps=20)
    if is_early:
        served = ServedRun(request, before=fail)
    else:
        served, _, _ = begun(request)
        fail(served.service)
    result = served.result()
    assert (result.outcome, result.message) == ("failed", "worker 0 raised FileNotFoundError: data.npy")
    assert result.error is error


@pytest.mark.parametrize("member", [Member(0, 0, 5), Member(1, 0, 0)])
def test_what_a_worker_raises_that_was_replaced_or_means_another_server_changes_nothing(member):
    def lose_and_fail(service):
        service.lose(Member(1, 0, 0), "it died", for_good=False)
        service.fail(member, ValueError("not of this run"))

    served = ServedRun(counted("leashed:native=false", workers=1, steps=20), incarnation=1, before=lose_and_fail)
    served.work(0, attempt=1, incarnation=1)
    assert served.result().outcome == "finished"


@pytest.mark.parametrize(("scheme", "lost"), [("synchronous:native=false", [0]), ("leashed:native=false", [0, 1])])
def test_workers_that_are_gone_for_good_before_the_run_is_there_end_it_with_why(scheme, lost):
    def lose(service):
        for worker in lost:
            service.lose(Member(0, worker, 0), "it died", for_good=True)

    served = ServedRun(counted(scheme, workers=2, steps=20), before=lose)
    if 1 not in lost:
        served.work(1)
    result = served.result()
    assert (result.outcome, result.message) == ("failed", "it died")


def test_a_stop_before_the_run_is_there_ends_it():
    result = ServedRun(
        counted("leashed:native=false", workers=1, steps=20), before=lambda service: service.stop("enough")
    ).result()
    assert (result.outcome, result.message) == ("stopped", "enough")


class Dying(Direct):
    """A server that is lost in an exchange, before or after it was sent; None for one that lives."""

    def __init__(self, service, when):
        super().__init__(service)
        self.when = when

    def begin_exchange(self, sent):
        if self.when == "before":
            raise ConnectionError("lost")
        return self.lost if self.when == "after" else super().begin_exchange(sent)

    def lost(self):
        raise ConnectionError("lost")


@pytest.mark.parametrize("when", ["before", "after", None])
def test_a_worker_knows_whether_a_gradient_was_under_way_when_its_server_was_lost(when):
    served, member, reply = begun(counted("leashed:native=false", workers=1, steps=20))
    compiled = served.admitted.compiled
    scheme = RemoteScheme(Dying(served.service, when), member, reply, compiled, served.admitted.batch_of)
    assert not scheme.is_under_way
    if when is None:
        work_remotely(0, RemoteRun(scheme, compiled, 1))
    else:
        with pytest.raises(ConnectionError):
            work_remotely(0, RemoteRun(scheme, compiled, 1))
        served.service.interrupt()
    served.service.lose(member, "the test is over", for_good=True)
    served.result()
    assert scheme.is_under_way == (when is not None)

"""The protocol of the engine "ray" without Ray: the service in this process, and workers as threads that call it."""

import threading

from jasgd.callbacks.callback import RunOptions
from jasgd.core.scheme import unwatched
from jasgd.data import as_batches
from jasgd.record.environment import describe_environment
from jasgd.schemes.factories import as_factory
from jasgd.training.assembly import Task, admit_task
from jasgd.training.engines.carrying_out import Request, Watching, carry_out
from jasgd.training.engines.ray_actors.messages import Exchange, Member
from jasgd.training.engines.ray_actors.remote_scheme import Connection, RemoteRun, RemoteScheme, work_remotely
from jasgd.training.engines.ray_actors.service import Service
from jasgd.training.engines.supervisor import Conditions
from jasgd.training.interrupts import Terminations


def request_of(
    loss_fn, params, tx, batches, *, scheme, workers, steps=None, epochs=None, has_aux=False, checkpoint=None,
    resume=None,
):  # fmt: skip
    task = Task(loss_fn, params, tx, as_batches(batches, epochs=epochs), has_aux, None, None, None, 0, None, None)
    conditions = Conditions(None, None, None, None, None)
    return Request(
        task, as_factory(scheme), workers, steps, epochs, conditions, True, checkpoint, resume, first_ticket=0
    )  # fmt: skip


class Direct(Connection):
    """Calls the service as Ray would have its actor called, at once and in this thread."""

    def __init__(self, service):
        self.service, self.replies = service, []

    def join(self, member):
        while (reply := self.service.join(member, describe_environment())) is None:
            pass
        return reply

    def begin_exchange(self, sent):
        reply = self.service.exchange(sent)
        self.replies.append(reply)
        return lambda: reply

    def leave(self, member, end, ticket):
        return self.service.leave(member, end, ticket)


class ServedRun:
    """A run with its service, carried out in a thread of its own; its workers are what the test makes them."""

    def __init__(self, request, incarnation=0, at_point=unwatched, before=None):
        self.request = request
        self.service = Service(incarnation, request.workers, at_point)
        if before is not None:
            before(self.service)  # as where a worker is sooner than the run
        self.admitted = admit_task(request.task)
        self.outcome = None
        watching = Watching((), None, RunOptions(request.steps, None, None, False), Terminations(False))
        self._thread = threading.Thread(target=self._carry_out, args=(watching,), daemon=True)
        self._thread.start()

    def _carry_out(self, watching):
        self.outcome = carry_out(self.request, watching, self.service)

    def result(self, limit_s=60):
        self._thread.join(limit_s)
        assert self.outcome is not None, "the run has not ended"
        return self.outcome[0]

    def work(self, worker, attempt=0, incarnation=0):
        """The loop of a worker in a thread, which is returned."""
        thread = threading.Thread(target=self._work, args=(Member(incarnation, worker, attempt),), daemon=True)
        thread.start()
        return thread

    def _work(self, member):
        connection = Direct(self.service)
        joined = connection.join(member)
        if not joined.over:
            compiled = self.admitted.compiled
            scheme = RemoteScheme(connection, member, joined, compiled, self.admitted.batch_of)
            work_remotely(member.worker, RemoteRun(scheme, compiled, self.request.workers))
        connection.leave(member, None, -1)

    def gradient(self, member, reply, number=0, ticket=None):
        """The exchange that a worker sends for the first ticket of a reply."""
        ticket = reply.tickets[0] if ticket is None else ticket
        loss, aux, grads = self.admitted.compiled.gradient(reply.params, self.admitted.batch_of(ticket, member.worker))
        import numpy as np

        return Exchange(
            member, number, ticket, reply.version, np.asarray(loss), tuple(map(np.asarray, grads)), aux, ()
        )  # fmt: skip


def run_served(request):
    """A run all of whose workers work."""
    served = ServedRun(request)
    threads = [served.work(worker) for worker in range(request.workers)]
    result = served.result()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    return result

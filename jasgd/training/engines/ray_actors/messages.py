"""What a worker in another process and the server hand each other."""

from __future__ import annotations

from typing import Any, NamedTuple

from jasgd.core.messages import Committed, Dropped

ORPHANED = "orphaned"  # why the gradient of a worker that was replaced, or of a server before this one, is not applied


class Member(NamedTuple):
    """Who calls: a worker may have been begun anew, and so may the server.

    Attributes:
      incarnation: of the server that the caller means, 0 for the first.
      worker: its number.
      attempt: how often this worker had been begun before.
    """

    incarnation: int
    worker: int
    attempt: int


class Exchange(NamedTuple):
    """One gradient on its way to the server.

    Attributes:
      member: whose it is.
      number: of this exchange among those of the member, from 0 on; a repeat of a call has the same.
      ticket: of its mini-batch.
      version_read: of the parameters that it was computed on.
      loss: as computed, of shape ().
      grads: the leaves of the gradient.
      aux: what the loss gave besides, None without.
      times: of this worker's gradient before, as :meth:`jasgd.record.timings.Phases.note` takes them; empty for none.
      shapes: of mini-batches that the gradient was compiled for, as texts, where there are several.
    """

    member: Member
    number: int
    ticket: int
    version_read: int
    loss: Any
    grads: tuple[Any, ...]
    aux: Any
    times: tuple[Any, ...]
    shapes: tuple[str, ...] = ()


class Reply(NamedTuple):
    """What became of a gradient, and what the next ones are.

    Attributes:
      done: what became of it; None where the run was over before.
      tickets: that the member is to take after those that it has.
      version: of the newest parameters.
      params: their leaves, arrays of NumPy.
      over: why there is nothing to go on with; empty where there is.
    """

    done: Committed | Dropped | None
    tickets: tuple[int, ...] = ()
    version: int = -1
    params: tuple[Any, ...] = ()
    over: str = ""

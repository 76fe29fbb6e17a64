"""What workers and schemes hand each other: views, gradients, and what became of them."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax

from jasgd.core.compiled import Leaves
from jasgd.showing import Shown, line


class View(NamedTuple):
    """What a worker computes its gradient on; no thread changes it while the worker holds it."""

    version: int  # commits before the read
    params: Leaves

    def __repr__(self) -> str:
        return line("View", self._asdict())


class Snapshot(NamedTuple):
    """Parameters and optimizer state at a version."""

    version: int
    params: Leaves
    state: Leaves

    def __repr__(self) -> str:
        return line("Snapshot", self._asdict())


@dataclasses.dataclass(slots=True, repr=False)
class Gradient(Shown):
    """A computed gradient on its way to being applied."""

    worker: int
    ticket: int
    view: View
    grads: Leaves
    loss: jax.Array  # shape (), as computed
    loss_value: float  # the same, for the record

    def _facts(self) -> dict[str, Any]:
        return {
            "worker": self.worker,
            "ticket": self.ticket,
            "version_read": self.view.version,
            "loss": self.loss_value,
            "grads": self.grads,
        }


class Round(NamedTuple):
    """A gradient that a scheme has computed itself, between its own read and its own commit."""

    version_read: int
    loss_value: float
    aux: Any  # what the loss function gave, None without one
    read_s: float  # when the parameters were read, in seconds of ``time.perf_counter``
    computed_s: float  # when the gradient was done
    done: Committed | Dropped | HandedIn | None  # None where the loss was not finite, and had to be
    waited_s: float = 0.0  # how long the read waited for the commit of the gradient before, which was handed in


class Closed(RuntimeError):
    """The scheme takes no more commits; the message says why. Nothing was changed by the refused one."""


class Committed(NamedTuple):
    """A gradient was applied."""

    version: int  # commits before this one
    staleness: int  # in updates
    factor: float  # C(τ)
    tries: int  # attempts at publication, 1 where a scheme has no retries


class HandedIn(NamedTuple):
    """A gradient waits to be applied with those of others, by the worker that comes last; that one writes its row."""

    version: int  # commits before this one


class Dropped(NamedTuple):
    """A gradient was not applied; neither parameters, optimizer state nor version changed."""

    reason: str  # one of execution.DROP_REASONS
    version: int  # version at which it was dropped
    staleness: int
    tries: int

"""The parameters of a replay, updated as the run's scheme updated them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from jasgd.core.buffers import Buffers
from jasgd.core.compiled import Compiled, Leaves


class Computed(NamedTuple):
    """A gradient that was computed again."""

    worker: int
    read: Leaves
    loss: Any
    aux: Any
    grads: Leaves


class Versions:
    """Parameters of which a commit makes the next version, as in every scheme but Hogwild."""

    def __init__(self, compiled: Compiled, params: Leaves, state: Leaves, scheme: str):
        self._compiled = compiled
        name = scheme.partition("(")[0]
        # The same functions as in Python's rounds: XLA may compile a donated or an averaged update to other bits.
        self._in_place = name == "locked" and "reference" not in scheme
        self._always_mean = name == "synchronous"
        self._params = compiled.copy(params) if self._in_place else params
        self._state = compiled.copy(state) if self._in_place else state

    def read(self) -> Leaves:
        """Leaves that later commits do not change."""
        return self._compiled.copy(self._params) if self._in_place else self._params

    def now(self) -> tuple[Leaves, Leaves]:
        """Parameters and optimizer state, valid until the next commit."""
        return self._params, self._state

    def commit(self, computed: list[Computed], staleness: int) -> Any:
        """Applies a commit's gradients; returns the factor."""
        compiled = self._compiled
        workers, reads, losses, _, grads = zip(*computed, strict=True)
        if self._always_mean or len(grads) > 1:
            asked = compiled.asked(reads[0], -1)
            updated = compiled.apply_mean(self._params, self._state, list(grads), list(losses), asked)
        else:
            asked = compiled.asked(reads[0], workers[0])
            apply = compiled.apply_in_place if self._in_place else compiled.apply
            updated = apply(self._params, self._state, grads[0], np.int32(staleness), losses[0], asked)
        self._params, self._state, factor = updated
        return factor


class Shared:
    """Hogwild's parameters in one block of memory, to which updates are added component by component."""

    def __init__(self, compiled: Compiled, params: Leaves, state: Leaves, scheme: str = "hogwild"):
        self._compiled, self._buffers, self._state = compiled, Buffers(params), state

    def read(self) -> Leaves:
        """A copy of the shared buffers."""
        return self._buffers.copy()

    def now(self) -> tuple[Leaves, Leaves]:
        """Parameters and optimizer state, valid until the next commit."""
        return self._buffers.snapshot(), self._state

    def commit(self, computed: list[Computed], staleness: int) -> Any:
        """Adds the update to the shared buffers; returns the factor."""
        compiled, (one,) = self._compiled, computed
        current = self._buffers.copy() if compiled.needs_params else one.read
        updates, self._state, factor = compiled.update(
            current, self._state, one.grads, np.int32(staleness), one.loss, compiled.asked(one.read, one.worker)
        )
        with np.errstate(all="ignore"):  # of a run that diverged
            for shared, update, adds in zip(self._buffers.leaves, updates, compiled.adds, strict=True):
                if adds:
                    np.add(shared, np.asarray(update), out=shared, casting="unsafe")
                else:
                    np.copyto(shared, np.asarray(update))
        return factor

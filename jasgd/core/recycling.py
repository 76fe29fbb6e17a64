"""Memory of parameters that was handed out, used again once nobody can read it.

Fresh memory costs several times what writing to it does where the parameters are large: the system hands out and takes
back its pages at every update. Who holds an array is read off its reference count, which sees tuples, pytrees and what
``np.asarray`` makes of it. What ``jax.device_get`` or DLPack make of it is not seen; XLA leaves the memory of donated
arrays alone while that exists, and writes elsewhere, but NumPy does not. So only for what workers of ``jasgd.train``
hold, who use neither, and for schemes of whose class nobody has derived one that may.
"""

from __future__ import annotations

import collections
import sys
from typing import Any, Generic, TypeVar

import jax

from jasgd.core.compiled import Compiled, Leaves

LARGE = 1 << 20  # bytes from which fresh memory costs more than it does to tell JAX of what to use instead

Owner = TypeVar("Owner")


class Copies(Generic[Owner]):
    """Tuples of arrays that were handed out, each with something of its owner's, for use once nobody holds them.

    Guarantees. Any number of threads may call it. That nobody holds a tuple is read off the reference counts of it and
    of its arrays, while this object has given it to nobody else: who holds neither cannot come to hold one. Without a
    GIL counts are not exact, and nothing is used again. It keeps no more than so many, the newest.

    Args:
      workers: how many may hold some at once, ≥ 1.
    """

    def __init__(self, workers: int):
        # Each worker may hold a view, a base and a candidate; one is current, one the newest with a finite loss.
        self._kept: collections.deque[tuple[Owner, Leaves]] = collections.deque(maxlen=3 * workers + 2)

    def keep(self, owner: Owner, leaves: Leaves) -> None:
        """Takes a tuple, which others may hold, into what may be used again."""
        if COUNTED:
            self._kept.append((owner, leaves))

    def unheld(self) -> tuple[Owner, Leaves] | None:
        """A tuple that nobody holds and what was kept with it, no longer kept; None where there is none."""
        for _ in range(len(self._kept)):
            try:
                made = self._kept.popleft()  # the one handed out longest ago
            except IndexError:  # other threads have the rest
                return None
            if sys.getrefcount(made[1]) == _UNHELD and all(map(_is_unheld, made[1])):
                return made
            self._kept.append(made)
        return None


class Retired:
    """Parameters and states that have a successor, whose memory updates write to once nobody can read it.

    It does nothing before :meth:`learn`, nor where all leaves together take less than ``LARGE`` bytes, nor on devices
    that are no CPUs, where memory is not the system's.

    Args:
      compiled: the traced functions.
      workers: how many may hold some at once, ≥ 1.
    """

    def __init__(self, compiled: Compiled, workers: int):
        self._compiled = compiled
        self._copies: Copies[None] = Copies(workers)
        self._learned = False

    def learn(self, params: Leaves, state: Leaves, *given: Any) -> None:
        """Compiles the update, and the one that writes to retired memory; changes nothing.

        Args:
          params: leaves of parameters.
          state: leaves of an optimizer state.
          given: what else ``Compiled.apply`` takes.
        """
        new_params, new_state, _ = self._compiled.apply(params, state, *given)
        before, after = params + state, new_params + new_state
        if is_large(after) and list(map(kind_of, before)) == list(map(kind_of, after)):
            self._compiled.apply_into(after, params, state, *given)
            self._learned = True

    def apply(self, params: Leaves, state: Leaves, *given: Any) -> tuple[Leaves, Leaves, jax.Array]:
        """What ``Compiled.apply`` gives, in memory that nobody can read where there is some."""
        found = self._copies.unheld() if self._learned else None
        if found is None:
            return self._compiled.apply(params, state, *given)
        return self._compiled.apply_into(found[1], params, state, *given)

    def keep(self, params: Leaves, state: Leaves) -> None:
        """Takes what has a successor, or was not published; others may still hold it."""
        if self._learned:
            self._copies.keep(None, params + state)


def is_large(leaves: Leaves) -> bool:
    """Whether arrays lie on CPUs and take as much memory as is worth using again."""
    on_cpus = all(device.platform == "cpu" for leaf in leaves for device in leaf.devices())
    return on_cpus and sum(leaf.nbytes for leaf in leaves) >= LARGE


def kind_of(leaf: jax.Array) -> Any:
    """What must agree for one array to be written where another was."""
    return leaf.shape, leaf.dtype, leaf.weak_type


COUNTED = getattr(sys, "_is_gil_enabled", lambda: True)()  # whether reference counts are exact


def _is_unheld(leaf: Any) -> bool:
    return sys.getrefcount(leaf) == _UNHELD_LEAF


def _calibrated() -> tuple[int, int]:
    """What the two counts are where nobody else holds anything: how many references a call adds depends on Python."""
    seen: list[int] = []

    def count(leaf: Any) -> bool:
        seen.append(sys.getrefcount(leaf))
        return True

    made = (None, (object(),))
    of_tuple = sys.getrefcount(made[1])
    all(map(count, made[1]))
    return of_tuple, seen[0]


_UNHELD, _UNHELD_LEAF = _calibrated()

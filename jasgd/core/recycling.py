"""Memory of parameters that was given out, used again once no thread can read it.

Fresh memory costs several times what writing to it does where the parameters are large: the system hands out and takes
back its pages at every update. Whether an array is held shows in its reference count, which sees tuples, pytrees and
the result of ``np.asarray``. The results of ``jax.device_get`` and DLPack are not seen; XLA leaves the memory of
donated arrays alone while those exist, and writes elsewhere, but NumPy does not. So this is only for what workers of
``jasgd.train`` hold, which use neither, and for the library's own schemes, not for classes derived of them.
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
    """A pool of tuples of arrays, whose memory may be used again when no thread refers to them.

    Guarantees. Any number of threads may call it. That no thread holds a tuple shows in the reference counts of it and
    of its arrays: a thread that holds neither cannot come to hold one, as only this object could give it. Without a GIL
    counts are not exact, and nothing is used again. It keeps no more than so many, the newest.

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
        """A tuple that no thread holds and what was kept with it, no longer kept; None where there is none."""
        for _ in range(len(self._kept)):
            try:
                kept = self._kept.popleft()  # the one given out longest ago
            except IndexError:  # other threads have the rest
                return None
            if sys.getrefcount(kept[1]) == _UNHELD and all(map(_is_unheld, kept[1])):
                return kept
            self._kept.append(kept)
        return None


class Retired:
    """Replaced parameters and optimizer states, whose memory later updates use again.

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

    def learn(self, params: Leaves, state: Leaves, *rest: Any) -> None:
        """Compiles the update, and the one that writes to retired memory; changes nothing.

        Args:
          params: leaves of parameters.
          state: leaves of an optimizer state.
          rest: what else ``Compiled.apply`` takes.
        """
        new_params, new_state, _ = self._compiled.apply(params, state, *rest)
        before, after = params + state, new_params + new_state
        if is_large(after) and list(map(kind_of, before)) == list(map(kind_of, after)):
            self._compiled.apply_into(after, params, state, *rest)
            self._learned = True

    def apply(self, params: Leaves, state: Leaves, *rest: Any) -> tuple[Leaves, Leaves, jax.Array]:
        """What ``Compiled.apply`` gives, in memory that no thread can read where there is some."""
        retired = self._copies.unheld() if self._learned else None
        if retired is None:
            return self._compiled.apply(params, state, *rest)
        return self._compiled.apply_into(retired[1], params, state, *rest)

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
    """What the two counts are where nothing else holds a reference: how many of them a call adds depends on Python."""
    seen: list[int] = []

    def count(leaf: Any) -> bool:
        seen.append(sys.getrefcount(leaf))
        return True

    kept = (None, (object(),))
    of_tuple = sys.getrefcount(kept[1])
    all(map(count, kept[1]))
    return of_tuple, seen[0]


_UNHELD, _UNHELD_LEAF = _calibrated()

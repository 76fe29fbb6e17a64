"""How workers come to mini-batches: as rows that their rounds gather, or they themselves, or as they are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from jasgd.core.batching.gathering import DeviceRows, HostRows, hands_batch_on, has_room, row_source
from jasgd.core.batching.micro_batches import gathered_together
from jasgd.core.compiled import Compiled, Leaves
from jasgd.core.devices import Placement
from jasgd.core.scheme import NativeScheme, Scheme
from jasgd.data import rows_drawn

Draw = Callable[[int, int], Any]


class Drawing(NamedTuple):
    """The mini-batches of a run.

    Attributes:
      batch_of: by ticket and worker, in memory that the worker's next mini-batch may take.
      gathered_s: of a worker, when the rows of its last mini-batch were there, in seconds of ``time.perf_counter``;
        None where a mini-batch is there once ``batch_of`` returns.
      is_gathered: whether ``batch_of`` may be asked for a ticket's mini-batch more than once, and gives it as arrays
        of another kind than the user's function does, for which JAX may have to compile anew.
    """

    batch_of: Draw
    gathered_s: Callable[[int], float] | None = None
    is_gathered: bool = False


def drawing(
    drawn: Callable[..., Any],
    completed: Callable[[Draw], Draw],
    otherwise: Draw,
    scheme: Scheme,
    compiled: Compiled,
    leaves: Leaves,
    first: Any,
    *,
    workers: int,
    placement: Placement | None,
) -> Drawing:
    """Chooses how mini-batches are drawn; they are the same, whichever way it is.

    Args:
      drawn: of :func:`jasgd.data.as_batches`.
      completed: of :func:`jasgd.core.batching.micro_batches.completed`.
      otherwise: draws by ticket and worker, where rows cannot be gathered.
      scheme: what the mini-batches are for.
      compiled: the traced functions.
      leaves: initial leaves of the parameters.
      first: the mini-batch of ticket 0.
      workers: number of workers, ≥ 1.
      placement: where workers compute, where some do not where the parameters are.

    Returns:
      The mini-batches.
    """
    found = rows_drawn(drawn)
    source = None if found is None else row_source(*found)
    if source is None:
        return Drawing(otherwise)
    source = gathered_together(source, compiled.accumulate)
    if isinstance(scheme, NativeScheme):
        from jasgd.core.batching.native_rows import NativeRows
        from jasgd.schemes.native import NATIVE  # imported only where it is needed

        if type(scheme) not in NATIVE.values():  # one of the user's own is given what ``batches`` gives
            return Drawing(otherwise)
        native = NativeRows(source, workers, leaves[0])
        return Drawing(completed(native), native.gathered_s)
    likes = _likes(leaves[0], workers, placement)
    devices = {like.device for like in likes}
    if {device.platform for device in devices} == {"cpu"}:
        if len(devices) > 1 or hands_batch_on(compiled, leaves, first):
            return Drawing(otherwise)
        return Drawing(completed(HostRows(source, workers, leaves[0])), is_gathered=True)
    if any(device.platform == "cpu" or not has_room(device, source) for device in devices):
        return Drawing(otherwise)
    return Drawing(completed(DeviceRows(source, likes)), is_gathered=True)


def _likes(leaf: Any, workers: int, placement: Placement | None) -> Sequence[Any]:
    """Of each worker a leaf that lies where it computes."""
    if placement is None:
        return [leaf] * workers
    there = {device: leaf if device == placement.home else jax.device_put(leaf, device) for device in placement.used}
    return [there[device] for device in placement.of_worker]

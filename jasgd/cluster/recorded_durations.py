"""Durations that were measured: drawn from at random, or played again in their order."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

import numpy as np

from jasgd.cluster.durations import Duration
from jasgd.showing import Shown, brief

Order = Literal["drawn", "recorded"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Measured(Shown):
    """Measured durations, see :func:`measured`; ``times_s`` by worker, or under None for all workers."""

    times_s: Mapping[int | None, np.ndarray]
    order: Order = "drawn"

    def _facts(self) -> dict[str, Any]:
        workers = None if None in self.times_s else len(self.times_s)
        durations = sum(map(len, self.times_s.values()))
        return {"mean_s": self.mean_s, "durations": durations, "workers": workers, "order": self.order}

    @property
    def mean_s(self) -> float:
        """The mean of all recorded times."""
        return float(np.mean(np.concatenate(list(self.times_s.values()))))

    def of_worker(self, worker: int) -> Measured | Recording:
        """The law of one worker; where the order is the recorded one, a tape from its start."""
        times = self.times_s.get(worker, self.times_s.get(None))
        if times is None:
            raise ValueError(f"times_s must have times for every worker, got none for worker {worker}")
        return Recording(times) if self.order == "recorded" else Measured({None: times})

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Independent draws, with replacement, from all recorded times."""
        times = np.concatenate(list(self.times_s.values()))
        return times[rng.integers(0, len(times), size)]

    def describe(self) -> dict[str, Any]:
        """The kind, and a digest of the times instead of the times themselves."""
        digest = hashlib.sha256()
        for worker, times in self.times_s.items():
            digest.update(f"{worker}:{len(times)}:".encode() + times.tobytes())
        count = sum(map(len, self.times_s.values()))
        return {
            "law": "measured", "order": self.order, "count": count, "mean_s": self.mean_s, "sha256": digest.hexdigest()
        }  # fmt: skip


class Recording:
    """A tape of durations, played in order and over again; it remembers its position."""

    def __init__(self, times_s: np.ndarray):
        self._times_s, self._next = times_s, 0
        self.mean_s = float(np.mean(times_s))

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """The next ``size`` durations."""
        chosen = (self._next + np.arange(size)) % len(self._times_s)
        self._next = (self._next + size) % len(self._times_s)
        return self._times_s[chosen]


def measured(times_s: Any, order: Order = "drawn") -> Duration:
    """Durations that were measured.

    Args:
      times_s: seconds, ≥ 0: a sequence of numbers that all workers share, or one for each worker, as a mapping from
        the worker or as a sequence of sequences.
      order: ``"drawn"`` draws with replacement; ``"recorded"`` plays each worker's sequence in order, over and over.

    Returns:
      The law.

    Raises:
      ValueError: for an empty sequence, a time that is negative or not finite, or an unknown order; and by
        ``generate`` where a worker has no times.
      TypeError: for what is no sequence.

    Example:
      >>> law = measured([0.1, 0.2, 0.4], order="recorded")
      >>> law.of_worker(0).sample(np.random.default_rng(0), 5).tolist()
      [0.1, 0.2, 0.4, 0.1, 0.2]
    """
    if order not in get_args(Order):
        raise ValueError(f"order must be one of {', '.join(get_args(Order))}, got {order!r}")
    if not isinstance(times_s, Iterable) or isinstance(times_s, str):
        raise TypeError(f"times_s must be a sequence of numbers, or one for each worker, got {brief(repr(times_s))}")
    by_worker: dict[int | None, Any]
    if isinstance(times_s, Mapping):
        by_worker = dict(times_s)
    elif len(times_s := list(times_s)) and all(isinstance(times, Iterable) for times in times_s):
        by_worker = dict(enumerate(times_s))
    else:
        by_worker = {None: times_s}
    arrays = {}
    for worker, times in by_worker.items():
        where = "times_s" if worker is None else f"times_s of worker {worker!r}"
        array = np.array(list(times), np.float64)
        if array.ndim != 1 or not len(array) or not np.all(np.isfinite(array) & (array >= 0)):
            raise ValueError(
                f"{where} must be a sequence of finite numbers ≥ 0, and not empty, got {brief(repr(times))}"
            )
        array.flags.writeable = False
        arrays[worker] = array
    if not arrays:
        raise ValueError(f"times_s must be a sequence of finite numbers ≥ 0, and not empty, got {brief(repr(times_s))}")
    return Measured(arrays, order)

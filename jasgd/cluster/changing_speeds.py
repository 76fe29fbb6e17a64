"""Speeds of workers that change with time, as on a machine that other programs use as well."""

from __future__ import annotations

import bisect
import dataclasses
import hashlib
from typing import Any

import numpy as np

from jasgd.inputs.checks import is_integer
from jasgd.showing import Shown, brief


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Tempo(Shown):
    r"""A worker's speed as a function of time, constant in pieces; at speed 2 it works twice as fast.

    A phase of d seconds that begins at s ends at the first t with :math:`\int_s^t v(u)\,du = d`. After the last piece
    the first begins again.

    Attributes:
      ends_s: where each piece ends, in seconds, > 0 and increasing; float64 of shape (n,). The first begins at 0.
      speeds: the speed in each piece, ≥ 0, one of them > 0; without unit, float64 of shape (n,).

    Raises:
      ValueError: for numbers out of their range, or arrays of different lengths.

    Example:
      >>> halved = Tempo(ends_s=[10.0, 20.0], speeds=[1.0, 0.5])
      >>> halved.after(9.0, 1.5), halved.after(19.0, 1.5)  # a second at full speed does as much as two at half of it
      (11.0, 21.0)
    """

    ends_s: Any
    speeds: Any

    def __post_init__(self):
        ends, speeds = np.array(self.ends_s, np.float64), np.array(self.speeds, np.float64)
        if ends.ndim != 1 or ends.shape != speeds.shape or not len(ends):
            raise ValueError(f"ends_s and speeds must have one length ≥ 1, got shapes {ends.shape} and {speeds.shape}")
        starts = np.concatenate([[0.0], ends[:-1]])
        if not np.all(np.isfinite(ends) & (ends > starts)):
            raise ValueError(f"ends_s must be finite, > 0 and increasing, got {brief(repr(self.ends_s))}")
        if not np.all(np.isfinite(speeds) & (speeds >= 0)) or not speeds.any():
            raise ValueError(f"speeds must be finite and ≥ 0, and one of them > 0, got {brief(repr(self.speeds))}")
        for array in (ends, speeds):
            array.flags.writeable = False
        object.__setattr__(self, "ends_s", ends)
        object.__setattr__(self, "speeds", speeds)
        done = np.concatenate([[0.0], np.cumsum((ends - starts) * speeds)])
        object.__setattr__(self, "_starts", starts.tolist())  # lists, since they are looked at one number at a time
        object.__setattr__(self, "_rates", speeds.tolist())
        object.__setattr__(self, "_done", done.tolist())

    def _facts(self) -> dict[str, Any]:
        return {name: value for name, value in self.describe().items() if name != "sha256"}

    def after(self, start_s: float, work_s: float) -> float:
        """The time at which work that begins at some time is done.

        Args:
          start_s: when it begins, in seconds, ≥ 0.
          work_s: how long it takes at speed 1, in seconds, > 0.

        Returns:
          The time in seconds, ≥ ``start_s``.
        """
        starts, rates, done = self._starts, self._rates, self._done  # pyrefly: ignore[missing-attribute]
        length_s, total_s = float(self.ends_s[-1]), done[-1]
        rounds, within_s = divmod(start_s, length_s)
        piece = bisect.bisect_right(starts, within_s) - 1
        more, target = divmod(done[piece] + (within_s - starts[piece]) * rates[piece] + work_s, total_s)
        if target == 0:  # with the last work of a round
            more, target = more - 1, total_s
        piece = bisect.bisect_left(done, target) - 1
        return max(start_s, (rounds + more) * length_s + starts[piece] + (target - done[piece]) / rates[piece])

    def describe(self) -> dict[str, Any]:
        """How many pieces, how long they are together, the mean speed, and a digest of all."""
        digest = hashlib.sha256(self.ends_s.tobytes() + self.speeds.tobytes()).hexdigest()
        length_s = float(self.ends_s[-1])
        mean = self._done[-1] / length_s  # pyrefly: ignore[missing-attribute]
        return {"pieces": len(self.ends_s), "length_s": length_s, "mean": mean, "sha256": digest}


def checked_tempos(tempos: Any, cores: int | None) -> dict[int, Tempo]:
    """Tempos by worker; TypeError or ValueError naming the argument for anything else."""
    if not hasattr(tempos, "items"):
        raise TypeError(f"tempos must be a mapping from workers to cluster.Tempo, got {brief(repr(tempos))}")
    for worker, tempo in tempos.items():
        if not is_integer(worker) or worker < 0:
            raise ValueError(f"tempos must have workers ≥ 0 as keys, got {worker!r}")
        if not isinstance(tempo, Tempo):
            raise TypeError(f"tempos must be cluster.Tempo, got {brief(repr(tempo))} for worker {worker}")
    if tempos and cores is not None:
        raise ValueError(f"tempos cannot go with cores, which change speeds as well, got cores={cores}")
    return {int(worker): tempo for worker, tempo in tempos.items()}

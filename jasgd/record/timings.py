"""How long the phases of each gradient took: what workers note while they run, and the columns that come of it.

The four phases of a worker follow each other without a gap, so its columns add up to the time that it worked.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from jasgd.record.execution import Execution

#: columns of ``TrainResult.timings``, in the order in which a gradient goes through the phases; those of the dropped
#: gradients have the prefix ``dropped.``.
PHASES = ("batch_s", "read_s", "compute_s", "commit_s")
_ROW = np.dtype([("ticket", np.int64), ("at_s", np.float64, len(PHASES) + 1)])  # where the phases begin and end
_pack = struct.Struct("=q5d").pack


class Phases:
    """When each gradient's phases began and ended, by worker.

    Guarantees. All workers may call ``note`` at once, each with its own number: no two share memory. It costs a
    fraction of a microsecond and 48 bytes. ``of`` may be called while a worker that could not be stopped notes on.

    Args:
      workers: number of workers, ≥ 1.

    Example:
      >>> phases = Phases(workers=1)
      >>> phases.note(0, 7, 10.0, 10.25, 10.5, 12.5, 13.0)  # ticket 7: from 10 s, the commit returned at 13 s
      >>> {name: column.tolist() for name, column in phases.of(np.array([7, 8])).items()}
      {'batch_s': [0.25, nan], 'read_s': [0.25, nan], 'compute_s': [2.0, nan], 'commit_s': [0.5, nan]}
    """

    def __init__(self, workers: int):
        self._notes = [bytearray() for _ in range(workers)]
        self._left = np.zeros(0, _ROW)  # notes that were taken out of these, and not given out
        self.earlier: tuple[np.ndarray, np.ndarray] | None = None  # tickets of before, and their durations in columns

    def note(self, worker: int, *times: Any) -> None:
        """Notes one gradient that was committed or dropped.

        Args:
          worker: whose gradient it is; int.
          times: its ticket, then when it began and when batch, read, gradient and commit were done: five times in
            seconds of one clock.
        """
        self._notes[worker] += _pack(*times)

    def of(self, tickets: np.ndarray) -> dict[str, np.ndarray]:
        """The phases of these gradients.

        Args:
          tickets: int64 of shape (n,).

        Returns:
          For each of ``PHASES`` seconds, float64 of shape (n,); NaN where a ticket was not noted, as that of a commit
          which raised after its row.
        """
        # Copies, since memory cannot grow while NumPy looks at it, and a worker that is stuck may still want it to.
        noted = np.concatenate([self._left, *(np.frombuffer(bytes(notes), _ROW) for notes in self._notes)])
        noted = noted[np.argsort(noted["ticket"], kind="stable")]
        durations = np.full((len(tickets), len(PHASES)), np.nan)
        if self.earlier is not None and len(self.earlier[0]):
            order = np.argsort(self.earlier[0], kind="stable")
            before = self.earlier[0][order]
            place = np.minimum(np.searchsorted(before, tickets), len(before) - 1)
            is_noted = before[place] == tickets
            durations[is_noted] = self.earlier[1][order[place[is_noted]]]
        if len(noted):
            place = np.minimum(np.searchsorted(noted["ticket"], tickets), len(noted) - 1)
            is_noted = noted["ticket"][place] == tickets
            durations[is_noted] = np.diff(noted["at_s"][place[is_noted]])
        return {name: np.ascontiguousarray(column) for name, column in zip(PHASES, durations.T, strict=True)}

    def lacks(self, tickets: np.ndarray) -> bool:
        """Whether some of these tickets were not noted yet; for the thread that calls :meth:`take`."""
        self._gather()
        return not np.isin(tickets, self._left["ticket"]).all()

    def take(self, applied: np.ndarray, dropped: np.ndarray) -> dict[str, np.ndarray]:
        """The columns of these gradients, and lets go of them; for one thread, while workers note others.

        Args:
          applied: tickets, int64.
          dropped: likewise of dropped gradients.

        Returns:
          As :meth:`columns`.
        """
        self._gather()
        earlier, self.earlier = self.earlier, None
        columns = self.of(applied) | {f"dropped.{name}": column for name, column in self.of(dropped).items()}
        self.earlier = earlier
        self._left = self._left[~np.isin(self._left["ticket"], np.concatenate([applied, dropped]))]
        return columns

    def _gather(self) -> None:
        new = []
        for notes in self._notes:
            taken = bytes(notes)
            del notes[: len(taken)]  # while its worker adds to it
            new.append(np.frombuffer(taken, _ROW))
        self._left = np.concatenate([self._left, *new])

    def newest(self, count: int) -> dict[str, np.ndarray]:
        """The phases of about the last gradients, while the workers note on; it takes no longer in a long run.

        Args:
          count: of gradients, ≥ 1.

        Returns:
          For each of ``PHASES`` seconds, float64 of shape (n,), n ≤ count.
        """
        tails = [bytes(notes[-count * _ROW.itemsize :]) for notes in self._notes]  # memory grows by whole rows
        noted = np.concatenate([np.frombuffer(tail, _ROW) for tail in tails])
        noted = noted[np.argsort(noted["at_s"][:, -1], kind="stable")[-count:]]
        return dict(zip(PHASES, np.diff(noted["at_s"]).T, strict=True))

    def columns(self, execution: Execution) -> dict[str, np.ndarray]:
        """What ``TrainResult.timings`` has.

        Args:
          execution: the record of the same run.

        Returns:
          For each of ``PHASES`` seconds, float64, a row for each of the execution's; and with the prefix ``dropped.`` a
          row for each of its dropped gradients.
        """
        dropped = self.of(execution.dropped.ticket)
        return self.of(execution.ticket) | {f"dropped.{name}": column for name, column in dropped.items()}

"""The bars of a timeline: from when to when each gradient was computed, and which of them make a window to look at."""

from __future__ import annotations

import dataclasses

import numpy as np

from jasgd.presenting.curves import committed
from jasgd.presenting.pictures.runs import Run
from jasgd.record.execution import DROP_REASONS
from jasgd.record.timings import PHASES

LEGIBLE = 0.035  # of a window's duration: a bar that holds a number
STARTS = 60  # windows that are looked at


@dataclasses.dataclass(frozen=True, repr=False)
class Bars:
    """The gradients of a run, dropped ones among them, in the order in which they ended.

    Attributes:
      worker: int, of shape (n,), as are all.
      began_s: when the read began, in seconds.
      computing_s: when the gradient began.
      committing_s: when the commit began.
      ended_s: when its update was published, or it was dropped.
      version_read: the version that was read.
      version: the version that it was applied to or dropped at; it made the one after.
      staleness: in updates.
      dropped: "" for an applied one, else the reason.
      timed: whether the run's own clock was read for it.
    """

    worker: np.ndarray
    began_s: np.ndarray
    computing_s: np.ndarray
    committing_s: np.ndarray
    ended_s: np.ndarray
    version_read: np.ndarray
    version: np.ndarray
    staleness: np.ndarray
    dropped: np.ndarray
    timed: np.ndarray

    def __len__(self) -> int:
        return len(self.worker)

    def rows(self, chosen: np.ndarray) -> Bars:
        """Some of the bars."""
        return Bars(**{f.name: getattr(self, f.name)[chosen] for f in dataclasses.fields(self)})


def bars_of(result: Run) -> Bars:
    """The bars of a run.

    The phases of a worker follow each other without a gap, so their sums are its clock. Where a run has no timings, as
    a generated execution, a bar begins where the version that it read had been made and the worker's gradient before
    was done: the read was then or later.

    Args:
      result: of any run that applied a gradient.

    Returns:
      The bars.
    """
    ex, drops = result.execution, result.execution.dropped
    names = ("worker", "ticket", "version_read", "version", "staleness", "time_s")
    columns = {name: np.concatenate([getattr(ex, name), getattr(drops, name)]) for name in names}
    phases = np.stack([_timing(result, name) for name in PHASES])
    why = np.array([""] * len(ex) + [DROP_REASONS[reason] for reason in drops.reason], object)
    columns["time_s"] = np.concatenate([committed(ex), drops.time_s])  # a clock may be read late, after later commits
    order = np.lexsort((columns["version"], columns["time_s"]))
    columns, phases, why = {name: column[order] for name, column in columns.items()}, phases[:, order], why[order]
    ended, ticket = columns.pop("time_s"), columns.pop("ticket")
    began, computing, committing = _by_own_clocks(columns["worker"], ticket, ended, phases)
    timed = np.isfinite(began)
    earliest = _earliest(columns["worker"], columns["version_read"], columns["version"], ended, why == "")
    return Bars(
        **columns,
        began_s=np.where(timed, np.minimum(began, ended), earliest),
        computing_s=np.where(timed, np.minimum(computing, ended), earliest),
        committing_s=np.where(timed, np.minimum(committing, ended), ended),
        ended_s=ended,
        dropped=why,
        timed=timed,
    )


def _timing(result: Run, name: str) -> np.ndarray:
    """A phase of the applied gradients and then of the dropped ones, in seconds; NaN where it is not known."""
    ex = result.execution
    columns = (result.timings.get(name), len(ex)), (result.timings.get(f"dropped.{name}"), len(ex.dropped))
    return np.concatenate([np.full(rows, np.nan) if column is None else column for column, rows in columns])


def _by_own_clocks(
    worker: np.ndarray, ticket: np.ndarray, ended: np.ndarray, phases: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """When read, gradient and commit of each began, in seconds of the run; NaN where a phase is not known."""
    starts = np.full((3, len(worker)), np.nan)
    for one in np.unique(worker):
        own = np.flatnonzero(worker == one)
        own = own[np.argsort(ticket[own], kind="stable")]
        known = np.asarray(np.isfinite(phases[:, own]).all(axis=0))
        # One that is not known has a length that is not known, and what follows has a clock of its own.
        for part in np.split(np.arange(len(own)), np.flatnonzero(~known)):
            rows = own[part[known[part]]]
            if len(rows):
                until = np.cumsum(phases[:, rows].T.ravel()).reshape(-1, len(PHASES))
                # What a commit made was published after it began and before it returned, and no worker began before 0.
                earliest, latest = float((ended[rows] - until[:, 3]).max()), float((ended[rows] - until[:, 2]).min())
                offset = min(max(earliest, 0.0), max(earliest, latest))
                starts[:, rows] = (until[:, :3] + offset).T
    return starts[0], starts[1], starts[2]


def _earliest(
    worker: np.ndarray, version_read: np.ndarray, version: np.ndarray, ended: np.ndarray, applied: np.ndarray
) -> np.ndarray:
    """When each worker can have read at the earliest: after its gradient before, and once the version was made."""
    made = np.zeros(int(max(version_read.max(), version.max())) + 2)  # when each version was there; version 0 at 0
    made[1:] = np.nan
    made[version[applied] + 1] = ended[applied]
    before = np.zeros(len(worker))
    for one in np.unique(worker):
        own = np.flatnonzero(worker == one)
        before[own[1:]] = ended[own[:-1]]
    there = np.nan_to_num(made[version_read])
    return np.minimum(np.maximum(before, there), ended)


def window_of(bars: Bars, gradients: int) -> tuple[int, int]:
    """The stretch of so many gradients that can be read best: most bars hold a number, and most workers take part.

    Args:
      bars: of a run.
      gradients: how many end within the stretch.

    Returns:
      The first of them, and the one after the last.
    """
    count = len(bars)
    if count <= gradients:
        return 0, count

    def legibility(first: int) -> tuple[float, float]:
        within = bars.rows(np.arange(first, first + gradients))
        span = max(float(within.ended_s.max() - within.ended_s.min()), 1e-12)
        wide = (within.ended_s - within.began_s) / span >= LEGIBLE
        workers = len(np.unique(within.worker)) / len(np.unique(bars.worker))
        return float(wide.mean()) + workers, -abs(first - count // 2)

    # The first gradients are left out where there are others: every worker reads the same version then.
    starts = np.unique(np.linspace(min(gradients, count - gradients), count - gradients, STARTS).astype(int))
    best = max(map(int, starts), key=legibility)
    return best, best + gradients

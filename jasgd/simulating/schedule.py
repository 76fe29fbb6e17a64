"""The order in which one scan computes and commits the gradients of an execution, and where each waits meanwhile.

A gradient is computed while its version is the newest, so that no old parameters are kept, and lies in a slot until it
is committed. A step of the scan first takes one commit's gradient out of its slot and applies it, and then computes one
gradient; the slot that has just been left is the first to be filled again, as its memory is still in the cache.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jasgd.record.execution import Execution, ExecutionError

NOTHING = -1


@dataclasses.dataclass(frozen=True, repr=False)
class Schedule:
    """The steps of a scan; one row per step, -1 where a step commits or computes nothing.

    Attributes:
      version: commits before the one that the step makes; int64.
      commit_slot: where the gradient to be applied lies; int32.
      staleness: its τ in updates; int32.
      gradients: how many gradients it is the sum of; int32.
      row: row of the execution whose gradient is computed; int64.
      slot: where it is put; int32.
      fresh: whether it is the first there, else it is added to what lies there; bool.
      ticket: its mini-batch; int64.
      worker: who computes it; int64.
      commit_worker: whose gradient is applied, -1 for several; int32.
      slots: number of slots: gradients that wait at most.
    """

    version: np.ndarray
    commit_slot: np.ndarray
    staleness: np.ndarray
    gradients: np.ndarray
    row: np.ndarray
    slot: np.ndarray
    fresh: np.ndarray
    ticket: np.ndarray
    worker: np.ndarray
    commit_worker: np.ndarray
    slots: int

    def __len__(self) -> int:
        return len(self.version)

    def steps_to(self, version: int) -> int:
        """Steps after which a version is the newest; of a commit that did not end, those to the version before."""
        committing = np.flatnonzero(self.version != NOTHING)
        commits = int(np.searchsorted(self.version[committing], version))
        return int(committing[commits - 1]) + 1 if commits else 0


def schedule(execution: Execution) -> Schedule:
    """Orders the gradients of an execution by the version that they read.

    Args:
      execution: any that is valid; the gradients that share a version must have read the same one.

    Returns:
      The steps: at least one per commit, and as many as there are gradients plus the versions that none was read at.

    Raises:
      ExecutionError: where the execution contradicts itself or was altered since it was written, a ticket is negative,
        or gradients of one commit have read different versions; it names the first such row.

    Example:
      >>> import numpy as np
      >>> from jasgd.record.execution import row_dtype
      >>> rows = np.zeros(3, row_dtype(dropped=False))  # two workers; the second's gradient is one update stale
      >>> rows["version"], rows["version_read"], rows["staleness"] = [0, 1, 2], [0, 0, 1], [0, 1, 1]
      >>> rows["ticket"] = [0, 1, 2]
      >>> steps = schedule(Execution.from_rows(rows, np.zeros(0, row_dtype(dropped=True)), {"workers": 2}))
      >>> steps.row.tolist(), steps.version.tolist(), steps.slots
      ([0, 1, 2, -1, -1], [-1, -1, 0, 1, 2], 2)
    """
    execution.validate()
    execution.unaltered()
    if len(negative := np.flatnonzero(execution.ticket < 0)):
        raise ExecutionError(f"row {negative[0]}: ticket {execution.ticket[negative[0]]} is negative")
    read, version, commits = execution.version_read, execution.version, execution.commits
    same = np.flatnonzero((np.diff(version) == 0) & (np.diff(read) != 0))
    if len(same):
        row = int(same[0]) + 1
        difference = f"version_read {read[row]} is not that of the other gradients of version {version[row]}"
        raise ExecutionError(f"row {row}: {difference}")
    reads = np.bincount(read, minlength=commits + 1)
    # A version begins with the commit that makes it, and lasts for as many steps as gradients are computed on it.
    lasts = np.maximum(reads, 1)
    lasts[0] = reads[0]
    starts = np.cumsum(lasts) - lasts
    order = np.argsort(read, kind="stable")
    steps = starts[read[order]] + np.arange(len(order)) - (np.cumsum(reads) - reads)[read[order]]

    total = int(lasts.sum())
    columns = {name: np.full(total, NOTHING, np.int64) for name in ("version", "row", "ticket", "worker")}
    columns["row"][steps], columns["ticket"][steps] = order, execution.ticket[order]
    columns["worker"][steps] = execution.worker[order]
    first_rows = np.flatnonzero(np.diff(version, prepend=-1))  # of each commit that has rows
    committed = version[first_rows]
    commit_steps = starts[committed + 1]
    columns["version"][commit_steps] = committed
    staleness, gradients = np.zeros(total, np.int32), np.ones(total, np.int32)
    staleness[commit_steps] = execution.staleness[first_rows]
    gradients[commit_steps] = np.diff(np.append(first_rows, len(version)))
    commit_worker = np.full(total, NOTHING, np.int32)
    commit_worker[commit_steps] = np.where(gradients[commit_steps] == 1, execution.worker[first_rows], NOTHING)
    commit_slot, slot, fresh, slots = _slots(columns["version"], columns["row"], version, commits)
    return Schedule(
        **columns,
        commit_slot=commit_slot,
        staleness=staleness,
        gradients=gradients,
        commit_worker=commit_worker,
        slot=slot,
        fresh=fresh,
        slots=slots,
    )


def _slots(committed: np.ndarray, rows: np.ndarray, version: np.ndarray, commits: int) -> tuple:
    """A slot for every commit, from its first gradient on: the one that was left last, or a new one."""
    slot_of = [NOTHING] * commits  # by version
    free: list[int] = []
    slots = 0
    into, out, fresh = [], [], []
    of_row = np.where(rows >= 0, version[rows], NOTHING) if len(version) else rows
    for commit, computed in zip(committed.tolist(), of_row.tolist(), strict=True):
        out.append(NOTHING)
        if commit != NOTHING:
            out[-1] = slot_of[commit]
            free.append(slot_of[commit])
        into.append(NOTHING)
        fresh.append(False)
        if computed != NOTHING:
            if slot_of[computed] == NOTHING:
                if not free:
                    free.append(slots)
                    slots += 1
                slot_of[computed] = free.pop()
                fresh[-1] = True
            into[-1] = slot_of[computed]
    return np.array(out, np.int32), np.array(into, np.int32), np.array(fresh, bool), slots

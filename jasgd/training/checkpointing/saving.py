"""Saving a run while it goes on: the thread that takes snapshots, waits for their rows, and writes them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from jasgd.core.finiteness import are_finite
from jasgd.core.messages import Snapshot
from jasgd.record.checkpoints.history import History
from jasgd.record.checkpoints.layout import INITIAL
from jasgd.record.checkpoints.options import Checkpoints
from jasgd.record.checkpoints.segments import Segment, joined
from jasgd.record.checkpoints.state import SavedState
from jasgd.record.checkpoints.writing import CheckpointFolder, Save
from jasgd.record.result import Outcome
from jasgd.thread_context import inherited
from jasgd.training.checkpointing.resuming import trees_of
from jasgd.training.run import Run
from jasgd.warning_types import CheckpointWarning

POLL_S = 0.01  # how often it is looked whether a save is due
ROWS_S = 10.0  # how long a save waits for the rows of commits that are published, beside two gradients
NOTES_S = 1.0  # and for what workers note after that
JOIN_S = 60.0  # how long the end of a run waits for a save that is under way


class Checkpointing:
    """Saves a run every so often, and at its end.

    Guarantees. A checkpoint has all commits below its version, and nothing of others: the snapshot is taken first, and
    rows are waited for, since a worker writes its row after the publication. Workers wait for no disk.

    Args:
      run: the run.
      options: where, and how often.
      metadata: of the execution.
      evaluations: what ``evaluate`` gives in this part of the run, a list that grows.
      state: what the run goes on with; None where it begins anew.
      device: a jax device for copies; None for JAX's default.
      on_saved: called with the folder of each checkpoint and what it holds, by the thread that saved it.

    Attributes:
      history: what was sealed.
      evaluated: how many of the evaluations are in it.
      warning: the first warning that was raised instead of shown; None where there was none.
    """

    def __init__(
        self,
        run: Run,
        options: Checkpoints,
        *,
        metadata: Mapping[str, Any],
        evaluations: list[dict[str, float]],
        state: SavedState | None,
        first_ticket: int,
        device: Any,
        on_saved: Callable[[Path, Snapshot], None],
    ):
        self._run, self._options, self._metadata, self._evaluations = run, options, metadata, evaluations
        self._device, self._first_ticket, self._on_saved = device, first_ticket, on_saved
        self.history = History(options.path, on_disk=options.rows_on_disk)
        self.history.tickets.begin(first_ticket)
        self._unwritten: list[Segment] = []
        link, damaged, self._version, self._counters = None, (), -1, {}
        self._newest = None if state is None else state.newest
        if state is not None:
            self._counters = dict(state.counters)
            if _same(state.folder, options.path):
                self.history, link, self._version = state.history, state.link, state.version
                damaged = state.damaged
            else:
                self._unwritten.append(state.history.whole())
                self.history.append(self._unwritten[0])
        self._goes_on = link is not None or (state is not None and _same(state.folder, options.path))
        self._folder = CheckpointFolder(options.path, keep=options.keep, link=link, damaged=damaged)
        self._sealed_to = run.ledger.first_version
        self._tried = run.ledger.first_version
        self.evaluated = 0
        self.warning: CheckpointWarning | None = None
        self._stop = threading.Event()
        self._under = inherited()
        self._thread = threading.Thread(target=self._under, args=(self._watch,), name="jasgd-checkpoints", daemon=True)

    def begin(self, initial: Mapping[str, Any]) -> None:
        """Writes what the run begins with; raises what keeps it from being written, before anything is trained.

        Args:
          initial: pytrees by the name of their file.
        """
        if self._goes_on:  # in the same folder
            self._folder.go_on(self._newest)
            return
        record = {"seed": self._metadata["seed"], "initial_params": self._metadata["initial_params"]}
        record["notes"] = dict(self._options.notes or {})
        self._folder.begin({INITIAL + name: tree for name, tree in initial.items()}, record)

    def start(self) -> None:
        """Starts the thread that saves."""
        if self._options.every_s is not None or self._options.every_steps is not None:
            self._thread.start()

    def end(self, snapshot: Snapshot | None) -> None:
        """Ends the thread, and saves the end of the run; a run that diverged keeps its last good checkpoint.

        Args:
          snapshot: the newest, None where there is none.
        """
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(JOIN_S)
            if self._thread.is_alive():
                self._warn(f"a save into {self._options.path} has not ended for {JOIN_S:g} s, and is left alone")
                return
        if snapshot is None or self._run.outcome is Outcome.DIVERGED:
            return
        self._attempt(snapshot, ended=True)

    def close(self) -> None:
        """Lets others write into the folder; the run has ended, or did not begin."""
        self._folder.release()

    def _watch(self) -> None:
        device = contextlib.nullcontext() if self._device is None else jax.default_device(self._device)
        with device:
            every_s, every_steps = self._options.every_s, self._options.every_steps
            next_s = time.perf_counter() + (every_s or 0.0)
            while not self._stop.wait(POLL_S) and not self._run.over.is_set():
                due = every_s is not None and time.perf_counter() >= next_s
                due = due or (every_steps is not None and self._commits() - self._tried >= every_steps)
                if due:
                    self._attempt(None, ended=False)
                    next_s = time.perf_counter() + (every_s or 0.0)

    def _commits(self) -> int:
        return self._run.ledger.newest_version

    def _attempt(self, snapshot: Snapshot | None, *, ended: bool) -> None:
        """Saves; whatever keeps it from that is a warning, and the run goes on."""
        try:
            self._save(snapshot, ended=ended)
        except Exception as error:
            if isinstance(error, TimeoutError) and self._run.over.is_set() and not ended:
                return  # the run was ended meanwhile, and is saved at its end
            cause = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            rest = "the result alone has the end" if ended else "the run goes on, and the next save is tried as well"
            self._warn(f"a checkpoint could not be saved: {cause}; {rest}")

    def _save(self, snapshot: Snapshot | None, *, ended: bool) -> None:
        run = self._run
        if snapshot is None:
            snapshot = run.scheme.whole_snapshot()
        # Before the clock has started, as in a long first evaluation, it shows what compiling took.
        begins = not ended and snapshot.version == run.ledger.first_version
        now = run.ledger.offset_s if begins else run.ledger.now()
        version = self._tried = snapshot.version
        if not ended and version <= self._version:
            return
        params, _ = run.compiled.parted(snapshot.params)  # a model state may have what is not finite
        if not are_finite(params):
            return  # the run is about to end as diverged
        if ended and run.scheme.unfinished:
            raise RuntimeError(f"commits of the versions {sorted(run.scheme.unfinished)[:3]} have not ended")
        self._await_rows(version, ended=ended)
        segment = self._seal(version)
        time_s = max([now, *segment.applied["time_s"].tolist()[-1:]])
        counters = self._counters | {
            name: count + self._counters.get(name, 0) for name, count in dict(run.scheme.counters or {}).items()
        }
        tickets = self.history.tickets
        record = {
            "time_s": time_s,
            "counters": counters,
            "first_ticket": self._first_ticket,
            "next_ticket": tickets.next,
            "pending": tickets.pending,
            "metadata": dict(self._metadata) | {"workers": run.workers, "in_flight": []},
            "outcome": str(run.outcome) if ended and run.outcome is not None else None,
            "message": run.message if ended else "",
        }
        save = Save(version, trees_of(run.compiled, snapshot.params, snapshot.state), record)
        link = self._folder.link
        try:
            folder = self._folder.save(joined(self._unwritten), save)
        finally:
            if self._folder.link != link:  # the rows are on the disk, whatever became of the rest
                self.history.written(len(self._unwritten), self._folder.link)
                self._unwritten.clear()
        self._version = version
        self._on_saved(folder, snapshot)

    def _seal(self, version: int) -> Segment:
        run = self._run
        applied, dropped = run.ledger.seal(version)
        new = list(self._evaluations)[self.evaluated :]
        count = next((i for i, evaluation in enumerate(new) if evaluation["version"] > version), len(new))
        self.evaluated += count
        segment = Segment(
            applied,
            dropped,
            run.aux.take(applied["ticket"]),
            run.phases.take(applied["ticket"], dropped["ticket"]),
            new[:count],
        )
        self._sealed_to = version
        self._unwritten.append(segment)
        self.history.append(segment)
        return segment

    def _await_rows(self, version: int, *, ended: bool) -> None:
        """Waits until all rows below a version are written, and what workers note with them."""
        run, began = self._run, time.perf_counter()
        each = run.scheme.rows_per_version
        quiet = _Quiet(run) if each is None and not ended else None
        while True:
            applied, _ = run.ledger.below(version)
            expected = (version - self._sealed_to) * (each or 1)
            rows = len(applied) if each is not None else len(set(applied["version"].tolist()))
            if rows >= expected and (quiet is None or quiet.is_over()):
                break
            if ended or time.perf_counter() - began > ROWS_S + 2 * max(run.longest_s):
                raise TimeoutError(f"{rows} of {expected} rows below version {version} are written")
            time.sleep(0.001)
        while run.phases.lacks(applied["ticket"]) and time.perf_counter() - began < (0 if ended else NOTES_S):
            time.sleep(0.001)

    def _warn(self, text: str) -> None:
        try:
            warnings.warn(text, CheckpointWarning, stacklevel=2)
        except CheckpointWarning as warning:  # where warnings are errors
            self.warning = self.warning or warning


class _Quiet:
    """Whether every worker that was at a gradient has done one since, where it is not known how many rows there are."""

    def __init__(self, run: Run):
        self._run, self._reads = run, list(run.ledger.in_flight)
        self._waits = {worker for worker, version in enumerate(self._reads) if version >= 0}

    def is_over(self) -> bool:
        present = self._run.ledger.in_flight
        self._waits = {worker for worker in self._waits if present[worker] == self._reads[worker]}
        return not self._waits


def _same(one: Any, other: Any) -> bool:
    return one is not None and os.path.realpath(one) == os.path.realpath(other)

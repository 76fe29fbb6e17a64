"""The runs of a simulation, side by side: scans in chunks, evaluations between them, and a result from each."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.core.compiled import Leaves
from jasgd.core.finiteness import first_nonfinite_leaf, paths_of
from jasgd.core.freed_memory import give_back
from jasgd.jax_settings import processors
from jasgd.record.evaluations import named_numbers
from jasgd.record.execution import Execution
from jasgd.record.result import TrainResult
from jasgd.simulating.lane_results import Divergence, by_commit, by_loss, first_nonfinite, lane_result, with_rows
from jasgd.simulating.preparation import Lane, SimulationTask, evaluation_marks
from jasgd.simulating.scan import Carry, StepOutputs, Steps, steps_of
from jasgd.simulating.schedule import NOTHING
from jasgd.thread_context import inherited

POLL_S = 0.1
LOOKS = 31  # versions that are looked at in one scan for the first that is not finite

AtMark = Callable[[int, int, Leaves, Leaves], None]


class _Scans:
    """One lane, or several that are vectorised, from the first version to the last."""

    def __init__(self, task: SimulationTask, lanes: Sequence[Lane], tick: Callable[[int], None], *, vectorised: bool):
        self.task, self.lanes, self._tick, self._vectorised = task, lanes, tick, vectorised
        self._slots = max(task.slots, *(lane.plan.slots for lane in lanes))
        self._plans = [dataclasses.replace(lane.plan, slots=self._slots) for lane in lanes]
        self._grouped = any((p.gradients > 1).any() for p in self._plans)
        self.outputs: list[list[StepOutputs]] = [[] for _ in lanes]
        self.bad = [lane.execution.commits for lane in lanes]  # the first version of a gradient with a loss not finite

    def run(self, marks: Sequence[Sequence[int]], at_mark: AtMark, *, keep: bool) -> None:
        """Scans from mark to mark, versions of each lane that do not fall.

        ``at_mark(lane, version, params, state)`` is called at each; ``keep`` keeps the outputs of the scans.
        """
        carry, length = self._begin(), self.task.chunk
        starts = [0] * len(self.lanes)
        for mark in range(max(map(len, marks))):
            versions = [of_lane[min(mark, len(of_lane) - 1)] for of_lane in marks]
            stops = [plan.steps_to(version) for plan, version in zip(self._plans, versions, strict=True)]
            while starts != stops:
                spans = [(start, min(start + length, stop)) for start, stop in zip(starts, stops, strict=True)]
                carry = self._chunk(carry, spans, keep)
                starts = [stop for _, stop in spans]
            for lane, version in enumerate(versions):
                if mark < len(marks[lane]):
                    at_mark(lane, version, *self._own(carry, lane))

    def _own(self, carry: Carry, lane: int) -> tuple[Leaves, Leaves]:
        # Copied, as the next scan reuses the memory of this carry.
        own = (lambda leaf: jnp.copy(leaf[lane])) if self._vectorised else jnp.copy
        return tuple(map(own, carry.params)), tuple(map(own, carry.state))

    def _begin(self) -> Carry:
        carries = [self.task.program.begin(lane.params, lane.state, self._slots) for lane in self.lanes]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *carries) if self._vectorised else carries[0]

    def _chunk(self, carry: Carry, spans: list[tuple[int, int]], keep: bool) -> Carry:
        program, batches = self.task.program, self.task.batches
        steps_of_lanes = []
        for lane, plan, (start, stop) in zip(self.lanes, self._plans, spans, strict=True):
            idle = np.full(self.task.chunk - (stop - start), NOTHING)
            tickets, workers = (np.concatenate([column[start:stop], idle]) for column in (plan.ticket, plan.worker))
            batch = batches.draw(lane.seed_index, tickets, workers)
            steps_of_lanes.append(steps_of(plan, start, stop, self.task.chunk, batch))
        rates = [lane.learning_rate for lane in self.lanes]  # Python's numbers, whose type is weak when traced
        if self._vectorised:
            steps: Steps = _stacked(steps_of_lanes)
            carry, outputs = program.run_lanes(carry, batches.shared, steps, _stacked(rates), grouped=self._grouped)
        else:
            carry, outputs = program.run(carry, batches.shared, steps_of_lanes[0], rates[0], grouped=self._grouped)
        outputs = jax.tree.map(np.asarray, outputs)  # waits
        for lane, (start, stop) in enumerate(spans):
            if keep:
                count = stop - start
                pick = (lambda leaf: leaf[lane, :count]) if self._vectorised else (lambda leaf: leaf[:count])  # noqa: B023
                self.outputs[lane].append(jax.tree.map(pick, outputs))
                self._note_nonfinite(lane, self._plans[lane].row[start:stop], self.outputs[lane][-1].loss)
            self._tick(int(np.sum(self._plans[lane].version[start:stop] != NOTHING)))
        return carry

    def _note_nonfinite(self, lane: int, rows: np.ndarray, losses: np.ndarray) -> None:
        bad = rows[(rows != NOTHING) & ~np.isfinite(losses)]
        self.bad[lane] = int(self.lanes[lane].execution.version[bad].min(initial=self.bad[lane]))


OnProgress = Callable[[int, int], None]


def run_in_threads(
    jobs: Sequence[tuple[SimulationTask, Lane]],
    on_progress: OnProgress | None = None,
    conclude: Callable[[Lane, TrainResult], Any] = lambda lane, result: result,
) -> list[Any]:
    """A scan for each lane, on as many threads as there are processors.

    Args:
      jobs: the runs, each with its task.
      on_progress: called by this thread as ``on_progress(done, all)``, in updates.
      conclude: called as ``conclude(lane, result)`` by the run's thread.

    Returns:
      The value of ``conclude`` for each run.
    """
    progress, under_settings = _Progress(on_progress, [lane for _, lane in jobs]), inherited()

    def one(task: SimulationTask, lane: Lane) -> Any:
        return conclude(lane, _run(task, [lane], progress.tick, vectorised=False)[0])

    with concurrent.futures.ThreadPoolExecutor(processors()) as pool:
        try:
            futures = [pool.submit(under_settings, one, task, lane) for task, lane in jobs]
            pending = set(futures)
            while pending:
                done, pending = concurrent.futures.wait(pending, POLL_S, concurrent.futures.FIRST_EXCEPTION)
                for future in done:
                    future.result()  # raises what the lane raised
                progress.report()
        except BaseException:
            progress.cancelled.set()
            pool.shutdown(cancel_futures=True)
            raise
    _give_back(jobs)
    return [future.result() for future in futures]


def run_vectorised(
    jobs: Sequence[tuple[SimulationTask, Lane]], on_progress: OnProgress | None = None
) -> list[TrainResult]:
    """One scan, vectorised over the lanes.

    Args:
      jobs: the runs; they have everything in common but their lanes.
      on_progress: called as ``on_progress(done, all)``, in updates.

    Returns:
      A result for each.
    """
    lanes = [lane for _, lane in jobs]
    progress = _Progress(on_progress, lanes)

    def tick(updates: int) -> None:
        progress.tick(updates)
        progress.report()

    results = _run(jobs[0][0], lanes, tick, vectorised=True)
    _give_back(jobs)
    return results


def _give_back(jobs: Sequence[tuple[SimulationTask, Lane]]) -> None:
    """The memory of the scans, which have ended."""
    give_back(leaf for _, lane in jobs for leaf in (*lane.params, *lane.state))


def _stacked(trees: Sequence[Any]) -> Any:
    def stacked(*leaves: Any) -> Any:
        return np.stack(leaves) if isinstance(leaves[0], np.ndarray) else jnp.stack([jnp.asarray(x) for x in leaves])

    return jax.tree.map(stacked, *trees)


class Cancelled(RuntimeError):
    """Raised in a run whose simulation was interrupted, or had another run fail."""


class _Progress:
    def __init__(self, on_progress: OnProgress | None, lanes: Sequence[Lane]):
        self._on_progress = on_progress
        self._all = sum(int(np.sum(lane.plan.version != NOTHING)) for lane in lanes)
        self._done, self._mutex, self.cancelled = 0, threading.Lock(), threading.Event()

    def tick(self, updates: int) -> None:
        if self.cancelled.is_set():
            raise Cancelled("the simulation was given up")
        with self._mutex:
            self._done += updates

    def report(self) -> None:
        if self._on_progress is not None:
            self._on_progress(min(self._done, self._all), self._all)


def _run(
    task: SimulationTask, lanes: Sequence[Lane], tick: Callable[[int], None], *, vectorised: bool
) -> list[TrainResult]:
    scans = _Scans(task, lanes, tick, vectorised=vectorised)
    evaluations: list[list[dict[str, float]]] = [[] for _ in lanes]
    ends: list[tuple[Leaves, Leaves]] = [((), ()) for _ in lanes]
    marks = [evaluation_marks(lane.execution.commits, task.evaluate_every_steps) for lane in lanes]

    def evaluate(lane: int, version: int, params: Leaves, state: Leaves) -> None:
        ends[lane] = params, state
        is_bad = task.check_finite and scans.bad[lane] < version
        if task.evaluate is not None and not is_bad and _first_nonfinite(task, params) is None:
            before = lanes[lane].execution.time_s[lanes[lane].execution.version < version]
            when = {"time_s": float(before.max()) if len(before) else 0.0, "version": version}
            given = task.program.compiled.evaluated(task.evaluate, params, state)
            evaluations[lane].append(when | named_numbers(given, set(when)))

    scans.run(marks, evaluate, keep=True)
    outputs = [jax.tree.map(lambda *leaves: np.concatenate(leaves), *of_lane) for of_lane in scans.outputs]
    computed = [with_rows(lane, of_lane) for lane, of_lane in zip(lanes, outputs, strict=True)]
    executions = [execution for execution, _ in computed]
    divergences = _divergences(scans, executions, [params for params, _ in ends])
    if any(divergences):
        limits = [(d.good, d.commits) if d is not None else (0,) for d in divergences]
        again: list[list[tuple[Leaves, Leaves]]] = [[] for _ in lanes]
        scans.run(limits, lambda lane, _, params, state: again[lane].append((params, state)), keep=False)
        for lane in [lane for lane, divergence in enumerate(divergences) if divergence is not None]:
            (good, _), (_, last) = again[lane]
            ends[lane] = good, last
    return [
        lane_result(task, lane, computed[i], divergences[i], ends[i], evaluations[i]) for i, lane in enumerate(lanes)
    ]


def _first_nonfinite(task: SimulationTask, leaves: Leaves) -> int | None:
    """The number of the first leaf of the parameters that is not finite, or None; a model state is not looked at."""
    return first_nonfinite_leaf(task.program.compiled.parted(leaves)[0])


def _divergences(scans: _Scans, executions: list[Execution], ends: list[Leaves]) -> list[Divergence | None]:
    """How each lane came not to be finite, None where it is: by a loss, or before that by a commit.

    Parameters that are not finite stay so. So where those at a lane's end are finite, all were; and where they are not,
    the first commit is found by scanning again, with looks at some versions between, and then at some between two.
    """
    lanes = range(len(executions))
    by_losses: list[Divergence | None] = [None for _ in lanes]
    for lane, execution in enumerate(executions):
        row = first_nonfinite(execution) if scans.task.check_finite else None
        by_losses[lane] = by_loss(execution, row) if row is not None else None
    finite, bad = [0 for _ in lanes], [(0, -1) for _ in lanes]  # versions between which it is; the latter with its leaf
    suspects = [lane for lane in lanes if _first_nonfinite(scans.task, ends[lane]) is not None]

    def look(lane: int, version: int, params: Leaves, state: Leaves) -> None:
        leaf = _first_nonfinite(scans.task, params)
        if leaf is None:
            finite[lane] = max(finite[lane], version)
        elif version < bad[lane][0]:
            bad[lane] = version, leaf

    for lane in suspects:
        end = by_losses[lane]
        # One more than is kept, as nothing is known of the last one yet.
        bad[lane] = (executions[lane].commits if end is None else end.commits) + 1, -1
    while searched := [lane for lane in suspects if bad[lane][0] - finite[lane] > 1]:
        marks: list[list[int]] = [[0] for _ in lanes]
        for lane in searched:
            between = np.linspace(finite[lane], bad[lane][0], LOOKS + 2)[1:-1].round().astype(int)
            inside = {int(v) for v in between if finite[lane] < v < bad[lane][0]}
            # The last version first of all: most often all of a lane that a loss has ended are finite.
            marks[lane] = sorted(inside) if bad[lane][1] >= 0 else [bad[lane][0] - 1]
        scans.run(marks, look, keep=False)
    paths = paths_of(scans.task.program.compiled.params_structure)
    return [
        by_commit(executions[lane], bad[lane][0] - 1, bad[lane][1], paths) if bad[lane][1] >= 0 else by_losses[lane]
        for lane in lanes
    ]

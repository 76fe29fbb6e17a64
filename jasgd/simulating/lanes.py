"""The runs of a simulation, side by side: scans in chunks, evaluations between them, and a result from each."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.core.admission import aux_names
from jasgd.core.compiled import Leaves
from jasgd.inherit import inherited
from jasgd.jax_settings import processors
from jasgd.record.environment import describe_dtypes, describe_environment
from jasgd.record.execution import Execution
from jasgd.record.result import Outcome, TrainResult, digest
from jasgd.record.truncation import truncated
from jasgd.simulating.scan import Carry, Made, Program, Steps, steps_of
from jasgd.simulating.scan_batches import Feed
from jasgd.simulating.schedule import NOTHING, Schedule
from jasgd.training.engines.supervisor import named_numbers

POLL_S = 0.1

AtMark = Callable[[int, int, Leaves, Leaves], None]


@dataclasses.dataclass(frozen=True)
class Task:
    """What the runs of a simulation have in common."""

    program: Program
    feed: Feed
    evaluate: Callable[[Any], float | Mapping[str, float]] | None
    evaluate_every: int | None
    check_finite: bool
    device: Any
    batch: Any  # any
    slots: int  # at least so many, so that executions with fewer are not compiled for
    chunk: int  # steps of one call, see chunk_of; what is not filled does nothing


@dataclasses.dataclass(frozen=True)
class Lane:
    """One run: a seed and a step size."""

    seed: int
    step_size: Any  # a pytree of numbers, what the program's tx takes; None where that takes none
    source: int  # which of the feed's
    execution: Execution
    plan: Schedule
    params: Leaves
    state: Leaves


class _Scans:
    """One lane, or several that are vectorised, from the first version to the last."""

    def __init__(self, task: Task, lanes: Sequence[Lane], tick: Callable[[int], None], *, vectorised: bool):
        self.task, self.lanes, self._tick, self._vectorised = task, lanes, tick, vectorised
        self._slots = max(task.slots, *(lane.plan.slots for lane in lanes))
        self._plans = [dataclasses.replace(lane.plan, slots=self._slots) for lane in lanes]
        self._grouped = any((p.gradients > 1).any() for p in self._plans)
        self.made: list[list[Made]] = [[] for _ in lanes]
        self.bad = [lane.execution.commits for lane in lanes]  # the first version of a gradient with a loss not finite

    def run(self, marks: Sequence[Sequence[int]], at_mark: AtMark, *, keep: bool) -> None:
        """Scans from mark to mark, versions of each lane that do not fall.

        ``at_mark(lane, version, params, state)`` is called at each; ``keep`` keeps what the scans give.
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
        # Copied, as the next scan is given the memory of what this one leaves behind.
        own = (lambda leaf: jnp.copy(leaf[lane])) if self._vectorised else jnp.copy
        return tuple(map(own, carry.params)), tuple(map(own, carry.state))

    def _begin(self) -> Carry:
        carries = [self.task.program.begin(lane.params, lane.state, self._slots) for lane in self.lanes]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *carries) if self._vectorised else carries[0]

    def _chunk(self, carry: Carry, spans: list[tuple[int, int]], keep: bool) -> Carry:
        program, source = self.task.program, self.task.feed
        told = []
        for lane, plan, (start, stop) in zip(self.lanes, self._plans, spans, strict=True):
            idle = np.full(self.task.chunk - (stop - start), NOTHING)
            batch = source.given(lane.source, np.concatenate([plan.ticket[start:stop], idle]))
            told.append(steps_of(plan, start, stop, self.task.chunk, batch))
        sizes = [lane.step_size for lane in self.lanes]  # Python's numbers, whose type is weak when traced
        if self._vectorised:
            steps: Steps = _stacked(told)
            carry, made = program.run_lanes(carry, source.shared, steps, _stacked(sizes), grouped=self._grouped)
        else:
            carry, made = program.run(carry, source.shared, told[0], sizes[0], grouped=self._grouped)
        made = jax.tree.map(np.asarray, made)  # waits
        for lane, (start, stop) in enumerate(spans):
            if keep:
                count = stop - start
                pick = (lambda leaf: leaf[lane, :count]) if self._vectorised else (lambda leaf: leaf[:count])  # noqa: B023
                self.made[lane].append(jax.tree.map(pick, made))
                self._note_nonfinite(lane, self._plans[lane].row[start:stop], self.made[lane][-1].loss)
            self._tick(int(np.sum(self._plans[lane].version[start:stop] != NOTHING)))
        return carry

    def _note_nonfinite(self, lane: int, rows: np.ndarray, losses: np.ndarray) -> None:
        bad = rows[(rows != NOTHING) & ~np.isfinite(losses)]
        self.bad[lane] = int(self.lanes[lane].execution.version[bad].min(initial=self.bad[lane]))


def chunk_of(lanes: Sequence[Lane], every: int | None, longest: int) -> int:
    """Steps of one call, as many for all lanes, so that nothing is compiled twice.

    Args:
      lanes: the runs.
      every: updates between evaluations, or None.
      longest: steps of one call, at most.

    Returns:
      The longest way between two evaluations, or an equal part of it.
    """
    ways = [np.diff([lane.plan.steps_to(mark) for mark in _marks(lane.execution.commits, every)]) for lane in lanes]
    most = max(int(of_lane.max()) for of_lane in ways)
    return -(-most // -(-most // longest))


OnProgress = Callable[[int, int], None]


def run_in_threads(
    jobs: Sequence[tuple[Task, Lane]],
    on_progress: OnProgress | None = None,
    conclude: Callable[[Lane, TrainResult], Any] = lambda lane, result: result,
) -> list[Any]:
    """A scan for each lane, on as many threads as there are processors.

    Args:
      jobs: the runs, each with what it has in common with others.
      on_progress: called by this thread as ``on_progress(done, all)``, in updates.
      conclude: called by the run's thread with what came of it.

    Returns:
      What ``conclude`` gave for each.
    """
    progress, settings = _Progress(on_progress, [lane for _, lane in jobs]), inherited()

    def one(task: Task, lane: Lane) -> Any:
        with settings():
            return conclude(lane, _run(task, [lane], progress.tick, vectorised=False)[0])

    with concurrent.futures.ThreadPoolExecutor(processors()) as pool:
        futures = [pool.submit(one, task, lane) for task, lane in jobs]
        try:
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
    return [future.result() for future in futures]


def run_vectorised(jobs: Sequence[tuple[Task, Lane]], on_progress: OnProgress | None = None) -> list[TrainResult]:
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

    return _run(jobs[0][0], lanes, tick, vectorised=True)


def _stacked(trees: Sequence[Any]) -> Any:
    def stacked(*leaves: Any) -> Any:
        return np.stack(leaves) if isinstance(leaves[0], np.ndarray) else jnp.stack([jnp.asarray(x) for x in leaves])

    return jax.tree.map(stacked, *trees)


class Cancelled(RuntimeError):
    """Another run of the simulation failed, or it was interrupted."""


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


def _run(task: Task, lanes: Sequence[Lane], tick: Callable[[int], None], *, vectorised: bool) -> list[TrainResult]:
    scans = _Scans(task, lanes, tick, vectorised=vectorised)
    evaluations: list[list[dict[str, float]]] = [[] for _ in lanes]
    ends: list[tuple[Leaves, Leaves]] = [((), ()) for _ in lanes]
    marks = [_marks(lane.execution.commits, task.evaluate_every) for lane in lanes]

    def evaluate(lane: int, version: int, params: Leaves, state: Leaves) -> None:
        ends[lane] = params, state
        if task.evaluate is not None and not (task.check_finite and scans.bad[lane] < version):
            before = lanes[lane].execution.time_s[lanes[lane].execution.version < version]
            told = {"time_s": float(before.max()) if len(before) else 0.0, "version": version}
            tree = jax.tree.unflatten(task.program.compiled.params_structure, params)
            evaluations[lane].append(told | named_numbers(task.evaluate(tree), set(told)))

    scans.run(marks, evaluate, keep=True)
    made = [jax.tree.map(lambda *leaves: np.concatenate(leaves), *of_lane) for of_lane in scans.made]
    told = [_rows(lane, of_lane) for lane, of_lane in zip(lanes, made, strict=True)]
    bad = [_first_nonfinite(execution) if task.check_finite else None for execution, _ in told]
    goods = [lane.execution.commits for lane in lanes]
    if any(row is not None for row in bad):
        limits = [
            (_good(execution, row), int(execution.version[row])) if row is not None else (0,)
            for row, (execution, _) in zip(bad, told, strict=True)
        ]

        again: list[list[tuple[Leaves, Leaves]]] = [[] for _ in lanes]
        scans.run(limits, lambda lane, _, params, state: again[lane].append((params, state)), keep=False)
        for lane in [lane for lane, row in enumerate(bad) if row is not None]:
            (good, _), (_, last) = again[lane]
            ends[lane], goods[lane] = (good, last), limits[lane][0]
    return [_result(task, lane, told[i], bad[i], goods[i], ends[i], evaluations[i]) for i, lane in enumerate(lanes)]


def _marks(commits: int, every: int | None) -> list[int]:
    return [*range(0, commits, commits if every is None else every), commits]


def _rows(lane: Lane, made: Made) -> tuple[Execution, Any]:
    """The execution with losses and factors, and the aux of its rows."""
    plan, ex = lane.plan, lane.execution
    computes, commits = np.flatnonzero(plan.row != NOTHING), np.flatnonzero(plan.version != NOTHING)
    of_row = computes[np.argsort(plan.row[computes])]  # the step of each row
    factor = np.full(ex.commits, np.nan, np.float32)
    factor[plan.version[commits]] = made.factor[commits]
    aux = None if made.aux is None else jax.tree.map(lambda leaf: leaf[of_row], made.aux)
    return ex.replaced(loss=made.loss[of_row], factor=factor[ex.version]), aux


def _first_nonfinite(execution: Execution) -> int | None:
    rows = np.flatnonzero(~np.isfinite(execution.loss))
    return int(rows[0]) if len(rows) else None


def _good(execution: Execution, row: int) -> int:
    """The newest version that a finite loss was computed on before that row's commit."""
    before = execution.version < execution.version[row]
    return int(execution.version_read[before & np.isfinite(execution.loss)].max(initial=0))


def _result(
    task: Task,
    lane: Lane,
    told: tuple[Execution, Any],
    bad: int | None,
    good: int,
    end: tuple[Leaves, Leaves],
    evaluations: list[dict[str, float]],
) -> TrainResult:
    (execution, aux), (params, state), compiled = told, end, task.program.compiled
    outcome, message = Outcome.FINISHED, f"all {execution.commits} steps were taken"
    more: dict[str, Any] = {}
    if bad is not None:
        outcome = Outcome.DIVERGED
        message = (
            f"the loss at version {execution.version_read[bad]} (ticket {execution.ticket[bad]}, worker "
            f"{execution.worker[bad]}) is {execution.loss[bad]}"
        )
        commits = int(execution.version[bad])
        kept = execution.version < commits
        aux = None if aux is None else jax.tree.map(lambda leaf: leaf[kept], aux)
        execution, more = truncated(execution, commits), {"params_version": good}
    # What a recorded run that diverged says of its parameters is not so of these.
    recorded = {name: value for name, value in execution.metadata.items() if name != "params_version"}
    metadata = recorded | {
        "seed": lane.seed,
        "step_size": lane.step_size,
        "initial_params": digest(lane.params),
        "initial_opt_state": digest(lane.state),
        "environment": describe_environment(task.device),
        "has_aux": compiled.has_aux,
        "dtypes": describe_dtypes(params=lane.params, opt_state=lane.state, batch=task.batch),
        "simulated": True,
        "final_params": digest(params),
        "final_opt_state": digest(state),
        **more,
    }
    columns = {}
    if aux is not None:
        columns = dict(zip(aux_names(aux), jax.tree.leaves(aux), strict=True))
    return TrainResult(
        params=jax.tree.unflatten(compiled.params_structure, params),
        opt_state=jax.tree.unflatten(compiled.state_structure, state),
        execution=dataclasses.replace(execution, metadata=metadata),
        outcome=outcome,
        message=message,
        evaluations=evaluations,
        aux=columns,
        counters={},
        duration_s=float(execution.time_s.max()) if len(execution) else 0.0,
        initial_params=jax.tree.unflatten(compiled.params_structure, lane.params),
    )

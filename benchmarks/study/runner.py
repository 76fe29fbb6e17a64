"""Runs what is missing, in two processes, until all is done or the time is up."""

from __future__ import annotations

import concurrent.futures
import math
import multiprocessing
import os
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.study import design, exploratory
from benchmarks.study.plan import STAGES, wanted
from benchmarks.study.runs.cache import CellRuns

PROCESSES = 2
WRITE_EVERY = 20  # runs

_engines: dict[tuple[str, str], object] = {}  # of this process, by problem and change
_deadline = [math.inf]  # of this process, as of time.monotonic, which all processes of a machine share


def run_cells(
    cells: Sequence[design.Cell],
    folder: Path,
    *,
    arms: Sequence[str] | None = None,
    stages: Sequence[str] = STAGES,
    minutes: float = 60.0,
    processes: int = PROCESSES,
) -> bool:
    """Runs the stages of cells, each cell by one process.

    Args:
      cells: in the order in which they are begun; all of them for one stage before the next.
      folder: of the cache.
      arms: which, the constant step first; None for all of each cell.
      stages: which.
      minutes: after which no further run is begun.
      processes: at once.

    Returns:
      Whether all is done.
    """
    deadline = time.monotonic() + 60 * minutes

    def of(cell: design.Cell) -> tuple[str, ...]:
        return tuple(arms) if arms else exploratory.arms_of(cell) if cell.change else design.ARMS

    context = multiprocessing.get_context("spawn")  # a fork of a process that has started JAX can deadlock
    with concurrent.futures.ProcessPoolExecutor(processes, context, begin, (deadline,)) as pool:
        for stage in stages:
            jobs = [pool.submit(run_cell, cell, stage, str(folder), of(cell)) for cell in cells]
            for job in concurrent.futures.as_completed(jobs):
                cell, count, done, seconds = job.result()
                if count:
                    _note_cost(folder, cell, stage, count, seconds)
                    print(
                        f"{cell}: {stage} {'done' if done else 'begun'}, {count} runs in {seconds:.0f} s of processor",
                        flush=True,
                    )
    return all(not wanted(cell, stages[-1], of(cell), CellRuns(folder, cell).runs).keys for cell in cells)


def _note_cost(folder: Path, cell: str, stage: str, runs: int, seconds: float) -> None:
    """Adds a line to what the study has cost; this process alone writes it."""
    file = folder / "cost.csv"
    if not file.exists():
        file.write_text("problem,cell,stage,runs,processor_s\n")
    with file.open("a") as lines:
        lines.write(f"{cell.partition('_')[0]},{cell},{stage},{runs},{seconds:.1f}\n")


def begin(deadline: float = math.inf) -> None:
    """Prepares this process for runs, of which none is begun after a deadline, as of ``time.monotonic``."""
    import jasgd

    jasgd.configure_cpu()
    _deadline[0] = deadline


def run_cell(cell: design.Cell, stage: str, folder: str, arms: tuple[str, ...]) -> tuple[str, int, bool, float]:
    """One stage of one cell, up to the deadline of this process.

    Returns:
      The cell's name, the runs that were made, whether the stage is done, and the seconds of processor that it took.
    """
    done = CellRuns(Path(folder), cell)
    count, began = 0, time.process_time()
    while (next_runs := wanted(cell, stage, arms, done.runs)).keys:
        for one in next_runs.keys:
            if time.monotonic() > _deadline[0]:
                done.write()
                return cell.name, count, False, time.process_time() - began
            numbers = _engine(cell).run(
                cell, one.arm, one.rate, one.seed, target=next_runs.target, judged=next_runs.judged
            )
            done.add(one, numbers)
            done.write(WRITE_EVERY)
            count += 1
    done.write()
    return cell.name, count, True, time.process_time() - began


def _engine(cell: design.Cell):
    from benchmarks.study.runs.engine import engine_for  # starts JAX, which the deciding process does not need

    place = cell.problem, cell.change
    if place not in _engines:
        _engines.clear()  # a data set is hundreds of megabytes
        _engines[place] = engine_for(cell, (*design.TUNING_SEEDS, *design.JUDGING_SEEDS))
    return _engines[place]


def default_folder() -> Path:
    """``$JASGD_CACHE/study`` where that is set, else the runs that are committed with the source."""
    set_to = os.environ.get("JASGD_CACHE")
    return Path(set_to) / "study" if set_to else Path(__file__).parents[2] / "docs" / "study" / "runs"

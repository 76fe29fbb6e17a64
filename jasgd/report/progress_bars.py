"""Progress of runs on a terminal: a bar with updates/s, loss, mean staleness, E[C] and drops."""

from __future__ import annotations

import contextlib
import io
import sys
import types
from typing import Any, Self

from jasgd.record.result import TrainResult
from jasgd.training.progress import Progress

try:
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
except ImportError as error:
    raise ImportError('progress bars need rich: pip install "jasgd[cli]"') from error


def standard_error() -> Console:
    """The console of standard error, as standard output is for results; what cannot be written there is lost."""
    file: Any = _Unheard(io.StringIO() if sys.stderr is None else sys.stderr)
    return Console(file=file)


class _Unheard:
    """A file for what may be lost: a terminal, or a program that reads a pipe, may go away long before a run ends."""

    def __init__(self, file: Any):
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):  # the latter where it is closed
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()


class _Bar:
    """One bar on a console, which starts and stops with a ``with`` block; nothing where there is no terminal."""

    def __init__(self, console: Console, task: str, *more_columns: ProgressColumn):
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[status]}"))
        self._bars = Bars(*columns, *more_columns, console=console, transient=True, disable=not console.is_terminal)
        self._name, self._task = task, TaskID(0)

    def __enter__(self) -> Self:
        self._bars.start()
        # Without a total, as while a model is compiled, the bar pulses.
        self._task = self._bars.add_task(self._name, total=None, status="compiling")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | types.TracebackType | None) -> None:
        self._bars.stop()


class TrainingBar(_Bar):
    """One bar for the runs of a command, and one line after each of them; a terminal gets both, a file the lines.

    Args:
      console: the console to write to; that of :func:`standard_error`.
      runs: how many runs there will be.
      steps: commits after which each ends, or None.
      time_limit_s: seconds after which each ends, or None.
    """

    def __init__(self, console: Console, *, runs: int, steps: int | None, time_limit_s: float | None):
        super().__init__(console, "starting")
        self._runs, self._steps, self._time_limit_s = runs, steps, time_limit_s
        self._done = 0

    def show(self, name: str, progress: Progress) -> None:
        """Moves the bar to the current progress."""
        shares = [
            now / end
            for now, end in ((progress.updates, self._steps), (progress.time_s, self._time_limit_s))
            if end is not None
        ]
        status = (
            f"{progress.updates:,} updates, {progress.updates_per_s:,.0f}/s  loss {progress.loss:.3f}  "
            f"mean τ {progress.mean_staleness:.1f}  E\\[C] {progress.mean_factor:.2f}  dropped {progress.dropped}"
        )
        self._bars.update(
            self._task,
            description=f"{name} ({self._done + 1}/{self._runs})" if self._runs > 1 else name,
            total=self._runs if shares else None,
            completed=self._done + min(1.0, max(shares, default=0.0)),
            status=status,
        )

    def finish(self, name: str, result: TrainResult) -> None:
        """Prints a line on how a run ended."""
        self._done += 1
        m = result.metrics
        status = f"loss {m['last_loss']:.4f}, mean τ {m['staleness_mean']:.1f}, E[C] {m['mean_factor']:.2f}"
        self._bars.console.print(
            f"{name}: {result.outcome}, {m['updates']:,} updates in {result.duration_s:.1f} s, {status}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


class SimulationBar(_Bar):
    """One bar for all runs of a simulation, which end in no order; nothing where there is no terminal.

    Args:
      console: the console to write to; that of :func:`standard_error`.
      unit: what is counted.
    """

    def __init__(self, console: Console, unit: str):
        super().__init__(console, "simulating", TimeRemainingColumn())
        self._unit = unit

    def show(self, done: int, total: int) -> None:
        """Moves the bar to the current progress."""
        status = f"{done:,} of {total:,} {self._unit}"
        self._bars.update(self._task, total=total if done else None, completed=done, status=status)

"""A bar on a terminal for runs that train: updates/s, loss, mean staleness, E[C] and drops."""

from __future__ import annotations

import contextlib
import io
import sys
import types
from typing import Any, Self

from jasgd.callbacks.recent_progress import Progress
from jasgd.record.result import TrainResult

try:
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TaskID, TextColumn
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


class Bar:
    """One bar on a console, which starts and stops with a ``with`` block; nothing where there is no terminal."""

    def __init__(self, console: Console, task: str, *more_columns: ProgressColumn):
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[status]}"))
        self.bars = Bars(*columns, *more_columns, console=console, transient=True, disable=not console.is_terminal)
        self._name, self.task = task, TaskID(0)

    def __enter__(self) -> Self:
        self.bars.start()
        # Without a total, as while a model is compiled, the bar pulses.
        self.task = self.bars.add_task(self._name, total=None, status="compiling")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | types.TracebackType | None) -> None:
        self.bars.stop()


class TrainingBar(Bar):
    """One bar for the runs of a command, and one line after each of them; a terminal gets both, a file the lines.

    Args:
      console: the console to write to; that of :func:`standard_error`.
      runs: how many runs there will be.
      steps: commits after which each ends, or None.
      time_limit_s: seconds after which each ends, or None.
    """

    def __init__(self, console: Console, *, runs: int, steps: int | None = None, time_limit_s: float | None = None):
        super().__init__(console, "starting")
        self.steps, self.time_limit_s = steps, time_limit_s
        self._runs = runs
        self._done = 0

    def show(self, name: str, progress: Progress, eta_s: float | None = None) -> None:
        """Moves the bar to the current progress.

        Args:
          name: of the run.
          progress: how far it is.
          eta_s: seconds until its end, None where that is not known.
        """
        share = share_of(progress, self.steps, self.time_limit_s)
        status = in_words(progress, eta_s).replace("[", "\\[")
        self.bars.update(
            self.task,
            description=f"{name} ({self._done + 1}/{self._runs})" if self._runs > 1 else name,
            total=None if share is None else self._runs,
            completed=self._done + (share or 0.0),
            status=status,
        )

    def finish(self, name: str, result: TrainResult) -> None:
        """Prints a line on how a run ended."""
        self._done += 1
        self.bars.console.print(ending_in_words(name, result), markup=False, highlight=False, soft_wrap=True)


def share_of(progress: Progress, steps: int | None, time_limit_s: float | None) -> float | None:
    """How much of a run is done.

    Args:
      progress: how far it is.
      steps: commits after which it ends, or None.
      time_limit_s: seconds after which it ends, or None.

    Returns:
      In 0…1; None where neither is known.
    """
    ends = ((progress.updates, steps), (progress.time_s, time_limit_s))
    shares = [now / end for now, end in ends if end is not None]
    return min(1.0, max(shares)) if shares else None


def in_words(progress: Progress, eta_s: float | None = None) -> str:
    """How far a run is, in a line.

    Args:
      progress: how far it is.
      eta_s: seconds until its end, None where that is not known.

    Returns:
      The line.

    Example:
      >>> in_words(Progress(1200, 3.0, 400.0, 0.25, 1.5, 1.0, 0, None), 95.0)
      '1,200 updates, 400/s  loss 0.250  mean τ 1.5  E[C] 1.00  dropped 0  ETA 1:35'
    """
    text = (
        f"{progress.updates:,} updates, {progress.updates_per_s:,.0f}/s  loss {progress.loss:.3f}  "
        f"mean τ {progress.mean_staleness:.1f}  E[C] {progress.mean_factor:.2f}  dropped {progress.dropped}"
    )
    return text if eta_s is None else f"{text}  ETA {_clock(eta_s)}"


def ending_in_words(name: str, result: TrainResult) -> str:
    """How a run ended, in a line.

    Args:
      name: of the run.
      result: of it.

    Returns:
      The line.
    """
    m = result.metrics
    status = f"loss {m['last_loss']:.4f}, mean τ {m['staleness_mean']:.1f}, E[C] {m['mean_factor']:.2f}"
    return f"{name}: {result.outcome}, {m['updates']:,} updates in {result.duration_s:.1f} s, {status}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

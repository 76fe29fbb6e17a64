"""A bar on a terminal for runs that train: updates/s, loss, mean staleness, E[C] and drops."""

from __future__ import annotations

import contextlib
import io
import sys
import time
import types
from collections.abc import Callable, Iterable
from typing import Any, Self

from jasgd.callbacks.recent_progress import Progress
from jasgd.record.result import TrainResult

try:
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, TaskID, TextColumn
    from rich.progress import Progress as Bars
    from rich.text import Text
except ImportError as error:
    raise ImportError('progress bars need rich: pip install "jasgd[cli]"') from error


def standard_error() -> Console:
    """The console of standard error, as standard output is for results; what cannot be written there is lost."""
    file: Any = _Unheard(io.StringIO() if sys.stderr is None else sys.stderr)
    return Console(file=file)


def no_console() -> Console:
    """A console that shows nothing, where only results are wanted."""
    return Console(quiet=True)


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


EVERY_S = 10.0  # seconds between two lines where there is no terminal


class _TwoLines(Bars):
    """A bar with its numbers on a line of their own, as 80 columns do not hold both."""

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            yield self.make_tasks_table([task])
            yield Text(f"  {task.fields['status']}", overflow="fold")


class Bar:
    """One bar on a console, which starts and stops with a ``with`` block.

    Where there is no terminal it prints a line every ``every_s`` seconds in its place, or nothing where that is None.

    Args:
      console: the console to write to; that of :func:`standard_error`.
      task: what is being done, until there is more to say.
      every_s: seconds between two lines.
      clock: a clock in seconds.
    """

    def __init__(
        self,
        console: Console,
        task: str,
        *,
        every_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[left]}"))
        self.bars = _TwoLines(
            *columns, console=console, transient=True, disable=console.quiet or not console.is_terminal
        )
        self._name, self.task = task, TaskID(0)
        self._every_s, self._clock = None if console.is_terminal else every_s, clock
        self._said_s = clock()
        self._first: tuple[float, float] | None = None  # when something was done for the first time, and how much

    def __enter__(self) -> Self:
        self.bars.start()
        # Without a total, as while a model is compiled, the bar pulses.
        self.task = self.bars.add_task(self._name, total=None, status="compiling", left="")
        self._said_s = self._clock()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | types.TracebackType | None) -> None:
        self.bars.stop()

    def left_s(self, share: float | None) -> float | None:
        """Seconds until all is done, if the rest is as fast as what is done; compiling before that does not count.

        Args:
          share: how much is done, in 0…1, or None.

        Returns:
          The seconds; None where that is not known yet.
        """
        if not share:
            return None
        now_s = self._clock()
        if self._first is None:
            self._first = now_s, share
        first_s, first = self._first
        return (now_s - first_s) * (1 - share) / (share - first) if share > first else None

    def move(self, name: str, share: float | None, status: str, left: str) -> None:
        """Moves the bar, or prints a line where it is time for one.

        Args:
          name: of what is being done.
          share: how much of all is done, in 0…1; None where that is not known.
          status: the numbers.
          left: which of all is being done, and the time left.
        """
        total = None if share is None else 1.0
        self.bars.update(
            self.task,
            description=name.replace("[", "\\["),
            total=total,
            completed=share or 0.0,
            status=status,
            left=left.replace("[", "\\["),
        )
        if self._every_s is not None and self._clock() >= self._said_s + self._every_s:
            self._said_s = self._clock()
            self.say(f"{name}: {'  '.join(part for part in (left, status) if part)}")

    def say(self, line: str) -> None:
        """Prints a line, above the bar where there is one."""
        console = self.bars.console
        console.print(line, markup=False, highlight=False, soft_wrap=not console.is_terminal)


class TrainingBar(Bar):
    """One bar for the runs of a command, and one line after each of them; a terminal gets both, a file the lines.

    Args:
      console: the console to write to; that of :func:`standard_error`.
      runs: how many runs there will be.
      steps: commits after which each ends, or None.
      time_limit_s: seconds after which each ends, or None.
      every_s: seconds between two lines on the run that goes on, where there is no terminal; None for no such lines.
      clock: a clock in seconds.
    """

    def __init__(
        self,
        console: Console,
        *,
        runs: int,
        steps: int | None = None,
        time_limit_s: float | None = None,
        every_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__(console, "starting", every_s=every_s, clock=clock)
        self.steps, self.time_limit_s = steps, time_limit_s
        self._runs = runs
        self._done = 0

    def show(self, name: str, progress: Progress, eta_s: float | None = None) -> None:
        """Moves the bar to the current progress.

        Args:
          name: of the run.
          progress: how far it is.
          eta_s: seconds until its end, None where that is not known; of several runs the time left is that of all.
        """
        share = share_of(progress, self.steps, self.time_limit_s)
        left = []
        if self._runs > 1:
            left.append(f"run {self._done + 1} of {self._runs}")
            share = (self._done + (share or 0.0)) / self._runs
            eta_s = self.left_s(share)
        if eta_s is not None:
            left.append(f"ETA {clock_time(eta_s)}")
        self.move(name, share, in_words(progress), "  ".join(left))

    def finish(self, name: str, result: TrainResult) -> None:
        """Prints a line on how a run ended."""
        self._done += 1
        self._said_s = self._clock()
        count = f"{self._done}/{self._runs} " if self._runs > 1 else ""
        self.say(f"{count}{ending_in_words(name, result)}")


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
    return text if eta_s is None else f"{text}  ETA {clock_time(eta_s)}"


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


def clock_time(seconds: float) -> str:
    """A duration as clocks show it.

    Args:
      seconds: ≥ 0.

    Returns:
      Minutes and seconds, with hours before them from one hour on.

    Example:
      >>> clock_time(95.2), clock_time(3725)
      ('1:35', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

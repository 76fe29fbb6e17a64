"""Progress of simulations on a terminal."""

from __future__ import annotations

from jasgd.callbacks.bars import Bar

try:
    from rich.console import Console
    from rich.progress import TimeRemainingColumn
except ImportError as error:
    raise ImportError('progress bars need rich: pip install "jasgd[cli]"') from error


class SimulationBar(Bar):
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
        self.bars.update(self.task, total=total if done else None, completed=done, status=status)

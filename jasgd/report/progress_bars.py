"""Progress of simulations: a bar on a terminal, and lines in a file."""

from __future__ import annotations

import time
from collections.abc import Callable

from jasgd.callbacks.bars import EVERY_S, Bar, clock_time

try:
    from rich.console import Console
except ImportError as error:
    raise ImportError('progress bars need rich: pip install "jasgd[cli]"') from error


class SimulationBar(Bar):
    """One bar for all runs of a simulation, which end in no order; a line every ten seconds without a terminal.

    Args:
      console: the console to write to; that of :func:`jasgd.callbacks.bars.standard_error`.
      unit: what is counted.
      clock: a clock in seconds.
    """

    def __init__(self, console: Console, unit: str, *, clock: Callable[[], float] = time.monotonic):
        super().__init__(console, "simulating", every_s=EVERY_S, clock=clock)
        self._unit = unit

    def show(self, done: int, total: int) -> None:
        """Moves the bar to the current progress.

        Args:
          done: how many are done.
          total: how many there are.
        """
        share = done / total if done and total else None
        left_s = self.left_s(share)
        left = "" if left_s is None else f"ETA {clock_time(left_s)}"
        self.move("simulating", share, f"{done:,} of {total:,} {self._unit}", left)

"""When a run is evaluated while its workers go on: every so many seconds, every so many commits, or both."""

from __future__ import annotations

EVERY_S = 1.0  # where neither is given


class EvaluationTimes:
    """The times at which the parameters of a run are evaluated, after the evaluation at its start.

    Args:
      every_s: seconds from the end of an evaluation to the next, > 0; None for none by the clock, or where both are
        None for one a second.
      every_steps: an evaluation is due at each multiple of so many commits, ≥ 1; those that passed while the one before
        went on are left out. None for none by commits.
      version: commits when the run began; 0 where it is not one that goes on.

    Example:
      >>> times = EvaluationTimes(None, 100)
      >>> times.is_due(now_s=50.0, version=99), times.is_due(now_s=50.0, version=230)
      (False, True)
      >>> times.evaluated(now_s=51.0, version=230)
      >>> times.is_due(now_s=60.0, version=299), times.is_due(now_s=60.0, version=300)
      (False, True)
    """

    def __init__(self, every_s: float | None, every_steps: int | None, version: int = 0):
        self._every_s = EVERY_S if every_s is None and every_steps is None else every_s
        self._every_steps = every_steps
        self.evaluated(0.0, version)

    def evaluated(self, now_s: float, version: int) -> None:
        """Notes that an evaluation has ended.

        Args:
          now_s: seconds from the start of the run to the end of the evaluation.
          version: commits by then.
        """
        self._next_s = float("inf") if self._every_s is None else now_s + self._every_s
        every = self._every_steps
        self._next_version = float("inf") if every is None else (version // every + 1) * every

    def is_due(self, now_s: float, version: int) -> bool:
        """Whether the parameters are to be evaluated now.

        Args:
          now_s: seconds since the start of the run.
          version: commits so far.

        Returns:
          True where the time, or the number of commits, has come.
        """
        return now_s >= self._next_s or version >= self._next_version

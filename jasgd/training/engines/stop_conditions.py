"""A thread that ends a run when a stop condition holds, whatever evaluations and callbacks do meanwhile."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from jasgd.callbacks.recent_progress import RECENT
from jasgd.record.result import Outcome
from jasgd.training.run import Run

POLL_S = 0.02  # how often stop conditions are looked at


class StopConditions:
    """Watches the time limit, the target loss of recent gradients, and whether any worker is left.

    Guarantees. Its thread touches nothing but the run's bookkeeping and ``run.finish``, which any thread may call. It
    ends when the run is over, whoever has ended it.

    Args:
      run: the run.
      time_limit_s: seconds after which it ends, or None.
      target_loss: mean training loss at which it ends, or None.
      all_ended: whether no worker computes any more.
    """

    def __init__(self, run: Run, time_limit_s: float | None, target_loss: float | None, all_ended: Callable[[], bool]):
        self._run, self._time_limit_s, self._target_loss, self._all_ended = run, time_limit_s, target_loss, all_ended
        self._thread = threading.Thread(target=self._watch, name="jasgd-stop-conditions", daemon=True)

    def start(self) -> None:
        """Starts to watch; the run's clock has started."""
        self._thread.start()

    def join(self) -> None:
        """Waits until the thread has ended, once the run is over."""
        if self._thread.ident is not None:
            self._thread.join(1.0)

    def _watch(self) -> None:
        try:
            while not self._run.over.wait(self._wait_s()):
                self._look()
        except BaseException as error:  # it must not vanish with the thread: the run would have no end
            self._run.finish(Outcome.FAILED, f"{type(error).__name__} while the run was watched: {error}", error)

    def _wait_s(self) -> float:
        left_s = math.inf if self._time_limit_s is None else self._time_limit_s - self._run.ledger.now()
        return min(POLL_S, max(0.0, left_s))

    def _look(self) -> None:
        run, limit_s = self._run, self._time_limit_s
        if self._all_ended():
            run.finish(Outcome.FAILED, "every worker ended, as the scheme took no more gradients")
        elif limit_s is not None and run.ledger.now() >= limit_s:
            run.finish(Outcome.FINISHED, f"the time limit of {limit_s:g} s was reached")
        elif self._target_loss is not None:
            losses = run.ledger.recent(RECENT)["loss"]
            if len(losses) == RECENT and reaches(float(losses.mean()), self._target_loss):
                run.finish(Outcome.CONVERGED, target_reached(self._target_loss))


def reaches(loss: float, target_loss: float) -> bool:
    """Whether a loss is at its target; one of -inf is none that was aimed at.

    Args:
      loss: what was reached.
      target_loss: what is aimed at.

    Returns:
      Whether it is.

    Example:
      >>> reaches(0.1, 0.1), reaches(float("-inf"), 0.1), reaches(float("nan"), 0.1)
      (True, False, False)
    """
    return -math.inf < loss <= target_loss


def target_reached(target_loss: float) -> str:
    """The message of a run that has reached its target."""
    return f"the target loss of {target_loss:g} was reached"

"""What a run says to Python's logging, under the logger "jasgd"."""

from __future__ import annotations

import logging

from jasgd.callbacks.callback import Callback
from jasgd.callbacks.state import RunState
from jasgd.record.result import Outcome

logger = logging.getLogger("jasgd")


class RunLog(Callback):
    """Logs start, end and checkpoints at INFO, evaluations at DEBUG, and a run that failed or diverged at WARNING.

    Every run has one. The logger has a NullHandler: nothing is printed unless the user asks for it.

    Args:
      name: what the run is, for the first line, such as its scheme and number of workers.
    """

    def __init__(self, name: str):
        self._name = name

    def on_start(self, state: RunState) -> None:
        """Logs that the run begins."""
        logger.info("training starts at version %d: %s", state.version, self._name)

    def on_evaluation(self, state: RunState) -> None:
        """Logs the numbers of an evaluation."""
        if logger.isEnabledFor(logging.DEBUG):
            numbers = (f"{name.partition('/')[2]} {value:.6g}" for name, value in state.evaluated.items())
            logger.debug("evaluated version %d at %.3f s: %s", state.version, state.time_s, ", ".join(numbers))

    def on_checkpoint(self, state: RunState) -> None:
        """Logs where a checkpoint is."""
        logger.info("checkpoint of version %d in %s", state.version, state.checkpoint)

    def on_end(self, state: RunState) -> None:
        """Logs how the run ended."""
        bad = state.outcome in (Outcome.FAILED, Outcome.DIVERGED)
        level = logging.WARNING if bad else logging.INFO
        logger.log(
            level, "%s at version %d after %.3f s: %s", state.outcome, state.version, state.time_s, state.message
        )

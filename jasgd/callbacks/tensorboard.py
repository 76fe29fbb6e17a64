"""Event files for TensorBoard, written while a run goes on."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from jasgd.callbacks.metrics import Logged
from jasgd.callbacks.state import RunState

MOST_BINS = 256  # of a histogram of τ; wider staleness shares bins
_files = itertools.count()


class TensorBoard(Logged):
    """Writes scalars, and the histogram of τ, for ``tensorboard --logdir FOLDER``.

    Scalars are the numbers of :attr:`RunState.metrics` and of each evaluation, by version; the histogram,
    ``staleness/histogram``, is of the last 1,000 applied gradients. All is on the disk when the callback returns. A run
    that begins at a version above 0 continues the curves that are in the folder, and hides what they had beyond it.

    Args:
      folder: where event files are written; made if it does not exist. One folder a run.
      every_s: seconds between two writes, > 0.

    Raises:
      ImportError: where tensorboardX is missing.
      TypeError, ValueError: for arguments that cannot work.

    Example:
      >>> TensorBoard("logs/one", every_s=5)
      TensorBoard('logs/one', every_s=5)
    """

    def __init__(self, folder: str | Path, *, every_s: float = 1.0):
        if not isinstance(folder, (str, os.PathLike)):
            raise TypeError(f"folder must be the path of a folder, got {type(folder).__name__} {folder!r}")
        try:
            import tensorboardX  # noqa: F401
        except ImportError as error:
            raise ImportError('TensorBoard(folder) needs tensorboardX: pip install "jasgd[tensorboard]"') from error
        super().__init__(every_s)
        self.folder = Path(folder)
        self._writer: Any = None

    def __repr__(self) -> str:
        return f"TensorBoard({str(self.folder)!r}, every_s={self._every_s:g})"

    def on_start(self, state: RunState) -> None:
        """Begins an event file."""
        # The writer of tensorboardX's SummaryWriter without its queue, which "flush" does not wait for.
        from tensorboardX.event_file_writer import EventsWriter

        super().on_start(state)
        self._close()
        self.folder.mkdir(parents=True, exist_ok=True)
        suffix = f".{os.getpid()}.{next(_files)}"  # names have but the second, and a second run may begin within it
        self._writer = EventsWriter(str(self.folder / "events"), suffix)
        if state.version:
            log = _events().SessionLog
            self._event(state.version, session_log=log(status=log.START))

    def write(self, numbers: dict[str, float], step: int, state: RunState) -> None:
        """Writes scalars, and where gradients were applied since, their staleness."""
        from tensorboardX.summary import scalar

        if self._writer is None:  # the run had ended before it began
            return
        values = [value for name, number in numbers.items() for value in scalar(name, number).value]
        if "staleness/mean" in numbers:
            values.append(_histogram("staleness/histogram", np.asarray(state.staleness)))
        self._event(step, summary=_summaries().Summary(value=values))

    def on_end(self, state: RunState) -> None:
        """Closes the event file."""
        try:
            super().on_end(state)
        finally:
            self._close()

    def _event(self, step: int, **content: Any) -> None:
        self._writer.write_event(_events().Event(wall_time=time.time(), step=step, **content))
        self._writer.flush()

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def _events() -> Any:
    from tensorboardX.proto import event_pb2

    return event_pb2


def _summaries() -> Any:
    from tensorboardX.proto import summary_pb2

    return summary_pb2


def _histogram(tag: str, taus: np.ndarray) -> Any:
    """One bin for each τ, where they are few; a bin's limit is the τ that is its last."""
    low, high = int(taus.min()), int(taus.max())
    width = max(1, -(-(high - low + 1) // MOST_BINS))
    counts = np.bincount((taus - low) // width)
    histogram = _summaries().HistogramProto(
        min=low, max=high, num=len(taus), sum=float(taus.sum()), sum_squares=float(np.square(taus, dtype=float).sum()),
        bucket_limit=[low + width * (k + 1) - 1 for k in range(len(counts))], bucket=counts.tolist(),
    )  # fmt: skip
    return _summaries().Summary.Value(tag=tag, histo=histogram)

"""The curves of a run: its loss, smoothed, and when each of its gradients was committed."""

from __future__ import annotations

import numpy as np

from jasgd.record.execution import Execution

SMOOTHED = 20  # gradients that a smoothed loss is a mean over


def committed(execution: Execution) -> np.ndarray:
    """When each gradient was committed, in seconds; shape and order kept, and never falling.

    ``time_s`` is read after the commit, by a thread that may have had to wait for it, while others went on: then it
    is later than the times of later versions.
    """
    return np.minimum.accumulate(execution.time_s[::-1])[::-1]


def smoothed(losses: np.ndarray) -> np.ndarray:
    """The mean over each gradient's loss and those of the 19 before it; NaN for the first 19. Shape and order kept."""
    means = np.full(len(losses), np.nan)
    if len(losses) >= SMOOTHED:
        windows = np.lib.stride_tricks.sliding_window_view(losses.astype(np.float64), SMOOTHED)
        means[SMOOTHED - 1 :] = windows.mean(axis=-1)
    return means

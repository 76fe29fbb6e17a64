"""What a run or a comparison looks like: plots and tables, functions of a result. They need the extra ``cli``."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from jasgd.comparison import Comparison
from jasgd.result import TrainResult


def plot(result: TrainResult, folder: str | PathLike[str]) -> list[Path]:
    """Draws a run: its loss, the staleness with the nearest model, and the step-size function that was used.

    Args:
      result: of :func:`jasgd.train`, however it ended.
      folder: made if it does not exist; the files ``loss.png``, ``staleness.png`` and ``step_size.png`` are written.

    Returns:
      The files; none for a run that applied no gradient.

    Raises:
      ImportError: without Matplotlib, naming the extra.
      OSError: where a file cannot be written.
    """
    from jasgd.report import plots

    return plots.plot_run(result, Path(folder))


def plot_comparison(comparison: Comparison, folder: str | PathLike[str]) -> list[Path]:
    """Draws a comparison: per arm the loss, the staleness with the nearest model, and the step-size function.

    Args:
      comparison: of :func:`jasgd.comparison.compare`.
      folder: made if it does not exist; the files ``loss.png``, ``staleness.png`` and ``step_size.png`` are written.

    Returns:
      The files; none where no run applied a gradient.

    Raises:
      ImportError: without Matplotlib, naming the extra.
      OSError: where a file cannot be written.
    """
    from jasgd.report import plots

    return plots.plot_arms(comparison, Path(folder))


__all__ = ["plot", "plot_comparison"]

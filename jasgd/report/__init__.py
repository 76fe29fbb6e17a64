"""Figures and tables of runs, comparisons and spectra: functions of a result, which need the extra ``cli``."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from jasgd.experiments.comparison import Comparison
from jasgd.experiments.spectrum import Spectrum
from jasgd.inputs.checks import instance
from jasgd.record.result import TrainResult


def plot(result: TrainResult, folder: str | PathLike[str]) -> list[Path]:
    """Draws a run: its loss, the staleness with the nearest model, and the step-size function that was used.

    Args:
      result: of :func:`jasgd.train`, however it ended; the figures themselves are its :meth:`jasgd.TrainResult.plot`.
      folder: made if it does not exist; the files ``loss.png``, ``staleness.png`` and ``step_size.png`` are written.

    Returns:
      The files; none for a run that applied no gradient.

    Raises:
      TypeError: for what is none.
      ImportError: without Matplotlib, naming the extra.
      OSError: where a file cannot be written.

    Example:
      >>> import tempfile, jax.numpy as jnp, jasgd, optax
      >>> def loss_fn(w, batch):
      ...     return (w**2).sum()
      >>> result = jasgd.train(loss_fn, jnp.ones(2), optax.sgd(0.1), lambda t: 0.0, workers=1, steps=30)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     [file.name for file in plot(result, folder)]
      ['loss.png', 'staleness.png', 'step_size.png']
    """
    instance("result", result, TrainResult)
    figures = result.plot()
    from jasgd.presenting.figures import save

    return save(figures, Path(folder)) if figures else []


def plot_comparison(comparison: Comparison, folder: str | PathLike[str]) -> list[Path]:
    """Draws a comparison: per arm the loss, the staleness with the nearest model, and the step-size function.

    Args:
      comparison: of :func:`jasgd.experiments.comparison.compare`.
      folder: made if it does not exist; the files ``loss.png``, ``staleness.png`` and ``step_size.png`` are written.

    Returns:
      The files; none where no run applied a gradient.

    Raises:
      TypeError: for what is none.
      ImportError: without Matplotlib, naming the extra.
      OSError: where a file cannot be written.

    Example:
      >>> import tempfile
      >>> import jasgd
      >>> from jasgd import problems
      >>> comparison = jasgd.compare(lambda seed: problems.load("digits", seed=seed), ["constant", "inverse"], [0],
      ...                            workers=1, learning_rate=0.05, steps=30)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     [file.name for file in plot_comparison(comparison, folder)]
      ['loss.png', 'staleness.png', 'step_size.png']
    """
    from jasgd.report import comparison_figures

    instance("comparison", comparison, Comparison)
    return comparison_figures.plot_arms(comparison, Path(folder))


def plot_spectrum(spectrum: Spectrum, folder: str | PathLike[str]) -> list[Path]:
    """Draws a spectrum: the final loss and the mean step-size factor of every arm against the number of workers.

    Each arm is shown at the learning rate, of those that were tried, whose median final loss is the lowest.

    Args:
      spectrum: of :func:`jasgd.experiments.sweeping.sweep`.
      folder: made if it does not exist; the file ``spectrum.png`` is written.

    Returns:
      The file.

    Raises:
      TypeError: for what is none.
      ImportError: without Matplotlib, naming the extra.
      OSError: where the file cannot be written.

    Example:
      >>> import tempfile
      >>> import jasgd
      >>> from jasgd import cluster, problems
      >>> spectrum = jasgd.sweep(lambda seed: problems.load("digits", seed=seed), ["constant"], [0], workers=[1, 2],
      ...                        clusters={"equal": cluster.Cluster(compute_s=1.0)}, learning_rates=[0.05], steps=10)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     [file.name for file in plot_spectrum(spectrum, folder)]
      ['spectrum.png']
    """
    from jasgd.report import spectrum_figures

    instance("spectrum", spectrum, Spectrum)
    return spectrum_figures.plot_spectrum(spectrum, Path(folder))


__all__ = ["plot", "plot_comparison", "plot_spectrum"]

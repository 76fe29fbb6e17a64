"""All figures that show a result, by name, and the functions that write the usual ones into a folder."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from jasgd.experiments.comparison import Comparison
from jasgd.experiments.spectrum import Spectrum
from jasgd.inputs.checks import instance
from jasgd.presenting.pictures.canvas import Picture
from jasgd.presenting.pictures.of_runs import OF_RUNS, Draw, Figures, drawn
from jasgd.presenting.pictures.style import Style, ThemeName, Width, style_of
from jasgd.record.result import TrainResult
from jasgd.report.pictures.learning_rates import convergence_map_picture, final_loss_over_learning_rate_picture
from jasgd.report.pictures.spectra import over_workers_picture
from jasgd.report.pictures.speed_ups import speed_up_picture
from jasgd.report.saving import save

#: in the order in which they are looked at
OF_SPECTRA: dict[str, Draw] = {
    "spectrum": over_workers_picture,
    "learning_rates": final_loss_over_learning_rate_picture,
    "convergence": convergence_map_picture,
    "speed_up": speed_up_picture,
}
WRITTEN = ("loss", "timeline", "staleness", "step_size")  # of a run; of a comparison without the timeline


def pictures(result: Any, style: Style, names: tuple[str, ...] | None = None) -> dict[str, Picture]:
    """The pictures of a result with their words and numbers, by name; those that have nothing to show are left out.

    Args:
      result: a run, an execution, a simulation, a comparison, a spectrum, or a mapping from labels to runs.
      style: of all.
      names: of those that are wanted; None for all.

    Returns:
      The pictures.

    Raises:
      TypeError: for what is no result.
    """
    return drawn(result, style, names, OF_SPECTRA if isinstance(result, Spectrum) else OF_RUNS)


def figures(result: Any, *, theme: ThemeName = "light", width: Width = "column", title: bool = True) -> Figures:
    """All figures that show a result, by name.

    Args:
      result: a run, an execution, a simulation, a comparison, a spectrum, or a mapping from labels to runs or lists.
      theme: ``"light"`` or ``"dark"``.
      width: ``"column"`` or ``"page"`` of a paper, 3.4 and 7 inches, or a number of inches.
      title: whether titles stand above them.

    Returns:
      The figures, for :func:`jasgd.report.save`. What a result has nothing for is left out, as evaluations of a run
      that was not evaluated.

    Raises:
      TypeError: for what is no result.
      ValueError: for a theme or width that is none.
      ImportError: without Matplotlib, naming the extra.

    Example:
      >>> from jasgd import cluster
      >>> execution = cluster.generate(cluster.Cluster(compute_s=1.0), workers=3, steps=8)
      >>> list(figures(execution))
      ['timeline', 'staleness', 'staleness_over_time']
    """
    return Figures((name, picture.figure) for name, picture in pictures(result, style_of(theme, width, title)).items())


def plot(result: TrainResult, folder: str | PathLike[str]) -> list[Path]:
    """Draws a run into a folder: its loss, timeline, law of the staleness, and the step-size function that was used.

    Args:
      result: of :func:`jasgd.train`, however it ended.
      folder: made if it does not exist; the files ``loss.png``, ``timeline.png``, ``staleness.png`` and
        ``step_size.png`` are written.

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
      ['loss.png', 'timeline.png', 'staleness.png', 'step_size.png']
    """
    instance("result", result, TrainResult)
    return _written(result, folder, WRITTEN)


def plot_comparison(comparison: Comparison, folder: str | PathLike[str]) -> list[Path]:
    """Draws a comparison into a folder: per arm the loss, the law of the staleness, and the step-size function.

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
    instance("comparison", comparison, Comparison)
    return _written(comparison, folder, tuple(name for name in WRITTEN if name != "timeline"))


def plot_spectrum(spectrum: Spectrum, folder: str | PathLike[str]) -> list[Path]:
    """Draws a spectrum into a folder: what the number of workers and the learning rate do to every arm.

    Args:
      spectrum: of :func:`jasgd.experiments.spectrum.sweep`.
      folder: made if it does not exist; the files ``spectrum.png``, ``learning_rates.png`` and ``convergence.png`` are
        written.

    Returns:
      The files.

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
      ['spectrum.png', 'learning_rates.png', 'convergence.png']
    """
    instance("spectrum", spectrum, Spectrum)
    return _written(spectrum, folder, ("spectrum", "learning_rates", "convergence"))


def _written(result: Any, folder: str | PathLike[str], names: tuple[str, ...]) -> list[Path]:
    width = "page" if isinstance(result, Spectrum) else 5.5
    found = pictures(result, style_of("light", width), names)
    return save({name: picture.figure for name, picture in found.items()}, folder) if found else []

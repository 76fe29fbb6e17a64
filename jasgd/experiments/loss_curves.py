"""The loss over updates of each run of a spectrum, in few enough numbers to keep those of thousands of runs."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jasgd.experiments.spectrum_jobs import Point
from jasgd.record.result import TrainResult
from jasgd.record.saving.draft import Draft
from jasgd.record.saving.manifest import SavedFolder, read_whole

FILE = "curves.npz"
POINTS = 200  # of a curve, at most


class LossCurves(NamedTuple):
    """The loss over updates of runs.

    Attributes:
      points: where each run stands in the spectrum, and with which seed and learning rate.
      updates: the updates that the means lie between; shape (points + 1,), int64, rising from 0.
      loss: of each run the mean loss of the gradients that made the updates from ``updates[i]`` to
        ``updates[i + 1]``; shape (runs, points), float32; NaN where there were none, as after a run diverged.
    """

    points: tuple[Point, ...]
    updates: np.ndarray
    loss: np.ndarray

    @classmethod
    def load(cls, folder: str | Path) -> LossCurves:
        """Reads ``curves.npz`` in the folder that ``jasgd simulate`` wrote.

        Args:
          folder: of the results.

        Returns:
          The curves.

        Raises:
          FileNotFoundError, SavedRunError: where they are not there, or were altered.
        """
        arrays = read_whole(folder, _arrays)
        names = json.loads(arrays["names"].tobytes())
        columns = {
            name: [names[name][i] for i in column] if name in names else column
            for name, column in ((name, arrays[name].tolist()) for name in Point._fields)
        }
        points = tuple(Point(*values) for values in zip(*columns.values(), strict=True))
        return cls(points, arrays["updates"], arrays["loss"])

    def write(self, draft: Draft) -> None:
        """Writes ``curves.npz``: a row per run; clusters and arms by their places in the JSON of ``names``.

        Args:
          draft: of the folder.
        """
        columns: dict[str, list[Any]] = {name: [p[i] for p in self.points] for i, name in enumerate(Point._fields)}
        names = {name: list(dict.fromkeys(columns[name])) for name in ("cluster", "arm")}
        places = {name: [known.index(text) for text in columns[name]] for name, known in names.items()}
        kinds = {name: np.float64 if name == "learning_rate" else np.int64 for name in columns}
        arrays = {name: np.array(column, kinds[name]) for name, column in (columns | places).items()}
        text = np.frombuffer(json.dumps(names).encode(), np.uint8)
        draft.arrays(FILE, arrays | {"names": text, "updates": self.updates, "loss": self.loss})


class Collected:
    """Collects the curves of runs as they end, in any order and from any thread.

    Args:
      steps: updates of each run, ≥ 1.

    Example:
      >>> curves = Collected(steps=1000).curves()
      >>> curves.updates[:3].tolist(), curves.loss.shape
      ([0, 5, 10], (0, 200))
    """

    def __init__(self, steps: int):
        self.updates = np.linspace(0, steps, min(steps, POINTS) + 1).round().astype(np.int64)
        self._curves: dict[Point, np.ndarray] = {}
        self._mutex = threading.Lock()

    def add(self, point: Point, result: TrainResult) -> None:
        """Adds the curve of a run.

        Args:
          point: where it stands.
          result: of it.
        """
        execution = result.execution
        places = np.searchsorted(self.updates, execution.version, side="right") - 1
        length = len(self.updates) - 1
        inside = places < length
        losses = execution.loss[inside].astype(np.float64)
        sums = np.bincount(places[inside], losses, minlength=length)
        counts = np.bincount(places[inside], minlength=length)
        curve = np.divide(sums, counts, out=np.full(length, np.nan), where=counts > 0).astype(np.float32)
        with self._mutex:
            self._curves[point] = curve

    def curves(self) -> LossCurves:
        """Those of all runs that have ended, in order of their points."""
        points = tuple(sorted(self._curves))
        losses = np.array([self._curves[point] for point in points], np.float32)
        return LossCurves(points, self.updates, losses.reshape(len(points), len(self.updates) - 1))


def _arrays(saved: SavedFolder) -> dict[str, np.ndarray]:
    if saved.manifest is None:
        raise FileNotFoundError(f"{saved.folder} has no results of jasgd simulate")
    return saved.arrays(FILE)

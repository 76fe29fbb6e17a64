"""The runs that are done, in one CSV file a cell, so that a study goes on where it stopped and every run is made once.

The first line says what the file is of: version of the design, problem, updates, batch. A file of something else is
refused. A file is replaced as a whole, by a rename, so a stop at any time leaves the old one or the new one.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.study import design, exploratory
from benchmarks.study.runs.outcomes import Numbers

DIGITS = 5  # of a number in a file


class Key(NamedTuple):
    """Which run of a cell: everything else follows from the cell."""

    arm: str
    rate: float  # the learning rate, of a control times the mean factor that it takes; of five digits
    seed: int


def key(arm: str, rate: float, seed: int) -> Key:
    """The key of a run, its learning rate rounded to what a file holds, which is what the run takes as well."""
    return Key(arm, float(f"{rate:.{DIGITS}g}"), seed)


SCALARS = ("initial", "final", "best", "target", "mean_factor", "mean_square", "mean_staleness", "accuracy")
COLUMNS = (
    *Key._fields,
    *SCALARS,
    *(f"updates_to_{share:.0%}" for share in design.LEVELS),
    *(f"time_to_{share:.0%}_s" for share in design.LEVELS),
)


class CellRuns:
    """The runs of one cell that are done.

    Args:
      folder: of the cache.
      cell: which.

    Raises:
      ValueError: for a file that is of another design, or damaged; it names the file.
    """

    def __init__(self, folder: Path, cell: design.Cell):
        self.cell, self._file = cell, folder / f"{cell.name}.csv"
        self._curves_file = folder / "curves" / f"{cell.name}.csv"
        self.runs: dict[Key, Numbers] = dict(self._read()) if self._file.exists() else {}
        self._unwritten = 0

    def add(self, one: Key, numbers: Numbers) -> None:
        """Takes a run in, with as many digits as a file holds; :meth:`write` puts it on disk."""
        scalars = {name: _number(_text(getattr(numbers, name))) for name in SCALARS}
        levels, times = (tuple(_number(_text(x)) for x in column) for column in (numbers.levels, numbers.times))
        self.runs[one] = dataclasses.replace(numbers, **scalars, levels=levels, times=times)
        self._unwritten += 1

    def write(self, at_least: int = 1) -> None:
        """Replaces the files, if so many runs have come since they were written."""
        if self._unwritten < at_least:
            return
        lines = io.StringIO()
        lines.write(f"# {json.dumps(configuration(self.cell), sort_keys=True)}\n")
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one, numbers in sorted(self.runs.items()):
            row = [*(getattr(numbers, name) for name in SCALARS), *numbers.levels, *numbers.times]
            writer.writerow([one.arm, _text(one.rate), one.seed, *map(_text, row)])
        curves = [[*one, *numbers.curve] for one, numbers in sorted(self.runs.items()) if numbers.curve]
        if curves:
            of_curves = io.StringIO()
            writer = csv.writer(of_curves, lineterminator="\n")
            for arm, rate, seed, *means in curves:
                writer.writerow([arm, _text(rate), seed, *(f"{mean:.3g}" for mean in means)])
            _replace(self._curves_file, of_curves.getvalue())
        _replace(self._file, lines.getvalue())
        self._unwritten = 0

    def _read(self) -> Iterator[tuple[Key, Numbers]]:
        about, _, table = self._file.read_text().partition("\n")
        try:
            found = json.loads(about.removeprefix("# "))
        except ValueError:
            found = about
        if found != json.loads(json.dumps(configuration(self.cell))):
            raise ValueError(
                f"{self._file} is of {found}, this design is {configuration(self.cell)}: take another folder"
            )
        curves: dict[Key, tuple[float, ...]] = {}
        with contextlib.suppress(FileNotFoundError):
            for arm, rate, seed, *means in csv.reader(self._curves_file.read_text().splitlines()):
                curves[Key(arm, float(rate), int(seed))] = tuple(map(float, means))
        for row in csv.DictReader(table.splitlines()):
            try:
                one = Key(row["arm"], float(row["rate"]), int(row["seed"]))
                values = {name: _number(row[name]) for name in COLUMNS[3:]}
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{self._file} is damaged at {row}: {error}") from error
            levels, times = (
                tuple(value for name, value in values.items() if name.startswith(kind))
                for kind in ("updates_to_", "time_to_")
            )
            scalars = {name: values[name] for name in SCALARS}
            yield one, Numbers(**scalars, levels=levels, times=times, curve=curves.get(one, ()))


def configuration(cell: design.Cell) -> dict[str, object]:
    """All that the runs of a cell have in common, as its file says it."""
    about: dict[str, object] = {"version": design.VERSION, "cell": cell.name}
    if cell.problem in design.PROBLEMS:
        problem = dataclasses.asdict(design.PROBLEMS[cell.problem])
        about |= {name: problem[name] for name in ("dataset", "model", "updates", "batch")}
    if cell.change in exploratory.CHANGES:
        about["options"] = json.loads(json.dumps(exploratory.CHANGES[cell.change].options))
    return about


def _text(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.{DIGITS}g}"


def _number(text: str) -> float:
    return float(text) if text else math.nan


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=f".{file.name}.", delete=False) as draft:
        draft.write(text)
    os.chmod(draft.name, 0o644)
    os.replace(draft.name, file)

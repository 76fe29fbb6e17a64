"""What a saved folder holds, brought back to the result that pictures are drawn of."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from jasgd.experiments.arms import Arm
from jasgd.experiments.comparison import Comparison
from jasgd.experiments.recipe import FILE as RECIPE
from jasgd.experiments.spectrum import Spectrum
from jasgd.experiments.spectrum_jobs import Point
from jasgd.record.result import RESULT, TrainResult
from jasgd.record.saving.arrays import SavedRunError
from jasgd.record.saving.manifest import SavedFolder, read_whole

METRICS, COMPARISON, SPECTRUM = "metrics.json", "comparison.json", "spectrum.json"


class Content(NamedTuple):
    """What a page reports.

    Attributes:
      kind: ``"run"``, ``"comparison"`` or ``"spectrum"``.
      result: a TrainResult, a Comparison or a Spectrum.
      record: what the command line wrote beside it, as JSON has it; empty for a run that a program saved.
      recipe: of a run of the command line; empty for others.
    """

    kind: str
    result: Any
    record: dict[str, Any]
    recipe: dict[str, Any]


def load(folder: Path) -> Content:
    """Reads a saved folder.

    Args:
      folder: of a run, a comparison or a spectrum.

    Returns:
      What it holds.

    Raises:
      ValueError: for a folder that is none of these.
      FileNotFoundError: where there is none.
      SavedRunError: where it is damaged.
    """
    kind, record, recipe = read_whole(folder, _records)
    if kind == "run":
        return Content(kind, TrainResult.load(folder), record, recipe)
    try:
        result = _comparison(folder, record) if kind == "comparison" else _spectrum(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise SavedRunError(f"{folder} has a {kind} that is not what jasgd wrote: {error!r}") from error
    return Content(kind, result, record, recipe)


def _records(saved: SavedFolder) -> tuple[str, dict[str, Any], dict[str, Any]]:
    for kind, file in (("comparison", COMPARISON), ("spectrum", SPECTRUM)):
        if file in saved:
            return kind, saved.json(file), {}
    if RESULT not in saved:
        what = f", and {saved.folder} has {saved.kind}" if saved.kind else f", got {saved.folder}"
        raise ValueError(f"folder must be one of a run, a comparison or a spectrum{what}")
    record, recipe = (saved.json(file) if file in saved else {} for file in (METRICS, RECIPE))
    return "run", record, recipe


def _comparison(folder: Path, record: dict[str, Any]) -> Comparison:
    arms = tuple(Arm.parse(row["arm"]) for row in record["table"])
    runs: dict[str, dict[int, TrainResult]] = {arm.label: {} for arm in arms}
    for one in record["runs"]:
        label, seed = one["arm"], one["seed"]
        runs[label][seed] = TrainResult.load(folder / re.sub(r"[^\w.=@,-]", "_", label) / f"seed-{seed}")
    return Comparison(record["problem"], arms, tuple(record["seeds"]), record["settings"], runs)


def _spectrum(record: dict[str, Any]) -> Spectrum:
    runs, tuning_runs = (_numbers(record.get(name, [])) for name in ("runs", "tuning_runs"))

    def each(name: str, points: Iterable[Point]) -> tuple[Any, ...]:
        return tuple(dict.fromkeys(getattr(point, name) for point in points))

    return Spectrum(
        problem=record["problem"],
        arms=tuple(Arm.parse(label) for label in each("arm", runs)),
        seeds=tuple(record["seeds"]),
        workers=each("workers", runs),
        clusters=each("cluster", runs),
        learning_rates=each("learning_rate", tuning_runs or runs),
        settings=record["settings"],
        runs=runs,
        tuning_seeds=tuple(record.get("tuning_seeds", ())),
        tuning_runs=tuning_runs,
    )


def _numbers(records: list[dict[str, Any]]) -> dict[Point, dict[str, Any]]:
    runs: dict[Point, dict[str, Any]] = {}
    for one in records:
        point = Point(**{name: one[name] for name in Point._fields})
        # JSON has no numbers that are not finite: a run that diverged has an infinite loss, and one that has none NaN.
        missing = math.inf if one["outcome"] == "diverged" else math.nan
        numbers = {name: value for name, value in one.items() if name not in Point._fields}
        never = ("final_loss", "updates_to_", "time_to_")
        runs[point] = {
            name: (missing if name.startswith(never) else math.nan) if value is None else value
            for name, value in numbers.items()
        }
    return runs

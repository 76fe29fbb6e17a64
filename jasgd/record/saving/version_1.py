"""What version 1 saved, which had no manifest: known by the fields of its JSON, not by the names of its files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

_RESULT = {
    "outcome", "message", "metrics", "evaluations", "counters", "duration_s", "traceback", "stuck", "metadata"
}  # fmt: skip
_TABLE = {"problem", "seeds", "settings", "table", "runs", "folder", "plots"}
_ARRAYS = {f"{name}.npz" for name in ("execution", "params", "opt_state", "initial_params", "aux", "timings")}
_PICTURES = {f"{name}.png" for name in ("loss", "staleness", "step_size")}


class _Kind(NamedTuple):
    """What version 1 wrote: the JSON that it is known by, whether that is of jasgd, and the files beside it."""

    kind: str
    file: str
    known: Callable[[dict[str, Any]], bool]
    beside: set[str]


def _has_runs(record: dict[str, Any], *fields: str) -> bool:
    return (
        set(record) >= _TABLE
        and "scheme" in record["settings"]
        and all({"seed", *fields} <= set(run) for run in record["runs"])
    )


_KINDS = (
    _Kind(
        "run",
        "result.json",
        lambda record: set(record) == _RESULT and "scheme" in record["metadata"],
        _ARRAYS | _PICTURES | {"recipe.json", "metrics.json"},
    ),
    _Kind("comparison", "comparison.json", lambda record: _has_runs(record, "arm", "outcome", "metrics"), _PICTURES),
    _Kind("spectrum", "spectrum.json", lambda record: _has_runs(record, "workers", "cluster"), {"spectrum.png"}),
    _Kind(
        "executions",
        "executions.json",
        lambda record: (
            {"executions", "scheme", "folder", "plots"} <= set(record)
            and all({"cluster", "workers", "seed"} <= set(row) for row in record["executions"])
        ),
        set(),
    ),
)
MARKERS = {kind.file for kind in _KINDS}


def kind_1(folder: Path) -> str | None:
    """What version 1 saved in a folder, such as ``"run"``; None where it saved nothing."""
    return next((kind.kind for kind in _KINDS if _record(folder, kind) is not None), None)


def owned_1(folder: Path) -> set[str]:
    """The files that version 1 saved as what a folder holds, by their paths from it.

    Runs in folders within it are among them where a comparison in it names them, and executions likewise.

    Args:
      folder: it need not exist.

    Returns:
      Paths with ``/``; none where version 1 saved nothing there.
    """
    found: set[str] = set()
    for kind in _KINDS:
        if (record := _record(folder, kind)) is None:
            continue
        found |= {name for name in (kind.file, *kind.beside) if (folder / name).is_file()}
        if kind.kind == "comparison":
            for run in record["runs"]:
                at = f"{_as_folder(run['arm'], '@')}/seed-{run['seed']}"
                if ".." not in Path(at).parts and _record(folder / at, _KINDS[0]) is not None:
                    found |= {f"{at}/{name}" for name in owned_1(folder / at)}
        if kind.kind == "executions":
            names = {
                f"{_as_folder(row['cluster'])}/workers-{row['workers']}/seed-{row['seed']}.npz"
                for row in record["executions"]
            }
            found |= {name for name in names if ".." not in Path(name).parts and (folder / name).is_file()}
    return found


def _as_folder(label: Any, also: str = "") -> str:
    """The name of the folder of an arm or of a cluster, as version 1 made it."""
    return re.sub(rf"[^\w.=,{also}-]", "_", str(label))


def _record(folder: Path, kind: _Kind) -> dict[str, Any] | None:
    try:
        record = json.loads((folder / kind.file).read_bytes())
        return record if isinstance(record, dict) and kind.known(record) else None
    except (OSError, ValueError, TypeError, RecursionError):  # not there, or another one's
        return None

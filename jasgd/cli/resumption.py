"""Going on with a run of the command line: its options, as they were recorded, and what may be changed of them."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jasgd.cli.options import OutputOptions

NAME = "checkpoints"  # of their folder, within that of the run
#: options that another part of a run may have other values of; all others decide what is trained
FREE = {
    "scheme", "workers", "steps", "epochs", "time_limit_s", "target_loss", "evaluate_every_s", "test_examples",
    "data_dir", "download", "checkpoint_every_s", "checkpoint_every_steps", "keep", "engine",
}  # fmt: skip


class GoingOn(NamedTuple):
    """What a run of the command line goes on with.

    Attributes:
      folder: of the run.
      begin: what ``jasgd.train(resume=...)`` takes.
      rule_workers: number of workers of the first part, which some rules take.
    """

    folder: Path
    begin: Path
    rule_workers: int


def given_options(argv: Sequence[str]) -> frozenset[str]:
    """The names of the options that a command line has.

    Example:
      >>> sorted(given_options(["train", "--batch-size", "8", "--no-plots", "--seed=1"]))
      ['batch_size', 'plots', 'seed']
    """
    names = (text[2:].partition("=")[0].replace("-", "_") for text in argv if text.startswith("--"))
    return frozenset(name.removeprefix("no_") for name in names)


def settings_of(command: Any) -> dict[str, Any]:
    """The options of ``jasgd train`` but those of its output, as JSON can hold them.

    Args:
      command: the options.

    Returns:
      Values by name.
    """
    output = {f.name for f in dataclasses.fields(OutputOptions)} | {"resume"}
    settings = {f.name: getattr(command, f.name) for f in dataclasses.fields(command) if f.name not in output}
    return settings | command.stops() | {"data_dir": command.data_dir and str(command.data_dir)}


def checkpoints_of(command: Any, folder: Path) -> Any:
    """Where and how often ``jasgd train`` saves a run that goes on.

    Args:
      command: its options.
      folder: of its results.

    Returns:
      A ``jasgd.Checkpoints``; None where none are asked for, and there are none yet.

    Raises:
      FileExistsError: where there are checkpoints of another run.
      ValueError: for options out of their ranges.
    """
    from jasgd.record.checkpoints.options import Checkpoints
    from jasgd.record.checkpoints.reading import is_checkpoints

    inside = folder / NAME
    options = {"every_s": command.checkpoint_every_s, "every_steps": command.checkpoint_every_steps}
    there = is_checkpoints(inside)
    if there and command.going_on is None:
        raise FileExistsError(
            f"{inside} has the checkpoints of a run: --resume {folder} goes on with it; remove them to begin anew"
        )
    rule_workers = command.workers if command.going_on is None else command.going_on.rule_workers
    notes = {"settings": settings_of(command), "rule_workers": rule_workers}
    checkpoints = Checkpoints(inside, keep=command.keep, notes=notes, **options)
    return checkpoints if there or any(value is not None for value in options.values()) else None


@contextlib.contextmanager
def said(quiet: bool) -> Iterator[None]:
    """A context in which standard error has it where a run that was to be gone on with begins anew."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("jasgd: %(message)s"))
    logger = logging.getLogger("jasgd.resume")
    if not quiet:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def resumed(command: Any) -> Any:
    """``jasgd train`` with the recorded options of the run that it goes on with.

    Args:
      command: its options, with ``resume``.

    Returns:
      The options to train with.

    Raises:
      ValueError: for an option that contradicts the recorded ones.
      SavedRunError: where these are damaged.
    """
    from jasgd.record.checkpoints.reading import is_checkpoints, notes_in

    folder: Path = command.resume
    if command.out is not None and command.out != folder:
        raise ValueError(f"--out must be left out with --resume, or be {folder}, got {command.out}")
    inside = folder / NAME
    if is_checkpoints(inside):
        notes, begin = notes_in(inside), inside
    else:
        notes, begin = _of_result(folder), folder
    if notes is None:
        new = dataclasses.replace(command, resume=None, out=folder)
        new.going_on = GoingOn(folder, inside, command.workers)
        return new
    new = dataclasses.replace(command, resume=None, out=folder, **_merged(command, notes["settings"], folder))
    new.going_on = GoingOn(folder, begin, notes["rule_workers"])
    return new


def _of_result(folder: Path) -> dict[str, Any] | None:
    """What a result says of how it came about; None where there is none."""
    from jasgd.record.saving.manifest import SavedFolder, read_whole
    from jasgd.record.saving.ownership import entries_of

    if not entries_of(folder):
        return None

    def read(saved: SavedFolder) -> dict[str, Any]:
        if not {"metrics.json", "recipe.json"} <= set(saved.manifest or ()):
            raise ValueError(f"--resume must be the folder of a run of jasgd train, or a new one, got {folder}")
        return {
            "settings": saved.json("metrics.json")["settings"],
            "rule_workers": saved.json("recipe.json")["workers"],
        }

    return read_whole(folder, read)


def _merged(command: Any, recorded: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The recorded options, with those that were given anew."""
    fields = {f.name: f for f in dataclasses.fields(command) if f.name in recorded}
    given = command.given
    if given is None:
        given = {name for name, field in fields.items() if getattr(command, name) != field.default}
    merged = {}
    for name in fields:
        value, was = getattr(command, name), recorded[name]
        was = Path(was) if name == "data_dir" and was is not None else was
        if name in given and value != was and name not in FREE:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} must be left out with --resume, or be {was!r} as in {folder}, got {value!r}")
        merged[name] = value if name in given else was
    return merged

"""Files and lines that every command writes, and its exit codes. Only the command line prints."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jasgd.record.saving.folder import Draft
    from jasgd.training.interrupts import Interrupts

SUCCEEDED, FAILED, BAD_INPUT, INTERRUPTED, UNREAD, TERMINATED = 0, 1, 2, 130, 141, 143
OUTPUT = ("out", "overwrite", "plots", "json", "quiet")  # options of where results go, which decide no result
LEAVING = "leaving, with no file half written"  # said where Ctrl-C has to wait


def exit_code(outcomes: Sequence[str], *, interrupted: bool) -> int:
    """The exit code of a command, from the outcomes of its runs, and whether Ctrl-C has ended them."""
    if interrupted:
        return INTERRUPTED
    return FAILED if {"failed", "diverged"} & set(outcomes) else SUCCEEDED


def stdout() -> Any:
    """The console of standard output: as wide as the terminal, and 80 columns in a file or a pipe.

    Where nobody reads it any more, as behind ``head``, it falls silent; rich's own would end the command, which may
    have files to write.
    """
    from rich.console import Console

    class Outlasting(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True
            _drop_output()

    return Outlasting()


def print_lines(text: str) -> None:
    """Prints to standard output as it is, and falls silent where nobody reads it any more."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _drop_output()


def _drop_output() -> None:
    """Lets what is printed to standard output from now on go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_begun(command: Any) -> None:
    """Says at once on a terminal what is begun, as libraries and data take a second to load."""
    if sys.stderr.isatty() and not getattr(command, "quiet", False):
        with contextlib.suppress(OSError, ValueError):  # where nobody reads it
            print(f"jasgd {type(command).__name__.lower()} has begun", file=sys.stderr, flush=True)


def print_text(text: str, console: Any) -> None:
    """Prints sentences: broken between words on a terminal, and as they are for a program that reads them."""
    console.print(text, soft_wrap=not console.is_terminal, highlight=False, markup=False)


class Plots(NamedTuple):
    """The plots that were drawn, or what kept them from it."""

    files: list[Path]
    error: BaseException | None = None

    def require(self, interrupts: Interrupts, saved: str) -> None:
        """Once all else is saved, raises what kept plots from being drawn, or Ctrl-C that was held meanwhile.

        Args:
          interrupts: the context of Ctrl-C that they were drawn in.
          saved: what is saved, and where.
        """
        if interrupts.held or isinstance(self.error, KeyboardInterrupt):
            raise KeyboardInterrupt(saved)
        if self.error is not None:
            self.error.add_note(saved)
            raise self.error


def draw(plots: Callable[[Path], list[Path]] | None, draft: Draft, interrupts: Interrupts) -> Plots:
    """Draws plots into a folder that is saved, as its first files; none of them at Ctrl-C, or where one fails."""
    try:
        with interrupts.taken():
            return Plots([] if plots is None else plots(draft.path))
    except (Exception, KeyboardInterrupt) as error:  # which must not cost what is saved with them
        for file in draft.path.iterdir():
            file.unlink()
        return Plots([], error)


def write_json(report: dict[str, Any], draft: Draft, folder: Path, name: str, files: Sequence[Path]) -> str:
    """Writes a command's report into the folder that it saves as JSON, and returns it for ``--json``."""
    from jasgd.record.trees import to_json

    report = report | {"folder": str(folder), "plots": [str(folder / file.name) for file in files]}
    text = json.dumps(to_json(report), indent=2, allow_nan=False)
    draft.text(name, text + "\n")
    return text


def command_of(name: str, options: Any) -> str:
    """The line for the shell that a command was, but for where it wrote to: what differs from its defaults.

    Args:
      name: of the command.
      options: its dataclass.

    Returns:
      Words that a shell reads.
    """
    words = ["jasgd", name]
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value == field.default or field.name in OUTPUT:
            continue
        flag = field.name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *map(str, value if isinstance(value, (tuple, list)) else [value])]
    return shlex.join(words)


def print_files(folder: Path, files: Sequence[Path]) -> None:
    """Prints the folder that was written, and its plots."""
    print_lines(
        f"Written to {folder}" + (f", with the plots {', '.join(file.name for file in files)}" if files else "")
    )

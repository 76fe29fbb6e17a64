"""Files and lines that every command writes, and its exit codes. Only the command line prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jasgd.record.saving.folder import Draft

SUCCEEDED, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def exit_code(outcomes: Sequence[str]) -> int:
    """The exit code of a command, from the outcomes of its runs."""
    if "stopped" in outcomes:
        return INTERRUPTED
    return FAILED if {"failed", "diverged"} & set(outcomes) else SUCCEEDED


def stdout() -> Any:
    """The console of standard output, which does not cut tables where there is no terminal."""
    from rich.console import Console

    console = Console()
    # Rich cuts tables to 80 columns where there is no terminal to ask.
    return console if console.is_terminal else Console(width=150)


def write_json(report: dict[str, Any], draft: Draft, folder: Path, name: str, files: Sequence[Path]) -> str:
    """Writes a command's report into the folder that it saves as JSON, and returns it for ``--json``."""
    from jasgd.record.trees import to_json

    report = report | {"folder": str(folder), "plots": [str(folder / file.name) for file in files]}
    text = json.dumps(to_json(report), indent=2, allow_nan=False)
    draft.text(name, text + "\n")
    return text


def print_files(folder: Path, files: Sequence[Path]) -> None:
    """Prints the folder that was written, and its plots."""
    print(f"Written to {folder}" + (f", with the plots {', '.join(file.name for file in files)}" if files else ""))

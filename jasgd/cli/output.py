"""What every command writes and prints, and its exit codes. Only the command line prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SUCCEEDED, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def exit_code(outcomes: Sequence[str]) -> int:
    """The exit code of runs that ended so."""
    if "stopped" in outcomes:
        return INTERRUPTED
    return FAILED if {"failed", "diverged"} & set(outcomes) else SUCCEEDED


def stdout() -> Any:
    """A console that does not cut tables where there is no terminal."""
    from rich.console import Console

    console = Console()
    # Rich cuts tables to 80 columns where there is no terminal to ask.
    return console if console.is_terminal else Console(width=150)


def tell(as_json: bool, told: dict[str, Any], folder: Path, name: str, files: Sequence[Path]) -> None:
    """Writes what a command found into its folder as JSON, and prints that where it was asked for."""
    from jasgd.record.trees import to_json

    told = told | {"folder": str(folder), "plots": [str(file) for file in files]}
    text = json.dumps(to_json(told), indent=2, allow_nan=False)
    (folder / name).write_text(text + "\n")
    if as_json:
        print(text)


def tell_files(folder: Path, files: Sequence[Path]) -> None:
    """Says where files were written."""
    print(f"Written to {folder}" + (f", with the plots {', '.join(file.name for file in files)}" if files else ""))

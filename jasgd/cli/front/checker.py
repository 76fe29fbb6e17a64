"""The checker's commands as commands of jasgd: ``jasgd verify`` is ``python -m theory.verify``, and so on.

Nothing here imports the checker: a Python of its own runs it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence

NEEDED = ("theory", "sympy", "mpmath", "flint", "rich")


@dataclasses.dataclass
class Verify:
    """Prove or refute six conditions on a step-size function of your own; see jasgd verify --help."""


@dataclasses.dataclass
class Check:
    """Check a certificate that jasgd verify wrote, and that it is about a file; see jasgd check --help."""


@dataclasses.dataclass
class Bounds:
    """Evaluate convergence theorems for a step-size function and a law; see jasgd bounds --help."""


@dataclasses.dataclass
class Audit:
    """Say which theorems' assumptions a recorded run met, as in jasgd audit runs/mine; see jasgd audit --help."""


#: command → module of the checker, and the arguments that come first
COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "verify": ("theory.verify", ()),
    "check": ("theory.check", ()),
    "bounds": ("theory.bounds", ()),
    "audit": ("theory.verify", ("--execution",)),
}


def python_arguments(argv: Sequence[str]) -> list[str]:
    """The command line that a command of the checker stands for.

    Args:
      argv: of ``jasgd``; the first is the command.

    Returns:
      The arguments of Python.

    Raises:
      ImportError: where the checker, or a package that it needs, is missing.

    Example:
      >>> python_arguments(["audit", "runs/mine", "--json"])[1:]
      ['-m', 'theory.verify', '--execution', 'runs/mine', '--json']
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f'jasgd {argv[0]} needs {missing[0]}, of an extra: pip install "jasgd[theory]"')
    module, first = COMMANDS[argv[0]]
    asks_for_help = {"-h", "--help"} & set(argv)
    return [sys.executable, "-m", module, *(() if asks_for_help else first), *argv[1:]]


def replace_process(argv: Sequence[str]) -> None:
    """Makes this process the checker's, which has its signals and its exit code from then on."""
    arguments = python_arguments(argv)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execv(sys.executable, arguments)


def run_checker(argv: Sequence[str]) -> int:
    """Runs the checker in a process of its own, for a caller that goes on after it; returns its exit code."""
    code = subprocess.run(python_arguments(argv), check=False).returncode
    return code if code >= 0 else 128 - code

"""The exit codes of the commands: one for each verdict, one for bad input, one for a failure of the checker itself."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from theory.decisions.verdict import Verdict

#: The exit code of each verdict.
EXIT = {Verdict.PROVED: 0, Verdict.REFUTED: 1, Verdict.UNKNOWN: 2}
BAD_INPUT = 3
CRASHED = 4


def leave(code: int) -> NoReturn:
    """Ends the process with a code, and does not wait for threads that a candidate's file has left running."""
    if all(thread.daemon or thread is threading.main_thread() for thread in threading.enumerate()):
        sys.exit(code)
    with contextlib.suppress(ValueError, OSError):  # a file may have closed them
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def guarded(command: Callable[..., int]) -> Callable[..., int]:
    """A command whose own failure has an exit code of its own, so that nobody takes it for a verdict.

    Args:
      command: runs a command line, and returns its exit code.

    Returns:
      The same, with exit code 4 and the traceback on the standard error output where it raises.
    """

    @functools.wraps(command)
    def run(*arguments: Any) -> int:
        try:
            return command(*arguments)
        except Exception as error:
            traceback.print_exc()
            failure = f"{type(error).__name__}: {error}"
            print(f"error: the checker itself failed, and decides nothing: {failure}", file=sys.stderr)
            return CRASHED

    return run

"""Python in a process of its own, with the environment that a test states."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import jasgd

TESTS = Path(__file__).parent.parent
#: where Python finds jasgd and the tests' helpers
PATH = os.pathsep.join([str(Path(jasgd.__file__).parent.parent), str(TESTS)])


def start_python(
    *arguments: object, env: dict[str, str] | None = None, without: Iterable[str] = (), cwd=None, stdin: bool = False
):
    """Starts Python with these command-line arguments.

    ``env`` is added to the environment of this process, of which ``without`` names what is left out. ``stdin`` is
    whether its standard input is a pipe.
    """
    environment = {name: value for name, value in os.environ.items() if name not in set(without)}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], env=environment | {"PYTHONPATH": PATH} | (env or {}), cwd=cwd,
        text=True, encoding="utf-8", stdin=subprocess.PIPE if stdin else None, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


@contextlib.contextmanager
def talking_python(*arguments: object, limit_s: float = 200, **options) -> Iterator[subprocess.Popen[str]]:
    """Python that a test talks with, killed at the end of the block, and after ``limit_s``: no test waits for ever.

    ``options`` are those of ``start_python``. See ``line_of`` for reading what it says.
    """
    with start_python(*arguments, stdin=True, **options) as process:  # which closes its pipes in the end
        timer = threading.Timer(limit_s, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()


def line_of(stream: IO[str], *beginnings: str) -> str:
    """The next line of a stream that begins with one of these; one that ends before fails the test."""
    said: list[str] = []
    while not said or not said[-1].startswith(beginnings):
        said.append(stream.readline())
        assert said[-1], f"it has ended, and has said {said}"
    return said[-1]


def run_python(
    *arguments: object, check: bool = True, timeout_s: float = 200, **options
) -> subprocess.CompletedProcess:
    """Python with these command-line arguments, up to its end; ``options`` are those of ``start_python``.

    With ``check`` a process that fails fails the test, with what it wrote to standard error.
    """
    process = start_python(*arguments, **options)
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if check:
        assert process.returncode == 0, errors
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

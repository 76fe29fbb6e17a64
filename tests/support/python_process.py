"""Python in a process of its own, with the environment that a test states."""

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

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

"""The command ``jasgd``, with its subcommands, those of the checker among them."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

from jasgd.cli.compare import Compare
from jasgd.cli.datasets import Datasets
from jasgd.cli.demo import Demo
from jasgd.cli.front.checker import COMMANDS, Audit, Bounds, Check, Verify, replace_process, run_checker
from jasgd.cli.front.early import check_rules, check_scheme
from jasgd.cli.front.listed import epilogue
from jasgd.cli.front.messages import as_typed
from jasgd.cli.front.versions import OPTIONS, versions
from jasgd.cli.options import ProblemOptions
from jasgd.cli.output import BAD_INPUT, INTERRUPTED, SUCCEEDED, TERMINATED, UNREAD, say_begun
from jasgd.cli.replay import Replay
from jasgd.cli.report import Report
from jasgd.cli.resumption import given_options
from jasgd.cli.simulate import Simulate
from jasgd.cli.train import Train

__all__ = ["Compare", "Datasets", "Replay", "Report", "Simulate", "Train", "command", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
      argv: the arguments; ``sys.argv[1:]`` by default.

    Returns:
      0 where runs ended as they should; 1 where one failed or, in ``train``, diverged, where a replay comes to other
      bits, or a data set's files are wrong; 2 for bad input, a run that cannot be replayed here among it; 130 after
      Ctrl-C, 143 after SIGTERM, which does the same. After it ``train`` and ``compare`` write the results until then,
      with plots and tables; after another one, or one that comes while they are saved, without these, as ``simulate``
      does for a simulation that had ended. A simulation that has not ended leaves nothing.

    Example:
      >>> main(["train", "--workers", "0"])
      2
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        chosen = _chosen(arguments)
    except KeyboardInterrupt:
        print("jasgd: stopped by Ctrl-C", file=sys.stderr)
        return INTERRUPTED
    if isinstance(chosen, int):
        return chosen
    from jasgd.training.interrupts import Terminations

    with Terminations(threading.current_thread() is threading.main_thread()) as terminations:
        try:
            code = _run(chosen)
        except KeyboardInterrupt as interrupt:
            with contextlib.suppress(OSError):  # where nobody reads it
                signal = "SIGTERM" if terminations.came else "Ctrl-C"
                print(f"jasgd: stopped by {signal}{'; ' if str(interrupt) else ''}{interrupt}", file=sys.stderr)
            code = INTERRUPTED
    return TERMINATED if terminations.came and code == INTERRUPTED else code


def command() -> NoReturn:
    """The command ``jasgd``: runs the command line of the process, and ends it with the exit code.

    After Ctrl-C a worker may still be in XLA, or XLA compile in a thread of its own, and a process that Python takes
    down meanwhile can end in a segmentation fault. All is saved by then, so it ends at once.
    """
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        try:
            replace_process(sys.argv[1:])
        except ImportError as error:
            sys.exit(_refuse(str(error)))
    try:
        code = main()
        if sys.stdout is not None and code not in (INTERRUPTED, TERMINATED):
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read has read enough, as head does; nor would Python be able to flush
        os._exit(UNREAD)
    if code in (INTERRUPTED, TERMINATED):
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):  # closed, or a pipe that nobody reads
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _chosen(argv: Sequence[str]) -> Any:
    """The command with its options; an exit code where there is nothing more to run."""
    if argv and argv[0] in OPTIONS:
        print(versions())
        return SUCCEEDED
    if argv and argv[0] in COMMANDS:
        try:
            return run_checker(argv)
        except ImportError as error:
            return _refuse(str(error))
    try:
        import rich  # noqa: F401
        import tyro
    except ImportError:
        return _refuse('the command line needs its extra: pip install "jasgd[cli]"')
    try:
        chosen: Any = tyro.cli(
            Annotated[
                Train | Compare | Simulate | Replay | Report | Datasets | Demo | Verify | Check | Bounds | Audit,
                tyro.conf.OmitSubcommandPrefixes,
                tyro.conf.DisallowNone,
            ],
            args=argv,
            prog="jasgd",
            description="Asynchronous SGD in JAX, with a step size that adapts to measured staleness.",
        )
    except SystemExit as left:
        if not left.code and {"-h", "--help"} & set(argv):
            print(f"\n{epilogue(argv[0] if not argv[0].startswith('-') else None)}")
        raise
    if isinstance(chosen, ProblemOptions):
        vars(chosen)["given"] = given_options(argv)
    try:
        check_scheme(chosen)
        check_rules(chosen)
    except ValueError as error:
        return _refuse(as_typed(str(error), chosen))
    return chosen


def _run(chosen: Any) -> int:
    try:
        say_begun(chosen)  # before JAX is imported, which takes a second
        from jasgd.compiling.kept_compilations import keep_compiled
        from jasgd.jax_settings import configure_cpu, started

        if not started():  # a process that calls this function twice has it configured
            # A scan's work wanders to JAX's pool, where the scans of several runs would queue for its only thread.
            configure_cpu(threads_per_worker=None if isinstance(chosen, Simulate) else 1)
            keep_compiled()
        return chosen.run()
    except (ValueError, ImportError, OSError) as error:
        # Runs report their errors in their result, so what arrives here is about the input, or a missing extra.
        if isinstance(error, ImportError) and "pip install" not in str(error):
            raise
        return _refuse("; ".join([as_typed(str(error), chosen), *getattr(error, "__notes__", [])]))


def _refuse(message: str) -> int:
    print(f"jasgd: {message}", file=sys.stderr)
    return BAD_INPUT

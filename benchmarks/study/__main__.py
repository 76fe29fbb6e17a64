"""Command line of the study: ``python -m benchmarks.study run|report|quick|again|threads|…``."""

from __future__ import annotations

import argparse
import random
import re
import sys
from pathlib import Path

from benchmarks.study import design, exploratory, runner
from benchmarks.study.plan import STAGES

DOCS = Path(__file__).parents[2] / "docs"


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; the exit status is 1 where runs made anew do not agree with those that are kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = _command(commands, "run", "runs what is missing, then writes the report")
    run.add_argument("--minutes", type=float, default=55.0, help="no further run is begun after so many")
    run.add_argument("--cells", default="", help="a regular expression that names of cells begin with")
    run.add_argument("--stages", nargs="+", default=list(STAGES), choices=STAGES)
    run.add_argument("--arms", nargs="+", default=None, help="the constant step first; all by default")
    run.add_argument("--exploratory", action="store_true", help="the exploratory cells instead of the primary ones")
    run.add_argument("--processes", type=int, default=runner.PROCESSES)
    run.add_argument("--no-report", action="store_true", help="leaves the report as it is")
    _command(commands, "report", "writes the report from the runs that are kept")
    quick = _command(commands, "quick", "the whole study on two small cells, in minutes")
    quick.add_argument("--minutes", type=float, default=4.0, help="no further run is begun after so many")
    quick.set_defaults(cache=Path("runs/study-quick/runs"), out=Path("runs/study-quick"))
    again = _command(commands, "again", "runs cells drawn at random anew, and holds them against what is kept")
    again.add_argument("--cells", type=int, default=3, help="how many")
    again.add_argument("--seed", type=int, default=0, help="of the draw")
    threads = _command(commands, "threads", "trains with threads on this machine, and writes the same tables")
    threads.add_argument("--workers", type=int, nargs="+", default=None, help="numbers of threads")
    threads.add_argument("--arms", nargs="+", default=list(design.ARMS), help="the constant step first")
    threads.add_argument("--minutes", type=float, default=55.0, help="no further run is begun after so many")
    distances = _command(commands, "distances", "measures how far the simulator is from this machine's threads")
    distances.add_argument("--workers", type=int, nargs="+", default=[2, 4, 8, 16], help="numbers of threads")
    _command(commands, "measure", "records how long the phases of this machine's threads take, for speeds 'measured'")
    options = parser.parse_args(arguments)
    return {
        "run": _run, "report": _report, "quick": _quick, "again": _again, "threads": _threads, "distances": _distances,
        "measure": _measure,
    }[options.command](options)  # fmt: skip


def _command(commands: argparse._SubParsersAction, name: str, about: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=about, description=about)
    parser.add_argument("--cache", type=Path, default=runner.default_folder(), help="folder of the runs")
    parser.add_argument("--out", type=Path, default=DOCS, help="folder that the report is written to")
    return parser


def _run(options: argparse.Namespace) -> int:
    cells = exploratory.exploratory_cells() if options.exploratory else list(design.primary_cells())
    cells = [cell for cell in cells if re.match(options.cells, cell.name)]
    done = runner.run_cells(
        cells, options.cache, arms=options.arms, stages=options.stages, minutes=options.minutes,
        processes=options.processes,
    )  # fmt: skip
    print("all done" if done else "more is to be done: the same command goes on")
    return 0 if options.no_report else _report(options)


def _report(options: argparse.Namespace) -> int:
    from benchmarks.study.reporting.report import write_report

    print(write_report(options.cache, options.out))
    return 0


def _quick(options: argparse.Namespace) -> int:
    from benchmarks.study.reporting.report import write_report

    runner.run_cells(design.quick_cells(), options.cache, minutes=options.minutes)
    print(write_report(options.cache, options.out, cells=design.quick_cells()))
    return 0


def _again(options: argparse.Namespace) -> int:
    from benchmarks.study.again import run_again

    return run_again(options.cache, random.Random(options.seed), options.cells)


def _threads(options: argparse.Namespace) -> int:
    from benchmarks.study.runs.threads import run_threads

    run_threads(options.cache, options.workers, minutes=options.minutes, arms=options.arms)
    return _report(options)


def _distances(options: argparse.Namespace) -> int:
    from benchmarks.study.runs.threads import write_distances

    write_distances(options.cache, options.workers)
    return _report(options)


def _measure(options: argparse.Namespace) -> int:
    from benchmarks.study.runs.threads import measure

    print(measure())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Cells drawn at random, run anew from nothing, and held against what is kept of them."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from benchmarks.study import design, runner
from benchmarks.study.reporting.statistics import compared, judged, log_final, paired
from benchmarks.study.runs.cache import CellRuns


def run_again(folder: Path, draw: random.Random, count: int, cells: list[design.Cell] | None = None) -> int:
    """Runs cells anew, tuning included, and compares each rule's interval against constant with the one that is kept.

    Two intervals agree where each contains the other's estimate, or both are within a thousandth of each other.

    Args:
      folder: of the runs that are kept.
      draw: which cells, of those whose runs at their own rates are all kept.
      count: how many cells.
      cells: to draw from; None for the primary ones.

    Returns:
      0 where all agree, else 1.
    """
    complete = []
    for cell in cells or list(design.primary_cells()):
        kept = judged(cell, design.ARMS, [design.OWN], CellRuns(folder, cell).runs)
        if kept is not None and len(kept.runs[design.OWN]) > 1:
            complete.append((cell, kept))
    runner.begin()
    differs = 0
    with tempfile.TemporaryDirectory() as fresh:
        for cell, kept in draw.sample(complete, min(count, len(complete))):
            arms = tuple(kept.runs[design.OWN])
            runner.run_cell(cell, design.OWN, fresh, arms)
            anew = judged(cell, arms, [design.OWN], CellRuns(Path(fresh), cell).runs)
            for arm in arms[1:]:
                one, other = (
                    None if of is None else compared([paired(of, design.OWN, arm, design.BASELINE, log_final)])
                    for of in (kept, anew)
                )
                if one is None or other is None:
                    continue
                close = abs(one.size - other.size) <= 1e-3
                agree = close or (one.low <= other.size <= one.high and other.low <= one.size <= other.high)
                differs += not agree
                print(
                    f"{cell.name}: {arm} {one.size:+.4f} ({one.low:+.4f} … {one.high:+.4f}), anew "
                    f"{other.size:+.4f}: {'agree' if agree else 'DIFFER'}",
                    flush=True,
                )
    return int(differs > 0)

"""The verdicts: what TAIL is claimed to do, what the other rules do, and which rule to use when."""

from __future__ import annotations

import dataclasses
import statistics as of_numbers
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.study import design
from benchmarks.study.reporting.statistics import (
    NOT_INFERIOR,
    WIDE,
    Comparison,
    Judged,
    Measure,
    compared,
    corrected,
    failed,
    log_best,
    log_final,
    log_updates,
    not_inferior,
    paired,
)

Differences = Callable[[Judged], np.ndarray | None]  # of a cell, one a judging seed
CLAIMS: dict[str, tuple[str, Measure]] = {
    "i": (design.OWN, log_updates),
    "ii": (design.TWICE, failed),
    "iii": (design.OWN, log_best),
}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is said of a claim on a problem.

    Attributes:
      text: ``"reproduced"``, ``"reversed"``, ``"not shown"``, or ``"not run"``.
      result: TAIL against the constant step.
      control: TAIL against its control, None where not run.
      by_workers: the same as ``result`` for each number of workers.
    """

    text: str
    result: Comparison | None
    control: Comparison | None
    by_workers: dict[int, Comparison]

    @property
    def where(self) -> str:
        """The numbers of workers whose own interval excludes zero, on either side."""
        sides = {-1: [], 1: []}
        for workers, one in self.by_workers.items():
            if one.excludes_zero:
                sides[-1 if one.size < 0 else 1].append(str(workers))
        words = {-1: "better at", 1: "worse at"}
        parts = [f"{word} {', '.join(sides[side])}" for side, word in words.items() if sides[side]]
        return "; ".join(parts) or "nowhere"


def verdicts(cells: Sequence[Judged], problems: Sequence[str], arm: str = "tail") -> dict[tuple[str, str], Verdict]:
    """The three claims on each problem, as one family."""
    family = {
        (problem, claim): _over(cells, problem, _against_constant(arm, claim))
        for problem in problems
        for claim in CLAIMS
    }
    after = corrected(family)
    return {name: _verdict(cells, *name, arm, after.get(name)) for name in family}


def _against_constant(arm: str, claim: str) -> Differences:
    stage, measure = CLAIMS[claim]
    return lambda of: paired(of, stage, arm, design.BASELINE, measure)


def _verdict(cells: Sequence[Judged], problem: str, claim: str, arm: str, result: Comparison | None) -> Verdict:
    stage, measure = CLAIMS[claim]
    control = None
    if stage == design.OWN:
        label = f"{design.BASELINE}@{arm}"
        control = _over(cells, problem, lambda of: paired(of, stage, arm, label, measure, design.CONTROL))
    found = {workers: _over(cells, problem, _against_constant(arm, claim), workers) for workers in design.WORKERS}
    by_workers = {workers: one for workers, one in found.items() if one is not None}
    if result is None:
        return Verdict("not run", None, None, by_workers)
    text = "not shown"
    if result.corrected <= design.LEVEL and result.size > 0:
        text = "reversed"
    elif result.corrected <= design.LEVEL and (stage != design.OWN or (control is not None and control.size < 0)):
        text = "reproduced"
    return Verdict(text, result, control, by_workers)


def rules_compared(
    cells: Sequence[Judged], problems: Sequence[str], other: str
) -> dict[tuple[str, str], Comparison | None]:
    """The final loss of each rule but TAIL against another arm, each at its own rate, as one family."""
    family = {
        (rule, problem): _over(cells, problem, lambda of, r=rule: paired(of, design.OWN, r, other, log_final))
        for rule in design.RULES
        if rule != "tail"
        for problem in problems
    }
    return {name: None for name in family} | corrected(family)


def over_workers(cells: Sequence[Judged], problem: str, rule: str, workers: int, measure: Measure) -> Comparison | None:
    """A rule against the constant step, own rates, over the speeds of a number of workers."""
    return _over(cells, problem, lambda of: paired(of, design.OWN, rule, design.BASELINE, measure), workers)


def _over(
    cells: Sequence[Judged], problem: str, differences: Differences, workers: int | None = None
) -> Comparison | None:
    chosen = [of for of in cells if of.cell.problem == problem and workers in (None, of.cell.workers)]
    return compared(differences(of) for of in chosen)


@dataclasses.dataclass(frozen=True)
class Standing:
    """How a rule stands over cells, in numbers of cells.

    Attributes:
      words: cells by what :func:`benchmarks.study.reporting.statistics.not_inferior` says.
      median: of the final loss over the constant step's, over cells.
      against_tail: of the final loss over TAIL's.
    """

    words: dict[str, int]
    median: float
    against_tail: float

    @property
    def recommended(self) -> bool:
        """Whether it is recommended over TAIL: not inferior wherever that is decided, and no worse in the median."""
        decided = self.words.keys() - {"undecided"}
        return bool(decided) and decided <= {NOT_INFERIOR, WIDE} and self.against_tail <= 0


def standings(cells: Sequence[Judged], workers: int | None = None) -> dict[str, Standing]:
    """How each rule stands over the cells with a number of workers, None for all."""
    found = {}
    for rule in design.RULES:
        words: dict[str, int] = {}
        sizes, beyond = [], []
        for of in cells:
            if workers not in (None, of.cell.workers) or (one := not_inferior(of, rule)) is None:
                continue
            words[one[0]] = words.get(one[0], 0) + 1
            sizes.append(one[1].size)
            if (over_tail := compared([paired(of, design.OWN, rule, "tail", log_final)])) is not None:
                beyond.append(over_tail.size)
        if words:
            nan = float("nan")
            found[rule] = Standing(words, of_numbers.median(sizes), of_numbers.median(beyond) if beyond else nan)
    return found

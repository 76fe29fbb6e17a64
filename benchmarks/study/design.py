"""The design of the study: questions, cells, arms, seeds, learning rates and tests, as committed before the runs.

Whoever changes what a run is, such as its batch or an arm's definition, raises ``VERSION``: runs of another version are
not read. docs/study-design.md says the same in prose.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator

VERSION = 1

#: Seeds 0 to 9 were spent on the first look, and are used for nothing here.
TUNING_SEEDS = tuple(range(100, 108))  # learning rates are chosen on these, and nothing is judged by them
JUDGING_SEEDS = tuple(range(200, 210))

WORKERS = (2, 8, 32, 128)
SPEEDS = ("equal", "sigma0.7", "sigma1.2", "measured")  # see clusters.py
SCHEME = "leashed"


@dataclasses.dataclass(frozen=True)
class Problem:
    """A training problem of the study.

    Attributes:
      name: in file names and tables.
      dataset: as of :func:`jasgd.problems.load`, as is ``model``.
      model: of the data set.
      updates: of a run.
      batch: examples of a mini-batch.
      rates: for each number of workers the middle of the learning rates that tuning begins with.
    """

    name: str
    dataset: str
    model: str
    updates: int
    batch: int
    rates: dict[int, float]


#: The middle rates are round guesses from the seeds of the first look. Tuning goes on beyond them where it has to.
_MLP_RATES = {2: 0.08, 8: 0.04, 32: 0.02, 128: 0.005}
PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("mnist-mlp", "mnist", "mlp", 1500, 32, _MLP_RATES),
        Problem("fashion-mlp", "fashion_mnist", "mlp", 1500, 32, _MLP_RATES),
        Problem("cifar-lenet", "cifar10", "lenet", 800, 32, {2: 0.04, 8: 0.02, 32: 0.01, 128: 0.0025}),
        Problem("digits-mlp", "digits", "mlp", 300, 16, _MLP_RATES),  # for a look at the whole study in minutes
    )
}
PRIMARY_PROBLEMS = ("mnist-mlp", "fashion-mlp", "cifar-lenet")

BASELINE = "constant"
#: The rules, each as a text, which is also what its runs are kept under. PARABOLA sets its own κ.
DISTANCE, PARABOLA = "distance:tail", "distance:measured_parabola"
RULES = ("tail", DISTANCE, PARABOLA, "inverse", "inverse:normalized=true")
ARMS = (BASELINE, *RULES)


@dataclasses.dataclass(frozen=True)
class Cell:
    """A place of the study: all arms are run there, on the same executions.

    Attributes:
      problem: a key of ``PROBLEMS``.
      speeds: a key of ``SPEEDS``, or a variation of an exploratory cell.
      workers: number of workers.
      change: what an exploratory cell changes, see exploratory.py; "" for a primary cell.
    """

    problem: str
    speeds: str
    workers: int
    change: str = ""

    @property
    def name(self) -> str:
        """The cell's name, and that of its file."""
        return "_".join([self.problem, self.speeds, str(self.workers), *filter(None, [self.change])])


def primary_cells() -> Iterator[Cell]:
    """The primary cells, in an order in which a stop at any time leaves the most useful table."""
    for problem in PRIMARY_PROBLEMS:
        for speeds in (("sigma0.7", "equal"), ("sigma1.2", "measured")):
            yield from (Cell(problem, one, workers) for workers, one in itertools.product((32, 8, 128, 2), speeds))


def quick_cells() -> list[Cell]:
    """Two small cells, which the whole study is tried out on."""
    return [Cell("digits-mlp", "sigma0.7", workers) for workers in (8, 32)]


# Tuning: successive halving, on final training losses.
FIRST_RATES = (0.25, 0.5, 1.0, 2.0, 4.0)  # times the middle one
FIRST_SEEDS, SECOND_SEEDS, LAST_SEEDS = TUNING_SEEDS[:2], TUNING_SEEDS[:4], TUNING_SEEDS
INVERSE_PER_WORKER = 0.5  # raw dampening divides steps by τ + 1: its middle rate is so much a worker times the others'
MOST_EXTENSIONS = 6  # octaves beyond the first rates while the best is at their edge
SECOND_RATES = (0.5, 2**-0.5, 1.0, 2**0.5, 2.0)  # times the best of the first round
LAST_RATES = 2  # rates of the last round: the two best of the second

# Judging: each arm with its own best rate, with the best one of the constant step, and with twice that. The control of
# a rule is a constant step of the mean length that the rule took in the run of the same seed.
OWN, SAME, TWICE, CONTROL = "own", "same", "twice", "control"
TWICE_FACTOR = 2.0

LEVELS = (0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.01)  # of the initial loss, whose reaching is measured
WINDOW = 100  # updates that a loss is a mean over; the final loss is that of the last ones
EXPLODED = 1000.0  # times the initial loss: a mean over one call of the scan beyond it ends a run as diverged
TARGET = 1.05  # the target of a cell: so much times the constant step's median final loss on the tuning seeds
GUESSING = math.log(10)  # nats: the loss of guessing one of ten classes
FAILED = 0.5  # a run failed where it diverged, or made less than this share of the way from the initial loss, or that
#               of guessing where it is less, to the target

# What is claimed, at which level of error.
LEVEL = 0.05
INFERIOR = 1.02  # a rule is not inferior where the 95 % interval of final loss / constant's ends below this
UNDECIDED = 0.05  # and undecided where that interval is wider than this to either side, in log
WIDTH = 1.1  # the width of the range of learning rates: those with a final loss of at most so much times the best
LOSS_CAP = 10.0  # a final loss counts as at most so many times the initial one, so that means over cells exist

QUESTIONS = {
    "i": "Does TAIL reach the target of the cell in fewer updates than the constant step, each at its own best rate?",
    "ii": "Do fewer runs of TAIL fail than of the constant step, both at twice the constant step's best rate?",
    "iii": "Is the best level that TAIL reaches lower than the constant step's, each at its own best rate?",
}

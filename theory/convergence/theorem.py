"""What a convergence theorem is: assumptions with verdicts, a step condition, a bound, and where it comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from flint import fmpq

from theory.convergence.moments import Moments
from theory.convergence.steps import least_bound, round_down
from theory.decisions.verdict import Verdict, worst
from theory.numbers.balls import Number, Undecided, precision

BITS = 128  # of the balls

#: The numbers that theorems ask for, each with its meaning and unit: [f] is the unit of f, [x] that of x.
NUMBERS: dict[str, str] = {
    "L": "smoothness L: |∇f(x) − ∇f(y)| ≤ L|x − y|; in [f]/[x]²",
    "mu": "Polyak-Łojasiewicz constant μ, or that of strong convexity; in [f]/[x]²",
    "sigma": "noise σ of a gradient: E|g − ∇f|² ≤ σ²; in [f]/[x]",
    "delta": "initial gap Δ = f(x₀) − inf f; in [f]",
    "distance": "initial distance D = |x₀ − x*|; in [x]",
    "G": "bound of |∇f|, or of |g| where a theorem says so; in [f]/[x]",
    "M": "root mean square of a gradient: E|g|² ≤ M²; in [f]/[x]",
    "eps": "accuracy ε to reach, in the unit of what the theorem bounds",
    "steps": "number K of applied gradients",
    "workers": "number m of workers that compute gradients",
    "execution": "a recorded execution",
}


class Unavailable(ArithmeticError):
    """A moment that a theorem needs is infinite or not known; the message names it."""


@dataclasses.dataclass(frozen=True)
class Judged:
    """An assumption, and what is known of it.

    Attributes:
      name: a few words.
      verdict: PROVED, REFUTED or UNKNOWN; None where it concerns the objective or the execution: ASSUMED.
      because: one sentence.
    """

    name: str
    verdict: Verdict | None
    because: str

    @property
    def label(self) -> str:
        """The verdict, or ASSUMED."""
        return "ASSUMED" if self.verdict is None else self.verdict.value


@dataclasses.dataclass(frozen=True)
class Case:
    """A step-size function under a law, and a problem's numbers.

    Attributes:
      moments: of the step-size function under the law.
      numbers: by the names of ``NUMBERS``, exact.
    """

    moments: Moments
    numbers: Mapping[str, fmpq]

    def __getitem__(self, name: str) -> fmpq:
        return self.numbers[name]

    @property
    def steps(self) -> int:
        """The number K of commits."""
        return int(self.numbers["steps"].p)

    def moment(self, name: str) -> Number:
        """The value of a moment that is known; else :class:`Unavailable`."""
        value = getattr(self.moments, name)
        if value is None:
            raise Unavailable(f"{WRITTEN[name]} is infinite or was not enclosed")
        return value


#: How moments are written.
WRITTEN = {
    "mean": "E[C]",
    "mean_square": "E[C²]",
    "staleness_mean": "E[τC]",
    "staleness_square_mean": "E[τ²C]",
    "largest_factor": "C_max",
    "largest_staleness": "the largest staleness R",
    "mean_staleness": "E[τ]",
}


@dataclasses.dataclass(frozen=True)
class Theorem:
    """A convergence theorem.

    Attributes:
      key: its name on the command line.
      title: its name for people.
      statement: what it says, in Unicode.
      needs: the numbers that it needs, by the names of ``NUMBERS``.
      assumptions: of a case and a step size: each with its verdict.
      bound: of a case and a step size: the value of the right-hand side.
      largest_step: of a case; None where every step size is admissible.
      step_words: what the step of ``largest_step`` is.
      default_step: of a case: the step that is taken where none is given; by default the largest.
      notes: of a case and a step size: further sentences.
      provenance: ``"ours"``, or the paper that it was read from.
      source: where its proof is.
    """

    key: str
    title: str
    statement: str
    needs: tuple[str, ...]
    assumptions: Callable[[Case, fmpq | None], Sequence[Judged]]
    bound: Callable[[Case, fmpq], Number]
    largest_step: Callable[[Case], Number] | None
    provenance: str
    source: str
    step_words: str = "largest admissible step size"
    default_step: Callable[[Case], Number] | None = None
    notes: Callable[[Case, fmpq], Sequence[str]] = lambda case, step: ()
    has_free_step: bool = True

    def missing(self, numbers: Mapping[str, fmpq]) -> list[str]:
        """The numbers that it needs and that were not given."""
        return [name for name in self.needs if name not in numbers]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A theorem, applied to a step-size function, a law and a problem.

    Attributes:
      theorem: which.
      assumptions: each with its verdict.
      largest_step: in [x]²/[f]; None where there is none, or none was found.
      step: the step size that the value is for.
      value: of the bound; None where it could not be computed.
      best: a step size at which the bound is about least among the admissible ones, and its value there.
      notes: further sentences.
    """

    theorem: Theorem
    assumptions: Sequence[Judged]
    largest_step: Number | None
    step: fmpq | None
    value: Number | None
    best: tuple[fmpq, Number] | None = None
    notes: Sequence[str] = ()

    @property
    def verdict(self) -> Verdict:
        """REFUTED before UNKNOWN before PROVED, of what can be decided."""
        return worst(judged.verdict for judged in self.assumptions if judged.verdict is not None)


def evaluate(theorem: Theorem, case: Case, step: fmpq | None = None) -> Outcome:
    """Applies a theorem.

    Args:
      theorem: which.
      case: step-size function, law and numbers; none that the theorem needs is missing.
      step: the step size η in [x]²/[f]; by default the theorem's own choice, mostly the largest admissible one.

    Returns:
      Verdicts, step sizes and the value of the bound, as enclosures.

    Raises:
      ValueError: where a number that the theorem needs is missing.

    Example:
      >>> from theory.convergence.theorems import THEOREMS
      >>> fresh = Moments.of_pmf({0: 1}, {0: 1})
      >>> numbers = {"L": fmpq(1), "sigma": fmpq(1), "delta": fmpq(1, 2), "steps": fmpq(10)}
      >>> outcome = evaluate(THEOREMS["nonconvex"], Case(fresh, numbers))
      >>> outcome.verdict.value, outcome.step, outcome.value
      ('PROVED', 1, 11/10)
    """
    missing = theorem.missing(case.numbers)
    if missing:
        raise ValueError(f"{theorem.key} needs {', '.join(missing)}")
    with precision(BITS):
        largest = _tried(theorem.largest_step, case)
        most = _rounded(largest)
        if most is None:
            largest = None
        if step is None:
            step = most if theorem.default_step is None else _rounded(_tried(theorem.default_step, case))
        assumptions = theorem.assumptions(case, step)
        if step is None:
            return Outcome(theorem, assumptions, largest, None, None)
        value = _tried(lambda one_case: theorem.bound(one_case, step), case)
        best = None
        if value is not None and theorem.has_free_step:
            best = least_bound(lambda eta: _tried(lambda one_case: theorem.bound(one_case, eta), case), most or step)
        notes = [] if value is None else list(theorem.notes(case, step))
        return Outcome(theorem, assumptions, largest, step, value, best, notes)


def _rounded(step: Number | None) -> fmpq | None:
    """A step size that is at most this one; None where it is not shown to be > 0 and finite."""
    try:
        return None if step is None else round_down(step)
    except Undecided:
        return None


def _tried(function: Callable[[Case], Number] | None, case: Case) -> Number | None:
    try:
        return None if function is None else function(case)
    except ArithmeticError:
        return None

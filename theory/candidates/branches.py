"""Python's own branches on τ: a file that asks whether τ > 5 is run once for each answer, and the results are cases.

SymPy answers ``tau == 5`` by how the two are written, takes ``tau`` itself for true, and raises at ``if tau > 5``.
While a file is run here, what is not certain is answered yes in one run and no in another.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import sympy
from sympy.core.numbers import Number, NumberSymbol
from sympy.core.relational import Relational

from theory.candidates.candidate import CandidateError

MOST_QUESTIONS = 24  # in one run; a loop until τ is reached has no end
MOST_RUNS = 64
_COMPARED = (sympy.Basic, Number, sympy.Float, sympy.Rational, sympy.Integer, NumberSymbol)
_OWN = ("sympy", "mpmath", "theory")  # packages whose questions are about how an expression is written
#: What a file may ask of an expression whose answer SymPy does not know, as a relation.
_FACTS: dict[str, Callable[[Any], Any]] = {
    "is_zero": lambda x: sympy.Eq(x, 0),
    "is_nonzero": lambda x: sympy.Ne(x, 0),
    "is_positive": lambda x: x > 0,
    "is_negative": lambda x: x < 0,
    "is_nonnegative": lambda x: x >= 0,
    "is_nonpositive": lambda x: x <= 0,
    "is_even": lambda x: sympy.Eq(sympy.Mod(x, 2), 0),
    "is_odd": lambda x: sympy.Eq(sympy.Mod(x, 2), 1),
}
Result = TypeVar("Result")


class TooManyBranches(CandidateError):
    """Questions about τ of which there is no end in sight."""


class Branch(Generic[Result]):
    """One run of a file.

    Attributes:
      answers: by relation, whether it was said to hold.
      result: what the run gave, or the error that ended it.
    """

    def __init__(self, planned: list[bool]) -> None:
        self._planned = planned
        self.answers: dict[Any, bool] = {}
        self.result: Result | CandidateError

    def holds(self, relation: Any) -> bool:
        """The answer to a question of this run."""
        if relation in (sympy.true, sympy.false):
            return relation == sympy.true
        for known, answer in ((relation, True), (relation.negated, False)):
            if known in self.answers:
                return self.answers[known] is answer
        place = len(self.answers)
        if place >= MOST_QUESTIONS:
            what = f"more than {MOST_QUESTIONS} questions about τ, such as {relation}"
            raise TooManyBranches(f"it asks {what}; write it as Piecewise, or without a loop that τ ends")
        self.answers[relation] = self._planned[place] if place < len(self._planned) else True
        return self.answers[relation]

    def condition(self) -> Any:
        """What holds in this run."""
        return sympy.And(*(relation if answer else relation.negated for relation, answer in self.answers.items()))


_current: Branch[Any] | None = None


def branches(run: Callable[[], Result]) -> list[Branch[Result]]:
    """Runs a function once for each way in which its questions can be answered.

    Args:
      run: a function that gives the same at each run, but for the answers.

    Returns:
      The runs. Their conditions are all the cases that there are, some of which may never hold.

    Raises:
      TooManyBranches: for more than 24 questions in one run, and for more than 64 runs.

    Example:
      >>> from theory.candidates.file import run
      >>> found = branches(lambda: run("from theory import tau" + chr(10) + "C = 2 if tau == 7 else 1", "c.py")["C"])
      >>> [(str(one.condition()), one.result) for one in found]
      [('Eq(tau, 7)', 2), ('Ne(tau, 7)', 1)]
    """
    found: list[Branch[Result]] = []
    planned: list[bool] = []
    while len(found) < MOST_RUNS:
        branch: Branch[Result] = Branch(planned)
        with _asking(branch):
            try:
                branch.result = run()
            except TooManyBranches:
                raise
            except CandidateError as error:
                branch.result = error
        found.append(branch)
        planned = list(branch.answers.values())
        while planned and not planned[-1]:
            planned.pop()
        if not planned:
            return found
        planned[-1] = False
    raise TooManyBranches(f"its questions about τ have more than {MOST_RUNS} different answers; write it as Piecewise")


def joined(found: list[Branch[Any]], value_of: Callable[[Any], Any]) -> Any:
    """The results of all runs in one expression; where a run ended in an error there is no value.

    Args:
      found: the runs.
      value_of: the expression of a result.

    Returns:
      A SymPy expression.
    """
    values = [sympy.nan if isinstance(one.result, CandidateError) else value_of(one.result) for one in found]
    if len(found) == 1:
        return values[0]
    cases = [(value, one.condition()) for value, one in zip(values, found, strict=True)]
    return sympy.Piecewise(*cases[:-1], (cases[-1][0], True), evaluate=False)


def fact(of: Any, name: str) -> Any:
    """The attribute of an object; of an expression in τ a question, where SymPy does not know."""
    value = getattr(of, name)
    is_question = value is None and _current is not None and name in _FACTS and isinstance(of, sympy.Expr)
    if not is_question or not getattr(of, "is_integer" if name in ("is_even", "is_odd") else "is_real"):
        return value
    return _current.holds(_FACTS[name](of))


@contextlib.contextmanager
def _asking(branch: Branch[Any]) -> Iterator[None]:
    """Answers, by a branch, what any code but SymPy's own asks of expressions."""
    global _current
    kept = [(kind, name, vars(kind)[name]) for kind in _COMPARED for name in ("__eq__", "__ne__")]
    relation_is_true = Relational.__bool__

    def equal(original: Any, when_equal: bool) -> Any:
        def compare(left: Any, right: Any) -> Any:
            same = original(left, right)
            if same is when_equal or not _is_foreign(sys._getframe(1)):
                return same
            relation = _equality(left, right)
            return same if relation == sympy.false else branch.holds(relation) is when_equal

        return compare

    def truth(relation: Any) -> bool:
        return branch.holds(relation) if _is_foreign(sys._getframe(1)) else relation_is_true(relation)

    def is_not_zero(expression: Any) -> bool:
        if not _is_foreign(sys._getframe(1)) or not _is_open(expression):
            return True
        return branch.holds(sympy.Ne(expression, 0))

    for kind, name, original in kept:
        setattr(kind, name, equal(original, name == "__eq__"))
    Relational.__bool__, sympy.Expr.__bool__ = truth, is_not_zero  # type: ignore[method-assign,attr-defined]
    _current, before = branch, _current
    try:
        yield
    finally:
        _current = before
        for kind, name, original in kept:
            setattr(kind, name, original)
        Relational.__bool__ = relation_is_true  # type: ignore[method-assign]
        del sympy.Expr.__bool__  # type: ignore[attr-defined]


def _is_foreign(frame: Any) -> bool:
    return frame.f_globals.get("__name__", "").partition(".")[0] not in _OWN


def _is_open(expression: Any) -> bool:
    return isinstance(expression, sympy.Expr) and bool(expression.free_symbols)


def _equality(left: Any, right: Any) -> Any:
    """Whether two are the same number, as a relation; false where one is none."""
    try:
        left, right = sympy.sympify(left, strict=True), sympy.sympify(right, strict=True)
    except (sympy.SympifyError, TypeError, AttributeError):
        return sympy.false
    if not (isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr) and (_is_open(left) or _is_open(right))):
        return sympy.false
    return sympy.Eq(left, right)

"""What a file assumes of its parameters: SymPy simplifies by the assumptions of a symbol, so they must hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sympy

from theory.candidates.candidate import CandidateError
from theory.numbers.ranges import Range

_OF_REALS = {"commutative", "complex", "finite", "real", "extended_real", "hermitian"}
_OF_NO_REAL = {"infinite", "imaginary"}
_SIGNS = {
    ("positive", True): Range.is_positive,
    ("positive", False): Range.is_nonpositive,
    ("negative", True): Range.is_negative,
    ("negative", False): Range.is_nonnegative,
    ("nonnegative", True): Range.is_nonnegative,
    ("nonnegative", False): Range.is_negative,
    ("nonpositive", True): Range.is_nonpositive,
    ("nonpositive", False): Range.is_positive,
    ("nonzero", True): Range.is_zero_free,
    ("zero", False): Range.is_zero_free,
    ("antihermitian", False): Range.is_zero_free,
    ("prime", False): Range.is_nonpositive,
    ("composite", False): Range.is_nonpositive,
}


@contextlib.contextmanager
def symbols_made() -> Iterator[list[sympy.Symbol]]:
    """Gathers every symbol that is made meanwhile, wherever it is kept, and whether or not it is simplified away.

    Example:
      >>> with symbols_made() as made:
      ...     sympy.Abs(sympy.Symbol("b", positive=True)) / sympy.Symbol("b", positive=True)
      1
      >>> made[0].name, made[0].is_positive
      ('b', True)
    """
    made: list[sympy.Symbol] = []
    before = {kind: kind.__dict__["__new__"] for kind in (sympy.Symbol, sympy.Dummy)}

    def noting(original: Any) -> Any:
        def new(*arguments: Any, **assumptions: Any) -> Any:
            symbol = original.__func__(*arguments, **assumptions)
            made.append(symbol)
            return symbol

        return staticmethod(new)

    for kind, original in before.items():
        kind.__new__ = noting(original)  # type: ignore[method-assign]
    try:
        yield made
    finally:
        for kind, original in before.items():
            kind.__new__ = original


def assumptions_of(symbols: Iterable[sympy.Symbol]) -> dict[str, dict[str, bool]]:
    """What is assumed of each symbol, by its name and the name of the assumption; of namesakes, all that any has."""
    found: dict[str, dict[str, bool]] = {}
    for symbol in symbols:
        declared = {fact: value for fact, value in symbol.assumptions0.items() if value is not None}
        found.setdefault(symbol.name, {}).update(declared)
    return found


def require_assumptions(name: str, assumed: Mapping[str, bool], known: Range) -> None:
    """Refuses assumptions that do not hold throughout a parameter's range.

    Args:
      name: the parameter.
      assumed: by the name of a SymPy assumption, whether it is said to hold.
      known: the range.

    Raises:
      CandidateError: where one does not hold, or cannot be checked.

    Example:
      >>> from theory.numbers import ranges
      >>> require_assumptions("b", {"positive": True}, ranges.point(-1))
      Traceback (most recent call last):
      theory.candidates.candidate.CandidateError: b is declared positive, but its range is not
    """
    # The word that was written comes before what SymPy derives from it.
    order = ["positive", "negative", "nonnegative", "nonpositive", "nonzero", "integer", *sorted(assumed)]
    for fact in dict.fromkeys(order):
        if fact in assumed and not _holds(fact, assumed[fact], known):
            said = fact if assumed[fact] else f"not {fact}"
            raise CandidateError(f"{name} is declared {said}, but its range is not")


def _holds(fact: str, value: bool, known: Range) -> bool:
    if known.exact is not None:
        return getattr(sympy.Rational(int(known.exact.p), int(known.exact.q)), f"is_{fact}", None) is value
    fact = fact if fact in _OF_REALS else fact.removeprefix("extended_")
    if fact in _OF_REALS or fact in _OF_NO_REAL:
        return value is (fact in _OF_REALS)
    check = _SIGNS.get((fact, value))
    return check is not None and check(known)

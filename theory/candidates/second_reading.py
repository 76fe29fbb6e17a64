"""Reading a candidate a second time: its file is run at single integers, and its formula held against what it says.

SymPy simplifies expressions in τ as they are written, and is sometimes wrong: version 1.14 turns
``Mod(2*Mod(tau, 3), 5)`` into another function. At an integer nothing is simplified, so a misread formula shows.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import sympy
from flint import arb, fmpq
from sympy.core.evalf import PrecisionExhausted

from theory.analysis.evaluation import compiled
from theory.analysis.pointwise import samples
from theory.analysis.setting import Setting
from theory.candidates.branches import branches
from theory.candidates.candidate import CandidateError, TooLong
from theory.candidates.file import arguments_of, called, quietly, run
from theory.candidates.interruption import Interrupted
from theory.formulas import from_sympy
from theory.formulas.formula import Domain, F, Formula, U, mentions, nodes, rewrite
from theory.numbers.balls import NotFinite, Number, Undecided, ball, precision
from theory.numbers.ranges import Range

NEAR = 200  # every staleness up to here is read
FAR = 16  # so many random ones beyond
FARTHEST = 10**6
SHARES = 64  # so many random arguments of a distortion
LIMIT_S = 2.0  # after which no further staleness is read
_SHARES = (Fraction(0), Fraction(1, 7), Fraction(1, 2), Fraction(5, 6), Fraction(1))  # values of F in turn
_SAMPLES = 3  # values of the parameters in turn
_LONGEST = 2**14  # bits of an intermediate result beyond which a staleness is left out
_BITS, _DIGITS, _NEAR_ENOUGH, _NOTHING = 160, 30, arb("1e-15"), arb("1e-300")


class _AtPoint(Setting):
    """F and the parameters as single numbers."""

    def __init__(self, share: Fraction, parameters: Mapping[str, Range]) -> None:
        super().__init__(parameters)
        self._share = fmpq(share.numerator, share.denominator)

    def distribution(self, tau: int) -> Number:
        return self._share

    def mean(self, formula: Formula) -> Number:
        raise Undecided("a mean at a single staleness")


@dataclasses.dataclass(frozen=True)
class Difference:
    """A staleness at which a formula says something else than the file.

    Attributes:
      tau: the staleness.
      text: the difference in a sentence.
      is_hole: whether the file has no number there, and the formula has one.
    """

    tau: int
    text: str
    is_hole: bool


def difference(
    source: str,
    name: str,
    formula: Formula,
    parameters: Mapping[str, Range],
    domain: Domain,
    places: Sequence[int] = (),
) -> Difference | None:
    """Where a formula says something else than the file that it was read from.

    Args:
      source: the text of the file.
      name: its name.
      formula: what was made of it.
      parameters: the range of each.
      domain: first and last staleness.
      places: staleness values that are read, too, right after the first.

    Returns:
      The first difference, or None. A formula with a mean is not read again, since a mean is that of a
      function and no number's.

    Example:
      >>> from theory.formulas.formula import TAU
      >>> difference("from theory import tau" + chr(10) + "C = 2 * tau", "c.py", TAU, {}, (0, None)).text
      'read twice, the candidate differs: the file says C(1) = 2, the formula that was read from it 1'
    """
    if mentions(formula, "mean"):
        return None
    at_points = _reader(source, name, parameters)
    chosen = list(itertools.islice(samples(dict(parameters)), _SAMPLES)) or [{}]
    started = time.monotonic()
    for place, tau in enumerate(_staleness(domain, places)):
        if place and time.monotonic() - started > LIMIT_S:
            return None
        share, values = _SHARES[place % len(_SHARES)], chosen[place % len(chosen)]
        setting = _AtPoint(share, values)
        with precision(_BITS):
            if _is_too_long(formula, setting, tau):
                continue
            read = _value(lambda: compiled(formula, setting)(tau))  # noqa: B023
            written = _value(lambda: at_points(tau, share, values))  # noqa: B023
            if read is None or written is None or _agree(read, written):
                continue
        where = f"C({tau})" + (f" with F = {share}" if mentions(formula, "F") else "")
        where += "".join(f", {key} = {known.low}" for key, known in sorted(values.items()))
        text = (
            f"read twice, the candidate differs: the file says {where} = {_shown(written)}, the formula that was read "
            f"from it {_shown(read)}"
        )
        is_hole = isinstance(written, _NoNumber) and not isinstance(written, _Raised)
        return Difference(tau, text, is_hole and not isinstance(read, _NoNumber))
    return None


def distortion_difference(source: str, name: str, formula: Formula, parameters: Mapping[str, Range]) -> str | None:
    """Where a distortion's formula says something else than its file, or None; see :func:`difference`."""
    function = quietly(lambda: run(source, name))["distortion"]
    at_share = rewrite(formula, lambda node: F if node == U else None)
    chosen = list(itertools.islice(samples(dict(parameters)), _SAMPLES)) or [{}]
    started = time.monotonic()
    for place, share in enumerate(_shares()):
        if place and time.monotonic() - started > LIMIT_S:
            return None
        values = chosen[place % len(chosen)]
        setting = _AtPoint(share, values)
        numbers = {key: sympy.Rational(str(known.low)) for key, known in values.items()}
        with precision(_BITS):
            if _is_too_long(at_share, setting, 0):
                continue
            read = _value(lambda: compiled(at_share, setting)(0))  # noqa: B023
            written = _value(lambda: _distorted(function, share, numbers))  # noqa: B023
            if read is None or written is None or _agree(read, written):
                continue
        where = f"g({share})" + "".join(f", {key} = {known.low}" for key, known in sorted(values.items()))
        return (
            f"read twice, the candidate differs: the file says {where} = {_shown(written)}, the formula that was read "
            f"from it {_shown(read)}"
        )
    return None


def _distorted(function: Any, share: Fraction, numbers: Mapping[str, sympy.Rational]) -> Any:
    """What a file's distortion says at a number."""
    keywords = arguments_of(function, sympy.Rational(share.numerator, share.denominator), numbers.get, "distortion")
    said = sympy.sympify(quietly(lambda: called(function, keywords)))
    return said.subs({s: numbers[s.name] for s in said.free_symbols if s.name in numbers})


def _shares() -> Iterator[Fraction]:
    """The numbers in [0, 1] to read a distortion at: the ends, eighths, and some random ones."""
    draws = random.Random(0)
    yield from (Fraction(part, 8) for part in (0, 8, 4, 2, 6, 1, 3, 5, 7))
    for _ in range(SHARES):
        yield Fraction(draws.randrange(1, 720), 720)


def _staleness(domain: Domain, places: Sequence[int]) -> Iterator[int]:
    """The integers to read at: a few near ones, the places, the far ones, then the other near ones."""
    first, last = domain
    near = range(first, first + NEAR + 1)
    draws = random.Random(0)
    far = [first + int(NEAR * (FARTHEST / NEAR) ** draws.random()) for _ in range(FAR)]
    for tau in dict.fromkeys((*near[:32], *places, *far, *near[32:])):
        if tau >= first and (last is None or tau <= last):
            yield tau


def _reader(source: str, name: str, parameters: Mapping[str, Range]) -> Callable[..., Any]:
    """A function of τ, F and the parameters that gives what the file itself says."""
    # Where the file itself asks about τ, any of its runs tells whether it gives a function.
    runs = [one.result for one in branches(lambda: quietly(lambda: run(source, name)))]
    values = next((values for values in runs if not isinstance(values, CandidateError)), {})
    function = values.get("step_size")

    def at(tau: int, share: Fraction, chosen: Mapping[str, Range]) -> Any:
        number = sympy.Integer(tau)
        numbers = {key: sympy.Rational(str(known.low)) for key, known in chosen.items()}
        if function is not None:
            of = {"F": sympy.Rational(share.numerator, share.denominator), **numbers}
            keywords = arguments_of(function, number, lambda argument: of.get(argument))
            said = quietly(lambda: called(function, keywords))
        else:
            with _tau_is(number):
                said = quietly(lambda: run(source, name))["C"]
        said = sympy.sympify(said)
        return said.subs({s: numbers[s.name] for s in said.free_symbols if s.name in numbers})

    return at


@contextlib.contextmanager
def _tau_is(number: sympy.Integer) -> Iterator[None]:
    """``theory.tau`` is a number meanwhile, however it is imported, and so is a symbol that is made equal to it."""
    kept = {module: vars(module).get("tau") for module in (sys.modules["theory"], from_sympy)}
    make = vars(sympy.Symbol)["__new__"]

    def new(*arguments: Any, **assumptions: Any) -> Any:
        symbol = make.__func__(*arguments, **assumptions)
        return number if symbol == symbolic_tau else symbol

    symbolic_tau = from_sympy.tau
    for module in kept:
        module.tau = number  # type: ignore[attr-defined]
    sympy.Symbol.__new__ = staticmethod(new)  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        sympy.Symbol.__new__ = make
        for module, tau in kept.items():
            if tau is None:
                del module.tau  # type: ignore[attr-defined]
            else:
                module.tau = tau  # type: ignore[attr-defined]


class _NoNumber(str):
    """Why there is no real, finite number."""


class _Raised(_NoNumber):
    """What a file raised in place of giving anything."""


def _value(function: Callable[[], Any]) -> Number | _NoNumber | None:
    """The number that a function gives, why there is none, or None where that is not known."""
    try:
        said = function()
    except (TooLong, Undecided, RecursionError, MemoryError, OverflowError):
        return None
    except (NotFinite, ZeroDivisionError) as error:
        return _NoNumber(f"no real, finite number ({error})")
    except (KeyboardInterrupt, Interrupted):
        raise
    except BaseException as error:  # a file may raise anything, or leave
        return _Raised(f"{type(error).__name__}: {error}")
    return said if isinstance(said, (fmpq, arb)) else _as_number(said)


def _as_number(said: Any) -> Number | _NoNumber | None:
    if said.is_Rational:
        return fmpq(int(said.p), int(said.q))
    if said.free_symbols:
        return _NoNumber(f"{said}, which is no number")
    if said in (sympy.oo, -sympy.oo, sympy.zoo, sympy.nan) or said.is_real is False:
        return _NoNumber(f"no real, finite number ({said})")
    try:
        near: Any = said.evalf(_DIGITS, maxn=2_000)
    except (PrecisionExhausted, ArithmeticError, ValueError, RecursionError, MemoryError):
        return None  # SymPy cannot say
    return arb(str(near)) if near.is_Float and near._prec >= 2 * _DIGITS else None


def _agree(read: Number | _NoNumber, written: Number | _NoNumber) -> bool:
    if isinstance(read, _NoNumber) or isinstance(written, _NoNumber):
        return isinstance(read, _NoNumber) and isinstance(written, _NoNumber)
    if isinstance(read, fmpq) and isinstance(written, fmpq):
        return read == written
    left, right = ball(read), ball(written)
    largest = arb.max(abs(left), abs(right))
    return not abs(left - right) > largest * _NEAR_ENOUGH + _NOTHING


def _is_too_long(formula: Formula, setting: Setting, tau: int) -> bool:
    """Whether SymPy, which computes exactly, would need very long numbers for some part of the formula."""
    for node in nodes(formula):
        if node[0] not in ("power", "exp", "factorial", "harmonic"):
            continue
        try:
            of = ball(compiled(node[1], setting)(tau))
            to = ball(compiled(node[2], setting)(tau)) if node[0] == "power" else of
        except NotFinite:
            continue  # there is nothing to compute
        except ArithmeticError:
            return True
        bits = abs(to) * (1 + (1 + abs(of)).log()) if node[0] != "exp" else abs(to)
        if not bits < _LONGEST:
            return True
    return False


def _shown(value: Number | _NoNumber) -> str:
    if isinstance(value, str):
        return str(value)
    return str(value) if isinstance(value, fmpq) and len(str(value)) < 40 else ball(value).str(12, radius=False)

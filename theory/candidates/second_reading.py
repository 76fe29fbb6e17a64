"""Reading a candidate a second time: its file is run at single integers, and its formula held against what it says.

SymPy simplifies expressions in τ as they are written, and is sometimes wrong: version 1.14 turns
``Mod(2*Mod(tau, 3), 5)`` into another function. At an integer nothing is simplified, so a misread formula shows.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import itertools
import random
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import sympy
from flint import arb, fmpq
from sympy.core.evalf import PrecisionExhausted

from theory.analysis.evaluation import compiled
from theory.analysis.pointwise import samples
from theory.analysis.setting import Setting
from theory.candidates.candidate import TooLong
from theory.candidates.file import arguments_of, run
from theory.formulas.formula import Domain, Formula, mentions, nodes
from theory.numbers.balls import NotFinite, Number, Undecided, ball, precision
from theory.numbers.ranges import Range

NEAR = 200  # every staleness up to here is read
FAR = 16  # so many random ones beyond
FARTHEST = 10**6
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


def difference(source: str, name: str, formula: Formula, parameters: Mapping[str, Range], domain: Domain) -> str | None:
    """Where a formula says something else than the file that it was read from.

    Args:
      source: the text of the file.
      name: its name.
      formula: what was made of it.
      parameters: the range of each.
      domain: first and last staleness.

    Returns:
      The first difference in a sentence, or None. A formula with a mean is not read again, since a mean is that of a
      function and no number's.

    Example:
      >>> from theory.formulas.formula import TAU
      >>> difference("from theory import tau" + chr(10) + "C = 2 * tau", "c.py", TAU, {}, (0, None))
      'read twice, the candidate differs: the file says C(1) = 2, the formula that was read from it 1'
    """
    if mentions(formula, "mean"):
        return None
    at_points = _reader(source, name, parameters)
    chosen = list(itertools.islice(samples(dict(parameters)), _SAMPLES)) or [{}]
    started = time.monotonic()
    for place, tau in enumerate(_staleness(domain)):
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
        return (
            f"read twice, the candidate differs: the file says {where} = {_shown(written)}, the formula that was read "
            f"from it {_shown(read)}"
        )
    return None


def _staleness(domain: Domain) -> Iterator[int]:
    """The integers to read at: a few near ones, the far ones, then the other near ones."""
    first, last = domain
    near = range(first, first + NEAR + 1)
    draws = random.Random(0)
    far = [first + int(NEAR * (FARTHEST / NEAR) ** draws.random()) for _ in range(FAR)]
    for tau in (*near[:32], *far, *near[32:]):
        if last is None or tau <= last:
            yield tau


def _reader(source: str, name: str, parameters: Mapping[str, Range]) -> Callable[..., Any]:
    """A function of τ, F and the parameters that gives what the file itself says."""
    values = _quietly(lambda: run(source, name))
    function = values.get("step_size")

    def at(tau: int, share: Fraction, chosen: Mapping[str, Range]) -> Any:
        number = sympy.Integer(tau)
        numbers = {key: sympy.Rational(str(known.low)) for key, known in chosen.items()}
        if function is not None:
            of = {"F": sympy.Rational(share.numerator, share.denominator), **numbers}
            keywords = arguments_of(function, number, lambda argument: of.get(argument))
            said = _quietly(lambda: function(**keywords))
        else:
            said = _quietly(lambda: run(source, name, importing=_with_tau(number)))["C"]
        said = sympy.sympify(said)
        return said.subs({s: numbers[s.name] for s in said.free_symbols if s.name in numbers})

    return at


def _with_tau(number: sympy.Integer) -> Callable[..., Any]:
    """An import in which ``theory.tau`` is a number."""

    def importing(name: str, where: Any = None, names: Any = None, wanted: Any = (), level: int = 0) -> Any:
        if wanted and level == 0 and name in sys.modules:  # all was imported in the first run
            module = sys.modules[name]
        else:
            module = builtins.__import__(name, where, names, wanted, level)
        if getattr(module, "__name__", "") in ("theory", "theory.formulas.from_sympy"):
            public = [one for one in dir(module) if not one.startswith("_")]
            return SimpleNamespace(**{one: getattr(module, one) for one in public} | {"tau": number})
        return module

    return importing


def _quietly(function: Callable[[], Any]) -> Any:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return function()


class _NoNumber(str):
    """Why there is no real, finite number."""


def _value(function: Callable[[], Any]) -> Number | _NoNumber | None:
    """The number that a function gives, why there is none, or None where that is not known."""
    try:
        said = function()
    except (TooLong, Undecided, RecursionError, MemoryError, OverflowError):
        return None
    except (NotFinite, ZeroDivisionError) as error:
        return _NoNumber(f"no real, finite number ({error})")
    except Exception as error:
        return _NoNumber(f"{type(error).__name__}: {error}")
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

"""Boxes: intervals whose ends are rational or infinite, each known to be taken or not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

from mpmath import libmp

INF, ZERO, ONE = math.inf, Fraction(0), Fraction(1)
BITS = 128  # of enclosures


class Open(ArithmeticError):
    """It is not decided here."""


class Undefined(ArithmeticError):
    """A value that is certainly no real, finite number."""


class Wrong(Exception):
    """A claim that a value denies."""


class Box(NamedTuple):
    """All numbers between two ends, which are rational or infinite: (low, is it open), (high, is it closed)."""

    low: tuple[Any, bool]
    high: tuple[Any, bool]

    @property
    def exact(self) -> Fraction | None:
        """The one number in it."""
        return self.low[0] if self.low[0] == self.high[0] else None

    def above(self, strict: bool = False) -> bool:
        """Whether all of it is ≥ 0, or > 0."""
        return self.low[0] > 0 or (self.low[0] == 0 and (self.low[1] or not strict))

    def hull(self, other: Box) -> Box:
        """What contains both."""
        return Box(min(self.low, other.low), max(self.high, other.high))

    def apart(self) -> bool:
        """Whether 0 is not in it."""
        return self.above(True) or (-self).above(True)

    def __add__(self, other: Any) -> Box:
        (a, b), (c, d) = self, other
        if a[0] == b[0] and c[0] == d[0]:
            return box(a[0] + c[0])
        return box(_sum(a[0], c[0]), _sum(b[0], d[0]), a[1] or c[1], b[1] and d[1])

    def __neg__(self) -> Box:
        return Box((-self.high[0], not self.high[1]), (-self.low[0], not self.low[1]))

    def __sub__(self, other: Any) -> Box:
        return self + -other

    def __mul__(self, other: Any) -> Box:
        if (x := self.exact) is not None and (y := other.exact) is not None:
            return box(x * y)
        zero = ZERO, not (self.apart() and other.apart())
        pairs = [((x.low[0], not x.low[1]), x.high) for x in (self, other)]
        corners = [(_product(x, y), c and d) if x and y else zero for (x, c), (y, d) in itertools.product(*pairs)]
        low, high = min((x, not closed) for x, closed in corners), max(corners)
        return box(low[0], high[0], low[1], high[1])


def box(low: Any, high: Any = None, low_open: bool = False, closed: bool = True) -> Box:
    """A box, with long ends moved outward to short ones."""
    if high is None or low == high:
        return Box((low, False), (low, True))
    low, high = -_short(-low), _short(high)
    return Box((low, low_open or low == -INF), (high, closed and high != INF))


def _sum(x: Any, y: Any) -> Any:  # of two ends; a Fraction and a float would be two floats
    return y if isinstance(y, float) else x if isinstance(x, float) else x + y


def _product(x: Any, y: Any) -> Any:
    return x * y if not isinstance(x, float) and not isinstance(y, float) else INF if (x > 0) == (y > 0) else -INF


def _short(x: Any) -> Any:  # a long end moves outward to a short one
    if isinstance(x, float) or x.numerator.bit_length() + x.denominator.bit_length() < 4 * BITS:
        return x
    shift = BITS - x.numerator.bit_length() + x.denominator.bit_length()
    if shift < 0:
        return Fraction(-(-x.numerator // (x.denominator << -shift)) << -shift)
    return Fraction(-((-x.numerator << shift) // x.denominator), 1 << shift)


def near(function: str, x: Box, exactly: tuple[int, ...], at: int, bottom: Any = ZERO, top: Any = INF) -> Box:
    """The box of a rising function of mpmath's: it is ``at`` at ``exactly``, and has limits at infinite ends."""

    def end(x: Any, limit: Any, side: int) -> Any:
        if abs(x) == INF or x in exactly:
            return Fraction(at) if x in exactly else limit
        if function == "exp" and abs(x) > 20_000:  # it is enough to know that it is so large, or so small
            return (Fraction(2**20_000), INF)[side] if x > 0 else (ZERO, Fraction(1, 2**20_000))[side]
        raw = tuple(libmp.from_rational(x.numerator, x.denominator, BITS + 20, way) for way in "fc")
        return Fraction(*libmp.to_rational(getattr(libmp, f"mpi_{function}")(raw, BITS + 20)[side]))

    low, high = end(x.low[0], bottom, 0), end(x.high[0], top, 1)
    return box(low, high, x.low[1] or (function == "exp" and low == 0), x.high[1])


def log(x: Box) -> Box:
    """The natural logarithm."""
    if not x.above(True):
        raise Undefined("a logarithm") if x.high[0] <= 0 else Open("the logarithm of what may not be positive")
    return near("log", x, (1,), 0) if x.low[0] else Box((-INF, True), near("log", box(x.high[0]), (1,), 0).high)


def inverse(x: Box) -> Box:
    """1/x."""
    if not x.apart():
        raise Undefined("a division by zero") if x.exact == 0 else Open("whether a divisor is zero")
    if x.high[0] <= 0:
        return -inverse(-x)
    (low, low_open), (high, closed) = x
    return box(1 / high if high != INF else ZERO, 1 / low if low else INF, not closed, not low_open)


def power(x: Box, y: Box) -> Box:
    """X to the y."""
    n = int(y.low[0]) if y.exact is not None and y.exact.denominator == 1 else None
    if n is not None and (abs(n) < 200 or (abs(n) < 20_000 and x.exact is not None and x.exact.numerator < 2**32)):
        if n <= 0:
            return inverse(power(x, -y)) if n else box(ONE)
        x = absolute(x) if n % 2 == 0 else x
        return box(x.low[0] ** n, x.high[0] ** n, x.low[1], x.high[1])
    if x.above(True):
        return near("exp", y * log(x), (0,), 1)
    if x.high[0] < 0 and n is not None:
        return power(-x, y) if n % 2 == 0 else -power(-x, y)
    if x.above() and y.above(True):
        return box(ZERO, x.high[0] if x.high[0] in (0, INF) else power(box(x.high[0]), y).high[0])
    certain = y.exact is not None and (x.high[0] < 0 or (x.exact == 0 and y.exact < 0))
    raise Undefined("a root, or a division by zero") if certain else Open("a power of what may be negative")


def absolute(x: Box) -> Box:
    """|x|."""
    return x if x.low[0] >= 0 else -x if x.high[0] <= 0 else Box((ZERO, False), max(x.high, (-x).high))


def factorial(x: Box) -> Box:
    """Γ(x + 1), which is convex for x > -1, and above 0.88."""
    if x.low[0] <= -1 or (x.exact or 0) > 10**4:
        raise Undefined("a factorial") if x.exact is not None and x.exact < 0 else Open("such a factorial")
    if x.exact is not None and x.exact.denominator == 1:
        return box(Fraction(math.factorial(int(x.exact))))
    low, high = (box(ONE, INF) if e > 10**4 else near("gamma", box(e + 1), (1, 2), 1) for e, _ in x)
    return box(low.low[0] if x.low[0] >= 1 or x.exact is not None else Fraction(22, 25), max(low.high, high.high)[0])


def floor(x: Box) -> Box:
    """The greatest integer below."""
    (low, _), (high, closed) = x
    top = high if high == INF else Fraction(math.floor(high) if closed else math.ceil(high) - 1)
    return box(low if low == -INF else Fraction(math.floor(low)), top)


def wave(x: Box, name: str) -> Box:
    """The sine or the cosine."""
    return box(-ONE, ONE) if x.exact is None else near(name, x, (0,), int(name == "cos"))


def pi() -> Box:
    """π."""
    low, high = (Fraction(*libmp.to_rational(libmp.mpf_pi(BITS, way))) for way in "fc")
    return box(low, high)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "exp": lambda x: near("exp", x, (0,), 1), "log": log, "abs": absolute, "factorial": factorial, "floor": floor,
    "atan": lambda x: near("atan", x, (0,), 0, -pi().high[0] / 2, pi().high[0] / 2), "power": power,
    "sin": lambda x: wave(x, "sin"), "cos": lambda x: wave(x, "cos"), "sum": Box.__add__, "product": Box.__mul__,
    "max": lambda x, y: Box(max(x.low, y.low), max(x.high, y.high)),
    "min": lambda x, y: Box(min(x.low, y.low), min(x.high, y.high)),
    "modulo": lambda x, y: x - y * floor(x * inverse(y)),
}  # fmt: skip

"""Looks at a formula over many τ at once: a box of its values, and whether it never rises or never falls.

It moves as its parts do, or as a quotient of polynomials whose coefficients have one sign once τ is written a + t, or
as the ratio of neighbours says. What lies before such a stretch is looked at value by value.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

if __package__ == "second_checker":  # run as a plain file
    from second_checker.boxes import INF, ONE, OPERATIONS, ZERO, Box, Open, Undefined, absolute, box, pi, power  # pyrefly: ignore[missing-import]
    from second_checker.formulas import (  # pyrefly: ignore[missing-import]
        ARITY,
        is_rational,
        leaves,
        minus,
        parse,
        plus,
        put,
        rational,
        shifted,
        sign,
        times,
        whole,
    )
    from second_checker.laws import MOST, law_of  # pyrefly: ignore[missing-import]
else:
    from theory.certificates.second_checker.boxes import (
        INF,
        ONE,
        OPERATIONS,
        ZERO,
        Box,
        Open,
        Undefined,
        absolute,
        box,
        pi,
        power,
    )
    from theory.certificates.second_checker.formulas import (
        ARITY,
        is_rational,
        leaves,
        minus,
        parse,
        plus,
        put,
        rational,
        shifted,
        sign,
        times,
        whole,
    )
    from theory.certificates.second_checker.laws import MOST, law_of

STARTS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 512, 2048)  # how far from its beginning a stretch is tried as one
Look = tuple[Box, bool, bool]  # a box of the values; whether they never rise; whether they never fall


class Question:
    """What a claim is about, and looks at its formula."""

    def __init__(self, data: dict[str, Any], law: Any = None, parameters: dict[str, Box] | None = None) -> None:
        self.data, self.formula, self.cdf, self.on_support = data, parse(data["formula"]), data["cdf"], False
        self.amplitude, (self.first, last) = Fraction(data["amplitude"]), data["domain"]
        self.last = INF if last is None else last
        self.law = law_of(json.dumps(law or data["law"])) if law or data["law"] else None
        if self.law is not None and self.law.points is None and (self.first, self.last) != (0, INF):
            raise Open("a law with mass outside of the domain")
        self.names, self.known = {leaf[0] for leaf in leaves(self.formula)}, {}
        self.ranges = {}
        for name, (low, high, low_open, high_open) in data["parameters"].items():
            ends = -INF if low is None else Fraction(low), INF if high is None else Fraction(high)
            self.ranges[name] = box(*ends, low_open, not high_open)
        self.parameters = parameters or self.ranges

    def look(self, g: tuple, a: int, b: Any) -> Look:
        """A look at all a ≤ τ ≤ b; it fails where some value may not be defined."""
        name, *parts = g
        if name in ("number", "pi", "parameter", "mean"):
            of = {"number": box, "pi": pi, "parameter": self.parameters.__getitem__, "mean": self.mean}
            return of[name](*parts), True, True
        if name in ("tau", "F"):
            here = self.f(a, b) if name == "F" else box(Fraction(a), b if b == INF else Fraction(b))
            return here, a == b, True
        if name in ("undefined", "infinite"):
            raise Undefined(name) if a == b else Open(name)
        if name == "where":
            holds = self.holds(parts[0], a, b)
            if holds is None:
                try:
                    return self.look(parts[1], a, b)[0].hull(self.look(parts[2], a, b)[0]), False, False
                except Undefined as error:  # the branch that is not the case may be
                    raise Open("a case that is not decided") from error
            return self.look(parts[1 if holds else 2], a, b)
        quotients = [part for part in parts if is_rational(part)] if name == "product" and a != b else []
        if 1 < len(quotients) < len(parts):
            others = [part for part in parts if part not in quotients]
            return self.look(("product", *others, ("product", *quotients)), a, b)
        if name == "power" and parts[0][0] == "number" and parts[0][1] < 0 and a != b and whole(parts[1]):
            size = power(box(-parts[0][1]), self.look(parts[1], a, b)[0])
            found: Look = size.hull(-size), False, False
        else:
            found = self.composed(g, [self.look(part, a, b) for part in parts])
        if a == b:
            return found[0], True, True
        if not (found[1] or found[2]):
            for other in (self.as_quotient, self.by_ratio):
                with contextlib.suppress(ArithmeticError):
                    return other(g, a, found[0])
        return found

    def value(self, g: tuple, tau: int) -> Box:
        """A box of the value at τ."""
        key = g, tau, self.on_support
        if key not in self.known:
            self.known[key] = self.look(g, tau, tau)[0]
        return self.known[key]

    def composed(self, g: tuple, looks: list[Look]) -> Look:
        """What follows from a look at each part."""
        (name, *parts), boxes = g, [look[0] for look in looks]
        falls, rises = (all(look[way] for look in looks) for way in (1, 2))
        found = OPERATIONS[name](*boxes) if ARITY[name] > 0 else functools.reduce(OPERATIONS[name], boxes)
        if name == "product":
            sided, odd = all(x.above() or (-x).above() for x in boxes), sum(not x.above() for x in boxes) % 2
            ways = [look[1:] if look[0].above() else look[:0:-1] for look in looks]
            falls, rises = (sided and all(way[k] for way in ways) for k in ((1, 0) if odd else (0, 1)))
        elif name == "power":
            (x, *way), (y, *other) = looks
            up, down, n = y.above(), (-y).above(), y.exact
            falls = rises = False
            if all(other) and (up or down) and x.above(strict=down):
                falls, rises = way if up else way[::-1]
            elif all(other) and n is not None and n.denominator == 1 and (up or down):
                if (up and n % 2) or (-x).above(strict=down):
                    falls, rises = way if (n % 2 == 1) == up else way[::-1]
            elif all(way) and x.above(True):
                grows, shrinks = (x - box(ONE)).above(), (box(ONE) - x).above()
                falls, rises = other if grows else other[::-1] if shrinks else (False, False)
        elif name == "factorial" and boxes[0].low[0] < 1 and parts[0] != ("tau",):
            falls = rises = False
        elif name in ("sin", "cos", "modulo") or (name == "abs" and not boxes[0].above()):
            falls = rises = falls and rises
            if name == "modulo" and found.exact is None and boxes[1].above(True):
                one = Fraction(all(map(whole, parts)))
                found = box(ZERO, boxes[1].high[0] - one, False, bool(one))
        return found, falls, rises

    def as_quotient(self, g: tuple, a: int, found: Box) -> Look:
        """A look at a quotient of polynomials, from a on: N(τ)D(τ+1) - N(τ+1)D(τ) has the sign of its steps."""
        above, below = rational(g)
        over, under = shifted(above, 1), shifted(below, 1)
        steps = sign(plus(times(above, under), times(over, below), -1), a)
        if abs(sign(below, a)) < 2:
            raise Open("a divisor that may be 0")
        here, gap = shifted(above, a)[0] / shifted(below, a)[0], len(above) - len(below)
        far = ZERO if gap < 0 else above[-1] / below[-1] if gap == 0 else -INF if steps > 0 else INF
        return (
            box(min(here, far), max(here, far), steps > 0 and here != far, steps > 0 or here == far),
            steps > 0,
            steps < 0,
        )

    def by_ratio(self, g: tuple, a: int, found: Box) -> Look:
        """A look at a positive product whose neighbours have a ratio that stays ≤ 1 from a on."""
        if not found.above():
            raise Open("what may be negative")
        over, under, front = self.ratio(g, a)
        if front.high[0] == INF or sign(over, a) < 1 or sign(under, a) < 2:
            raise Open("a ratio of either sign")
        if sign(plus(under, [c * front.high[0] for c in over], -1), a) < 1:
            raise Open("a ratio above 1")
        return Box(found.low, min(found.high, self.look(g, a, a)[0].high)), True, False

    def ratio(self, g: tuple, a: int) -> tuple[list, list, Box]:
        """g(τ + 1)/g(τ) as a quotient of polynomials, times a number."""
        name, *parts = g
        with contextlib.suppress(ArithmeticError):
            above, below = rational(g)
            return times(shifted(above, 1), below), times(shifted(below, 1), above), box(ONE)
        if name == "product":
            overs, unders, fronts = zip(*(self.ratio(part, a) for part in parts), strict=True)
            return (
                functools.reduce(times, overs),
                functools.reduce(times, unders),
                functools.reduce(Box.__mul__, fronts),
            )
        if name not in ("power", "factorial", "exp"):
            raise Open("no ratio of neighbours")
        above, below = rational(parts[-1])
        if name == "power" and parts[1] == ("number", -ONE):
            over, under, front = self.ratio(parts[0], a)
            return under, over, power(front, box(-ONE))
        if name == "factorial" and above[1:] == [ONE] and below == [ONE]:
            return plus(above, [ONE]), [ONE], box(ONE)
        if name == "exp" or (name == "power" and parts[0][0] == "number" and parts[0][1] > 0):
            step = plus(shifted(above, 1), above, -1)
            if len(step) > 1 or len(below) > 1:
                raise Open("an exponent that is not linear")
            rate = box(step[0] / below[0])
            return [ONE], [ONE], OPERATIONS["exp"](rate) if name == "exp" else power(box(parts[0][1]), rate)
        raise Open("no ratio of neighbours")

    def f(self, a: int, b: Any) -> Box:
        """F at a ≤ τ ≤ b; where τ has mass, some of it is not below τ, and some not above."""
        low, high = ZERO, ONE
        low_open, high_open = self.on_support and self.cdf != "strict", self.on_support and self.cdf != "inclusive"
        if self.law is not None:
            share = box({"mid": Fraction(1, 2), "strict": ZERO, "inclusive": ONE}[self.cdf])
            low = max(low, (self.law.below(a) + self.law.mass(a) * share).low[0])
            high = ONE if b == INF else min(ONE, (self.law.below(b) + self.law.mass(b) * share).high[0])
            high_open = high_open or self.law.points is None
        return box(low, high, low == 0 and low_open and high > 0, high < 1 or low == 1 or not high_open)

    def mean(self, g: tuple) -> Box:
        """E[g], positive where g is; under every law it lies among the values, where these are bounded."""
        if self.law is not None:
            found = self.moment(g, 0)
            if not found.apart():
                with contextlib.suppress(Open), self.where_mass_is():
                    self.cover(g, lambda look: look[0].above(True), self.first)
                    found = Box((ZERO, True), found.high)  # a mean of what is positive
            return found
        if g not in self.known:
            self.known[g] = self.reach(g, self.first, on_support=True)
        return self.known[g]

    @contextlib.contextmanager
    def where_mass_is(self) -> Iterator[None]:
        """Looks within are meant for τ where the law has mass."""
        before, self.on_support = self.on_support, True
        try:
            yield
        finally:
            self.on_support = before

    def reach(self, g: tuple, a: int, on_support: bool = False) -> Box:
        """A box with finite ends of all values from a on."""
        with self.where_mass_is() if on_support else contextlib.nullcontext():
            looks = self.cover(g, lambda look: all(abs(end[0]) < INF for end in look[0]), a)
        return functools.reduce(Box.hull, (look[0] for _, look in looks))

    def holds(self, c: tuple, a: int, b: Any) -> bool | None:
        """Whether a condition holds, or fails, at all a ≤ τ ≤ b."""
        name, *parts = c
        if name == "not":
            inner = self.holds(parts[0], a, b)
            return None if inner is None else not inner
        if name in ("and", "or"):
            each, settled = [self.holds(part, a, b) for part in parts], name == "or"
            return settled if settled in each else None if None in each else not settled
        gap = self.look(minus(parts[1], parts[0]), a, b)[0]
        if name == "equal":
            return True if gap.exact == 0 else False if gap.apart() else None
        return True if gap.above(name == "less") else False if (-gap).above(name != "less") else None

    def cover(self, g: tuple, good: Callable[[Look], bool], a: int) -> list[tuple[int, Look]]:
        """Stretches from a to the end of the domain, by their ends, with a good look at each."""
        cuts = set()  # where a case may change
        for name, *parts in leaves(g):
            pairs = itertools.combinations(parts, 2) if name in ("less", "at_most", "equal", "min", "max") else ()
            for pair in pairs:
                with contextlib.suppress(ArithmeticError, ValueError):
                    (c, slope), _ = rational(minus(*pair))
                    cuts |= {math.ceil(-c / slope), math.floor(-c / slope) + 1}
        starts = [a, *sorted(cut for cut in cuts if a < cut <= self.last)]
        found: list[tuple[Any, Look]] = []
        for start, after in itertools.zip_longest(starts, starts[1:]):
            last: Any = self.last if after is None else after - 1
            rest: list[tuple[Any, Look]] = []
            for here in (start + k for k in STARTS if start + k <= last):
                with contextlib.suppress(ArithmeticError):
                    if good(look := self.look(g, here, last)):
                        rest = [(last, look)]
                        break
            else:
                here = last + 1  # none
            if here > start + MOST:
                raise Open("no argument was found for all staleness values")
            points = [(tau, self.look(g, tau, tau)) for tau in range(start, int(here))]
            if not all(good(look) for _, look in points):
                raise Open("a value for which it is not shown")
            found += points + rest
        return found

    def settle(self, g: tuple, good: Callable[[Look], bool], first: int | None = None) -> None:
        """Covers the domain, or each class of τ modulo a period of roundings and parity terms."""
        first = self.first if first is None else first
        try:
            self.cover(g, good, first)
        except Open:
            rounded = [leaf for leaf in leaves(g) if leaf[0] in ("floor", "modulo")]
            numbers = [leaf[1] for one in rounded for leaf in leaves(one) if leaf[0] == "number"]
            period = math.lcm(2, *(q.denominator for q in numbers), *(q.numerator for q in numbers if 1 < q < 50))
            if self.last < INF or period > 64 or "F" in self.names:
                raise
            for rest in range(period):
                h = put(g, ("sum", ("number", Fraction(rest)), ("product", ("number", Fraction(period)), ("tau",))))
                self.cover(h, good, max(0, -((rest - first) // period)))

    def moment(self, g: tuple, which: int) -> Box:
        """E[g], E[g²] or E[τg] under the law: a sum, and a bound of what is beyond."""
        assert self.law is not None
        if (g, which) not in self.known:
            left, points = ZERO, self.law.points
            if points is None:
                size, degree = self.growth(g)
                if which == 1:
                    size, degree = size * size, 2 * degree
                left, stop = self.law.beyond(size, degree + (which == 2))
                points = range(stop + 1)
            total = box(-left, left)
            for tau in points:
                value = self.value(g, tau)
                total += self.law.mass(tau) * (
                    value * value if which == 1 else value * box(Fraction(tau if which else 1))
                )
            self.known[g, which] = total
        return self.known[g, which]

    def growth(self, g: tuple) -> tuple[Fraction, int]:
        """Numbers K and k with |g| ≤ K(1 + τ)^k at all τ ≥ 64."""
        for degree in (0, 1, 2, 4):
            with contextlib.suppress(Open):
                known = self.reach(
                    ("product", g, ("power", ("sum", ("number", ONE), ("tau",)), ("number", Fraction(-degree)))), 64
                )
                return absolute(known).high[0], degree
        raise Open("no bound of the terms was found")

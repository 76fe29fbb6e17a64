"""What brute force says of the six conditions: Fractions and mpmath at many integers, and nothing of ``theory``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import mpmath
from mpmath import mp, mpf

DIGITS, NEAR = 100, 150
SMALL = Fraction(1, 10**60)
_EXACT = (int, Fraction)
_NAMES = {
    **{name: getattr(mpmath, name) for name in ("exp", "log", "sqrt", "pi", "cos", "sin", "gamma", "floor", "sign")},
    **{"Q": Fraction, "mpf": mpf, "math": math},
}
Probabilities = dict[int, Any]


class Function:
    """A step-size function as a table writes it, under one law.

    Args:
      written: Python of ``t``, of ``F``, of ``mean`` and of parameters.
      law: probabilities by staleness.
      cdf: which distribution function F is.
      parameters: values by name.
    """

    def __init__(self, written: str, law: Probabilities, cdf: str, parameters: Mapping[str, Fraction]) -> None:
        self._code, self.law = compile(written, "<value>", "eval"), law
        self._reads_law = "F" in self._code.co_names or "mean" in self._code.co_names
        self._cdf, self._names = cdf, {**_NAMES, **parameters, "mean": self.mean}
        self._values: dict[int, Any] = {}

    def __call__(self, t: int) -> Any:
        """The value, or None where it is no real, finite number."""
        if t not in self._values:
            self._values[t] = self._value(t)
        return self._values[t]

    def mean(self, of: Callable[[int], Any]) -> Any:
        """The mean of another function."""
        return _total((chance, of(t)) for t, chance in self.law.items())

    def _value(self, t: int) -> Any:
        try:
            names = {**self._names, "t": t, **({"F": self._distribution(t)} if self._reads_law else {})}
            value = eval(self._code, names)
        except (ZeroDivisionError, ValueError):  # ValueError: a pole of Γ
            return None
        if isinstance(value, mpmath.mpc):
            return None if value.imag else value.real
        return value if isinstance(value, _EXACT) or mpmath.isfinite(value) else None

    def _distribution(self, t: int) -> Any:
        below = sum((chance for k, chance in self.law.items() if k < t), Fraction(0))
        own = self.law.get(t, Fraction(0))
        return {"strict": below, "mid": below + own / 2, "inclusive": below + own}[self._cdf]


def probabilities(spec: str) -> Probabilities:
    """A law by its text; what lies beyond 10^-99 is left out."""
    name, _, rest = spec.partition(":")
    if name == "mixture":
        mixed: Probabilities = {}
        for part in rest.split("+"):
            share, _, law = part.partition("*")
            for t, chance in probabilities(law).items():
                mixed[t] = _total([(Fraction(share), chance), (1, mixed.get(t, Fraction(0)))])
        return mixed
    if name == "counts":
        counts = json.loads(rest)
        return {t: Fraction(n, sum(counts)) for t, n in enumerate(counts) if n}
    numbers = [Fraction(number) for number in rest.split(":")]
    if name == "constant":
        return {int(numbers[0]): Fraction(1)}
    if name == "uniform":
        low, high = map(int, numbers)
        return {t: Fraction(1, high - low + 1) for t in range(low, high + 1)}
    if numbers == [1]:
        return {0: Fraction(1)}
    ratio = {
        "poisson": lambda t: _mpf(numbers[0]) / (t + 1),
        "geometric": lambda t: _mpf(1 - numbers[0]),
        "negative_binomial": lambda t: _mpf((1 - numbers[1]) * (t + numbers[0])) / (t + 1),
        "cmp": lambda t: _mpf(numbers[0]) / mpf(t + 1) ** _mpf(numbers[1]),
    }[name]
    weights, t = [mpf(1)], 0
    while weights[-1] > max(weights) * mpf(10) ** -99 or ratio(t) > 1:
        weights.append(weights[-1] * ratio(t))
        t += 1
    total = mpmath.fsum(weights)
    return {t: weight / total for t, weight in enumerate(weights)}


def judged(fields: Mapping[str, str], spec: str, domain: tuple[int, int | None]) -> dict[str, str]:
    """For each condition P where brute force shows that it holds, R where that it fails, ? where it shows neither.

    Args:
      fields: of an entry of a table, its ``value`` among them.
      spec: the law, or ``every``.
      domain: first and last staleness.

    Returns:
      A letter by condition.
    """
    with mp.workdps(DIGITS):
        letters: dict[str, set[str]] = {}
        for parameters in _parameters(fields.get("parameters", "")):
            for law in _small_laws(domain) if spec == "every" else [probabilities(spec)]:
                function = Function(fields["value"], law, fields.get("cdf", "mid"), parameters)
                for condition, letter in _judged(function, fields, spec == "every", domain):
                    letters.setdefault(condition, set()).add(letter)
                if spec == "every" and not function._reads_law:
                    break
    single = spec != "every" and "parameters" not in fields
    return {
        condition: "R" if "R" in seen else "P" if seen == {"P"} and single else "?"
        for condition, seen in letters.items()
    }


def _judged(
    function: Function, fields: Mapping[str, str], every: bool, domain: tuple[int, int | None]
) -> Iterator[tuple[str, str]]:
    places = list(_places(int(fields.get("near", NEAR)), fields.get("look", ""), domain))
    free = every and not function._reads_law  # under every law the mass may be anywhere
    support = places if free else list(function.law)
    values = {t: function(t) for t in places}
    undefined = None in values.values()
    yield "defined", "R" if undefined else "?"
    not_positive = any((value := function(t)) is None or value <= 0 for t in support)
    yield "positive", "R" if undefined or not_positive or min(values.values()) < 0 else "?"
    pairs = [(values[t], values.get(t + 1)) for t in places if t + 1 in values]
    rises = not undefined and any(_beyond(after - before, 0) for before, after in pairs)
    yield "decreasing", "R" if undefined or rises else "?"
    bound = eval(fields.get("amplitude", "1"), {"Q": Fraction})
    yield "amplitude", "R" if undefined or any(_beyond(abs(value - 1), bound) for value in values.values()) else "?"
    if free:
        yield "magnitude", "R" if undefined or any(_beyond(abs(v - 1), 0) for v in values.values()) else "?"
        yield "moments", "R" if undefined else "?"
        return
    on_support = [function(t) for t in support]
    if None in on_support:
        yield "magnitude", "R"
        yield "moments", "R"
        return
    gap = abs(_total((function.law[t], value) for t, value in zip(support, on_support, strict=True)) - 1)
    exact = isinstance(gap, _EXACT)
    yield "magnitude", "R" if _beyond(gap, 0) else "P" if exact else "?"
    yield "moments", "P" if exact and not every else "?"


def _beyond(size: Any, bound: Any) -> bool:
    return size > bound if isinstance(size, _EXACT) else size > _mpf(bound + SMALL)


def _mpf(number: Any) -> mpf:
    return mpf(number.numerator) / number.denominator if isinstance(number, _EXACT) else number


def _total(products: Iterable[tuple[Any, Any]]) -> Any:
    """The sum of products, exact where all of them are."""
    pairs = list(products)
    if all(isinstance(number, _EXACT) for pair in pairs for number in pair):
        return sum((Fraction(left) * right for left, right in pairs), Fraction(0))
    return mpmath.fsum(_mpf(left) * _mpf(right) for left, right in pairs)


def _places(so_many: int, look: str, domain: tuple[int, int | None]) -> Iterator[int]:
    first, last = domain
    near = [first + k for k in range(so_many)] + [eval(place) for place in look.split()]
    near += [] if last is None else [last - 1, last]
    for t in sorted({*near, *(t + 1 for t in near)}):
        if t >= first and (last is None or t <= last):
            yield t


def _parameters(written: str) -> Iterator[dict[str, Fraction]]:
    for values in written.split(";"):
        pairs = (pair.split("=") for pair in values.split(",") if pair.strip())
        yield {name.strip(): Fraction(value.strip()) for name, value in pairs}


def _small_laws(domain: tuple[int, int | None]) -> Iterator[Probabilities]:
    first, last = domain
    for weights in ([1], [1, 1], [1, 0, 1], [1, 1, 1], [0, 1], [0, 0, 0, 1], [1] * 5, [9, 1], [0] * 7 + [1]):
        law = {first + t: Fraction(n, sum(weights)) for t, n in enumerate(weights) if n}
        if last is None or max(law) <= last:
            yield law

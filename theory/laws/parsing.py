"""Laws by name: ``poisson:8``, ``geometric:1/8``, ``counts:FILE``, ``mixture:1/3*poisson:8+2/3*constant:2``."""

from __future__ import annotations

import json
import pathlib
import zipfile
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from jasgd.inputs.text_files import read_text
from theory.laws import CMP, FiniteLaw, Law, Mixture, NegativeBinomial, Poisson, UniformLaw
from theory.numbers.rationals import MOST_DIGITS, exact

_LARGEST = 10**12
_MOST_POINTS = 5_000_000


def parse_law(spec: str) -> Law:
    """The law that a text names.

    Args:
      spec: ``poisson:LAMBDA``, ``geometric:P``, ``negative_binomial:R:P``, ``cmp:LAMBDA:NU``, ``uniform:LOW:HIGH``,
        ``constant:K``, ``counts:FILE`` (a JSON list of counts by staleness, or a recorded execution), or
        ``mixture:SHARE*LAW+SHARE*LAW``. Numbers are decimals or fractions and are taken exactly.

    Returns:
      The law.

    Raises:
      ValueError: for an unknown name, a number out of its range, or a file that is neither.

    Example:
      >>> law = parse_law("geometric:1/4")
      >>> law.to_json()
      ['geometric', '1/4']
    """
    name, _, rest = spec.strip().partition(":")
    if name == "mixture":
        return _mixture(spec, rest)
    if name == "counts":
        return from_json(["counts", _read_counts(rest)])
    if name not in LAWS:
        names = ", ".join([*LAWS, "counts", "mixture"])
        raise ValueError(f"distribution {spec!r}: the name must be one of {names}, got {name!r}")
    return _named(spec, name, [part.strip() for part in rest.split(":")] if rest else [])


def _named(spec: str, name: str, numbers: list[str]) -> Law:
    arguments, make = LAWS[name]
    if len(numbers) != len(arguments):
        raise ValueError(f"distribution {spec!r}: written {':'.join([name, *arguments])}, got {len(numbers)} numbers")
    return make(spec, [_number(spec, part) for part in numbers])


def from_json(data: Any) -> Law:
    """The law that ``Law.to_json`` wrote; ValueError for anything else."""
    if not isinstance(data, list) or not data or not isinstance(data[0], str):
        raise ValueError(f"a law is a list that begins with its name, got {str(data)[:60]!r}")
    name, *rest = data
    if name in ("counts", "mixture") and len(rest) != 1:
        raise ValueError(f"{name} takes one list, got {len(rest)}")
    if name == "counts":
        return _counts(*rest)
    if name == "mixture":
        law: Law = _mixed([_share(part) for part in rest[0]])
    elif name not in LAWS or not all(isinstance(number, str) for number in rest):  # data never leads to a file
        raise ValueError(f"a law is one of {', '.join([*LAWS, 'counts', 'mixture'])} and numbers, got {str(data)[:60]}")
    else:
        law = _named(":".join(data)[:80], name, rest)
    if law.to_json() != data:
        raise ValueError(f"the law {str(data)[:60]} is not in lowest terms")
    return law


def _share(part: Any) -> tuple[Fraction, Law]:
    if not isinstance(part, list) or len(part) != 2 or not isinstance(part[0], str):
        raise ValueError(f"a part of a mixture is a pair of a share and a law, got {str(part)[:60]}")
    return _number("mixture", part[0]), from_json(part[1])


def _poisson(spec: str, numbers: list[Fraction]) -> Law:
    (rate,) = numbers
    return Poisson(_within(spec, "LAMBDA", rate, rate > 0, "> 0"))


def _geometric(spec: str, numbers: list[Fraction]) -> Law:
    (chance,) = numbers
    if _within(spec, "P", chance, 0 < chance <= 1, "in (0, 1]") == 1:
        return FiniteLaw({0: Fraction(1)}, ["constant", "0"])
    return NegativeBinomial(Fraction(1), chance)


def _negative_binomial(spec: str, numbers: list[Fraction]) -> Law:
    size, chance = numbers
    _within(spec, "R", size, size > 0, "> 0")
    return NegativeBinomial(size, _within(spec, "P", chance, 0 < chance < 1, "in (0, 1)"))


def _cmp(spec: str, numbers: list[Fraction]) -> Law:
    rate, decay = numbers
    _within(spec, "LAMBDA", rate, rate > 0, "> 0")
    return CMP(rate, _within(spec, "NU", decay, decay > 0, "> 0"))


def _uniform(spec: str, numbers: list[Fraction]) -> Law:
    low, high = (_whole(spec, name, value) for name, value in zip(("LOW", "HIGH"), numbers, strict=True))
    if high < low:
        raise ValueError(f"distribution {spec!r}: HIGH must be ≥ LOW, got {high} < {low}")
    if high - low >= _MOST_POINTS:
        raise ValueError(f"distribution {spec!r}: at most {_MOST_POINTS:,} points, got {high - low + 1:,}")
    return UniformLaw(low, high)


def _constant(spec: str, numbers: list[Fraction]) -> Law:
    staleness = _whole(spec, "K", numbers[0])
    return FiniteLaw({staleness: Fraction(1)}, ["constant", str(staleness)])


def _counts(counts: Any) -> Law:
    whole = isinstance(counts, list) and all(isinstance(n, int) and not isinstance(n, bool) for n in counts)
    if not whole or not counts or min(counts) < 0 or not sum(counts):
        raise ValueError("counts must be a JSON list of integers ≥ 0, one for each staleness from 0 on, not all 0")
    total = sum(counts)
    while counts[-1] == 0:
        counts = counts[:-1]
    return FiniteLaw({tau: Fraction(n, total) for tau, n in enumerate(counts) if n}, ["counts", counts])


def _read_counts(file: str) -> list[int]:
    path = pathlib.Path(file)
    if not path.exists():
        raise ValueError(f"distribution 'counts:{file}': there is no such file")
    if not path.is_dir() and not zipfile.is_zipfile(path):  # an execution is a zip archive, whatever its name
        try:
            return json.loads(read_text(path))
        except ValueError as error:
            raise ValueError(f"distribution 'counts:{file}': neither JSON nor a recorded execution: {error}") from error
    import numpy as np

    from jasgd.record.execution import Execution

    file_of_run = path / "execution.npz" if path.is_dir() else path
    try:
        staleness = np.asarray(Execution.load(file_of_run).staleness)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"distribution 'counts:{file}': no recorded execution: {error}") from error
    return [int(n) for n in np.bincount(staleness)]


def _mixture(spec: str, rest: str) -> Law:
    parts = []
    for part in rest.split("+"):
        share, star, law = part.partition("*")
        if not star:
            raise ValueError(f"distribution {spec!r}: a mixture is written SHARE*LAW+SHARE*LAW, got {part!r}")
        parts.append((_number(spec, share.strip()), parse_law(law)))
    return _mixed(parts)


def _mixed(parts: list[tuple[Fraction, Law]]) -> Law:
    shares = [share for share, _ in parts]
    if min(shares) <= 0 or sum(shares) != 1:
        raise ValueError(f"the shares of a mixture are > 0 and sum to 1, got {', '.join(map(str, shares))}")
    return Mixture(parts)


def _number(spec: str, text: str) -> Fraction:
    try:
        value = exact(text)
    except ValueError as error:
        kinds = f"neither a decimal nor a fraction of at most {MOST_DIGITS} digits"
        raise ValueError(f"distribution {spec[:80]!r}: {text[:40]!r} is {kinds}") from error
    if value.denominator > 10**100 or abs(value) > _LARGEST:
        raise ValueError(f"distribution {spec!r}: numbers are at most 10^12, got {text}")
    return value


def _whole(spec: str, name: str, value: Fraction) -> int:
    return int(_within(spec, name, value, value >= 0 and value.denominator == 1, "an integer ≥ 0"))


def _within(spec: str, name: str, value: Fraction, holds: bool, allowed: str) -> Fraction:
    if not holds:
        raise ValueError(f"distribution {spec!r}: {name} must be {allowed}, got {value}")
    return value


#: Name, numbers, and what makes the law of them.
LAWS: dict[str, tuple[tuple[str, ...], Callable[[str, list[Fraction]], Law]]] = {
    "poisson": (("LAMBDA",), _poisson),
    "geometric": (("P",), _geometric),
    "negative_binomial": (("R", "P"), _negative_binomial),
    "cmp": (("LAMBDA", "NU"), _cmp),
    "uniform": (("LOW", "HIGH"), _uniform),
    "constant": (("K",), _constant),
}

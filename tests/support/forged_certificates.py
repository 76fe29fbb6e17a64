"""False and true variants of certificates: each is sealed again with the hash that fits, as an adversary would do.

``BASES`` are candidates whose certificates are altered; ``FORGERIES`` are alterations after which a claim is false, or not
shown; ``VARIANTS`` are alterations after which every claim is still true and shown.
"""

import copy
import json
from collections.abc import Callable
from typing import Any

from theory.candidates.loading import loads
from theory.certificates.certificate import certificate
from theory.decisions.decision import decide
from theory.formulas.writing import digest
from theory.laws.parsing import from_json, parse_law

HEAD = "from sympy import *\nfrom theory import tau\n"
#: Candidate and law (none: every law) by name.
BASES = {
    "inverse": ("C = 1 / (1 + tau)", "poisson:8"),
    "inverse, every law": ("C = 1 / (1 + tau)", None),
    "steps": ("C = Piecewise((1, tau < 9), (1 / 2, True))", "constant:12"),
    "TAIL": ("cdf = 'strict'\ndef step_size(tau, F): return 3 / 2 - F", "counts:[1, 0, 2]"),
    "TAIL, every law": ("def step_size(tau, F): return 3 / 2 - F", None),
    "open": ("b = Symbol('b')\nC = b / (1 + tau)\nparameters = {'b': (0, 1)}", None),
    "open, rising": ("b = Symbol('b')\nC = 1 + b * tau\nparameters = {'b': (0, 1)}", None),
    "parity": ("C = 1 / (1 + tau) + (-1) ** tau / (10 * (1 + tau) ** 3)", None),
    "logarithm": ("C = log(2 + tau) / (1 + tau)", None),
    "hump": ("C = tau**2 * exp(-tau)", "poisson:8"),
    "bounded": ("C = sqrt(5 - tau)\ndomain = (0, 4)", None),
    "later": ("C = 1 / tau\ndomain = (1, None)", None),
    "pole": ("C = 1 / (tau - 3)", None),
    "linear": ("C = tau", None),
    "too fast": ("C = 3**tau + 2", "geometric:1/2"),
    "squares": ("C = 2**tau / (1 + tau) ** 2", "geometric:1/2"),
    "F in a square": ("def step_size(tau, F): return 4 * (1 - F**2) / 3", None),
}
Alteration = Callable[[dict[str, Any]], None]


def made(name: str) -> dict[str, Any]:
    """The certificate of a base, as it is read from a file."""
    source, spec = BASES[name]
    counts = spec is not None and spec.startswith("counts:")
    law = from_json(["counts", json.loads(spec[7:])]) if counts else None if spec is None else parse_law(spec)
    report = decide(loads(HEAD + source), [] if law is None else [law])
    return json.loads(json.dumps(certificate(report)))


def sealed(data: dict[str, Any]) -> dict[str, Any]:
    """The certificate with the hash that fits."""
    return {**data, "sha256": digest({key: value for key, value in data.items() if key != "sha256"})}


def altered(data: dict[str, Any], alteration: Alteration) -> dict[str, Any]:
    """A copy of a certificate, altered and sealed again."""
    changed = copy.deepcopy(data)
    alteration(changed)
    return sealed(changed)


def claim_of(data: dict[str, Any], condition: str) -> dict[str, Any]:
    """The claim about the first question."""
    return next(one for one in data["claims"] if one["condition"] == condition and one["question"] == 0)


def put(place: str, value: Any) -> Alteration:
    """Sets what is at a place: a condition and names or numbers in its evidence, or a field of the first question.

    Places are written ``amplitude.above.start``, ``question.law.1``, ``claims.0.verdict``; ``-`` as a value takes away.
    """
    first, *path = place.split(".")

    def alteration(data: dict[str, Any]) -> None:
        part: Any = {"question": data["questions"][0], "claims": data["claims"], "file": data}.get(first)
        part = claim_of(data, first)["evidence"] if part is None else part
        *before, last = [int(one) if one.isdecimal() else one for one in path]
        for one in before:
            part = part[one]
        assert not isinstance(part, dict) or last in part or value != "-", f"nothing is at {place}"
        assert value == "-" or not isinstance(part, dict | list) or _at(part, last) != value, f"{place} is so already"
        if value == "-":
            del part[last]
        else:
            part[last] = value

    return alteration


def _at(part: Any, key: Any) -> Any:
    return part.get(key, alteration_missing) if isinstance(part, dict) else part[key]


alteration_missing = object()


def evidence(condition: str, **fields: Any) -> Alteration:
    """Sets the whole evidence of a claim."""

    def alteration(data: dict[str, Any]) -> None:
        claim_of(data, condition)["evidence"] = fields

    return alteration


def verdict(condition: str, **fields: Any) -> Alteration:
    """Turns a claim's verdict round; with other evidence where it is given."""

    def alteration(data: dict[str, Any]) -> None:
        claim = claim_of(data, condition)
        claim["verdict"] = {"PROVED": "REFUTED", "REFUTED": "PROVED"}[claim["verdict"]]
        claim["evidence"] = fields or claim["evidence"]

    return alteration


def both(*alterations: Alteration) -> Alteration:
    """Several alterations in turn."""

    def alteration(data: dict[str, Any]) -> None:
        for one in alterations:
            one(data)

    return alteration


def renamed(condition: str, to: str) -> Alteration:
    """Gives a claim's evidence out as evidence on another condition, whose own claim is taken away."""

    def alteration(data: dict[str, Any]) -> None:
        claim = claim_of(data, condition)
        data["claims"] = [one for one in data["claims"] if one["condition"] != to or one["question"] != 0]
        claim["condition"] = to

    return alteration


def exchanged(condition: str) -> Alteration:
    """Exchanges the evidence of the same claim about two questions."""

    def alteration(data: dict[str, Any]) -> None:
        one, other = (claim for claim in data["claims"] if claim["condition"] == condition)
        one["evidence"], other["evidence"] = other["evidence"], one["evidence"]

    return alteration


def copied(kind: str) -> Alteration:
    """Puts the first question or claim in twice."""

    def alteration(data: dict[str, Any]) -> None:
        data[kind].append(copy.deepcopy(data[kind][0]))

    return alteration


def without(condition: str) -> Alteration:
    """Takes the claims on a condition away."""

    def alteration(data: dict[str, Any]) -> None:
        data["claims"] = [one for one in data["claims"] if one["condition"] != condition]

    return alteration

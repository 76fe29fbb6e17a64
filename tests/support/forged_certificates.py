"""False and true variants of certificates: each is sealed again with the hash that fits, as an adversary would do.

``BASES`` are candidates whose certificates are altered; ``FORGERIES`` are alterations after which a claim is false, or
not shown; ``VARIANTS`` are alterations after which every claim is still true and shown.
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
    "difference of roots": ("C = sqrt(tau + 1) - sqrt(tau)", None),
    "line": ("C = 1 - tau / 100000\ndomain = (0, 99999)", None),
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
NOTHING = object()


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
    """Sets what is at a place: in the evidence of the first question's claim, in the first question, or elsewhere.

    Places are written ``amplitude.above.start``, ``question.law.1``, ``claims.0.verdict`` and ``file.format``; the
    value ``NOTHING`` takes away.
    """
    first, *path = place.split(".")
    *before, last = [int(one) if one.isdecimal() else one for one in path]

    def alteration(data: dict[str, Any]) -> None:
        part: Any = {"question": data["questions"][0], "claims": data["claims"], "file": data}.get(first)
        part = claim_of(data, first)["evidence"] if part is None else part
        for one in before:
            part = part[one]
        if value is NOTHING:
            del part[last]
        else:
            part[last] = value

    return alteration


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


def _long_formula(data: dict[str, Any]) -> None:
    data["questions"][0]["formula"] = ["sum", *[["tau"]] * 20_001]


TAIL_TOO_EARLY = {"argument": "composition", "start": 0}
BOUNDS = {"argument": "bounds", "start": 0, "least": "0", "open": True}
#: What was done, the base, and the alteration.
FORGERIES: list[tuple[str, str, Alteration]] = [
    # Another question than the evidence is about.
    ("another constant", "inverse", put("question.formula.1.1.1", "2")),
    ("another sign", "inverse", put("question.formula.2.1", "1")),
    ("another exponent", "parity", put("question.formula", ["power", ["tau"], ["number", "2"]])),
    ("a constant not in lowest terms", "inverse", put("question.formula.1.1.1", "2/2")),
    ("a constant with a blank", "inverse", put("question.formula.1.1.1", " 1")),
    ("a constant with a plus", "inverse", put("question.formula.1.1.1", "+1")),
    ("an operation that is none", "inverse", put("question.formula.0", "eval")),
    ("too few operands", "inverse", put("question.formula", ["power", ["tau"]])),
    ("a comparison as a number", "inverse", put("question.formula.1", ["less", ["tau"], ["number", "1"]])),
    ("a number as a comparison", "inverse", put("question.formula", ["where", ["tau"], ["tau"], ["tau"]])),
    ("a formula of too many nodes", "inverse", _long_formula),
    ("a parameter without a range", "open", put("question.parameters", {})),
    ("a parameter named as the staleness", "open", put("question.parameters.tau", ["0", "1", True, True])),
    ("another law", "inverse", put("question.law.1", "9")),
    ("no law", "inverse", put("question.law", None)),
    ("a law where none was", "inverse, every law", put("question.law", ["poisson", "8"])),
    ("a law not in lowest terms", "inverse", put("question.law.1", "16/2")),
    ("a law's number as a decimal", "inverse", put("question.law.1", "8.0")),
    ("a law that is none", "inverse", put("question.law.1", "-8")),
    ("a law with too many numbers", "inverse", put("question.law", ["poisson", "8", "8"])),
    ("a law outside the domain", "inverse", put("question.domain", [1, None])),
    ("negative counts", "TAIL", put("question.law.1", [2, -1, 2])),
    ("counts that end with 0", "TAIL", put("question.law.1", [1, 0, 2, 0])),
    ("other counts", "TAIL", put("question.law.1", [1, 1, 2])),
    ("shares that are not 1", "TAIL", put("question.law", ["mixture", [["1/2", ["constant", "1"]]]])),
    ("another kind of F", "TAIL", put("question.cdf", "mid")),
    ("a kind of F that is none", "TAIL", put("question.cdf", "median")),
    ("a longer domain", "bounded", put("question.domain", [0, 5])),
    ("an earlier domain", "later", put("question.domain", [0, None])),
    ("an empty domain", "bounded", put("question.domain", [5, 4])),
    ("a domain of texts", "bounded", put("question.domain", ["0", "4"])),
    ("a domain from true on", "later", put("question.domain", [True, None])),
    ("a domain below 0", "bounded", put("question.domain", [-1, 4])),
    ("a smaller amplitude", "inverse", put("question.amplitude", "1/2")),
    ("a negative amplitude", "inverse", put("question.amplitude", "-1")),
    ("an amplitude as a decimal", "inverse", put("question.amplitude", "1.0")),
    ("a closed end that was open", "open", put("question.parameters.b", ["0", "1", False, True])),
    ("a wider range", "open", put("question.parameters.b", ["0", "3", True, True])),
    ("a range without ends", "open", put("question.parameters.b", [None, None, True, True])),
    ("an empty range", "open", put("question.parameters.b", ["1", "0", True, True])),
    ("a range of one number that is left out", "open", put("question.parameters.b", ["1", "1", True, False])),
    ("infinity in a range", "open", put("question.parameters.b", ["0", None, True, False])),
    ("0 and 1 as true and false", "open", put("question.parameters.b", ["0", "1", 1, 1])),
    ("a range of decimals", "open", put("question.parameters.b", ["0", "1.0", True, True])),
    # Verdicts and evidence that do not belong together.
    ("defined, turned round", "inverse", verdict("defined", tau=3, undefined=True)),
    ("positive, turned round", "inverse", verdict("positive", tau=3, value=["-1", "0"])),
    ("decreasing, turned round", "inverse", verdict("decreasing", tau=3, value=["1/4", "1/4"], next=["1/3", "1/3"])),
    ("magnitude, turned round", "inverse", verdict("magnitude", argument="over its own mean")),
    ("amplitude, turned round", "inverse", verdict("amplitude", tau=3, value=["3", "3"])),
    ("moments, turned round", "inverse", verdict("moments", diverges={"of": "mean", "start": 1})),
    ("unbounded, turned round", "linear", verdict("moments", argument="bounds", start=0, most="9")),
    ("not positive, turned round", "hump", verdict("positive", mass=BOUNDS)),
    ("not decreasing, turned round", "hump", verdict("decreasing", tail=TAIL_TOO_EARLY)),
    ("undefined, turned round", "pole", verdict("defined", argument="bounds", start=0)),
    ("a tail for another condition", "inverse", renamed("positive", "decreasing")),
    ("a start for another condition", "inverse", renamed("defined", "moments")),
    ("a value for another condition", "linear", renamed("amplitude", "positive")),
    ("a mean for another condition", "inverse", renamed("magnitude", "moments")),
    ("the mean of another question", "inverse", exchanged("moments")),
    ("a verdict that is none", "inverse", put("claims.0.verdict", "UNKNOWN")),
    ("a condition that is none", "inverse", put("claims.0.condition", "honest")),
    # Tails.
    ("a tail from too early on", "steps", put("decreasing.tail.start", 8)),
    ("a dominant term from too early on", "parity", put("decreasing.tail.start", 2)),
    ("an elasticity from too early on", "logarithm", put("decreasing.tail.start", 1)),
    ("a start before the domain", "later", put("decreasing.tail.start", 0)),
    ("a negative start", "inverse", put("decreasing.tail.start", -1)),
    ("a start after the domain", "bounded", put("positive.mass", {**BOUNDS, "start": 6})),
    ("a start too far to look at all before", "inverse", put("decreasing.tail.start", 3_000_000)),
    ("a start that is true", "inverse", put("defined.start", True)),
    ("a start that is a text", "inverse", put("decreasing.tail.start", "0")),
    ("another argument", "hump", put("amplitude.above.argument", "bounds")),
    ("an argument that does not apply", "logarithm", put("decreasing.tail", TAIL_TOO_EARLY)),
    ("an argument that is none", "inverse", put("decreasing.tail.argument", "it is plain")),
    ("an argument for another thing", "inverse", put("decreasing.tail", BOUNDS)),
    ("no constants", "inverse", put("positive.mass", {"argument": "bounds", "start": 0})),
    ("a field too many", "inverse", put("decreasing.tail.period", 2)),
    ("a bound that is not reached", "steps", put("amplitude.above.least", "3/2")),
    ("a bound that does not decide", "inverse", put("amplitude.above.least", "-1/2")),
    ("a bound that may be taken", "inverse", put("positive.mass.open", False)),
    ("a bound that is taken", "inverse", put("amplitude.above.open", True)),
    ("a bound that is no number", "inverse", put("amplitude.above.least", "inf")),
    ("signs the other way", "parity", put("decreasing.tail.signs", [1, -1])),
    ("signs of fewer classes", "parity", put("decreasing.tail.signs", [1])),
    ("a sign of 0", "parity", put("positive.mass.signs", [1, 0])),
    ("a share of 1", "parity", put("decreasing.tail.share", "1")),
    ("a share that is too small", "parity", put("decreasing.tail.share", "1/2")),
    ("another period", "parity", put("decreasing.tail.period", 1)),
    ("a period of 0", "parity", put("decreasing.tail.period", 0)),
    ("a period without end", "parity", put("decreasing.tail.period", 4096)),
    ("a start that is no multiple", "parity", put("decreasing.tail.start", 33)),
    ("an elasticity above 0", "logarithm", put("decreasing.tail.most", "1/10")),
    ("an elasticity that is too small", "logarithm", put("decreasing.tail.most", "-2")),
    ("the other argument for falling", "logarithm", put("amplitude.above.falls", "composition")),
    ("every point of an endless domain", "inverse", put("decreasing.tail", {"argument": "every point", "start": 9})),
    ("not every point", "bounded", put("decreasing.tail.start", 3)),
    ("no tail where mass has no end", "inverse", put("positive.mass", None)),
    ("F that may be 1", "F in a square", put("positive.elsewhere.open", True)),
    ("nothing about the rest", "F in a square", put("positive.elsewhere", NOTHING)),
    # Suprema, means and moments.
    ("a supremum that is not reached", "steps", put("amplitude.sup.least", "3/4")),
    ("a supremum that is passed", "steps", put("amplitude.sup.most", "1/4")),
    ("a supremum reached nowhere", "steps", put("amplitude.sup.at", 3)),
    ("a supremum outside the domain", "later", put("amplitude.sup.at", 0)),
    ("a supremum of no place", "inverse", put("amplitude.sup", {"least": "1", "at": None, "most": "1", "start": 0})),
    ("a mean that is 1", "inverse", evidence("magnitude", mean=["1", "1"])),
    ("a mean that may be 1", "inverse", evidence("magnitude", mean=["0", "2"])),
    ("a mean beside it", "inverse", evidence("magnitude", mean=["0.13", "0.14"])),
    ("a mean closer than can be shown", "inverse", evidence("magnitude", mean=["0.1249580671715123", "0.125"])),
    ("an empty mean", "inverse", evidence("magnitude", mean=["0.13", "0.12"])),
    ("a mean of one bound", "inverse", evidence("magnitude", mean=["0.12"])),
    ("a mean as a number", "inverse", evidence("magnitude", mean=[0, 0])),
    ("another closed form", "TAIL, every law", evidence("magnitude", argument="generating function")),
    ("moments that may be infinite", "inverse", put("moments.mean_square.1", None)),
    ("a moment beside it", "inverse", put("moments.staleness_mean", ["0", "1/2"])),
    ("moments but one", "inverse", put("moments.mean_square", NOTHING)),
    ("a bound that is passed", "TAIL, every law", put("moments.most", "1")),
    ("a domain that is not finite", "inverse, every law", evidence("moments", argument="finite domain")),
    (
        "a fall that is none",
        "logarithm",
        evidence(
            "moments", argument="falls", above=BOUNDS, falls={"argument": "elasticity", "start": 1, "most": "-0.1"}
        ),
    ),
    # Counterexamples.
    ("a value that does not refute", "hump", evidence("positive", tau=0, value=["0", "1"])),
    ("a value that is not taken", "hump", evidence("positive", tau=0, value=["-2", "-1"])),
    ("a value taken elsewhere", "hump", put("positive.tau", 1)),
    ("a value before the domain", "hump", put("positive.tau", -1)),
    ("a staleness that is a text", "hump", put("positive.tau", "0")),
    ("neighbours that are equal", "hump", evidence("decreasing", tau=0, value=["0", "1"], next=["0", "1"])),
    ("neighbours that fall", "hump", put("decreasing.tau", 2)),
    ("a neighbour outside the domain", "bounded", verdict("decreasing", tau=4, value=["1", "1"], next=["2", "2"])),
    ("a value within the amplitude", "linear", evidence("amplitude", tau=2, value=["2", "2"])),
    ("a value said to be farther", "linear", evidence("amplitude", tau=2, value=["3", "3"])),
    ("undefined where it is not", "pole", put("defined.tau", 2)),
    ("undefined: false", "pole", put("defined.undefined", False)),
    ("undefined where the law has no mass", "pole", put("magnitude.law", ["constant", "1"])),
    ("another law than the question's", "hump", put("magnitude.law", ["poisson", "8"])),
    ("a law of one's own outside the domain", "bounded", put("magnitude.law", ["constant", "7"])),
    ("a law of one's own before the domain", "later", put("magnitude.law", ["constant", "0"])),
    ("a law of one's own without end", "bounded", put("magnitude.law", ["poisson", "1"])),
    ("no law for a mean", "linear", put("magnitude.law", NOTHING)),
    ("a parameter at its open end", "open, rising", put("decreasing.parameters.b", "0")),
    ("a parameter beyond its range", "open, rising", put("decreasing.parameters.b", "2")),
    ("a parameter too many", "open, rising", put("decreasing.parameters.c", "1")),
    ("no parameters", "open, rising", put("decreasing.parameters", NOTHING)),
    ("a parameter as a decimal", "open, rising", put("decreasing.parameters.b", "0.5")),
    ("the mean does not diverge", "squares", put("moments.diverges.of", "mean")),
    ("a moment that is none", "squares", put("moments.diverges.of", "third")),
    ("it diverges from too early on", "squares", put("moments.diverges.start", 1)),
    ("another moment's divergence", "squares", renamed("moments", "magnitude")),
    ("it diverges from 0 on", "too fast", put("moments.diverges.start", 0)),
    ("unbounded where it is bounded", "inverse, every law", verdict("moments", unbounded={"start": 64})),
    ("unbounded under a law", "hump", verdict("moments", unbounded={"start": 64})),
    ("unbounded from 0 on", "linear", put("moments.unbounded.start", 0)),
    # The whole.
    ("no claims", "inverse", put("file.claims", [])),
    ("a claim twice", "inverse", copied("claims")),
    ("a question twice", "inverse", copied("questions")),
    ("a question without a claim", "inverse", lambda data: data["claims"].__delitem__(slice(6, None))),
    ("values of what may be undefined", "inverse", without("defined")),
    ("a question before the first", "inverse", put("claims.0.question", -1)),
    ("a question that is not there", "inverse", put("claims.0.question", 99)),
    ("a question that is false", "inverse", put("claims.0.question", False)),
    ("a field that is none", "inverse", put("claims.0.note", "trust me")),
    ("no evidence", "inverse", put("claims.0.evidence", None)),
    ("evidence as a list", "inverse", put("claims.0.evidence", [])),
    ("a field of the file that is none", "inverse", put("file.signature", "0")),
    ("the first format", "inverse", put("file.format", "jasgd theory certificate 1")),
    ("a format to come", "inverse", put("file.format", "jasgd theory certificate 3")),
    ("versions that are numbers", "inverse", put("file.versions.jasgd", 1)),
    ("too many claims", "inverse", put("file.claims", [{}] * 1_001)),
]
#: What was done, the base, and the alteration; all is as true as before.
VARIANTS: list[tuple[str, str, Alteration]] = [
    ("a later start of a composition", "inverse", put("decreasing.tail.start", 17)),
    ("a later start than the first", "steps", put("decreasing.tail.start", 77)),
    ("an earlier start that holds as well", "steps", put("decreasing.tail.start", 9)),
    ("a later start of bounds", "inverse", put("defined.start", 5)),
    ("a later start of a dominant term", "parity", put("positive.mass.start", 100)),
    (
        "a multiple of the period",
        "parity",
        put(
            "decreasing.tail",
            {"argument": "dominant term", "start": 64, "period": 4, "signs": [1, 1, 1, 1], "share": "0.95"},
        ),
    ),
    ("a later start of an elasticity", "logarithm", put("decreasing.tail.start", 7)),
    ("a later start of what rises", "logarithm", put("amplitude.above.start", 9)),
    ("each part by itself", "inverse", put("defined.argument", "parts")),
    ("every point of a bounded domain", "bounded", put("defined.start", 5)),
    (
        "another argument that holds",
        "logarithm",
        put("amplitude.above", {"argument": "monotone", "start": 5, "falls": "elasticity"}),
    ),
    ("mass looked at point by point", "steps", put("positive.mass", None)),
    ("a smaller bound that decides", "steps", put("positive.elsewhere.least", "0.25")),
    ("a bound that is said to be left out", "steps", put("amplitude.above.least", "0.99")),
    ("a larger share", "parity", put("decreasing.tail.share", "999/1000")),
    ("a larger elasticity", "logarithm", put("decreasing.tail.most", "-1e-1")),
    ("a larger bound", "TAIL, every law", put("moments.most", "100")),
    (
        "a fall in place of a bound",
        "logarithm",
        evidence(
            "moments", argument="falls", above=BOUNDS, falls={"argument": "elasticity", "start": 4, "most": "-0.1"}
        ),
    ),
    ("a bound from later on", "inverse, every law", put("moments.start", 3)),
    ("a wider supremum", "steps", put("amplitude.sup", {"least": "1/4", "at": 12, "most": "3/4", "start": 20})),
    ("no supremum", "inverse", put("amplitude.sup", NOTHING)),
    ("a wider mean", "inverse", evidence("magnitude", mean=["0.1", "0.2"])),
    ("a mean without a lower bound", "inverse", evidence("magnitude", mean=[None, "1/2"])),
    ("wider moments", "inverse", put("moments.mean_square", ["-1", "1E+3"])),
    ("a value of either kind of number", "linear", put("amplitude.value", ["3.0", "6/2"])),
    ("a wider value", "linear", put("amplitude.value", ["2.5", None])),
    ("a counterexample elsewhere", "linear", evidence("amplitude", tau=7, value=["7", "7"])),
    ("neighbours elsewhere", "linear", evidence("decreasing", tau=9, value=[None, "9.1"], next=["9.9", "11"])),
    ("a law elsewhere", "linear", evidence("magnitude", law=["uniform", "1", "4"], mean=["2.4", "2.6"])),
    ("other values of the parameters", "open, rising", put("magnitude.parameters.b", "1/2")),
    ("a negative value and its wider enclosure", "hump", put("positive.value", [None, "0"])),
    ("a moment that diverges from later on", "too fast", put("moments.diverges", {"of": "mean_square", "start": 3})),
    ("unbounded from later on", "linear", put("moments.unbounded.start", 100)),
    ("other versions", "inverse", put("file.versions.sympy", "0")),
    ("another copy of the source", "inverse", put("file.candidate.source", "C = 1")),
    ("claims in another order", "inverse", lambda data: data["claims"].reverse()),
    ("fewer claims", "inverse", without("moments")),
]

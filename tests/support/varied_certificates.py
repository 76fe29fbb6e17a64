"""True variants of certificates: other witnesses that hold as well, sealed again."""

from support.forged_certificates import BOUNDS, NOTHING, Alteration, evidence, put, without

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
    ("a later start of an expansion", "difference of roots", put("positive.mass.start", 9)),
    ("a later start of steps", "difference of roots", put("decreasing.tail.start", 50)),
    ("ratios in place of steps", "difference of roots", put("decreasing.tail.argument", "ratios")),
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

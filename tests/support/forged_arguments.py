"""False and true variants of the arguments that expansions, domains with an end, and repairs are proved by."""

from support.forged_certificates import NOTHING, Alteration, evidence, put, verdict

#: As ``FORGERIES`` and ``VARIANTS`` of ``forged_certificates``: what is altered, the base, and how.
FORGED_ARGUMENTS: list[tuple[str, str, Alteration]] = [
    ("an expansion from before 2 on", "difference of roots", put("positive.mass.start", 1)),
    ("an expansion of what has none", "TAIL, every law", put("positive.mass", {"argument": "expansion", "start": 4})),
    ("an expansion with a period", "difference of roots", put("positive.mass.period", 0)),
    ("steps that rise", "linear", verdict("decreasing", tail={"argument": "steps", "start": 4})),
    ("ratios that rise", "linear", verdict("decreasing", tail={"argument": "ratios", "start": 4})),
    ("steps from too early on", "difference of roots", put("decreasing.tail.start", 1)),
    ("bounds up to before the end", "line", put("positive.mass.last", 99998)),
    ("bounds up to beyond the end", "line", put("positive.mass.last", 100000)),
    (
        "bounds up to an end that is not there",
        "inverse, every law",
        put("positive.mass", {"argument": "bounds up to", "start": 0, "last": 9, "least": "0", "open": True}),
    ),
    ("bounds up to that do not hold", "line", put("positive.mass.least", "1/2")),
    (
        "a repair of what is none",
        "difference of roots",
        evidence(
            "positive",
            scaled={
                "defined": {"argument": "bounds", "start": 0},
                "positive": {"mass": {"argument": "expansion", "start": 2}},
                "moments": {"argument": "bounds", "start": 4, "most": "1"},
            },
        ),
    ),
    ("a repair without moments", "difference of roots", put("claims.7.evidence.scaled.moments", NOTHING)),
    (
        "a repair of what may not be positive",
        "difference of roots",
        put("claims.7.evidence.scaled.positive.mass.start", 1),
    ),
    ("a repair that keeps the amplitude", "difference of roots", put("claims.7.condition", "amplitude")),
]
VARIED_ARGUMENTS: list[tuple[str, str, Alteration]] = [
    ("a later start of an expansion", "difference of roots", put("positive.mass.start", 9)),
    ("a later start of steps", "difference of roots", put("decreasing.tail.start", 50)),
    ("ratios in place of steps", "difference of roots", put("decreasing.tail.argument", "ratios")),
]

"""A second checker of certificates, which shares nothing with the prover but the form of the JSON.

It runs as a plain file, ``python theory/certificates/independent.py certificate.json``, on the standard library, mpmath
and the folder ``second_checker`` beside it. A claim is *confirmed*, as it was shown anew from its formula; *not
followed*; or *contradicted*, as some value denies it. What is confirmed never rests on what the certificate says.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

if not __package__:  # run as a plain file
    from second_checker.boxes import INF, ONE, ZERO, Box, Open, Undefined, absolute, box  # pyrefly: ignore[missing-import]
    from second_checker.formulas import leaves, minus, moves, put, rational  # pyrefly: ignore[missing-import]
    from second_checker.looks import Question  # pyrefly: ignore[missing-import]
else:
    from theory.certificates.second_checker.boxes import INF, ONE, ZERO, Box, Open, Undefined, absolute, box
    from theory.certificates.second_checker.formulas import leaves, minus, moves, put, rational
    from theory.certificates.second_checker.looks import Question

CONFIRMED, NOT_FOLLOWED, CONTRADICTED = "confirmed", "not followed", "contradicted"
PROBES = (*range(12), 20, 50, 98, 99, 100, 101, 999, 1000, 4097, 10**5, 10**6 + 1, 10**9 + 1)
SMALL_LAWS = (["constant", "0"], ["constant", "1"], ["constant", "20"], ["counts", [1, 1]], ["counts", [5, 0, 2]])
FORMAT = "jasgd theory certificate 2"
Limit = Callable[[], contextlib.AbstractContextManager[None]]
MOMENTS = ("mean", "mean_square", "staleness_mean")  # E[C], E[C²], E[τC]


class Wrong(Exception):
    """A claim that a value denies."""


def prove(q: Question, condition: str, evidence: dict[str, Any]) -> None:
    """Returns where the condition is shown to hold; raises :class:`Open` where it is not."""
    g, points = q.formula, q.law.points if q.law is not None else None
    if condition == "magnitude":
        unit_mean(q, g)
    elif condition == "moments" and q.law is not None and "mean" in evidence:
        for which, name in enumerate(MOMENTS):
            found, (low, high) = q.moment(g, which), (Fraction(end) for end in evidence[name])
            if not low <= found.low[0] <= found.high[0] <= high:
                raise Open("an enclosure that is not inside the one that is claimed")
    elif condition == "moments" and q.law is not None and sums(q, g):
        return
    elif condition == "moments":  # E[C] is finite with C over any number, and bounded is finite under every law
        q.settle(g, lambda look: True)
        q.reach(
            ("product", ("number", ONE), *(part for part in (g[1:] if g[0] == "product" else [g]) if moves(part))),
            q.first,
        )
    else:
        q.settle(g, lambda look: True)
    if condition == "amplitude":
        q.settle(minus(("number", 1 + q.amplitude), g), lambda look: look[0].above())
        q.settle(minus(g, ("number", 1 - q.amplitude)), lambda look: look[0].above())
    elif condition == "positive" and points is not None:
        q.settle(g, lambda look: look[0].above())
        if not all(q.value(g, tau).above(True) for tau in points):
            raise Open("a value that may be 0 where the law has mass")
    elif condition == "positive":
        q.settle(g, lambda look: look[0].above())
        with q.where_mass_is():
            q.settle(g, lambda look: look[0].above(True))
    elif condition == "decreasing":
        fixed = [part for part in g[1:] if not moves(part)] if g[0] == "product" else []
        if fixed and all(q.value(part, q.first).above() for part in fixed):  # κM falls as M does
            g = ("product", ("number", ONE), *(part for part in g[1:] if moves(part)))
        try:
            stretches = q.cover(g, lambda look: look[1], q.first)
        except Open:
            if "F" in q.names:  # of which the next value is not a formula
                raise
            q.settle(minus(g, put(g, ("sum", ("number", ONE), ("tau",)))), lambda look: look[0].above())
        else:
            if len(stretches) > 1 and q.law is None and {"F", "mean"} & {leaf[0] for leaf in leaves(g)}:
                raise Open("neighbours under every law")
            for last, _ in stretches[:-1]:
                if not (q.value(g, last) - q.value(g, last + 1)).above():
                    raise Open("neighbours that were not told apart")


def sums(q: Question, g: tuple) -> bool:
    """Whether all three moments under the law were enclosed."""
    with contextlib.suppress(Open):
        return all(q.moment(g, which) for which in range(3))
    return False


def unit_mean(q: Question, g: tuple) -> None:
    """Returns where E[C] is shown to be exactly 1."""
    if q.law is not None and q.law.points is not None and q.moment(g, 0).exact == 1:
        return
    q.settle(g, lambda look: True)
    if not moves(g) and q.value(g, 0).exact == 1:
        return
    factors = [settled(q, factor) for factor in g[1:]] if g[0] == "product" else []
    for factor in factors:  # a function over its own mean
        if factor[0] == "power" and factor[1][0] == "mean" and factor[2] == ("number", -ONE):
            inner, rest = factor[1][1], [repr(f) for f in factors if f is not factor]
            same = sorted(map(repr, inner[1:] if inner[0] == "product" else [inner]))
            if sorted(rest) == same and q.mean(inner).apart():
                return
    if q.cdf == "mid" and not q.names & {"tau", "mean"}:  # E[F_mid] = 1/2: F = P[T' < T] + P[T' = T]/2 for a copy T'
        above, below = rational(in_place_of_f(g))
        if len(below) == 1 and len(above) <= 2 and above[0] + sum(above[1:]) / 2 == below[0]:
            return
    if q.law is None or q.law.points is not None or q.moment(g, 0).exact:
        raise Open("no identity was found")
    below, above = rational(g)[1], list(rational(g)[0])
    total, moments = ZERO, q.law.factorial_moments()
    for falling in range(len(above)):  # in terms of τ(τ - 1)…: divided by τ, τ - 1, … in turn
        for j in range(len(above) - 2, falling - 1, -1):
            above[j] += falling * above[j + 1]
        total += above[falling] * next(moments)
    if len(below) > 1 or total != below[0]:
        raise Open("no identity was found")


def settled(q: Question, g: tuple) -> tuple:
    """The case of a formula that is always the case."""
    if g[0] == "where" and not moves(g[1]):
        holds = q.holds(g[1], q.first, q.first)
        return g if holds is None else g[2 if holds else 3]
    return g


def in_place_of_f(g: tuple) -> tuple:
    """The formula with τ for F."""
    return ("tau",) if g == ("F",) else (g[0], *(in_place_of_f(p) if isinstance(p, tuple) else p for p in g[1:]))


def denied(q: Question, condition: str, tau: int) -> bool:
    """Whether the value at τ denies a condition; :class:`Open` where that is not clear."""
    value, has_mass = q.value(q.formula, tau), q.law is None or q.law.points is None or tau in q.law.points
    if condition == "defined" or (condition == "decreasing" and tau >= q.last):
        return False
    if condition == "positive":
        gap, strict = -value, not has_mass
    elif condition == "decreasing":
        gap, strict = q.value(q.formula, tau + 1) - value, True
    else:
        gap, strict = absolute(value - box(ONE)) - box(q.amplitude), True
    if not gap.above(strict) and not (-gap).above(not strict):
        raise Open("a value that is not clear of the bound")
    return gap.above(strict)


def agree(found: Box, written: list[str | None]) -> None:
    """Holds a value against the enclosure that the certificate gives."""
    low, high = (bound if end is None else Fraction(end) for bound, end in zip((-INF, INF), written, strict=True))
    if found.low[0] > high or found.high[0] < low:
        raise Wrong(f"the value is not in {written}")


def refute(q: Question, condition: str, evidence: dict[str, Any]) -> None:
    """Returns where the counterexample holds; raises :class:`Wrong` where it does not."""
    if "unbounded" in evidence:
        grows(q, evidence["unbounded"]["start"])
        return
    if "diverges" in evidence:
        raise Open("a sum that diverges")
    tau: Any = evidence.get("tau")
    law = evidence.get("law")
    instance = Question(q.data, law, within(q, evidence.get("parameters", {})))
    points = instance.law.points if instance.law is not None else None
    if (law is not None and q.law is not None) or not all(q.first <= i <= q.last for i in points or ()):
        raise Wrong("the law is not one of the question's")
    if tau is not None and not q.first <= tau <= q.last:
        raise Wrong("outside the domain")
    if "mean" in evidence:
        mean = instance.moment(q.formula, 0)
        agree(mean, evidence["mean"])
        if mean.exact == 1:
            raise Wrong("E[C] is 1")
        if not (mean - box(ONE)).apart():
            raise Open("a mean near 1")
    elif evidence.get("undefined"):
        if condition in ("magnitude", "moments") and points is not None and tau not in points:
            raise Wrong("the law has no mass there")
        with contextlib.suppress(Undefined):
            instance.value(q.formula, tau)
            raise Wrong("it has a value there")
    else:
        if not denied(instance, condition, tau):
            raise Wrong("the counterexample is none")
        agree(instance.value(q.formula, tau), evidence["value"])
        if "next" in evidence:
            agree(instance.value(q.formula, tau + 1), evidence["next"])


def within(q: Question, written: dict[str, str]) -> dict[str, Box]:
    """Single values of the parameters, each within its range."""
    chosen = {name: box(Fraction(value)) for name, value in written.items()}
    if set(chosen) != set(q.ranges):
        raise Wrong("it names other parameters")
    for name, value in chosen.items():
        (low, low_open), (high, closed) = q.ranges[name]
        if not low <= value.low[0] <= high or (value.exact == low and low_open) or (value.exact == high and not closed):
            raise Wrong(f"{name} is outside of its range")
    return chosen


def grows(q: Question, start: int) -> None:
    """Returns where |C(τ)| ≥ ε(1 + τ) is shown for some ε > 0 from the start on; else it may be bounded."""
    if q.law is not None or q.last < INF:
        raise Wrong("a question that is not about every law and all τ")
    per_step = "product", q.formula, ("power", ("sum", ("number", ONE), ("tau",)), ("number", -ONE))
    try:
        q.reach(q.formula, q.first)
    except Open:
        q.settle(per_step, lambda look: max(look[0].low[0], -look[0].high[0]) > 0, max(q.first, start, 64))
    else:
        raise Wrong("it is bounded")


def probe(q: Question, condition: str, evidence: dict[str, Any]) -> None:
    """Raises :class:`Wrong` where some value denies a claim."""
    chosen: list[dict[str, Box]] = [{}]
    for name, r in q.ranges.items():
        low, high = (end[0] if abs(end[0]) < INF else None for end in r)
        width = high - low if low is not None and high is not None else 2
        base = low if low is not None else high - width if high is not None else -ONE
        chosen = [{**c, name: box(base + width * share)} for c in chosen for share in (Fraction(1, 2), Fraction(9, 10))]
    laws = SMALL_LAWS if q.law is None and (q.names & {"F", "mean"} or condition == "magnitude") else [None]
    numbers = [abs(leaf[1]) for leaf in leaves(q.formula) if leaf[0] == "number" and abs(leaf[1]) < 10**13]
    near = {int(n) + k for n in numbers for k in (-1, 0, 1)} | {int(1 / n) + k for n in numbers if n for k in (0, 1)}
    for parameters, law in itertools.islice(itertools.product(chosen, laws), 10):
        instance = Question(q.data, law, parameters) if law or parameters else q
        if instance.law is not None and not all(q.first <= tau <= q.last for tau in instance.law.points or ()):
            continue
        if condition in ("magnitude", "moments"):
            with contextlib.suppress(Open):
                if condition == "magnitude" and instance.law and (instance.moment(q.formula, 0) - box(ONE)).apart():
                    raise Wrong("E[C] is not 1")
                for which, name in enumerate(MOMENTS) if "mean" in evidence else ():
                    agree(instance.moment(q.formula, which), evidence[name])
            continue
        for tau in sorted({q.first + k for k in PROBES} | near):
            with contextlib.suppress(Open):
                if q.first <= tau <= q.last and denied(instance, condition, tau):
                    raise Wrong(f"τ = {tau} denies it")
                if q.first <= tau <= q.last and "sup" in evidence:
                    agree(absolute(instance.value(q.formula, tau) - box(ONE)), ["0", evidence["sup"]["most"]])
    at = evidence.get("sup", {}).get("at")
    with contextlib.suppress(Open):
        if at is not None:
            agree(absolute(q.value(q.formula, at) - box(ONE)), [evidence["sup"]["least"], None])


@contextlib.contextmanager
def decided_at_its_points(q: Question, condition: str) -> Iterator[None]:
    """Values without mass do not count for means: a look at all of them is no denial."""
    try:
        yield
    except Undefined as error:
        if condition in ("magnitude", "moments") and q.law is not None:
            raise Open(f"{error}, perhaps where the law has no mass") from error
        raise


def judge(q: Question, claim: dict[str, Any]) -> tuple[str, str]:
    """What is said of a claim, and why."""
    condition, evidence = claim["condition"], claim["evidence"]
    try:
        if claim["verdict"] == "REFUTED":
            refute(q, condition, evidence)
        else:
            probe(q, condition, evidence)
            with decided_at_its_points(q, condition):
                prove(q, condition, evidence)
    except (Wrong, Undefined) as error:
        return CONTRADICTED, str(error)
    except (ArithmeticError, ValueError, TypeError, LookupError, RecursionError) as error:
        return NOT_FOLLOWED, f"{error}" if isinstance(error, Open) else f"{type(error).__name__}: {error}"
    return CONFIRMED, ""


def check(certificate: dict[str, Any], limit: Limit = contextlib.nullcontext) -> list[tuple[str, str]]:
    """What is said of each claim of a certificate, and why.

    Args:
      certificate: the JSON data of a certificate.
      limit: gives a context for each claim, which may raise TimeoutError inside; such a claim is not followed.

    Returns:
      For each claim ``"confirmed"``, ``"not followed"`` or ``"contradicted"``, and the reason for the last two.
    """
    if certificate["format"] != FORMAT:
        raise ValueError(f"format must be {FORMAT!r}, got {certificate['format']!r}")
    said, known = [], {}
    for claim in certificate["claims"]:
        place = claim["question"]
        try:
            with limit():
                if place not in known and "distortion" in certificate["questions"][place]:
                    raise Open("about a distortion, which this checker does not read")
                if place not in known:
                    known[place] = Question(certificate["questions"][place])
                answer = judge(known[place], claim)
        except (ArithmeticError, ValueError, TypeError, LookupError, RecursionError, TimeoutError) as error:
            answer = NOT_FOLLOWED, str(error)
        said.append(answer)
    return said


def report(certificate: dict[str, Any], limit: Limit = contextlib.nullcontext) -> tuple[str, int]:
    """What is said of a certificate, as lines for people; and how many claims are contradicted."""
    said = check(certificate, limit)
    counts = {answer: sum(one == answer for one, _ in said) for answer in (CONFIRMED, NOT_FOLLOWED, CONTRADICTED)}
    lines = [f"of {len(said)} claims {', '.join(f'{count} {answer}' for answer, count in counts.items())}"]
    for (answer, why), claim in zip(said, certificate["claims"], strict=True):
        if answer != CONFIRMED:
            law = certificate["questions"][claim["question"]]["law"] or "every law"
            lines.append(f"  {answer}: {claim['condition']} {claim['verdict']} under {law}: {why}")
    return "\n".join(lines), counts[CONTRADICTED]


def main(paths: list[str]) -> int:
    """Prints what is said of each certificate; 1 where a claim is contradicted, 3 where one cannot be read."""
    code = 0
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                text, contradicted = report(json.load(file))
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            print(f"{path}: cannot be read: {error}", file=sys.stderr)
            return 3
        print(f"{path}: {text}")
        code = max(code, int(contradicted > 0))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Tails in certificates: an argument for all τ from a start on, with the constants that it claims.

Each is written with the constants that the analysis finds, rounded outward, and verified by applying the one argument
at the one start: the constants have to hold, and have to be enough.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from flint import arb

from theory.analysis import tails
from theory.analysis.bounds_over import range_of
from theory.analysis.dominance import difference, dominance_from, in_class
from theory.analysis.monotonicity import elasticity
from theory.analysis.pointwise import PointValues
from theory.analysis.setting import Setting
from theory.analysis.tails import Tail
from theory.certificates.enclosures import above, around, below, bound
from theory.certificates.questions import whole
from theory.certificates.rejection import Rejected, require, require_only
from theory.formulas.formula import Formula
from theory.numbers.balls import Undecided

LONGEST_PERIOD = 64
#: There is no tail: every point of a bounded domain is looked at.
EVERY_POINT = "every point"


def inequality_to_json(formula: Formula, setting: Setting, tail: Tail) -> dict[str, Any]:
    """The tail of an inequality formula ≥ 0 or > 0, as a certificate writes it."""
    data: dict[str, Any] = {"argument": tail.argument, "start": tail.start}
    if tail.argument in ("bounds", tails.UP_TO):
        data |= {} if tail.last is None else {"last": tail.last}
        low = range_of(formula, setting, tail.start, tail.last)
        if low.low is None:
            raise Undecided("no bound from below")
        least, is_less = below(low.low)
        return data | {"least": least, "open": low.low_open or is_less}
    if tail.argument == "monotone":
        return data | {"falls": tails.rising_by(formula, setting, tail.start)}
    return data | _further(formula, setting, tail)


def falling_to_json(formula: Formula, setting: Setting, tail: Tail) -> dict[str, Any]:
    """The tail on which a formula never increases, as a certificate writes it."""
    data: dict[str, Any] = {"argument": tail.argument, "start": tail.start}
    if tail.argument == "elasticity":
        high = elasticity(formula, setting, tail.start).high
        if high is None:
            raise Undecided("no bound of the elasticity")
        return data | {"most": above(high)[0]}
    return data | _further(difference(formula), setting, tail)


def _further(formula: Formula, setting: Setting, tail: Tail) -> dict[str, Any]:
    if tail.argument == "dominant term":
        signs, share = _dominance(formula, setting, tail)
        written = (around(share, digits)[1] for digits in (3, 8, 25))
        least = next((one for one in written if one is not None and bound(one) < 1), None)
        if least is None:
            raise Undecided("a share too close to 1 to be written")
        return {"period": tail.period, "signs": signs, "share": least}
    return {} if tail.period == 1 else {"period": tail.period}


def _dominance(formula: Formula, setting: Setting, tail: Tail) -> tuple[list[int], arb]:
    """The sign of each class of τ modulo the period, and the largest share of what is not dominant."""
    classes = [
        dominance_from(in_class(formula, tail.period, remainder), setting, tail.start // tail.period)
        for remainder in range(tail.period)
    ]
    share = arb(0)
    for _, one in classes:
        share = share.max(one)
    return [sign for sign, _ in classes], share


def verify_inequality(
    formula: Formula, setting: Setting, data: dict[str, Any], *, strict: bool, last: int | None = None
) -> int:
    """Verifies that formula ≥ 0, or > 0 where strict, for every integer τ from a start on; returns the start.

    Args:
      formula: the formula.
      setting: what it is decided in.
      data: the tail.
      strict: whether > 0 is claimed.
      last: the end of the domain, up to which a tail may reach.
    """
    tail = _tail(data)
    if tail.argument in ("bounds", tails.UP_TO):
        if tail.argument == tails.UP_TO:
            require(last is not None and data.get("last") == last and tail.start <= last, "the end of the tail")
            tail = tail._replace(last=last)
        require_only(data, "argument", "start", *([] if tail.last is None else ["last"]), "least", "open")
        least, is_open, known = bound(data["least"]), data["open"], range_of(formula, setting, tail.start, tail.last)
        require(isinstance(is_open, bool), "open is true or false")
        enough = least > 0 or (least == 0 and (is_open or not strict))
        require(enough, "the bound of the tail does not decide")
        reached = known.low is not None and (
            known.low > least or (known.low == least and (known.low_open or not is_open))
        )
        require(bool(reached), f"the bound of the tail does not hold from {tail.start} on")
    elif tail.argument == "monotone":
        require_only(data, "argument", "start", "falls")
        require(data["falls"] in tails.FALLING_BY_FORM, "by which argument it falls")
        moving = tails.subtracted(formula)
        falls = moving is not None and tails.falling(moving, setting, Tail(data["falls"], 1, tail.start))
        require(falls, f"it is not shown to rise from {tail.start} on")
        holds = PointValues(formula, setting).is_at_least(tail.start, Fraction(0), strict=strict)
        require(holds, f"the inequality does not hold at {tail.start}")
    else:
        _verify_further(formula, setting, data, tail, least=1 if strict else 0)
        if tail.argument != "dominant term":
            shown = tails.inequality(formula, setting, tail, strict=strict)
            require(shown, "the argument for the tail does not hold")
    return tail.start


def verify_falling(formula: Formula, setting: Setting, data: dict[str, Any]) -> int:
    """Verifies that a formula never increases over the integers from a start on; returns the start."""
    tail = _tail(data)
    if tail.argument == "elasticity":
        require_only(data, "argument", "start", "most")
        require(bound(data["most"]) <= 0, "the bound of the elasticity does not decide")
        require(tails.falling(formula, setting, tail), "the argument for the tail does not hold")
        high = elasticity(formula, setting, tail.start).high
        require(high is not None and high <= bound(data["most"]), "the bound of the elasticity does not hold")
    else:
        _verify_further(difference(formula), setting, data, tail, least=0)
        if tail.argument != "dominant term":
            require(tails.falling(formula, setting, tail), "the argument for the tail does not hold")
    return tail.start


def _verify_further(formula: Formula, setting: Setting, data: dict[str, Any], tail: Tail, *, least: int) -> None:
    if tail.argument != "dominant term":
        require_only(data, "argument", "start", *(["period"] if "period" in data else []))
        require(tail.argument != "composition" or "period" not in data, "a composition has no period")
        return
    require_only(data, "argument", "start", "period", "signs", "share")
    require(tail.start >= tail.period and tail.start % tail.period == 0, "the start is no multiple of the period")
    try:
        signs, share = _dominance(formula, setting, tail)
    except (ArithmeticError, RecursionError) as error:
        raise Rejected(f"the argument for the tail does not hold: {error}") from error
    require(all(map(whole, data["signs"])) and data["signs"] == signs, f"the signs of the tail are {signs}")
    require(all(sign >= least for sign in signs), "the signs of the tail do not decide")
    claimed = bound(data["share"])
    require(claimed < 1, "the share of the tail does not decide")
    require(bool(share <= claimed), "the share of the tail does not hold")


def _tail(data: Any) -> Tail:
    require(isinstance(data, dict) and {"argument", "start"} <= set(data), "a tail has an argument and a start")
    start, period = data["start"], data.get("period", 1)
    require(whole(start) and start >= 0, "a tail starts at an integer ≥ 0")
    require(whole(period) and 1 <= period <= LONGEST_PERIOD, f"a period is an integer of 1…{LONGEST_PERIOD}")
    require(isinstance(data["argument"], str), "an argument is named by a text")
    return Tail(data["argument"], period, start)

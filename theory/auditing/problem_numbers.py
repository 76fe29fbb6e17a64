"""The numbers of a problem that the theorems need, and which were given, estimated from mini-batches, or assumed."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax

from jasgd.inputs.checks import real
from theory.auditing.measuring.curvature import Local, Probe
from theory.auditing.measuring.estimates import SIGMAS, Measured
from theory.auditing.measuring.mini_batches import Pool
from theory.auditing.recorded_run import Recorded
from theory.auditing.remarks import Remark
from theory.decisions.verdict import Verdict

ASSUMED = 0.0  # the infimum where none is given: losses are seldom below


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Numbers of a problem that the theorems need; None where one is not known.

    Attributes:
      learning_rate: η, in [x]²/[f].
      smoothness: L, in [f]/[x]².
      noise: σ, in [f]/[x].
      gap: Δ = f(x₀) - inf f, in [f].
      distance: D = |x₀ - x*|, in [x].
      mu: the Polyak-Łojasiewicz constant, in [f]/[x]².
      infimum: inf f, in [f].
      gap_error: the standard error of the gap, where it is an estimate.
      estimated: names of those that are estimates, on which nothing can be proved.
      assumption: what is assumed of the infimum, as a clause; empty where it was given, or is not used.
    """

    learning_rate: float | None = None
    smoothness: float | None = None
    noise: float | None = None
    gap: float | None = None
    distance: float | None = None
    mu: float | None = None
    infimum: float | None = None
    gap_error: float = 0.0
    estimated: frozenset[str] = frozenset()
    assumption: str = ""


class Ends(NamedTuple):
    """The loss at both ends of a run.

    Attributes:
      first: f(x_0), in [f].
      last: f(x_K), in [f].
      infimum: inf f: given, assumed, or f(x_0) - Δ.
    """

    first: Measured
    last: Measured
    infimum: Measured


def allowed(name: str, value: Any) -> float | None:
    """A number of a problem, or None, once it is one that the theorems can have.

    Args:
      name: as it is written in the message; its last word decides what is allowed.
      value: what was given.

    Returns:
      The number.

    Raises:
      TypeError: for what is no number.
      ValueError: for a number that is not finite, or not > 0; ``noise`` may be 0, and ``infimum`` any number.

    Example:
      >>> allowed("noise", 0), allowed("infimum", -2.0), allowed("gap", None)
      (0.0, -2.0, None)
    """
    if value is None:
        return None
    number = real(name, value)
    least = {"infimum": -math.inf, "noise": 0.0, "sigma": 0.0}.get(name.strip("-"))
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {number:g}")
    if (least is None and not number > 0) or (least is not None and number < least):
        raise ValueError(f"{name} must be {'> 0' if least is None else '≥ 0'}, got {number:g}")
    return number


def filled(recorded: Recorded, numbers: Numbers, pool: Pool, probe: Probe) -> tuple[Numbers, Ends, list[Remark]]:
    """Fills in missing numbers by estimates at the first and the last parameters, and says so.

    Args:
      recorded: a run with its loss.
      numbers: those that were given.
      pool: mini-batches to estimate the loss by.
      probe: of its loss, for curvature and noise.

    Returns:
      The numbers, the losses at both ends, and remarks.

    Raises:
      ValueError: for a loss or gradient there that is not finite.
    """
    assert recorded.result is not None
    ends = recorded.result.initial_params, recorded.result.params
    first, last = (_loss(probe, params, pool, name) for params, name in zip(ends, ("first", "last"), strict=True))
    start, end = (probe.estimate(params) for params in ends)
    infimum, words = _infimum(numbers, first)
    gap = first.minus(infimum)
    estimates = {"smoothness": max(start.smoothness, end.smoothness), "noise": max(start.noise, end.noise)}
    usable = {name for name, value in estimates.items() if value > 0 or name == "noise"}
    remarks = [_told(start, end, first, last, gap, numbers, words, pool)]
    if below := _below(first, last, infimum, words):
        remarks.append(Remark("infimum", Verdict.UNKNOWN, below))
    elif gap.value >= 0:
        estimates["gap"] = gap.value
        usable.add("gap")
    missing = {name: estimates[name] for name in usable if getattr(numbers, name) is None}
    numbers = dataclasses.replace(
        numbers,
        **missing,
        estimated=frozenset(missing),
        gap_error=gap.error if "gap" in missing else 0.0,
        assumption="" if numbers.infimum is not None or numbers.gap is not None else f"assuming inf f = {ASSUMED:g}",
    )
    return numbers, Ends(first, last, infimum), remarks


def _loss(probe: Probe, params: Any, pool: Pool, name: str) -> Measured:
    params = jax.tree.map(jax.numpy.asarray, params)
    loss = pool.mean_loss(lambda batch: float(probe.gradient(params, batch)[0]))
    if not math.isfinite(loss.value):
        raise ValueError(f"the loss at the {name} parameters is {loss.value:g}: such a run cannot be audited")
    return loss


def _infimum(numbers: Numbers, first: Measured) -> tuple[Measured, str]:
    if numbers.infimum is not None:
        return Measured(numbers.infimum, 0.0), f"inf f = {numbers.infimum:g}, as given"
    if numbers.gap is not None:
        return first.minus(Measured(numbers.gap, 0.0)), "inf f = f(x₀) − Δ"
    return Measured(ASSUMED, 0.0), f"inf f = {ASSUMED:g}, which is assumed, as infimum was not given"


def _below(first: Measured, last: Measured, infimum: Measured, words: str) -> str:
    for name, loss in (("first", first), ("last", last)):
        apart = loss.minus(infimum)
        if apart.value < -SIGMAS * apart.error:
            return f"the loss at the {name} parameters is {loss}, below {words}; Δ cannot be estimated with it"
    return ""


def _told(
    start: Local, end: Local, first: Measured, last: Measured, gap: Measured, numbers: Numbers, words: str, pool: Pool
) -> Remark:
    settled = "" if start.converged and end.converged else ", the power iteration not settled"
    delta = f"Δ = {gap} with {words}" if numbers.gap is None else f"Δ = {numbers.gap:g}, as given, so {words}"
    text = (
        f"from {start.batches} of {pool.words}, at the first and the last parameters: L about {start.smoothness:.3g} "
        f"and {end.smoothness:.3g} (largest eigenvalue of the Hessian{settled}), σ {start.noise:.3g} and "
        f"{end.noise:.3g}; the loss is {first} and {last}; {delta}. Elsewhere L and σ may be "
        f"larger, and a network of ReLUs has no L"
    )
    return Remark(
        "estimates",
        Verdict.UNKNOWN,
        text,
        {
            "first": dataclasses.asdict(start),
            "last": dataclasses.asdict(end),
            "gap": gap.value if numbers.gap is None else numbers.gap,
            "gap_error": gap.error if numbers.gap is None else 0.0,
        },
    )
